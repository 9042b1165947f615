//! Accepting events: what a commit stores, and idempotency keys.

use std::sync::Arc;

use ringback::domain::endpoint::{DisabledReason, Endpoint};
use ringback::domain::ids::OrganizationId;
use ringback::domain::labels::EventLabels;
use ringback::domain::time::UnixMillis;
use ringback::store::{AcceptedEvent, BatchKey, DisableEndpoint, EventCommit, NewEvent, StoreError, WriteBatch};

use crate::fixture::{Fixture, URL, at, keyed, outcome, plain_endpoint};

on_every_store!(
    an_event_is_stored_with_a_pending_delivery_for_each_endpoint,
    an_event_without_deliveries_is_stored,
    a_key_used_before_returns_the_first_event,
    a_key_used_with_another_request_is_refused,
    a_key_is_used_once_within_one_batch,
    a_key_is_forgotten_after_a_day,
    a_key_belongs_to_its_organization,
    an_own_id_is_refused_for_as_long_as_its_event_is_kept_also_when_its_key_is_forgotten,
    a_batch_is_stored_whole_or_not_at_all,
    an_event_with_a_refused_delivery_stores_none_of_its_others,
    an_event_is_stored_with_all_its_deliveries_however_many_they_are,
    an_event_and_the_outcome_of_its_delivery_can_be_in_one_batch,
    an_endpoint_that_answers_410_is_disabled_once,
    a_large_batch_is_stored_whole,
    a_repeated_batch_stores_what_is_missing_and_nothing_twice,
    another_batch_with_a_used_key_is_refused_whole_also_beyond_the_length_of_the_first,
);

fn accepted(new: &NewEvent) -> AcceptedEvent {
    AcceptedEvent {
        id: new.event.id,
        event_type: new.event.event_type.clone(),
        occurred_at: new.event.occurred_at,
        deliveries: new.deliveries.len(),
    }
}

fn an_event_is_stored_with_a_pending_delivery_for_each_endpoint(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints = [f.endpoint(organization_id), f.endpoint(organization_id)];
    let new = f.new_event(organization_id, &endpoints, at(1));
    assert_eq!(f.commit_events(vec![new.clone()], at(1)).events, [EventCommit::Stored]);
    for (delivery_id, endpoint_id) in &new.deliveries {
        let detail = f.store.delivery(organization_id, *delivery_id).unwrap().unwrap();
        assert_eq!(detail.body, new.event.body);
        assert!(detail.attempts.is_empty());
        let record = detail.record;
        assert_eq!((record.id, record.endpoint_id), (*delivery_id, *endpoint_id));
        assert_eq!((record.event_id, record.organization_id), (new.event.id, organization_id));
        assert_eq!((record.event_type.as_str(), record.status.as_str()), ("call.completed", "pending"));
        assert_eq!((record.attempt_count, record.response_code, record.error), (0, None, None));
        assert_eq!((record.created_at, record.finished_at), (at(1), None));
        assert_eq!(record.next_attempt_at, Some(at(1)));
        assert_eq!(f.due(organization_id, *endpoint_id, at(1)), [*delivery_id]);
    }
    assert_eq!(f.store.count_pending().unwrap(), 2);
}

fn an_event_without_deliveries_is_stored(f: &Fixture) {
    let organization_id = f.organization();
    let new = keyed(f.new_event(organization_id, &[], at(1)), "nobody", 1);
    assert_eq!(f.commit_events(vec![new.clone()], at(1)).events, [EventCommit::Stored]);
    let again = keyed(f.new_event(organization_id, &[], at(2)), "nobody", 1);
    assert_eq!(f.commit_events(vec![again], at(2)).events, [EventCommit::Replayed(accepted(&new))]);
    assert!(f.log(organization_id, &Default::default()).is_empty());
}

fn a_key_used_before_returns_the_first_event(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let first = keyed(f.new_event(organization_id, &[endpoint_id], at(0)), "order-7", 1);
    let plain = f.new_event(organization_id, &[endpoint_id], at(0));
    f.commit_events(vec![plain, first.clone()], at(0));
    let before = f.log(organization_id, &Default::default());
    let again = keyed(f.new_event(organization_id, &[endpoint_id], at(10)), "order-7", 1);
    let other = keyed(f.new_event(organization_id, &[endpoint_id], at(10)), "order-8", 1);
    let report = f.commit_events(vec![again, other.clone()], at(10));
    assert_eq!(report.events, [EventCommit::Replayed(accepted(&first)), EventCommit::Stored]);
    let mut expected = vec![other.deliveries[0].0];
    expected.extend(before);
    assert_eq!(f.log(organization_id, &Default::default()), expected);
}

fn a_key_used_with_another_request_is_refused(f: &Fixture) {
    let organization_id = f.organization();
    f.commit_events(vec![keyed(f.new_event(organization_id, &[], at(0)), "k", 1)], at(0));
    let other = keyed(f.new_event(organization_id, &[], at(1)), "k", 2);
    assert_eq!(f.commit_events(vec![other], at(1)).events, [EventCommit::KeyReused]);
}

fn a_key_is_used_once_within_one_batch(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let make = |request| keyed(f.new_event(organization_id, &[endpoint_id], at(0)), "k", request);
    let (first, second, third) = (make(1), make(1), make(2));
    let report = f.commit_events(vec![first.clone(), second, third], at(0));
    assert_eq!(
        report.events,
        [EventCommit::Stored, EventCommit::Replayed(accepted(&first)), EventCommit::KeyReused]
    );
    assert_eq!(f.due(organization_id, endpoint_id, at(0)), [first.deliveries[0].0]);
}

fn a_key_is_forgotten_after_a_day(f: &Fixture) {
    const DAY: i64 = 24 * 3600;
    let organization_id = f.organization();
    let commit = |request, seconds| {
        let new = keyed(f.new_event(organization_id, &[], at(seconds)), "k", request);
        let report = f.commit_events(vec![new.clone()], at(seconds));
        (new, report.events.into_iter().next().unwrap())
    };
    let (first, _) = commit(1, 0);
    assert_eq!(commit(1, DAY - 1).1, EventCommit::Replayed(accepted(&first)));
    let (second, stored) = commit(2, DAY);
    assert_eq!(stored, EventCommit::Stored);
    assert_eq!(commit(2, DAY + 1).1, EventCommit::Replayed(accepted(&second)));
    assert_eq!(commit(1, 2 * DAY - 1).1, EventCommit::KeyReused);
}

fn a_key_belongs_to_its_organization(f: &Fixture) {
    let (first, second) = (f.organization(), f.organization());
    let make = |organization_id, request| keyed(f.new_event(organization_id, &[], at(0)), "k", request);
    let report = f.commit_events(vec![make(first, 1), make(second, 2)], at(0));
    assert_eq!(report.events, [EventCommit::Stored, EventCommit::Stored]);
    let report = f.commit_events(vec![make(second, 1), make(first, 2)], at(0));
    assert_eq!(report.events, [EventCommit::KeyReused, EventCommit::KeyReused]);
}

fn an_own_id_is_refused_for_as_long_as_its_event_is_kept_also_when_its_key_is_forgotten(f: &Fixture) {
    const DAY: i64 = 24 * 3600;
    let (organization_id, other) = (f.organization(), f.organization());
    let named = |organization_id, uid: &str, request, seconds| {
        let labels = EventLabels { uid: Some(uid.to_owned()), ..EventLabels::default() };
        let event = f.new_event(organization_id, &[], at(seconds));
        keyed(NewEvent { labels: Some(Arc::new(labels)), ..event }, uid, request)
    };
    let first = named(organization_id, "a", 1, 0);
    let twice = named(organization_id, "b", 2, 0);
    let batch = vec![first.clone(), twice, named(organization_id, "b", 3, 0)];
    let report = f.commit_events(batch, at(0));
    assert_eq!(report.events, [EventCommit::Stored, EventCommit::Stored, EventCommit::KeyReused]);
    let repeated = f.commit_events(vec![named(organization_id, "a", 1, 5)], at(5));
    assert_eq!(repeated.events, [EventCommit::Replayed(accepted(&first))]);
    let later = 3 * DAY;
    let batch = vec![
        named(organization_id, "a", 1, later),
        named(organization_id, "c", 4, later),
        named(other, "a", 5, later),
    ];
    let report = f.commit_events(batch, at(later));
    assert_eq!(report.events, [EventCommit::KeyReused, EventCommit::Stored, EventCommit::Stored]);
    assert_eq!(f.store.event_by_uid(organization_id, "a").unwrap(), Some(first.event.id));
}

fn a_batch_is_stored_whole_or_not_at_all(f: &Fixture) {
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let known = f.new_event(organization_id, &[endpoint_id], at(0));
    f.commit_events(vec![known.clone()], at(0));
    let fresh = keyed(f.new_event(organization_id, &[endpoint_id], at(1)), "k", 1);
    let batch = WriteBatch { events: vec![fresh.clone(), known.clone()], ..WriteBatch::default() };
    assert!(matches!(f.store.commit(&batch, at(1)), Err(StoreError::Conflict)));
    assert_eq!(f.due(organization_id, endpoint_id, at(9)), [known.deliveries[0].0]);
    // and the store works on: nothing of the failed batch is in the way
    assert_eq!(f.commit_events(vec![fresh], at(1)).events, [EventCommit::Stored]);
}

fn an_event_with_a_refused_delivery_stores_none_of_its_others(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints: Vec<_> = (0..7).map(|_| f.endpoint(organization_id)).collect();
    let known = f.new_event(organization_id, &endpoints[6..], at(0));
    f.commit_events(vec![known.clone()], at(0));
    let fresh = f.new_event(organization_id, &endpoints, at(1));
    let mut refused = fresh.clone();
    // not the first of several deliveries inserted by one statement
    refused.deliveries[3].0 = known.deliveries[0].0;
    let batch = WriteBatch { events: vec![refused], ..WriteBatch::default() };
    assert!(matches!(f.store.commit(&batch, at(1)), Err(StoreError::Conflict)));
    assert_eq!(f.store.count_pending().unwrap(), 1);
    f.commit_events(vec![fresh], at(1));
    assert_eq!(f.store.count_pending().unwrap(), 8);
}

fn an_event_is_stored_with_all_its_deliveries_however_many_they_are(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints: Vec<_> = (0..100).map(|_| f.endpoint(organization_id)).collect();
    for count in [0, 1, 2, 3, 15, 31, 32, 33, 63, 64, 100] {
        let new = f.new_event(organization_id, &endpoints[..count], at(0));
        f.commit_events(vec![new.clone()], at(0));
        for (delivery_id, endpoint_id) in new.deliveries {
            assert_eq!(f.due(organization_id, endpoint_id, at(9)).last(), Some(&delivery_id), "of {count}");
        }
    }
}

fn an_event_and_the_outcome_of_its_delivery_can_be_in_one_batch(f: &Fixture) {
    use ringback::domain::attempt::NextStep;
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let new = f.new_event(organization_id, &[endpoint_id], at(0));
    let delivery_id = new.deliveries[0].0;
    let outcomes = vec![outcome(organization_id, endpoint_id, delivery_id, 1, 200, NextStep::Succeeded)];
    let batch = WriteBatch { events: vec![new], outcomes, ..WriteBatch::default() };
    assert_eq!(f.store.commit(&batch, at(0)).unwrap().outcomes_recorded, [true]);
    assert_eq!(f.store.count_pending().unwrap(), 0);
}

fn an_endpoint_that_answers_410_is_disabled_once(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let id = f.endpoint(organization_id);
    let deleted = f.endpoint(organization_id);
    f.store.delete_endpoint(organization_id, deleted, at(0)).unwrap();
    let gone = vec![(other, id), (organization_id, deleted), (organization_id, id), (organization_id, id)];
    let disable = gone
        .into_iter()
        .map(|(organization_id, endpoint_id)| DisableEndpoint {
            organization_id,
            endpoint_id,
            reason: DisabledReason::Gone,
            url: URL.into(),
            announced_by: None,
        })
        .collect();
    let batch = WriteBatch { disable, ..WriteBatch::default() };
    let disabled = f.store.commit(&batch, at(5)).unwrap().disabled;
    let expected = Endpoint {
        active: false,
        disabled_reason: Some(DisabledReason::Gone),
        disabled_at: Some(at(5)),
        updated_at: at(5),
        version: 2,
        ..plain_endpoint(id, organization_id)
    };
    assert!(disabled.len() == 1 && disabled[0] == expected);
    assert!(f.store.endpoint(organization_id, id).unwrap().unwrap().endpoint == expected);
    assert!(f.store.commit(&batch, at(6)).unwrap().disabled.is_empty());
}

/// Items of a batch with a key, at these places of the request.
fn of_batch(f: &Fixture, organization_id: OrganizationId, key: &BatchKey, places: &[usize]) -> Vec<NewEvent> {
    let endpoint_id = f.endpoint(organization_id);
    let item = |&place: &usize| NewEvent {
        idempotency: Some(key.of_item(place)),
        batch: Some(Arc::new(key.clone())),
        ..f.new_event(organization_id, &[endpoint_id], at(0))
    };
    places.iter().map(item).collect()
}

fn a_repeated_batch_stores_what_is_missing_and_nothing_twice(f: &Fixture) {
    let (organization_id, other) = (f.organization(), f.organization());
    let key = BatchKey::new("nightly", [1; 32]);
    let first = of_batch(f, organization_id, &key, &[0, 2]);
    let report = f.commit_events(first.clone(), at(0));
    assert_eq!(report.events, [EventCommit::Stored, EventCommit::Stored]);
    // the rest of it in a later commit, as after a crash
    let again = of_batch(f, organization_id, &key, &[0, 2, 3]);
    let report = f.commit_events(again, at(1));
    assert_eq!(report.events[0], EventCommit::Replayed(accepted(&first[0])));
    assert_eq!(report.events[1], EventCommit::Replayed(accepted(&first[1])));
    assert_eq!(report.events[2], EventCommit::Stored);
    assert_eq!(f.store.count_pending().unwrap(), 3);
    // another organization has keys of its own
    let foreign = of_batch(f, other, &BatchKey::new("nightly", [2; 32]), &[0]);
    assert_eq!(f.commit_events(foreign, at(1)).events, [EventCommit::Stored]);
}

fn another_batch_with_a_used_key_is_refused_whole_also_beyond_the_length_of_the_first(f: &Fixture) {
    let organization_id = f.organization();
    f.commit_events(of_batch(f, organization_id, &BatchKey::new("nightly", [1; 32]), &[0, 1]), at(0));
    let other = BatchKey::new("nightly", [2; 32]);
    for places in [&[0, 1, 2, 3][..], &[7]] {
        let report = f.commit_events(of_batch(f, organization_id, &other, places), at(1));
        assert!(report.events.iter().all(|commit| *commit == EventCommit::BatchKeyReused), "{places:?}");
    }
    // both in one commit: the first decides
    let mut both = of_batch(f, organization_id, &BatchKey::new("new", [1; 32]), &[0, 1]);
    both.extend(of_batch(f, organization_id, &BatchKey::new("new", [2; 32]), &[0, 5]));
    let report = f.commit_events(both, at(2));
    assert_eq!(report.events[..2], [EventCommit::Stored, EventCommit::Stored]);
    assert_eq!(report.events[2..], [EventCommit::BatchKeyReused, EventCommit::BatchKeyReused]);
    // a day later the key is free
    let later = UnixMillis(at(1).0 + 25 * 3_600_000);
    let report = f.commit_events(of_batch(f, organization_id, &other, &[0]), later);
    assert_eq!(report.events, [EventCommit::Stored]);
}

fn a_large_batch_is_stored_whole(f: &Fixture) {
    let organization_id = f.organization();
    let endpoints: Vec<_> = (0..10).map(|_| f.endpoint(organization_id)).collect();
    let events: Vec<NewEvent> =
        (0..700).map(|n| keyed(f.new_event(organization_id, &endpoints, at(0)), &format!("key-{n}"), 1)).collect();
    let report = f.commit_events(events.clone(), at(0));
    assert!(report.events.iter().all(|commit| *commit == EventCommit::Stored));
    assert_eq!(f.store.count_pending().unwrap(), 7_000);
    let again = events
        .iter()
        .map(|new| NewEvent { idempotency: new.idempotency.clone(), ..f.new_event(organization_id, &[], at(1)) })
        .collect();
    let report = f.commit_events(again, at(1));
    for (commit, new) in report.events.iter().zip(&events) {
        assert_eq!(*commit, EventCommit::Replayed(accepted(new)));
    }
}
