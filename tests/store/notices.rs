//! Notices that wait to be told: written with what they tell, for those who listen.

use std::sync::Arc;

use ringback::domain::attempt::{NextStep, Outcome};
use ringback::domain::endpoint::{DisabledReason, Endpoint};
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::domain::notice::{NewNotice, NoticeFacts, NoticeKind, NoticedAttempt};
use ringback::domain::organization::{Organization, OrganizationUid};
use ringback::domain::svix::Environment;
use ringback::store::{DisableEndpoint, Listening, Notice, SavedHealth, StoreError, WriteBatch};

use crate::fixture::{Fixture, START, URL, at, outcome, plain_endpoint};

on_every_store!(
    a_change_of_an_endpoint_is_noticed_in_its_transaction,
    an_outcome_is_noticed_when_it_is_recorded_and_not_again,
    an_endpoint_that_a_commit_disables_is_noticed_once,
    notices_are_read_in_turns_of_organizations_and_removed,
    only_listeners_of_the_own_environment_count,
    deliveries_that_wait_for_a_retry_are_not_due,
);

/// An organization of this environment with an own id.
fn organization(f: &Fixture, environment: Environment, uid: OrganizationUid) -> OrganizationId {
    let id = OrganizationId(f.id_at(START));
    let organization = Organization { environment, uid: Some(uid), ..Organization::named(id, "Acme", START) };
    f.store.create_organization(&organization).unwrap();
    id
}

fn listener(f: &Fixture, environment: &Environment) -> OrganizationId {
    organization(f, Environment::management(), OrganizationUid::of_environment(environment))
}

fn all(f: &Fixture) -> Vec<Notice> {
    f.store.notices(None, 100).unwrap()
}

fn kinds(f: &Fixture) -> Vec<NoticeKind> {
    all(f).into_iter().filter_map(|notice| notice.kind).collect()
}

fn a_change_of_an_endpoint_is_noticed_in_its_transaction(f: &Fixture) {
    let told = listener(f, &Environment::default());
    let mine = organization(f, Environment::default(), "customer".parse().unwrap());
    let id = EndpointId(f.id_at(START));
    let endpoint = Endpoint { uid: Some("main".parse().unwrap()), ..plain_endpoint(id, mine) };
    f.store.create_endpoint(&endpoint).unwrap();
    let changed = Endpoint { version: endpoint.version + 1, active: false, ..endpoint.clone() };
    f.store.update_endpoint(&changed).unwrap();
    // others were first: nothing is changed
    assert!(matches!(f.store.update_endpoint(&changed), Err(StoreError::Conflict)));
    assert!(matches!(f.store.create_endpoint(&endpoint), Err(StoreError::Conflict)));
    let again = Endpoint { version: changed.version + 1, active: true, ..endpoint };
    f.store.update_endpoint(&again).unwrap();
    f.store.delete_endpoint(mine, id, START).unwrap();
    assert_eq!(f.store.delete_endpoint(mine, id, START).unwrap(), None);
    use NoticeKind::{Created, Deleted, Disabled, Enabled, Updated};
    assert_eq!(kinds(f), [Created, Updated, Disabled, Updated, Enabled, Deleted]);
    for notice in all(f) {
        assert_eq!((notice.application_id, notice.organization_id), (told, mine));
        let facts = NoticeFacts {
            endpoint_id: id.0,
            endpoint_uid: Some("main".to_owned()),
            organization_uid: Some("customer".to_owned()),
            ..NoticeFacts::default()
        };
        assert_eq!(notice.facts, facts);
    }
}

fn notice_of(outcome: &Outcome, event_id: i64) -> NewNotice {
    let attempt = NoticedAttempt {
        delivery_id: outcome.delivery_id.0,
        event_id,
        number: outcome.number,
        response_code: Some(500),
        at: outcome.finished_at.0,
        needs_failure: false,
    };
    NewNotice {
        organization_id: outcome.organization_id,
        kind: NoticeKind::Exhausted,
        cause: format!("exhausted/{}/{}", outcome.delivery_id.0, outcome.number),
        facts: NoticeFacts { endpoint_id: outcome.endpoint_id.0, attempt: Some(attempt), ..Default::default() },
    }
}

fn an_outcome_is_noticed_when_it_is_recorded_and_not_again(f: &Fixture) {
    listener(f, &Environment::default());
    let mine = organization(f, Environment::default(), "customer".parse().unwrap());
    let endpoint_id = f.endpoint(mine);
    f.store.remove_notices(&all(f).iter().map(|notice| notice.id).collect::<Vec<_>>()).unwrap();
    let mut new = f.new_event(mine, &[endpoint_id], at(1));
    new.labels = Some(Arc::new(EventLabels { uid: Some("evt_1".to_owned()), ..EventLabels::default() }));
    let (event_id, delivery_id) = (new.event.id, new.deliveries[0].0);
    f.commit_events(vec![new], at(1));
    let failed = outcome(mine, endpoint_id, delivery_id, 1, 500, NextStep::Failed);
    let batch = WriteBatch {
        notices: vec![notice_of(&failed, event_id.0)],
        outcomes: vec![failed],
        ..WriteBatch::default()
    };
    f.store.commit(&batch, at(2)).unwrap();
    let found = all(f);
    assert_eq!((found.len(), found[0].kind), (1, Some(NoticeKind::Exhausted)));
    assert_eq!(found[0].facts.event_uid.as_deref(), Some("evt_1"));
    assert_eq!(found[0].facts.organization_uid.as_deref(), Some("customer"));
    assert_eq!(found[0].facts.attempt, batch.notices[0].facts.attempt);
    // written again after its answer was lost, and after it was told
    f.store.commit(&batch, at(3)).unwrap();
    assert_eq!(all(f).len(), 1);
    f.store.remove_notices(&[found[0].id]).unwrap();
    f.store.commit(&batch, at(4)).unwrap();
    assert!(all(f).is_empty());
}

fn an_endpoint_that_a_commit_disables_is_noticed_once(f: &Fixture) {
    listener(f, &Environment::default());
    let mine = f.organization();
    let endpoint_id = f.endpoint(mine);
    let health = EndpointHealth { failing_since: Some(at(-9)), ..EndpointHealth::healthy(mine, endpoint_id) };
    let disable = DisableEndpoint {
        organization_id: mine,
        endpoint_id,
        reason: DisabledReason::Failing,
        url: URL.into(),
        announced_by: None,
    };
    let batch = WriteBatch {
        disable: vec![disable],
        health: vec![SavedHealth { health, url: URL.into() }],
        ..WriteBatch::default()
    };
    for _ in 0..2 {
        f.store.commit(&batch, at(5)).unwrap();
    }
    assert_eq!(kinds(f), [NoticeKind::Created, NoticeKind::Disabled]);
    let facts = &all(f)[1].facts;
    assert_eq!((facts.is_automatic, facts.failing_since), (true, Some(at(-9).0)));
}

fn notices_are_read_in_turns_of_organizations_and_removed(f: &Fixture) {
    listener(f, &Environment::default());
    let (first, second) = (f.organization(), f.organization());
    for organization_id in [second, first, first, second, first] {
        f.endpoint(organization_id);
    }
    let owners = |behind, limit| -> Vec<OrganizationId> {
        f.store.notices(behind, limit).unwrap().iter().map(|notice| notice.organization_id).collect()
    };
    assert_eq!(owners(None, 100), [first, first, first, second, second]);
    assert_eq!(owners(None, 2), [first, first]);
    assert_eq!(owners(Some(first), 2), [second, second]);
    assert!(owners(Some(second), 2).is_empty());
    let ids: Vec<i64> = all(f).iter().map(|notice| notice.id).collect();
    assert!(ids[0] < ids[1] && ids[1] < ids[2] && ids[3] < ids[4], "in the order in which they were written");
    f.store.remove_notices(&ids[..4]).unwrap();
    assert_eq!(owners(None, 100), [second]);
}

fn only_listeners_of_the_own_environment_count(f: &Fixture) {
    let other: Environment = "org_other".parse().unwrap();
    let mine = f.organization();
    let early = organization(f, other.clone(), "early".parse().unwrap());
    assert_eq!(f.store.listening().unwrap(), Listening::default(), "nobody: nothing is remembered");
    let of_other = listener(f, &other);
    let itself = listener(f, &Environment::management());
    let is_told = |id| {
        let is_told = f.store.is_told(id).unwrap();
        assert_eq!(f.store.listening().unwrap().includes(id), is_told, "all at once say the same as one");
        is_told
    };
    assert_eq!(f.store.listening().unwrap().applications, [of_other, itself].into());
    assert!(is_told(early));
    for untold in [mine, itself, of_other] {
        assert!(!is_told(untold));
        f.endpoint(untold);
    }
    assert!(all(f).is_empty());
    let theirs = organization(f, other, "customer".parse().unwrap());
    assert!(is_told(theirs));
    let told = listener(f, &Environment::default());
    assert!(is_told(mine));
    f.store.delete_organization(told, START).unwrap();
    assert!(!is_told(mine));
    assert_eq!(f.store.least_due(told, START, 9).unwrap(), None);
}

fn deliveries_that_wait_for_a_retry_are_not_due(f: &Fixture) {
    let told = listener(f, &Environment::default());
    assert_eq!(f.store.least_due(told, at(1), 9).unwrap(), Some(0), "without an endpoint");
    let (fast, slow) = (f.endpoint(told), f.endpoint(told));
    for _ in 0..3 {
        f.publish(told, &[fast, slow], at(1));
    }
    let delivery_id = f.due(told, fast, at(1))[0];
    f.record(vec![outcome(told, fast, delivery_id, 1, 500, NextStep::RetryAt(at(60)))]);
    assert_eq!(f.store.least_due(told, at(1), 9).unwrap(), Some(2));
    assert_eq!(f.store.least_due(told, at(60), 9).unwrap(), Some(3));
    assert_eq!(f.store.least_due(told, at(60), 2).unwrap(), Some(2));
}
