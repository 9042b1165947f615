//! An organization's events in the order of their ids, read in both directions and a bounded number at a time.
//!
//! Filters are applied to what was read, so a list of rare events ends early and says where it goes on.

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::StoreResult;
use super::super::attempts::{EdgePage, EventListFilter, EventPageRequest, ListedEvent, PageEdge};
use super::super::connection::AnyConnection;
use super::super::schema::events;
use super::events_by::EventsBy;
use super::id_leads::IdLead;
use super::query::{BoundValue, DynamicQuery};
use super::time_ranges::{IdRange, Period, id_ranges};
use super::{event_labels, sql_limit};
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Events in one query. Smaller: a page takes more queries. Larger: one with a filter reads more than it shows.
const AT_ONCE: usize = 250;
/// Events that one page may look at. Smaller: lists of rare events come in more pages. Larger: a page takes longer.
const LOOKED_AT: usize = 5_000;
/// A page with this many bytes of bodies ends. Smaller: pages of large events have few rows. Larger: a page holds more memory.
const BODY_BYTES: usize = 4 * 1024 * 1024;

#[derive(QueryableByName)]
struct EventHead {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    event_type: String,
    #[diesel(sql_type = BigInt)]
    accepted_at: i64,
}

/// A page of events.
pub(super) fn list(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &EventListFilter,
    page: EventPageRequest,
) -> StoreResult<EdgePage<ListedEvent, EventId>> {
    let mut ranges = id_ranges(connection, runs, Period { from: filter.from, to: filter.to })?;
    for range in &mut ranges {
        match page.edge {
            PageEdge::Newest => {}
            PageEdge::OlderThan(id) => range.before = range.before.min(id.0),
            PageEdge::NewerThan(id) => range.from = range.from.max(id.0.saturating_add(1)),
        }
    }
    let is_backwards = page.edge.is_backwards();
    if is_backwards {
        ranges.reverse();
    }
    ranges.retain(|range| range.from < range.before);
    let (mut found, mut looked_at, mut budget) = (Vec::new(), None, LOOKED_AT);
    // one more than the page has: it shows whether there are more
    while let (Some(&range), true, true) = (ranges.first(), found.len() <= page.limit, budget > 0) {
        let read: Vec<EventHead> = build(connection, organization_id, range, is_backwards).load(connection)?;
        budget = budget.saturating_sub(read.len());
        match read.last() {
            Some(last) if read.len() == AT_ONCE => match is_backwards {
                true => ranges[0].before = last.id,
                false => ranges[0].from = last.id + 1,
            },
            _ => drop(ranges.remove(0)),
        }
        looked_at = read.last().map(|last| EventId(last.id)).or(looked_at);
        let ids: Vec<i64> = read.iter().map(|head| head.id).collect();
        let mut labels = event_labels::read(connection, organization_id, &ids)?;
        let listed = read.into_iter().map(|head| ListedEvent {
            labels: labels.remove(&EventId(head.id)).unwrap_or_default(),
            id: EventId(head.id),
            event_type: head.event_type,
            accepted_at: UnixMillis(head.accepted_at),
            body: None,
        });
        found.extend(listed.filter(|event| filter.selects(&event.event_type, &event.labels)));
    }
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let mut next = match has_more {
        true => found.last().map(|last| last.id),
        false => looked_at.filter(|_| !ranges.is_empty()),
    };
    if page.with_body && add_bodies(connection, organization_id, &mut found)? {
        next = found.last().map(|last| last.id);
    }
    if !is_backwards {
        found.reverse();
    }
    Ok(EdgePage { rows: found, next })
}

/// The query for the next events of a range.
fn build(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    range: IdRange,
    is_backwards: bool,
) -> DynamicQuery {
    let by = EventsBy::Organization;
    let mut query = DynamicQuery::new("SELECT e.id, e.event_type, e.accepted_at FROM ");
    query.sql.push_str(&by.tables(connection));
    query.sql.push_str(" WHERE true");
    by.restrict(&mut query, organization_id);
    query.and("e.id < {}", BoundValue::Number(range.before));
    query.and("e.id >= {}", BoundValue::Number(range.from));
    range.times.restrict(&mut query, "e.id", "e.accepted_at");
    let direction = if is_backwards { " DESC" } else { "" };
    query.push(&format!(" ORDER BY e.id{direction} LIMIT {{}}"), BoundValue::Number(sql_limit(AT_ONCE)));
    query
}

/// Adds bodies one after the other; returns whether the page had to end early.
fn add_bodies(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    found: &mut Vec<ListedEvent>,
) -> StoreResult<bool> {
    let mut bytes = 0;
    for place in 0..found.len() {
        let row = events::table
            .filter(events::id.eq(found[place].id.0))
            .filter(events::organization_id.eq(organization_id.0));
        let body: Option<Vec<u8>> = row.select(events::body).first(connection).optional()?;
        let body = body.unwrap_or_default();
        bytes += body.len();
        found[place].body = Some(Bytes::from(body));
        if bytes > BODY_BYTES && place + 1 < found.len() {
            found.truncate(place + 1);
            return Ok(true);
        }
    }
    Ok(false)
}
