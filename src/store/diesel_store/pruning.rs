//! Removing old rows, and those of deleted organizations. In steps: a single transaction for all of it would
//! make every publisher wait.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::schema::{attempts, deliveries, events};
use super::log_rows::{self, LogScope, LogSource};
use super::query::{BoundValue, DynamicQuery, NumberRow};
use super::resend::is_replayed;
use super::time_ranges::IdRange;
use super::{sql_limit, statistics};
use crate::domain::ids::{EventId, OrganizationId};

/// A step stops behind the event that brings it to this many deliveries. Smaller: a wide fan-out is pruned in
/// many steps. Larger: commits wait longer for the writer.
const DELIVERIES_A_STEP: usize = 10_000;
/// Ids per statement.
pub(super) const IDS_A_STATEMENT: usize = 1_000;

/// An event's id, the last of its range, and how many deliveries are in it.
type EventRange = (i64, i64, i32);
/// A delivery's id, its event and its status.
pub(super) type DeliveryOfEvent = (i64, i64, i16);

#[derive(QueryableByName)]
struct OldEvent {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    last_delivery_id: i64,
    #[diesel(sql_type = Integer)]
    delivery_count: i32,
}

/// The query for the oldest events of a range.
pub(super) fn old_events(range: IdRange, limit: usize) -> DynamicQuery {
    let mut query = DynamicQuery::new("SELECT e.id, e.last_delivery_id, e.delivery_count FROM events e");
    query.push(" WHERE e.id >= {}", BoundValue::Number(range.from));
    query.and("e.id < {}", BoundValue::Number(range.before));
    range.times.restrict(&mut query, "e.id", "e.accepted_at");
    query.push(" ORDER BY e.id LIMIT {}", BoundValue::Number(sql_limit(limit)));
    query
}

/// A page of the oldest events after `after`.
pub(super) fn page_of_old(
    connection: &mut AnyConnection,
    ranges: &[IdRange],
    after: Option<EventId>,
    limit: usize,
) -> StoreResult<Vec<EventRange>> {
    let behind = after.map_or(i64::MIN, |id| id.0.saturating_add(1));
    let mut page = Vec::new();
    for range in ranges {
        let rest = IdRange { from: range.from.max(behind), ..*range };
        if page.len() < limit {
            let rows: Vec<OldEvent> = old_events(rest, limit - page.len()).load(connection)?;
            page.extend(rows.into_iter().map(|row| (row.id, row.last_delivery_id, row.delivery_count)));
        }
    }
    Ok(page)
}

/// Cuts a page to a bounded number of deliveries, but never below one event; returns whether anything was cut.
pub(super) fn cut(page: &mut Vec<EventRange>) -> bool {
    let mut total = 0usize;
    let enough = page.iter().position(|(_, _, count)| {
        total = total.saturating_add((*count).max(0) as usize);
        total >= DELIVERIES_A_STEP
    });
    let length = page.len();
    page.truncate(enough.map_or(length, |place| place + 1));
    page.len() < length
}

/// The deliveries of consecutive events: their ranges of the primary key, and those of replays.
pub(super) fn deliveries_of(
    connection: &mut AnyConnection,
    first: EventRange,
    last: EventRange,
) -> StoreResult<Vec<DeliveryOfEvent>> {
    let columns = (deliveries::id, deliveries::event_id, deliveries::status);
    // replays of other events can lie between them
    let mut found: Vec<DeliveryOfEvent> = deliveries::table
        .filter(deliveries::id.gt(first.0))
        .filter(deliveries::id.le(last.1))
        .filter(diesel::dsl::not(is_replayed()))
        .select(columns)
        .load(connection)?;
    let replayed: Vec<DeliveryOfEvent> = deliveries::table
        .filter(deliveries::event_id.ge(first.0))
        .filter(deliveries::event_id.le(last.0))
        .filter(is_replayed())
        .select(columns)
        .load(connection)?;
    found.extend(replayed);
    Ok(found)
}

pub(super) fn remove(connection: &mut AnyConnection, event_ids: &[i64], delivery_ids: &[i64]) -> StoreResult<()> {
    for ids in delivery_ids.chunks(IDS_A_STATEMENT) {
        diesel::delete(attempts::table.filter(attempts::delivery_id.eq_any(ids))).execute(connection)?;
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)?;
    }
    for ids in event_ids.chunks(IDS_A_STATEMENT) {
        diesel::delete(events::table.filter(events::id.eq_any(ids))).execute(connection)?;
    }
    Ok(())
}

/// One step for one organization; returns whether there was anything to remove.
pub(super) fn purge(connection: &mut AnyConnection, id: OrganizationId, limit: usize) -> StoreResult<bool> {
    let mut page: Vec<EventRange> = events::table
        .filter(events::organization_id.eq(id.0))
        .order(events::id)
        .limit(sql_limit(limit))
        .select((events::id, events::last_delivery_id, events::delivery_count))
        .load(connection)?;
    cut(&mut page);
    let mut found: Vec<i64> = deliveries::table
        .filter(deliveries::organization_id.eq(id.0))
        .filter(is_replayed())
        .limit(sql_limit(limit))
        .select(deliveries::id)
        .load(connection)?;
    if let Some(&(_, last_delivery_id, _)) = page.last() {
        let of_events = deliveries_of_events(connection, id, last_delivery_id);
        found.extend(of_events.load::<NumberRow>(connection)?.into_iter().map(|row| row.n));
    }
    let event_ids: Vec<i64> = page.into_iter().map(|(id, ..)| id).collect();
    remove(connection, &event_ids, &found)?;
    let keys = diesel::sql_query(KEYS_OF_ORGANIZATION).bind::<BigInt, _>(id.0).bind::<BigInt, _>(sql_limit(limit));
    let keys = keys.execute(connection)?;
    let statistics = statistics::delete(connection, id, limit)?;
    Ok(!event_ids.is_empty() || !found.is_empty() || keys + statistics > 0)
}

/// An organization's deliveries from its first event's to this one, without replays. Found from event to event:
/// between them are those of all other organizations.
pub(super) fn deliveries_of_events(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    last_delivery_id: i64,
) -> DynamicQuery {
    let scope = LogScope::new(organization_id, None, 0, last_delivery_id + 1);
    log_rows::from(connection, "SELECT d.id AS n", LogSource::Events, &scope, false)
}

/// Deleted endpoints in the order of their ids, from an index that has no others.
pub(super) const DELETED_ENDPOINTS: &str = "
    SELECT e.id AS n FROM endpoints e WHERE e.deleted_at IS NOT NULL AND e.id > $1 ORDER BY e.id LIMIT $2";

pub(super) const KEYS_OF_ORGANIZATION: &str = "
    DELETE FROM idempotency_keys WHERE organization_id = $1 AND key IN (
        SELECT key FROM idempotency_keys WHERE organization_id = $1 ORDER BY key LIMIT $2
    )";

pub(super) const OLD_KEYS: &str = "
    DELETE FROM idempotency_keys WHERE (organization_id, key) IN (
        SELECT organization_id, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2
    )";
