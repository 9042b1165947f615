//! What only the Svix-compatible API keeps.

use ringback::domain::endpoint::Endpoint;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::organization::{Organization, OrganizationRef};
use ringback::domain::svix::{Environment, EnvironmentEventType, EventTypeChange, TokenEnds};
use ringback::domain::svix_id::SvixId;
use ringback::store::{AnswerState, AnswerTimes, KeptAnswer, NamePage, StoreError};

use crate::fixture::{Fixture, START, at, plain_endpoint};

on_every_store!(
    an_organization_without_an_environment_is_an_application_of_the_default_one_only,
    event_types_are_listed_in_the_order_of_their_names_in_both_directions,
    an_event_type_belongs_to_one_environment,
    creating_refuses_a_type_that_is_there_and_replaces_an_archived_one,
    putting_adds_or_replaces_and_keeps_the_time_of_creation,
    a_change_leaves_what_it_does_not_name,
    a_key_is_begun_once_until_its_answer_is_kept,
    a_key_whose_request_failed_or_died_is_begun_anew,
    an_answer_is_forgotten_when_it_is_old,
    an_id_of_svix_s_server_names_one_application_of_an_environment,
    an_id_of_svix_s_server_names_one_endpoint_of_an_application,
);

fn environment(name: &str) -> Environment {
    name.parse().unwrap()
}

fn event_type(name: &str) -> EnvironmentEventType {
    EnvironmentEventType {
        name: name.to_owned(),
        description: format!("about {name}"),
        archived: false,
        deprecated: false,
        schemas: Some(r#"{"1":{"type":"object"}}"#.to_owned()),
        feature_flags: vec!["beta".to_owned()],
        group_name: Some("group".to_owned()),
        created_at: START,
        updated_at: START,
    }
}

fn names(f: &Fixture, page: &NamePage) -> Vec<String> {
    let found = f.store.environment_event_types(&Environment::default(), page).unwrap();
    found.into_iter().map(|event_type| event_type.name).collect()
}

fn an_organization_without_an_environment_is_an_application_of_the_default_one_only(f: &Fixture) {
    let id = f.organization();
    let found = f.store.application(&Environment::default(), &OrganizationRef::Id(id)).unwrap().unwrap();
    assert_eq!((found.id, found.tokens), (id, TokenEnds::default()));
    assert_eq!(f.store.application(&environment("org_other"), &OrganizationRef::Id(id)).unwrap(), None);
    assert_eq!(f.store.environment_of(id).unwrap(), Some(Environment::default()));
    f.store.delete_organization(id, START).unwrap();
    assert_eq!(f.store.environment_of(id).unwrap(), None);
    assert_eq!(f.store.application(&Environment::default(), &OrganizationRef::Id(id)).unwrap(), None);
}

fn event_types_are_listed_in_the_order_of_their_names_in_both_directions(f: &Fixture) {
    // in the order of bytes, whatever language the database speaks
    for name in ["b.two", "B.two", "a.one", "c_three"] {
        let archived = name == "c_three";
        let event_type = EnvironmentEventType { archived, ..event_type(name) };
        f.store.put_environment_event_type(&Environment::default(), &event_type).unwrap();
    }
    let all = NamePage { limit: 9, ..NamePage::default() };
    assert_eq!(names(f, &all), ["B.two", "a.one", "b.two"]);
    assert_eq!(names(f, &NamePage { with_archived: true, limit: 2, ..all.clone() }), ["B.two", "a.one"]);
    let beyond = NamePage { with_archived: true, beyond: Some("a.one".to_owned()), ..all.clone() };
    assert_eq!(names(f, &beyond), ["b.two", "c_three"]);
    assert_eq!(names(f, &NamePage { is_descending: true, ..beyond }), ["B.two"]);
    assert_eq!(names(f, &NamePage { is_descending: true, ..all }), ["b.two", "a.one", "B.two"]);
}

fn an_event_type_belongs_to_one_environment(f: &Fixture) {
    let (one, other) = (Environment::default(), environment("org_other"));
    f.store.create_environment_event_type(&one, &event_type("a")).unwrap().unwrap();
    assert_eq!(f.store.environment_event_type(&one, "a").unwrap(), Some(event_type("a")));
    assert_eq!(f.store.environment_event_type(&other, "a").unwrap(), None);
    assert!(f.store.create_environment_event_type(&other, &event_type("a")).unwrap().is_some());
    assert!(f.store.remove_environment_event_type(&one, "a").unwrap());
    assert!(!f.store.remove_environment_event_type(&one, "a").unwrap());
    assert!(f.store.environment_event_type(&other, "a").unwrap().is_some());
}

fn creating_refuses_a_type_that_is_there_and_replaces_an_archived_one(f: &Fixture) {
    let environment = Environment::default();
    f.store.create_environment_event_type(&environment, &event_type("a")).unwrap().unwrap();
    let later = EnvironmentEventType { created_at: at(5), updated_at: at(5), schemas: None, ..event_type("a") };
    assert_eq!(f.store.create_environment_event_type(&environment, &later).unwrap(), None);
    let archive = EventTypeChange { archived: Some(true), ..EventTypeChange::default() };
    f.store.change_environment_event_type(&environment, "a", &archive, at(4)).unwrap().unwrap();
    let stored = f.store.create_environment_event_type(&environment, &later).unwrap();
    assert_eq!(stored, Some(EnvironmentEventType { created_at: START, ..later }));
}

fn putting_adds_or_replaces_and_keeps_the_time_of_creation(f: &Fixture) {
    let environment = Environment::default();
    let first = f.store.put_environment_event_type(&environment, &event_type("a")).unwrap();
    assert_eq!(first, (event_type("a"), true));
    let bare = EnvironmentEventType {
        description: String::new(),
        schemas: None,
        feature_flags: Vec::new(),
        group_name: None,
        deprecated: true,
        created_at: at(5),
        updated_at: at(5),
        ..event_type("a")
    };
    let expected = EnvironmentEventType { created_at: START, ..bare.clone() };
    assert_eq!(f.store.put_environment_event_type(&environment, &bare).unwrap(), (expected.clone(), false));
    assert_eq!(f.store.environment_event_type(&environment, "a").unwrap(), Some(expected));
}

fn a_change_leaves_what_it_does_not_name(f: &Fixture) {
    let environment = Environment::default();
    f.store.put_environment_event_type(&environment, &event_type("a")).unwrap();
    let change = EventTypeChange { group_name: Some(None), deprecated: Some(true), ..EventTypeChange::default() };
    let changed = f.store.change_environment_event_type(&environment, "a", &change, at(3)).unwrap();
    let expected =
        EnvironmentEventType { group_name: None, deprecated: true, updated_at: at(3), ..event_type("a") };
    assert_eq!(changed, Some(expected.clone()));
    let change = EventTypeChange {
        schemas: Some(None),
        feature_flags: Some(Vec::new()),
        description: Some("new".to_owned()),
        ..EventTypeChange::default()
    };
    let changed = f.store.change_environment_event_type(&environment, "a", &change, at(4)).unwrap();
    let expected = EnvironmentEventType {
        schemas: None,
        feature_flags: Vec::new(),
        description: "new".to_owned(),
        updated_at: at(4),
        ..expected
    };
    assert_eq!(changed, Some(expected));
    assert_eq!(f.store.change_environment_event_type(&environment, "b", &change, at(5)).unwrap(), None);
}

fn times(now: i64) -> AnswerTimes {
    AnswerTimes { now: at(now), abandoned_before: at(now - 60), kept_since: at(now - 3_600) }
}

fn answer() -> KeptAnswer {
    KeptAnswer { status: 201, body: br#"{"key":"whsec_secret"}"#.to_vec() }
}

fn a_key_is_begun_once_until_its_answer_is_kept(f: &Fixture) {
    let key = [7; 32];
    assert!(f.store.answer(&key).unwrap().is_none());
    assert!(f.store.begin_answer(&key, times(0)).unwrap() == AnswerState::Begun);
    assert!(f.store.begin_answer(&key, times(1)).unwrap() == AnswerState::UnderWay);
    assert!(f.store.begin_answer(&[8; 32], times(1)).unwrap() == AnswerState::Begun);
    assert!(f.store.answer(&key).unwrap() == Some(AnswerState::UnderWay));
    f.store.keep_answer(&key, Some(&answer()), at(2)).unwrap();
    assert!(f.store.begin_answer(&key, times(3)).unwrap() == AnswerState::Answered(answer()));
    assert!(f.store.answer(&key).unwrap() == Some(AnswerState::Answered(answer())));
}

fn a_key_whose_request_failed_or_died_is_begun_anew(f: &Fixture) {
    let key = [7; 32];
    f.store.begin_answer(&key, times(0)).unwrap();
    f.store.keep_answer(&key, None, at(1)).unwrap();
    assert!(f.store.begin_answer(&key, times(2)).unwrap() == AnswerState::Begun);
    assert!(f.store.begin_answer(&key, times(62)).unwrap() == AnswerState::UnderWay);
    assert!(f.store.begin_answer(&key, times(63)).unwrap() == AnswerState::Begun);
}

fn an_answer_is_forgotten_when_it_is_old(f: &Fixture) {
    for (key, second) in [(1, 0), (2, 1), (3, 2)] {
        f.store.begin_answer(&[key; 32], times(second)).unwrap();
        f.store.keep_answer(&[key; 32], Some(&answer()), at(second)).unwrap();
    }
    assert!(f.store.begin_answer(&[1; 32], times(3_600)).unwrap() == AnswerState::Answered(answer()));
    assert!(f.store.begin_answer(&[1; 32], times(3_601)).unwrap() == AnswerState::Begun);
    assert!(f.store.prune_answers(at(2), 1).unwrap(), "there may be more");
    assert!(!f.store.prune_answers(at(2), 5).unwrap());
    assert!(f.store.answer(&[2; 32]).unwrap().is_none());
    assert!(f.store.answer(&[3; 32]).unwrap().is_some() && f.store.answer(&[1; 32]).unwrap().is_some());
}

fn svix_id() -> SvixId {
    "2LBxFYmgXDq3bNSJG8zTvVeYj1A".parse().unwrap()
}

fn an_id_of_svix_s_server_names_one_application_of_an_environment(f: &Fixture) {
    let (here, there) = (Environment::default(), environment("org_other"));
    let application = |environment: &Environment| {
        let id = OrganizationId(f.id_at(START));
        let organization = Organization::named(id, "brought over", START);
        Organization { environment: environment.clone(), svix_id: Some(svix_id()), ..organization }
    };
    let (first, second, other) = (application(&here), application(&here), application(&there));
    let find = |environment: &Environment| f.store.application_by_svix_id(environment, &svix_id()).unwrap();
    f.store.create_organization(&first).unwrap();
    assert!(matches!(f.store.create_organization(&second), Err(StoreError::Conflict)));
    assert_eq!((find(&here).unwrap().id, find(&there)), (first.id, None));
    assert_eq!(f.store.organization(first.id).unwrap().unwrap().svix_id, Some(svix_id()));
    f.store.create_organization(&other).unwrap();
    assert_eq!(find(&there).unwrap().id, other.id);
    f.store.delete_organization(first.id, START).unwrap();
    assert_eq!(find(&here), None);
    f.store.create_organization(&second).unwrap();
    assert_eq!(find(&here).unwrap().id, second.id);
}

fn an_id_of_svix_s_server_names_one_endpoint_of_an_application(f: &Fixture) {
    let (owner, other) = (f.organization(), f.organization());
    let endpoint = |owner| {
        let id = EndpointId(f.id_at(START));
        Endpoint { svix_id: Some(svix_id()), ..plain_endpoint(id, owner) }
    };
    let (first, second, elsewhere) = (endpoint(owner), endpoint(owner), endpoint(other));
    let find = |owner| f.store.endpoint_by_svix_id(owner, &svix_id()).unwrap().map(|start| start.endpoint);
    f.store.create_endpoint(&first).unwrap();
    assert!(matches!(f.store.create_endpoint(&second), Err(StoreError::Conflict)));
    assert!(find(owner) == Some(first.clone()) && find(other).is_none());
    assert_eq!(f.store.svix_ids_of_endpoints(owner).unwrap(), [(first.id, svix_id())]);
    assert_eq!(f.store.svix_ids_of_endpoints(other).unwrap(), []);
    f.store.create_endpoint(&elsewhere).unwrap();
    f.store.delete_endpoint(owner, first.id, START).unwrap();
    assert!(find(owner).is_none());
    f.store.create_endpoint(&second).unwrap();
    assert!(find(owner) == Some(second));
}
