//! One endpoint can not hurt another.
//!
//! A healthy webhook gets 50 events a second, alone and beside 500 that hang: that never answer, never read, or send a
//! byte of their head from time to time, each on a separate address and with a timeout of 30 s. Five of them belong to
//! the same organization and want every one of the same events; the others belong to other organizations, which publish
//! at a moderate rate of their own, eleven deliveries at a time. (A fan-out of 501 at 50 events a second is 25,000
//! deliveries a second: that would measure how much one machine can write, not whether one receiver hurts another. So
//! would hundreds of first attempts in one instant, which are a third of a second of work for a debug build.)
//!
//! Two things are measured beside the baseline: the onset, in which every one of the 500 holds its first attempts open
//! and is sent more, and the steady state, in which their breakers are open.
//!
//! The rule: the phases alone and beside take turns. Of each kind the p99 (from just before the event is published to its
//! arrival) is the median of its blocks, and beside it may be twice what it is alone. This machine may be busy with other
//! things, so a measurement that exceeds that is repeated twice at most; a delivery that fails or is late by seconds fails
//! at once. Below the few milliseconds of `NOISE` no difference is measurable. It is a separate test crate so that no other
//! test runs at the same time.
//!
//! What is measured is printed: `cargo test --test isolation -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "this test runs in the machine's time")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::engine::{ADMIN_KEY, Api, eventually, text};
use test_support::hostile_crowd::{Behaviour, Hostile};
use test_support::long_run::LongRun;
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

/// What the healthy webhook and those of its organization get.
const WATCHED: &str = "call.completed";
const HANGING: usize = 500;
const IN_THE_SAME_ORGANIZATION: usize = 5;
const OTHER_ORGANIZATIONS: usize = 45;
const EVENTS_PER_SECOND: u32 = 50;
/// Each organization has an event in the three seconds of a block.
const PRESSURE_PAUSE: Duration = Duration::from_millis(55);
/// Of one block: enough for a p99 that is not just its maximum.
const EVENTS_PER_BLOCK: u32 = 150;
const NOISE: Duration = Duration::from_millis(5);
/// Whatever else the machine does.
const LATE: Duration = Duration::from_secs(3);

/// The hanging ones, and the organizations that they belong to.
struct Neighbours {
    hanging: [Hostile; 3],
    same: Vec<String>,
    others: Vec<Api>,
    webhooks: Vec<(Api, String)>,
}

impl Neighbours {
    fn new(world: &World) -> Self {
        let hanging = [Behaviour::NeverAnswers, Behaviour::NeverReads, Behaviour::Drips].map(Hostile::start);
        let others: Vec<Api> = (0..OTHER_ORGANIZATIONS).map(|_| organization(world)).collect();
        let mut all = Self { hanging, same: Vec::new(), others, webhooks: Vec::new() };
        for number in 0..HANGING {
            let api = match number < IN_THE_SAME_ORGANIZATION {
                true => world.api.clone(),
                false => all.others[number % OTHER_ORGANIZATIONS].clone(),
            };
            let url = all.hanging[number % 3].url(number);
            let webhook = json!({"url": url, "timeout": 30, "active": false});
            let id = text(&api.post("/v1/webhooks", &webhook).expect(201).json(), "id").to_owned();
            if number < IN_THE_SAME_ORGANIZATION {
                all.same.push(id.clone());
            }
            all.webhooks.push((api, id));
        }
        all
    }

    /// Switches them on, with a clean record, or off.
    fn switch(&self, active: bool) {
        for (api, id) in &self.webhooks {
            let path = format!("/v1/webhooks/{id}");
            let change = json!({"active": active}).to_string();
            api.try_call("PATCH", &path, Some(change.as_bytes())).unwrap().expect(200);
        }
    }

    /// Ends their attempts: from then on the healthy webhook is alone.
    fn hang_up(&self, world: &World) {
        eventually("nobody hangs any more", || {
            self.hanging.iter().for_each(Hostile::hang_up);
            (hanging_now(world) == 0).then_some(())
        });
    }
}

/// Attempts in flight; those to the healthy webhook are over in an instant.
fn hanging_now(world: &World) -> usize {
    world.api.metric("ringback_attempts_in_flight", "") as usize
}

fn organization(world: &World) -> Api {
    let admin = world.engine.api(ADMIN_KEY);
    let organization = admin.post("/v1/organizations", &json!({"name": "another"})).expect(201).json();
    let keys = format!("/v1/organizations/{}/keys", text(&organization, "id"));
    let key = admin.post(&keys, &json!({"name": "tests", "role": "owner"})).expect(201).json();
    admin.with_key(text(&key, "key"))
}

/// The other organizations' events, one in so long, each for eleven hanging webhooks; until it is stopped.
struct Pressure {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Pressure {
    fn start(organizations: &[Api], pause: Duration) -> Self {
        let (stop, organizations) = (Arc::new(AtomicBool::new(false)), organizations.to_vec());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for api in organizations.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                api.post("/v1/events", &json!({"event_type": "call.missed", "data": {}})).expect(202);
                std::thread::sleep(pause);
            }
        });
        Self { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// The healthy webhook and its receiver.
struct Healthy {
    receiver: Receiver,
    webhook: serde_json::Value,
    seen: usize,
}

impl Healthy {
    /// Publishes a block of events at their pace, and returns the p99 of their time to arrive.
    fn p99(&mut self, world: &World) -> Duration {
        // what came before, a change of the webhook's neighbours or their end, is not of this block
        world.publish(0);
        self.seen += 1;
        eventually("the event before the block arrives", || (self.receiver.count() >= self.seen).then_some(()));
        let begin = Instant::now();
        let mut published = HashMap::new();
        for number in 0..EVENTS_PER_BLOCK {
            let at = begin + number * Duration::from_secs(1) / EVENTS_PER_SECOND;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let before = Instant::now();
            published.insert(world.publish(number as usize), before);
        }
        let wanted = self.seen + EVENTS_PER_BLOCK as usize;
        eventually("the healthy webhook gets everything", || (self.receiver.count() >= wanted).then_some(()));
        let seen = self.receiver.seen().split_off(self.seen);
        assert_eq!(seen.len(), EVENTS_PER_BLOCK as usize, "each once");
        self.seen = wanted;
        let mut took: Vec<Duration> = seen.iter().map(|seen| seen.at - published[&seen.event_id()]).collect();
        took.sort_unstable();
        let (p99, last) = (took[took.len() * 99 / 100], took[took.len() - 1]);
        assert!(last < LATE, "a delivery to the healthy webhook took {last:?}");
        p99
    }
}

fn median(blocks: &mut [Duration]) -> Duration {
    blocks.sort_unstable();
    blocks[blocks.len() / 2]
}

#[test]
fn five_hundred_hanging_webhooks_do_not_delay_a_healthy_one() {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_DELIVERY_BREAKER_MAX_PAUSE_SECONDS", "30");
    let world = World::start(database, serve);
    let receiver = Receiver::ok();
    let webhook = world.webhook(&receiver, json!({"events": [WATCHED], "timeout": 5}));
    let mut healthy = Healthy { receiver, webhook, seen: 0 };
    let neighbours = Neighbours::new(&world);
    // the first requests of a process are its slowest
    healthy.p99(&world);
    let run = LongRun::new("isolation", "RINGBACK_ISOLATION_ROUNDS", 3);
    let mut measured = String::new();
    for measurement in 1.. {
        let (mut alone, mut onset, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..run.rounds() {
            alone.push(healthy.p99(&world));
            neighbours.switch(true);
            let pressure = Pressure::start(&neighbours.others, PRESSURE_PAUSE);
            onset.push(healthy.p99(&world));
            eventually("all of them hang", || (hanging_now(&world) >= HANGING).then_some(()));
            later.push(healthy.p99(&world));
            pressure.end();
            neighbours.switch(false);
            neighbours.hang_up(&world);
            run.step();
        }
        let (alone, onset, later) = (median(&mut alone), median(&mut onset), median(&mut later));
        measured =
            format!("p99 alone {alone:.1?}, while 500 begin to hang {onset:.1?}, while they hang {later:.1?}");
        println!("measured: isolation: {measured}");
        let allowed = 2 * alone.max(NOISE);
        if onset <= allowed && later <= allowed {
            break;
        }
        assert!(measurement < 3, "three times more than twice the time alone: {measured}");
    }
    run.finish(&measured);
    let path = format!("/v1/webhooks/{}/health", text(&healthy.webhook, "id"));
    let health = world.api.get(&path).expect(200).json();
    assert_eq!(health["last_1h"]["success_rate"].as_f64(), Some(1.0), "none timed out, none failed: {health}");
}
