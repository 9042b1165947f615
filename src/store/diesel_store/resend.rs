//! Resending: queries for one delivery, a range of an endpoint's deliveries, and an event.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::schema::{deliveries, endpoints, events};
use super::super::{RequeueRange, StoreResult};
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use super::time_ranges::{IdRange, Period};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Ids per statement: well below the maximum number of parameters of either database.
pub(super) const IDS_A_STATEMENT: usize = 500;

pub(super) fn period(range: &RequeueRange) -> Period {
    Period { from: Some(range.since), to: Some(range.until) }
}

/// The part of a range of ids behind a delivery.
pub(super) fn behind(range: IdRange, after: Option<DeliveryId>) -> IdRange {
    let first = after.map_or(range.from, |id| id.0.saturating_add(1));
    IdRange { from: first.max(range.from), ..range }
}

/// The query for the ids of a page.
pub(super) fn page(
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    status: DeliveryStatus,
    range: IdRange,
    limit: usize,
) -> DynamicQuery {
    let mut query = in_span("SELECT d.id AS n", organization_id, endpoint_id, status, range);
    query.push(" ORDER BY d.id LIMIT {}", BoundValue::Number(sql_limit(limit)));
    query
}

/// The query for the number of deliveries in a range.
pub(super) fn count(
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    status: DeliveryStatus,
    range: IdRange,
) -> DynamicQuery {
    in_span("SELECT count(*) AS n", organization_id, endpoint_id, status, range)
}

/// The status is written out, so that the partial index of failed deliveries is recognized as usable; a plus
/// before a column excludes its condition from the choice of an index.
fn in_span(
    select: &str,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    status: DeliveryStatus,
    range: IdRange,
) -> DynamicQuery {
    let mut query = DynamicQuery::new(select);
    query.push(" FROM deliveries d WHERE d.endpoint_id = {}", BoundValue::Number(endpoint_id.0));
    query.sql.push_str(&format!(" AND d.status = {}", status.code()));
    query.and("+d.organization_id = {}", BoundValue::Number(organization_id.0));
    query.and("d.id >= {}", BoundValue::Number(range.from));
    query.and("d.id < {}", BoundValue::Number(range.before));
    range.times.restrict(&mut query, "d.id", "d.created_at");
    query
}

/// The endpoints among these that exist.
pub(super) fn live(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[EndpointId],
) -> StoreResult<BTreeSet<EndpointId>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let mut found = BTreeSet::new();
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let rows: Vec<i64> = endpoints::table
            .filter(endpoints::id.eq_any(ids))
            .filter(endpoints::organization_id.eq(organization_id.0))
            .filter(endpoints::deleted_at.is_null())
            .select(endpoints::id)
            .load(connection)?;
        found.extend(rows.into_iter().map(EndpointId));
    }
    Ok(found)
}

/// Begins a new round for finished deliveries. A first attempt that is stored in its delivery's row moves to
/// `attempts`, to make room for the next one.
pub(super) fn begin_rounds(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
    now: UnixMillis,
) -> StoreResult<()> {
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let mut moved = DynamicQuery::new(
            "INSERT INTO attempts (delivery_id, number, organization_id, started_at, duration_ms, response_code, \
             error, detail) SELECT id, 1, organization_id, attempt_started_at, attempt_duration_ms, response_code, \
             error, attempt_detail FROM deliveries WHERE attempt_started_at IS NOT NULL",
        );
        moved.and("organization_id = {}", BoundValue::Number(organization_id.0));
        moved.and_one_of("id", ids);
        moved.execute(connection)?;
        let finished = deliveries::table
            .filter(deliveries::id.eq_any(ids))
            .filter(deliveries::organization_id.eq(organization_id.0));
        diesel::update(finished)
            .set((
                deliveries::status.eq(DeliveryStatus::Pending.code()),
                deliveries::queued_at.eq(now.0),
                deliveries::due_at.eq(now.0),
                deliveries::finished_at.eq(None::<i64>),
                deliveries::attempts_before_round.eq(deliveries::attempt_count),
                deliveries::attempt_started_at.eq(None::<i64>),
                deliveries::attempt_duration_ms.eq(None::<i64>),
                deliveries::attempt_detail.eq(None::<Vec<u8>>),
            ))
            .execute(connection)?;
    }
    Ok(())
}

type DeliveriesByEndpoint = BTreeMap<EndpointId, Vec<(i64, i16)>>;

/// Ids and statuses of an event's deliveries, oldest first; `None` when there is no such event.
pub(super) fn deliveries_by_endpoint(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EventId,
) -> StoreResult<Option<DeliveriesByEndpoint>> {
    let last: Option<i64> = events::table
        .filter(events::id.eq(id.0))
        .filter(events::organization_id.eq(organization_id.0))
        .select(events::last_delivery_id)
        .first(connection)
        .optional()?;
    let Some(last) = last else { return Ok(None) };
    let columns = (deliveries::endpoint_id, deliveries::id, deliveries::status);
    let mut rows: Vec<(i64, i64, i16)> = deliveries::table
        .filter(deliveries::id.gt(id.0))
        .filter(deliveries::id.le(last))
        .filter(deliveries::event_id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .order(deliveries::id)
        .select(columns)
        .load(connection)?;
    let replayed: Vec<(i64, i64, i16)> = deliveries::table
        .filter(deliveries::event_id.eq(id.0))
        .filter(is_replayed())
        .filter(deliveries::organization_id.eq(organization_id.0))
        .order(deliveries::id)
        .select(columns)
        .load(connection)?;
    rows.extend(replayed);
    let mut found = DeliveriesByEndpoint::new();
    for (endpoint_id, id, status) in rows {
        found.entry(EndpointId(endpoint_id)).or_default().push((id, status));
    }
    Ok(Some(found))
}

/// Written out, like [`super::endpoints::IsPending`].
pub(super) fn is_replayed() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    diesel::dsl::sql("deliveries.replayed")
}

pub(super) fn insert_replayed(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    event_id: EventId,
    endpoint_id: EndpointId,
    id: i64,
    now: UnixMillis,
) -> StoreResult<()> {
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::organization_id.eq(organization_id.0),
            deliveries::endpoint_id.eq(endpoint_id.0),
            deliveries::event_id.eq(event_id.0),
            deliveries::partition.eq(endpoint_id.partition()),
            deliveries::created_at.eq(now.0),
            deliveries::queued_at.eq(now.0),
            deliveries::due_at.eq(now.0),
            deliveries::replayed.eq(true),
        ))
        .execute(connection)?;
    Ok(())
}
