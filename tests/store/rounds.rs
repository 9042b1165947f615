//! Manual rounds of one attempt, and retries that are made due.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::DeliveryId;
use ringback::domain::round::Rounds;
use ringback::store::{MadeDeliveryDue, ReplayTargets, RequeueRange};

use crate::fixture::{Fixture, at, outcome};
use crate::resending::{finish, queued, record};

on_every_store!(
    a_manual_round_keeps_its_distance_from_the_schedule_through_every_attempt,
    every_way_to_send_again_can_begin_a_manual_round,
    a_retry_that_is_made_due_is_not_counted_and_one_that_is_due_stays_as_it_is,
    a_retry_of_an_ordered_endpoint_that_is_made_due_keeps_its_place,
    only_a_pending_delivery_of_the_organizations_own_live_endpoint_is_made_due,
);

/// More attempts than any schedule has.
const MANY: i32 = 51;

fn a_manual_round_keeps_its_distance_from_the_schedule_through_every_attempt(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    finish(f, organization_id, endpoint_id, id, 500);
    f.store.requeue_delivery(organization_id, id, Rounds::Once, at(10)).unwrap();
    let (made, not_counted, due_at) = queued(f, organization_id, endpoint_id, 10)[0];
    assert_eq!((made, due_at), (1, at(10)));
    let distance = 1 - not_counted;
    assert!(distance >= MANY, "{distance}");
    // an attempt that uses up no retry
    let next = NextStep::UncountedRetryAt(at(20));
    assert_eq!(f.record(vec![outcome(organization_id, endpoint_id, id, 2, 401, next)]), [true]);
    let (made, not_counted, _) = queued(f, organization_id, endpoint_id, 20)[0];
    assert_eq!((made, 2 - not_counted), (2, distance));
    finish(f, organization_id, endpoint_id, id, 500);
    let row = record(f, organization_id, id);
    assert_eq!((row.status, row.attempt_count), (DeliveryStatus::Failed, 3));
    // and then a whole schedule again
    f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(30)).unwrap();
    assert_eq!(queued(f, organization_id, endpoint_id, 30), [(3, 3, at(30))]);
}

fn every_way_to_send_again_can_begin_a_manual_round(f: &Fixture) {
    let organization_id = f.organization();
    let (endpoint_id, other) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let new = f.new_event(organization_id, &[endpoint_id], at(0));
    let id = new.deliveries[0].0;
    f.commit_events(vec![new.clone()], at(0));
    finish(f, organization_id, endpoint_id, id, 500);
    let is_manual = |endpoint, seconds| {
        let rows = queued(f, organization_id, endpoint, seconds);
        rows.iter().map(|(made, not_counted, _)| *made as i32 - not_counted >= MANY).collect::<Vec<_>>()
    };
    let (since, until, status) = (at(0), at(9), DeliveryStatus::Failed);
    for (rounds, expected) in [(Rounds::Once, true), (Rounds::Schedule, false)] {
        let range = RequeueRange { since, until, status, rounds };
        f.store.requeue_range(organization_id, endpoint_id, &range, None, 9, at(10)).unwrap();
        assert_eq!(is_manual(endpoint_id, 10), [expected]);
        finish(f, organization_id, endpoint_id, id, 500);
    }
    let targets = ReplayTargets::Endpoints(vec![endpoint_id, other]);
    for (rounds, expected) in [(Rounds::Once, true), (Rounds::Schedule, false)] {
        let mut next_id = || f.id_at(at(20));
        f.store.replay_event(organization_id, new.event.id, &targets, rounds, &mut next_id, at(20)).unwrap();
        let added: DeliveryId = f.due(organization_id, other, at(20))[0];
        for (endpoint, id) in [(endpoint_id, id), (other, added)] {
            assert_eq!(is_manual(endpoint, 20), [expected]);
            finish(f, organization_id, endpoint, id, 500);
        }
    }
}

fn a_retry_that_is_made_due_is_not_counted_and_one_that_is_due_stays_as_it_is(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let make_due = |seconds| f.store.make_delivery_due(organization_id, id, at(seconds)).unwrap();
    assert_eq!(make_due(1), MadeDeliveryDue::AlreadyDue);
    assert_eq!(queued(f, organization_id, endpoint_id, 1), [(0, 0, at(0))]);
    let retry = |number, next| outcome(organization_id, endpoint_id, id, number, 500, next);
    f.record(vec![retry(1, NextStep::RetryAt(at(60)))]);
    assert_eq!(make_due(30), MadeDeliveryDue::MadeDue { endpoint_id });
    assert_eq!(make_due(31), MadeDeliveryDue::AlreadyDue, "once more: still one attempt");
    assert_eq!(queued(f, organization_id, endpoint_id, 30), [(1, 1, at(30))]);
    assert_eq!(record(f, organization_id, id).next_attempt_at, Some(at(30)));
    // it fails, and waits for the retry that it waited for before
    f.record(vec![retry(2, NextStep::RetryAt(at(90)))]);
    assert_eq!(queued(f, organization_id, endpoint_id, 90), [(2, 1, at(90))]);
    finish(f, organization_id, endpoint_id, id, 500);
    assert_eq!(make_due(100), MadeDeliveryDue::NotPending);

    // the attempt of a manual round stays the only one
    f.store.requeue_delivery(organization_id, id, Rounds::Once, at(100)).unwrap();
    f.record(vec![retry(4, NextStep::UncountedRetryAt(at(200)))]);
    let before = queued(f, organization_id, endpoint_id, 200)[0].1;
    assert_eq!(make_due(150), MadeDeliveryDue::MadeDue { endpoint_id });
    assert_eq!(queued(f, organization_id, endpoint_id, 150), [(4, before, at(150))]);
}

fn a_retry_of_an_ordered_endpoint_that_is_made_due_keeps_its_place(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let first = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let second = f.publish(organization_id, &[endpoint_id], at(1))[0];
    let mut retry = outcome(organization_id, endpoint_id, first, 1, 500, NextStep::RetryAt(at(60)));
    retry.ordered = true;
    f.record(vec![retry]);
    let made_due = f.store.make_delivery_due(organization_id, first, at(30)).unwrap();
    assert_eq!(made_due, MadeDeliveryDue::MadeDue { endpoint_id });
    assert_eq!(f.due(organization_id, endpoint_id, at(30)), [first, second]);
    assert_eq!(queued(f, organization_id, endpoint_id, 30)[0], (1, 1, at(30)));
}

fn only_a_pending_delivery_of_the_organizations_own_live_endpoint_is_made_due(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    f.record(vec![outcome(organization_id, endpoint_id, id, 1, 500, NextStep::RetryAt(at(60)))]);
    let make_due = |owner, id| f.store.make_delivery_due(owner, id, at(5)).unwrap();
    assert_eq!(make_due(other, id), MadeDeliveryDue::NotPending);
    assert_eq!(make_due(organization_id, DeliveryId(5)), MadeDeliveryDue::NotPending);
    f.store.delete_endpoint(organization_id, endpoint_id, at(2)).unwrap();
    assert_eq!(make_due(organization_id, id), MadeDeliveryDue::NotPending);
    assert_eq!(record(f, organization_id, id).attempt_count, 1);
}
