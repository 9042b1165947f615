//! Pages begin where the last one ended, and nothing is missed: the world checks at every page that what is in front of
//! it is in memory.

use std::time::Duration;

use proptest::prelude::*;
use rand::RngExt;

use super::super::cursor::HEAD_EVERY;
use super::super::*;
use super::always;
use super::world::{Receiver, START, World, WorldEvent, settings};
use crate::domain::attempt::{AttemptError, NextStep};
use crate::domain::retry::RetrySchedule;

const MINUTES: u64 = 20;

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    /// (second, how many, how long ago they were accepted or minus that they are sent again)
    added: Vec<(u64, usize, i64, bool)>,
    outages: Vec<(u64, u64)>,
    crashes: Vec<u64>,
    successions: Vec<u64>,
    toggles: Vec<(u64, u32)>,
    starvation: u32,
    max_latency_ms: i64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let second = || 0..MINUTES * 60;
    let added =
        (second(), 1..700usize, prop_oneof![Just(0i64), 0..2_000i64, 0..200_000i64], prop::bool::weighted(0.3));
    (
        (any::<u64>(), prop::collection::vec(added, 1..25), prop::collection::vec((second(), 1..120u64), 0..3)),
        prop::collection::vec(second(), 0..3),
        prop::collection::vec(second(), 0..20),
        prop::collection::vec((second(), 1u32..=8), 0..3),
        (0u32..=2, prop_oneof![Just(0i64), 1..300i64, Just(3_000)]),
    )
        .prop_map(|((seed, added, outages), crashes, successions, toggles, (starvation, max_latency_ms))| {
            Plan { seed, added, outages, crashes, successions, toggles, starvation, max_latency_ms }
        })
}

fn play(plan: &Plan) -> World {
    let outages = plan.outages.clone();
    let receiver: Receiver = Box::new(move |now, number| {
        let second = now.since(START).as_secs();
        match outages.iter().any(|(from, length)| (*from..from + length).contains(&second)) {
            true => Err(AttemptError::Timeout),
            // some are sent again at once, some later
            false if now.0 % 7 == 0 && number < 3 => Err(AttemptError::IdleConnectionClosed),
            false if now.0 % 11 == 0 => Ok(500),
            false => Ok(200),
        }
    });
    let mut world = World::new(settings(), plan.seed, receiver);
    world.max_latency_ms = plan.max_latency_ms;
    let starvation = plan.starvation;
    world.is_starved = Box::new(move |_, rng| rng.random_ratio(starvation, 100));
    let at = |second: u64| START + Duration::from_secs(second);
    for &(second, count, behind_ms, again) in &plan.added {
        world.at(at(second), WorldEvent::Add { count, behind_ms, again });
    }
    plan.crashes.iter().for_each(|second| world.at(at(*second), WorldEvent::Crash));
    plan.successions.iter().for_each(|second| world.at(at(*second), WorldEvent::Succession));
    for &(second, max_in_flight) in &plan.toggles {
        world.at(at(second), WorldEvent::Toggle { max_in_flight });
    }
    world.run_until(START + Duration::from_secs(90 * 24 * 3_600));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_pending_is_ever_in_front_of_a_page_without_being_in_memory(plan in plans()) {
        let world = play(&plan);
        prop_assert_eq!(world.pending(), 0, "at the end {:?}", world.machine.pending_work(world.now));
        prop_assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
    }
}

#[test]
fn a_long_queue_is_read_from_its_head_once_a_minute_only() {
    let mut world = World::new(settings(), 7, always(200));
    world.min_latency_ms = 60;
    world.publish(13_000, false);
    while world.pending() > 0 {
        world.run_until(world.now + Duration::from_secs(1));
    }
    let minutes = world.now.since(START).as_secs() / HEAD_EVERY.as_secs();
    assert!(minutes >= 2 && world.pages >= 40, "{} pages in {minutes} minutes", world.pages);
    assert!(world.pages_from_head as u64 <= minutes + 2, "{} in {minutes} minutes", world.pages_from_head);
}

#[test]
fn a_queue_that_grows_while_it_is_read_is_not_read_from_its_head_for_that() {
    let mut world = World::new(settings(), 7, always(200));
    world.min_latency_ms = 100;
    world.publish(5_000, false);
    for _ in 0..600 {
        world.publish(20, true);
        world.run_until(world.now + Duration::from_millis(100));
    }
    assert!(world.pages >= 5, "{} pages", world.pages);
    assert!(world.pages_from_head <= 3, "{} of {} pages", world.pages_from_head, world.pages);
}

#[test]
fn an_ordered_queue_is_always_read_from_its_head() {
    let config = MachineSettings { ordered: true, retry: RetrySchedule::default(), ..settings() };
    let mut world = World::new(config, 7, Box::new(|now, _| if now.0 % 3 == 0 { Ok(500) } else { Ok(200) }));
    world.publish(2_000, false);
    world.run_until(START + Duration::from_secs(90 * 24 * 3_600));
    assert_eq!(world.pending(), 0);
    assert_eq!(world.pages_from_head, world.pages);
    assert!(world.rows.values().all(|row| matches!(row.is_final, Some(NextStep::Succeeded | NextStep::Failed))));
}
