//! The transport over awc.
//!
//! awc's client belongs to one thread, so every thread that makes attempts has its own pair: one client for `http:`, one
//! for `https:` (TLS is below awc, see `stream`). Attempts run inside a `LocalSet`, which every actix arbiter is, because
//! awc spawns local tasks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use awc::body::SizedStream;
use awc::http::header::HOST;
use awc::{Client, ClientResponse, Connector};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, Stream};
use rustls::ClientConfig;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::failure::{ExchangeFailure, NoResponse, classify};
use super::guarded::GuardedConnector;
use super::identities::Identities;
use super::prepared::{Target, header};
use super::proxy::{Proxy, Waiting};
use super::resolver::{Resolver, ResolverSettings};
pub(crate) use super::tls::TlsSetupError;
use super::{AttemptRequest, SendPermission, Transport, excerpt, tls};
use crate::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response};
use crate::domain::egress_proxy::EgressProxy;
use crate::domain::target::TargetPolicy;

/// An idle connection is reused for this long. Receivers close theirs after 2 to 75 s; a close just as a request is sent
/// costs a second attempt, see [`exchange`].
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// No connection is used for longer, so that a receiver that moved is followed.
const LIFETIME: Duration = Duration::from_secs(75);
/// How often a thread closes idle connections: awc itself drops one only at the next request to the same host. Every idle
/// connection is closed within two of these.
const SWEEP: Duration = Duration::from_secs(30);
/// See [`make_room`].
const MAKE_ROOM_EVERY: Duration = Duration::from_secs(1);
/// A connection that was closed while idle shows it within one round trip after the request began. A later close is a
/// reaction to the request, perhaps after it was processed (contract: "only when the close came within a second").
const STALE_WITHIN: Duration = Duration::from_secs(1);
/// For awc's own timeouts; the attempt's timeout is always shorter.
const NEVER: Duration = Duration::from_secs(3600);
/// Larger bodies are sent in pieces of this size. Smaller: more overhead for the pieces. Larger: an attempt at a receiver
/// that does not read holds this much memory in addition to the body.
const PIECE_BYTES: usize = 32 * 1024;
/// Parsed URLs that a thread caches.
const MAX_TARGETS: usize = 4096;

/// The settings of a transport.
#[derive(Debug, Clone, Default)]
pub struct TransportConfig {
    /// Which targets are allowed.
    pub policy: TargetPolicy,
    /// Name servers to use instead of the system's and its hosts file; empty = the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Certificate authorities in PEM, trusted in addition to the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Asked before a request is sent.
    pub permission: SendPermission,
    /// Every attempt goes through it.
    pub proxy: Option<EgressProxy>,
}

/// Why a transport can't be made.
#[derive(Debug, Error)]
pub enum TransportSetupError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// Makes attempts with awc. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct AwcTransport {
    shared: Arc<SharedTransport>,
}

struct SharedTransport {
    /// Identifies this transport among a thread's clients.
    id: u64,
    policy: Arc<TargetPolicy>,
    resolver: ResolverSettings,
    tls: Arc<ClientConfig>,
    permission: SendPermission,
    proxy: Option<Arc<Proxy>>,
    /// Tells all threads to close their idle connections; when it did so last.
    room: watch::Sender<Option<Instant>>,
}

/// The clients and caches of one thread for one transport.
struct ThreadClients {
    runtime: runtime::Id,
    policy: Arc<TargetPolicy>,
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    permission: SendPermission,
    proxy: Option<Arc<Proxy>>,
    pair: RefCell<Rc<ClientPair>>,
    identities: Identities,
    targets: RefCell<HashMap<Arc<str>, Rc<Target>>>,
    used: Cell<bool>,
}

struct ClientPair {
    plain: Client,
    tls: Client,
}

thread_local! {
    static CLIENTS: RefCell<HashMap<u64, Rc<ThreadClients>>> = RefCell::new(HashMap::new());
}

impl AwcTransport {
    /// Reads the authorities and the system's name servers; makes no connection.
    pub fn new(config: TransportConfig) -> Result<Self, TransportSetupError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let shared = SharedTransport {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            policy: Arc::new(config.policy),
            resolver: ResolverSettings::new(&config.dns_servers),
            tls: Arc::new(tls::client_config(config.ca_file.as_deref())?),
            permission: config.permission,
            proxy: config.proxy.map(|settings| Arc::new(Proxy::new(settings))),
            room: watch::Sender::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is wrong with the egress proxy, as far as is known.
    pub fn proxy_trouble(&self) -> Option<LocalFault> {
        self.shared.proxy.as_ref().and_then(|proxy| proxy.trouble())
    }
}

impl Transport for AwcTransport {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let started = Instant::now();
            let limit = request.timeout;
            let outcome = match &shared.proxy {
                None => timeout(limit, exchange(&shared, &request))
                    .await
                    .unwrap_or_else(|_| Err(NoResponse::Failed(AttemptError::Timeout))),
                // in a box: every attempt's future has room for each of its parts
                Some(proxy) => Box::pin(exchange_through(proxy, &shared, &request)).await,
            };
            let duration = started.elapsed();
            let answer = match outcome {
                Ok(response) => Ok(keep(response, limit.saturating_sub(duration)).await),
                Err(NoResponse::Failed(error)) => Err(error),
                Err(NoResponse::NotMade(fault)) => {
                    if !fault.is_of_proxy() {
                        make_room(&shared);
                    }
                    return Err(fault);
                }
            };
            Ok(AttemptResult { response: answer, duration })
        })
    }
}

/// Closes the idle connections of all threads, so that other attempts can use their descriptors. At most once a second: under
/// lasting pressure connections would otherwise never be reused, and more of them would be needed.
fn make_room(shared: &SharedTransport) {
    let now = Instant::now();
    shared.room.send_if_modified(|made_at| {
        let is_due = made_at.is_none_or(|at| now.duration_since(at) >= MAKE_ROOM_EVERY);
        if is_due {
            *made_at = Some(now);
        }
        is_due
    });
}

/// The same, when there is an egress proxy: it has something to say too.
async fn exchange_through(
    proxy: &Proxy,
    shared: &SharedTransport,
    request: &AttemptRequest,
) -> Result<ClientResponse, NoResponse> {
    let waiting = Waiting::default();
    let watched = waiting.during(exchange(shared, request));
    let response = timeout(request.timeout, watched).await.unwrap_or_else(|_| Err(proxy.timed_out(&waiting)))?;
    let target = ThreadClients::of_this_thread(shared)?.target(&request.url)?;
    let heard = proxy.heard(&target, response.status(), response.headers());
    heard.map(|()| response).map_err(NoResponse::NotMade)
}

/// Sends the request once and returns the response's head.
///
/// If an idle connection is found closed before anything was sent, another one is used. If it is found closed afterwards,
/// the receiver may have the request, so sending it again is another attempt, which the caller decides about.
async fn exchange(shared: &SharedTransport, request: &AttemptRequest) -> Result<ClientResponse, NoResponse> {
    let clients = ThreadClients::of_this_thread(shared)?;
    let target = clients.target(&request.url)?;
    if !request.fresh_connection {
        let client = clients.client(&target, request)?;
        let begun = Instant::now();
        match send(&client, &target, request).await {
            Ok(response) => return Ok(response),
            Err(ExchangeFailure::Final(unanswered)) => return Err(unanswered),
            Err(ExchangeFailure::Stale) if begun.elapsed() <= STALE_WITHIN => {
                return Err(AttemptError::IdleConnectionClosed.into());
            }
            Err(ExchangeFailure::Stale) => return Err(AttemptError::ConnectionReset.into()),
            Err(ExchangeFailure::Unsent) => {}
        }
    }
    // a client with an empty pool guarantees a new connection
    let fresh = clients.fresh_client(&target, request)?;
    match Box::pin(send(&fresh, &target, request)).await {
        Ok(response) => Ok(response),
        Err(ExchangeFailure::Final(unanswered)) => Err(unanswered),
        Err(ExchangeFailure::Stale | ExchangeFailure::Unsent) => Err(AttemptError::ConnectionReset.into()),
    }
}

async fn send(
    client: &Client,
    target: &Target,
    request: &AttemptRequest,
) -> Result<ClientResponse, ExchangeFailure> {
    // without `no_decompress` awc adds its own accept-encoding
    let mut post = client.post(target.uri.clone()).no_decompress();
    let map = post.headers_mut();
    map.insert(HOST, target.host.clone());
    for shared in &request.headers {
        let (name, value) = header(shared.clone()).map_err(|error| ExchangeFailure::Final(error.into()))?;
        map.append(name, value);
    }
    let body = &request.body;
    let sent = match body.len() <= PIECE_BYTES {
        true => post.send_body(body.clone()).await,
        false => post.send_body(SizedStream::new(body.len() as u64, pieces(body.clone()))).await,
    };
    sent.map_err(|error| classify(&error))
}

/// A body piece by piece: awc copies each piece as a whole and keeps it until it is sent.
fn pieces(mut body: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(std::iter::from_fn(move || {
        (!body.is_empty()).then(|| Ok(body.split_to(PIECE_BYTES.min(body.len()))))
    }))
}

async fn keep(response: ClientResponse, wait: Duration) -> Response {
    let status = response.status().as_u16();
    let headers = excerpt::headers(&response);
    let (body, body_end) = excerpt::body(response, wait).await;
    Response { status, headers, body, body_end }
}

impl ThreadClients {
    fn of_this_thread(shared: &SharedTransport) -> Result<Rc<Self>, AttemptError> {
        let runtime = runtime::Handle::try_current().map_err(|_| AttemptError::ConnectionFailed)?.id();
        let known = CLIENTS.with_borrow(|clients| clients.get(&shared.id).cloned());
        if let Some(clients) = known
            && clients.runtime == runtime
        {
            clients.used.set(true);
            return Ok(clients);
        }
        let resolver = shared.resolver.build();
        let (permission, proxy) = (&shared.permission, &shared.proxy);
        let pair = ClientPair::new(&shared.policy, &resolver, &shared.tls, permission, proxy);
        let clients = Rc::new(Self {
            runtime,
            policy: Arc::clone(&shared.policy),
            resolver,
            tls: Arc::clone(&shared.tls),
            permission: permission.clone(),
            proxy: proxy.clone(),
            pair: RefCell::new(Rc::new(pair)),
            identities: Identities::default(),
            targets: RefCell::default(),
            used: Cell::new(true),
        });
        CLIENTS.with_borrow_mut(|all| all.insert(shared.id, Rc::clone(&clients)));
        actix_rt::spawn(sweep(shared.id, Rc::clone(&clients), shared.room.subscribe()));
        Ok(clients)
    }

    fn pair(&self) -> ClientPair {
        ClientPair::new(&self.policy, &self.resolver, &self.tls, &self.permission, &self.proxy)
    }

    /// The client for a request, with the connections that the request may use.
    fn client(&self, target: &Target, request: &AttemptRequest) -> Result<Client, AttemptError> {
        match request.client_certificate.as_ref().filter(|_| target.is_tls) {
            Some(shown) => self.identities.client(shown, &self.tls, |tls| self.tls_client(tls)),
            None => Ok(self.pair.borrow().for_target(target).clone()),
        }
    }

    /// The same without connections.
    fn fresh_client(&self, target: &Target, request: &AttemptRequest) -> Result<Client, AttemptError> {
        match request.client_certificate.as_ref().filter(|_| target.is_tls) {
            Some(shown) => {
                let tls = self.identities.tls(shown, &self.tls, |tls| self.tls_client(tls))?;
                Ok(self.tls_client(&tls))
            }
            None => Ok(self.pair().for_target(target).clone()),
        }
    }

    fn tls_client(&self, tls: &Arc<ClientConfig>) -> Client {
        let (policy, resolver) = (Arc::clone(&self.policy), self.resolver.clone());
        let (permission, proxy) = (self.permission.clone(), self.proxy.clone());
        client(GuardedConnector::new(policy, resolver, Some(Arc::clone(tls)), permission, proxy))
    }

    fn target(&self, url: &Arc<str>) -> Result<Rc<Target>, AttemptError> {
        if let Some(target) = self.targets.borrow().get(url) {
            return Ok(Rc::clone(target));
        }
        let target = Rc::new(Target::new(&self.policy, url)?);
        let mut targets = self.targets.borrow_mut();
        if targets.len() >= MAX_TARGETS {
            targets.clear();
        }
        targets.insert(Arc::clone(url), Rc::clone(&target));
        Ok(target)
    }
}

/// Periodically closes idle connections, and drops everything when the thread makes no attempts any more. Connections in
/// use stay until their attempt is over.
async fn sweep(id: u64, clients: Rc<ThreadClients>, mut room: watch::Receiver<Option<Instant>>) {
    loop {
        let is_over = tokio::select! {
            () = tokio::time::sleep(SWEEP) => !clients.used.replace(false),
            // an error: the transport is gone
            needed = room.changed() => needed.is_err(),
        };
        if is_over {
            CLIENTS.with_borrow_mut(|all| {
                if all.get(&id).is_some_and(|current| Rc::ptr_eq(current, &clients)) {
                    all.remove(&id);
                }
            });
            return;
        }
        let fresh = Rc::new(clients.pair());
        clients.pair.replace(fresh);
        clients.identities.sweep(|tls| clients.tls_client(tls));
    }
}

impl ClientPair {
    fn new(
        policy: &Arc<TargetPolicy>,
        resolver: &Resolver,
        tls: &Arc<ClientConfig>,
        permission: &SendPermission,
        proxy: &Option<Arc<Proxy>>,
    ) -> Self {
        let client = |tls| {
            let (resolver, permission, proxy) = (resolver.clone(), permission.clone(), proxy.clone());
            client(GuardedConnector::new(Arc::clone(policy), resolver, tls, permission, proxy))
        };
        Self { plain: client(None), tls: client(Some(Arc::clone(tls))) }
    }

    fn for_target(&self, target: &Target) -> &Client {
        if target.is_tls { &self.tls } else { &self.plain }
    }
}

fn client(connector: GuardedConnector) -> Client {
    let connector = Connector::new()
        .connector(connector)
        // the default of 100 is for all hosts together, and waiting for a slot counts towards the timeout
        .limit(0)
        .timeout(NEVER)
        .conn_keep_alive(KEEP_ALIVE)
        .conn_lifetime(LIFETIME);
    Client::builder().connector(connector).disable_redirects().disable_timeout().no_default_headers().finish()
}
