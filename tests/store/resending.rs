//! Deliveries that a person resends, and events that are replayed.

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::round::Rounds;
use ringback::domain::time::UnixMillis;
use ringback::store::{DueRequest, PageRequest, ReplayTargets, RequeueOutcome, RequeueRange, RequeuedPage};

use crate::fixture::{Fixture, at, first_page, outcome};

on_every_store!(
    a_resent_delivery_is_pending_from_now_and_keeps_its_attempts,
    a_delivery_that_can_not_be_resent_is_refused_with_the_reason,
    a_cancelled_delivery_can_be_resent_while_its_endpoint_exists,
    a_range_is_resent_step_by_step_and_each_delivery_once,
    a_range_contains_deliveries_created_from_its_beginning_to_before_its_end,
    only_succeeded_and_failed_deliveries_are_in_a_range,
    a_replay_requeues_finished_deliveries_leaves_pending_ones_and_adds_missing_ones,
    a_replay_to_its_endpoints_leaves_out_those_that_were_deleted,
    a_replayed_delivery_is_in_every_list_in_the_order_of_its_id,
    an_event_of_another_organization_is_not_replayed,
);

pub(crate) fn finish(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    id: DeliveryId,
    status: u16,
) {
    let number = record(f, organization_id, id).attempt_count + 1;
    let next = if status == 200 { NextStep::Succeeded } else { NextStep::Failed };
    assert_eq!(f.record(vec![outcome(organization_id, endpoint_id, id, number, status, next)]), [true]);
}

pub(crate) fn record(f: &Fixture, organization_id: OrganizationId, id: DeliveryId) -> DeliveryRecord {
    f.store.delivery(organization_id, id).unwrap().unwrap().record
}

/// Attempts made, attempts in earlier rounds, due since.
pub(crate) fn queued(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    seconds: i64,
) -> Vec<(u32, i32, UnixMillis)> {
    let request = DueRequest {
        now: at(seconds),
        max_deliveries: 9,
        max_bytes: usize::MAX,
        max_first_bytes: usize::MAX,
        after: None,
        known: Vec::new(),
    };
    let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
    let rows = page.deliveries.iter();
    rows.map(|queued| (queued.attempts_made, queued.attempts_not_counted, queued.due_at)).collect()
}

fn a_resent_delivery_is_pending_from_now_and_keeps_its_attempts(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    finish(f, organization_id, endpoint_id, id, 404);
    let again = RequeueOutcome::Requeued { endpoint_id };
    assert_eq!(f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(100)).unwrap(), again);
    assert_eq!(queued(f, organization_id, endpoint_id, 99), []);
    assert_eq!(queued(f, organization_id, endpoint_id, 100), [(1, 1, at(100))]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!(detail.record.status, DeliveryStatus::Pending);
    assert_eq!((detail.record.finished_at, detail.record.next_attempt_at), (None, Some(at(100))));
    assert_eq!((detail.record.attempt_count, detail.record.response_code), (1, Some(404)));
    assert_eq!((detail.attempts.len(), detail.attempts[0].response_code), (1, Some(404)));

    let late = outcome(organization_id, endpoint_id, id, 1, 200, NextStep::Succeeded);
    assert_eq!(f.record(vec![late]), [false], "numbers go on");
    let retry = outcome(organization_id, endpoint_id, id, 2, 500, NextStep::RetryAt(at(160)));
    assert_eq!(f.record(vec![retry]), [true]);
    assert_eq!(queued(f, organization_id, endpoint_id, 160), [(2, 1, at(160))]);
    finish(f, organization_id, endpoint_id, id, 200);
    assert_eq!(
        f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(500)).unwrap(),
        again,
        "also what succeeded"
    );
    assert_eq!(queued(f, organization_id, endpoint_id, 500), [(3, 3, at(500))]);
    finish(f, organization_id, endpoint_id, id, 200);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    let attempts: Vec<_> = detail.attempts.iter().map(|attempt| (attempt.number, attempt.response_code)).collect();
    assert_eq!(attempts, [(1, Some(404)), (2, Some(500)), (3, Some(200)), (4, Some(200))]);
    assert_eq!((detail.record.status, detail.record.attempt_count), (DeliveryStatus::Success, 4));
}

fn a_delivery_that_can_not_be_resent_is_refused_with_the_reason(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (endpoint_id, deleted) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let ids = f.publish(organization_id, &[endpoint_id, deleted, deleted], at(0));
    finish(f, organization_id, deleted, ids[1], 404);
    f.store.delete_endpoint(organization_id, deleted, at(1)).unwrap();
    let before = ids.iter().map(|id| record(f, organization_id, *id)).collect::<Vec<_>>();
    let requeue = |owner, id| f.store.requeue_delivery(owner, id, Rounds::Schedule, at(2)).unwrap();
    assert_eq!(requeue(organization_id, ids[0]), RequeueOutcome::StillPending);
    assert_eq!(requeue(organization_id, ids[1]), RequeueOutcome::WebhookGone);
    assert_eq!(requeue(organization_id, ids[2]), RequeueOutcome::WebhookGone);
    assert_eq!(requeue(organization_id, DeliveryId(5)), RequeueOutcome::NotFound);
    assert_eq!(requeue(other, ids[1]), RequeueOutcome::NotFound);
    assert_eq!(ids.iter().map(|id| record(f, organization_id, *id)).collect::<Vec<_>>(), before);
}

fn a_cancelled_delivery_can_be_resent_while_its_endpoint_exists(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    f.store.cancel_pending(organization_id, endpoint_id, at(1)).unwrap();
    let requeued = f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(2)).unwrap();
    assert_eq!(requeued, RequeueOutcome::Requeued { endpoint_id });
    assert_eq!(queued(f, organization_id, endpoint_id, 2), [(0, 0, at(2))]);
}

fn all(status: DeliveryStatus) -> RequeueRange {
    RequeueRange { since: at(0), until: at(1_000), status, rounds: Rounds::Schedule }
}

fn a_range_is_resent_step_by_step_and_each_delivery_once(f: &Fixture) {
    let organization_id = f.organization();
    let (endpoint_id, other) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let mut failed = Vec::new();
    for second in 0..7 {
        let ids = f.publish(organization_id, &[endpoint_id, other], at(second));
        finish(f, organization_id, other, ids[1], 500);
        match second {
            2 => finish(f, organization_id, endpoint_id, ids[0], 200),
            5 => {}
            _ => {
                finish(f, organization_id, endpoint_id, ids[0], 500);
                failed.push(ids[0]);
            }
        }
    }
    let range = all(DeliveryStatus::Failed);
    let step = |after| f.store.requeue_range(organization_id, endpoint_id, &range, after, 2, at(99)).unwrap();
    assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 99).unwrap(), 5);
    assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 2).unwrap(), 2, "no more are read");
    assert_eq!(step(None), RequeuedPage { deliveries: 2, next: Some(failed[1]) });
    assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 99).unwrap(), 3);
    // they fail again before the next step
    finish(f, organization_id, endpoint_id, failed[0], 500);
    finish(f, organization_id, endpoint_id, failed[1], 500);
    assert_eq!(step(Some(failed[1])), RequeuedPage { deliveries: 2, next: Some(failed[3]) });
    assert_eq!(step(Some(failed[3])), RequeuedPage { deliveries: 1, next: None });
    let status = |id: &DeliveryId| record(f, organization_id, *id).status;
    let statuses: Vec<_> = failed.iter().map(status).collect();
    let (again, pending) = (DeliveryStatus::Failed, DeliveryStatus::Pending);
    assert_eq!(statuses, [again, again, pending, pending, pending]);
    let failed_elsewhere =
        DeliveryFilter { endpoint_id: Some(other), status: Some(again), ..DeliveryFilter::default() };
    assert_eq!(f.log(organization_id, &failed_elsewhere).len(), 7);
    let requeued = f.store.delivery(organization_id, failed[4]).unwrap().unwrap();
    assert_eq!((requeued.attempts.len(), requeued.record.next_attempt_at), (1, Some(at(99))));
}

fn a_range_contains_deliveries_created_from_its_beginning_to_before_its_end(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<_> = (10..15).map(|second| f.publish(organization_id, &[endpoint_id], at(second))[0]).collect();
    ids.iter().for_each(|id| finish(f, organization_id, endpoint_id, *id, 500));
    let range =
        RequeueRange { since: at(11), until: at(13), status: DeliveryStatus::Failed, rounds: Rounds::Schedule };
    assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 99).unwrap(), 2);
    let page = f.store.requeue_range(organization_id, endpoint_id, &range, None, 9, at(99)).unwrap();
    assert_eq!(page, RequeuedPage { deliveries: 2, next: None });
    assert_eq!(f.due(organization_id, endpoint_id, at(99)), [ids[1], ids[2]]);
}

fn only_succeeded_and_failed_deliveries_are_in_a_range(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (endpoint_id, deleted) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let ids = f.publish(organization_id, &[endpoint_id, endpoint_id, deleted], at(0));
    finish(f, organization_id, endpoint_id, ids[0], 200);
    finish(f, organization_id, deleted, ids[2], 500);
    f.store.delete_endpoint(organization_id, deleted, at(1)).unwrap();
    let none = RequeuedPage { deliveries: 0, next: None };
    for (owner, endpoint_id, status) in [
        (organization_id, endpoint_id, DeliveryStatus::Pending),
        (organization_id, endpoint_id, DeliveryStatus::Cancelled),
        (organization_id, endpoint_id, DeliveryStatus::Failed),
        (organization_id, deleted, DeliveryStatus::Failed),
        (other, endpoint_id, DeliveryStatus::Success),
    ] {
        let page = f.store.requeue_range(owner, endpoint_id, &all(status), None, 9, at(5)).unwrap();
        assert_eq!(page, none, "{status:?}");
        assert_eq!(f.store.count_range(owner, endpoint_id, &all(status), 99).unwrap(), 0, "{status:?}");
    }
    let range = all(DeliveryStatus::Success);
    assert_eq!(f.store.count_range(organization_id, endpoint_id, &range, 99).unwrap(), 1);
    let page = f.store.requeue_range(organization_id, endpoint_id, &range, None, 9, at(5)).unwrap();
    assert_eq!(page, RequeuedPage { deliveries: 1, next: None });
    assert_eq!(
        f.due(organization_id, endpoint_id, at(5)),
        [ids[1], ids[0]],
        "behind the deliveries that wait already"
    );
}

/// Publishes an event and returns it with its deliveries.
fn publish(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoints: &[EndpointId],
    seconds: i64,
) -> (EventId, Vec<DeliveryId>) {
    let new = f.new_event(organization_id, endpoints, at(seconds));
    let ids = new.deliveries.iter().map(|(id, _)| *id).collect();
    let id = new.event.id;
    f.commit_events(vec![new], at(seconds));
    (id, ids)
}

fn replay(
    f: &Fixture,
    organization_id: OrganizationId,
    id: EventId,
    targets: &ReplayTargets,
    seconds: i64,
) -> Option<Vec<EndpointId>> {
    f.store
        .replay_event(organization_id, id, targets, Rounds::Schedule, &mut || f.id_at(at(seconds)), at(seconds))
        .unwrap()
}

fn a_replay_requeues_finished_deliveries_leaves_pending_ones_and_adds_missing_ones(f: &Fixture) {
    let (organization_id, stranger) = (f.organization(), f.organization());
    let [done, waiting, new, deleted] = [(); 4].map(|()| f.endpoint(organization_id));
    let foreign = f.endpoint(stranger);
    f.store.delete_endpoint(organization_id, deleted, at(0)).unwrap();
    let (event_id, ids) = publish(f, organization_id, &[done, waiting], 1);
    finish(f, organization_id, done, ids[0], 404);
    let targets = ReplayTargets::Endpoints(vec![new, foreign, waiting, done, deleted, new]);
    assert_eq!(replay(f, organization_id, event_id, &targets, 50), Some(vec![done, waiting, new]));
    assert_eq!(queued(f, organization_id, done, 50), [(1, 1, at(50))]);
    assert_eq!(queued(f, organization_id, waiting, 50), [(0, 0, at(1))]);
    assert_eq!(queued(f, organization_id, new, 50), [(0, 0, at(50))]);
    assert_eq!(f.due(stranger, foreign, at(50)), []);
    let detail = f.store.event(organization_id, event_id).unwrap().unwrap();
    assert_eq!(detail.record.deliveries, 3);
    let rows: Vec<_> = detail.deliveries.iter().map(|row| (row.endpoint_id, row.status)).collect();
    let pending = DeliveryStatus::Pending;
    assert_eq!(rows, [(done, pending), (waiting, pending), (new, pending)]);
    let added = &detail.deliveries[2];
    assert!(added.id > ids[1]);
    assert_eq!((added.created_at, added.event_type.as_str()), (at(50), "call.completed"));

    // once more: nothing is duplicated, and the added one is requeued like the others
    assert_eq!(replay(f, organization_id, event_id, &targets, 60), Some(vec![done, waiting, new]));
    finish(f, organization_id, new, added.id, 200);
    let targets = ReplayTargets::Endpoints(vec![new]);
    assert_eq!(replay(f, organization_id, event_id, &targets, 70), Some(vec![new]));
    assert_eq!(f.due(organization_id, new, at(70)), [added.id]);
    assert_eq!(f.store.event(organization_id, event_id).unwrap().unwrap().deliveries.len(), 3);
}

fn a_replay_to_its_endpoints_leaves_out_those_that_were_deleted(f: &Fixture) {
    let organization_id = f.organization();
    let [one, deleted, other, added] = [(); 4].map(|()| f.endpoint(organization_id));
    let (event_id, ids) = publish(f, organization_id, &[one, deleted], 1);
    let (without, _) = publish(f, organization_id, &[], 2);
    finish(f, organization_id, one, ids[0], 200);
    f.store.delete_endpoint(organization_id, deleted, at(2)).unwrap();
    replay(f, organization_id, event_id, &ReplayTargets::Endpoints(vec![added]), 3);
    let delivered = ReplayTargets::Delivered;
    assert_eq!(replay(f, organization_id, event_id, &delivered, 50), Some(vec![one, added]));
    assert_eq!(f.due(organization_id, one, at(50)), [ids[0]]);
    assert_eq!(f.due(organization_id, other, at(50)), []);
    assert_eq!(record(f, organization_id, ids[1]).status, DeliveryStatus::Cancelled);
    assert_eq!(replay(f, organization_id, without, &delivered, 50), Some(Vec::new()));
}

fn a_replayed_delivery_is_in_every_list_in_the_order_of_its_id(f: &Fixture) {
    let organization_id = f.organization();
    let (first, second) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let (event_id, old) = publish(f, organization_id, &[first], 1);
    let (_, middle) = publish(f, organization_id, &[first], 2);
    replay(f, organization_id, event_id, &ReplayTargets::Endpoints(vec![second]), 3);
    let (_, new) = publish(f, organization_id, &[first], 4);
    let replayed = f.due(organization_id, second, at(9))[0];
    let everything = DeliveryFilter::default();
    assert_eq!(f.log(organization_id, &everything), [new[0], replayed, middle[0], old[0]]);
    let page = |before: DeliveryId, limit| {
        let page = PageRequest { before_id: Some(before.0), limit };
        let rows = f.store.deliveries(organization_id, &everything, page).unwrap().rows;
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(page(new[0], 2), [replayed, middle[0]]);
    assert_eq!(page(replayed, 2), [middle[0], old[0]]);
    let of_endpoint = DeliveryFilter { endpoint_id: Some(second), ..everything.clone() };
    assert_eq!(f.log(organization_id, &of_endpoint), [replayed]);
    let since = DeliveryFilter { from: Some(at(3)), ..everything.clone() };
    assert_eq!(f.log(organization_id, &since), [new[0], replayed]);
    let until = DeliveryFilter { to: Some(at(3)), ..everything.clone() };
    assert_eq!(f.log(organization_id, &until), [middle[0], old[0]]);
    finish(f, organization_id, second, replayed, 503);
    let failed = DeliveryFilter { status: Some(DeliveryStatus::Failed), ..everything.clone() };
    assert_eq!(f.log(organization_id, &failed), [replayed]);
    let unavailable = DeliveryFilter { response_code: Some((500, 599)), ..everything };
    assert_eq!(f.log(organization_id, &unavailable), [replayed]);
    let stranger = f.organization();
    assert!(f.store.deliveries(stranger, &failed, first_page(9)).unwrap().rows.is_empty());
}

fn an_event_of_another_organization_is_not_replayed(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (endpoint_id, others) = (f.endpoint(organization_id), f.endpoint(other));
    let (event_id, _) = publish(f, organization_id, &[], 1);
    for targets in [ReplayTargets::Delivered, ReplayTargets::Endpoints(vec![endpoint_id, others])] {
        assert_eq!(replay(f, other, event_id, &targets, 2), None);
        assert_eq!(replay(f, organization_id, EventId(5), &targets, 2), None);
    }
    assert_eq!(f.store.count_pending().unwrap(), 0);
}
