//! Resending: queries for one delivery, a range of an endpoint's deliveries, and an event.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use super::super::backlog::BacklogChange;
use super::super::connection::AnyConnection;
use super::super::schema::{deliveries, endpoints, events};
use super::super::{MadeDeliveryDue, RESENT_AT_ONCE, ReplayTargets, RequeueRange, StoreError, StoreResult};
use super::due::octet_length;
use super::endpoints::IsPending;
use super::id_leads::{self, IdLead};
use super::query::{BoundValue, DynamicQuery, NumberRow};
use super::time_ranges::{IdRange, Period, id_ranges};
use super::{DieselStore, sql_limit};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::round::{Rounds, not_counted_when_hurried};
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

/// The query for the number of deliveries in a range, which reads no more than `limit`.
pub(super) fn count(
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    status: DeliveryStatus,
    range: IdRange,
    limit: usize,
) -> DynamicQuery {
    let mut query = in_span("SELECT count(*) AS n FROM (SELECT d.id", organization_id, endpoint_id, status, range);
    query.push(" LIMIT {}) c", BoundValue::Number(sql_limit(limit)));
    query
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

/// Where a step through a range of deliveries goes on.
pub(super) struct Behind<'a> {
    pub(super) runs: &'a [IdLead],
    pub(super) after: Option<DeliveryId>,
    pub(super) limit: usize,
}

/// The ids of the next deliveries of a range, oldest first.
pub(super) fn ids_in_range(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    range: &RequeueRange,
    Behind { runs, after, limit }: Behind<'_>,
) -> StoreResult<Vec<i64>> {
    let mut ids: Vec<i64> = Vec::new();
    for ids_of_period in id_ranges(connection, runs, period(range))? {
        let rest = limit - ids.len();
        if rest > 0 {
            let found = page(organization_id, endpoint_id, range.status, behind(ids_of_period, after), rest);
            ids.extend(found.load::<NumberRow>(connection)?.into_iter().map(|row| row.n));
        }
    }
    Ok(ids)
}

impl DieselStore {
    /// Sends an event again, in steps: an event can have ten thousand deliveries.
    pub(super) fn replay(
        &self,
        organization_id: OrganizationId,
        event_id: EventId,
        targets: &ReplayTargets,
        rounds: Rounds,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        let known =
            self.readers.read(|connection| deliveries_by_endpoint(connection, organization_id, event_id))?;
        let Some(known) = known else { return Ok(None) };
        let mut wanted: Vec<EndpointId> = match targets {
            ReplayTargets::Delivered => known.keys().copied().collect(),
            ReplayTargets::Endpoints(endpoints) => endpoints.clone(),
        };
        wanted.sort_unstable();
        wanted.dedup();
        let replay = Replay::new(organization_id, event_id, known, rounds, now);
        let mut replayed = Vec::with_capacity(wanted.len());
        // an erased event is refused also when there is nobody to send it to
        let nobody = wanted.is_empty().then_some(&wanted[..]);
        for some in wanted.chunks(RESENT_AT_ONCE).chain(nobody) {
            let mut written = Vec::new();
            let step = self.write_counted(|connection, change| {
                let mut next_id = |connection: &mut AnyConnection| {
                    let id = next_id();
                    // a run that this transaction has stored already must not be stored again
                    let is_known = written.last().is_some_and(|lead: &IdLead| lead.has(id));
                    let lead = self.leads.of_row(id, now).filter(|_| !is_known);
                    written.extend(lead);
                    lead.map_or(Ok(()), |lead| id_leads::save(connection, lead)).map(|()| id)
                };
                replay.step(connection, some, &mut next_id, change)
            })?;
            written.into_iter().for_each(|lead| self.leads.add(lead));
            replayed.extend(step);
        }
        Ok(Some(replayed))
    }
}

/// An event that is sent again.
struct Replay {
    organization_id: OrganizationId,
    event_id: EventId,
    /// Its deliveries when the replay began. Their statuses may be others by now.
    known: DeliveriesByEndpoint,
    /// The largest of them: other replays since then made larger ids.
    largest: i64,
    rounds: Rounds,
    now: UnixMillis,
}

impl Replay {
    fn new(
        organization_id: OrganizationId,
        event_id: EventId,
        known: DeliveriesByEndpoint,
        rounds: Rounds,
        now: UnixMillis,
    ) -> Self {
        let largest = known.values().flatten().map(|(id, _)| *id).max().unwrap_or(event_id.0);
        Self { organization_id, event_id, known, largest, rounds, now }
    }

    /// Sends it to those of some endpoints that exist; returns these.
    fn step(
        &self,
        connection: &mut AnyConnection,
        endpoints: &[EndpointId],
        next_id: &mut dyn FnMut(&mut AnyConnection) -> StoreResult<i64>,
        change: &mut BacklogChange,
    ) -> StoreResult<BTreeSet<EndpointId>> {
        let event = events::table
            .filter(events::id.eq(self.event_id.0))
            .filter(events::organization_id.eq(self.organization_id.0))
            .select(octet_length(events::body));
        // one replay of an event at a time, on whatever node: each makes the deliveries that are missing
        let length: Option<i32> = match connection {
            AnyConnection::Sqlite(sqlite) => event.first(sqlite).optional()?,
            AnyConnection::Postgres(postgres) => event.for_update().first(postgres).optional()?,
        };
        match length {
            None => return Ok(BTreeSet::new()),
            Some(0) => return Err(StoreError::PayloadErased),
            Some(_) => {}
        }
        let live = live(connection, self.organization_id, endpoints)?;
        let existing = self.deliveries_now(connection, &live)?;
        let mut finished = Vec::new();
        for &endpoint_id in &live {
            let begins = match existing.get(&endpoint_id).map(Vec::as_slice) {
                None | Some([]) => {
                    let id = next_id(connection)?;
                    self.insert(connection, endpoint_id, id)?;
                    id
                }
                Some(rows) if rows.iter().any(|(_, status)| *status == DeliveryStatus::Pending.code()) => continue,
                Some([(oldest, _), ..]) => {
                    finished.push((*oldest, endpoint_id));
                    continue;
                }
            };
            change.begins(self.organization_id, endpoint_id, DeliveryId(begins));
        }
        let ids: Vec<i64> = finished.iter().map(|(id, _)| *id).collect();
        let locked = lock_finished(connection, self.organization_id, &ids)?;
        for (id, endpoint_id) in finished.into_iter().filter(|(id, _)| locked.contains(id)) {
            change.begins(self.organization_id, endpoint_id, DeliveryId(id));
        }
        begin_rounds(connection, self.organization_id, &locked, self.rounds, self.now)?;
        Ok(live)
    }

    /// Adds a delivery.
    fn insert(&self, connection: &mut AnyConnection, endpoint_id: EndpointId, id: i64) -> StoreResult<()> {
        diesel::insert_into(deliveries::table)
            .values((
                deliveries::id.eq(id),
                deliveries::organization_id.eq(self.organization_id.0),
                deliveries::endpoint_id.eq(endpoint_id.0),
                deliveries::event_id.eq(self.event_id.0),
                deliveries::partition.eq(endpoint_id.partition()),
                deliveries::created_at.eq(self.now.0),
                deliveries::queued_at.eq(self.now.0),
                deliveries::due_at.eq(self.now.0),
                deliveries::attempts_before_round.eq(-self.rounds.begins_at()),
                deliveries::replayed.eq(true),
            ))
            .execute(connection)?;
        Ok(())
    }

    /// The deliveries to these endpoints as they are now, oldest first.
    fn deliveries_now(
        &self,
        connection: &mut AnyConnection,
        endpoints: &BTreeSet<EndpointId>,
    ) -> StoreResult<DeliveriesByEndpoint> {
        let columns = (deliveries::endpoint_id, deliveries::id, deliveries::status);
        let known = endpoints.iter().filter_map(|endpoint_id| self.known.get(endpoint_id)).flatten();
        let known: Vec<i64> = known.map(|(id, _)| *id).collect();
        let mut rows: Vec<(i64, i64, i16)> = Vec::new();
        for ids in known.chunks(IDS_A_STATEMENT) {
            let some = deliveries::table.filter(deliveries::id.eq_any(ids)).select(columns);
            rows.append(&mut some.load(connection)?);
        }
        let since = deliveries::table
            .filter(deliveries::event_id.eq(self.event_id.0))
            .filter(deliveries::id.gt(self.largest))
            .filter(is_replayed())
            .filter(deliveries::organization_id.eq(self.organization_id.0));
        rows.append(&mut since.select(columns).load(connection)?);
        rows.sort_unstable_by_key(|(_, id, _)| *id);
        let mut found = DeliveriesByEndpoint::new();
        for (endpoint_id, id, status) in rows {
            found.entry(EndpointId(endpoint_id)).or_default().push((id, status));
        }
        Ok(found)
    }
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

/// Locks those of some deliveries that are finished, and returns them: another node may just have begun a new round of one.
pub(super) fn lock_finished(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
) -> StoreResult<Vec<i64>> {
    let AnyConnection::Postgres(postgres) = connection else {
        // the transaction keeps everyone else from writing
        return Ok(ids.to_vec());
    };
    let finished = deliveries::table
        .filter(deliveries::id.eq_any(ids))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(deliveries::status.ne(DeliveryStatus::Pending.code()))
        .order(deliveries::id)
        .select(deliveries::id);
    Ok(finished.for_update().load(postgres)?)
}

/// Begins a new round for finished deliveries. A first attempt that is stored in its delivery's row moves to
/// `attempts`, to make room for the next one.
pub(super) fn begin_rounds(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
    rounds: Rounds,
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
                deliveries::attempts_before_round.eq(deliveries::attempt_count - rounds.begins_at()),
                deliveries::attempt_started_at.eq(None::<i64>),
                deliveries::attempt_duration_ms.eq(None::<i64>),
                deliveries::attempt_detail.eq(None::<Vec<u8>>),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// Makes a delivery that waits for a retry due now, with an attempt that its schedule does not count.
pub(super) fn make_due(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: DeliveryId,
    now: UnixMillis,
) -> StoreResult<MadeDeliveryDue> {
    let pending = deliveries::table
        .filter(deliveries::id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(IsPending);
    let waiting = pending.select((
        deliveries::endpoint_id,
        deliveries::due_at,
        deliveries::queued_at,
        deliveries::attempt_count,
        deliveries::attempts_before_round,
    ));
    let found: Option<(i64, i64, i64, i32, i32)> = match connection {
        AnyConnection::Sqlite(sqlite) => waiting.first(sqlite).optional()?,
        // another node may be recording an attempt
        AnyConnection::Postgres(postgres) => waiting.for_update().first(postgres).optional()?,
    };
    let Some((endpoint_id, due_at, queued_at, attempts, not_counted)) = found else {
        return Ok(MadeDeliveryDue::NotPending);
    };
    let endpoint_id = EndpointId(endpoint_id);
    if live(connection, organization_id, &[endpoint_id])?.is_empty() {
        return Ok(MadeDeliveryDue::NotPending);
    }
    if due_at <= now.0 {
        return Ok(MadeDeliveryDue::AlreadyDue);
    }
    diesel::update(pending)
        .set((
            deliveries::due_at.eq(now.0),
            // of an ordered endpoint it keeps its place
            deliveries::queued_at.eq(queued_at.min(now.0)),
            deliveries::attempts_before_round.eq(not_counted_when_hurried(attempts, not_counted)),
        ))
        .execute(connection)?;
    Ok(MadeDeliveryDue::MadeDue { endpoint_id })
}

/// Ids and statuses of an event's deliveries, oldest first.
type DeliveriesByEndpoint = BTreeMap<EndpointId, Vec<(i64, i16)>>;

/// All of an event's deliveries; `None` when there is no such event.
fn deliveries_by_endpoint(
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
