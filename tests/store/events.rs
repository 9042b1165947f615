//! The list of events, and event types that organizations add.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::event::{EventFilter, EventRecord};
use ringback::domain::event_types::{CATALOGUE, DefinedEventType, EventTypeState};
use ringback::domain::ids::{EventId, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::domain::time::UnixMillis;
use ringback::store::{NewEvent, PageRequest, StoreError};

use crate::fixture::{Fixture, at, first_page, outcome};

on_every_store!(
    events_are_listed_newest_first_and_paged,
    events_are_filtered_by_type_and_by_when_they_were_accepted,
    an_event_is_read_with_its_body_and_its_deliveries,
    another_organizations_events_do_not_exist,
    own_event_types_are_listed_by_name,
    a_type_of_the_catalogue_belongs_to_no_organization_and_is_replaced_as_a_whole,
    the_name_of_an_event_type_is_unique_within_its_organization,
    event_types_of_all_organizations_are_scanned_in_order,
    event_types_are_removed_with_their_organization,
);

fn ids(f: &Fixture, organization_id: OrganizationId, filter: &EventFilter) -> Vec<EventId> {
    f.store.events(organization_id, filter, first_page(99)).unwrap().iter().map(|event| event.id).collect()
}

fn store(f: &Fixture, new: NewEvent, seconds: i64) -> EventId {
    let id = new.event.id;
    f.commit_events(vec![new], at(seconds));
    id
}

fn events_are_listed_newest_first_and_paged(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let publish =
        |second: i64, endpoints: &[_]| store(f, f.new_event(organization_id, endpoints, at(second)), second);
    let stored = [publish(0, &[]), publish(1, &[endpoint_id, endpoint_id]), publish(2, &[endpoint_id])];
    let all = EventFilter::default();
    assert_eq!(ids(f, organization_id, &all), [stored[2], stored[1], stored[0]]);
    let page = PageRequest { before_id: Some(stored[2].0), limit: 1 };
    let expected = EventRecord {
        id: stored[1],
        event_type: String::from("call.completed"),
        occurred_at: UnixMillis(at(1).0 - 5),
        accepted_at: at(1),
        deliveries: 2,
        labels: EventLabels::default(),
    };
    assert_eq!(f.store.events(organization_id, &all, page).unwrap(), [expected]);
}

fn events_are_filtered_by_type_and_by_when_they_were_accepted(f: &Fixture) {
    let organization_id = f.organization();
    let types = ["call.completed", "user.created", "call.completed", "call.completed"];
    let stored: Vec<EventId> = (0i64..)
        .zip(types)
        .map(|(second, name)| store(f, f.new_event_of(name, organization_id, &[], at(second)), second))
        .collect();
    let event_type = Some(String::from("call.completed"));
    let (from, to) = (Some(at(1)), Some(at(3)));
    let filter = |event_type: &Option<String>, from, to| EventFilter {
        event_type: event_type.clone(),
        from,
        to,
        ..EventFilter::default()
    };
    assert_eq!(ids(f, organization_id, &filter(&event_type, None, None)), [stored[3], stored[2], stored[0]]);
    assert_eq!(ids(f, organization_id, &filter(&None, from, to)), [stored[2], stored[1]]);
    assert_eq!(ids(f, organization_id, &filter(&event_type, from, to)), [stored[2]]);
    assert_eq!(ids(f, organization_id, &filter(&None, to, from)), []);
    let ever = (Some(UnixMillis(i64::MIN)), Some(UnixMillis(i64::MAX)));
    assert_eq!(ids(f, organization_id, &filter(&None, ever.0, ever.1)).len(), 4);
}

fn an_event_is_read_with_its_body_and_its_deliveries(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let new = f.new_event(organization_id, &endpoints, at(1));
    let id = store(f, new.clone(), 1);
    let (first, second) = (new.deliveries[0].0, new.deliveries[1].0);
    f.record(vec![outcome(organization_id, endpoints[0], first, 1, 200, NextStep::Succeeded)]);
    let detail = f.store.event(organization_id, id).unwrap().unwrap();
    assert_eq!(detail.body, new.event.body);
    assert_eq!((detail.record.id, detail.record.deliveries), (id, 2));
    let rows: Vec<_> = detail.deliveries.iter().map(|row| (row.id, row.status)).collect();
    assert_eq!(rows, [(first, DeliveryStatus::Success), (second, DeliveryStatus::Pending)]);
    assert_eq!(detail.deliveries[0], f.store.delivery(organization_id, first).unwrap().unwrap().record);
}

fn another_organizations_events_do_not_exist(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let id = store(f, f.new_event(organization_id, &[], at(1)), 1);
    assert!(f.store.event(other, id).unwrap().is_none());
    assert!(ids(f, other, &EventFilter::default()).is_empty());
    assert!(f.store.event(organization_id, EventId(5)).unwrap().is_none());
}

fn own(organization_id: OrganizationId, name: &str) -> DefinedEventType {
    DefinedEventType {
        organization_id,
        name: name.to_owned(),
        description: String::from("Wenn es geschieht"),
        schema: name.starts_with('b').then(|| String::from(r#"{"type":"object"}"#)),
        sample: None,
        state: EventTypeState::Active,
        created_at: at(7),
    }
}

fn a_type_of_the_catalogue_belongs_to_no_organization_and_is_replaced_as_a_whole(f: &Fixture) {
    let organization_id = f.organization();
    let before = f.store.last_change().unwrap();
    let mut shared = DefinedEventType { sample: Some(String::from("{}")), ..own(CATALOGUE, "a") };
    f.store.save_event_type(&shared).unwrap();
    assert!(f.store.last_change().unwrap() > before, "every node hears of it");
    for state in [EventTypeState::Archived, EventTypeState::Removed, EventTypeState::Active] {
        shared = DefinedEventType { state, sample: None, schema: None, ..shared };
        f.store.save_event_type(&shared).unwrap();
        assert_eq!(f.store.own_event_types(CATALOGUE).unwrap(), std::slice::from_ref(&shared));
    }
    assert!(f.store.own_event_types(organization_id).unwrap().is_empty());
    f.store.delete_organization(organization_id, at(1)).unwrap();
    assert_eq!(f.store.scan_event_types(None, 9).unwrap(), std::slice::from_ref(&shared));
    let gone = own(organization_id, "a");
    assert!(matches!(f.store.save_event_type(&gone), Err(StoreError::NoSuchOrganization)));
}

fn own_event_types_are_listed_by_name(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    for name in ["b.two", "a.one", "B.three", "b_four", "b-five"] {
        f.store.create_event_type(&own(organization_id, name)).unwrap();
    }
    let names = ["B.three", "a.one", "b-five", "b.two", "b_four"];
    assert_eq!(
        f.store.own_event_types(organization_id).unwrap(),
        names.map(|name| own(organization_id, name)),
        "in the order of their bytes"
    );
    assert!(f.store.own_event_types(other).unwrap().is_empty());
    assert!(!f.store.delete_event_type(other, "a.one").unwrap());
    assert!(f.store.delete_event_type(organization_id, "a.one").unwrap());
    assert!(!f.store.delete_event_type(organization_id, "a.one").unwrap());
    assert_eq!(f.store.own_event_types(organization_id).unwrap().len(), 4);
}

fn the_name_of_an_event_type_is_unique_within_its_organization(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    f.store.create_event_type(&own(organization_id, "a")).unwrap();
    f.store.create_event_type(&own(other, "a")).unwrap();
    let second = DefinedEventType { description: String::new(), ..own(organization_id, "a") };
    assert!(matches!(f.store.create_event_type(&second), Err(StoreError::Conflict)));
    assert_eq!(f.store.own_event_types(organization_id).unwrap(), [own(organization_id, "a")]);
}

fn event_types_of_all_organizations_are_scanned_in_order(f: &Fixture) {
    let (first, second) = (f.organization(), f.organization());
    let expected = [own(first, "a"), own(first, "b"), own(second, "a"), own(second, "c")];
    for index in [2, 1, 3, 0] {
        f.store.create_event_type(&expected[index]).unwrap();
    }
    assert_eq!(f.store.scan_event_types(None, 99).unwrap(), expected);
    assert_eq!(f.store.scan_event_types(None, 1).unwrap(), expected[..1]);
    assert_eq!(f.store.scan_event_types(Some((first, "a")), 2).unwrap(), expected[1..3]);
    assert_eq!(f.store.scan_event_types(Some((second, "b")), 9).unwrap(), expected[3..]);
    assert_eq!(f.store.scan_event_types(Some((second, "c")), 9).unwrap(), []);
}

fn event_types_are_removed_with_their_organization(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    f.store.create_event_type(&own(organization_id, "a")).unwrap();
    f.store.create_event_type(&own(other, "a")).unwrap();
    f.store.delete_organization(organization_id, at(0)).unwrap();
    assert_eq!(f.store.scan_event_types(None, 9).unwrap(), [own(other, "a")]);
}
