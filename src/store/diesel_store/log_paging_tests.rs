//! Pages of the log with a small bound: followed to the end, they have every row that the filter selects, each
//! once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diesel::connection::SimpleConnection;

use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, AttemptsOf, ListFilter, NewEvent, PageEdge, PageRequest,
    WriteBatch, sqlite,
};
use super::attempt_list;
use super::log_queries;
use super::log_sources::PageBounds;
use super::{commit, endpoints};
use crate::domain::attempt::{AttemptError, AttemptResult, NextStep, Outcome, Response};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, IDS_A_MILLISECOND, OrganizationId, first_id_at};
use crate::domain::labels::EventLabels;
use crate::domain::random::CountingRandomSource;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

const BEGIN: UnixMillis = UnixMillis(1_767_225_600_000);
const ORGANIZATION: OrganizationId = OrganizationId(1);
const STRANGER: OrganizationId = OrganizationId(2);
const ENDPOINTS: [EndpointId; 3] = [EndpointId(11), EndpointId(12), EndpointId(13)];
const TYPES: [&str; 2] = ["call.completed", "user.created"];
const EVENTS: i64 = 60;

/// Several seconds in all: deliveries are looked for a second before and after their event.
fn event_id(number: i64) -> EventId {
    EventId(first_id_at(BEGIN) + number * 100 * IDS_A_MILLISECOND)
}

/// Tags of one event in three, one of them rare.
fn tags(number: i64) -> Vec<String> {
    let tags = [(number % 3 == 1, "even"), (number % 17 == 1, "rare")];
    tags.into_iter().filter(|(has, _)| *has).map(|(_, tag)| tag.to_owned()).collect()
}

fn event(number: i64) -> NewEvent {
    let EventId(first) = event_id(number);
    let at = UnixMillis(BEGIN.0 + number * 100);
    let event = Event {
        id: EventId(first),
        organization_id: ORGANIZATION,
        event_type: TYPES[usize::from(number % 7 == 3)].to_owned(),
        occurred_at: at,
        accepted_at: at,
        body: Bytes::from_static(b"{}"),
        trace: None,
    };
    let targets = ENDPOINTS.iter().enumerate().filter(|(place, _)| (number >> place) & 1 == 0 || *place == 0);
    let deliveries =
        targets.map(|(place, &endpoint_id)| (DeliveryId(first + 1 + place as i64), endpoint_id)).collect();
    // a channel is no tag
    let labels =
        EventLabels { channels: vec![String::from("rare")], tags: tags(number), ..EventLabels::default() };
    let labels = Some(Arc::new(labels)).filter(|labels| !labels.tags.is_empty());
    NewEvent { event: Arc::new(event), deliveries, labels, idempotency: None, batch: None }
}

/// Outcomes of all kinds, in no order that the indexes know; none for some deliveries.
fn outcome(new: &NewEvent, place: usize, number: i64) -> Option<Outcome> {
    let (delivery_id, endpoint_id) = new.deliveries[place];
    let at = new.event.accepted_at;
    let (answer, next) = match (number * 5 + place as i64 * 3) % 11 {
        0 => (Ok(503), NextStep::Failed),
        1 => (Ok(500), NextStep::RetryAt(at)),
        2 => (Ok(404), NextStep::Failed),
        3 => (Err(AttemptError::Timeout), NextStep::Failed),
        4 => (Err(AttemptError::Timeout), NextStep::RetryAt(at)),
        5 => return None,
        6 => (Ok(204), NextStep::Succeeded),
        _ => (Ok(200), NextStep::Succeeded),
    };
    let response = |status| Response::new(status, Vec::new(), Bytes::new());
    Some(Outcome {
        organization_id: ORGANIZATION,
        endpoint_id,
        delivery_id,
        number: 1,
        started_at: at,
        finished_at: at,
        ordered: false,
        request: crate::domain::sent_request::SentRequest::default(),
        result: AttemptResult { response: answer.map(response), duration: Duration::ZERO },
        next,
    })
}

fn filled(connection: &mut AnyConnection) {
    let AnyConnection::Sqlite(sqlite) = &mut *connection else { unreachable!() };
    for EndpointId(id) in ENDPOINTS {
        let row = format!("({id}, 1, '', 1, '[]', 1, '', '[]', 1, 0, x'00', 0, 0, 1)");
        let columns = "id, organization_id, url, active, events, timeout_ms, retry, retry_on, max_in_flight, ordered, \
                       secret, created_at, updated_at, version";
        sqlite.batch_execute(&format!("INSERT INTO endpoints ({columns}) VALUES {row}")).unwrap();
    }
    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    let cipher = Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).unwrap();
    for number in 0..EVENTS {
        let new = event(number);
        let outcomes = (0..new.deliveries.len()).filter_map(|place| outcome(&new, place, number)).collect();
        let batch = WriteBatch { events: vec![new], outcomes, ..WriteBatch::default() };
        commit::commit(
            connection,
            &batch,
            commit::Commit { cipher: &cipher, lead: None, fence: None, now: BEGIN },
        )
        .unwrap();
        if number == EVENTS / 2 {
            endpoints::cancel_pending(connection, ORGANIZATION, ENDPOINTS[1], BEGIN).unwrap();
        }
    }
    let AnyConnection::Sqlite(sqlite) = connection else { unreachable!() };
    // as replays are: in no event's range
    sqlite
        .batch_execute("UPDATE deliveries SET replayed = 1, id = id + 50 WHERE id % 5 = 0 AND endpoint_id = 13")
        .unwrap();
}

fn filters() -> Vec<DeliveryFilter> {
    let mut filters = Vec::new();
    for endpoint_id in [None, Some(ENDPOINTS[0]), Some(ENDPOINTS[1]), Some(ENDPOINTS[2])] {
        for event_type in [None, Some(TYPES[0]), Some(TYPES[1])] {
            for status in DeliveryStatus::ALL.into_iter().map(Some).chain([None]) {
                for response_code in [None, Some((503, 503)), Some((204, 204)), Some((200, 299)), Some((400, 599))]
                {
                    for from in [None, Some(UnixMillis(BEGIN.0 + 2_550))] {
                        let event_type = event_type.map(str::to_owned);
                        let to = from.map(|from| UnixMillis(from.0 + 2_000));
                        let filter = DeliveryFilter {
                            endpoint_id,
                            event_type,
                            status,
                            response_code,
                            from,
                            to,
                            ..DeliveryFilter::default()
                        };
                        for tag in ["even", "rare"] {
                            filters.push(DeliveryFilter { tag: Some(tag.to_owned()), ..filter.clone() });
                        }
                        for number in [35, 41] {
                            filters.push(DeliveryFilter { event_id: Some(event_id(number)), ..filter.clone() });
                        }
                        let (tag, event_id) = (Some(String::from("rare")), Some(event_id(35)));
                        filters.push(DeliveryFilter { tag, event_id, ..filter.clone() });
                        filters.push(filter);
                    }
                }
            }
        }
    }
    filters
}

/// All pages one after the other, and how many were not full for another reason than the end.
fn follow(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    bounds: PageBounds,
) -> (Vec<DeliveryRecord>, usize) {
    let (mut rows, mut cut) = (Vec::new(), 0);
    let mut page = PageRequest { before_id: None, limit: 4 };
    loop {
        let found = log_queries::list(connection, &[], organization_id, filter, page, bounds).unwrap();
        let full = found.rows.len() == page.limit;
        assert!(found.next_before.is_none() || !full, "a full page continues from its last row");
        cut += usize::from(found.next_before.is_some());
        let next = found.next_before.or_else(|| found.rows.last().filter(|_| full).map(|row| row.id.0));
        rows.extend(found.rows);
        let Some(next) = next else { return (rows, cut) };
        assert!(page.before_id.is_none_or(|before| next < before), "each page continues below the one before");
        page.before_id = Some(next);
    }
}

fn asked_for(filter: &DeliveryFilter, row: &DeliveryRecord) -> bool {
    filter.endpoint_id.is_none_or(|wanted| row.endpoint_id == wanted)
        && filter.event_type.as_ref().is_none_or(|wanted| row.event_type == *wanted)
        && filter.status.is_none_or(|wanted| row.status == wanted)
        && filter.response_code.is_none_or(|(low, high)| row.response_code.is_some_and(|c| c >= low && c <= high))
        && filter.event_id.is_none_or(|wanted| row.event_id == wanted)
        && filter.tag.as_ref().is_none_or(|wanted| {
            (0..EVENTS).any(|number| event_id(number) == row.event_id && tags(number).contains(wanted))
        })
        && filter.from.is_none_or(|from| row.created_at >= from)
        && filter.to.is_none_or(|to| row.created_at < to)
}

#[test]
fn pages_that_look_at_little_have_every_row_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = sqlite::open_for_plans(folder.path().join("bounded.db")).unwrap();
    filled(&mut connection);
    let bounds = |rows, can_sort_pending| PageBounds { rows, can_sort_pending };
    let unbounded = bounds(usize::MAX, true);
    let (all, _) = follow(&mut connection, ORGANIZATION, &DeliveryFilter::default(), unbounded);
    assert!(all.len() > 100 && all.is_sorted_by(|newer, older| newer.id > older.id));
    let mut cut_pages = 0;
    for filter in filters() {
        let expected: Vec<&DeliveryRecord> = all.iter().filter(|row| asked_for(&filter, row)).collect();
        for (bound, can_sort) in
            [(3, true), (3, false), (17, true), (17, false), (100_000, true), (100_000, false)]
        {
            let (rows, cut) = follow(&mut connection, ORGANIZATION, &filter, bounds(bound, can_sort));
            assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{filter:?}, {bound}, {can_sort}");
            cut_pages += if bound == 3 && can_sort { cut } else { 0 };
        }
        let of_stranger = follow(&mut connection, STRANGER, &filter, bounds(3, false));
        assert_eq!(
            of_stranger,
            (Vec::new(), 0),
            "and another organization learns nothing about where rows are: {filter:?}"
        );
    }
    assert!(cut_pages > 500, "{cut_pages}");
}

/// All pages of a list of attempts, in one direction.
fn follow_attempts(
    connection: &mut AnyConnection,
    filter: &AttemptFilter,
    is_backwards: bool,
    bound: usize,
) -> Vec<AttemptPosition> {
    let begin = AttemptPosition { delivery_id: DeliveryId(0), number: 0 };
    let mut edge = if is_backwards { PageEdge::Newest } else { PageEdge::NewerThan(begin) };
    let mut rows: Vec<AttemptPosition> = Vec::new();
    loop {
        let page = AttemptPageRequest { edge, limit: 4, with_response: false };
        let found = attempt_list::list(connection, &[], ORGANIZATION, filter, page, bound).unwrap();
        assert!(found.rows.len() <= 4);
        let own = found.rows.iter().map(|row| row.at);
        let place = if is_backwards { rows.len() } else { 0 };
        rows.splice(place..place, own);
        let Some(next) = found.next else { return rows };
        let goes_on = match edge {
            PageEdge::Newest => true,
            PageEdge::OlderThan(at) => next < at,
            PageEdge::NewerThan(at) => next > at,
        };
        assert!(goes_on, "each page continues behind the one before");
        edge = if is_backwards { PageEdge::OlderThan(next) } else { PageEdge::NewerThan(next) };
    }
}

#[test]
fn pages_of_attempts_that_look_at_little_have_every_row_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = sqlite::open_for_plans(folder.path().join("attempts.db")).unwrap();
    filled(&mut connection);
    let mut most = 0;
    let of_endpoints = ENDPOINTS.map(AttemptsOf::Endpoint);
    let of_events = [35, 41].map(|number| AttemptsOf::Event(event_id(number), None));
    for of in of_endpoints.into_iter().chain(of_events) {
        for (event_types, succeeded, from) in [
            (vec![], None, None),
            (vec![TYPES[1].to_owned()], None, None),
            (vec![], Some(true), Some(UnixMillis(BEGIN.0 + 2_550))),
            (vec![TYPES[0].to_owned(), TYPES[1].to_owned()], Some(false), None),
        ] {
            let deliveries = ListFilter { event_types, from, ..ListFilter::all(of) };
            let filter = AttemptFilter { deliveries, succeeded, code_class: None };
            let all = follow_attempts(&mut connection, &filter, true, usize::MAX);
            assert!(all.is_sorted_by(|newer, older| newer > older));
            most = most.max(all.len());
            for bound in [1, 3, 17, usize::MAX] {
                for is_backwards in [true, false] {
                    let found = follow_attempts(&mut connection, &filter, is_backwards, bound);
                    assert_eq!(found, all, "{filter:?}, {bound}, {is_backwards}");
                }
            }
        }
    }
    assert!(most > 40, "{most}");
}
