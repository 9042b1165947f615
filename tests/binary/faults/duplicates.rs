//! Without faults nothing arrives twice; a stop is not a fault; a kill repeats at most what was in flight.

use std::collections::HashSet;
use std::time::Instant;

use serde_json::json;
use test_support::paced::{PacedPublishers, publish_batch};
use test_support::tally::{Arrivals, Repeats, Tally, life};
use test_support::world::{Database, World};

const WEBHOOKS: usize = 10;
const BATCH: usize = 250;

fn world(database: Database, receiver: &Tally, max_in_flight: usize) -> World {
    let serve = life(database.serve(), 0);
    let world = World::start(database, serve);
    world.webhooks(|number| receiver.url(number), WEBHOOKS, &json!({"max_in_flight": max_in_flight}));
    world
}

fn publish(world: &World, events: usize) -> Vec<String> {
    (0..events).step_by(BATCH).flat_map(|first| publish_batch(&world.api, first..first + BATCH)).collect()
}

/// The pairs of an acknowledged event and a webhook for which nothing arrived.
fn missing(acknowledged: &[String], arrivals: &Arrivals) -> Vec<(String, usize)> {
    let pairs = acknowledged.iter().flat_map(|id| (0..WEBHOOKS).map(move |number| (id.clone(), number)));
    pairs.filter(|pair| !arrivals.contains_key(pair)).collect()
}

fn assert_each_once(arrivals: &Arrivals) {
    let repeated: Vec<_> = arrivals.iter().filter(|(_, all)| all.len() != 1).collect();
    assert!(repeated.is_empty(), "{} arrived more than once, as this one: {:?}", repeated.len(), repeated[0]);
}

#[test]
fn of_50_000_deliveries_without_a_fault_each_arrives_once() {
    const EVENTS: usize = 5_000;
    let receiver = Tally::ok();
    let world = world(Database::sqlite(), &receiver, 32);
    let begin = Instant::now();
    let published: HashSet<String> = publish(&world, EVENTS).into_iter().collect();
    receiver.eventually_drained(&world);
    let took = begin.elapsed();

    let arrivals = receiver.arrivals();
    assert_eq!((published.len(), arrivals.len()), (EVENTS, EVENTS * WEBHOOKS));
    assert_each_once(&arrivals);
    println!("measured: {} deliveries, 0 twice, in {took:?}", arrivals.len());
}

#[test]
fn a_stop_under_load_neither_loses_nor_repeats_a_delivery() {
    const STOPS: usize = 4;
    let receiver = Tally::ok();
    let mut world = world(Database::sqlite(), &receiver, 32);
    let mut acknowledged = Vec::new();
    let publishers = PacedPublishers::start(150, &world.api);
    for stop in 1..=STOPS {
        // a backlog, so that every webhook is at work in the instant of the stop
        acknowledged.extend(publish(&world, BATCH));
        receiver.eventually_successes(receiver.successes() + BATCH);
        world.engine.terminate();
        assert_eq!(world.engine.end().code(), Some(0));
        world.engine.restart(&life(world.database.serve(), stop));
    }
    let (heard, unanswered) = publishers.stop();
    acknowledged.extend(heard.acknowledged);
    receiver.eventually_drained(&world);

    let arrivals = receiver.arrivals();
    assert_eq!(missing(&acknowledged, &arrivals), []);
    assert_each_once(&arrivals);
    assert!(heard.refused.keys().all(|(status, _)| *status == 503), "{:?}", heard.refused);
    println!(
        "measured: {STOPS} stops, {} deliveries, 0 lost, 0 twice; refused {:?}, {unanswered} without an answer",
        arrivals.len(),
        heard.refused
    );
}

#[test]
fn a_kill_repeats_at_most_twice_max_in_flight_deliveries_of_a_webhook() {
    const KILLS: usize = 5;
    const MAX_IN_FLIGHT: usize = 8;
    let receiver = Tally::ok();
    let mut world = world(Database::sqlite(), &receiver, MAX_IN_FLIGHT);
    let acknowledged = publish(&world, 4 * BATCH);
    for kill in 1..=KILLS {
        receiver.eventually_successes(receiver.successes() + 2 * BATCH);
        world.engine.kill();
        world.engine.restart(&life(world.database.serve(), kill));
    }
    receiver.eventually_drained(&world);

    let arrivals = receiver.arrivals();
    let repeats = Repeats::of(&arrivals);
    assert_eq!(missing(&acknowledged, &arrivals), []);
    assert_eq!(repeats.within_one_life, Vec::<String>::new(), "no kill came between");
    assert!(repeats.most_redone() <= 2 * MAX_IN_FLIGHT, "{:?}", repeats.redone);
    assert!(repeats.after_success > 0, "no kill came while something was in flight: this tested nothing");
    println!(
        "measured: {KILLS} kills, {WEBHOOKS} webhooks, max_in_flight {MAX_IN_FLIGHT}: {} of {} deliveries arrived \
         twice; at most {} of one webhook after one kill",
        repeats.after_success,
        arrivals.len(),
        repeats.most_redone()
    );
}
