//! Events that are published for a later time, and payloads that are kept for a shorter one.

use std::sync::Arc;
use std::time::Duration;

use ringback::actors::publication::Publication;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::ids::{EndpointId, EventId};
use ringback::domain::labels::EventLabels;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::time::UnixMillis;

use super::world::{BEGIN, Life, ORGANIZATION, World, always, down_until, endpoint, pass};
use super::{DATA, count, deliveries};

const MINUTE: Duration = Duration::from_secs(60);

fn labelled(life: &Life, labels: EventLabels) -> Publication {
    let mut publication = life.publication("call.completed", DATA);
    publication.labels = Some(Arc::new(labels));
    publication
}

async fn publish_for(life: &Life, at: UnixMillis) -> String {
    let labels = EventLabels { deliver_at: Some(at), ..EventLabels::default() };
    life.engine().publish(labelled(life, labels)).await.unwrap().event.id.to_string()
}

fn is_erased(world: &World, id: EventId) -> bool {
    world.store.event(ORGANIZATION, id).unwrap().unwrap().body.is_empty()
}

#[test]
fn an_event_for_a_later_time_is_delivered_then_whoever_was_busy_and_whatever_was_restarted() {
    let world = World::new();
    for id in [1, 2] {
        world.endpoint(id, always(200));
    }
    let (soon, late) = (BEGIN + 2 * MINUTE, BEGIN + 600 * MINUTE);
    world.live(async |life| {
        // the first event finds a supervisor at work, the second none
        life.publish("call.completed", DATA).await;
        publish_for(&life, soon).await;
        life.until(BEGIN + 10 * MINUTE).await;
        publish_for(&life, late).await;
        publish_for(&life, BEGIN).await;
        life.until(BEGIN + 20 * MINUTE).await;
    });
    assert_eq!(deliveries(&world, 1)[1].next_attempt_at, Some(late));
    world.live(async |life| life.until(BEGIN + 300 * MINUTE).await);
    for id in [1, 2] {
        assert_eq!(world.seen(id).len(), 3, "none before its time");
    }
    world.live(async |life| life.until(BEGIN + 601 * MINUTE).await);
    for id in [1, 2] {
        let seen: Vec<f64> = world.seen(id).iter().map(|seen| seen.second()).collect();
        for (at, expected) in seen.iter().zip([0.0, 120.0, 600.0, 36_000.0]) {
            assert!((expected..expected + 0.5).contains(at), "{seen:?}");
        }
        assert_eq!((seen.len(), count(&world, id, DeliveryStatus::Success)), (4, 4));
    }
}

#[test]
fn a_webhook_that_is_made_after_an_event_was_published_does_not_get_it_and_a_deleted_one_neither() {
    let world = World::new();
    world.endpoint(1, always(200));
    world.live(async |life| {
        publish_for(&life, BEGIN + 30 * MINUTE).await;
        world.endpoint(2, always(200));
        world.store.delete_endpoint(ORGANIZATION, EndpointId(1), life.now()).unwrap();
        life.engine().settings_changed();
        life.until(BEGIN + 60 * MINUTE).await;
    });
    assert_eq!((world.seen(1).len(), world.seen(2).len()), (0, 0));
    assert_eq!(count(&world, 1, DeliveryStatus::Cancelled), 1);
}

#[test]
fn in_an_ordered_queue_an_event_has_the_place_of_its_time_and_keeps_nothing_waiting_before_it() {
    let world = World::new();
    let mut ordered = endpoint(1);
    ordered.ordered = true;
    ordered.retry = RetrySchedule::Policy(RetryPolicy { initial_delay_seconds: 2, ..RetryPolicy::default() });
    world.store.create_endpoint(&ordered).unwrap();
    // one attempt a second, some of which fail
    world.script(1, |now| {
        let fails = now.as_seconds() % 7 == 0;
        (Duration::from_millis(400), Ok(if fails { 503 } else { 200 }))
    });
    let mut expected: Vec<(UnixMillis, String)> = Vec::new();
    world.live(async |life| {
        for number in 0..120u32 {
            let now = life.now();
            // at the same instants at which others are published
            let at = if number % 3 == 0 { now + number % 5 * Duration::from_millis(1_700) } else { now };
            expected.push((at.max(now), publish_for(&life, at).await));
            pass(Duration::from_millis(170)).await;
        }
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    // of those with one time the one that was published first
    expected.sort_by_key(|(at, _)| *at);
    let mut firsts: Vec<String> = Vec::new();
    for seen in world.seen(1) {
        if !firsts.contains(&seen.event_id) {
            firsts.push(seen.event_id);
        }
    }
    assert_eq!(firsts, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[test]
fn a_resumed_webhook_makes_its_retries_at_once_and_first_attempts_at_their_time() {
    let world = World::new();
    let back_at = BEGIN + 10 * MINUTE;
    let mut endpoint = world.endpoint(1, down_until(back_at));
    world.live(async |life| {
        life.change(&world, &mut endpoint, |endpoint| {
            endpoint.retry = RetrySchedule::Policy(RetryPolicy {
                max_attempts: 9,
                backoff_multiplier: 1.0,
                initial_delay_seconds: 7_200,
                max_delay_seconds: 7_200,
            });
        });
        life.publish("call.completed", DATA).await;
        publish_for(&life, BEGIN + 60 * MINUTE).await;
        life.until(back_at).await;
        let mut after = None;
        while let Some(next) =
            world.store.make_due(ORGANIZATION, EndpointId(1), after, 250, life.now()).unwrap().next
        {
            after = Some(next);
        }
        life.engine().endpoint_resumed(ORGANIZATION, EndpointId(1));
        life.until(back_at + MINUTE).await;
        assert_eq!(count(&world, 1, DeliveryStatus::Success), 1);
        life.until(BEGIN + 59 * MINUTE).await;
        assert_eq!(world.seen(1).len(), 2);
        life.until(BEGIN + 61 * MINUTE).await;
        assert_eq!(world.seen(1).len(), 3);
    });
}

#[test]
fn a_payload_is_forgotten_within_two_minutes_of_its_time_and_what_is_pending_is_cancelled() {
    let world = World::new();
    world.endpoint(1, always(200));
    let mut down = world.endpoint(2, down_until(BEGIN + 1_000 * MINUTE));
    let end = BEGIN + 60 * MINUTE;
    let mut ids = Vec::new();
    world.live(async |life| {
        let patient = RetryPolicy { max_attempts: 50, ..RetryPolicy::default() };
        life.change(&world, &mut down, |endpoint| endpoint.retry = RetrySchedule::Policy(patient));
        // more than a step forgets
        for number in 0..600 {
            let erase_at = (number % 2 == 0).then_some(end);
            let publication = labelled(&life, EventLabels { erase_at, ..EventLabels::default() });
            ids.push((life.engine().publish(publication).await.unwrap().event.id, erase_at.is_some()));
        }
        life.until(end).await;
    });
    assert!(ids.iter().all(|(id, _)| !is_erased(&world, *id)));
    // and after a restart
    world.live(async |life| {
        life.until(end + 2 * MINUTE).await;
        for (id, is_short) in &ids {
            assert_eq!(is_erased(&world, *id), *is_short);
        }
        assert_eq!(count(&world, 2, DeliveryStatus::Cancelled), 300);
        assert_eq!(count(&world, 2, DeliveryStatus::Pending), 300);
        life.until(BEGIN + 1_400 * MINUTE).await;
    });
    assert_eq!(count(&world, 1, DeliveryStatus::Success), 600, "what was delivered stays so");
    let after = world.seen(2).into_iter().filter(|seen| seen.at > end + 2 * MINUTE);
    let sent: std::collections::HashSet<String> = after.map(|seen| seen.event_id).collect();
    let kept = ids.iter().filter(|(_, is_short)| !is_short).map(|(id, _)| id.to_string());
    assert_eq!(sent, kept.collect());
}
