//! Three nodes in one process, on one memory, in paused time: the real actors with their leases, fences, hand-overs and
//! pushes, over hours. Nodes are killed, frozen, cut off and restarted at random moments, which follow from a seed
//! (`RINGBACK_SEED` repeats them; threads that write make small differences). `just simulated-cluster` runs for long.
//!
//! What this does not cover: PostgreSQL's part, which the memory replaces by one lock (row locks, statements under way while a
//! fence moves, failover); a process that stands still inside of a transaction; and the wait before an event is acknowledged, which
//! is real time: publishers wait for as long in simulated time. `tests/binary/cluster` has those.

mod node;
mod outside;
mod process;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use ringback::actors::publication::Publication;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::organization::Organization;
use ringback::domain::patterns::EventPattern;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::time::Clock;
use ringback::store::{IdempotencyKey, MaintenanceStore, TenantStore};
use serde_json::value::RawValue;
use test_support::long_run::LongRun;

use super::world::{BEGIN, ORGANIZATION, SimulatedClock, endpoint, pass};
use node::{Cluster, LEASE, NODES, Watch};

const MINUTES: &str = "RINGBACK_SIMULATED_MINUTES";
const SEED: &str = "RINGBACK_SEED";
const MINUTE: Duration = Duration::from_secs(60);
/// Webhooks that take events in any order, and in theirs.
const ANY_ORDER: std::ops::RangeInclusive<i64> = 1..=10;
const IN_ORDER: std::ops::RangeInclusive<i64> = 11..=13;
const OF_ANY_ORDER: &str = "call.completed";
const OF_ORDERED: &str = "call.missed";
/// What a node may have in flight or not yet recorded when it ends.
const UNSETTLED: usize = 13 * 32;
/// Real time passes before an event is acknowledged, so that later ones come behind it wherever they are accepted; for as
/// long a publisher waits here.
const COMMIT_WAIT: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// And started again at once.
    Killed,
    /// And started again when the others have taken over.
    Lost,
    /// The same, on another machine.
    Moved,
    /// For less than its lease.
    Paused,
    /// For one to three leases.
    Frozen,
    /// In order.
    Restarted,
    /// From the database, for up to three leases.
    CutOff,
    /// From the other nodes.
    Unlinked,
    /// Of its next commit with an event.
    AnswerLost,
}

const FAULTS: [Fault; 11] = [
    Fault::Killed,
    Fault::Killed,
    Fault::Lost,
    Fault::Moved,
    Fault::Paused,
    Fault::Frozen,
    Fault::Frozen,
    Fault::Restarted,
    Fault::CutOff,
    Fault::Unlinked,
    Fault::AnswerLost,
];

/// What was promised to publishers.
#[derive(Default)]
struct Promised {
    any_order: Vec<String>,
    in_order: Vec<String>,
}

fn wants(id: i64, event_type: &str) -> Endpoint {
    let policy =
        RetryPolicy { max_attempts: 50, backoff_multiplier: 1.5, initial_delay_seconds: 1, max_delay_seconds: 10 };
    let mut wanting = endpoint(id);
    wanting.events = vec![EventPattern::Exact(event_type.to_owned())];
    wanting.retry = RetrySchedule::Policy(policy);
    wanting.ordered = event_type == OF_ORDERED;
    wanting
}

fn set_up(cluster: &Cluster) {
    let organization = Organization::named(ORGANIZATION, ORGANIZATION.to_string(), BEGIN);
    cluster.database.create_organization(&organization).unwrap();
    let any_order = ANY_ORDER.map(|id| wants(id, OF_ANY_ORDER));
    for endpoint in any_order.chain(IN_ORDER.map(|id| wants(id, OF_ORDERED))) {
        cluster.database.create_endpoint(&endpoint).unwrap();
    }
    (0..NODES).for_each(|machine| cluster.start(machine, format!("machine-{machine}")));
}

/// Publishes one event after the other, each until a node has acknowledged it; the key makes them one.
async fn publish(cluster: Rc<Cluster>, number: usize, stop: Rc<Cell<bool>>, promised: Rc<RefCell<Promised>>) {
    let mut dice = StdRng::seed_from_u64(number as u64);
    // the last one publishes through all nodes in turn, for the ordered webhooks
    let is_ordered = number == NODES;
    let mut event = 0u64;
    while !stop.get() {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&event.to_be_bytes());
        let key = format!("{number}-{event}");
        let mut machine = if is_ordered { event as usize % NODES } else { number };
        event += 1;
        let id = loop {
            let now = cluster.receivers.clock.now();
            let data = RawValue::from_string(format!("{{\"number\":{event}}}")).unwrap();
            let event_type = if is_ordered { OF_ORDERED } else { OF_ANY_ORDER };
            let timestamp = (now.to_string(), now);
            let mut publication = Publication::new(ORGANIZATION, event_type.to_owned(), timestamp, data);
            publication.idempotency = Some(IdempotencyKey { key: key.clone(), request_hash: hash });
            if let Some(id) = cluster.publish(machine, publication).await {
                break id.to_string();
            }
            machine = (machine + 1) % NODES;
            pass(Duration::from_millis(200)).await;
        };
        match is_ordered {
            true => promised.borrow_mut().in_order.push(id),
            false => promised.borrow_mut().any_order.push(id),
        }
        pass(COMMIT_WAIT).await;
        // often several at once, and then for a while none
        if dice.random_bool(0.5) {
            pass(Duration::from_millis(dice.random_range(0..8_000))).await;
        }
    }
}

fn between(dice: &mut StdRng, from: Duration, to: Duration) -> Duration {
    from + (to - from).mul_f64(dice.random())
}

/// Does something to a node, and repairs it.
async fn make(cluster: &Cluster, fault: Fault, machine: usize, mut dice: StdRng) {
    let name = format!("machine-{machine}");
    let long = between(&mut dice, LEASE, LEASE * 3);
    match fault {
        Fault::Killed => {
            cluster.kill(machine);
            cluster.start(machine, name);
        }
        Fault::Lost | Fault::Moved => {
            cluster.kill(machine);
            pass(between(&mut dice, Duration::ZERO, LEASE * 3)).await;
            let moved = format!("{name}-{}", dice.random_range(0..3));
            cluster.start(machine, if fault == Fault::Moved { moved } else { name });
        }
        Fault::Restarted => {
            cluster.stop(machine).await;
            cluster.start(machine, name);
        }
        Fault::Paused | Fault::Frozen => {
            let short = between(&mut dice, Duration::ZERO, LEASE);
            cluster.with_node(machine, |node| node.freeze(true));
            pass(if fault == Fault::Paused { short } else { long }).await;
            cluster.with_node(machine, |node| node.freeze(false));
        }
        Fault::CutOff => {
            cluster.with_node(machine, |node| node.cut_off(true));
            pass(between(&mut dice, Duration::ZERO, LEASE * 3)).await;
            cluster.with_node(machine, |node| node.cut_off(false));
        }
        Fault::Unlinked => {
            let unlink = |is_unlinked| {
                cluster.with_node(machine, |node| node.life.is_unlinked.store(is_unlinked, Ordering::SeqCst));
            };
            unlink(true);
            pass(long).await;
            unlink(false);
        }
        Fault::AnswerLost => {
            let lose =
                |what| cluster.with_node(machine, |node| *node.database.loses_answer_of.lock().unwrap() = what);
            lose("commit of events");
            pass(long).await;
            lose("");
        }
    }
}

/// The database is away from all nodes for longer than a lease.
async fn take_database_away(cluster: &Cluster, lasts: Duration) {
    let cut_off = |is_cut_off| {
        for machine in 0..NODES {
            cluster.with_node(machine, |node| node.cut_off(is_cut_off));
        }
    };
    cut_off(true);
    pass(lasts).await;
    cut_off(false);
}

/// Faults until the end, at most on two nodes at once unless the database itself is away; returns how many there were.
async fn disturb(cluster: &Rc<Cluster>, seed: u64, minutes: &LongRun) -> usize {
    let mut dice = StdRng::seed_from_u64(seed);
    let end = BEGIN + MINUTE * u32::try_from(minutes.rounds()).unwrap();
    let (mut faults, mut said) = (0, 0);
    while cluster.receivers.clock.now() < end {
        pass(between(&mut dice, Duration::ZERO, Duration::from_secs(20))).await;
        let passed = cluster.receivers.clock.now().since(BEGIN).as_secs() / 60;
        (said..passed.min(minutes.rounds())).for_each(|_| minutes.step());
        said = passed;
        let idle: Vec<usize> = (0..NODES).filter(|machine| !cluster.is_busy[*machine].get()).collect();
        let (machine, fault) = (*idle.choose(&mut dice).unwrap_or(&0), *FAULTS.choose(&mut dice).unwrap());
        let own_dice = StdRng::seed_from_u64(dice.random());
        if idle.len() == NODES && dice.random_bool(0.05) {
            faults += 1;
            take_database_away(cluster, between(&mut dice, LEASE / 2, LEASE * 4)).await;
        } else if idle.len() >= 2 {
            faults += 1;
            let cluster = cluster.clone();
            cluster.is_busy[machine].set(true);
            tokio::task::spawn_local(async move {
                make(&cluster, fault, machine, own_dice).await;
                // a node that has just started is left alone until it takes requests
                while !cluster.with_node(machine, node::Node::takes_requests).unwrap_or_default() {
                    pass(Duration::from_millis(100)).await;
                }
                cluster.is_busy[machine].set(false);
            });
        }
    }
    while cluster.is_busy.iter().any(Cell::get) {
        pass(Duration::from_millis(100)).await;
    }
    faults
}

async fn watch(cluster: Rc<Cluster>, watch: Rc<RefCell<Watch>>) {
    loop {
        let now = cluster.receivers.clock.now().since(BEGIN);
        watch.borrow_mut().look(&cluster, now);
        pass(Duration::from_millis(100)).await;
    }
}

async fn eventually_idle(cluster: &Cluster) {
    let end = cluster.receivers.clock.now() + 60 * MINUTE;
    while cluster.database.count_pending_of(&|_| true).unwrap() > 0 {
        assert!(cluster.receivers.clock.now() < end, "something is pending for ever");
        pass(Duration::from_secs(1)).await;
    }
}

/// Every webhook has taken every event, the ordered ones in the order of their acknowledgements.
fn check_nothing_lost(cluster: &Cluster, promised: &Promised) {
    let seen = cluster.receivers.seen();
    let check = |id: i64, events: &[String]| {
        let lost: Vec<&String> =
            events.iter().filter(|event| !seen.taken.contains(&(id, (*event).clone()))).collect();
        assert!(lost.is_empty(), "webhook {id} has not taken {} events: {lost:?}", lost.len());
    };
    ANY_ORDER.for_each(|id| check(id, &promised.any_order));
    IN_ORDER.for_each(|id| check(id, &promised.in_order));
    let acknowledged: HashSet<&String> = promised.in_order.iter().collect();
    for id in IN_ORDER {
        let came: Vec<&String> = seen.firsts[&id].iter().filter(|event| acknowledged.contains(event)).collect();
        let out_of_order = came.iter().zip(&promised.in_order).position(|(came, promised)| *came != promised);
        assert_eq!(out_of_order, None, "the first that came out of order to webhook {id}");
    }
}

async fn run(seed: u64, minutes: LongRun) {
    let clock = Arc::new(SimulatedClock::from(BEGIN));
    let cluster = Rc::new(Cluster::new(clock, seed));
    set_up(&cluster);
    cluster.all_take_requests().await;
    let (stop, promised) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Promised::default())));
    let watched = Rc::new(RefCell::new(Watch::new()));
    let publishers: Vec<_> = (0..=NODES)
        .map(|number| tokio::task::spawn_local(publish(cluster.clone(), number, stop.clone(), promised.clone())))
        .collect();
    let watching = tokio::task::spawn_local(watch(cluster.clone(), watched.clone()));
    let faults = disturb(&cluster, seed, &minutes).await;
    stop.set(true);
    for publisher in publishers {
        publisher.await.unwrap();
    }
    eventually_idle(&cluster).await;
    watching.abort();
    for machine in 0..NODES {
        cluster.kill(machine);
    }
    cluster.receivers.violations.none_or_panic();
    assert_eq!(cluster.commits_without_right.get(), 0, "commits by nodes whose rights had ended");
    let promised = promised.borrow();
    check_nothing_lost(&cluster, &promised);
    let seen = cluster.receivers.seen();
    assert!(seen.repeated <= faults * UNSETTLED, "{} came twice", seen.repeated);
    minutes.finish(&format!(
        "{faults} faults; {} events and {} in order acknowledged, {} attempts; 0 lost, {} taken again; order held; a partition \
         was at most {:?} with a node that could not serve it (lease {LEASE:?})",
        promised.any_order.len(),
        promised.in_order.len(),
        seen.attempts,
        seen.repeated,
        watched.borrow().longest
    ));
}

#[test]
fn three_nodes_lose_nothing_keep_order_and_never_send_at_once_whatever_happens_to_them_over_simulated_time() {
    let minutes = LongRun::new("simulated minutes of three nodes", MINUTES, 10);
    let seed = std::env::var(SEED).map_or(1, |given| given.parse().unwrap());
    println!("three simulated nodes: {SEED}={seed}");
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(run(seed, minutes));
}
