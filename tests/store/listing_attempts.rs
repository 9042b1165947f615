//! Attempts as one list, and deliveries with their events, read in both directions.

use std::sync::Arc;

use ringback::domain::attempt::{AttemptError, NextStep};
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::domain::round::Rounds;
use ringback::store::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, AttemptsOf, CodeClass, EdgePage, ListFilter,
    ListedAttempt, Message, MessagePageRequest, NewEvent, PageEdge, ReplayTargets,
};

use crate::fixture::{Fixture, URL, at, outcome, unanswered};

on_every_store!(
    attempts_of_an_endpoint_are_newest_first_wherever_they_are_stored,
    attempts_of_an_event_are_those_of_all_its_deliveries,
    a_list_of_attempts_is_the_same_in_pages_of_any_size_and_in_both_directions,
    attempts_are_filtered_by_each_field,
    a_list_of_attempts_goes_on_where_a_page_has_looked_at_enough,
    the_attempt_of_the_last_manual_round_is_marked,
    attempts_of_a_deleted_endpoint_stay_without_a_url,
    another_organization_sees_no_attempts_and_no_messages,
    messages_are_filtered_and_read_in_both_directions,
    a_page_of_large_bodies_is_cut,
);

/// An organization with two endpoints, and events with all kinds of attempts.
struct World {
    organization_id: OrganizationId,
    endpoints: [EndpointId; 2],
    events: Vec<NewEvent>,
}

fn world(f: &Fixture) -> World {
    let organization_id = f.organization();
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let mut events = Vec::new();
    for second in 0..4 {
        let event_type = if second == 2 { "user.created" } else { "call.completed" };
        let mut new = f.new_event_of(event_type, organization_id, &endpoints, at(second));
        let channels = if second % 2 == 0 { vec![String::from("even")] } else { Vec::new() };
        let tags = vec![String::from("even")];
        new.labels = Some(Arc::new(EventLabels { channels, tags, ..EventLabels::default() }));
        f.commit_events(vec![new.clone()], at(second));
        events.push(new);
    }
    let world = World { organization_id, endpoints, events };
    let of = |event: usize, place: usize, number, status, next| {
        let (id, endpoint_id) = world.events[event].deliveries[place];
        outcome(organization_id, endpoint_id, id, number, status, next)
    };
    let later = NextStep::RetryAt(at(60));
    f.record(vec![of(0, 0, 1, 200, NextStep::Succeeded), of(0, 1, 1, 404, NextStep::Failed)]);
    f.record(vec![of(1, 0, 1, 500, later)]);
    f.record(vec![unanswered(of(1, 0, 2, 0, later), AttemptError::Timeout)]);
    f.record(vec![of(1, 0, 3, 204, NextStep::Succeeded)]);
    f.record(vec![of(2, 0, 1, 302, later), of(2, 1, 1, 201, NextStep::Succeeded)]);
    // the last event was not attempted yet
    world
}

impl World {
    fn delivery(&self, event: usize, place: usize) -> DeliveryId {
        self.events[event].deliveries[place].0
    }

    fn event(&self, event: usize) -> EventId {
        self.events[event].event.id
    }

    fn of_endpoint(&self, place: usize) -> AttemptFilter {
        all(AttemptsOf::Endpoint(self.endpoints[place]))
    }
}

fn all(of: AttemptsOf) -> AttemptFilter {
    AttemptFilter { deliveries: ListFilter::all(of), succeeded: None, code_class: None }
}

fn page(
    f: &Fixture,
    organization_id: OrganizationId,
    filter: &AttemptFilter,
    edge: PageEdge<AttemptPosition>,
    limit: usize,
) -> EdgePage<ListedAttempt, AttemptPosition> {
    let request = AttemptPageRequest { edge, limit, with_response: true };
    f.store.attempts(organization_id, filter, request).unwrap()
}

fn whole(f: &Fixture, organization_id: OrganizationId, filter: &AttemptFilter) -> Vec<ListedAttempt> {
    let page = page(f, organization_id, filter, PageEdge::Newest, 1_000);
    assert_eq!(page.next, None);
    page.rows
}

/// Delivery, number and code of each.
fn short(rows: &[ListedAttempt]) -> Vec<(DeliveryId, u32, Option<u16>)> {
    rows.iter().map(|row| (row.at.delivery_id, row.at.number, row.response_code)).collect()
}

fn attempts_of_an_endpoint_are_newest_first_wherever_they_are_stored(f: &Fixture) {
    let world = world(f);
    let rows = whole(f, world.organization_id, &world.of_endpoint(0));
    let [first, second, third] = [0, 1, 2].map(|event| world.delivery(event, 0));
    let expected = [
        (third, 1, Some(302)),
        (second, 3, Some(204)),
        (second, 2, None),
        (second, 1, Some(500)),
        (first, 1, Some(200)),
    ];
    assert_eq!(short(&rows), expected);
    assert_eq!((rows[2].error.as_deref(), rows[2].duration_ms), (Some("timeout"), 10_000));
    assert_eq!((rows[2].response_body.as_deref(), rows[2].started_at), (None, at(20)));
    for (row, event) in rows.iter().zip([2, 1, 1, 1, 0]) {
        let new = &world.events[event].event;
        assert_eq!((row.event_id, &row.event_type), (new.id, &new.event_type));
        assert_eq!((row.endpoint_id, row.url.as_deref()), (world.endpoints[0], Some(URL)));
        assert!(!row.is_manual);
        assert!(row.response_code.is_none() || row.response_body.as_deref() == Some("café \u{fffd}"), "{row:?}");
    }
    assert_eq!((rows[4].error.as_deref(), rows[4].duration_ms, rows[4].started_at), (None, 37, at(10)));
    let request = AttemptPageRequest { edge: PageEdge::Newest, limit: 9, with_response: false };
    let bare = f.store.attempts(world.organization_id, &world.of_endpoint(0), request).unwrap();
    assert!(bare.rows.iter().all(|row| row.response_body.is_none()));
    assert_eq!(short(&bare.rows), expected);
}

fn attempts_of_an_event_are_those_of_all_its_deliveries(f: &Fixture) {
    let world = world(f);
    let added = f.endpoint(world.organization_id);
    let targets = ReplayTargets::Endpoints(vec![added]);
    let mut next_id = || f.id_at(at(9));
    let event_id = world.event(0);
    f.store
        .replay_event(world.organization_id, event_id, &targets, Rounds::Schedule, &mut next_id, at(9))
        .unwrap();
    let id = f.due(world.organization_id, added, at(9))[0];
    f.record(vec![outcome(world.organization_id, added, id, 1, 503, NextStep::Failed)]);
    let rows = whole(f, world.organization_id, &all(AttemptsOf::Event(event_id, None)));
    let (first, second) = (world.delivery(0, 0), world.delivery(0, 1));
    assert_eq!(short(&rows), [(id, 1, Some(503)), (second, 1, Some(404)), (first, 1, Some(200))]);
    for (endpoint_id, expected) in [(added, id), (world.endpoints[1], second)] {
        let rows = whole(f, world.organization_id, &all(AttemptsOf::Event(event_id, Some(endpoint_id))));
        assert_eq!(rows.iter().map(|row| row.at.delivery_id).collect::<Vec<_>>(), [expected]);
    }
    assert!(whole(f, world.organization_id, &all(AttemptsOf::Event(world.event(3), None))).is_empty());
}

fn a_list_of_attempts_is_the_same_in_pages_of_any_size_and_in_both_directions(f: &Fixture) {
    let world = world(f);
    let filters = [
        world.of_endpoint(0),
        all(AttemptsOf::Event(world.event(1), None)),
        AttemptFilter { succeeded: Some(true), ..world.of_endpoint(0) },
    ];
    for filter in filters {
        let rows = whole(f, world.organization_id, &filter);
        for limit in 1..=rows.len() + 1 {
            let (mut older, mut edge) = (Vec::new(), PageEdge::Newest);
            loop {
                let page = page(f, world.organization_id, &filter, edge, limit);
                assert!(page.rows.len() == limit || page.next.is_none());
                older.extend(page.rows);
                let Some(next) = page.next else { break };
                edge = PageEdge::OlderThan(next);
            }
            assert_eq!(older, rows, "{limit}");
            let oldest = AttemptPosition { delivery_id: DeliveryId(0), number: 0 };
            let (mut newer, mut edge) = (Vec::new(), PageEdge::NewerThan(oldest));
            loop {
                let mut page = page(f, world.organization_id, &filter, edge, limit);
                page.rows.append(&mut newer);
                newer = page.rows;
                let Some(next) = page.next else { break };
                edge = PageEdge::NewerThan(next);
            }
            assert_eq!(newer, rows, "{limit}");
        }
        // around each attempt
        for (place, row) in rows.iter().enumerate() {
            let older = page(f, world.organization_id, &filter, PageEdge::OlderThan(row.at), 2).rows;
            assert_eq!(older, rows.iter().skip(place + 1).take(2).cloned().collect::<Vec<_>>());
            let newer = page(f, world.organization_id, &filter, PageEdge::NewerThan(row.at), 2).rows;
            assert_eq!(newer, rows[place.saturating_sub(2)..place].to_vec());
        }
    }
}

fn attempts_are_filtered_by_each_field(f: &Fixture) {
    let world = world(f);
    let codes = |filter: AttemptFilter| {
        let rows = whole(f, world.organization_id, &filter);
        rows.iter().map(|row| row.response_code.unwrap_or(0)).collect::<Vec<_>>()
    };
    let of = |succeeded, code_class| AttemptFilter { succeeded, code_class, ..world.of_endpoint(0) };
    assert_eq!(codes(of(Some(true), None)), [204, 200]);
    assert_eq!(codes(of(Some(false), None)), [302, 0, 500]);
    assert_eq!(codes(of(None, Some(CodeClass::NoResponse))), [0]);
    assert_eq!(codes(of(None, Some(CodeClass::Digit(3)))), [302]);
    assert_eq!(codes(of(Some(true), Some(CodeClass::Digit(5)))), [] as [u16; 0]);
    let with = |change: fn(&mut ListFilter)| {
        let mut filter = world.of_endpoint(0);
        change(&mut filter.deliveries);
        codes(filter)
    };
    assert_eq!(with(|it| it.event_types = vec![String::from("user.created")]), [302]);
    assert_eq!(
        with(|it| it.event_types = vec![String::from("user.created"), String::from("call.completed")]).len(),
        5
    );
    assert_eq!(with(|it| it.channel = Some(String::from("even"))), [302, 200]);
    assert!(with(|it| it.channel = Some(String::from("odd"))).is_empty(), "a tag is no channel");
    assert_eq!(with(|it| it.from = Some(at(1))), [302, 204, 0, 500]);
    assert_eq!(with(|it| it.to = Some(at(1))), [200]);
    assert_eq!(with(|it| (it.from, it.to) = (Some(at(1)), Some(at(2)))), [204, 0, 500]);
}

fn a_list_of_attempts_goes_on_where_a_page_has_looked_at_enough(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let rare = f.publish_of("user.created", organization_id, &[endpoint_id], at(0))[0];
    f.record(vec![outcome(organization_id, endpoint_id, rare, 1, 200, NextStep::Succeeded)]);
    let events: Vec<NewEvent> = (0..1_100).map(|_| f.new_event(organization_id, &[endpoint_id], at(1))).collect();
    f.commit_events(events, at(1));
    let newest = f.publish_of("user.created", organization_id, &[endpoint_id], at(2))[0];
    f.record(vec![outcome(organization_id, endpoint_id, newest, 1, 404, NextStep::Failed)]);
    let mut filter = all(AttemptsOf::Endpoint(endpoint_id));
    filter.deliveries.event_types = vec![String::from("user.created")];
    let oldest = AttemptPosition { delivery_id: DeliveryId(0), number: 0 };
    for is_newer in [false, true] {
        let (mut found, mut edge) = (Vec::new(), PageEdge::Newest);
        if is_newer {
            edge = PageEdge::NewerThan(oldest);
        }
        for _ in 0..9 {
            let page = page(f, organization_id, &filter, edge, 10);
            let ids = page.rows.iter().map(|row| row.at.delivery_id);
            let place = if is_newer { 0 } else { found.len() };
            found.splice(place..place, ids);
            let Some(next) = page.next else { break };
            edge = if is_newer { PageEdge::NewerThan(next) } else { PageEdge::OlderThan(next) };
        }
        assert_eq!(found, [newest, rare]);
    }
}

fn the_attempt_of_the_last_manual_round_is_marked(f: &Fixture) {
    let world = world(f);
    let (id, endpoint_id) = world.events[0].deliveries[0];
    f.store.requeue_delivery(world.organization_id, id, Rounds::Once, at(20)).unwrap();
    f.record(vec![outcome(world.organization_id, endpoint_id, id, 2, 500, NextStep::Failed)]);
    let rows = whole(f, world.organization_id, &all(AttemptsOf::Event(world.event(0), Some(endpoint_id))));
    assert_eq!(rows.iter().map(|row| (row.at.number, row.is_manual)).collect::<Vec<_>>(), [(2, true), (1, false)]);
    assert_eq!(rows[1].response_body.as_deref(), Some("café \u{fffd}"), "it has moved to a row of its own");
}

fn attempts_of_a_deleted_endpoint_stay_without_a_url(f: &Fixture) {
    let world = world(f);
    let before = whole(f, world.organization_id, &world.of_endpoint(1));
    f.store.delete_endpoint(world.organization_id, world.endpoints[1], at(9)).unwrap();
    let after = whole(f, world.organization_id, &world.of_endpoint(1));
    assert_eq!(short(&after), short(&before));
    assert!(!after.is_empty() && after.iter().all(|row| row.url.is_none()));
}

fn another_organization_sees_no_attempts_and_no_messages(f: &Fixture) {
    let world = world(f);
    let stranger = f.organization();
    let of_event = AttemptsOf::Event(world.event(0), None);
    for of in [
        AttemptsOf::Endpoint(world.endpoints[0]),
        of_event,
        AttemptsOf::Event(world.event(0), Some(world.endpoints[0])),
    ] {
        for edge in
            [PageEdge::Newest, PageEdge::NewerThan(AttemptPosition { delivery_id: DeliveryId(0), number: 0 })]
        {
            assert_eq!(page(f, stranger, &all(of), edge, 9), EdgePage { rows: Vec::new(), next: None });
        }
        let request = MessagePageRequest {
            edge: PageEdge::Newest,
            limit: 9,
            statuses: Vec::new(),
            succeeded: None,
            with_body: true,
        };
        assert!(f.store.messages(stranger, &ListFilter::all(of), &request).unwrap().rows.is_empty());
    }
}

fn messages_are_filtered_and_read_in_both_directions(f: &Fixture) {
    let world = world(f);
    let read = |filter: &ListFilter, edge, limit, statuses: &[DeliveryStatus]| {
        let request =
            MessagePageRequest { edge, limit, statuses: statuses.to_vec(), succeeded: None, with_body: true };
        f.store.messages(world.organization_id, filter, &request).unwrap()
    };
    let filter = ListFilter::all(AttemptsOf::Endpoint(world.endpoints[0]));
    let all = read(&filter, PageEdge::Newest, 9, &[]);
    let ids = |rows: &[Message]| rows.iter().map(|row| row.delivery.id).collect::<Vec<_>>();
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|event| world.delivery(event, 0));
    assert_eq!((ids(&all.rows), all.next), (vec![fourth, third, second, first], None));
    for (row, event) in all.rows.iter().zip([3, 2, 1, 0]) {
        let new = &world.events[event];
        assert_eq!(row.body.as_ref(), Some(&new.event.body));
        assert_eq!((row.occurred_at, row.accepted_at), (new.event.occurred_at, new.event.accepted_at));
        assert_eq!(row.labels, **new.labels.as_ref().unwrap());
        assert_eq!(
            row.delivery,
            f.store.delivery(world.organization_id, row.delivery.id).unwrap().unwrap().record
        );
    }
    let two = read(&filter, PageEdge::Newest, 2, &[]);
    assert_eq!((ids(&two.rows), two.next), (vec![fourth, third], Some(third)));
    let rest = read(&filter, PageEdge::OlderThan(third), 2, &[]);
    assert_eq!((ids(&rest.rows), rest.next), (vec![second, first], None));
    let newer = read(&filter, PageEdge::NewerThan(first), 2, &[]);
    assert_eq!((ids(&newer.rows), newer.next), (vec![third, second], Some(third)));
    let (success, pending) = (DeliveryStatus::Success, DeliveryStatus::Pending);
    assert_eq!(ids(&read(&filter, PageEdge::Newest, 9, &[success]).rows), [second, first]);
    assert_eq!(ids(&read(&filter, PageEdge::Newest, 9, &[pending, success]).rows).len(), 4);
    let of_type = ListFilter { event_types: vec![String::from("user.created")], ..filter.clone() };
    assert_eq!(ids(&read(&of_type, PageEdge::Newest, 9, &[]).rows), [third]);
    let in_channel = ListFilter { channel: Some(String::from("even")), ..filter.clone() };
    assert_eq!(ids(&read(&in_channel, PageEdge::Newest, 9, &[]).rows), [third, first]);
    let of_period = ListFilter { from: Some(at(1)), to: Some(at(3)), ..filter };
    assert_eq!(ids(&read(&of_period, PageEdge::Newest, 9, &[]).rows), [third, second]);
}

fn a_page_of_large_bodies_is_cut(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let mut expected = Vec::new();
    for second in 0..12 {
        let mut new = f.new_event(organization_id, &[endpoint_id], at(second));
        Arc::get_mut(&mut new.event).unwrap().body = bytes::Bytes::from(vec![b'x'; 1_000_000]);
        expected.push(new.deliveries[0].0);
        f.commit_events(vec![new], at(second));
    }
    expected.reverse();
    let filter = ListFilter::all(AttemptsOf::Endpoint(endpoint_id));
    let (mut found, mut edge) = (Vec::new(), PageEdge::Newest);
    loop {
        let request =
            MessagePageRequest { edge, limit: 100, statuses: Vec::new(), succeeded: None, with_body: true };
        let page = f.store.messages(organization_id, &filter, &request).unwrap();
        assert!(page.rows.iter().all(|row| row.body.as_ref().is_some_and(|body| body.len() == 1_000_000)));
        found.extend(page.rows.iter().map(|row| row.delivery.id));
        let Some(next) = page.next else { break };
        edge = PageEdge::OlderThan(next);
    }
    assert_eq!(found, expected);
}
