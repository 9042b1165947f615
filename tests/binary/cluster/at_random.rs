//! Faults of nodes at random moments, one after the other. The moments follow from a seed, which is printed; `RINGBACK_SEED`
//! repeats them. `just cluster` makes many, with progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use test_support::cluster::{Arrived, Cluster, LEASE};
use test_support::engine::{Api, eventually, text};
use test_support::long_run::LongRun;
use test_support::receiver::Receiver;
use test_support::world::{Heard, Publishers};

const WEBHOOKS: usize = 12;
/// What a node may have in flight or not yet recorded when it ends.
const UNSETTLED: usize = (WEBHOOKS + 1) * 32;
const NODES: usize = 3;
const ROUNDS: &str = "RINGBACK_CLUSTER_ROUNDS";
const SEED: &str = "RINGBACK_SEED";
/// Only the ordered webhook wants it.
const IN_ORDER: &str = "call.missed";
/// A node runs for up to so long before the next fault.
const LONGEST_PEACE: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `kill -9`, and started again at once.
    Killed,
    /// `kill -9`, and started again when the others have taken over.
    Lost,
    /// Stopped for less than its lease.
    Paused,
    /// Stopped until the others have taken over.
    Frozen,
    /// SIGTERM, and started again.
    Restarted,
}

/// Those that need a lease are rarer.
const FAULTS: [Fault; 10] = [
    Fault::Killed,
    Fault::Killed,
    Fault::Killed,
    Fault::Killed,
    Fault::Paused,
    Fault::Paused,
    Fault::Restarted,
    Fault::Restarted,
    Fault::Lost,
    Fault::Frozen,
];

/// What has been done and measured.
#[derive(Default)]
struct Done {
    abrupt: usize,
    slowest_takeover: Duration,
}

fn pass(moments: &mut StdRng, at_most: Duration) {
    let (_never, alarm) = std::sync::mpsc::channel::<()>();
    let _ = alarm.recv_timeout(at_most.mul_f64(moments.random()));
}

fn eventually_taken_over(cluster: &Cluster, victim: usize, since: Instant, done: &mut Done) {
    let witness = &cluster.nodes[(victim + 1) % NODES];
    let name = format!("node-{victim}");
    eventually("the others have taken over", || {
        let view = witness.view();
        let owned = view["partitions"]["unowned"] == 0;
        let nodes = view["nodes"].as_array().unwrap();
        let is_over = nodes.iter().any(|node| node["name"] == name.as_str() && node["state"] == "fenced");
        (owned && is_over).then_some(())
    });
    done.slowest_takeover = done.slowest_takeover.max(since.elapsed());
}

fn make(fault: Fault, cluster: &mut Cluster, victim: usize, moments: &mut StdRng, done: &mut Done) {
    let since = Instant::now();
    match fault {
        Fault::Killed | Fault::Lost => {
            done.abrupt += 1;
            cluster.nodes[victim].engine.kill();
            if fault == Fault::Lost {
                eventually_taken_over(cluster, victim, since, done);
            }
            let node = &mut cluster.nodes[victim];
            node.engine.restart(&node.serve);
        }
        Fault::Restarted => {
            let node = &mut cluster.nodes[victim];
            node.engine.terminate();
            assert!(node.engine.end().success());
            node.engine.restart(&node.serve);
        }
        Fault::Paused => {
            cluster.nodes[victim].freeze(true);
            pass(moments, LEASE / 4);
            cluster.nodes[victim].freeze(false);
        }
        Fault::Frozen => {
            done.abrupt += 1;
            cluster.nodes[victim].freeze(true);
            eventually_taken_over(cluster, victim, since, done);
            cluster.nodes[victim].freeze(false);
        }
    }
}

/// Publishes one event after the other, each through another node than the one before; returns what was acknowledged, in order.
fn in_order(apis: Vec<Api>, stop: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let event = json!({"event_type": IN_ORDER, "data": {"number": number}}).to_string();
            // of a post without an answer the event may be stored: nothing was promised of it
            let Ok(answer) = apis[number % NODES].try_call("POST", "/v1/events", Some(event.as_bytes())) else {
                continue;
            };
            if answer.status == 202 {
                acknowledged.push(text(&answer.json(), "id").to_owned());
            }
        }
        acknowledged
    })
}

#[test]
fn nothing_is_lost_and_order_holds_through_20_faults_of_nodes_at_random_moments() {
    let Some(mut cluster) = Cluster::start(NODES) else { return };
    let run = LongRun::new("faults of nodes", ROUNDS, 20);
    let seed = std::env::var(SEED).map_or_else(|_| rand::random(), |given| given.parse().unwrap());
    println!("faults of nodes: {SEED}={seed} repeats this");
    let mut moments = StdRng::seed_from_u64(seed);
    let (receiver, ordered) = (Receiver::ok(), Receiver::ok());
    let policy = json!({"max_attempts": 50, "initial_delay_seconds": 1, "backoff_multiplier": 1});
    cluster.webhooks(&receiver, WEBHOOKS, &json!({"events": ["call.completed"], "retry_policy": policy}));
    cluster.webhooks(&ordered, 1, &json!({"events": [IN_ORDER], "ordered": true, "retry_policy": policy}));

    let stop = Arc::new(AtomicBool::new(false));
    let apis: Vec<Api> = cluster.nodes.iter().map(|node| node.api.clone()).collect();
    let sequence = in_order(apis, stop.clone());
    let publishers: Vec<Publishers> = cluster.nodes.iter().map(|node| Publishers::start(1, &node.api)).collect();
    let mut done = Done::default();
    for _ in 0..run.rounds() {
        pass(&mut moments, LONGEST_PEACE);
        let (fault, victim) = (*FAULTS.choose(&mut moments).unwrap(), moments.random_range(0..NODES));
        make(fault, &mut cluster, victim, &mut moments, &mut done);
        run.step();
    }
    cluster.eventually_balanced();
    let heard: Vec<Heard> = publishers.into_iter().map(Publishers::stop).collect();
    stop.store(true, Ordering::Relaxed);
    let acknowledged = sequence.join().unwrap();
    cluster.eventually_idle();

    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert!(arrived.repeated <= done.abrupt * UNSETTLED, "{} came twice", arrived.repeated);
    check_order(&ordered, &acknowledged);
    run.finish(&format!(
        "{} events and {} in order acknowledged; 0 lost, {} arrived again; order held; longest silence of a webhook {:?}; \
         slowest takeover {:?} (lease {LEASE:?})",
        heard.iter().map(|heard| heard.acknowledged.len()).sum::<usize>(),
        acknowledged.len(),
        arrived.repeated,
        arrived.longest_gap,
        done.slowest_takeover
    ));
}

/// What was acknowledged first has arrived first, for the first time.
fn check_order(receiver: &Receiver, acknowledged: &[String]) {
    let seen: Vec<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
    let mut before = None;
    for id in acknowledged {
        let place = seen.iter().position(|seen| seen == id);
        assert!(place.is_some(), "{id} did not arrive");
        assert!(before < place, "{id} overtook the one before");
        before = place;
    }
}
