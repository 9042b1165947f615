//! Pending deliveries of an endpoint, in queue order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::event_cache::EventCache;
use super::super::models::StoredEventRow;
use super::super::schema::{deliveries, events};
use super::super::{DuePage, DueRequest, StoreResult};
use super::endpoints::{IsBehind, IsPending};
use super::sql_limit;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

diesel::define_sql_function! {
    /// Exists in both databases; reads the length without the bytes.
    fn octet_length(bytes: diesel::sql_types::Binary) -> diesel::sql_types::Integer;
}

/// Events per query: below the maximum number of parameters of the database.
const EVENTS_A_QUERY: usize = 1_000;

/// A pending delivery without its event.
#[derive(Queryable)]
struct Candidate {
    id: i64,
    event_id: i64,
    attempt_count: i32,
    attempts_before_round: i32,
    queued_at: i64,
    due_at: i64,
}

type EventsById = HashMap<EventId, Arc<Event>>;

/// Reads one page of an endpoint's queue.
pub(super) struct DuePageReader<'a> {
    pub(super) organization_id: OrganizationId,
    pub(super) endpoint_id: EndpointId,
    pub(super) request: &'a DueRequest,
    pub(super) recent: &'a EventCache,
}

impl DuePageReader<'_> {
    pub(super) fn read(&self, connection: &mut AnyConnection) -> StoreResult<DuePage> {
        match connection {
            // one transaction for all its statements: what one has read, the next finds in memory
            AnyConnection::Sqlite(_) => connection.transaction(|connection| self.read_parts(connection)),
            // here a transaction would be two more round trips
            AnyConnection::Postgres(_) => self.read_parts(connection),
        }
    }

    fn read_parts(&self, connection: &mut AnyConnection) -> StoreResult<DuePage> {
        let version = self.recent.version();
        let candidates = self.candidates(connection)?;
        let next_due_at: Option<i64> = deliveries::table
            .filter(deliveries::endpoint_id.eq(self.endpoint_id.0))
            .filter(deliveries::organization_id.eq(self.organization_id.0))
            .filter(IsPending)
            .filter(deliveries::queued_at.gt(self.request.now.0))
            .order(deliveries::queued_at)
            .select(deliveries::queued_at)
            .first(connection)
            .optional()?;
        let ids = candidates.iter().map(|candidate| EventId(candidate.event_id));
        let recent = self.recent.find(self.organization_id, ids);
        let (chosen, more) = self.choose(connection, candidates, &recent)?;
        let events = self.events(connection, &chosen, recent, version)?;
        let deliveries: Vec<QueuedDelivery> = chosen
            .into_iter()
            .filter_map(|candidate| {
                // an event can only be missing if its organization was deleted between the two reads, and without a body if that
                // was erased between them
                let event = events.get(&EventId(candidate.event_id)).filter(|event| !event.body.is_empty());
                event.map(|event| QueuedDelivery {
                    id: DeliveryId(candidate.id),
                    attempts_made: candidate.attempt_count.max(0) as u32,
                    attempts_not_counted: candidate.attempts_before_round,
                    queued_at: UnixMillis(candidate.queued_at),
                    due_at: UnixMillis(candidate.due_at),
                    event: Arc::clone(event),
                    follow_up: None,
                })
            })
            .collect();
        let end = self.request.end(&deliveries, more);
        Ok(DuePage { deliveries, more, next_due_at: next_due_at.map(UnixMillis), end })
    }

    /// Deliveries that are due and not known, in queue order, one more than may be chosen: it shows whether
    /// there are more.
    fn candidates(&self, connection: &mut AnyConnection) -> StoreResult<Vec<Candidate>> {
        let request = self.request;
        let limit = request.max_deliveries.saturating_add(request.known.len()).saturating_add(1);
        let mut candidates: Vec<Candidate> = deliveries::table
            .filter(deliveries::endpoint_id.eq(self.endpoint_id.0))
            .filter(deliveries::organization_id.eq(self.organization_id.0))
            .filter(IsPending)
            .filter(deliveries::queued_at.le(request.now.0))
            .filter(IsBehind::position(request.after))
            .order((deliveries::queued_at, deliveries::id))
            .limit(sql_limit(limit))
            .select((
                deliveries::id,
                deliveries::event_id,
                deliveries::attempt_count,
                deliveries::attempts_before_round,
                deliveries::queued_at,
                deliveries::due_at,
            ))
            .load(connection)?;
        let known: HashSet<i64> = request.known.iter().map(|id| id.0).collect();
        candidates.retain(|candidate| !known.contains(&candidate.id));
        candidates.truncate(request.max_deliveries.saturating_add(1));
        Ok(candidates)
    }

    /// Cuts the page by number and by bytes; a body that several deliveries share counts once.
    fn choose(
        &self,
        connection: &mut AnyConnection,
        candidates: Vec<Candidate>,
        recent: &EventsById,
    ) -> StoreResult<(Vec<Candidate>, bool)> {
        let unread = candidates.iter().map(|candidate| candidate.event_id);
        let unread = distinct(unread.filter(|id| !recent.contains_key(&EventId(*id))));
        let lengths = body_lengths(connection, self.organization_id, &unread)?;
        let mut chosen = Vec::new();
        let mut held = HashSet::new();
        let mut bytes = 0usize;
        for candidate in candidates {
            let id = candidate.event_id;
            let recent = recent.get(&EventId(id)).map(|event| event.body.len());
            // a missing event is left out later, when it is not found
            let length = recent.or_else(|| lengths.get(&id).copied()).unwrap_or(0);
            let added = if held.contains(&id) { 0 } else { length };
            let too_large = !self.request.has_room_for(chosen.len(), bytes, added);
            if chosen.len() >= self.request.max_deliveries || too_large {
                return Ok((chosen, true));
            }
            bytes = bytes.saturating_add(added);
            held.insert(id);
            chosen.push(candidate);
        }
        Ok((chosen, false))
    }

    /// The events of the chosen deliveries. Those that are not cached are read, and cached for other endpoints.
    fn events(
        &self,
        connection: &mut AnyConnection,
        chosen: &[Candidate],
        recent: EventsById,
        version: u64,
    ) -> StoreResult<EventsById> {
        let unread = chosen.iter().map(|candidate| candidate.event_id);
        let unread = distinct(unread.filter(|id| !recent.contains_key(&EventId(*id))));
        let read: Vec<Arc<Event>> = read_events(connection, self.organization_id, &unread)?
            .into_iter()
            .map(|row| Arc::new(Event::from(row)))
            .collect();
        self.recent.keep(&read, version);
        let mut events = recent;
        events.extend(read.into_iter().map(|event| (event.id, event)));
        Ok(events)
    }
}

fn distinct(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut seen = HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// The lengths of bodies. On SQLite each is queried separately: a statement for a list of ids would be compiled
/// again for every length of the list, which takes longer than finding an event.
fn body_lengths(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
) -> StoreResult<HashMap<i64, usize>> {
    let mut lengths = HashMap::with_capacity(ids.len());
    let owned = events::table.filter(events::organization_id.eq(organization_id.0));
    let mut add = |(id, length): (i64, i32)| lengths.insert(id, length.max(0) as usize);
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            for id in ids {
                let one = owned.filter(events::id.eq(*id)).select((events::id, octet_length(events::body)));
                one.get_result(sqlite).optional()?.map(&mut add);
            }
        }
        AnyConnection::Postgres(postgres) => {
            for ids in ids.chunks(EVENTS_A_QUERY) {
                let some = owned.filter(events::id.eq_any(ids));
                let rows: Vec<(i64, i32)> =
                    some.select((events::id, octet_length(events::body))).load(postgres)?;
                rows.into_iter().for_each(|row| _ = add(row));
            }
        }
    }
    Ok(lengths)
}

fn read_events(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
) -> StoreResult<Vec<StoredEventRow>> {
    let mut rows = Vec::with_capacity(ids.len());
    let owned = events::table.filter(events::organization_id.eq(organization_id.0));
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            for id in ids {
                let one = owned.filter(events::id.eq(*id)).select(StoredEventRow::as_select());
                rows.extend(one.get_result(sqlite).optional()?);
            }
        }
        AnyConnection::Postgres(postgres) => {
            for ids in ids.chunks(EVENTS_A_QUERY) {
                let some = owned.filter(events::id.eq_any(ids)).select(StoredEventRow::as_select());
                rows.append(&mut some.load(postgres)?);
            }
        }
    }
    Ok(rows)
}
