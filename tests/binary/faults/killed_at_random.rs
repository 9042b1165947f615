//! `kill -9` at random moments: nothing acknowledged is missing.
//!
//! Publishers keep their pace through all of it, a fifth of the attempts is answered 503, and every fourth life ends
//! before it takes requests. The moments follow from a seed, which is printed; `RINGBACK_SEED` repeats them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use test_support::engine::{Api, text};
use test_support::long_run::LongRun;
use test_support::paced::PacedPublishers;
use test_support::tally::{Arrivals, Pair, Repeats, Tally, life};
use test_support::world::{Database, World};

const WEBHOOKS: usize = 20;
const MAX_IN_FLIGHT: usize = 8;
const EVENTS_PER_SECOND: u32 = 200;
/// From this attempt on every delivery succeeds.
const LAST_ATTEMPT: u32 = 3;
/// The longest life, and the longest that a start is waited for before it is killed.
const LONGEST_LIFE: Duration = Duration::from_millis(600);
const LONGEST_START: Duration = Duration::from_millis(80);
/// Kills before there is anything to lose.
const FIRST_STARTS: usize = 5;
const ROUNDS: &str = "RINGBACK_KILL_ROUNDS";
const SEED: &str = "RINGBACK_SEED";

#[test]
fn nothing_acknowledged_is_missing_after_40_kills_at_random_moments_on_sqlite() {
    kill_at_random("kills on SQLite", Database::sqlite(), 40);
}

#[test]
fn nothing_acknowledged_is_missing_after_10_kills_at_random_moments_on_postgres() {
    if let Some(database) = Database::postgres() {
        kill_at_random("kills on PostgreSQL", database, 10);
    }
}

fn kill_at_random(name: &'static str, database: Database, short: u64) {
    let run = LongRun::new(name, ROUNDS, short);
    let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |given| given.parse().unwrap());
    println!("{name}: {SEED}={seed} repeats this");
    let mut moments = StdRng::seed_from_u64(seed);
    let receiver = Tally::answering(move |pair, attempt| answer(seed, pair, attempt));
    let serve = of_life(&database, 0);
    for _ in 0..FIRST_STARTS {
        // while it makes its tables
        let mut engine = serve.spawn();
        engine.is_ready_within(LONGEST_START.mul_f64(moments.random()));
        engine.kill();
    }
    let mut world = World::start(database, serve);
    let webhooks = world.webhooks(|number| receiver.url(number), WEBHOOKS, &settings());
    let publishers = PacedPublishers::start(EVENTS_PER_SECOND, &world.api);
    let (_never, alarm) = channel();
    let mut killed_while_starting = 0;
    for round in 1..=run.rounds() {
        if moments.random_ratio(1, 4) {
            // the life that begins now does not get far
            if !world.engine.is_ready_within(LONGEST_START.mul_f64(moments.random())) {
                killed_while_starting += 1;
            }
        } else {
            world.engine.await_ready();
            pass(&alarm, LONGEST_LIFE.mul_f64(moments.random()));
        }
        world.engine.kill();
        world.engine.replace(&of_life(&world.database, usize::try_from(round).unwrap()));
        run.step();
    }
    world.engine.await_ready();
    let (heard, unanswered) = publishers.stop();
    receiver.eventually_drained(&world);

    let arrivals = receiver.arrivals();
    let repeats = Repeats::of(&arrivals);
    check_arrivals(&heard.acknowledged, &arrivals, &repeats);
    assert!(heard.refused.is_empty(), "{:?}", heard.refused);
    check_log(&world.api, &webhooks, &arrivals);
    world.engine.kill();
    world.database.check_integrity();
    let attempts: usize = arrivals.values().map(Vec::len).sum();
    run.finish(&format!(
        "{killed_while_starting} of them before it took requests; {} events acknowledged, {unanswered} posts without \
         an answer; {attempts} attempts of {} deliveries; 0 missing; {} arrived again after a success; a webhook did \
         at most {} attempts again after one kill, of {} allowed",
        heard.acknowledged.len(),
        arrivals.len(),
        repeats.after_success,
        repeats.most_redone(),
        2 * MAX_IN_FLIGHT
    ));
}

fn of_life(database: &Database, number: usize) -> test_support::engine::Serve {
    // a breaker would only make it last longer
    life(database.serve(), number).set("RINGBACK_DELIVERY_BREAKER_FAILURE_THRESHOLD", "1000")
}

fn settings() -> Value {
    let policy = json!({"max_attempts": 50, "initial_delay_seconds": 1, "backoff_multiplier": 1});
    json!({"max_in_flight": MAX_IN_FLIGHT, "retry_policy": policy})
}

/// A fifth fails, the same ones whenever an attempt is made again.
fn answer(seed: u64, pair: &Pair, attempt: u32) -> u16 {
    let mut hasher = DefaultHasher::new();
    (seed, pair, attempt).hash(&mut hasher);
    if attempt < LAST_ATTEMPT && hasher.finish().is_multiple_of(5) { 503 } else { 200 }
}

/// Lets time pass: the life goes on for as long as chance says.
fn pass(alarm: &Receiver<()>, time: Duration) {
    assert_eq!(alarm.recv_timeout(time), Err(RecvTimeoutError::Timeout));
}

fn check_arrivals(acknowledged: &[String], arrivals: &Arrivals, repeats: &Repeats) {
    let wanted = acknowledged.iter().flat_map(|id| (0..WEBHOOKS).map(move |number| (id.clone(), number)));
    let has_arrived = |pair: &Pair| arrivals.get(pair).is_some_and(|all| all.iter().any(|one| one.is_success()));
    let missing: Vec<Pair> = wanted.filter(|pair| !has_arrived(pair)).collect();
    assert!(missing.is_empty(), "{} deliveries of acknowledged events are missing: {missing:?}", missing.len());
    assert_eq!(repeats.within_one_life, Vec::<String>::new(), "repeated without a kill between");
    assert!(repeats.most_redone() <= 2 * MAX_IN_FLIGHT, "{:?}", repeats.redone);
}

/// Every delivery of the log is a success, with as many attempts as the receiver saw numbers, and nothing arrived that
/// is not in the log.
fn check_log(api: &Api, webhooks: &[Value], arrivals: &Arrivals) {
    let read = |(number, webhook)| {
        let (api, webhook_id) = (api.clone(), text(webhook, "id").to_owned());
        std::thread::spawn(move || read_log(&api, number, &webhook_id))
    };
    let readers: Vec<_> = webhooks.iter().enumerate().map(read).collect();
    let logged: HashMap<Pair, (String, u32)> =
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
    let seen = arrivals.iter().map(|(pair, all)| {
        let attempts = all.iter().map(|one| one.attempt).max().unwrap();
        (pair.clone(), (String::from("success"), attempts))
    });
    let seen: HashMap<Pair, (String, u32)> = seen.collect();
    let differ: BTreeMap<_, _> = logged
        .iter()
        .filter(|(pair, row)| seen.get(*pair) != Some(row))
        .map(|(pair, row)| (pair, (row, seen.get(pair))))
        .collect();
    assert!(differ.is_empty(), "{} rows of the log are not what was seen: {differ:?}", differ.len());
    assert_eq!(logged.len(), seen.len(), "something arrived that is not in the log");
}

fn read_log(api: &Api, number: usize, webhook_id: &str) -> Vec<(Pair, (String, u32))> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/webhooks/logs?limit=200&webhook_id={webhook_id}{cursor}");
        let page = api.get(&path).expect(200).json();
        for row in page["data"].as_array().unwrap() {
            let attempts = u32::try_from(row["attempt_count"].as_u64().unwrap()).unwrap();
            rows.push(((text(row, "event_id").to_owned(), number), (text(row, "status").to_owned(), attempts)));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
