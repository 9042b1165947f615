//! Events that are due later, and payloads that are forgotten at a time.

use std::sync::Arc;

use ringback::domain::attempt::NextStep;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use ringback::domain::labels::EventLabels;
use ringback::store::{
    CANCELLED_AT_ONCE, Changed, ChangesSince, DueRequest, EventListFilter, EventPageRequest, ExpiryStep, NewEvent,
    PageEdge, StoreError,
};

use crate::fixture::{Fixture, at, outcome};

on_every_store!(
    a_delivery_for_a_later_time_is_not_due_before_and_the_log_tells_when,
    only_retries_are_made_due_and_first_attempts_keep_their_time,
    an_event_keeps_its_times_beside_its_labels,
    payloads_are_forgotten_in_the_order_of_their_times_and_no_others,
    pending_deliveries_of_a_forgotten_payload_are_cancelled_in_bounded_steps,
    whoever_can_have_a_forgotten_payload_in_memory_hears_of_it_and_nobody_else_is_disturbed,
    an_event_that_was_removed_or_erased_before_its_time_is_in_nobodys_way,
);

fn labelled(f: &Fixture, owner: OrganizationId, to: &[EndpointId], labels: EventLabels) -> NewEvent {
    NewEvent { labels: Some(Arc::new(labels)), ..f.new_event(owner, to, at(0)) }
}

fn publish(
    f: &Fixture,
    owner: OrganizationId,
    to: &[EndpointId],
    labels: EventLabels,
) -> (EventId, Vec<DeliveryId>) {
    let new = labelled(f, owner, to, labels);
    let ids = (new.event.id, new.deliveries.iter().map(|(id, _)| *id).collect());
    f.commit_events(vec![new], at(0));
    ids
}

fn for_time(seconds: i64) -> EventLabels {
    EventLabels { deliver_at: Some(at(seconds)), ..EventLabels::default() }
}

fn until(seconds: i64) -> EventLabels {
    EventLabels { erase_at: Some(at(seconds)), ..EventLabels::default() }
}

fn is_erased(f: &Fixture, owner: OrganizationId, id: EventId) -> bool {
    f.store.event(owner, id).unwrap().unwrap().body.is_empty()
}

fn erase(f: &Fixture, seconds: i64, limit: usize) -> ExpiryStep {
    f.store.erase_expired_payloads(at(seconds), limit).unwrap()
}

fn next_due(f: &Fixture, owner: OrganizationId, endpoint_id: EndpointId, seconds: i64) -> Option<i64> {
    let request = DueRequest {
        now: at(seconds),
        max_deliveries: 9,
        max_bytes: 1_000,
        max_first_bytes: 1_000,
        after: None,
        known: Vec::new(),
    };
    let page = f.store.due_deliveries(owner, endpoint_id, &request).unwrap();
    page.next_due_at.map(|due| (due.0 - at(0).0) / 1_000)
}

fn a_delivery_for_a_later_time_is_not_due_before_and_the_log_tells_when(f: &Fixture) {
    let owner = f.organization();
    let [first, second] = [(); 2].map(|()| f.endpoint(owner));
    let (_, late) = publish(f, owner, &[first, second], for_time(30));
    let (_, now) = publish(f, owner, &[first], EventLabels::default());
    let (_, over) = publish(f, owner, &[first], for_time(-30));
    assert_eq!(f.due(owner, first, at(29)), [now[0], over[0]]);
    assert_eq!((next_due(f, owner, first, 29), next_due(f, owner, second, 0)), (Some(30), Some(30)));
    assert_eq!(f.due(owner, first, at(30)), [now[0], over[0], late[0]], "in the order of their times");
    assert_eq!(f.due(owner, second, at(30)), [late[1]]);
    let agenda = f.store.scan_agenda(None, 9).unwrap();
    let due: Vec<_> = agenda.iter().filter(|row| row.organization_id == owner).map(|row| row.due_at).collect();
    assert_eq!(due, [at(0), at(30)]);
    let record = f.store.delivery(owner, late[1]).unwrap().unwrap().record;
    assert_eq!((record.status, record.created_at), (DeliveryStatus::Pending, at(0)));
    assert_eq!(record.next_attempt_at, Some(at(30)));
}

fn only_retries_are_made_due_and_first_attempts_keep_their_time(f: &Fixture) {
    let owner = f.organization();
    let endpoint_id = f.endpoint(owner);
    let (_, late) = publish(f, owner, &[endpoint_id], for_time(500));
    let (_, tried) = publish(f, owner, &[endpoint_id], EventLabels::default());
    f.record(vec![outcome(owner, endpoint_id, tried[0], 1, 503, NextStep::RetryAt(at(400)))]);
    let (mut after, mut made_due) = (None, 0);
    loop {
        let step = f.store.make_due(owner, endpoint_id, after, 1, at(50)).unwrap();
        made_due += step.deliveries;
        let Some(next) = step.next else { break };
        after = Some(next);
    }
    assert_eq!(made_due, 1);
    assert_eq!(f.due(owner, endpoint_id, at(50)), tried);
    assert_eq!(f.due(owner, endpoint_id, at(500)), [tried[0], late[0]]);
    // one that is named is made due
    f.store.make_delivery_due(owner, late[0], at(60)).unwrap();
    assert_eq!(f.due(owner, endpoint_id, at(60)), [tried[0], late[0]]);
}

fn an_event_keeps_its_times_beside_its_labels(f: &Fixture) {
    let owner = f.organization();
    let labels = EventLabels {
        channels: vec![String::from("c")],
        tags: vec![String::from("t")],
        uid: Some(String::from("u")),
        deliver_at: Some(at(40)),
        erase_at: Some(at(3_600)),
    };
    let (id, _) = publish(f, owner, &[], labels.clone());
    let (plain, _) = publish(f, owner, &[], EventLabels::default());
    assert_eq!(f.store.event(owner, id).unwrap().unwrap().record.labels, labels);
    assert_eq!(f.store.event(owner, plain).unwrap().unwrap().record.labels, EventLabels::default());
    let wanted = EventPageRequest { edge: PageEdge::Newest, limit: 9, with_body: false };
    let listed = f.store.event_list(owner, &EventListFilter::default(), wanted).unwrap().rows;
    assert_eq!(listed.iter().map(|row| &row.labels).collect::<Vec<_>>(), [&EventLabels::default(), &labels]);
}

fn payloads_are_forgotten_in_the_order_of_their_times_and_no_others(f: &Fixture) {
    let (owner, other) = (f.organization(), f.organization());
    let [late, early, middle] = [30, 10, 20].map(|end| publish(f, owner, &[], until(end)).0);
    let (of_other, _) = publish(f, other, &[], until(15));
    let (plain, _) = publish(f, owner, &[], EventLabels::default());
    assert_eq!(erase(f, 9, 9), ExpiryStep::default());
    let step = erase(f, 20, 2);
    assert_eq!((step.erased, step.has_more, step.cancelled.len()), (2, true, 0));
    assert!(is_erased(f, owner, early) && is_erased(f, other, of_other) && !is_erased(f, owner, middle));
    assert_eq!(erase(f, 20, 2), ExpiryStep { erased: 1, ..ExpiryStep::default() });
    assert_eq!(erase(f, 20, 2), ExpiryStep::default(), "each once");
    assert!(is_erased(f, owner, middle) && !is_erased(f, owner, late) && !is_erased(f, owner, plain));
}

fn pending_deliveries_of_a_forgotten_payload_are_cancelled_in_bounded_steps(f: &Fixture) {
    let owner = f.organization();
    let endpoint_id = f.endpoint(owner);
    let (small, of_small) = publish(f, owner, &[endpoint_id; 3], until(10));
    f.record(vec![outcome(owner, endpoint_id, of_small[0], 1, 200, NextStep::Succeeded)]);
    let (wide, _) = publish(f, owner, &vec![endpoint_id; CANCELLED_AT_ONCE + 3], until(10));
    let (kept, _) = publish(f, owner, &[endpoint_id], until(99));
    let first = erase(f, 10, 9);
    assert_eq!((first.erased, first.cancelled.len(), first.has_more), (1, CANCELLED_AT_ONCE, true));
    assert!(first.cancelled.iter().all(|of| *of == (owner, endpoint_id)));
    assert!(is_erased(f, owner, small) && !is_erased(f, owner, wide), "nothing without a body is pending");
    let second = erase(f, 10, 9);
    assert_eq!((second.erased, second.cancelled.len(), second.has_more), (1, 5, false));
    assert!(is_erased(f, owner, wide));
    assert_eq!(f.store.pending(owner, Some(endpoint_id)).unwrap().pending, 1);
    use DeliveryStatus::{Cancelled, Success};
    let rows = f.store.event(owner, small).unwrap().unwrap().deliveries;
    assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [Success, Cancelled, Cancelled]);
    assert_eq!((rows[1].finished_at, rows[1].next_attempt_at), (Some(at(10)), None));
    let range = |id| f.store.requeue_delivery(owner, id, ringback::domain::round::Rounds::Once, at(60));
    assert!(matches!(range(of_small[0]), Err(StoreError::PayloadErased)));
    assert!(!is_erased(f, owner, kept));
}

fn whoever_can_have_a_forgotten_payload_in_memory_hears_of_it_and_nobody_else_is_disturbed(f: &Fixture) {
    let owner = f.organization();
    let endpoint_id = f.endpoint(owner);
    let (pending, _) = publish(f, owner, &[endpoint_id], until(10));
    let (ended, of_ended) = publish(f, owner, &[endpoint_id], until(10));
    f.record(vec![outcome(owner, endpoint_id, of_ended[0], 1, 200, NextStep::Succeeded)]);
    let before = f.store.last_change().unwrap();
    assert_eq!(erase(f, 10, 9).erased, 2);
    assert!(is_erased(f, owner, ended));
    let ChangesSince::Lines(lines) = f.store.changes_since(before, 9).unwrap() else { panic!("no lines") };
    // each line makes the events of its organization be matched again
    let lines: Vec<_> = lines.iter().map(|line| (line.organization_id, line.what)).collect();
    assert_eq!(lines, [(owner, Changed::PayloadErased(pending))]);
}

fn an_event_that_was_removed_or_erased_before_its_time_is_in_nobodys_way(f: &Fixture) {
    let owner = f.organization();
    let (erased, _) = publish(f, owner, &[], until(10));
    f.store.erase_payload(owner, erased, at(1)).unwrap();
    publish(f, owner, &[], until(10));
    f.store.prune(at(1), None, 1).unwrap();
    f.store.prune(at(1), Some(erased), 9).unwrap();
    let (last, _) = publish(f, owner, &[], until(10));
    let mut steps = 0;
    while erase(f, 10, 1).has_more {
        steps += 1;
        assert!(steps < 5, "the same again and again");
    }
    assert!(is_erased(f, owner, last));
}
