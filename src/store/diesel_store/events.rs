//! The list of events, and one event with its deliveries.

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::connection::AnyConnection;
use super::super::models::DeliveryRow;
use super::super::schema::{deliveries, events};
use super::super::{EventDetail, PageRequest, StoreResult};
use super::id_leads::IdLead;
use super::log_sources::LogSource;
use super::query::{BoundValue, DynamicQuery, indexed_by};
use super::resend::is_replayed;
use super::sql_limit;
use super::time_ranges::{IdRange, Period, id_ranges};
use crate::domain::delivery::DeliveryRecord;
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

#[derive(QueryableByName)]
struct ListedEvent {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = BigInt)]
    occurred_at: i64,
    #[diesel(sql_type = BigInt)]
    accepted_at: i64,
    #[diesel(sql_type = BigInt)]
    deliveries: i64,
}

pub(super) fn list(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &EventFilter,
    page: PageRequest,
) -> StoreResult<Vec<EventRecord>> {
    let ranges = id_ranges(connection, runs, Period { from: filter.from, to: filter.to })?;
    let mut rows: Vec<ListedEvent> = Vec::new();
    for range in ranges.into_iter().rev() {
        let rest = PageRequest { limit: page.limit - rows.len(), ..page };
        if rest.limit > 0 {
            rows.extend(build(connection, organization_id, filter, range, rest).load::<ListedEvent>(connection)?);
        }
    }
    let record = |row: ListedEvent| EventRecord {
        id: EventId(row.id),
        event_type: row.event_type,
        occurred_at: UnixMillis(row.occurred_at),
        accepted_at: UnixMillis(row.accepted_at),
        deliveries: row.deliveries.max(0) as usize,
    };
    Ok(rows.into_iter().map(record).collect())
}

/// The query for a page of one range.
pub(super) fn build(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    filter: &EventFilter,
    range: IdRange,
    page: PageRequest,
) -> DynamicQuery {
    let before = page.before_id.map_or(range.before, |before| before.min(range.before));
    let index = indexed_by(connection, LogSource::index_of_events(filter.event_type.is_some()));
    let mut query = DynamicQuery::new(
        "SELECT e.id, e.event_type, e.occurred_at, e.accepted_at, e.delivery_count + \
         (SELECT count(*) FROM deliveries d WHERE d.event_id = e.id AND d.replayed) AS deliveries FROM events e",
    );
    query.sql.push_str(&index);
    query.push(" WHERE e.organization_id = {}", BoundValue::Number(organization_id.0));
    query.and("e.id < {}", BoundValue::Number(before));
    query.and("e.id >= {}", BoundValue::Number(range.from));
    range.times.restrict(&mut query, "e.id", "e.accepted_at");
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", BoundValue::Text(event_type.clone()));
    }
    query.push(" ORDER BY e.id DESC LIMIT {}", BoundValue::Number(sql_limit(page.limit)));
    query
}

/// Type, instants, last delivery of its range, number of these, body.
type EventColumns = (String, i64, i64, i64, i32, Vec<u8>);

pub(super) fn read(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EventId,
) -> StoreResult<Option<EventDetail>> {
    let event: Option<EventColumns> = events::table
        .filter(events::id.eq(id.0))
        .filter(events::organization_id.eq(organization_id.0))
        .select((
            events::event_type,
            events::occurred_at,
            events::accepted_at,
            events::last_delivery_id,
            events::delivery_count,
            events::body,
        ))
        .first(connection)
        .optional()?;
    let Some((event_type, occurred_at, accepted_at, last, count, body)) = event else { return Ok(None) };
    let mut rows: Vec<DeliveryRow> = deliveries::table
        .filter(deliveries::id.gt(id.0))
        .filter(deliveries::id.le(last))
        .filter(deliveries::event_id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .order(deliveries::id)
        .select(DeliveryRow::as_select())
        .load(connection)?;
    let replayed: Vec<DeliveryRow> = deliveries::table
        .filter(deliveries::event_id.eq(id.0))
        .filter(is_replayed())
        .filter(deliveries::organization_id.eq(organization_id.0))
        .order(deliveries::id)
        .select(DeliveryRow::as_select())
        .load(connection)?;
    let record = EventRecord {
        id,
        event_type: event_type.clone(),
        occurred_at: UnixMillis(occurred_at),
        accepted_at: UnixMillis(accepted_at),
        deliveries: count.max(0) as usize + replayed.len(),
    };
    rows.extend(replayed);
    let deliveries: StoreResult<Vec<DeliveryRecord>> =
        rows.into_iter().map(|row| row.into_record(event_type.clone())).collect();
    Ok(Some(EventDetail { record, body: Bytes::from(body), deliveries: deliveries? }))
}
