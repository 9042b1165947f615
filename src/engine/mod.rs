//! Start-up, wiring, ordered shutdown: the only place that names concrete stores and transports.

mod cluster;
mod dev;
mod low_priority;
mod otlp;
mod system;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use actix_web::web;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::actors::cluster::clock::DatabaseClock;
use crate::actors::cluster::joining;
use crate::actors::cluster::push::PushKey;
use crate::actors::cluster::rights::Rights;
use crate::actors::context::{ActorContext, ActorSettings};
use crate::actors::{Actors, ClusterPlace, SupervisorThreads, watching};
use crate::api::request_id::RequestIds;
use crate::api::server::{BoundServer, ConnectionLimits, ReservedAddress, ServerOptions, bind_api, bind_metrics};
use crate::api::{Api, ApiOptions, MetricsRenderer, ProxyTrouble};
use crate::config::Settings;
use crate::dashboard::{self, Dashboard, Portal};
use crate::domain::breaker::BreakerConfig;
use crate::domain::egress_proxy::EgressProxy;
use crate::domain::machine::MachineLimits;
use crate::domain::secret::Secret;
use crate::domain::target::{PeerAddresses, TargetPolicy};
use crate::store::cipher::{Cipher, CipherError};
use crate::store::{self, Store, StoreError, StoreResult};
use crate::svix::{self, Svix};
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, LoggingError};
use crate::transport::{
    AwcPeers, AwcTransport, SendPermission, TokenTransport, TransportConfig, TransportSetupError,
};
pub use dev::CLIENTS_KEY_FILE;
use low_priority::LowPriorityThreads;
pub use low_priority::lower_priority;
pub use otlp::SpanExporter;
use system::SystemClock;
pub use system::SystemEntropy;

/// Requests to the API that are in progress when the engine stops may take this long to end.
const API_SHUTDOWN: Duration = Duration::from_secs(10);
/// Limit of a drain: attempts may take up to their timeout (60 s at most), and their outcomes must reach the disk.
const DRAIN_LIMIT: Duration = Duration::from_secs(75);

/// Two beats and the way to the database: by then every node that lives has seen one that has joined. Larger: a start takes
/// longer.
const SEEN_AFTER: Duration = Duration::from_millis(1_500);
/// How long a node that leaves answers requests: as often as balancers look at readiness, and some more. Smaller: they send
/// requests to a closed port. Larger: a rolling restart takes longer.
const NOTICED_AFTER: Duration = Duration::from_secs(3);
/// How often the start waits for the count of pending deliveries, 5 s each time. Less: the start fails with tens of millions
/// of them.
const COUNT_WAITS: usize = 60;

/// Gauges that a deletion or another change by the API made stale are correct again after this. Smaller: a tenant that changes
/// webhooks in a loop has open breakers counted more often. Larger: pending deliveries seem to be below zero for longer
/// after a recovery.
const GAUGE_REFRESH: Duration = Duration::from_secs(2);
/// At this many attempts in flight each endpoint is limited to one. Smaller: a few fast endpoints are slowed for nothing.
/// Larger: a start with thousands of slow receivers costs memory, 24 KB an attempt.
const CROWDED_ATTEMPTS: usize = 2_048;

/// Connections that the stores have for the API's reads; as many of those run at once.
const SQLITE_READS: usize = 4;
const POSTGRES_READS: usize = 8;

/// Why the engine can't start or run.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The log settings are wrong.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The master key is wrong or missing.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// Secrets can't be kept without one.
    #[error(
        "no master key: secrets are encrypted at rest. Make one with `openssl rand -base64 32`, keep it safe, and \
         set it as RINGBACK_MASTER_KEY (or master_key in ringback.toml). To try the engine, `serve --dev` makes one"
    )]
    NoMasterKey,
    /// The database can't be used.
    #[error("the database can't be used: {0}")]
    Store(#[from] StoreError),
    /// The outbound side can't be set up.
    #[error(transparent)]
    Transport(#[from] TransportSetupError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {error}; choose another address with --listen")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// From the system.
        error: std::io::Error,
    },
    /// A file of `--dev` can't be read or written.
    #[error("can't use {path}: {error}")]
    DevFile {
        /// Of the file.
        path: String,
        /// From the system.
        error: std::io::Error,
    },
    /// The system refused something else.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs the engine until SIGTERM or SIGINT, then stops it in order.
pub fn run(settings: Settings) -> Result<(), EngineError> {
    telemetry::install_logging(&settings.log, settings.log_format, settings.access_log)?;
    let metrics: MetricsRenderer = telemetry::install_metrics();
    // a wrong key, database or certificate file is reported before anything else happens
    let cipher = cipher(&settings)?;
    let store = store::open(&settings.database_url, cipher)?;
    let addresses = OwnAddresses::reserve(&settings)?;
    let clock = Arc::new(DatabaseClock::new(Arc::new(SystemClock)));
    let identity = cluster::identity(&settings, addresses.api.address(), addresses.of_peers.clone());
    let joined = joining::join(&store, clock.clone(), &SystemEntropy, identity)?;
    let transport = transport(&settings, &addresses, joined.rights())?;
    let key = PushKey::new(Cipher::derive_key(&master_key(&settings)?, PUSHES)?);
    let place = ClusterPlace { joined, key, peers: Arc::new(AwcPeers) };
    let exporter = otlp::of_settings(&settings, clock.clone())?;
    let traces = exporter.as_ref().map(SpanExporter::traces);
    let parts = EngineParts { store, transport: Arc::new(transport), clock, place, addresses, metrics, traces };
    let ended = actix::System::new().block_on(serve(settings, parts));
    if let Some(exporter) = exporter {
        exporter.stop();
    }
    ended
}

/// What [`Cipher::derive_key`] makes the key of pushes for.
const PUSHES: &str = "ringback cluster";

/// What was set up before the threads run.
struct EngineParts {
    store: Arc<dyn Store>,
    transport: Arc<TokenTransport<AwcTransport>>,
    clock: Arc<DatabaseClock>,
    place: ClusterPlace,
    addresses: OwnAddresses,
    metrics: MetricsRenderer,
    traces: Option<Arc<Traces>>,
}

/// Addresses of our own, bound before anything is sent: attempts must not go to them, and the port may have been 0.
struct OwnAddresses {
    api: ReservedAddress,
    metrics: Option<ReservedAddress>,
    of_peers: PeerAddresses,
}

impl OwnAddresses {
    fn reserve(settings: &Settings) -> Result<Self, EngineError> {
        let reserve =
            |address| ReservedAddress::new(address).map_err(|error| EngineError::Listen { address, error });
        let (api, metrics) = (reserve(settings.listen)?, settings.metrics_listen.map(reserve).transpose()?);
        Ok(Self { api, metrics, of_peers: PeerAddresses::default() })
    }

    fn all(&self) -> Vec<SocketAddr> {
        std::iter::once(&self.api).chain(&self.metrics).map(ReservedAddress::address).collect()
    }
}

async fn serve(settings: Settings, parts: EngineParts) -> Result<(), EngineError> {
    let EngineParts { store, transport, clock, place, addresses, metrics, traces } = parts;
    let has_company = place.joined.has_company();
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    let arbiters: Vec<Arbiter> = (0..2 * parallelism).map(|_| Arbiter::new()).collect();
    let (of_few, of_many) = arbiters.split_at(parallelism);
    let handles = |arbiters: &[Arbiter]| arbiters.iter().map(Arbiter::handle).collect();
    let threads = SupervisorThreads::new(handles(of_few), handles(of_many));
    let breakers_open = store.open_breakers()?.len() as u64;
    // nothing that is sent waits for this
    let counted = tokio::task::spawn_blocking({
        let store = Arc::clone(&store);
        move || pending_at_start(store.as_ref())
    });
    let proxied = Arc::clone(&transport);
    let context = ActorContext::new(
        store,
        transport,
        clock,
        Arc::new(SystemEntropy),
        actor_settings(&settings, open_files()),
    );
    let context = Arc::new(context.in_cluster(place.joined.rights().clone()).with_traces(traces));
    let actors = Actors::start(context.clone(), threads, place)?;
    if has_company {
        // until they have seen this node, they may deliver in the order of their own commits
        tokio::time::sleep(SEEN_AFTER).await;
    }
    let read_threads = LowPriorityThreads::new()?;
    actix::spawn(watching::watch(context.clone(), actors.handle.clone(), read_threads.handle()));
    actix::spawn(async move {
        loop {
            tokio::time::sleep(GAUGE_REFRESH).await;
            context.refresh_gauges().await;
        }
    });

    svix::teller::start(actors.handle.clone());

    let own_metrics = settings.metrics_listen.is_some();
    let options = ApiOptions {
        admin_key: settings.admin_key.clone(),
        target_policy: target_policy(&settings, &addresses),
        signature_header_prefix: settings.signature_header_prefix.clone(),
        reads_at_once: if settings.database_url.starts_with("sqlite:") { SQLITE_READS } else { POSTGRES_READS },
        read_threads: read_threads.handle(),
        limits: settings.limits,
        defaults: settings.defaults,
        public_url: settings.portal.public_url.clone(),
        metrics: (!own_metrics).then(|| metrics.clone()),
        proxy_trouble: proxy_trouble(&settings, &proxied),
    };
    let api = web::Data::new(Api::new(actors.handle.clone(), options));
    let dashboard = web::Data::new(Dashboard::new(!settings.dev).of_product(Portal::new(&settings.portal)));
    let svix = Svix::new(&settings.svix).map(web::Data::new);
    if let Some(svix) = &svix {
        actix::spawn(svix::watch(api.clone(), svix.clone()));
    }
    let before = move |config: &mut web::ServiceConfig| {
        if let Some(svix) = &svix {
            svix::configure(svix.clone(), config);
        }
    };
    let pages = {
        let dashboard = dashboard.clone();
        move |config: &mut web::ServiceConfig| dashboard::configure(dashboard.clone(), config)
    };
    let ids = RequestIds::new(&mut actors.handle.rng());
    let on_api = |options| bind_api(api.clone(), before, pages, options);
    let mut servers = vec![listen(addresses.api, parallelism, ids.clone(), on_api)?];
    if let Some(address) = addresses.metrics {
        servers.push(listen(address, 1, ids, |options| bind_metrics(metrics.clone(), options))?);
    }
    let address = servers[0].address;
    let metrics_address = servers.last().map_or(address, |server| server.address);
    let database = if settings.database_url.starts_with("sqlite:") { "sqlite" } else { "postgres" };
    let pending = counted.await.map_err(std::io::Error::other)??;
    telemetry::EngineStarted { listen: address, database, pending, breakers_open, dev: settings.dev }.emit();
    if settings.dev {
        dev::greet(&settings, &actors.handle, &dashboard, address, metrics_address)?;
    }
    announce(address)?;
    run_until_stopped(servers, &actors).await;
    for arbiter in &arbiters {
        arbiter.stop();
    }
    Ok(())
}

/// Waits for the count of pending deliveries, which the store began when it was opened.
fn pending_at_start(store: &dyn Store) -> StoreResult<u64> {
    let mut waits_left = COUNT_WAITS;
    loop {
        match store.count_pending() {
            Err(StoreError::Unavailable(_)) if waits_left > 0 => waits_left -= 1,
            result => return result,
        }
    }
}

/// The address at which a client on this machine reaches a server that listens on `address`: the unspecified address becomes
/// the loopback address.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// Prints the readiness line, which programs wait for.
fn announce(address: SocketAddr) -> Result<(), EngineError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ringback listening on http://{address}")?;
    Ok(out.flush()?)
}

async fn run_until_stopped(servers: Vec<BoundServer>, actors: &Actors) {
    let handles: Vec<_> = servers.iter().map(|bound| bound.server.handle()).collect();
    for bound in servers {
        actix::spawn(bound.server);
    }
    let reason = stop_signal().await;
    let begin = tokio::time::Instant::now();
    telemetry::EngineStopping { reason }.emit();
    if actors.hand_over().await {
        // balancers look at readiness, and publishers who have a connection go on using it meanwhile
        tokio::select! {
            () = tokio::time::sleep(NOTICED_AFTER) => {}
            _ = stop_signal() => {}
        }
    }
    for handle in handles {
        handle.stop(true).await;
    }
    let drained = async {
        tokio::select! {
            () = actors.stop() => true,
            () = tokio::time::sleep(DRAIN_LIMIT) => false,
            _ = stop_signal() => false,
        }
    };
    let abandoned_attempts =
        if drained.await { 0 } else { telemetry::gauges::EngineGauge::AttemptsInFlight.guards() };
    telemetry::EngineStopped { duration: begin.elapsed(), abandoned_attempts }.emit();
}

/// Waits for SIGTERM or SIGINT and returns its name.
async fn stop_signal() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // without signal handlers the process can only be killed, which is safe
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn listen(
    reserved: ReservedAddress,
    workers: usize,
    request_ids: RequestIds,
    bind: impl FnOnce(ServerOptions) -> std::io::Result<BoundServer>,
) -> Result<BoundServer, EngineError> {
    let address = reserved.address();
    let limits = ConnectionLimits::default();
    // the other half is for the database and for receivers
    let max_connections = limits.max_connections.min((open_files() / 2).max(1));
    let connections = ConnectionLimits { max_connections, ..limits };
    let shutdown_timeout = API_SHUTDOWN;
    let options = ServerOptions { address: reserved, workers, shutdown_timeout, connections, request_ids };
    bind(options).map_err(|error| EngineError::Listen { address, error })
}

fn cipher(settings: &Settings) -> Result<Cipher, EngineError> {
    Ok(Cipher::from_master_key(&master_key(settings)?, Arc::new(SystemEntropy))?)
}

fn master_key(settings: &Settings) -> Result<Secret, EngineError> {
    match &settings.master_key {
        Some(key) => Ok(key.clone()),
        None if settings.dev => dev::master_key(&settings.database_url),
        None => Err(EngineError::NoMasterKey),
    }
}

fn transport(
    settings: &Settings,
    addresses: &OwnAddresses,
    rights: &Arc<Rights>,
) -> Result<TokenTransport<AwcTransport>, EngineError> {
    let rights = rights.clone();
    let config = TransportConfig {
        policy: target_policy(settings, addresses),
        dns_servers: settings.dns_servers.clone(),
        ca_file: settings.ca_file.clone(),
        permission: SendPermission::by(move || rights.may_act()),
        proxy: egress_proxy(settings),
    };
    Ok(TokenTransport::new(AwcTransport::new(config)?))
}

/// What readiness says about the egress proxy, if there is one.
fn proxy_trouble(settings: &Settings, transport: &Arc<TokenTransport<AwcTransport>>) -> Option<ProxyTrouble> {
    let transport = Arc::clone(transport);
    settings
        .egress_proxy
        .is_some()
        .then(|| -> ProxyTrouble { Arc::new(move || transport.inner().proxy_trouble()) })
}

fn egress_proxy(settings: &Settings) -> Option<EgressProxy> {
    let resolves = settings.egress_proxy_resolves;
    settings.egress_proxy.clone().map(|proxy| EgressProxy { resolves, ..proxy })
}

fn target_policy(settings: &Settings, addresses: &OwnAddresses) -> TargetPolicy {
    TargetPolicy {
        allow_http: settings.allow_http,
        allowed_networks: settings.allowed_networks.clone(),
        allowed_ports: settings.allowed_ports.clone(),
        own_addresses: addresses.all(),
        peer_addresses: addresses.of_peers.clone(),
    }
}

/// Raises the limit on open files as far as the system allows, and returns it: every attempt is a connection.
fn open_files() -> usize {
    let allowed = rlimit::increase_nofile_limit(u64::MAX).or_else(|_| rlimit::Resource::NOFILE.get_soft());
    allowed.ok().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// A commit on memory or a fast disk costs less than an event would wait for the outcomes in its own. Smaller: events wait for them
/// for nothing. Larger: a disk or database that syncs slowly does it twice for each event.
const SPARE_COMMITS_FROM: Duration = Duration::from_millis(1);

fn actor_settings(settings: &Settings, open_files: usize) -> ActorSettings {
    let delivery = &settings.delivery;
    ActorSettings {
        event_types: settings.event_types,
        // half for one connection to each endpoint, a quarter for further attempts; the rest is for the API
        max_active_endpoints: delivery.max_active_endpoints.min((open_files / 2).max(1)),
        crowded_attempts: CROWDED_ATTEMPTS.min(open_files / 4),
        payload_memory_bytes: delivery.payload_memory_bytes,
        max_uncommitted_events: delivery.max_uncommitted_events,
        max_uncommitted_bytes: delivery.max_uncommitted_bytes,
        spare_commits_from: SPARE_COMMITS_FROM,
        limits: MachineLimits {
            breaker: BreakerConfig {
                failure_threshold: delivery.breaker_failure_threshold,
                initial_pause: delivery.breaker_initial_pause,
                max_pause: delivery.breaker_max_pause,
            },
            disable_after: delivery.disable_after,
        },
        idle_linger: delivery.idle_linger,
        retention: delivery.retention,
        header_prefix: settings.signature_header_prefix.clone(),
        whitelabel_headers: settings.svix.whitelabel_headers,
        user_agent: concat!("Ringback/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
