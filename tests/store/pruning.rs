//! Removing old rows.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::event::EventFilter;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::round::Rounds;
use ringback::domain::time::UnixMillis;
use ringback::store::{AcceptedEvent, EventCommit, NewEvent, PruneReport, ReplayTargets};

use crate::fixture::{Fixture, at, first_page, keyed, outcome};

on_every_store!(
    old_events_are_removed_with_their_deliveries_and_attempts,
    an_event_stays_while_one_of_its_deliveries_is_pending,
    an_event_stays_while_a_replay_of_it_is_pending,
    pruning_continues_behind_the_events_that_it_looked_at,
    pruning_removes_a_replayed_delivery_with_its_event_and_not_with_its_neighbours,
    a_key_outlives_its_event_and_repeats_the_first_response,
    old_keys_are_removed_oldest_first,
    events_of_a_deleted_organization_are_removed_in_steps_and_no_others,
    a_step_tells_when_the_last_event_that_it_looked_at_was_accepted,
    a_wide_event_is_removed_whole_and_its_neighbours_stay,
    a_wide_event_stays_whole_while_one_of_its_deliveries_is_pending,
    an_organization_with_a_wide_event_is_removed_whole,
);

/// Stores an event for endpoints at an instant.
fn publish(f: &Fixture, owner: OrganizationId, endpoints: &[EndpointId], seconds: i64) -> NewEvent {
    let new = f.new_event(owner, endpoints, at(seconds));
    f.commit_events(vec![new.clone()], at(seconds));
    new
}

fn succeed(f: &Fixture, owner: OrganizationId, endpoint_id: EndpointId, id: DeliveryId) {
    assert_eq!(f.record(vec![outcome(owner, endpoint_id, id, 1, 200, NextStep::Succeeded)]), [true]);
}

/// One step, without the instant that it reached.
fn prune(f: &Fixture, before: UnixMillis, after: Option<EventId>, limit: usize) -> PruneReport {
    PruneReport { reached: None, ..f.store.prune(before, after, limit).unwrap() }
}

fn events(f: &Fixture, owner: OrganizationId) -> Vec<EventId> {
    let listed = f.store.events(owner, &EventFilter::default(), first_page(99)).unwrap();
    listed.iter().map(|event| event.id).collect()
}

fn old_events_are_removed_with_their_deliveries_and_attempts(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (mine, theirs) = (f.endpoint(organization_id), f.endpoint(other));
    let old = publish(f, organization_id, &[mine, mine], 1);
    let empty = publish(f, organization_id, &[], 2);
    let foreign = publish(f, other, &[theirs], 3);
    let young = publish(f, organization_id, &[mine], 4);
    let ids: Vec<DeliveryId> = old.deliveries.iter().map(|(id, _)| *id).collect();
    f.record(vec![outcome(organization_id, mine, ids[0], 1, 500, NextStep::RetryAt(at(60)))]);
    f.record(vec![outcome(organization_id, mine, ids[0], 2, 200, NextStep::Succeeded)]);
    succeed(f, organization_id, mine, ids[1]);
    succeed(f, other, theirs, foreign.deliveries[0].0);
    succeed(f, organization_id, mine, young.deliveries[0].0);
    assert_eq!(prune(f, at(1), None, 99), PruneReport::default());
    assert_eq!(events(f, organization_id).len(), 3);
    let report = prune(f, at(4), None, 99);
    assert_eq!(
        report,
        PruneReport { events: 3, deliveries: 3, next: None, ..PruneReport::default() },
        "of all organizations"
    );
    assert_eq!(events(f, organization_id), [young.event.id]);
    assert_eq!(events(f, other), []);
    assert_eq!(f.log(organization_id, &DeliveryFilter::default()), [young.deliveries[0].0]);
    assert!(f.store.delivery(organization_id, ids[0]).unwrap().is_none());
    assert!(f.store.event(organization_id, empty.event.id).unwrap().is_none());
}

fn an_event_stays_while_one_of_its_deliveries_is_pending(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let half = publish(f, organization_id, &[endpoint_id, endpoint_id], 1);
    let (first, second) = (half.deliveries[0].0, half.deliveries[1].0);
    succeed(f, organization_id, endpoint_id, first);
    assert_eq!(prune(f, at(9), None, 99), PruneReport::default());
    assert_eq!(f.log(organization_id, &DeliveryFilter::default()), [second, first]);
    assert_eq!(f.due(organization_id, endpoint_id, at(9)), [second]);
    succeed(f, organization_id, endpoint_id, second);
    let report = prune(f, at(9), None, 99);
    assert_eq!(report, PruneReport { events: 1, deliveries: 2, next: None, ..PruneReport::default() });
}

fn an_event_stays_while_a_replay_of_it_is_pending(f: &Fixture) {
    let organization_id = f.organization();
    let (first, second) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let new = publish(f, organization_id, &[first], 1);
    succeed(f, organization_id, first, new.deliveries[0].0);
    let to_second = ReplayTargets::Endpoints(vec![second]);
    f.store
        .replay_event(organization_id, new.event.id, &to_second, Rounds::Schedule, &mut || f.id_at(at(50)), at(50))
        .unwrap();
    assert_eq!(prune(f, at(99), None, 99), PruneReport::default());
    let replayed = f.due(organization_id, second, at(50))[0];
    succeed(f, organization_id, second, replayed);
    let report = prune(f, at(9), None, 99);
    assert_eq!(
        report,
        PruneReport { events: 1, deliveries: 2, next: None, ..PruneReport::default() },
        "an event is old when it was accepted long ago"
    );
    assert!(f.store.delivery(organization_id, replayed).unwrap().is_none());
}

fn pruning_continues_behind_the_events_that_it_looked_at(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let stored: Vec<NewEvent> = (0..5).map(|second| publish(f, organization_id, &[endpoint_id], second)).collect();
    for done in [1, 2, 4] {
        succeed(f, organization_id, endpoint_id, stored[done].deliveries[0].0);
    }
    let id = |index: usize| Some(stored[index].event.id);
    let step = |after| prune(f, at(99), after, 2);
    assert_eq!(step(None), PruneReport { events: 1, deliveries: 1, next: id(1), ..PruneReport::default() });
    assert_eq!(step(id(1)), PruneReport { events: 1, deliveries: 1, next: id(3), ..PruneReport::default() });
    assert_eq!(step(id(3)), PruneReport { events: 1, deliveries: 1, next: None, ..PruneReport::default() });
    assert_eq!(events(f, organization_id), [stored[3].event.id, stored[0].event.id]);
}

fn pruning_removes_a_replayed_delivery_with_its_event_and_not_with_its_neighbours(f: &Fixture) {
    let organization_id = f.organization();
    let (first, second) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let kept = publish(f, organization_id, &[first], 1);
    let before = publish(f, organization_id, &[], 2);
    let to_second = ReplayTargets::Endpoints(vec![second]);
    f.store
        .replay_event(organization_id, kept.event.id, &to_second, Rounds::Schedule, &mut || f.id_at(at(3)), at(3))
        .unwrap();
    let replayed = f.due(organization_id, second, at(3))[0];
    succeed(f, organization_id, second, replayed);
    let after = publish(f, organization_id, &[], 4);
    assert!(before.event.id.0 < replayed.0 && replayed.0 < after.event.id.0);
    // its neighbours are removed; it stays as long as its event
    let report = prune(f, at(9), None, 99);
    assert_eq!(report, PruneReport { events: 2, deliveries: 0, next: None, ..PruneReport::default() });
    assert_eq!(f.store.event(organization_id, kept.event.id).unwrap().unwrap().deliveries.len(), 2);
    succeed(f, organization_id, first, kept.deliveries[0].0);
    let report = prune(f, at(9), None, 99);
    assert_eq!(report, PruneReport { events: 1, deliveries: 2, next: None, ..PruneReport::default() });
}

fn a_key_outlives_its_event_and_repeats_the_first_response(f: &Fixture) {
    const DAY: i64 = 24 * 3_600;
    let organization_id = f.organization();
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let first = keyed(f.new_event_of("user.created", organization_id, &endpoints, at(0)), "k", 1);
    f.commit_events(vec![first.clone()], at(0));
    for (delivery_id, endpoint_id) in first.deliveries.clone() {
        succeed(f, organization_id, endpoint_id, delivery_id);
    }
    assert_eq!(prune(f, at(5), None, 9).events, 1);
    let answer = AcceptedEvent {
        id: first.event.id,
        event_type: String::from("user.created"),
        occurred_at: first.event.occurred_at,
        deliveries: 2,
    };
    let again = |request, seconds| {
        let new = keyed(f.new_event(organization_id, &endpoints[..1], at(seconds)), "k", request);
        f.commit_events(vec![new], at(seconds)).events.remove(0)
    };
    assert_eq!(again(1, 66), EventCommit::Replayed(answer.clone()));
    assert_eq!(again(2, 67), EventCommit::KeyReused);
    assert_eq!(f.store.prune_idempotency_keys(at(0), 9).unwrap(), 0);
    assert_eq!(again(1, DAY - 1), EventCommit::Replayed(answer));
    assert_eq!(again(2, DAY), EventCommit::Stored);
    assert_eq!(events(f, organization_id).len(), 1);
}

fn events_of_a_deleted_organization_are_removed_in_steps_and_no_others(f: &Fixture) {
    let (deleted, kept) = (f.organization(), f.organization());
    let (theirs, stays) = (f.endpoint(deleted), f.endpoint(kept));
    let mut expected = Vec::new();
    for second in 0..5 {
        let new = keyed(f.new_event(deleted, &[theirs, theirs], at(second)), &format!("key {second}"), 1);
        f.commit_events(vec![new.clone()], at(second));
        expected.push(publish(f, kept, &[stays], second).deliveries[0].0);
        if second == 1 {
            let again = ReplayTargets::Endpoints(vec![f.endpoint(deleted)]);
            f.store
                .replay_event(deleted, new.event.id, &again, Rounds::Schedule, &mut || f.id_at(at(9)), at(9))
                .unwrap();
            succeed(f, deleted, theirs, new.deliveries[0].0);
        }
    }
    let of_kept = f.store.events(kept, &EventFilter::default(), first_page(99)).unwrap();
    expected.reverse();
    f.store.delete_organization(deleted, at(10)).unwrap();
    let steps = f.purge(at(11), 2);
    // the store in memory removes everything at once
    assert!(steps == 0 || steps >= 3, "five events were removed in {steps} steps of two");
    assert!(f.log(deleted, &DeliveryFilter::default()).is_empty());
    assert!(events(f, deleted).is_empty());
    assert_eq!(f.store.events(kept, &EventFilter::default(), first_page(99)).unwrap(), of_kept);
    assert_eq!(f.log(kept, &DeliveryFilter::default()), expected);
    assert_eq!(f.due(kept, stays, at(9)).len(), 5);
}

fn old_keys_are_removed_oldest_first(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    for (seconds, owner, key) in
        [(0, organization_id, "a"), (1, other, "b"), (2, organization_id, "c"), (3, organization_id, "d")]
    {
        f.commit_events(vec![keyed(f.new_event(owner, &[], at(seconds)), key, 1)], at(seconds));
    }
    assert_eq!(f.store.prune_idempotency_keys(at(0), 9).unwrap(), 0);
    assert_eq!(f.store.prune_idempotency_keys(at(3), 2).unwrap(), 2);
    let is_known = |owner, key| {
        let again = keyed(f.new_event(owner, &[], at(4)), key, 2);
        f.commit_events(vec![again], at(4)).events[0] == EventCommit::KeyReused
    };
    assert!(!is_known(organization_id, "a") && !is_known(other, "b"));
    assert!(is_known(organization_id, "c") && is_known(organization_id, "d"));
    assert_eq!(f.store.prune_idempotency_keys(at(4), 9).unwrap(), 2);
    assert!(!is_known(organization_id, "c"));
}

fn a_step_tells_when_the_last_event_that_it_looked_at_was_accepted(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    publish(f, organization_id, &[], 1);
    // stays, and was looked at
    publish(f, organization_id, &[endpoint_id], 2);
    publish(f, organization_id, &[], 3);
    let step = |after| f.store.prune(at(3), after, 1).unwrap();
    let first = step(None);
    assert_eq!((first.events, first.reached), (1, Some(at(1))));
    let second = step(first.next);
    assert_eq!((second.events, second.reached), (0, Some(at(2))));
    assert_eq!(step(second.next), PruneReport::default());
}

/// An event with more deliveries than one step may remove; all but `pending` have ended.
fn wide(f: &Fixture, owner: OrganizationId, endpoint_id: EndpointId, seconds: i64, pending: usize) -> NewEvent {
    let new = publish(f, owner, &vec![endpoint_id; 2_500], seconds);
    let ended = new.deliveries.iter().skip(pending);
    let ended = ended.map(|(id, _)| outcome(owner, endpoint_id, *id, 1, 200, NextStep::Succeeded));
    f.record(ended.collect());
    new
}

/// Prunes everything that is older; returns what was removed and the largest number of deliveries of one step.
fn prune_all(f: &Fixture, before: UnixMillis) -> (usize, usize, usize) {
    let (mut events, mut deliveries, mut most) = (0, 0, 0);
    let mut after = None;
    loop {
        let step = f.store.prune(before, after, 99).unwrap();
        events += step.events;
        deliveries += step.deliveries;
        most = most.max(step.deliveries);
        after = step.next;
        if after.is_none() {
            return (events, deliveries, most);
        }
    }
}

fn a_wide_event_is_removed_whole_and_its_neighbours_stay(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let kept = publish(f, organization_id, &[endpoint_id], 1);
    let removed = wide(f, organization_id, endpoint_id, 2, 0);
    let young = publish(f, organization_id, &[endpoint_id], 9);
    // replayed to one more
    let other = f.endpoint(organization_id);
    let to_other = ReplayTargets::Endpoints(vec![other]);
    f.store
        .replay_event(
            organization_id,
            removed.event.id,
            &to_other,
            Rounds::Schedule,
            &mut || f.id_at(at(9)),
            at(9),
        )
        .unwrap();
    let replayed = f.due(organization_id, other, at(9))[0];
    succeed(f, organization_id, other, replayed);
    let (events_removed, deliveries, most) = prune_all(f, at(5));
    assert_eq!((events_removed, deliveries), (1, 2_501));
    // the store in memory has no step to bound
    assert!(most <= 1_000 || most == 2_501, "{most} in one step");
    assert_eq!(events(f, organization_id), [young.event.id, kept.event.id]);
    let left: Vec<DeliveryId> = [&young, &kept].map(|new| new.deliveries[0].0).to_vec();
    assert_eq!(f.log(organization_id, &DeliveryFilter::default()), left);
}

fn a_wide_event_stays_whole_while_one_of_its_deliveries_is_pending(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let new = wide(f, organization_id, endpoint_id, 1, 1);
    let after = publish(f, organization_id, &[], 2);
    assert_eq!(prune_all(f, at(9)), (1, 0, 0), "only the one behind it");
    assert_eq!(events(f, organization_id), [new.event.id]);
    assert!(f.store.event(organization_id, after.event.id).unwrap().is_none());
    assert_eq!(f.store.event(organization_id, new.event.id).unwrap().unwrap().deliveries.len(), 2_500);
    succeed(f, organization_id, endpoint_id, new.deliveries[0].0);
    // a replay counts as well
    let other = f.endpoint(organization_id);
    let to_other = ReplayTargets::Endpoints(vec![other]);
    f.store
        .replay_event(organization_id, new.event.id, &to_other, Rounds::Schedule, &mut || f.id_at(at(9)), at(9))
        .unwrap();
    assert_eq!(prune_all(f, at(9)), (0, 0, 0));
    succeed(f, organization_id, other, f.due(organization_id, other, at(9))[0]);
    let (events_removed, deliveries, _) = prune_all(f, at(9));
    assert_eq!((events_removed, deliveries), (1, 2_501));
}

fn an_organization_with_a_wide_event_is_removed_whole(f: &Fixture) {
    let (deleted, kept) = (f.organization(), f.organization());
    let (theirs, stays) = (f.endpoint(deleted), f.endpoint(kept));
    wide(f, deleted, theirs, 1, 1_200);
    let others = publish(f, kept, &[stays], 2);
    wide(f, deleted, theirs, 3, 0);
    f.store.delete_organization(deleted, at(4)).unwrap();
    f.purge(at(5), 99);
    assert!(f.log(deleted, &DeliveryFilter::default()).is_empty() && events(f, deleted).is_empty());
    assert_eq!(f.due(kept, stays, at(9)), [others.deliveries[0].0]);
    assert_eq!(f.store.count_pending().unwrap(), 1);
}
