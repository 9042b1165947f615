//! The machine in a small world.

mod erasing;
mod follow_ups;
mod local_faults;
mod other_places;
mod reading_on;
mod rounds;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use self::world::*;
use super::*;
use crate::domain::attempt::{AttemptError, NextStep, Response};
use crate::domain::endpoint::DisabledReason;
use crate::domain::retry::{RetryPolicy, RetrySchedule};
use crate::domain::rotation::SecretTerms;

fn always(status: u16) -> Receiver {
    Box::new(move |_, _| Ok(status))
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_delivery_is_attempted_on_the_documented_schedule_and_then_fails() {
    let mut world = World::new(settings(), 1, always(503));
    world.max_latency_ms = 0;
    world.publish(1, true);
    world.run_until(START + DAY);
    let times = world.times_of(1);
    assert_eq!(times.len(), 4);
    for (pair, base) in times.windows(2).zip([60, 300, 900]) {
        let delay = pair[1] - pair[0];
        assert!((base..=base + base / 10 + 1).contains(&delay), "{delay} for {base}");
    }
    assert_eq!(world.rows[&DeliveryId(1)].is_final, Some(NextStep::Failed));
    assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
}

#[test]
fn a_dead_endpoint_with_a_thousand_queued_gets_few_requests_before_the_breaker_opens() {
    let mut world = World::new(settings(), 2, Box::new(|_, _| Err(AttemptError::ConnectionRefused)));
    world.publish(1000, true);
    world.run_until(START + Duration::from_secs(4));
    assert!(world.sent.len() <= 8, "{} requests", world.sent.len());
    let before = world.sent.len();
    world.run_until(START + Duration::from_secs(100));
    let probes = world.sent.len() - before;
    assert!((3..=5).contains(&probes), "{probes} probes for pauses of 5, 10, 20, 40 s");
}

#[test]
fn an_open_breaker_keeps_deliveries_pending_and_drains_them_after_recovery() {
    let back_at = START + Duration::from_secs(600);
    let receiver: Receiver = Box::new(move |now, _| Ok(if now < back_at { 500 } else { 200 }));
    let mut world = World::new(settings(), 3, receiver);
    world.publish(1000, false);
    world.run_until(back_at);
    assert!(world.pending() > 990);
    world.run_until(back_at + DAY);
    let succeeded = world.rows.values().filter(|row| row.is_final == Some(NextStep::Succeeded)).count();
    assert!(succeeded > 990, "{succeeded}");
    assert_eq!(world.pending(), 0);
}

#[test]
fn gone_fails_the_delivery_and_stops_everything_behind_it() {
    let mut config = settings();
    config.max_in_flight = 1;
    let mut world = World::new(config, 4, always(410));
    world.publish(5, true);
    world.run_until(START + DAY);
    assert!(world.was_gone);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.pending(), 4);
    assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
}

#[test]
fn a_retry_blocks_the_next_on_an_ordered_endpoint() {
    let config = MachineSettings { ordered: true, ..settings() };
    let receiver: Receiver = Box::new(|_, number| Ok(if number < 3 { 500 } else { 200 }));
    let mut world = World::new(config, 5, receiver);
    world.publish(3, true);
    world.run_until(START + DAY);
    let order: Vec<i64> = world.sent.iter().map(|(id, ..)| id.0).collect();
    assert_eq!(order, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    assert_eq!(world.pending(), 0);
}

#[test]
fn failing_is_announced_once_and_recovery_once_after_it() {
    let back_at = START + Duration::from_secs(3600);
    let receiver: Receiver = Box::new(move |now, _| Ok(if now < back_at { 500 } else { 200 }));
    let mut world = World::new(settings(), 8, receiver);
    world.publish(20, true);
    world.run_until(START + DAY);
    let count_of = |wanted: fn(&Announcement) -> bool| {
        world.announcements.iter().filter(|(_, announcement)| wanted(announcement)).count()
    };
    assert_eq!(count_of(|announcement| matches!(announcement, Announcement::Failing { .. })), 1);
    assert_eq!(count_of(|announcement| matches!(announcement, Announcement::Recovered { .. })), 1);
    assert_eq!(count_of(|announcement| matches!(announcement, Announcement::Disabled(_))), 0);
    let failed = world.rows.values().filter(|row| row.is_final == Some(NextStep::Failed)).count();
    assert_eq!(count_of(|announcement| *announcement == Announcement::Exhausted), failed);
}

#[test]
fn an_endpoint_that_fails_for_too_long_without_a_success_is_disabled_with_that_reason() {
    let mut world = World::new(settings(), 9, always(500));
    world.machine.limits.disable_after = 5 * DAY;
    world.publish(4_000, false);
    world.run_until(START + 5 * DAY - Duration::from_secs(600));
    assert!(world.machine.settings.active);
    world.run_until(START + 6 * DAY);
    assert!(!world.machine.settings.active);
    let (at, _) = world
        .announcements
        .iter()
        .find(|(_, announcement)| *announcement == Announcement::Disabled(DisabledReason::Failing))
        .expect("it is announced");
    assert!(at.since(START) >= 5 * DAY);
    let sent = world.sent.len();
    world.run_until(START + 20 * DAY);
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn a_blocked_address_does_not_count_against_the_receiver() {
    let mut world = World::new(settings(), 10, Box::new(|_, _| Err(AttemptError::BlockedAddress)));
    world.publish(50, true);
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 50);
    assert!(!world.machine.is_breaker_open());
    assert!(world.machine.health().is_healthy());
}

#[test]
fn a_committed_delivery_whose_message_arrives_late_is_not_sent_twice() {
    let mut world = World::new(settings(), 11, always(200));
    world.run_until(START + Duration::from_secs(1));
    // read back from the database, sent and recorded before its message arrives
    let late = world.rows.len();
    world.publish(1, false);
    assert_eq!(world.rows.len(), late + 1);
    let committed = world.queued(DeliveryId(1), &world.rows[&DeliveryId(1)].clone());
    world.run_until(START + Duration::from_secs(10));
    assert_eq!(world.sent.len(), 1);
    world.feed(Input::Committed(vec![committed]));
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_drained_machine_starts_nothing_and_is_idle() {
    let mut world = World::new(settings(), 6, always(200));
    world.publish(3, true);
    world.feed(Input::Drain);
    let sent = world.sent.len();
    world.publish(10, true);
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
}

#[test]
fn an_endpoint_limited_to_one_attempt_makes_that_one_and_regains_its_limit_afterwards() {
    let mut world = World::new(settings(), 1, always(200));
    world.machine.limit_to_one(true);
    world.publish(6, true);
    assert_eq!(world.machine.in_flight(), 1);
    world.machine.limit_to_one(false);
    world.feed(Input::Wake);
    assert_eq!(world.machine.in_flight(), 4);
}

#[test]
fn a_stale_page_repeats_no_delivery() {
    let mut world = World::new(settings(), 7, always(200));
    world.run_until(START + Duration::from_secs(1));
    world.publish(1, true);
    // read while the delivery is still pending, shown after it is recorded
    let stale = world.queued(DeliveryId(1), &world.rows[&DeliveryId(1)].clone());
    world.machine.loading = true;
    world.run_until(world.now + Duration::from_secs(1));
    world.feed(Input::Loaded { deliveries: vec![stale], more: false, next_due_at: None, end: None });
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 1);
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    ordered: bool,
    policy: RetryPolicy,
    max_in_flight: u32,
    outages: Vec<(u64, u64)>,
    flakiness: u32,
    starvation: u32,
    publishes: Vec<(u64, usize, bool)>,
    crashes: Vec<u64>,
    toggles: Vec<(u64, u32)>,
    max_latency_ms: i64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let policy = (1u32..=6, 1.0f64..=4.0, 1u64..=120, 1u64..=900).prop_map(
        |(max_attempts, backoff_multiplier, initial_delay_seconds, max_delay_seconds)| RetryPolicy {
            max_attempts,
            backoff_multiplier,
            initial_delay_seconds,
            max_delay_seconds,
        },
    );
    let hours = 3600u64;
    (
        (any::<u64>(), any::<bool>(), policy, 1u32..=8, 0u32..=6, 0u32..=4),
        prop::collection::vec((0..4 * hours, 1..hours), 0..3),
        prop::collection::vec((0..4 * hours, 1usize..400, any::<bool>()), 1..8),
        prop::collection::vec(0..6 * hours, 0..4),
        prop::collection::vec((0..6 * hours, 1u32..=8), 0..3),
        prop_oneof![Just(0i64), 1..200i64, Just(5_000)],
    )
        .prop_map(
            |(
                (seed, ordered, policy, max_in_flight, flakiness, starvation),
                outages,
                publishes,
                crashes,
                toggles,
                latency,
            )| {
                Plan {
                    seed,
                    ordered,
                    policy,
                    max_in_flight,
                    outages,
                    flakiness,
                    starvation,
                    publishes,
                    crashes,
                    toggles,
                    max_latency_ms: latency,
                }
            },
        )
}

/// `with_follow_ups`: secrets are refused and connections closed at random as well.
fn play(plan: &Plan, with_follow_ups: bool) -> World {
    let config = MachineSettings {
        ordered: plan.ordered,
        retry: RetrySchedule::Policy(plan.policy),
        max_in_flight: plan.max_in_flight,
        secrets: SecretTerms::for_tests(&[(0, None), (1, Some(i64::MAX)), (2, Some(START.0 + 3_600_000))]),
        ..settings()
    };
    let (outages, flakiness, seed) = (plan.outages.clone(), plan.flakiness, plan.seed);
    let receiver: Receiver = Box::new(move |now, number| {
        let second = now.since(START).as_secs();
        let down = outages.iter().any(|(from, length)| (*from..from + length).contains(&second));
        let dice = SmallRng::seed_from_u64(seed ^ now.0 as u64 ^ u64::from(number)).random_range(0..10);
        match dice {
            _ if down && dice < 5 => Err(AttemptError::Timeout),
            _ if down => Ok(503),
            7 if with_follow_ups => Err(AttemptError::IdleConnectionClosed),
            8 | 9 if with_follow_ups => Ok(401),
            _ if dice < flakiness / 2 => Ok(400),
            _ if dice < flakiness => Ok(500),
            _ => Ok(200),
        }
    });
    let mut world = World::new(config, plan.seed, receiver);
    world.max_latency_ms = plan.max_latency_ms;
    let starvation = plan.starvation;
    world.is_starved = Box::new(move |_, rng| rng.random_ratio(starvation, 10));
    let at = |second: u64| START + Duration::from_secs(second);
    for &(second, count, by_memory) in &plan.publishes {
        world.at(at(second), WorldEvent::Publish { count, by_memory });
    }
    for &second in &plan.crashes {
        world.at(at(second), WorldEvent::Crash);
    }
    for &(second, max_in_flight) in &plan.toggles {
        world.at(at(second), WorldEvent::Toggle { max_in_flight });
    }
    world.run_until(START + 365 * DAY);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The world itself asserts on the way: one probe at a time, no attempt before its time, after its end or
    /// above the policy, nothing in flight twice, bounded in flight and unrecorded, no overtaking when ordered.
    #[test]
    fn every_delivery_ends_in_exactly_one_final_state_whatever_happens(plan in plans()) {
        let world = play(&plan, true);
        prop_assert_eq!(world.pending(), 0, "at the end {:?}", world.machine.pending_work(world.now));
        for (id, row) in &world.rows {
            prop_assert_eq!(row.finals, 1, "{}", id);
            let counted = row.attempts as i32 - row.earlier;
            prop_assert!(counted > 0 && counted <= plan.policy.max_attempts as i32);
        }
        prop_assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
        prop_assert_eq!(world.machine.payload_bytes(), 0);
    }

    #[test]
    fn the_delay_before_a_retry_is_never_shorter_than_the_policy(plan in plans()) {
        let world = play(&Plan { crashes: Vec::new(), ..plan.clone() }, false);
        let schedule = RetrySchedule::Policy(plan.policy);
        let mut last: BTreeMap<DeliveryId, UnixMillis> = BTreeMap::new();
        for &(id, number, at) in &world.sent {
            if let Some(before) = last.insert(id, at) {
                // instants are whole milliseconds
                prop_assert!(at.since(before).as_millis() >= schedule.base_delay(number - 1).as_millis());
            }
        }
    }
}

#[test]
fn a_resent_delivery_gets_its_whole_schedule_again_while_its_attempt_numbers_continue() {
    let mut world = World::new(settings(), 7, Box::new(|_, _| Ok(503)));
    let id = DeliveryId(1);
    let (queued_at, due_at) = (START, START);
    world.rows.insert(id, Row { queued_at, due_at, attempts: 4, earlier: 4, is_final: None, finals: 0 });
    world.feed(Input::MoreInStore { since: None });
    world.run_until(START + Duration::from_secs(2 * 3600));
    let numbers: Vec<u32> = world.sent.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [5, 6, 7, 8]);
    assert_eq!(world.rows[&id].is_final, Some(NextStep::Failed));
    for (pair, seconds) in world.sent.windows(2).zip([60, 300, 900]) {
        let waited = pair[1].2.since(pair[0].2);
        assert!(waited >= Duration::from_secs(seconds), "{waited:?}");
        assert!(waited <= Duration::from_secs(seconds + seconds / 10 + 1), "{waited:?}");
    }
}

#[test]
fn a_delivery_that_is_resent_before_its_end_was_reported_is_not_forgotten() {
    let mut world = World::new(settings(), 7, always(200));
    let id = DeliveryId(1);
    let queued = world
        .queued(id, &Row { queued_at: START, due_at: START, attempts: 0, earlier: 0, is_final: None, finals: 0 });
    let mut step = |input| world.machine.step(input, START, &mut world.rng);
    let empty = || Input::Loaded { deliveries: Vec::new(), more: false, next_due_at: None, end: None };
    step(empty());
    step(Input::Committed(vec![queued.clone()]));
    let answer = Ok(Response::new(200, Vec::new(), Bytes::new()));
    step(Input::AttemptFinished { delivery: &queued, response: &answer });
    let asked = |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::Load { .. }));
    // recorded in the database, resent there, and only then reported here
    assert!(asked(step(Input::MoreInStore { since: None })));
    assert!(!asked(step(empty())), "the page left out what is in memory");
    assert!(asked(step(Input::OutcomesRecorded(&[id]))));
}
