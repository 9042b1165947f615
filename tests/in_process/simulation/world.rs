//! A world in which time jumps: the real actors in one thread, on a store in memory, with receivers that
//! follow a script. A life ends like a process that is killed; the next one begins from the rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Arbiter;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use ringback::actors::context::{ActorContext, ActorSettings};
use ringback::actors::handle::EngineHandle;
use ringback::actors::publication::Publication;
use ringback::actors::{Actors, ClusterPlace, SupervisorThreads};
use ringback::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response};
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event_types::EventTypePolicy;
use ringback::domain::ids::{EndpointId, EventId, OrganizationId};
use ringback::domain::organization::Organization;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::time::{Clock, UnixMillis};
use ringback::store::memory::MemoryStore;
use ringback::store::{Store, TenantStore};
use ringback::transport::{AttemptRequest, Transport};
use serde_json::value::RawValue;
use tokio::time::Instant;

/// When the world begins: 2025-06-15T15:06:40Z.
pub(crate) const BEGIN: UnixMillis = UnixMillis(1_750_000_000_000);
pub(crate) const ORGANIZATION: OrganizationId = OrganizationId(1);
pub(crate) const OTHER_ORGANIZATION: OrganizationId = OrganizationId(2);
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How a receiver answers an attempt: after a delay, with a status or not at all.
pub(crate) type Answer = (Duration, Result<u16, AttemptError>);
type Script = Box<dyn Fn(UnixMillis) -> Answer + Send + Sync>;

/// An attempt as its receiver saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub url: String,
    pub at: UnixMillis,
    pub event_id: String,
    pub number: u32,
    pub body: Bytes,
}

impl Seen {
    /// Seconds since the world began.
    pub(crate) fn second(&self) -> f64 {
        self.at.since(BEGIN).as_secs_f64()
    }
}

pub(crate) struct SimulatedClock {
    begin: UnixMillis,
    begin_instant: Instant,
}

impl SimulatedClock {
    /// One that shows `begin` now.
    pub(crate) fn from(begin: UnixMillis) -> Self {
        Self { begin, begin_instant: Instant::now() }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixMillis {
        self.begin + self.begin_instant.elapsed()
    }
}

/// Receivers that follow a script, and remember what they saw.
pub(crate) struct ScriptedTransport {
    scripts: Mutex<HashMap<String, Arc<Script>>>,
    seen: Mutex<Vec<Seen>>,
    clock: Mutex<Option<Arc<SimulatedClock>>>,
}

impl ScriptedTransport {
    fn now(&self) -> UnixMillis {
        self.clock.lock().unwrap().as_ref().expect("a life has begun").now()
    }
}

impl Transport for ScriptedTransport {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        let now = self.now();
        let header = |name: &str| {
            let found = request.headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.to_string()).expect("every request has it")
        };
        self.seen.lock().unwrap().push(Seen {
            url: request.url.to_string(),
            at: now,
            event_id: header("webhook-id"),
            number: header("x-callintel-attempt").parse().expect("a number"),
            body: request.body.clone(),
        });
        let script = self.scripts.lock().unwrap()[request.url.as_ref()].clone();
        let (latency, answer) = script(now);
        Box::pin(async move {
            let begin = Instant::now();
            let answer = match latency > request.timeout {
                true => Err(AttemptError::Timeout),
                false => answer,
            };
            pass(latency.min(request.timeout)).await;
            let answer = answer.map(|status| Response::new(status, Vec::new(), Bytes::new()));
            Ok(AttemptResult { response: answer, duration: begin.elapsed() })
        })
    }
}

/// Lets simulated time pass: everything that is due by then happens first.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What outlives the process.
pub(crate) struct World {
    pub store: Arc<dyn Store>,
    transport: Arc<ScriptedTransport>,
    now: Mutex<UnixMillis>,
    seeds: AtomicU64,
    pub settings: ActorSettings,
}

impl World {
    pub(crate) fn new() -> Self {
        let transport =
            ScriptedTransport { scripts: Mutex::default(), seen: Mutex::default(), clock: Mutex::default() };
        let store = MemoryStore::default();
        for id in [ORGANIZATION, OTHER_ORGANIZATION] {
            store.create_organization(&Organization::named(id, id.to_string(), BEGIN)).unwrap();
        }
        Self {
            store: Arc::new(store),
            transport: Arc::new(transport),
            now: Mutex::new(BEGIN),
            seeds: AtomicU64::new(1),
            settings: settings(),
        }
    }

    /// Adds a receiver that follows a script, and an endpoint that points to it.
    pub(crate) fn endpoint(
        &self,
        id: i64,
        script: impl Fn(UnixMillis) -> Answer + Send + Sync + 'static,
    ) -> Endpoint {
        let endpoint = endpoint(id);
        self.script(id, script);
        self.store.create_endpoint(&endpoint).unwrap();
        endpoint
    }

    /// Replaces a receiver's script.
    pub(crate) fn script(&self, id: i64, script: impl Fn(UnixMillis) -> Answer + Send + Sync + 'static) {
        let script: Arc<Script> = Arc::new(Box::new(script));
        self.transport.scripts.lock().unwrap().insert(url(id), script);
    }

    /// One life of the process; when `live` ends, so does the process, at once and without a word.
    pub(crate) fn live<F>(&self, live: F)
    where
        F: AsyncFnOnce(Life),
    {
        let begin = *self.now.lock().unwrap();
        let system = actix::System::with_tokio_rt(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().start_paused(true).build().unwrap()
        });
        let end = system.block_on(async {
            let clock = Arc::new(SimulatedClock::from(begin));
            *self.transport.clock.lock().unwrap() = Some(clock.clone());
            let seed = self.seeds.fetch_add(1_000_000, Ordering::Relaxed);
            let random = Arc::new(CountingRandomSource::starting_at(seed));
            let place = ClusterPlace::alone(clock.clone());
            let context = ActorContext::new(
                self.store.clone(),
                self.transport.clone(),
                clock.clone(),
                random,
                self.settings.clone(),
            );
            let context = Arc::new(context.in_cluster(place.joined.rights().clone()));
            let threads = SupervisorThreads::single(Arbiter::current());
            let actors = Actors::start(context.clone(), threads, place).unwrap();
            live(Life { actors, context, clock: clock.clone() }).await;
            clock.now()
        });
        *self.now.lock().unwrap() = end;
    }

    /// What the receiver of an endpoint saw so far.
    pub(crate) fn seen(&self, id: i64) -> Vec<Seen> {
        let url = url(id);
        self.transport.seen.lock().unwrap().iter().filter(|seen| seen.url == url).cloned().collect()
    }
}

/// A running engine.
pub(crate) struct Life {
    pub actors: Actors,
    /// Held by every actor, every attempt and every read of the database.
    pub context: Arc<ActorContext>,
    clock: Arc<SimulatedClock>,
}

impl Life {
    pub(crate) fn engine(&self) -> &EngineHandle {
        &self.actors.handle
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Publishes an event and returns its id.
    pub(crate) async fn publish(&self, event_type: &str, data: &str) -> EventId {
        self.engine().publish(self.publication(event_type, data)).await.unwrap().event.id
    }

    /// Publishes an event of another organization.
    pub(crate) async fn publish_for(&self, organization_id: OrganizationId, event_type: &str, data: &str) {
        let mut publication = self.publication(event_type, data);
        publication.organization_id = organization_id;
        self.engine().publish(publication).await.unwrap();
    }

    /// Publishes many, in commits of a thousand.
    pub(crate) async fn publish_many(&self, count: usize, event_type: &str, data: &str) {
        let mut left = count;
        while left > 0 {
            let batch = left.min(1_000);
            let batch = (0..batch).map(|_| self.publication(event_type, data)).collect::<Vec<_>>();
            left -= batch.len();
            self.engine().publish_all(batch, None).await.unwrap();
        }
    }

    /// Writes a changed endpoint down and tells the engine.
    pub(crate) fn change(&self, world: &World, endpoint: &mut Endpoint, change: impl FnOnce(&mut Endpoint)) {
        change(endpoint);
        endpoint.version += 1;
        world.store.update_endpoint(endpoint).unwrap();
        self.engine().settings_changed();
    }

    /// What a publisher sends.
    pub(crate) fn publication(&self, event_type: &str, data: &str) -> Publication {
        let now = self.now();
        let data = RawValue::from_string(data.to_owned()).unwrap();
        Publication::new(ORGANIZATION, event_type.to_owned(), (now.to_string(), now), data)
    }

    /// Lets time pass until an instant of the world.
    pub(crate) async fn until(&self, at: UnixMillis) {
        pass(at.since(self.now())).await;
    }

    /// Waits until something holds; it must within a simulated hour.
    pub(crate) async fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let end = self.now() + Duration::from_secs(3600);
        let mut step = Duration::from_millis(10);
        while !holds() {
            assert!(self.now() < end, "not within an hour: {what}");
            pass(step).await;
            step = (step * 2).min(Duration::from_secs(10));
        }
    }
}

pub(crate) fn url(id: i64) -> String {
    format!("https://receiver-{id}.example/hook")
}

/// An endpoint with the contract's defaults.
pub(crate) fn endpoint(id: i64) -> Endpoint {
    Endpoint::new(EndpointId(id), ORGANIZATION, url(id), Secret::new(SECRET.to_owned()), BEGIN)
}

pub(crate) fn settings() -> ActorSettings {
    ActorSettings {
        event_types: EventTypePolicy::default(),
        max_active_endpoints: 1_000,
        payload_memory_bytes: 64 * 1024 * 1024,
        max_uncommitted_bytes: 16 * 1024 * 1024,
        spare_commits_from: Duration::ZERO,
        header_prefix: "x-callintel".to_owned(),
        user_agent: "Ringback/simulated".to_owned(),
        ..crate::world::settings()
    }
}

/// Answers at once.
pub(crate) fn always(status: u16) -> impl Fn(UnixMillis) -> Answer + Send + Sync {
    move |_| (Duration::from_millis(3), Ok(status))
}

/// Refuses connections until an instant, and works from then on.
pub(crate) fn down_until(at: UnixMillis) -> impl Fn(UnixMillis) -> Answer + Send + Sync {
    move |now| match now < at {
        true => (Duration::from_millis(3), Err(AttemptError::ConnectionRefused)),
        false => (Duration::from_millis(3), Ok(200)),
    }
}
