//! The HTTP servers: the API, and the metrics alone when they have their own address.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_rt::net::TcpStream;
use actix_server::ServerBuilder;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use socket2::{Domain, Socket, Type};

pub use super::connection_timeouts::ConnectionLimits;
use super::connection_timeouts::{OpenConnections, TimedStream, watch_requests};
use super::middleware::observe;
use super::request_id::RequestIds;
use super::{Api, MetricsRenderer, probes, routes};

/// How long a client may take to read the end of a response.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections waiting in the system's queue.
const BACKLOG: i32 = 2_048;
/// Threads for store calls, for each worker. More wait for the store's own connections anyway.
const BLOCKING_THREADS: usize = 32;

/// A reserved address: connections are refused until a server is bound to it.
#[derive(Debug)]
pub struct ReservedAddress {
    socket: Socket,
    address: SocketAddr,
}

impl ReservedAddress {
    /// Reserves an address; port 0 for any.
    pub fn new(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
        // as actix does: a restart need not wait for the connections of the previous process
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, address })
    }

    /// With the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn listen(self) -> std::io::Result<TcpListener> {
        self.socket.listen(BACKLOG)?;
        Ok(self.socket.into())
    }
}

/// How a server runs.
#[derive(Debug)]
pub struct ServerOptions {
    /// Where it listens.
    pub address: ReservedAddress,
    /// Threads that serve requests; at least 1.
    pub workers: usize,
    /// How long requests in flight may take to end after a stop.
    pub shutdown_timeout: Duration,
    /// Bounds on connections.
    pub connections: ConnectionLimits,
    /// Makes the ids of requests.
    pub request_ids: RequestIds,
}

/// A server that listens. It serves while [`BoundServer::server`] is polled; `server.handle().stop(true)` ends it
/// gracefully. The caller handles signals.
pub struct BoundServer {
    /// Await or spawn it.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A macro because the type of an actix service contains those of its handlers, which have no names.
macro_rules! bind {
    ($app:expr, $options:expr) => {{
        let options: ServerOptions = $options;
        let (app, limits, address) = ($app, options.connections, options.address.address());
        let builder = server_builder(&options);
        let listener = options.address.listen()?;
        let (stopping, connections) = (builder.graceful_shutdown_signal(), OpenConnections::new(limits));
        let builder = builder.listen("http", listener, move || {
            let (stopping, connections) = (stopping.clone(), connections.clone());
            let stopping = move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            };
            let http = HttpService::build()
                .graceful_shutdown_signal(stopping)
                .keep_alive(limits.keep_alive)
                .client_request_timeout(limits.head)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .local_addr(address)
                .on_connect_ext(|stream: &TimedStream, data| {
                    data.insert(stream.activity());
                })
                .finish(map_config(app(), |()| AppConfig::default()));
            let accept = move |socket: TcpStream| {
                let peer = socket.peer_addr().ok();
                // a response is written in few pieces; the last one must not wait for an acknowledgement. A socket that
                // refuses the option is already closed, which shows when it is read
                let _ = socket.set_nodelay(true);
                let stream = TimedStream::new(socket, connections.clone());
                ready(Ok::<_, DispatchError>((stream, Protocol::Http1, peer)))
            };
            fn_service(accept).and_then(http)
        })?;
        Ok(BoundServer { server: builder.run(), address })
    }};
}

fn server_builder(options: &ServerOptions) -> ServerBuilder {
    let workers = options.workers.max(1);
    Server::build()
        .workers(workers)
        .max_concurrent_connections(options.connections.max_connections.div_ceil(workers))
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals()
}

/// Binds the API, and `pages` on the same address; `before` is asked for a path before all others: patterns are compared one after
/// the other.
pub fn bind_api(
    api: web::Data<Api>,
    before: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    pages: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    options: ServerOptions,
) -> std::io::Result<BoundServer> {
    let ids = options.request_ids.clone();
    let app = move || {
        let ids = ids.clone();
        App::new()
            .app_data(api.clone())
            .wrap(from_fn(move |request, next| observe(ids.clone(), request, next)))
            .wrap(from_fn(watch_requests))
            .configure(before.clone())
            .configure(routes::configure)
            .configure(pages.clone())
    };
    bind!(app, options)
}

/// Binds a server with `/metrics` only.
pub fn bind_metrics(renderer: MetricsRenderer, options: ServerOptions) -> std::io::Result<BoundServer> {
    let ids = options.request_ids.clone();
    let app = move || {
        let (renderer, ids) = (renderer.clone(), ids.clone());
        let metrics = web::get().to(move || probes::render(renderer.clone()));
        App::new()
            .wrap(from_fn(move |request, next| observe(ids.clone(), request, next)))
            .wrap(from_fn(watch_requests))
            .route("/metrics", metrics)
            .default_service(web::to(routes::unknown_route))
    };
    bind!(app, options)
}
