//! Memory is bounded, whatever receivers do.
//!
//! Resident memory of the real process, as the system counts it, and its peak since the start of what is measured.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_support::engine::{Api, eventually, text};
use test_support::hostile_crowd::{Behaviour, Hostile};
use test_support::long_run::LongRun;
use test_support::process::{forget_peak, peak_bytes, resident_bytes};
use test_support::world::{Database, EVENT_TYPE, World};

const MIB: u64 = 1024 * 1024;
/// What everything but the configured budgets may take more than at the start.
const ALLOWED: u64 = 64 * MIB;
/// Less than this does not count as growth: the system hands out and takes back pages in larger pieces.
const GROWTH: u64 = 12 * MIB;

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

fn webhook(api: &Api, url: &str, fields: Value) -> Value {
    let mut webhook = json!({"url": url});
    webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    api.post("/v1/webhooks", &webhook).expect(201).json()
}

fn attempts(world: &World) -> usize {
    world.api.metric("ringback_attempts_total", "") as usize
}

/// Publishes `count` events one after the other, and waits until each is attempted by all of `webhooks`.
fn publish_to_all(world: &World, count: usize, webhooks: usize) {
    let before = attempts(world);
    for number in 0..count {
        world.publish(number);
    }
    eventually("all are attempted", || (attempts(world) >= before + count * webhooks).then_some(()));
}

#[test]
fn a_hundred_endless_bodies_at_once_cost_less_than_64_mib() {
    let world = World::new(Database::sqlite());
    let endless = Hostile::start(Behaviour::EndlessBody);
    for number in 0..100 {
        webhook(&world.api, &endless.url(number), json!({}));
    }
    let pid = world.engine.pid();
    let start = resident_bytes(pid);
    forget_peak(pid);
    publish_to_all(&world, 10, 100);
    let peak = peak_bytes(pid);
    println!("measured: 1,000 endless bodies: {:.0} MiB at the start, {:.0} at most", mib(start), mib(peak));
    assert!(peak <= start + ALLOWED, "{:.0} MiB, then {:.0}", mib(start), mib(peak));
    let successes = world.api.metric("ringback_attempts_total", "success") as usize;
    assert_eq!(successes, 1_000, "2xx is success, whatever follows");
}

#[test]
fn hostile_answers_leave_no_memory_behind_over_thousands_of_attempts() {
    // a breaker would spare the engine most of them
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_DELIVERY_BREAKER_FAILURE_THRESHOLD", "1000000");
    let world = World::start(database, serve);
    let kinds = [
        Behaviour::LargeHead,
        Behaviour::EndlessInterim,
        Behaviour::GzipBomb,
        Behaviour::Tebibyte,
        Behaviour::EndlessBody,
    ];
    let hostile = kinds.map(Hostile::start);
    for receiver in &hostile {
        for number in 0..8 {
            webhook(&world.api, &receiver.url(number), json!({"retry": 0}));
        }
    }
    let pid = world.engine.pid();
    // until the caches of the database are full: the log of 400 attempts is 10 MiB
    publish_to_all(&world, 70, 40);
    let start = resident_bytes(pid);
    let run = LongRun::new("hostile answers", "RINGBACK_HOSTILE_ROUNDS", 5);
    let mut levels = vec![format!("{:.0}", mib(start))];
    for _ in 0..run.rounds() {
        publish_to_all(&world, 10, 40);
        levels.push(format!("{:.0}", mib(resident_bytes(pid))));
        run.step();
    }
    let end = resident_bytes(pid);
    run.finish(&format!("MiB after each 400 attempts: {}", levels.join(" ")));
    assert!(end <= start + GROWTH, "{:.0} MiB, then {:.0}", mib(start), mib(end));
}

#[test]
fn ten_mebibyte_events_for_hanging_receivers_stay_within_their_budgets_and_none_is_lost() {
    const PAYLOAD: u64 = 64 * MIB;
    const UNCOMMITTED: u64 = 32 * MIB;
    let database = Database::sqlite();
    let serve = database
        .serve()
        .set("RINGBACK_DELIVERY_PAYLOAD_MEMORY_BYTES", &PAYLOAD.to_string())
        .set("RINGBACK_DELIVERY_MAX_UNCOMMITTED_BYTES", &UNCOMMITTED.to_string());
    let world = World::start(database, serve);
    let receiver = Hostile::start(Behaviour::AnswersOnRelease);
    let webhooks = 6;
    for number in 0..webhooks {
        webhook(&world.api, &receiver.url(number), json!({"timeout": 60, "retry": 10}));
    }
    let pid = world.engine.pid();
    let cold = resident_bytes(pid);
    let event = format!(
        r#"{{"event_type":"{EVENT_TYPE}","data":{{"filler":"{}"}}}}"#,
        "x".repeat(10 * MIB as usize - 300)
    );
    let refused = AtomicUsize::new(0);
    let publish = |_: usize| {
        eventually("a large event is accepted", || {
            let answer = world.api.try_call("POST", "/v1/events", Some(event.as_bytes())).unwrap();
            if answer.status == 202 {
                return Some(text(&answer.json(), "id").to_owned());
            }
            assert_eq!((answer.status, answer.header("retry-after")), (429, "1"), "{}", answer.text);
            refused.fetch_add(1, Ordering::Relaxed);
            None
        })
    };
    // until the caches of the database are full: they are there whatever receivers do
    receiver.release();
    let early: Vec<String> = (0..10).map(publish).collect();
    let arrived = |events: &[String]| {
        let all = |number| events.iter().all(|id| receiver.events(number).contains(id));
        (0..webhooks).all(all).then_some(())
    };
    eventually("the first events arrived everywhere", || arrived(&early));
    world.eventually_idle();
    receiver.hold();
    let (start, answered) = (resident_bytes(pid), receiver.requests());
    forget_peak(pid);
    // more at once than there is room for
    let published: Vec<String> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..2).map(publish).collect::<Vec<_>>())).collect();
        publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect()
    });
    eventually("receivers hang on large events", || (receiver.requests() >= answered + 4).then_some(()));
    let peak_hanging = peak_bytes(pid);
    receiver.release();
    eventually("every event arrived everywhere", || arrived(&published));
    let peak = peak_bytes(pid);
    let shown = [cold, start, peak_hanging, peak, resident_bytes(pid)].map(|bytes| format!("{:.0}", mib(bytes)));
    println!(
        "measured: {} events of 10 MiB to {webhooks} hanging receivers: MiB cold, at the start, at most while they hang, \
         at most, at the end: {}; {} refused",
        published.len(),
        shown.join(" "),
        refused.load(Ordering::Relaxed),
    );
    assert!(refused.load(Ordering::Relaxed) > 0, "more at once than there is room for");
    assert!(peak <= start + ALLOWED + PAYLOAD + UNCOMMITTED, "{:.0} MiB, then {:.0}", mib(start), mib(peak));
}
