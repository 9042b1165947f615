//! Receivers that are moved, deleted, repaired: whose answer counts, and what goes out then.

use std::time::Duration;

use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::health::EndpointState;
use ringback::domain::ids::EndpointId;
use ringback::domain::patterns::EventPattern;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::time::UnixMillis;
use ringback::store::EndpointStart;

use super::world::{BEGIN, Life, ORGANIZATION, World, always, down_until, endpoint, pass, url};
use super::{DATA, DAY, count, deliveries};

const SECOND: Duration = Duration::from_secs(1);

fn read(world: &World, id: i64) -> EndpointStart {
    world.store.endpoint(ORGANIZATION, EndpointId(id)).unwrap().unwrap()
}

fn state(world: &World, id: i64) -> EndpointState {
    let EndpointStart { endpoint, health } = read(world, id);
    EndpointState::of(&endpoint, Some(&health))
}

fn operational_events(world: &World, id: i64) -> Vec<String> {
    let body = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["event_type"].clone();
    world.seen(id).iter().map(|seen| body(&seen.body).as_str().unwrap().to_owned()).collect()
}

/// Subscribes to the operational events about the others.
fn watcher(world: &World, id: i64) {
    let mut watcher = endpoint(id);
    watcher.events = ["webhook.disabled", "webhook.failing", "webhook.recovered"]
        .map(|name| EventPattern::parse(name).unwrap())
        .to_vec();
    world.store.create_endpoint(&watcher).unwrap();
    world.script(id, always(200));
}

#[test]
fn a_late_410_of_a_url_that_was_replaced_disables_nothing_and_ends_nothing() {
    // with the supervisor knowing of the change, and with only the database
    for engine_knows in [true, false] {
        let world = World::new();
        let mut moved = endpoint(1);
        moved.events = vec![EventPattern::parse("call.*").unwrap()];
        world.store.create_endpoint(&moved).unwrap();
        world.script(1, |_| (3 * SECOND, Ok(410)));
        world.script(2, always(200));
        watcher(&world, 3);
        world.live(async |life| {
            life.publish("call.completed", DATA).await;
            pass(SECOND).await;
            moved.url = url(2);
            moved.version += 1;
            world.store.update_endpoint(&moved).unwrap();
            if engine_knows {
                life.engine().settings_changed();
            }
            pass(10 * SECOND).await;
            assert!(read(&world, 1).endpoint.active && read(&world, 1).health.is_blank(), "{engine_knows}");
            assert!(operational_events(&world, 3).is_empty());
            life.engine().settings_changed();
            life.publish("call.completed", DATA).await;
            life.eventually("delivered", || count(&world, 1, DeliveryStatus::Success) >= 1).await;
            life.until(BEGIN + DAY).await;
        });
        assert_eq!(world.seen(1).len(), 1);
        if engine_knows {
            let at: Vec<f64> = world.seen(2).iter().map(|seen| seen.second()).collect();
            assert_eq!(count(&world, 1, DeliveryStatus::Success), 2, "the first one as well");
            assert!(at[1] >= 60.0 && at[1] < 75.0, "after the delay of its policy: {at:?}");
        }
    }
}

#[test]
fn an_attempt_under_way_when_its_webhook_is_deleted_is_in_the_log() {
    for (answer, status) in
        [(200, DeliveryStatus::Success), (500, DeliveryStatus::Cancelled), (404, DeliveryStatus::Cancelled)]
    {
        let world = World::new();
        let target = world.endpoint(1, move |_| (3 * SECOND, Ok(answer)));
        world.live(async |life| {
            life.publish("call.completed", DATA).await;
            pass(SECOND).await;
            world.store.delete_endpoint(ORGANIZATION, target.id, life.now()).unwrap();
            life.engine().settings_changed();
            life.until(BEGIN + DAY).await;
        });
        let row = &deliveries(&world, 1)[0];
        assert_eq!((row.status, row.attempt_count, row.response_code), (status, 1, Some(answer)));
        assert_eq!(world.store.delivery(ORGANIZATION, row.id).unwrap().unwrap().attempts.len(), 1);
        assert_eq!(world.seen(1).len(), 1);
    }
}

/// An endpoint with this schedule that fails whenever it is asked, and is asked on these days.
fn failing_on(days: &[f64], retry: RetrySchedule) -> (World, Endpoint, UnixMillis) {
    let world = World::new();
    let mut dead = endpoint(1);
    dead.retry = retry;
    world.store.create_endpoint(&dead).unwrap();
    world.script(1, down_until(BEGIN + 1_000 * DAY));
    let mut end = BEGIN;
    for day in days {
        let at = BEGIN + DAY.mul_f64(*day);
        // a restart between the days, too
        world.live(async |life| {
            life.until(at).await;
            life.publish("call.completed", DATA).await;
            pass(Duration::from_secs(2 * 3_600)).await;
            end = life.now();
        });
    }
    let read = read(&world, 1).endpoint;
    (world, read, end)
}

#[test]
fn failures_with_days_of_silence_between_them_are_not_days_of_failing() {
    for days in [&[0.0, 6.0][..], &[0.0, 1.0, 6.5], &[0.0, 0.1, 0.2, 5.5, 5.6], &[0.0, 3.0, 6.0, 9.0]] {
        for retry in [RetrySchedule::Retries(0), RetrySchedule::default()] {
            let (world, endpoint, _) = failing_on(days, retry);
            assert!(endpoint.active, "{days:?}");
            let since = read(&world, 1).health.failing_since.unwrap();
            assert!(since >= BEGIN + DAY.mul_f64(*days.last().unwrap()) - DAY, "since {since}, {days:?}");
        }
    }
}

#[test]
fn a_receiver_that_is_dead_is_disabled_after_five_days_however_sparse_its_events_are() {
    let daily = [0.0, 1.1, 2.0, 3.2, 4.0, 5.1, 6.0];
    for retry in [RetrySchedule::Retries(0), RetrySchedule::default()] {
        let (world, endpoint, _) = failing_on(&daily, retry);
        assert!(!endpoint.active);
        let last = world.seen(1).last().unwrap().at;
        assert!(last >= BEGIN + 5 * DAY && last < BEGIN + 6 * DAY);
    }
}

#[test]
fn one_event_with_a_slow_schedule_fails_throughout() {
    let policy = RetryPolicy {
        max_attempts: 10,
        backoff_multiplier: 1.0,
        initial_delay_seconds: 2 * 86_400,
        max_delay_seconds: 604_800,
    };
    let world = World::new();
    let mut slow = endpoint(1);
    slow.retry = RetrySchedule::Policy(policy);
    world.store.create_endpoint(&slow).unwrap();
    world.script(1, down_until(BEGIN + 1_000 * DAY));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + DAY).await;
    });
    for day in 2..=9u32 {
        world.live(async |life| life.until(BEGIN + day * DAY).await);
    }
    assert!(!read(&world, 1).endpoint.active);
    assert_eq!(world.seen(1).len(), 4, "every two days, until five have passed");
}

/// Its breaker is open, and much waits: for the probe, and some for a retry.
async fn storm(life: &Life, world: &World) -> (usize, usize) {
    life.publish_many(100, "call.completed", DATA).await;
    pass(Duration::from_secs(1_200)).await;
    assert_eq!(state(world, 1), EndpointState::Paused);
    let waiting = deliveries(world, 1).iter().filter(|row| row.next_attempt_at > Some(life.now())).count();
    (count(world, 1, DeliveryStatus::Pending), waiting)
}

fn stormed() -> World {
    let mut world = World::new();
    // a supervisor that waits for its probe goes at once
    world.settings.idle_linger = Duration::from_millis(10);
    let mut target = endpoint(1);
    target.events = vec![EventPattern::parse("call.*").unwrap()];
    target.retry = RetrySchedule::Policy(RetryPolicy {
        initial_delay_seconds: 86_400,
        max_delay_seconds: 86_400,
        ..RetryPolicy::default()
    });
    world.store.create_endpoint(&target).unwrap();
    world.script(1, always(500));
    watcher(&world, 2);
    world
}

#[test]
fn a_successful_test_closes_the_breaker_and_a_failed_one_changes_nothing() {
    let world = stormed();
    world.live(async |life| {
        let (pending, waiting) = storm(&life, &world).await;
        let before = read(&world, 1);
        let publication = life.publication("call.completed", DATA);
        assert!(!life.engine().send_test(&before, &publication).await.unwrap().is_success);
        pass(2 * SECOND).await;
        assert_eq!(read(&world, 1).health, before.health, "a failed one");
        world.script(1, always(200));
        assert!(life.engine().send_test(&before, &publication).await.unwrap().is_success);
        assert_eq!(state(&world, 1), EndpointState::Healthy, "written down with the test");
        pass(5 * SECOND).await;
        assert_eq!(
            count(&world, 1, DeliveryStatus::Pending),
            waiting,
            "of {pending}: those that wait for a retry"
        );
        assert_eq!(operational_events(&world, 2), ["webhook.failing", "webhook.recovered"]);
    });
}

/// What the API does.
fn resume(life: &Life, world: &World) -> usize {
    let (id, now) = (EndpointId(1), life.now());
    world.store.close_breaker(ORGANIZATION, id).unwrap();
    let (mut after, mut due) = (None, 0);
    loop {
        let step = world.store.make_due(ORGANIZATION, id, after, 10, now).unwrap();
        (after, due) = (step.next, due + step.deliveries);
        if after.is_none() {
            life.engine().endpoint_resumed(ORGANIZATION, id);
            return due;
        }
    }
}

#[test]
fn resuming_sends_at_once_what_waits_for_a_probe_and_what_waits_for_a_retry() {
    for is_busy in [false, true] {
        let world = stormed();
        world.live(async |life| {
            let (_, waiting) = storm(&life, &world).await;
            if is_busy {
                // until its supervisor is there for the next probe
                let before = world.seen(1).len();
                life.eventually("a probe", || world.seen(1).len() > before).await;
            }
            assert!(waiting > 0);
            world.script(1, always(200));
            let due = resume(&life, &world);
            assert!(due >= waiting, "{due} of {waiting}");
            pass(5 * SECOND).await;
            assert_eq!(count(&world, 1, DeliveryStatus::Pending), 0, "busy: {is_busy}");
            assert_eq!(state(&world, 1), EndpointState::Healthy);
        });
    }
}
