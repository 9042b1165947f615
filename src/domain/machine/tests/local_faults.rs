//! Attempts that this machine could not make.

use super::*;
use crate::domain::endpoint::RateLimit;

/// Lacks everything until this instant.
fn starved_until(end: UnixMillis) -> Starved {
    Box::new(move |now, _| now < end)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_machine_that_lacks_descriptors_for_an_hour_uses_up_no_attempt_and_blames_no_receiver() {
    for ordered in [false, true] {
        let mut world = World::new(MachineSettings { ordered, ..settings() }, 1, always(200));
        world.is_starved = starved_until(START + seconds(3600));
        world.publish(50, true);
        world.run_until(START + seconds(3600));
        assert!(!world.machine.is_breaker_open());
        assert_eq!(world.machine.health().failing_since, None);
        assert!(world.rows.values().all(|row| row.attempts == 0), "nothing is written down");
        let most = 3600 / 5 * settings().max_in_flight as usize + 100;
        assert!(world.not_made.len() < most, "tried {} times in an hour", world.not_made.len());
        world.run_until(START + seconds(3600 + 10));
        assert_eq!(world.pending(), 0, "delivered within seconds, ordered: {ordered}");
        assert!(world.rows.values().all(|row| row.attempts == 1));
        assert!(world.announcements.is_empty());
        assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
    }
}

#[test]
fn pauses_after_local_faults_grow_to_a_second_and_are_short_again_after_an_attempt() {
    let mut world = World::new(settings(), 2, always(200));
    world.max_latency_ms = 0;
    world.is_starved = starved_until(START + seconds(60));
    world.publish(1, true);
    world.run_until(START + seconds(70));
    let pauses: Vec<u64> =
        world.not_made.windows(2).map(|pair| u64::try_from(pair[1].since(pair[0]).as_millis()).unwrap()).collect();
    assert_eq!(pauses[..5], [250, 500, 1_000, 1_000, 1_000]);
    assert_eq!(world.pending(), 0);

    let tried = world.not_made.len();
    world.is_starved = starved_until(START + seconds(71));
    world.publish(1, true);
    world.run_until(START + seconds(80));
    let again = world.not_made[tried + 1].since(world.not_made[tried]);
    assert_eq!(again, Duration::from_millis(250));
}

#[test]
fn a_probe_that_was_not_made_leaves_the_breaker_unchanged_and_is_made_later() {
    let back_at = START + seconds(5);
    let receiver: Receiver = Box::new(move |now, _| Ok(if now < back_at { 500 } else { 200 }));
    let mut world = World::new(settings(), 3, receiver);
    world.publish(20, true);
    world.run_until(START + seconds(4));
    let before = world.machine.health();
    assert!(before.probe_at.is_some(), "the breaker is open");
    world.is_starved = starved_until(START + seconds(60));
    world.run_until(START + seconds(60));
    assert!(!world.not_made.is_empty(), "the probe was due");
    assert_eq!(world.machine.health().pauses, before.pauses, "it did not fail");
    world.run_until(START + seconds(66));
    assert!(!world.machine.is_breaker_open(), "the next try was the probe, and it succeeded");
}

#[test]
fn a_rate_limited_delivery_does_not_wait_for_another_permit_when_its_attempt_was_not_made() {
    let rate_limit = Some(RateLimit { per_second: 0.01, burst: Some(1) });
    let mut world = World::new(MachineSettings { rate_limit, ..settings() }, 4, always(200));
    // the first permit since the start comes after 100 s
    world.is_starved = starved_until(START + seconds(102));
    world.publish(1, true);
    world.run_until(START + seconds(110));
    assert!(!world.not_made.is_empty(), "the permit was taken");
    assert_eq!(world.pending(), 0);
}

#[test]
fn a_drained_machine_is_idle_after_an_attempt_that_was_not_made() {
    let mut world = World::new(settings(), 5, always(200));
    world.is_starved = starved_until(START + DAY);
    world.publish(3, true);
    world.feed(Input::Drain);
    world.run_until(START + DAY);
    assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
    assert_eq!(world.pending(), 3);
}

#[test]
fn after_a_local_fault_attempts_are_made_one_at_a_time_for_a_while() {
    let mut world = World::new(settings(), 4, always(200));
    world.is_starved = starved_until(START + seconds(1));
    world.publish(50, true);
    world.run_until(START + seconds(5));
    assert_eq!(world.most_in_flight_since(START + seconds(1)), 1);
    world.run_until(START + seconds(60));
    world.publish(50, true);
    world.run_until(START + seconds(70));
    assert!(world.most_in_flight_since(START + seconds(60)) > 1);
}
