//! A dead endpoint, its breaker, and its backlog.
//!
//! The schedule of hours (pauses of 5 s that double up to 600 s) and the rate limit in every single second are held to
//! the millisecond in `tests/in_process/simulation/returning.rs`; here the same is seen from outside, with real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::engine::eventually;
use test_support::receiver::{Receiver, Seen, reply};
use test_support::world::{Database, EVENT_TYPE, World};

const BACKLOG: usize = 1_000;
const PER_SECOND: usize = 150;
/// A request came this much later than the one before: the storm before it is over.
const GAP: Duration = Duration::from_millis(700);

/// The requests before the breaker opened, and the probes.
fn storm_and_probes(seen: &[Seen]) -> (usize, &[Seen]) {
    let gap = seen.windows(2).position(|pair| pair[1].at - pair[0].at >= GAP);
    let storm = gap.map_or(seen.len(), |at| at + 1);
    (storm, &seen[storm..])
}

#[test]
fn a_dead_webhook_with_a_thousand_queued_is_left_in_peace_and_later_served_without_a_storm() {
    let database = Database::sqlite();
    let serve = database
        .serve()
        .set("RINGBACK_DELIVERY_BREAKER_INITIAL_PAUSE_SECONDS", "1")
        .set("RINGBACK_DELIVERY_BREAKER_MAX_PAUSE_SECONDS", "2");
    let world = World::start(database, serve);
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = is_back.clone();
    let receiver = Receiver::answering(move |_| reply(if answers.load(Ordering::Relaxed) { 200 } else { 503 }));
    world.webhook(
        &receiver,
        json!({"rate_limit": {"per_second": PER_SECOND}, "max_in_flight": 256,
        "retry_policy": {"max_attempts": 50, "initial_delay_seconds": 1, "backoff_multiplier": 1}}),
    );
    let events: Vec<Value> =
        (0..BACKLOG).map(|number| json!({"event_type": EVENT_TYPE, "data": {"number": number}})).collect();
    world.api.post("/v1/events/batch", &Value::from(events)).expect(202);

    // three probes, after pauses of 1 s, 2 s and 2 s
    eventually("three probes", || (storm_and_probes(&receiver.seen()).1.len() >= 3).then_some(()));
    let dead = receiver.seen();
    let (storm, probes) = storm_and_probes(&dead);
    assert!(storm <= 10, "{storm} requests before the breaker opened");
    for (pair, least) in dead[storm - 1..].windows(2).zip([900, 1_900, 1_900, 1_900]) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_millis(least), "a probe after {pause:?}, at least {least} ms expected");
    }
    println!("measured: {storm} requests before the breaker opened, then {} single probes", probes.len());

    is_back.store(true, Ordering::Relaxed);
    let before = receiver.count();
    eventually("it is found back", || (receiver.count() > before + 20).then_some(()));
    let mut longest = Duration::ZERO;
    for number in 0..5 {
        let published = Instant::now();
        let id = world.publish(number);
        eventually("the new event arrives", || {
            receiver.seen().iter().any(|seen| seen.event_id() == id).then_some(())
        });
        longest = longest.max(published.elapsed());
    }
    let behind = BACKLOG.saturating_sub(receiver.count() - before);
    assert!(behind > BACKLOG / 3, "the backlog has {behind} left: nothing was overtaken");
    assert!(longest < Duration::from_secs(2), "a new event waited for {longest:?}");
    world.eventually_idle();

    let served: Vec<Instant> = receiver.seen()[before..].iter().map(|seen| seen.at).collect();
    let most = (0..served.len())
        .map(|first| served[first..].iter().take_while(|at| **at < served[first] + Duration::from_secs(1)).count())
        .max()
        .unwrap_or(0);
    println!("measured: at most {most} in a second of {PER_SECOND}; a new event waited {longest:.0?} at most");
    // arrivals bunch up when this machine is busy; what is sent is held to 1.1 in the simulation
    assert!(most <= PER_SECOND * 3 / 2, "{most} in one second");
}
