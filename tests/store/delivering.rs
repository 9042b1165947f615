//! The queue of an endpoint, and the effect of outcomes on it.

use std::sync::Arc;

use bytes::Bytes;
use ringback::domain::attempt::{NextStep, Outcome};
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::event::Event;
use ringback::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use ringback::domain::round::Rounds;
use ringback::store::{AgendaRow, DueRequest, NewEvent, QueuePosition, WriteBatch};

use crate::fixture::{Fixture, at, outcome};

on_every_store!(
    deliveries_are_due_in_the_order_in_which_they_were_accepted,
    a_retry_waits_until_it_is_due_and_queues_behind_earlier_deliveries,
    the_retry_of_an_ordered_endpoint_keeps_its_place,
    an_outcome_counts_once,
    an_outcome_of_a_finished_delivery_is_not_recorded,
    an_attempt_in_flight_when_its_delivery_was_cancelled_is_in_the_log,
    an_attempt_that_the_schedule_does_not_count_is_in_the_log_and_the_delivery_stays_due,
    deliveries_that_wait_for_a_retry_are_made_due_in_steps,
    the_head_of_an_ordered_queue_is_made_due_and_keeps_its_place,
    an_outcome_of_another_organization_is_not_recorded,
    two_outcomes_of_one_delivery_in_one_batch_both_count,
    outcomes_are_reported_in_the_order_of_the_batch,
    a_page_skips_known_deliveries_and_shows_whether_there_are_more,
    a_page_begins_behind_the_position_where_another_one_ended,
    a_page_stops_before_too_many_bytes_but_contains_at_least_one_delivery,
    deliveries_of_one_event_share_its_body,
    endpoints_with_a_backlog_share_the_bodies_that_were_read,
    the_next_turn_is_the_earliest_after_now,
    the_agenda_has_the_earliest_turn_of_every_endpoint_with_pending_work,
    the_agenda_is_paged_by_endpoint,
);

fn retry(
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    delivery_id: DeliveryId,
    number: u32,
    seconds: i64,
) -> Outcome {
    outcome(organization_id, endpoint_id, delivery_id, number, 503, NextStep::RetryAt(at(seconds)))
}

fn request(seconds: i64) -> DueRequest {
    DueRequest {
        now: at(seconds),
        max_deliveries: 100,
        max_bytes: usize::MAX,
        max_first_bytes: usize::MAX,
        after: None,
        known: Vec::new(),
    }
}

fn deliveries_are_due_in_the_order_in_which_they_were_accepted(f: &Fixture) {
    let organization_id = f.organization();
    let (mine, other) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let first = f.publish(organization_id, &[mine, other], at(1))[0];
    let second = f.publish(organization_id, &[mine], at(1))[0];
    let third = f.publish(organization_id, &[other, mine], at(2))[1];
    assert_eq!(f.due(organization_id, mine, at(2)), [first, second, third]);
    assert_eq!(f.due(organization_id, mine, at(1)), [first, second]);
    assert!(f.due(organization_id, mine, at(0)).is_empty());
    let page = f.store.due_deliveries(organization_id, mine, &request(9)).unwrap();
    assert_eq!((page.deliveries[2].due_at, page.deliveries[2].attempts_made), (at(2), 0));
    assert_eq!(page.deliveries[2].event.accepted_at, at(2));
    assert_eq!(page.deliveries[2].event.event_type, "call.completed");
}

fn a_retry_waits_until_it_is_due_and_queues_behind_earlier_deliveries(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let first = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let second = f.publish(organization_id, &[endpoint_id], at(1))[0];
    assert_eq!(f.record(vec![retry(organization_id, endpoint_id, first, 1, 60)]), [true]);
    assert_eq!(f.due(organization_id, endpoint_id, at(59)), [second]);
    assert_eq!(f.due(organization_id, endpoint_id, at(60)), [second, first]);
    let page = f.store.due_deliveries(organization_id, endpoint_id, &request(60)).unwrap();
    assert_eq!((page.deliveries[1].attempts_made, page.deliveries[1].due_at), (1, at(60)));
    let record = f.store.delivery(organization_id, first).unwrap().unwrap().record;
    assert_eq!((record.status, record.next_attempt_at), (DeliveryStatus::Pending, Some(at(60))));
    assert_eq!((record.response_code, record.attempt_count, record.finished_at), (Some(503), 1, None));
}

fn the_retry_of_an_ordered_endpoint_keeps_its_place(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let first = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let second = f.publish(organization_id, &[endpoint_id], at(1))[0];
    let kept = Outcome { ordered: true, ..retry(organization_id, endpoint_id, first, 1, 60) };
    assert_eq!(f.record(vec![kept]), [true]);
    let page = f.store.due_deliveries(organization_id, endpoint_id, &request(5)).unwrap();
    assert_eq!(page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(page.deliveries[0].due_at, at(60));
    let record = f.store.delivery(organization_id, first).unwrap().unwrap().record;
    assert_eq!(record.next_attempt_at, Some(at(60)));
}

fn an_outcome_counts_once(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let first = retry(organization_id, endpoint_id, id, 1, 60);
    assert_eq!(f.record(vec![first.clone(), first.clone()]), [true, false]);
    assert_eq!(f.record(vec![first.clone()]), [false]);
    let second = outcome(organization_id, endpoint_id, id, 2, 200, NextStep::Succeeded);
    assert_eq!(f.record(vec![second.clone()]), [true]);
    assert_eq!(f.record(vec![second, first]), [false, false]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!((detail.record.attempt_count, detail.attempts.len()), (2, 2));
}

fn an_outcome_of_a_finished_delivery_is_not_recorded(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let of = |id, number, next| outcome(organization_id, endpoint_id, id, number, 200, next);
    for (number, next) in [NextStep::Succeeded, NextStep::Failed].into_iter().enumerate() {
        let id = f.publish(organization_id, &[endpoint_id], at(number as i64))[0];
        assert_eq!(f.record(vec![of(id, 1, next)]), [true]);
        let unknown = of(DeliveryId(7), 1, NextStep::Succeeded);
        assert_eq!(f.record(vec![of(id, 2, NextStep::Succeeded), unknown]), [false, false]);
        assert_eq!(f.store.delivery(organization_id, id).unwrap().unwrap().attempts.len(), 1);
    }
}

fn an_attempt_in_flight_when_its_delivery_was_cancelled_is_in_the_log(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<DeliveryId> = (0..5).map(|n| f.publish(organization_id, &[endpoint_id], at(n))[0]).collect();
    // one of them had an attempt before
    f.record(vec![retry(organization_id, endpoint_id, ids[3], 1, 60)]);
    assert_eq!(f.store.delete_endpoint(organization_id, endpoint_id, at(9)).unwrap(), Some(5));
    let of = |id, number, status, next| outcome(organization_id, endpoint_id, id, number, status, next);
    let outcomes = vec![
        of(ids[0], 1, 200, NextStep::Succeeded),
        of(ids[1], 1, 404, NextStep::Failed),
        of(ids[2], 1, 503, NextStep::RetryAt(at(60))),
        of(ids[3], 2, 200, NextStep::Succeeded),
    ];
    let batch = WriteBatch { outcomes: outcomes.clone(), ..WriteBatch::default() };
    let report = f.store.commit(&batch, at(20)).unwrap();
    assert_eq!(
        (report.outcomes_recorded.as_slice(), report.after_cancellation.as_slice()),
        (&[false; 4][..], &[0, 1, 2, 3][..])
    );
    assert_eq!(report.counted(&outcomes).as_ref(), [true, false, false, true]);
    let again = f.store.commit(&batch, at(20)).unwrap();
    assert!(again.after_cancellation.is_empty(), "once");
    let (success, cancelled) = (DeliveryStatus::Success, DeliveryStatus::Cancelled);
    for (id, status, attempts, code) in [
        (ids[0], success, 1, Some(200)),
        (ids[1], cancelled, 1, Some(404)),
        (ids[2], cancelled, 1, Some(503)),
        (ids[3], success, 2, Some(200)),
        (ids[4], cancelled, 0, None),
    ] {
        let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
        assert_eq!((detail.record.status, detail.record.response_code), (status, code));
        assert_eq!((detail.record.attempt_count, detail.attempts.len()), (attempts, attempts as usize));
        assert_eq!(detail.record.next_attempt_at, None);
        assert!(detail.record.finished_at.is_some());
    }
    assert_eq!(f.store.count_pending().unwrap(), 0);
}

fn an_attempt_that_the_schedule_does_not_count_is_in_the_log_and_the_delivery_stays_due(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let of = |number, next| outcome(organization_id, endpoint_id, id, number, 401, next);
    let queued = || {
        let page = f.store.due_deliveries(organization_id, endpoint_id, &request(100)).unwrap();
        page.deliveries
            .iter()
            .map(|queued| (queued.attempts_made, queued.attempts_not_counted))
            .collect::<Vec<_>>()
    };
    assert_eq!(f.record(vec![of(1, NextStep::UncountedRetryAt(at(0)))]), [true]);
    assert_eq!(queued(), [(1, 1)]);
    let both = vec![of(2, NextStep::UncountedRetryAt(at(1))), of(3, NextStep::RetryAt(at(60)))];
    assert_eq!(f.record(both), [true, true]);
    assert_eq!(queued(), [(3, 2)]);
    assert_eq!(f.record(vec![of(2, NextStep::UncountedRetryAt(at(1)))]), [false]);
    assert_eq!(queued(), [(3, 2)], "recorded twice, counted once");
    f.record(vec![of(4, NextStep::Succeeded)]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!(detail.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // a new round counts from its beginning
    f.store.requeue_delivery(organization_id, id, Rounds::Schedule, at(99)).unwrap();
    assert_eq!(queued(), [(4, 4)]);
}

/// All steps; how many deliveries they made due, and how many steps there were.
fn make_due(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    limit: usize,
) -> (usize, usize) {
    let (mut after, mut deliveries, mut steps) = (None, 0, 0);
    loop {
        let step = f.store.make_due(organization_id, endpoint_id, after, limit, at(10)).unwrap();
        (after, deliveries, steps) = (step.next, deliveries + step.deliveries, steps + 1);
        if after.is_none() {
            return (deliveries, steps);
        }
    }
}

fn deliveries_that_wait_for_a_retry_are_made_due_in_steps(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let (endpoint_id, untouched) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let ids: Vec<DeliveryId> = (0..7).map(|n| f.publish(organization_id, &[endpoint_id], at(n))[0]).collect();
    let waits = f.publish(organization_id, &[untouched], at(0))[0];
    f.record(vec![retry(organization_id, untouched, waits, 1, 500)]);
    let later = [600, 300, 300, 900, 10];
    f.record(
        ids.iter().zip(later).map(|(&id, seconds)| retry(organization_id, endpoint_id, id, 1, seconds)).collect(),
    );
    f.record(vec![outcome(organization_id, endpoint_id, ids[6], 1, 404, NextStep::Failed)]);
    assert_eq!(make_due(f, other, endpoint_id, 2), (0, 2));
    assert_eq!(make_due(f, organization_id, endpoint_id, 2), (4, 4), "two at a time");
    let mut due = f.due(organization_id, endpoint_id, at(10));
    due.sort_unstable();
    assert_eq!(due, ids[..6]);
    let record = f.store.delivery(organization_id, ids[3]).unwrap().unwrap().record;
    assert_eq!((record.next_attempt_at, record.attempt_count), (Some(at(10)), 1));
    assert!(f.due(organization_id, untouched, at(10)).is_empty());
    assert_eq!(make_due(f, organization_id, endpoint_id, 2).0, 0, "nothing is left");
}

fn the_head_of_an_ordered_queue_is_made_due_and_keeps_its_place(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<DeliveryId> = (0..3).map(|n| f.publish(organization_id, &[endpoint_id], at(n))[0]).collect();
    f.record(vec![Outcome { ordered: true, ..retry(organization_id, endpoint_id, ids[0], 1, 600) }]);
    assert_eq!(make_due(f, organization_id, endpoint_id, 10).0, 1);
    let page = f.store.due_deliveries(organization_id, endpoint_id, &request(10)).unwrap();
    assert_eq!(page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), ids);
    assert_eq!(page.deliveries[0].due_at, at(10));
}

fn an_outcome_of_another_organization_is_not_recorded(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    assert_eq!(f.record(vec![outcome(other, endpoint_id, id, 1, 200, NextStep::Succeeded)]), [false]);
    assert_eq!(f.due(organization_id, endpoint_id, at(1)), [id]);
}

fn two_outcomes_of_one_delivery_in_one_batch_both_count(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    let recorded = f.record(vec![
        retry(organization_id, endpoint_id, id, 1, 1),
        retry(organization_id, endpoint_id, id, 2, 2),
        outcome(organization_id, endpoint_id, id, 3, 404, NextStep::Failed),
    ]);
    assert_eq!(recorded, [true, true, true]);
    let detail = f.store.delivery(organization_id, id).unwrap().unwrap();
    assert_eq!((detail.record.status, detail.record.attempt_count), (DeliveryStatus::Failed, 3));
    assert_eq!(detail.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3]);
}

fn outcomes_are_reported_in_the_order_of_the_batch(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<DeliveryId> = (0..6).map(|_| f.publish(organization_id, &[endpoint_id], at(0))[0]).collect();
    let done = |id| outcome(organization_id, endpoint_id, id, 1, 200, NextStep::Succeeded);
    assert_eq!(f.record(vec![done(ids[4]), done(ids[1])]), [true, true]);
    let recorded = f.record(ids.iter().rev().map(|&id| done(id)).collect());
    assert_eq!(recorded, [true, false, true, true, false, true]);
    assert_eq!(f.store.count_pending().unwrap(), 0);
}

fn a_page_skips_known_deliveries_and_shows_whether_there_are_more(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let ids: Vec<DeliveryId> = (0..6).map(|n| f.publish(organization_id, &[endpoint_id], at(n))[0]).collect();
    let page = |known: &[DeliveryId], max_deliveries| {
        let request = DueRequest { max_deliveries, known: known.to_vec(), ..request(5) };
        let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
        (page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(&[], 4), (ids[..4].to_vec(), true));
    assert_eq!(page(&[], 6), (ids.clone(), false));
    assert_eq!(page(&ids[..4], 2), (ids[4..].to_vec(), false));
    assert_eq!(page(&ids[..4], 1), (vec![ids[4]], true));
    assert_eq!(page(&[ids[1], ids[3], DeliveryId(5)], 2), (vec![ids[0], ids[2]], true));
    assert_eq!(page(&ids, 3), (Vec::new(), false));
    assert_eq!(page(&ids[..5], 0), (Vec::new(), true));
}

fn a_page_begins_behind_the_position_where_another_one_ended(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    // several in one instant
    let ids: Vec<DeliveryId> = (0..9).map(|n| f.publish(organization_id, &[endpoint_id], at(n / 3))[0]).collect();
    let page = |after, max_deliveries, now| {
        let request = DueRequest { max_deliveries, after, ..request(now) };
        let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
        (page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), page.end, page.more)
    };
    let (mut after, mut read) = (None, Vec::new());
    loop {
        let (found, end, more) = page(after, 2, 5);
        assert!(found.len() <= 2 && end > after);
        read.extend(found);
        after = end;
        if !more {
            break;
        }
    }
    assert_eq!(read, ids);
    assert_eq!(page(after, 9, 5), (Vec::new(), after, false), "behind all that were due");
    let third = Some(QueuePosition { queued_at: at(0), id: ids[2] });
    assert_eq!(page(third, 9, 1).0, ids[3..6]);
    // what does not fit is read by the next page
    assert_eq!(page(third, 0, 5), (Vec::new(), third, true));
    let later = f.publish(organization_id, &[endpoint_id], at(6));
    assert_eq!(page(after, 9, 6).0, later);
}

/// An event with a body of this many bytes.
fn sized(
    f: &Fixture,
    organization_id: OrganizationId,
    endpoints: &[EndpointId],
    bytes: usize,
) -> (NewEvent, Vec<DeliveryId>) {
    let new = f.new_event(organization_id, endpoints, at(0));
    let event = Event {
        id: new.event.id,
        organization_id,
        event_type: new.event.event_type.clone(),
        occurred_at: new.event.occurred_at,
        accepted_at: new.event.accepted_at,
        body: Bytes::from(vec![b'x'; bytes]),
        trace: None,
    };
    let ids = new.deliveries.iter().map(|&(id, _)| id).collect();
    (NewEvent { event: Arc::new(event), ..new }, ids)
}

fn a_page_stops_before_too_many_bytes_but_contains_at_least_one_delivery(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let events = [400, 400, 4_000, 10].map(|bytes| sized(f, organization_id, &[endpoint_id], bytes));
    let ids: Vec<DeliveryId> = events.iter().map(|(_, ids)| ids[0]).collect();
    f.commit_events(events.map(|(new, _)| new).to_vec(), at(0));
    let page = |known: &[DeliveryId], max_bytes| {
        let request = DueRequest { max_bytes, known: known.to_vec(), ..request(5) };
        let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
        (page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(&[], 800), (ids[..2].to_vec(), true));
    assert_eq!(page(&[], 799), (ids[..1].to_vec(), true));
    assert_eq!(page(&[], 0), (ids[..1].to_vec(), true));
    assert_eq!(page(&ids[..2], 800), (vec![ids[2]], true));
    assert_eq!(page(&ids[..3], 800), (vec![ids[3]], false));
    assert_eq!(page(&[], 4_810), (ids.clone(), false));
    let first = |known: &[DeliveryId], max_first_bytes| {
        let request = DueRequest { max_bytes: 100, max_first_bytes, known: known.to_vec(), ..request(5) };
        let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
        (page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(first(&[], 400), (ids[..1].to_vec(), true));
    assert_eq!(first(&[], 399), (Vec::new(), true), "a delivery that does not fit is not skipped");
    assert_eq!(first(&ids[..3], 0), (vec![ids[3]], false));
}

fn endpoints_with_a_backlog_share_the_bodies_that_were_read(f: &Fixture) {
    let organization_id = f.organization();
    let (one, other) = (f.endpoint(organization_id), f.endpoint(organization_id));
    let deliveries =
        [f.publish(organization_id, &[one, other], at(1)), f.publish(organization_id, &[other], at(2))];
    let read = |endpoint_id| f.store.due_deliveries(organization_id, endpoint_id, &request(9)).unwrap().deliveries;
    let (first, second) = (read(one), read(other));
    assert_eq!(first.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [deliveries[0][0]]);
    assert_eq!(
        second.iter().map(|delivery| delivery.id).collect::<Vec<_>>(),
        [deliveries[0][1], deliveries[1][0]]
    );
    assert!(Arc::ptr_eq(&first[0].event, &second[0].event), "one body in memory, read once");

    // cached bodies count like bodies that are read
    let small = DueRequest { max_bytes: second[0].event.body.len(), ..request(9) };
    let page = f.store.due_deliveries(organization_id, other, &small).unwrap();
    assert_eq!((page.deliveries.len(), page.more), (1, true));
    let none = DueRequest { max_bytes: 0, max_first_bytes: 0, ..request(9) };
    let page = f.store.due_deliveries(organization_id, other, &none).unwrap();
    assert_eq!((page.deliveries.len(), page.more), (0, true));
}

fn deliveries_of_one_event_share_its_body(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    // a replay delivers an event to the same endpoint again
    let (new, ids) = sized(f, organization_id, &[endpoint_id, endpoint_id, endpoint_id], 1_000);
    f.commit_events(vec![new], at(0));
    let request = DueRequest { max_bytes: 1_000, ..request(1) };
    let page = f.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
    assert_eq!(page.deliveries.iter().map(|queued| queued.id).collect::<Vec<_>>(), ids);
    assert!(Arc::ptr_eq(&page.deliveries[0].event, &page.deliveries[2].event));
    assert!(!page.more);
}

fn the_next_turn_is_the_earliest_after_now(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let next =
        |seconds| f.store.due_deliveries(organization_id, endpoint_id, &request(seconds)).unwrap().next_due_at;
    assert_eq!(next(0), None);
    let ids: Vec<DeliveryId> = (0..3).map(|_| f.publish(organization_id, &[endpoint_id], at(0))[0]).collect();
    assert_eq!(next(0), None);
    f.record(vec![
        retry(organization_id, endpoint_id, ids[0], 1, 90),
        retry(organization_id, endpoint_id, ids[1], 1, 60),
    ]);
    assert_eq!(next(0), Some(at(60)));
    assert_eq!(next(60), Some(at(90)));
    assert_eq!(next(90), None);
}

fn the_agenda_has_the_earliest_turn_of_every_endpoint_with_pending_work(f: &Fixture) {
    let (first, second) = (f.organization(), f.organization());
    let [busy, waiting, idle] = [first, second, second].map(|id| f.endpoint(id));
    for seconds in [5, 6, 7] {
        f.publish(first, &[busy], at(seconds));
    }
    let retried = f.publish(second, &[waiting], at(5))[0];
    let done = f.publish(second, &[idle], at(5))[0];
    f.record(vec![
        retry(second, waiting, retried, 1, 300),
        outcome(second, idle, done, 1, 200, NextStep::Succeeded),
    ]);
    let expected = [
        AgendaRow { endpoint_id: busy, organization_id: first, due_at: at(5) },
        AgendaRow { endpoint_id: waiting, organization_id: second, due_at: at(300) },
    ];
    assert_eq!(f.store.scan_agenda(None, 10).unwrap(), expected);
    f.store.commit(&WriteBatch::default(), at(9)).unwrap();
}

fn the_agenda_is_paged_by_endpoint(f: &Fixture) {
    let organization_id = f.organization();
    assert!(f.store.scan_agenda(None, 10).unwrap().is_empty());
    let ids: Vec<EndpointId> = (0..7).map(|_| f.endpoint(organization_id)).collect();
    for _ in 0..3 {
        f.publish(organization_id, &ids, at(1));
    }
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = f.store.scan_agenda(seen.last().copied(), 3).unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        seen.extend(page.iter().map(|row| row.endpoint_id));
        pages += 1;
        assert!(pages <= 3, "no endpoint occurs twice: {seen:?}");
    }
    assert_eq!((seen, pages), (ids, 3));
    assert!(f.store.scan_agenda(None, 0).unwrap().is_empty());
}
