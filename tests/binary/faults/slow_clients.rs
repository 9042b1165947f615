//! Clients of the API that mean harm: slow ones, silent ones, many, large and malformed ones. Others are served on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::engine::{ADMIN_KEY, Api, PATIENCE};
use test_support::world::{Database, EVENT_TYPE, World};

/// Idle connections; `RINGBACK_IDLE_CONNECTIONS=10000` is more than the server takes at once.
const IDLE_CONNECTIONS: usize = 1_500;
/// A connection that is idle or only begun may cost so much; measured at 8 to 20 KiB.
const MAX_BYTES_PER_CONNECTION: usize = 64 * 1024;
/// In one block; the medians of several blocks are compared.
const BLOCK: usize = 20;
const BLOCKS: usize = 5;
const MIB: usize = 1024 * 1024;

/// Resident memory of the engine, in bytes.
fn resident(world: &World) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.engine.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

/// All that the server says until it closes.
fn read_to_end(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // what came before a reset counts
    let _ = client.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// The median time of a publish over several blocks, on one connection.
fn median_publish(api: &Api) -> Duration {
    let event = json!({"event_type": EVENT_TYPE, "data": {}});
    let block = || {
        let mut times: Vec<Duration> = (0..BLOCK)
            .map(|_| {
                let begin = Instant::now();
                api.post("/v1/events", &event).expect(202);
                begin.elapsed()
            })
            .collect();
        times.sort();
        times[BLOCK / 2]
    };
    // the quietest block: whatever else this machine does disturbs some of them
    (0..BLOCKS).map(|_| block()).min().unwrap()
}

fn raise_open_files() -> usize {
    usize::try_from(rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024)).unwrap_or(usize::MAX)
}

#[test]
fn thousands_of_idle_connections_cost_little_and_leave_others_unharmed() {
    let wanted =
        std::env::var("RINGBACK_IDLE_CONNECTIONS").map_or(IDLE_CONNECTIONS, |count| count.parse().unwrap());
    // the rest of this process has files as well
    let count = wanted.min(raise_open_files().saturating_sub(500));
    let world = World::new(Database::sqlite());
    let alone = median_publish(&world.api);
    let before = resident(&world);
    let address = world.engine.address();
    let crowd: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut client = connect(address);
            match number % 3 {
                // says nothing
                0 => {}
                // begins, and goes no further
                1 => client.write_all(b"GET /health/live HTTP/1.1\r\nho").unwrap(),
                // had its answer and keeps the connection
                _ => client.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").unwrap(),
            }
            client
        })
        .collect();
    let beside = median_publish(&world.api);
    let stranger = world.engine.api(ADMIN_KEY);
    let begin = Instant::now();
    stranger.get("/health/ready").expect(200);
    let connected = begin.elapsed();
    let each = resident(&world).saturating_sub(before) / count;
    drop(crowd);
    println!(
        "measured: {count} idle connections: {each} bytes each; a publish takes {beside:?} beside them, {alone:?} \
         without; somebody new is served after {connected:?}"
    );
    assert!(each < MAX_BYTES_PER_CONNECTION, "{each} bytes for each of {count} connections");
    let bound = alone * 5 + Duration::from_millis(20);
    assert!(beside < bound, "a publish takes {beside:?} beside them, {alone:?} without");
}

#[test]
fn clients_that_send_a_byte_at_a_time_or_nothing_are_let_go_and_others_are_served_meanwhile() {
    let world = World::new(Database::sqlite());
    let address = world.engine.address();
    let key = world.api.key();
    let body = format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-length: 1000\r\n\r\n{{\""
    );
    let slow = |begin: &str, drips: bool| {
        let begin = begin.to_owned();
        std::thread::spawn(move || {
            let mut client = connect(address);
            client.write_all(begin.as_bytes()).unwrap();
            let started = Instant::now();
            if drips {
                let mut dripping = client.try_clone().unwrap();
                std::thread::spawn(move || {
                    // never woken: its timeout is the pace
                    let (_awake, pace) = std::sync::mpsc::channel::<()>();
                    while dripping.write_all(b"x").is_ok() && started.elapsed() < PATIENCE {
                        let _ = pace.recv_timeout(Duration::from_millis(300));
                    }
                });
            }
            let said = read_to_end(&mut client);
            (said, started.elapsed())
        })
    };
    let clients = [
        ("says nothing", slow("", false)),
        ("drips its head", slow("GET /health/live HTTP/1.1\r\nx: ", true)),
        ("begins a body and stops", slow(&body, false)),
    ];
    while !clients.iter().all(|(_, client)| client.is_finished()) {
        world.publish(1);
    }
    for (what, client) in clients {
        let (said, took) = client.join().unwrap();
        assert!(said.starts_with("HTTP/1.1 408 "), "{what}: {said:?}");
        assert!(took < PATIENCE / 2, "{what}: {took:?}");
        println!("measured: a client that {what} is disconnected after {took:?}");
        if what.contains("body") {
            assert!(said.contains("application/problem+json") && said.contains("request_timeout"), "{said}");
        }
    }
}

#[test]
fn what_is_too_large_or_malformed_is_refused_and_fills_no_log() {
    let world = World::new(Database::sqlite());
    let address = world.engine.address();
    let key = world.api.key();
    let ask = |request: &str| {
        let mut client = connect(address);
        // the server may close while this is still being sent
        let _ = client.write_all(request.as_bytes());
        let _ = client.shutdown(Shutdown::Write);
        read_to_end(&mut client)
    };
    let post = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n");
    let many = "x-many: x\r\n".repeat(200);
    for (what, request, statuses) in [
        ("an oversized header", format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(300_000)), &["431"][..]),
        ("too many headers", format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), &["431", "400"]),
        ("an oversized body", format!("{post}content-length: 99999999\r\n\r\n"), &["413"]),
        ("a length that is none", format!("{post}content-length: -1\r\n\r\n"), &["400"]),
        ("two lengths", format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\n"), &["400"]),
        (
            "a length and chunks",
            format!("{post}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
            &["400"],
        ),
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &["400"]),
        ("a head with NUL", "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), &["400"]),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned(), &["400"]),
    ] {
        for _ in 0..20 {
            let said = ask(&request);
            // nothing at all: the connection was reset before the answer was read
            let is_refused =
                said.is_empty() || statuses.iter().any(|code| said.starts_with(&format!("HTTP/1.1 {code} ")));
            assert!(is_refused, "{what}: {said:?}");
        }
    }
    world.api.get("/health/ready").expect(200);
    let log = world.engine.log();
    assert!(log.lines().count() < 5, "anybody can fill the log:\n{log}");
}

#[test]
fn large_bodies_that_never_end_share_a_budget_and_leave_small_events_unharmed() {
    const CLIENTS: usize = 40;
    const SENT: usize = 10 * MIB - 64 * 1024;
    let world = World::new(Database::sqlite());
    world.publish(0);
    let before = resident(&world);
    let (address, key) = (world.engine.address(), world.api.key());
    let (refused, let_go) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = connect(address);
                let head = format!(
                    "POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
                    10 * MIB
                );
                client.write_all(head.as_bytes()).unwrap();
                let part = vec![b' '; MIB / 4];
                let mut sent = 0;
                // refused while it is still sending
                while sent < SENT && client.write_all(&part[..part.len().min(SENT - sent)]).is_ok() {
                    sent += part.len();
                }
                let said = read_to_end(&mut client);
                let kind = if said.starts_with("HTTP/1.1 408 ") { &let_go } else { &refused };
                // before anything can fail: the others wait for it
                kind.fetch_add(1, Ordering::Relaxed);
                assert!(said.is_empty() || said.starts_with("HTTP/1.1 429 ") || said.starts_with("HTTP/1.1 408 "));
                assert!(!said.starts_with("HTTP/1.1 429 ") || said.to_lowercase().contains("\r\nretry-after: "));
            });
        }
        let mut most = 0;
        while refused.load(Ordering::Relaxed) + let_go.load(Ordering::Relaxed) < CLIENTS {
            world.publish(1);
            most = most.max(resident(&world));
        }
        most
    });
    let grown = most.saturating_sub(before) / MIB;
    let (refused, let_go) = (refused.into_inner(), let_go.into_inner());
    println!(
        "measured: {CLIENTS} clients with 10 MiB each: {refused} refused, {let_go} disconnected for stalling, memory grew \
         by {grown} MiB"
    );
    assert!(refused > 0, "all of them were taken");
    // the budget of 256 MiB, room for buffers to grow, and what one part of each holds
    assert!(grown < 256 * 2 + 64, "memory grew by {grown} MiB");
}
