//! The servers, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ringback::api::server::{ConnectionLimits, ReservedAddress, ServerOptions, bind_api, bind_metrics};
use tokio::time::Instant;

use crate::world::{World, request_ids};

fn options() -> ServerOptions {
    ServerOptions {
        address: ReservedAddress::new(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(),
        workers: 1,
        shutdown_timeout: Duration::from_secs(5),
        connections: ConnectionLimits::default(),
        request_ids: request_ids(),
    }
}

#[actix_web::test]
async fn a_body_over_the_limit_gets_its_response_while_the_client_is_still_sending() {
    let world = World::new().await;
    let owner = world.owner().await;
    let bound = bind_api(world.api.clone(), |_| {}, |_| {}, options()).unwrap();
    let handle = bound.server.handle();
    actix::spawn(bound.server);
    let client = awc::Client::default();
    for (key, status) in [(owner.as_str(), 413), ("unknown", 401)] {
        let request = client.post(format!("http://{}/v1/events", bound.address)).bearer_auth(key);
        let answer = request.send_body(vec![b'x'; 11 * 1024 * 1024]).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
    }
    handle.stop(true).await;
}

#[actix_web::test]
async fn the_metrics_server_serves_only_the_metrics() {
    let bound = bind_metrics(Arc::new(|| "ringback_up 1\n".to_owned()), options()).unwrap();
    let handle = bound.server.handle();
    actix::spawn(bound.server);
    let client = awc::Client::default();
    let get = async |path: &str| client.get(format!("http://{}{path}", bound.address)).send().await.unwrap();
    let mut metrics = get("/metrics").await;
    assert_eq!(metrics.body().await.unwrap(), "ringback_up 1\n");
    assert_eq!(metrics.headers().get("content-type").unwrap(), "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.headers().contains_key("x-request-id"));
    for path in ["/v1/webhooks", "/health/live", "/"] {
        assert_eq!(get(path).await.status().as_u16(), 404, "{path}");
    }
    handle.stop(true).await;
}

#[actix_web::test]
async fn a_reserved_address_lets_nobody_in_before_its_server_runs() {
    let options = options();
    let address = options.address.address();
    assert_ne!(address.port(), 0, "the real port is known");
    let refused = std::net::TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    let bound = bind_metrics(Arc::new(|| "ringback_up 1\n".to_owned()), options).unwrap();
    assert_eq!(bound.address, address);
    assert!(std::net::TcpStream::connect(address).is_ok());
    assert!(ReservedAddress::new(address).is_err(), "it is taken");
    drop(bound.server);
}

/// Much less than a test has patience for, and much more than a busy machine takes for a step.
const SHORT: Duration = Duration::from_millis(600);
const NEVER: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a thread of its own, so that a test can talk to it with plain sockets.
struct Served {
    address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
}

impl Served {
    fn start(connections: ConnectionLimits) -> Self {
        Self::answering(connections, String::new)
    }

    /// With this at `/metrics`.
    fn answering(connections: ConnectionLimits, metrics: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let (sender, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let options = ServerOptions { connections, ..options() };
                let bound = bind_metrics(Arc::new(metrics), options).unwrap();
                sender.send((bound.address, bound.server.handle())).unwrap();
                let _ = bound.server.await;
            });
        });
        let (address, handle) = started.recv().unwrap();
        Self { address, handle }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Requests what does not exist: a short answer, which is read whole. Its head.
fn ask(client: &mut TcpStream) -> String {
    client.write_all(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while !answer.ends_with(b"}") {
        let read = client.read(&mut part).unwrap();
        assert!(read > 0, "closed before the answer was over");
        answer.extend_from_slice(&part[..read]);
    }
    String::from_utf8(answer).unwrap()
}

/// How long until the server closes the connection.
fn time_to_end(client: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    let mut part = [0; 65_536];
    // an end or a reset, but not the client's own time-out
    loop {
        match client.read(&mut part) {
            Ok(0) => return begin.elapsed(),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                return begin.elapsed();
            }
        }
    }
}

#[test]
fn an_unfinished_second_request_is_disconnected_like_an_unfinished_first_one() {
    let limits = ConnectionLimits { head: SHORT, keep_alive: NEVER, answer: NEVER, ..ConnectionLimits::default() };
    let served = Served::start(limits);
    let head: &[u8] = b"GET /nothing HTTP/1.1\r\nhost: a\r\nx-slow: ";
    for has_had_an_answer in [false, true] {
        let mut client = served.connect();
        if has_had_an_answer {
            ask(&mut client);
        }
        let dripping = client.try_clone().unwrap();
        let drip = std::thread::spawn(move || {
            let mut dripping = dripping;
            // never woken: its timeout is the pace
            let (_awake, pace) = std::sync::mpsc::channel::<()>();
            for byte in head.iter().chain(std::iter::repeat(&b'x')) {
                if dripping.write_all(&[*byte]).is_err() {
                    return;
                }
                let _ = pace.recv_timeout(Duration::from_millis(20));
            }
        });
        let took = time_to_end(&mut client);
        assert!(took < PATIENCE / 2, "{took:?}, after an answer: {has_had_an_answer}");
        drip.join().unwrap();
    }
}

#[test]
fn part_of_a_head_that_arrives_with_the_previous_request_holds_a_connection_no_longer_than_idleness() {
    let limits = ConnectionLimits { keep_alive: SHORT, answer: NEVER, ..ConnectionLimits::default() };
    // longer under way than a connection may be idle; nothing wakes it, its timeout is what it takes
    let (awake, pause) = std::sync::mpsc::channel::<()>();
    let pause = std::sync::Mutex::new(pause);
    let served = Served::answering(limits, move || {
        let _ = pause.lock().unwrap().recv_timeout(SHORT * 2);
        "slow".to_owned()
    });
    let mut client = served.connect();
    client.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\nGET /noth").unwrap();
    let took = time_to_end(&mut client);
    assert!(took >= SHORT * 2 && took < PATIENCE / 2, "{took:?}");
    drop(awake);
}

#[test]
fn a_client_that_does_not_read_its_response_is_disconnected_with_and_without_keep_alive() {
    let limits = ConnectionLimits { keep_alive: NEVER, answer: SHORT, ..ConnectionLimits::default() };
    // long enough to fill the system's buffers
    let served = Served::answering(limits, || "x".repeat(16 << 20));
    for wish in ["keep-alive", "close"] {
        let mut client = served.connect();
        write!(client, "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: {wish}\r\n\r\n").unwrap();
        // a socket that was reset says so to who writes, too
        let begin = Instant::now();
        let mut begun = [0];
        client.read_exact(&mut begun).unwrap();
        let (_awake, pace) = std::sync::mpsc::channel::<()>();
        while client.take_error().unwrap().is_none() && client.write_all(b"\r\n").is_ok() {
            assert!(begin.elapsed() < PATIENCE / 2, "the answer is kept for who does not read it, {wish}");
            let _ = pace.recv_timeout(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_crowded_server_closes_idle_connections_sooner_and_all_after_each_response() {
    let limits = ConnectionLimits {
        max_connections: 8,
        keep_alive: NEVER,
        keep_alive_when_crowded: SHORT,
        ..ConnectionLimits::default()
    };
    let served = Served::start(limits);
    let mut idle: Vec<TcpStream> = (0..6).map(|_| served.connect()).collect();
    for client in &mut idle {
        assert!(!ask(client).contains("connection: close"));
    }
    let mut seventh = served.connect();
    assert!(ask(&mut seventh).contains("connection: close"));
    assert!(time_to_end(&mut seventh) < PATIENCE / 2);
    // all places are taken: who comes now waits in the system's queue until the idle are gone
    let silent = [served.connect(), served.connect()];
    let begin = Instant::now();
    ask(&mut served.connect());
    assert!(begin.elapsed() < limits.head, "not before the silent were let go: {:?}", begin.elapsed());
    drop(silent);
}
