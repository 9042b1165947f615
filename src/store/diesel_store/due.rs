//! What is pending for an endpoint, in queue order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::EventRow;
use super::super::schema::{deliveries, events};
use super::super::{DuePage, DueRequest, StoreResult};
use super::endpoints::is_pending;
use super::sql_limit;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

diesel::define_sql_function! {
    /// The same in both databases; reads the length without the bytes.
    fn octet_length(bytes: diesel::sql_types::Binary) -> diesel::sql_types::Integer;
}

/// How many events one query reads: below what either database takes as parameters.
const EVENTS_A_QUERY: usize = 1_000;

/// A pending delivery without its body.
#[derive(Queryable)]
struct Candidate {
    id: i64,
    event_id: i64,
    attempt_count: i32,
    attempts_before_round: i32,
    due_at: i64,
    body_bytes: i32,
}

pub(super) fn page(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    request: &DueRequest,
) -> StoreResult<DuePage> {
    // one more than fits tells whether there are more
    let limit = request.max_deliveries.saturating_add(request.known.len()).saturating_add(1);
    let candidates: Vec<Candidate> = deliveries::table
        .inner_join(events::table.on(events::id.eq(deliveries::event_id)))
        .filter(deliveries::endpoint_id.eq(endpoint_id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(is_pending())
        .filter(deliveries::queued_at.le(request.now.0))
        .order((deliveries::queued_at, deliveries::id))
        .limit(sql_limit(limit))
        .select((
            deliveries::id,
            deliveries::event_id,
            deliveries::attempt_count,
            deliveries::attempts_before_round,
            deliveries::due_at,
            octet_length(events::body),
        ))
        .load(connection)?;
    let next_due_at: Option<i64> = deliveries::table
        .filter(deliveries::endpoint_id.eq(endpoint_id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(is_pending())
        .filter(deliveries::queued_at.gt(request.now.0))
        .order(deliveries::queued_at)
        .select(deliveries::queued_at)
        .first(connection)
        .optional()?;
    let (chosen, more) = choose(candidates, request);
    let bodies = read_events(connection, organization_id, &chosen)?;
    let deliveries = chosen
        .into_iter()
        .filter_map(|candidate| {
            // an event is only missing when its organization was deleted between the two reads
            bodies.get(&candidate.event_id).map(|event| QueuedDelivery {
                id: DeliveryId(candidate.id),
                attempts_made: candidate.attempt_count.max(0) as u32,
                attempts_in_earlier_rounds: candidate.attempts_before_round.max(0) as u32,
                due_at: UnixMillis(candidate.due_at),
                event: Arc::clone(event),
            })
        })
        .collect();
    Ok(DuePage { deliveries, more, next_due_at: next_due_at.map(UnixMillis) })
}

/// Cuts the page by number and by bytes; a body that several deliveries share counts once.
fn choose(candidates: Vec<Candidate>, request: &DueRequest) -> (Vec<Candidate>, bool) {
    let known: HashSet<i64> = request.known.iter().map(|id| id.0).collect();
    let mut chosen = Vec::new();
    let mut held = HashSet::new();
    let mut bytes = 0usize;
    for candidate in candidates.into_iter().filter(|candidate| !known.contains(&candidate.id)) {
        let added = if held.contains(&candidate.event_id) { 0 } else { candidate.body_bytes.max(0) as usize };
        let too_large = !request.has_room_for(chosen.len(), bytes, added);
        if chosen.len() >= request.max_deliveries || too_large {
            return (chosen, true);
        }
        bytes = bytes.saturating_add(added);
        held.insert(candidate.event_id);
        chosen.push(candidate);
    }
    (chosen, false)
}

fn read_events(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    chosen: &[Candidate],
) -> StoreResult<HashMap<i64, Arc<Event>>> {
    let distinct: HashSet<i64> = chosen.iter().map(|candidate| candidate.event_id).collect();
    let distinct: Vec<i64> = distinct.into_iter().collect();
    let mut found = HashMap::with_capacity(distinct.len());
    for ids in distinct.chunks(EVENTS_A_QUERY) {
        let rows: Vec<EventRow> = events::table
            .filter(events::id.eq_any(ids))
            .filter(events::organization_id.eq(organization_id.0))
            .select(EventRow::as_select())
            .load(connection)?;
        found.extend(rows.into_iter().map(|row| (row.id, Arc::new(Event::from(row)))));
    }
    Ok(found)
}
