//! Background tasks of the Svix-compatible API, and the end of an application's tokens.

use std::sync::Arc;

use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, TaskId};
use ringback::domain::organization::{OrganizationRef, Role};
use ringback::domain::round::Rounds;
use ringback::domain::session::{DashboardSession, SignIn, SignInLink, Visitor};
use ringback::domain::svix::{EndingTokens, Environment};
use ringback::domain::time::UnixMillis;
use ringback::store::{
    BackgroundTask, DirectedPage, LinkUse, ReplayTargets, StoreError, TASKS_FOR_ONE, TaskFilter, TaskKind,
    TaskSelection, TaskStatus, TaskStep,
};

use crate::fixture::{Fixture, START, at};
use crate::resending::{finish, queued, record};

on_every_store!(
    a_task_is_found_as_it_was_stored_by_its_environment_and_its_organization_alone,
    of_two_that_make_the_same_step_one_does,
    what_is_missing_is_added_once_and_with_its_whole_schedule,
    what_failed_is_sent_again_step_by_step_with_one_attempt_each,
    only_deliveries_of_the_endpoint_that_have_ended_are_sent_again,
    a_task_whose_endpoint_was_deleted_fails_and_sends_nothing,
    an_organization_has_so_many_running_tasks_and_keeps_so_many_ended_ones,
    tasks_are_listed_in_both_directions_and_go_with_their_organization,
    old_tasks_are_removed,
    tokens_end_and_with_them_what_came_in_by_links,
);

fn task(f: &Fixture, organization_id: OrganizationId, endpoint_id: EndpointId, kind: TaskKind) -> BackgroundTask {
    BackgroundTask {
        id: TaskId(f.id_at(at(100))),
        environment: Environment::default(),
        organization_id,
        endpoint_id,
        kind,
        since: START,
        until: at(100),
        selection: TaskSelection::default(),
        status: TaskStatus::Running,
        place: None,
        sent: 0,
        failure: None,
        version: 0,
        created_at: at(100),
        updated_at: at(100),
    }
}

fn created(f: &Fixture, task: BackgroundTask) -> BackgroundTask {
    assert!(f.store.create_task(&task, 8).unwrap());
    task
}

fn advance(f: &Fixture, task: &BackgroundTask, step: &TaskStep) -> Option<BackgroundTask> {
    f.store.advance_task(task, step, &mut || f.id_at(at(101)), at(101)).unwrap()
}

fn missing(events: &[EventId]) -> TaskStep {
    TaskStep::Missing { events: events.to_vec(), next: None }
}

fn event(f: &Fixture, organization_id: OrganizationId, endpoints: &[EndpointId], second: i64) -> EventId {
    let new = f.new_event(organization_id, endpoints, at(second));
    let id = new.event.id;
    f.commit_events(vec![new], at(second));
    id
}

fn of_event(f: &Fixture, organization_id: OrganizationId, id: EventId) -> Vec<(EndpointId, DeliveryStatus)> {
    let found = f.store.event(organization_id, id).unwrap().unwrap().deliveries;
    found.iter().map(|delivery| (delivery.endpoint_id, delivery.status)).collect()
}

fn a_task_is_found_as_it_was_stored_by_its_environment_and_its_organization_alone(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let selection = TaskSelection {
        event_types: vec!["a".to_owned()],
        channel: Some("c".to_owned()),
        tag: Some("t".to_owned()),
        succeeded: Some(false),
        code_class: Some(5),
    };
    let stored = created(f, BackgroundTask { selection, ..task(f, own, f.endpoint(own), TaskKind::Bulk) });
    let environment = Environment::default();
    let find = |environment: &Environment, owner| f.store.task(environment, owner, stored.id).unwrap();
    assert_eq!(find(&environment, None), Some(stored.clone()));
    assert_eq!(find(&environment, Some(own)), Some(stored.clone()));
    assert_eq!(find(&environment, Some(other)), None);
    assert_eq!(find(&"org_other".parse().unwrap(), None), None);
    assert_eq!(f.store.next_task(own).unwrap(), Some(stored.clone()));
    assert_eq!(f.store.next_task(other).unwrap(), None);
    let gone = BackgroundTask { organization_id: OrganizationId(7), ..stored };
    assert!(matches!(f.store.create_task(&gone, 8), Err(StoreError::NoSuchOrganization)));
}

fn of_two_that_make_the_same_step_one_does(f: &Fixture) {
    let own = f.organization();
    let (there, endpoint_id) = (f.endpoint(own), f.endpoint(own));
    let id = event(f, own, &[there], 1);
    let begun = created(f, task(f, own, endpoint_id, TaskKind::Missing));
    let step = TaskStep::Missing { events: vec![id], next: Some(id.0) };
    let advanced = advance(f, &begun, &step).unwrap();
    assert_eq!((advanced.sent, advanced.version, advanced.status), (1, 1, TaskStatus::Running));
    assert_eq!((advanced.place, advanced.updated_at), (Some(id.0), at(101)));
    assert_eq!(advance(f, &begun, &step), None, "somebody else was faster");
    assert_eq!(f.store.next_task(own).unwrap(), Some(advanced.clone()));
    let ended = advance(f, &advanced, &missing(&[id])).unwrap();
    assert_eq!((ended.sent, ended.status), (1, TaskStatus::Finished));
    assert_eq!(advance(f, &ended, &step), None, "it has ended");
    assert_eq!(f.store.running_tasks(9).unwrap(), []);
}

fn what_is_missing_is_added_once_and_with_its_whole_schedule(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let (there, endpoint_id) = (f.endpoint(own), f.endpoint(own));
    let (without, with) = (event(f, own, &[there], 1), event(f, own, &[there, endpoint_id], 2));
    let (bare, replayed) = (event(f, own, &[], 3), event(f, own, &[there], 4));
    let (erased, foreign) = (event(f, own, &[], 5), event(f, other, &[], 6));
    let to = ReplayTargets::Endpoints(vec![endpoint_id]);
    let next_id: &mut dyn FnMut() -> i64 = &mut || f.id_at(at(7));
    f.store.replay_event(own, replayed, &to, Rounds::Once, next_id, at(7)).unwrap();
    assert!(f.store.erase_payload(own, erased, at(8)).unwrap().unwrap().is_done);
    let pending = f.store.pending(own, Some(endpoint_id)).unwrap().pending;
    let all = [without, with, bare, replayed, erased, foreign, EventId(1)];
    let begun = created(f, task(f, own, endpoint_id, TaskKind::Missing));
    assert_eq!(advance(f, &begun, &missing(&all)).unwrap().sent, 2);
    for id in [without, bare] {
        let to_it = of_event(f, own, id).into_iter().filter(|(to, _)| *to == endpoint_id);
        assert_eq!(to_it.collect::<Vec<_>>(), [(endpoint_id, DeliveryStatus::Pending)]);
    }
    assert_eq!((of_event(f, own, with).len(), of_event(f, own, replayed).len()), (2, 2));
    assert_eq!(f.store.pending(own, Some(endpoint_id)).unwrap().pending, pending + 2);
    assert_eq!(queued(f, own, endpoint_id, 101)[2..], [(0, 0, at(101)), (0, 0, at(101))]);
    let again = created(f, task(f, own, endpoint_id, TaskKind::Missing));
    assert_eq!(advance(f, &again, &missing(&all)).unwrap().sent, 0);
}

fn what_failed_is_sent_again_step_by_step_with_one_attempt_each(f: &Fixture) {
    let own = f.organization();
    let endpoint_id = f.endpoint(own);
    let ids: Vec<DeliveryId> = (1..=6).flat_map(|second| f.publish(own, &[endpoint_id], at(second))).collect();
    for (place, status) in [(0, 500), (1, 200), (2, 404), (3, 500), (4, 500)] {
        finish(f, own, endpoint_id, ids[place], status);
    }
    let begun = BackgroundTask { until: at(5), ..task(f, own, endpoint_id, TaskKind::Recover) };
    let step = TaskStep::Failed { limit: 2 };
    let first = advance(f, &created(f, begun), &step).unwrap();
    assert_eq!((first.sent, first.place, first.status), (2, Some(ids[2].0), TaskStatus::Running));
    // one that fails again meanwhile is behind the task
    finish(f, own, endpoint_id, ids[0], 500);
    let last = advance(f, &first, &step).unwrap();
    assert_eq!((last.sent, last.status), (3, TaskStatus::Finished));
    assert_eq!(record(f, own, ids[4]).status, DeliveryStatus::Failed, "it is not of the period");
    let begun = f.store.pending(own, Some(endpoint_id)).unwrap().pending;
    assert_eq!(begun, 3, "two that were sent again, and one that had not ended");
    let places = queued(f, own, endpoint_id, 101);
    assert_eq!(
        places.iter().filter(|(_, not_counted, _)| *not_counted < 0).count(),
        2,
        "manual rounds: {places:?}"
    );
}

fn only_deliveries_of_the_endpoint_that_have_ended_are_sent_again(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let (endpoint_id, beside, foreign) = (f.endpoint(own), f.endpoint(own), f.endpoint(other));
    let ids = f.publish(own, &[endpoint_id, beside], at(1));
    let pending = f.publish(own, &[endpoint_id], at(2))[0];
    let of_other = f.publish(other, &[foreign], at(3))[0];
    finish(f, own, endpoint_id, ids[0], 200);
    finish(f, own, beside, ids[1], 200);
    finish(f, other, foreign, of_other, 200);
    let deliveries = vec![ids[0], ids[1], pending, of_other, DeliveryId(1)];
    let begun = created(f, task(f, own, endpoint_id, TaskKind::Bulk));
    let ended = advance(f, &begun, &TaskStep::Again { deliveries, next: None }).unwrap();
    assert_eq!((ended.sent, ended.status), (1, TaskStatus::Finished));
    assert_eq!(record(f, own, ids[0]).status, DeliveryStatus::Pending);
    assert_eq!(record(f, own, ids[1]).status, DeliveryStatus::Success);
    assert_eq!(record(f, other, of_other).status, DeliveryStatus::Success);
}

fn a_task_whose_endpoint_was_deleted_fails_and_sends_nothing(f: &Fixture) {
    let own = f.organization();
    let endpoint_id = f.endpoint(own);
    let id = event(f, own, &[], 1);
    let begun = created(f, task(f, own, endpoint_id, TaskKind::Missing));
    f.store.delete_endpoint(own, endpoint_id, at(2)).unwrap();
    let failed = advance(f, &begun, &missing(&[id])).unwrap();
    assert_eq!((failed.status, failed.sent), (TaskStatus::Failed, 0));
    assert_eq!(failed.failure.as_deref(), Some("the endpoint was deleted"));
    assert_eq!(of_event(f, own, id), []);
    let begun = created(f, task(f, own, endpoint_id, TaskKind::Missing));
    let given_up = advance(f, &begun, &TaskStep::GiveUp("because".to_owned())).unwrap();
    assert_eq!((given_up.status, given_up.failure.as_deref()), (TaskStatus::Failed, Some("because")));
}

fn an_organization_has_so_many_running_tasks_and_keeps_so_many_ended_ones(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(own);
    let running = created(f, task(f, own, endpoint_id, TaskKind::Recover));
    let second = created(f, task(f, own, endpoint_id, TaskKind::Recover));
    assert!(!f.store.create_task(&task(f, own, endpoint_id, TaskKind::Recover), 2).unwrap());
    assert!(f.store.create_task(&task(f, other, endpoint_id, TaskKind::Recover), 2).unwrap());
    advance(f, &second, &missing(&[])).unwrap();
    let ended = BackgroundTask { status: TaskStatus::Finished, ..task(f, own, endpoint_id, TaskKind::Recover) };
    for _ in 0..=TASKS_FOR_ONE {
        let id = TaskId(f.id_at(at(100)));
        assert!(f.store.create_task(&BackgroundTask { id, ..ended.clone() }, 2).unwrap());
    }
    let find = |id| f.store.task(&Environment::default(), None, id).unwrap();
    assert_eq!(find(second.id), None, "the oldest that has ended");
    assert_eq!(find(running.id), Some(running.clone()));
}

fn tasks_are_listed_in_both_directions_and_go_with_their_organization(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let of = |organization_id, kind, status| {
        let stored = BackgroundTask { status, ..task(f, organization_id, EndpointId(1), kind) };
        created(f, stored).id
    };
    let ids = [
        of(own, TaskKind::Missing, TaskStatus::Running),
        of(other, TaskKind::Recover, TaskStatus::Finished),
        of(own, TaskKind::Bulk, TaskStatus::Failed),
        of(own, TaskKind::Bulk, TaskStatus::Finished),
    ];
    let elsewhere = BackgroundTask {
        environment: "org_other".parse().unwrap(),
        ..task(f, own, EndpointId(1), TaskKind::Missing)
    };
    created(f, elsewhere);
    let newest = DirectedPage { behind: None, is_ascending: false, limit: 9 };
    let listed = |filter: TaskFilter, page: DirectedPage| -> Vec<usize> {
        let found = f.store.tasks(&Environment::default(), &filter, page).unwrap();
        found.iter().map(|task| ids.iter().position(|id| *id == task.id).unwrap()).collect()
    };
    let all = TaskFilter::default();
    assert_eq!(listed(all, newest), [3, 2, 1, 0]);
    assert_eq!(listed(all, DirectedPage { behind: Some(ids[2].0), limit: 1, ..newest }), [1]);
    assert_eq!(listed(all, DirectedPage { is_ascending: true, behind: Some(ids[0].0), limit: 2 }), [1, 2]);
    assert_eq!(listed(TaskFilter { organization_id: Some(own), ..all }, newest), [3, 2, 0]);
    assert_eq!(listed(TaskFilter { kind: Some(TaskKind::Bulk), ..all }, newest), [3, 2]);
    let finished = TaskFilter { status: Some(TaskStatus::Finished), organization_id: Some(own), ..all };
    assert_eq!(listed(finished, newest), [3]);
    let running = f.store.running_tasks(1).unwrap();
    assert_eq!(running.iter().map(|mark| (mark.organization_id, mark.id)).collect::<Vec<_>>(), [(own, ids[0])]);
    f.store.delete_organization(own, START).unwrap();
    assert_eq!(listed(all, newest), [1]);
    assert_eq!(f.store.running_tasks(9).unwrap(), []);
}

fn old_tasks_are_removed(f: &Fixture) {
    let own = f.organization();
    let ids = [1, 2, 20].map(|second| (second, TaskId(f.id_at(at(second)))));
    let of = |(second, id)| {
        let bulk = task(f, own, EndpointId(1), TaskKind::Bulk);
        created(f, BackgroundTask { id, created_at: at(second), ..bulk })
    };
    let [old, older, new] = ids.map(of);
    assert!(f.store.prune_tasks(at(10), 1).unwrap());
    assert!(!f.store.prune_tasks(at(10), 9).unwrap());
    let find = |id| f.store.task(&Environment::default(), None, id).unwrap();
    assert_eq!((find(old.id), find(older.id), find(new.id)), (None, None, Some(new.clone())));
}

fn tokens_end_and_with_them_what_came_in_by_links(f: &Fixture) {
    let (own, other) = (f.organization(), f.organization());
    let visitor = Visitor { role: Role::Manager, name: None, return_url: None };
    let session = |owner, number: u8, began_with| {
        let expires_at = at(1_000);
        let session =
            DashboardSession { token_hash: [number; 32], organization_id: Some(owner), began_with, expires_at };
        f.store.begin_session(&session, START).unwrap();
        [number; 32]
    };
    let visit = || SignIn::Link(Arc::new(visitor.clone()));
    let hashes = [session(own, 1, visit()), session(own, 2, SignIn::Key([9; 32])), session(other, 3, visit())];
    let link = |owner, number: u8| {
        let visitor = visitor.clone();
        let link = SignInLink { token_hash: [number; 32], organization_id: owner, visitor, expires_at: at(1_000) };
        f.store.create_link(&link, START).unwrap();
    };
    link(own, 4);
    link(other, 5);
    let ends = || hashes.map(|hash| f.store.session(&hash).unwrap().unwrap().expires_at);
    let tokens =
        |id| f.store.application(&Environment::default(), &OrganizationRef::Id(id)).unwrap().unwrap().tokens;
    let later = EndingTokens { made_before: at(10), end_at: at(60) };
    assert!(f.store.end_tokens(own, later, at(10)).unwrap());
    assert_eq!(tokens(own).ending, Some(later));
    assert_eq!((tokens(own).valid_from_at(at(59)), tokens(own).valid_from_at(at(60))), (None, Some(at(10))));
    assert_eq!(ends(), [at(60), at(1_000), at(1_000)]);
    assert_eq!(f.store.use_link(&[4; 32], at(11)).unwrap(), LinkUse::Unknown);
    assert!(matches!(f.store.use_link(&[5; 32], at(11)).unwrap(), LinkUse::First(_)));
    let version = f.store.last_change().unwrap();
    let now = EndingTokens { made_before: at(20), end_at: at(20) };
    assert!(f.store.end_tokens(own, now, at(20)).unwrap());
    assert_eq!((tokens(own).valid_from, tokens(own).ending), (Some(at(20)), None));
    assert!(f.store.last_change().unwrap() > version, "other nodes hear of it");
    assert_eq!(ends(), [at(20), at(1_000), at(1_000)]);
    assert_eq!(tokens(other).valid_from_at(UnixMillis(i64::MAX)), None);
    assert!(!f.store.end_tokens(OrganizationId(7), now, at(20)).unwrap());
}
