//! Removing old rows, and those of deleted organizations. In steps of a bounded number of rows: a single
//! transaction for all of it would make every publisher wait.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};
use parking_lot::Mutex;

use super::super::backlog::BacklogChange;
use super::super::connection::AnyConnection;
use super::super::schema::{
    attempts, deliveries, endpoint_failures, endpoint_health, endpoints, event_labels, events, idempotency_keys,
};
use super::super::{PruneReport, StoreResult};
use super::endpoints::IsPending;
use super::log_rows::{self, LogScope, LogSource};
use super::query::{BoundValue, DynamicQuery};
use super::resend::is_replayed;
use super::time_ranges::IdRange;
use super::{audit, backlog, sql_limit, statistics};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Events, deliveries and attempts that one step removes, about, at most: 5 to 10 ms on either database
/// (`docs/performance.md`), and more when their pages must be read from the disk. Larger: commits wait longer for the
/// writer.
const MOST_ROWS_A_STEP: usize = 1_000;
/// At least, of events with many deliveries. Smaller: such an event takes many steps.
const LEAST_ROWS_A_STEP: usize = 100;
/// Webhooks of a deleted organization that one step removes. Smaller: a deletion takes more transactions. Larger: commits
/// wait longer for the writer.
const ENDPOINTS_A_STEP: i64 = 100;
/// Ids per statement.
pub(super) const IDS_A_STATEMENT: usize = 1_000;

/// Where the last steps ended, in memory. The next ones begin there: until PostgreSQL has cleaned up, which an old
/// snapshot delays, a search from the beginning passes every row that was removed before.
#[derive(Default)]
pub(super) struct Removal {
    pub(super) purge: Mutex<Purge>,
    /// All idempotency keys that were used before are removed.
    pub(super) keys_from: Mutex<i64>,
}

impl Removal {
    /// Forgets how far it has come.
    pub(super) fn begin_anew(&self) {
        *self.purge.lock() = Purge::default();
        *self.keys_from.lock() = 0;
    }
}

/// How far the purge has come.
#[derive(Default)]
pub(super) struct Purge {
    /// The last deleted organization of which nothing was left in this round.
    pub(super) looked_at: Option<i64>,
    /// Of the deleted organizations that are not forgotten yet: half an hour's.
    pub(super) positions: HashMap<i64, PurgePosition>,
}

/// What of a deleted organization is removed.
#[derive(Debug, Clone, Default)]
pub(super) struct PurgePosition {
    /// Events up to this one.
    event: i64,
    /// Deliveries made by replays up to this one.
    replayed: i64,
    /// Idempotency keys up to this one.
    key: String,
}

/// A delivery that may be removed.
#[derive(Queryable)]
struct OldDelivery {
    id: i64,
    event_id: i64,
    status: i16,
    attempt_count: i32,
}

impl OldDelivery {
    fn is_pending(&self) -> bool {
        self.status == DeliveryStatus::Pending.code()
    }

    fn rows(&self) -> usize {
        rows_of(self.attempt_count)
    }
}

/// Rows that a delivery has with its attempts, about: an only attempt has none of its own.
fn rows_of(attempt_count: i32) -> usize {
    match attempt_count {
        ..=1 => 1,
        more => 1 + more as usize,
    }
}

#[derive(QueryableByName)]
pub(super) struct OldEvent {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    last_delivery_id: i64,
    #[diesel(sql_type = Integer)]
    delivery_count: i32,
    #[diesel(sql_type = BigInt)]
    accepted_at: i64,
}

/// The query for the oldest events of a range.
pub(super) fn old_events(range: IdRange, limit: usize) -> DynamicQuery {
    let mut query =
        DynamicQuery::new("SELECT e.id, e.last_delivery_id, e.delivery_count, e.accepted_at FROM events e");
    query.push(" WHERE e.id >= {}", BoundValue::Number(range.from));
    query.and("e.id < {}", BoundValue::Number(range.before));
    range.times.restrict(&mut query, "e.id", "e.accepted_at");
    query.push(" ORDER BY e.id LIMIT {}", BoundValue::Number(sql_limit(limit)));
    query
}

/// A page of the oldest events after `after`. Only retention removes events, so it can be read without the writer.
pub(super) fn page_of_old(
    connection: &mut AnyConnection,
    ranges: &[IdRange],
    after: Option<EventId>,
    limit: usize,
) -> StoreResult<Vec<OldEvent>> {
    let behind = after.map_or(i64::MIN, |id| id.0.saturating_add(1));
    let mut page = Vec::new();
    for range in ranges {
        let rest = IdRange { from: range.from.max(behind), ..*range };
        if page.len() < limit {
            page.append(&mut old_events(rest, limit - page.len()).load(connection)?);
        }
    }
    Ok(page)
}

/// The rows of a step of so many events: as many as they have with one delivery each.
fn rows_a_step(events: usize) -> usize {
    events.saturating_mul(2).clamp(LEAST_ROWS_A_STEP, MOST_ROWS_A_STEP)
}

/// Cuts a page to a number of rows, but never below one event.
fn cut(page: &mut Vec<OldEvent>, most: usize) {
    let mut rows = 0usize;
    let too_many = page.iter().position(|event| {
        rows = rows.saturating_add(1 + event.delivery_count.max(0) as usize);
        rows > most
    });
    page.truncate(too_many.unwrap_or(page.len()).max(1));
}

/// Deliveries of a page of events.
struct Found {
    deliveries: Vec<OldDelivery>,
    /// Rows of the step.
    most: usize,
    /// There are more.
    is_cut: bool,
}

impl Found {
    /// Adds deliveries of consecutive events: of their ranges of the primary key, and those of replays.
    fn add(&mut self, connection: &mut AnyConnection, first: &OldEvent, last: &OldEvent) -> StoreResult<()> {
        let columns = (deliveries::id, deliveries::event_id, deliveries::status, deliveries::attempt_count);
        // replays of other events can lie between them
        let of_ranges = deliveries::table
            .filter(deliveries::id.gt(first.id))
            .filter(deliveries::id.le(last.last_delivery_id))
            .filter(diesel::dsl::not(is_replayed()))
            .order(deliveries::id)
            .limit(sql_limit(self.room()));
        self.deliveries.append(&mut of_ranges.select(columns).load(connection)?);
        let replayed = deliveries::table
            .filter(deliveries::event_id.ge(first.id))
            .filter(deliveries::event_id.le(last.id))
            .filter(is_replayed())
            .order((deliveries::event_id, deliveries::id))
            .limit(sql_limit(self.room()));
        self.deliveries.append(&mut replayed.select(columns).load(connection)?);
        self.is_cut = self.room() == 0;
        Ok(())
    }

    /// How many more are looked for.
    fn room(&self) -> usize {
        self.most.saturating_sub(self.deliveries.len())
    }

    /// How many events of a page fit into a step, with their attempts.
    fn fitting(&self, page: &[OldEvent]) -> usize {
        let mut of_event: HashMap<i64, usize> = HashMap::new();
        for delivery in &self.deliveries {
            *of_event.entry(delivery.event_id).or_default() += delivery.rows();
        }
        let mut rows = 0;
        let too_many = page.iter().position(|event| {
            rows += 1 + of_event.get(&event.id).copied().unwrap_or(0);
            rows > self.most
        });
        too_many.unwrap_or(page.len())
    }
}

fn find(connection: &mut AnyConnection, ranges: &[IdRange], page: &[OldEvent], most: usize) -> StoreResult<Found> {
    let mut found = Found { deliveries: Vec::new(), most, is_cut: false };
    for range in ranges {
        // between the ranges are events of another time
        let mut of_span = page.iter().filter(|event| range.from <= event.id && event.id < range.before);
        if let Some(first) = of_span.next() {
            found.add(connection, first, of_span.next_back().unwrap_or(first))?;
        }
    }
    Ok(found)
}

/// One step: removes those events of a page of at most `limit` that have no pending delivery.
pub(super) fn prune(
    connection: &mut AnyConnection,
    ranges: &[IdRange],
    mut page: Vec<OldEvent>,
    limit: usize,
) -> StoreResult<PruneReport> {
    let (length, most) = (page.len(), rows_a_step(limit));
    cut(&mut page, most);
    let mut found = find(connection, ranges, &page, most)?;
    // attempts and replays are not in the events' counts
    if found.is_cut && page.len() > 1 {
        page.truncate(1);
        found = find(connection, ranges, &page, most)?;
    }
    let fitting = found.fitting(&page);
    page.truncate(fitting.max(1));
    let Some(last) = page.last() else { return Ok(PruneReport::default()) };
    if page.len() == 1 && (found.is_cut || fitting == 0) {
        return prune_wide(connection, last, &found);
    }
    let reached = Some(UnixMillis(last.accepted_at));
    let next = Some(EventId(last.id)).filter(|_| page.len() < length || length == limit);
    let kept: HashSet<i64> = found.deliveries.iter().filter(|it| it.is_pending()).map(|it| it.event_id).collect();
    let removed: Vec<i64> = page.iter().map(|event| event.id).filter(|id| !kept.contains(id)).collect();
    let in_removed: HashSet<i64> = removed.iter().copied().collect();
    let of_removed = found.deliveries.iter().filter(|delivery| in_removed.contains(&delivery.event_id));
    let deliveries: Vec<i64> = of_removed.map(|delivery| delivery.id).collect();
    remove(connection, &removed, &deliveries)?;
    Ok(PruneReport { events: removed.len(), deliveries: deliveries.len(), reached, next })
}

/// A step for an event with more rows than a step may remove: removes some of its deliveries, and the event with
/// the last of them in another step.
fn prune_wide(connection: &mut AnyConnection, event: &OldEvent, found: &Found) -> StoreResult<PruneReport> {
    let reached = Some(UnixMillis(event.accepted_at));
    if has_pending(connection, event)? {
        return Ok(PruneReport { reached, next: Some(EventId(event.id)), ..PruneReport::default() });
    }
    let deliveries = found.deliveries.iter().map(|delivery| (delivery.id, delivery.rows()));
    let some = prefix(deliveries, found.most);
    remove(connection, &[], &some)?;
    // the same event again
    let next = Some(EventId(event.id.saturating_sub(1)));
    Ok(PruneReport { events: 0, deliveries: some.len(), reached, next })
}

/// The first deliveries whose rows fit into a step; at least one.
fn prefix(deliveries: impl Iterator<Item = (i64, usize)>, most: usize) -> Vec<i64> {
    let mut rows = 0;
    let mut ids = Vec::new();
    for (id, of_delivery) in deliveries {
        rows += of_delivery;
        if rows > most && !ids.is_empty() {
            break;
        }
        ids.push(id);
    }
    ids
}

fn has_pending(connection: &mut AnyConnection, event: &OldEvent) -> StoreResult<bool> {
    let of_range = deliveries::table
        .filter(deliveries::id.gt(event.id))
        .filter(deliveries::id.le(event.last_delivery_id))
        .filter(deliveries::event_id.eq(event.id))
        // bound, so that the index of pending deliveries is not an alternative to their ids
        .filter(deliveries::status.eq(DeliveryStatus::Pending.code()));
    let found: Option<i64> = of_range.select(deliveries::id).first(connection).optional()?;
    if found.is_some() {
        return Ok(true);
    }
    let of_replays =
        deliveries::table.filter(deliveries::event_id.eq(event.id)).filter(is_replayed()).filter(IsPending);
    let found: Option<i64> = of_replays.select(deliveries::id).first(connection).optional()?;
    Ok(found.is_some())
}

fn remove(connection: &mut AnyConnection, event_ids: &[i64], delivery_ids: &[i64]) -> StoreResult<()> {
    for ids in delivery_ids.chunks(IDS_A_STATEMENT) {
        diesel::delete(attempts::table.filter(attempts::delivery_id.eq_any(ids))).execute(connection)?;
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)?;
    }
    for ids in event_ids.chunks(IDS_A_STATEMENT) {
        diesel::delete(event_labels::table.filter(event_labels::event_id.eq_any(ids))).execute(connection)?;
        diesel::delete(events::table.filter(events::id.eq_any(ids))).execute(connection)?;
    }
    Ok(())
}

/// One step for one organization, from a position on; returns whether there was anything to remove.
pub(super) fn purge(
    connection: &mut AnyConnection,
    id: OrganizationId,
    limit: usize,
    position: &mut PurgePosition,
    change: &mut BacklogChange,
) -> StoreResult<bool> {
    let most = rows_a_step(limit);
    // left by a deletion that was interrupted
    if remove_endpoints(connection, id)? {
        return Ok(true);
    }
    let page: Vec<(i64, i64)> = events::table
        .filter(events::organization_id.eq(id.0))
        .filter(events::id.gt(position.event))
        .order(events::id)
        .limit(sql_limit(limit))
        .select((events::id, events::last_delivery_id))
        .load(connection)?;
    let mut found: Vec<(i64, i32)> = deliveries::table
        .filter(deliveries::organization_id.eq(id.0))
        .filter(deliveries::id.gt(position.replayed))
        .filter(is_replayed())
        .order(deliveries::id)
        .limit(sql_limit(most))
        .select((deliveries::id, deliveries::attempt_count))
        .load(connection)?;
    let replayed = found.len();
    if let Some(&(_, last_delivery_id)) = page.last() {
        let rest = most - replayed;
        let of_events = deliveries_of_events(connection, id, (position.event + 1, last_delivery_id), rest);
        let rows: Vec<DeliveryOfOrganization> = of_events.load(connection)?;
        found.extend(rows.into_iter().map(|row| (row.id, row.attempt_count)));
    }
    let some = prefix(found.iter().map(|(id, attempt_count)| (*id, rows_of(*attempt_count))), most);
    // events go when all of their deliveries are found at once
    let has_all = found.len() < most && some.len() == found.len();
    let event_ids: Vec<i64> = page.into_iter().filter(|_| has_all).map(|(id, _)| id).collect();
    backlog::note_removed(connection, id, &some, change)?;
    remove(connection, &event_ids, &some)?;
    position.event = event_ids.last().copied().unwrap_or(position.event);
    position.replayed = some[..replayed.min(some.len())].last().copied().unwrap_or(position.replayed);
    let keys = remove_keys(connection, id, limit, position)?;
    let statistics = statistics::delete(connection, id, limit)?;
    let entries = audit::delete(connection, id, limit)?;
    Ok(!event_ids.is_empty() || !some.is_empty() || keys + statistics + entries > 0)
}

/// Removes some idempotency keys of a deleted organization; returns how many.
fn remove_keys(
    connection: &mut AnyConnection,
    id: OrganizationId,
    limit: usize,
    position: &mut PurgePosition,
) -> StoreResult<usize> {
    let of_organization = idempotency_keys::table
        .filter(idempotency_keys::organization_id.eq(id.0))
        .filter(idempotency_keys::key.gt(&position.key));
    let page: Vec<String> = of_organization
        .order(idempotency_keys::key)
        .limit(sql_limit(limit))
        .select(idempotency_keys::key)
        .load(connection)?;
    let Some(last) = page.into_iter().next_back() else { return Ok(0) };
    let removed = diesel::delete(of_organization.filter(idempotency_keys::key.le(&last))).execute(connection)?;
    position.key = last;
    Ok(removed)
}

#[derive(QueryableByName)]
struct RemovedKey {
    #[diesel(sql_type = BigInt)]
    created_at: i64,
}

/// Removes idempotency keys that were used from `from` to before `before`, oldest first; returns how many, and from
/// when on there can be more.
pub(super) fn remove_old_keys(
    connection: &mut AnyConnection,
    (from, before): (i64, i64),
    limit: usize,
) -> StoreResult<(usize, i64)> {
    let old = diesel::sql_query(OLD_KEYS)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(before)
        .bind::<BigInt, _>(sql_limit(limit));
    let removed: Vec<RemovedKey> = old.load(connection)?;
    // nothing found: from the beginning again, in case the clock was set back
    let next = removed.iter().map(|key| key.created_at).max().unwrap_or(0);
    Ok((removed.len(), next))
}

/// Removes some webhooks of a deleted organization, with their secrets, health and last failures; returns whether
/// there were any.
pub(super) fn remove_endpoints(connection: &mut AnyConnection, id: OrganizationId) -> StoreResult<bool> {
    let ids: Vec<i64> = endpoints::table
        .filter(endpoints::organization_id.eq(id.0))
        .order(endpoints::id)
        .limit(ENDPOINTS_A_STEP)
        .select(endpoints::id)
        .load(connection)?;
    if ids.is_empty() {
        return Ok(false);
    }
    diesel::delete(endpoints::table.filter(endpoints::id.eq_any(&ids))).execute(connection)?;
    diesel::delete(endpoint_health::table.filter(endpoint_health::endpoint_id.eq_any(&ids)))
        .execute(connection)?;
    diesel::delete(endpoint_failures::table.filter(endpoint_failures::endpoint_id.eq_any(&ids)))
        .execute(connection)?;
    Ok(true)
}

#[derive(QueryableByName)]
struct DeliveryOfOrganization {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    attempt_count: i32,
}

/// Some of the deliveries of an organization's events from one to before another, without replays. Found from event to event:
/// between them are those of all other organizations.
pub(super) fn deliveries_of_events(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    (first, last): (i64, i64),
    limit: usize,
) -> DynamicQuery {
    let scope = LogScope { events_from: first, ..LogScope::new(organization_id, None, first, last + 1) };
    let mut query = log_rows::from(connection, "SELECT d.id, d.attempt_count", LogSource::Events, &scope, false);
    query.push(" LIMIT {}", BoundValue::Number(sql_limit(limit)));
    query
}

/// Deleted endpoints in the order of their ids, from an index that has no others.
pub(super) const DELETED_ENDPOINTS: &str = "
    SELECT e.id AS n FROM endpoints e WHERE e.deleted_at IS NOT NULL AND e.id > $1 ORDER BY e.id LIMIT $2";

pub(super) const OLD_KEYS: &str = "
    DELETE FROM idempotency_keys WHERE (organization_id, key) IN (
        SELECT organization_id, key FROM idempotency_keys WHERE created_at >= $1 AND created_at < $2
        ORDER BY created_at LIMIT $3
    ) RETURNING created_at";
