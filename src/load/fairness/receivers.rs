//! The aggressor's receivers: one server on threads of its own, so that they don't delay the victim's.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use socket2::{Domain, SockAddr, Socket, Type};

use super::background::lower_priority;
use crate::load::error::LoadError;

const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How long slow receivers take: within the timeout of a webhook, so that the delivery succeeds.
const SLOW: Duration = Duration::from_secs(8);
/// Longer than any attempt: the engine gives up on a hanging receiver, not the other way round.
const HANGING: Duration = Duration::from_secs(120);
/// Hanging receivers need one connection for each attempt.
const MAX_CONNECTIONS: usize = 100_000;

/// How the receiver of a webhook behaves; a part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// 200 at once; hangs while [`AggressorReceivers::hold`] says so.
    Fast,
    /// 200 after 8 s.
    Slow,
    /// Never answers, and does not read the body.
    Hanging,
    /// 400: the delivery fails for good, and no breaker opens, since somebody answers.
    Denying,
    /// Nobody listens at the port.
    Dead,
}

struct ReceiverState {
    attempts: AtomicU64,
    held: AtomicBool,
}

/// Stopped, with all its connections, when it is dropped.
pub(crate) struct AggressorReceivers {
    address: SocketAddr,
    handle: ServerHandle,
    state: Arc<ReceiverState>,
    /// Bound, but not listening: connections to it are refused, and nobody else gets the port.
    dead: SocketAddr,
    _dead: Socket,
}

impl AggressorReceivers {
    pub(crate) fn start() -> Result<Self, LoadError> {
        let failed = "the aggressor's receivers can't be started";
        let (dead, address) = refusing_port().map_err(LoadError::system(failed))?;
        let state = Arc::new(ReceiverState { attempts: AtomicU64::new(0), held: AtomicBool::new(false) });
        let shared = web::Data::from(Arc::clone(&state));
        let (sender, started) = channel();
        std::thread::Builder::new()
            .name("aggressor's receivers".to_owned())
            .spawn(move || {
                lower_priority();
                actix_rt::System::new().block_on(async move {
                    match bind(shared) {
                        Ok((server, address)) => {
                            // nobody waits for it only when the run has ended
                            let _ = sender.send(Ok((server.handle(), address)));
                            let _ = server.await;
                        }
                        Err(error) => {
                            let _ = sender.send(Err(error));
                        }
                    }
                });
            })
            .map_err(LoadError::system(failed))?;
        let started = started.recv().map_err(|_| LoadError::NotPrepared(failed.to_owned()))?;
        let (handle, listening) = started.map_err(LoadError::system(failed))?;
        Ok(Self { address: listening, handle, state, dead: address, _dead: dead })
    }

    /// The URL of a webhook's receiver.
    pub(crate) fn url(&self, behaviour: Behaviour, webhook: usize) -> String {
        let (address, word) = match behaviour {
            Behaviour::Fast => (self.address, "fast"),
            Behaviour::Slow => (self.address, "slow"),
            Behaviour::Hanging => (self.address, "hanging"),
            Behaviour::Denying => (self.address, "denying"),
            Behaviour::Dead => (self.dead, "dead"),
        };
        format!("http://{address}/{word}/{webhook}")
    }

    /// Attempts that have arrived so far.
    pub(crate) fn attempts(&self) -> u64 {
        self.state.attempts.load(Ordering::Relaxed)
    }

    /// Whether fast receivers hang for now.
    pub(crate) fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::Relaxed);
    }
}

impl Drop for AggressorReceivers {
    fn drop(&mut self) {
        // the command is sent by the call; the future would wait for the end
        drop(self.handle.stop(false));
    }
}

fn bind(state: web::Data<ReceiverState>) -> std::io::Result<(actix_web::dev::Server, SocketAddr)> {
    let app = move || {
        App::new()
            .app_data(state.clone())
            .app_data(web::PayloadConfig::new(BODY_LIMIT_BYTES))
            .route("/fast/{webhook}", web::post().to(fast))
            .route("/slow/{webhook}", web::post().to(slow))
            .route("/hanging/{webhook}", web::post().to(hang))
            .route("/denying/{webhook}", web::post().to(deny))
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(HANGING)
        .disable_signals()
        .shutdown_timeout(0)
        .bind(any)?;
    let address = server.addrs().first().copied().unwrap_or(any);
    Ok((server.run(), address))
}

async fn fast(_body: web::Bytes, state: web::Data<ReceiverState>) -> HttpResponse {
    state.attempts.fetch_add(1, Ordering::Relaxed);
    if state.held.load(Ordering::Relaxed) {
        tokio::time::sleep(HANGING).await;
    }
    HttpResponse::Ok().finish()
}

async fn slow(_body: web::Bytes, state: web::Data<ReceiverState>) -> HttpResponse {
    state.attempts.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(SLOW).await;
    HttpResponse::Ok().finish()
}

async fn hang(state: web::Data<ReceiverState>) -> HttpResponse {
    state.attempts.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(HANGING).await;
    HttpResponse::ServiceUnavailable().finish()
}

async fn deny(_body: web::Bytes, state: web::Data<ReceiverState>) -> HttpResponse {
    state.attempts.fetch_add(1, Ordering::Relaxed);
    HttpResponse::BadRequest().finish()
}

fn refusing_port() -> std::io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or_else(|| std::io::Error::other("an address that is no internet address"))?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn each_receiver_behaves_as_its_path_says() {
        let receivers = AggressorReceivers::start().unwrap();
        let client = awc::Client::default();
        let (soon, at_last) = (Duration::from_secs(1), Duration::from_secs(30));
        let post = async |behaviour, limit| {
            let sent = client.post(receivers.url(behaviour, 7)).timeout(limit).send_body("{}").await;
            sent.ok().map(|response| response.status().as_u16())
        };
        let mut answers = Vec::new();
        for behaviour in [Behaviour::Fast, Behaviour::Denying] {
            answers.push(post(behaviour, at_last).await);
        }
        for behaviour in [Behaviour::Slow, Behaviour::Hanging, Behaviour::Dead] {
            answers.push(post(behaviour, soon).await);
        }
        assert_eq!(answers, [Some(200), Some(400), None, None, None]);
        receivers.hold(true);
        assert_eq!(post(Behaviour::Fast, soon).await, None);
        assert_eq!(receivers.attempts(), 5, "nothing arrives at a dead one");
    }
}
