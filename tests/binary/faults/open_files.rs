//! No file descriptors left: a fault of this machine, for which no receiver is blamed and no attempt is used up.

use std::collections::HashMap;
use std::process::Command;

use serde_json::json;
use test_support::engine::{PATIENCE, eventually};
use test_support::receiver::Receiver;
use test_support::requirements::missing;
use test_support::world::{Database, Heard, Publishers, World};

/// Each of its own, so that every first attempt needs a connection of its own.
const RECEIVERS: usize = 24;

/// Open files that leave about 40 for connections: at rest an engine has 30, and 8 for each processor, whose threads wait on
/// descriptors of their own.
fn few_files() -> usize {
    64 + 12 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Sets how many descriptors a running process may have; `false`, with a message on standard error, where that is not possible.
fn limit_open_files(world: &World, limit: &str) -> bool {
    let pid = world.engine.pid().to_string();
    let changed = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status();
    let is_changed = changed.is_ok_and(|status| status.success());
    if !is_changed {
        missing("prlimit");
    }
    is_changed
}

fn descriptors(world: &World) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", world.engine.pid())).map_or(0, Iterator::count)
}

/// Everything acknowledged is at every receiver, once, by one attempt, and nobody is said to have failed.
fn check_that_nothing_was_counted(world: &World, receivers: &[Receiver], heard: &Heard) {
    world.eventually_idle();
    for receiver in receivers {
        let mut times: HashMap<String, usize> = HashMap::new();
        for seen in receiver.seen() {
            *times.entry(seen.event_id()).or_default() += 1;
            assert_eq!(seen.attempt(), 1);
        }
        for id in &heard.acknowledged {
            assert_eq!(times.get(id), Some(&1), "{id} at {}", receiver.url());
        }
    }
    for outcome in ["connection_failed", "connection_reset", "connection_refused", "timeout", "dns_failure"] {
        assert_eq!(world.api.metric("ringback_attempts_total", outcome), 0.0, "{outcome}");
    }
    assert_eq!(world.api.metric("ringback_breakers_open", ""), 0.0);
    let failed = world.api.get("/v1/webhooks/logs?limit=1&status=failed").expect(200).json();
    assert_eq!(failed["data"], json!([]));
    let mut cursor = String::new();
    loop {
        let page = world.api.get(&format!("/v1/webhooks/logs?limit=200{cursor}")).expect(200).json();
        for delivery in page["data"].as_array().unwrap() {
            assert_eq!(delivery["attempt_count"], 1, "{delivery}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}

#[test]
fn without_file_descriptors_no_attempt_is_counted_and_everything_is_delivered_once_there_are_some() {
    let world = World::new(Database::sqlite());
    let receivers: Vec<Receiver> = (0..RECEIVERS).map(|_| Receiver::ok()).collect();
    for receiver in &receivers {
        world.webhook(receiver, json!({}));
    }
    let publishers = Publishers::start(2, &world.api);
    publishers.eventually_more(10);
    // less than it has: what is open stays, nothing new can be opened
    if !limit_open_files(&world, "8") {
        drop(publishers.stop());
        return;
    }
    // those who are connected are served on: a commit needs no new descriptor
    publishers.eventually_more(10);
    let stranger = {
        let api = world.engine.api("somebody who connects now");
        std::thread::spawn(move || api.try_call("GET", "/health/live", None).map(|answer| answer.status))
    };
    eventually("the log reports it", || world.engine.log().contains("attempts can't be made").then_some(()));
    publishers.eventually_more(10);
    let held = descriptors(&world);
    assert!(limit_open_files(&world, "4096"));
    let heard = publishers.stop();
    assert_eq!(stranger.join().unwrap().unwrap(), 200, "it waited in the system's queue");

    check_that_nothing_was_counted(&world, &receivers, &heard);
    let faults = world.api.metric("ringback_local_faults_total", "open_files");
    assert!(faults > 0.0);
    println!(
        "measured: {} events to {RECEIVERS} receivers acknowledged with {held} descriptors open and none to be \
         had; {faults} attempts not made, none counted; refused {:?}",
        heard.acknowledged.len(),
        heard.refused
    );
}

#[test]
fn an_engine_that_may_open_few_files_serves_and_delivers_all_the_same() {
    let database = Database::sqlite();
    let limit = few_files();
    let serve = database.serve().under(&["sh", "-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
    let world = World::start(database, serve);
    let receivers: Vec<Receiver> = (0..RECEIVERS).map(|_| Receiver::ok()).collect();
    for receiver in &receivers {
        world.webhook(receiver, json!({}));
    }
    let crowd: Vec<_> =
        (0..limit).filter_map(|_| std::net::TcpStream::connect(world.engine.address()).ok()).collect();
    let publishers = Publishers::start(4, &world.api);
    publishers.eventually_more(10);
    let most = descriptors(&world);
    drop(crowd);
    let heard = publishers.stop();
    check_that_nothing_was_counted(&world, &receivers, &heard);
    println!(
        "measured: {} events to {RECEIVERS} receivers with {limit} open files ({most} in use), within {PATIENCE:?}; \
         {} attempts not made; refused {:?}",
        heard.acknowledged.len(),
        world.api.metric("ringback_local_faults_total", "open_files"),
        heard.refused
    );
}
