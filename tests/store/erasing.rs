//! Payloads and responses that are erased.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::last_failure::LastFailure;
use ringback::domain::round::Rounds;
use ringback::store::{
    CANCELLED_AT_ONCE, ChangeNumber, Changed, ChangesSince, ErasureStep, ReplayTargets, RequeueRange, StoreError,
    WriteBatch,
};

use crate::fixture::{Fixture, at, open_sqlite, outcome};

on_every_store!(
    an_erased_payload_is_gone_and_what_was_pending_is_cancelled,
    an_erased_event_is_not_sent_again_and_a_range_passes_over_it,
    an_event_with_many_deliveries_is_erased_in_steps_and_nothing_without_a_body_is_pending,
    an_attempt_that_was_in_flight_is_kept,
    whoever_has_a_payload_in_memory_hears_of_its_erasure_once,
    an_erased_response_leaves_status_times_and_error,
    what_does_not_exist_or_is_anothers_is_not_erased,
);

fn erase(f: &Fixture, organization_id: OrganizationId, id: EventId) -> Option<ErasureStep> {
    f.store.erase_payload(organization_id, id, at(50)).unwrap()
}

fn done(cancelled: &[EndpointId]) -> Option<ErasureStep> {
    Some(ErasureStep { cancelled: cancelled.to_vec(), is_done: true })
}

/// An event for these endpoints, and its deliveries.
fn publish(f: &Fixture, organization_id: OrganizationId, to: &[EndpointId]) -> (EventId, Vec<DeliveryId>) {
    let new = f.new_event(organization_id, to, at(0));
    let ids = (new.event.id, new.deliveries.iter().map(|(id, _)| *id).collect());
    f.commit_events(vec![new], at(0));
    ids
}

fn statuses(f: &Fixture, organization_id: OrganizationId, id: EventId) -> Vec<DeliveryStatus> {
    let event = f.store.event(organization_id, id).unwrap().unwrap();
    event.deliveries.iter().map(|delivery| delivery.status).collect()
}

fn an_erased_payload_is_gone_and_what_was_pending_is_cancelled(f: &Fixture) {
    let organization_id = f.organization();
    let [first, second, third] = [(); 3].map(|()| f.endpoint(organization_id));
    let (id, deliveries) = publish(f, organization_id, &[first, second]);
    let (kept, _) = publish(f, organization_id, &[first, second]);
    f.record(vec![outcome(organization_id, first, deliveries[0], 1, 200, NextStep::Succeeded)]);
    let to_third = ReplayTargets::Endpoints(vec![third]);
    f.store.replay_event(organization_id, id, &to_third, Rounds::Schedule, &mut || f.id_at(at(5)), at(5)).unwrap();
    // both are in memory as well
    assert_eq!((f.due(organization_id, second, at(9)).len(), f.due(organization_id, first, at(9)).len()), (2, 1));
    assert_eq!(erase(f, organization_id, id), done(&[second, third]));
    assert_eq!(f.due(organization_id, second, at(9)).len(), 1);
    assert!(f.due(organization_id, third, at(9)).is_empty());
    let event = f.store.event(organization_id, id).unwrap().unwrap();
    assert!(event.body.is_empty() && event.record.deliveries == 3);
    use DeliveryStatus::{Cancelled, Pending, Success};
    assert_eq!(statuses(f, organization_id, id), [Success, Cancelled, Cancelled]);
    assert_eq!(event.deliveries[1].finished_at, Some(at(50)));
    assert!(f.store.delivery(organization_id, deliveries[1]).unwrap().unwrap().body.is_empty());
    assert_eq!(erase(f, organization_id, id), done(&[]), "once more changes nothing");
    assert!(!f.store.event(organization_id, kept).unwrap().unwrap().body.is_empty());
    assert_eq!(statuses(f, organization_id, kept), [Pending, Pending]);
    let pending = |endpoint_id| f.store.pending(organization_id, endpoint_id).unwrap().pending;
    assert_eq!([None, Some(first), Some(second), Some(third)].map(pending), [2, 1, 1, 0]);
}

fn an_erased_event_is_not_sent_again_and_a_range_passes_over_it(f: &Fixture) {
    let organization_id = f.organization();
    let (endpoint_id, other) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let (id, deliveries) = publish(f, organization_id, &[endpoint_id]);
    let (kept, of_kept) = publish(f, organization_id, &[endpoint_id]);
    for delivery in [deliveries[0], of_kept[0]] {
        f.record(vec![outcome(organization_id, endpoint_id, delivery, 1, 404, NextStep::Failed)]);
    }
    assert_eq!(erase(f, organization_id, id), done(&[]));
    let retried = f.store.requeue_delivery(organization_id, deliveries[0], Rounds::Schedule, at(60));
    assert!(matches!(retried, Err(StoreError::PayloadErased)), "{retried:?}");
    for targets in [ReplayTargets::Delivered, ReplayTargets::Endpoints(vec![other])] {
        let replayed =
            f.store.replay_event(organization_id, id, &targets, Rounds::Schedule, &mut || f.id_at(at(60)), at(60));
        assert!(matches!(replayed, Err(StoreError::PayloadErased)), "{replayed:?}");
    }
    let range =
        RequeueRange { since: at(0), until: at(100), status: DeliveryStatus::Failed, rounds: Rounds::Schedule };
    let step = |after| f.store.requeue_range(organization_id, endpoint_id, &range, after, 1, at(60)).unwrap();
    let first = step(None);
    assert_eq!((first.deliveries, first.next), (0, Some(deliveries[0])), "the range goes on behind it");
    assert_eq!(step(first.next).deliveries, 1);
    assert_eq!(statuses(f, organization_id, id), [DeliveryStatus::Failed]);
    assert_eq!(statuses(f, organization_id, kept), [DeliveryStatus::Pending]);
    assert_eq!(f.due(organization_id, endpoint_id, at(99)), of_kept);
}

fn an_event_with_many_deliveries_is_erased_in_steps_and_nothing_without_a_body_is_pending(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let (id, _) = publish(f, organization_id, &vec![endpoint_id; CANCELLED_AT_ONCE + 3]);
    let step = erase(f, organization_id, id).unwrap();
    assert_eq!((step.cancelled.len(), step.is_done), (CANCELLED_AT_ONCE, false));
    assert!(!f.store.event(organization_id, id).unwrap().unwrap().body.is_empty());
    assert_eq!(f.store.pending(organization_id, Some(endpoint_id)).unwrap().pending, 3);
    assert_eq!(erase(f, organization_id, id), done(&[endpoint_id; 3]));
    assert!(f.store.event(organization_id, id).unwrap().unwrap().body.is_empty());
    assert_eq!(f.store.pending(organization_id, None).unwrap().pending, 0);
}

fn an_attempt_that_was_in_flight_is_kept(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let (id, deliveries) = publish(f, organization_id, &[endpoint_id, endpoint_id]);
    erase(f, organization_id, id);
    let late =
        |place: usize, status, next| outcome(organization_id, endpoint_id, deliveries[place], 1, status, next);
    f.record(vec![late(0, 200, NextStep::Succeeded), late(1, 503, NextStep::RetryAt(at(99)))]);
    assert_eq!(statuses(f, organization_id, id), [DeliveryStatus::Success, DeliveryStatus::Cancelled]);
    assert!(f.due(organization_id, endpoint_id, at(100)).is_empty());
    let detail = f.store.delivery(organization_id, deliveries[1]).unwrap().unwrap();
    assert_eq!((detail.attempts.len(), detail.attempts[0].response_code), (1, Some(503)));
}

fn whoever_has_a_payload_in_memory_hears_of_its_erasure_once(f: &Fixture) {
    let organization_id = f.organization();
    let (id, _) = publish(f, organization_id, &[]);
    let before = f.store.last_change().unwrap();
    assert_eq!(erase(f, organization_id, id), done(&[]));
    assert_eq!(erase(f, organization_id, id), done(&[]));
    let ChangesSince::Lines(lines) = f.store.changes_since(before, 9).unwrap() else { panic!("no lines") };
    let lines: Vec<_> = lines.iter().map(|line| (line.number, line.organization_id, line.what)).collect();
    assert_eq!(lines, [(ChangeNumber(before.0 + 1), organization_id, Changed::PayloadErased(id))]);
}

fn an_erased_response_leaves_status_times_and_error(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let (_, deliveries) = publish(f, organization_id, &[endpoint_id]);
    let id = deliveries[0];
    let outcomes = [(1, NextStep::RetryAt(at(9))), (2, NextStep::RetryAt(at(19))), (3, NextStep::Failed)]
        .map(|(number, next)| outcome(organization_id, endpoint_id, id, number, 500, next));
    for one in outcomes {
        let failures = LastFailure::of(&one).into_iter().collect();
        let batch = WriteBatch { outcomes: vec![one], failures, ..WriteBatch::default() };
        f.store.commit(&batch, at(0)).unwrap();
    }
    let attempts = || f.store.delivery(organization_id, id).unwrap().unwrap().attempts;
    let excerpt = || f.store.last_failure(organization_id, endpoint_id).unwrap().unwrap().excerpt;
    let mut expected = attempts();
    assert!(excerpt().is_some());
    for number in [1, 3] {
        assert!(f.store.erase_response(organization_id, id, number).unwrap());
        let erased = &mut expected[number as usize - 1];
        (erased.response_headers, erased.response_body) = (None, None);
        assert_eq!(attempts(), expected, "attempt {number}");
        assert!(f.store.erase_response(organization_id, id, number).unwrap(), "once more");
    }
    assert_eq!(excerpt(), None);
    // the first one moves when a new round begins
    f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(60)).unwrap();
    assert_eq!(attempts(), expected);
    assert!(expected[1].response_body.is_some());
    assert!(f.store.erase_response(organization_id, id, 1).unwrap());
    assert_eq!(attempts(), expected);
}

fn what_does_not_exist_or_is_anothers_is_not_erased(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(organization_id);
    let (id, deliveries) = publish(f, organization_id, &[endpoint_id]);
    f.record(vec![outcome(organization_id, endpoint_id, deliveries[0], 1, 500, NextStep::Failed)]);
    assert_eq!(erase(f, other, id), None);
    assert_eq!(erase(f, organization_id, EventId(5)), None);
    assert!(!f.store.event(organization_id, id).unwrap().unwrap().body.is_empty());
    for (owner, delivery, number) in
        [(other, deliveries[0], 1), (organization_id, DeliveryId(5), 1), (organization_id, deliveries[0], 2)]
    {
        assert!(!f.store.erase_response(owner, delivery, number).unwrap());
    }
    let attempts = f.store.delivery(organization_id, deliveries[0]).unwrap().unwrap().attempts;
    assert!(attempts[0].response_body.is_some());
}

#[test]
fn an_erased_payload_is_not_in_the_database_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringback.db");
    let f = Fixture::over(open_sqlite(&path));
    let organization_id = f.organization();
    let holds = |text: &str| {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    // on pages of its own, and beside other rows
    let events: Vec<_> = [100, 40_000]
        .map(|length| {
            let mut new = f.new_event(organization_id, &[], at(0));
            let body = format!("{{\"n\":\"{}unforgettable\"}}", "x".repeat(length));
            let event = std::sync::Arc::get_mut(&mut new.event).unwrap();
            event.body = body.into();
            new
        })
        .to_vec();
    f.commit_events(events.clone(), at(0));
    let f = {
        drop(f);
        Fixture::over(open_sqlite(&path))
    };
    assert!(holds("unforgettable"), "the test reads the right files");
    for new in &events {
        assert_eq!(erase(&f, organization_id, new.event.id), done(&[]));
    }
    // the log is written back
    drop(f);
    assert!(!holds("unforgettable"));
}
