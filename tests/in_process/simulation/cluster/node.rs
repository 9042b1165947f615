//! The nodes: real engines in processes of the simulation.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringback::actors::cluster::clock::DatabaseClock;
use ringback::actors::cluster::joining::{Identity, join};
use ringback::actors::cluster::push::PushKey;
use ringback::actors::context::{ActorContext, ActorSettings};
use ringback::actors::publication::Publication;
use ringback::actors::{Actors, ClusterPlace, SupervisorThreads};
use ringback::domain::ids::EventId;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::target::PeerAddresses;
use ringback::store::memory::MemoryStore;
use ringback::store::{ClusterStore, Store};
use tokio::time::timeout;

use super::super::world::{SimulatedClock, pass, settings};
use super::outside::{Life, MachineClock, Receivers, ToPeers, WayOut, Wires};
use super::process::Process;
use crate::faulty_store::FaultyStore;

pub(super) const NODES: usize = 3;
pub(super) const LEASE: Duration = Duration::from_secs(6);
/// As the engine waits before it takes requests beside others.
const SEEN_AFTER: Duration = Duration::from_millis(1_500);
/// As the engine goes on taking requests while it leaves.
const NOTICED_AFTER: Duration = Duration::from_secs(3);
/// Longer than any attempt.
const DRAIN_LIMIT: Duration = Duration::from_secs(75);
/// A publisher's: longer than the engine's own.
const PATIENCE: Duration = Duration::from_secs(12);
const HOUR_MS: i64 = 3_600_000;

/// A machine and what runs on it.
pub(super) struct Node {
    pub life: Arc<Life>,
    /// Its way to the database.
    pub database: Arc<FaultyStore>,
    process: Process,
    /// Here when it takes requests.
    engine: Rc<OnceCell<Rc<Actors>>>,
    address: String,
}

impl Node {
    pub(super) fn takes_requests(&self) -> bool {
        self.engine.get().is_some()
    }

    pub(super) fn freeze(&self, is_frozen: bool) {
        self.life.is_frozen.store(is_frozen, Ordering::SeqCst);
        self.process.freeze(is_frozen);
    }

    pub(super) fn cut_off(&self, is_cut_off: bool) {
        self.life.is_cut_off.store(is_cut_off, Ordering::SeqCst);
        self.database.is_unavailable.store(is_cut_off, Ordering::SeqCst);
    }
}

/// The cluster, its database, and everything around it.
pub(super) struct Cluster {
    /// Beside the nodes.
    pub database: MemoryStore,
    pub receivers: Arc<Receivers>,
    pub nodes: RefCell<Vec<Option<Node>>>,
    /// Nodes that something is being done to.
    pub is_busy: [Cell<bool>; NODES],
    pub commits_without_right: Cell<usize>,
    wires: Arc<Wires>,
    settings: ActorSettings,
    lives: Cell<u64>,
    seed: u64,
}

impl Cluster {
    pub(super) fn new(clock: Arc<SimulatedClock>, seed: u64) -> Self {
        // what is old is removed meanwhile: the memory reads all of it for every answer
        let settings = ActorSettings { retention: Duration::from_secs(600), ..settings() };
        Self {
            database: MemoryStore::shared(clock.clone()),
            receivers: Arc::new(Receivers::new(clock, seed)),
            nodes: RefCell::new((0..NODES).map(|_| None).collect()),
            is_busy: Default::default(),
            commits_without_right: Cell::new(0),
            wires: Arc::new(Wires::new(seed)),
            settings,
            lives: Cell::new(0),
            seed,
        }
    }

    /// Starts the process of a node; `name` is the machine's.
    pub(super) fn start(&self, machine: usize, name: String) {
        let number = self.lives.get() + 1;
        self.lives.set(number);
        let store = Arc::new(self.database.of_another_node());
        let database = Arc::new(FaultyStore::over(store.clone()));
        let own = store.clone();
        let is_set = database.may_commit.set(Box::new(move || own.held_place().is_some()));
        assert!(is_set.is_ok());
        let [is_frozen, is_cut_off, is_unlinked] = [(); 3].map(|()| AtomicBool::new(false));
        let life = Arc::new(Life { number, store, is_frozen, is_cut_off, is_unlinked });
        // an address and no name: nobody is asked for it
        let address = format!("http://10.0.0.{}:80", machine + 1);
        let (process, engine) = (Process::start(), Rc::new(OnceCell::new()));
        let start = Start {
            random: Arc::new(CountingRandomSource::starting_at(self.seed.wrapping_add(number * 1_000_000))),
            clock: Arc::new(MachineClock {
                world: self.receivers.clock.clone(),
                ahead_ms: (machine as i64 - 1) * HOUR_MS,
                booted_before: Duration::from_secs(1_000 * number),
            }),
            name,
            address: address.clone(),
            life: life.clone(),
            database: database.clone(),
            receivers: self.receivers.clone(),
            wires: self.wires.clone(),
            settings: self.settings.clone(),
        };
        // an error means that it was killed before
        drop(process.run(start.engine(engine.clone())));
        self.nodes.borrow_mut()[machine] = Some(Node { life, database, process, engine, address });
    }

    /// Ends a process as `kill -9` does.
    pub(super) fn kill(&self, machine: usize) {
        let Some(node) = self.nodes.borrow_mut()[machine].take() else { return };
        self.wires.disconnect(&node.address);
        node.process.kill();
        let without_right = node.database.commits_without_right.load(Ordering::SeqCst);
        self.commits_without_right.set(self.commits_without_right.get() + without_right);
    }

    /// Stops a node as SIGTERM does.
    pub(super) async fn stop(&self, machine: usize) {
        let stopped = self.in_process(machine, async |actors| {
            if actors.hand_over().await {
                pass(NOTICED_AFTER).await;
            }
            actors.stop().await;
        });
        if let Some(stopped) = stopped {
            let stopped = timeout(DRAIN_LIMIT, stopped).await;
            assert!(stopped.is_ok(), "a node does not stop");
        }
        self.kill(machine);
    }

    fn in_process<T: 'static>(
        &self,
        machine: usize,
        work: impl AsyncFnOnce(Rc<Actors>) -> T + 'static,
    ) -> Option<tokio::sync::oneshot::Receiver<T>> {
        let nodes = self.nodes.borrow();
        let node = nodes[machine].as_ref()?;
        let actors = node.engine.get()?.clone();
        Some(node.process.run(async move { work(actors).await }))
    }

    /// Publishes through a node; `None`: nothing was promised.
    pub(super) async fn publish(&self, machine: usize, publication: Publication) -> Option<EventId> {
        let answer =
            self.in_process(machine, async move |actors| actors.handle.publish(publication).await.ok())?;
        let published = timeout(PATIENCE, answer).await.ok()?.ok()??;
        Some(published.event.id)
    }

    pub(super) fn with_node<T>(&self, machine: usize, look: impl FnOnce(&Node) -> T) -> Option<T> {
        self.nodes.borrow()[machine].as_ref().map(look)
    }

    pub(super) async fn all_take_requests(&self) {
        let are_there = || self.nodes.borrow().iter().all(|node| node.as_ref().is_some_and(Node::takes_requests));
        while !are_there() {
            pass(Duration::from_millis(100)).await;
        }
    }
}

/// What an engine starts with.
struct Start {
    random: Arc<CountingRandomSource>,
    clock: Arc<MachineClock>,
    name: String,
    address: String,
    life: Arc<Life>,
    database: Arc<FaultyStore>,
    receivers: Arc<Receivers>,
    wires: Arc<Wires>,
    settings: ActorSettings,
}

impl Start {
    /// As `engine::serve` does.
    async fn engine(self, engine: Rc<OnceCell<Rc<Actors>>>) {
        let Self { random, clock, name, address, life, database, receivers, wires, settings } = self;
        let store: Arc<dyn Store> = database;
        let clock = Arc::new(DatabaseClock::new(clock));
        let identity = Identity {
            name,
            advertise: Some(address.clone()),
            lease: LEASE,
            settings: Default::default(),
            addresses: PeerAddresses::default(),
        };
        let joined = join(&store, clock.clone(), random.as_ref(), identity).unwrap();
        let (has_company, rights) = (joined.has_company(), joined.rights().clone());
        let way_out = WayOut { receivers, rights: rights.clone(), life: life.clone() };
        let peers = Arc::new(ToPeers { wires: wires.clone(), life: life.clone() });
        let place = ClusterPlace { joined, key: PushKey::new([7; 32]), peers };
        let context = ActorContext::new(store, Arc::new(way_out), clock, random, settings);
        let context = Arc::new(context.in_cluster(rights));
        let actors = Rc::new(Actors::start(context, SupervisorThreads::none(), place).unwrap());
        wires.connect(&address, actors.handle.clone(), life);
        if has_company {
            pass(SEEN_AFTER).await;
        }
        assert!(engine.set(actors).is_ok());
    }
}

/// Which partitions are of nodes that can't serve them.
pub(super) struct Watch {
    /// When each node became well.
    well_since: [Option<Duration>; NODES],
    unserved: Vec<Option<(Option<ringback::domain::cluster::Slot>, Duration)>>,
    /// How long one had such an owner.
    pub longest: Duration,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { well_since: [None; NODES], unserved: vec![None; 256], longest: Duration::ZERO }
    }

    /// To be called every moment; `now` is the time since the world began.
    pub(super) fn look(&mut self, cluster: &Cluster, now: Duration) {
        let mut serving = Vec::new();
        for machine in 0..NODES {
            let is_well = |node: &Node| node.takes_requests() && node.life.is_well();
            let slot = cluster.with_node(machine, |node| is_well(node).then(|| node.life.slot()));
            let slot = slot.flatten();
            self.well_since[machine] = slot.map(|_| self.well_since[machine].unwrap_or(now));
            serving.extend(slot.flatten());
        }
        // somebody has to be there for so long who could have noticed
        let noticing_since = self.well_since.iter().flatten().min().copied().unwrap_or(now);
        let map = cluster.database.ownership().unwrap().map;
        for partition in ringback::domain::cluster::Partition::all() {
            let owner = map.owner(partition);
            let place = &mut self.unserved[usize::from(partition.0)];
            if owner.is_some_and(|owner| serving.contains(&owner)) {
                *place = None;
                continue;
            }
            let (_, since) = *place.insert(match *place {
                Some((before, since)) if before == owner => (owner, since),
                _ => (owner, now),
            });
            let lasted = now.saturating_sub(since.max(noticing_since));
            self.longest = self.longest.max(lasted);
            if lasted > LEASE + Duration::from_secs(2) {
                let violation =
                    format!("{now:?}: {partition:?} is {owner:?}'s, which can't serve it, for {lasted:?}");
                cluster.receivers.violations.add(violation);
            }
        }
    }
}
