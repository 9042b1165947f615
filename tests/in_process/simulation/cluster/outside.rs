//! What is around the nodes: receivers, which see who sends what, and the wires between the nodes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringback::actors::cluster::rights::Rights;
use ringback::actors::handle::EngineHandle;
use ringback::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response};
use ringback::domain::cluster::{Partition, Slot};
use ringback::domain::ids::EndpointId;
use ringback::domain::time::{Clock, UnixMillis};
use ringback::store::ClusterStore;
use ringback::store::memory::MemoryStore;
use ringback::transport::{AttemptRequest, PeerMessage, Peers, Transport};
use tokio::time::Instant;

use super::super::world::{BEGIN, SimulatedClock, pass, url};

/// How long a node waits for another one.
const PATIENCE: Duration = Duration::from_millis(700);

/// One life of a node, as its surroundings see it.
pub(super) struct Life {
    pub number: u64,
    pub store: Arc<MemoryStore>,
    pub is_frozen: AtomicBool,
    /// From the database.
    pub is_cut_off: AtomicBool,
    /// From the other nodes.
    pub is_unlinked: AtomicBool,
}

impl Life {
    /// Whether it does what it should.
    pub(super) fn is_well(&self) -> bool {
        !self.is_frozen.load(Ordering::SeqCst) && !self.is_cut_off.load(Ordering::SeqCst)
    }

    /// Its place in the cluster, for as long as it has rights.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.store.held_place().map(|(slot, _)| slot)
    }
}

/// What must not have happened.
#[derive(Default)]
pub(super) struct Violations(Mutex<Vec<String>>);

impl Violations {
    pub(super) fn add(&self, violation: String) {
        let mut found = self.0.lock().unwrap();
        if found.len() < 20 {
            found.push(violation);
        }
    }

    pub(super) fn none_or_panic(&self) {
        let found = self.0.lock().unwrap();
        assert!(found.is_empty(), "{} violations or more:\n{}", found.len(), found.join("\n"));
    }
}

/// The receivers of all webhooks.
pub(super) struct Receivers {
    pub clock: Arc<SimulatedClock>,
    pub violations: Arc<Violations>,
    seen: Mutex<Seen>,
    dice: Mutex<StdRng>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub attempts: usize,
    /// Answered with 200 more than once.
    pub repeated: usize,
    /// Answered with 200.
    pub taken: HashSet<(i64, String)>,
    /// In the order in which they came for the first time.
    pub firsts: HashMap<i64, Vec<String>>,
    came: HashSet<(i64, String)>,
    in_flight: HashMap<i64, Vec<InFlight>>,
}

/// Who has an attempt in flight, and the place in the cluster by which it was begun.
struct InFlight {
    attempt: usize,
    life: Arc<Life>,
    place: Option<(Slot, i64)>,
}

impl InFlight {
    /// Nobody else may send meanwhile. One that has lost its rights, or is about to, can't take back what it has sent.
    fn excludes_others(&self) -> bool {
        self.life.is_well() && self.place.is_some() && self.life.store.held_place() == self.place
    }
}

impl Receivers {
    pub(super) fn new(clock: Arc<SimulatedClock>, seed: u64) -> Self {
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        Self { clock, violations: Arc::default(), seen: Mutex::default(), dice }
    }

    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Each receiver fails for 20 s out of four minutes, and is slow for as long.
    fn answer(&self, endpoint: i64) -> (Duration, Result<u16, AttemptError>) {
        let mut dice = self.dice.lock().unwrap();
        let turn = (self.clock.now().since(BEGIN).as_secs() as i64 / 20 + endpoint * 5) % 12;
        let latency = Duration::from_millis(dice.random_range(2..120));
        match turn {
            0 if dice.random_bool(0.5) => (latency, Ok(503)),
            0 => (latency, Err(AttemptError::ConnectionReset)),
            6 => (Duration::from_millis(dice.random_range(1_000..40_000)), Ok(200)),
            _ => (latency, Ok(200)),
        }
    }

    /// Nobody but the owner of a partition may send for it, and nobody while another node still does.
    fn check_right(&self, endpoint: i64, life: &Arc<Life>) {
        let (id, now) = (EndpointId(endpoint), self.clock.now().since(BEGIN));
        let (slot, owned) = (life.slot(), life.store.ownership().unwrap());
        let owner = owned.map.owner(Partition::of(id));
        let is_pinned_elsewhere = owned.pins.iter().any(|pin| pin.endpoint_id == id && Some(pin.slot) != slot);
        if slot.is_none() || slot != owner || is_pinned_elsewhere {
            self.violations.add(format!(
                "{now:?}: life {} sends for webhook {endpoint} as node {slot:?}, the owner is {owner:?}, pinned elsewhere: \
                 {is_pinned_elsewhere}",
                life.number
            ));
        }
        let seen = self.seen();
        let others = seen.in_flight.get(&endpoint).into_iter().flatten();
        for other in others.filter(|other| other.life.number != life.number && other.excludes_others()) {
            let (this, other) = (life.number, other.life.number);
            self.violations.add(format!("{now:?}: lives {this} and {other} send for webhook {endpoint} at once"));
        }
    }
}

/// An attempt that is under way; it ends with its process, too.
struct UnderWay {
    receivers: Arc<Receivers>,
    endpoint: i64,
    attempt: usize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.receivers.seen();
        let of_endpoint = seen.in_flight.entry(self.endpoint).or_default();
        of_endpoint.retain(|other| other.attempt != self.attempt);
    }
}

/// How one life of a node reaches the receivers.
pub(super) struct WayOut {
    pub receivers: Arc<Receivers>,
    pub rights: Arc<Rights>,
    pub life: Arc<Life>,
}

fn endpoint_of(request: &AttemptRequest) -> i64 {
    (1..).find(|id| url(*id) == request.url.as_ref()).unwrap()
}

impl Transport for WayOut {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        if !self.rights.may_act() {
            return Box::pin(std::future::ready(Err(LocalFault::Lease)));
        }
        let endpoint = endpoint_of(&request);
        let event = request.headers.iter().find(|(name, _)| name == "webhook-id").unwrap().1.to_string();
        let (receivers, life) = (self.receivers.clone(), self.life.clone());
        receivers.check_right(endpoint, &life);
        let mut seen = receivers.seen();
        seen.attempts += 1;
        let attempt = seen.attempts;
        if seen.came.insert((endpoint, event.clone())) {
            seen.firsts.entry(endpoint).or_default().push(event.clone());
        }
        let in_flight = InFlight { attempt, place: life.store.held_place(), life };
        seen.in_flight.entry(endpoint).or_default().push(in_flight);
        drop(seen);
        let under_way = UnderWay { receivers: receivers.clone(), endpoint, attempt };
        let (latency, answer) = receivers.answer(endpoint);
        Box::pin(async move {
            let begin = Instant::now();
            let answer = if latency > request.timeout { Err(AttemptError::Timeout) } else { answer };
            pass(latency.min(request.timeout)).await;
            drop(under_way);
            if answer.as_ref().is_ok_and(|status| *status == 200) {
                let mut seen = receivers.seen();
                let is_new = seen.taken.insert((endpoint, event));
                seen.repeated += usize::from(!is_new);
            }
            let answer = answer.map(|status| Response::new(status, Vec::new(), Bytes::new()));
            Ok(AttemptResult { response: answer, duration: begin.elapsed() })
        })
    }
}

/// The network between the nodes: of a hundred messages five are lost, of five the answer, and five come twice.
pub(super) struct Wires {
    ends: Mutex<HashMap<String, (EngineHandle, Arc<Life>)>>,
    dice: Mutex<StdRng>,
}

impl Wires {
    pub(super) fn new(seed: u64) -> Self {
        Self { ends: Mutex::default(), dice: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    pub(super) fn connect(&self, address: &str, engine: EngineHandle, life: Arc<Life>) {
        self.ends.lock().unwrap().insert(address.to_owned(), (engine, life));
    }

    /// `None`: nobody listens there. `Some(None)`: nobody answers.
    fn end(&self, address: &str) -> Option<Option<EngineHandle>> {
        let ends = self.ends.lock().unwrap();
        let (engine, life) = ends.get(address)?;
        let answers = !life.is_frozen.load(Ordering::SeqCst) && !life.is_unlinked.load(Ordering::SeqCst);
        Some(answers.then(|| engine.clone()))
    }

    pub(super) fn disconnect(&self, address: &str) {
        self.ends.lock().unwrap().remove(address);
    }
}

/// How one life of a node reaches the others.
pub(super) struct ToPeers {
    pub wires: Arc<Wires>,
    pub life: Arc<Life>,
}

impl Peers for ToPeers {
    fn tell(&self, message: PeerMessage) -> LocalBoxFuture<'static, bool> {
        let (wires, life) = (self.wires.clone(), self.life.clone());
        Box::pin(async move {
            let (fate, way) = {
                let mut dice = wires.dice.lock().unwrap();
                (dice.random_range(0..100), Duration::from_millis(dice.random_range(1..4)))
            };
            let address = message.url.strip_suffix("/cluster/v1/push").unwrap().to_owned();
            let is_lost = fate < 5 || life.is_unlinked.load(Ordering::SeqCst);
            pass(way).await;
            let end = match wires.end(&address) {
                None => return false,
                Some(end) => end.filter(|_| !is_lost),
            };
            let Some(engine) = end else {
                pass(PATIENCE).await;
                return false;
            };
            let answer = engine.pushed(&message.header.1, &message.body);
            let is_taken = answer.is_some_and(|answer| answer == message.answer);
            if fate < 10 {
                pass(PATIENCE).await;
                return false;
            }
            if fate < 15 {
                tokio::task::spawn_local(async move {
                    pass(PATIENCE / 2).await;
                    if let Some(Some(engine)) = wires.end(&address) {
                        engine.pushed(&message.header.1, &message.body);
                    }
                });
            }
            is_taken
        })
    }
}

/// A machine's own clock: it goes as the world's does, and shows another time.
pub(super) struct MachineClock {
    pub world: Arc<SimulatedClock>,
    pub ahead_ms: i64,
    pub booted_before: Duration,
}

impl Clock for MachineClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.world.now().0 + self.ahead_ms)
    }

    fn uptime(&self) -> Duration {
        self.world.now().since(BEGIN) + self.booted_before
    }
}
