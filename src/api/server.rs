//! The HTTP servers: the API, and the metrics alone when they have an address of their own.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use socket2::{Domain, Protocol, Socket, Type};

use super::middleware::count_requests;
use super::{Api, MetricsRenderer, health, routes};

/// A request's head must be here by then: a slow client holds a socket, nothing else.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// For a client to read the end of an answer.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at once, over all workers; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 8_192;
/// Waiting in the system's queue.
const BACKLOG: i32 = 2_048;
/// Threads for store calls, for each worker. More wait for the store's own connections anyway.
const BLOCKING_THREADS: usize = 32;

/// An address that is ours, where nobody is let in yet: who connects is refused until a server is bound to it.
#[derive(Debug)]
pub struct ReservedAddress {
    socket: Socket,
    address: SocketAddr,
}

impl ReservedAddress {
    /// Takes an address; port 0 for any.
    pub fn new(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // as actix does: a restart need not wait for the connections of the process before
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
}

/// A server that listens. It serves while [`BoundServer::server`] is polled; `server.handle().stop(true)` ends
/// it gracefully. Signals are the caller's business.
pub struct BoundServer {
    /// Await or spawn it.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The type of an actix server carries its services' types, which have no names: hence no function.
macro_rules! bind {
    ($app:expr, $options:expr) => {{
        let options: ServerOptions = $options;
        let address = options.address.address();
        let workers = options.workers.max(1);
        let server = HttpServer::new($app)
            .workers(workers)
            .max_connections(MAX_CONNECTIONS.div_ceil(workers))
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .shutdown_timeout(options.shutdown_timeout.as_secs())
            .disable_signals()
            .listen(options.address.listen()?)?;
        Ok(BoundServer { server: server.run(), address })
    }};
}

/// Binds the API.
pub fn bind_api(api: web::Data<Api>, options: ServerOptions) -> std::io::Result<BoundServer> {
    let app = move || App::new().app_data(api.clone()).wrap(from_fn(count_requests)).configure(routes::configure);
    bind!(app, options)
}

/// Binds a server that has `/metrics` and nothing else.
pub fn bind_metrics(renderer: MetricsRenderer, options: ServerOptions) -> std::io::Result<BoundServer> {
    let app = move || {
        let renderer = renderer.clone();
        let metrics = web::get().to(move || health::render(renderer.clone()));
        App::new().route("/metrics", metrics).default_service(web::to(routes::unknown_route))
    };
    bind!(app, options)
}
