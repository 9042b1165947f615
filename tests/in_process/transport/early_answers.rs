//! Receivers that answer from a request's head and read no further: 401, 413, or a 200 of one that never wanted the body.

use std::io::Read;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use ringback::domain::attempt::{AttemptError, AttemptResult};
use ringback::transport::{AttemptRequest, AwcTransport, Transport, TransportConfig};

use super::support::{
    Authority, Connection, PATIENCE, Receiver, attempt, loopback_policy, open_transport, request, status,
    transport,
};

const MIB: usize = 1024 * 1024;
/// More than the sockets' buffers hold, and less.
const SIZES: [usize; 3] = [MIB, 5 * MIB, 10 * MIB];
const CODES: [u16; 5] = [200, 401, 410, 413, 503];
/// Long enough to distinguish a response from a hang.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a receiver does behind its answer.
#[derive(Debug, Clone, Copy)]
enum Then {
    KeepsItOpen,
    FinishesSending,
    Closes,
    Resets,
    ReadsOn,
}

const ALL: [Then; 5] = [Then::KeepsItOpen, Then::FinishesSending, Then::Closes, Then::Resets, Then::ReadsOn];

/// Until the other end of this is dropped.
type Held = Arc<Mutex<mpsc::Receiver<()>>>;

fn answer_early(mut connection: Connection, answer: &str, then: Then, held: &Held) {
    if connection.read_head().is_none() {
        return;
    }
    connection.send(answer);
    match then {
        Then::KeepsItOpen => wait(held),
        Then::FinishesSending => {
            connection.finish_sending();
            wait(held);
        }
        Then::Closes => {}
        Then::Resets => connection.reset(),
        Then::ReadsOn => connection.hold(),
    }
}

fn wait(held: &Held) {
    let _ = held.lock().unwrap().recv_timeout(PATIENCE * 2);
}

async fn send(transport: &AwcTransport, url: &str, body: Bytes) -> AttemptResult {
    transport.attempt(AttemptRequest { body, timeout: TIMEOUT, ..request(url) }).await.unwrap()
}

/// One attempt at a receiver that answers early.
async fn assert_answered(authority: Option<&Authority>, then: Then, code: u16, body: Bytes) {
    let case = format!("{code}, {} MiB, {then:?}, TLS: {}", body.len() / MIB, authority.is_some());
    let answer = format!("HTTP/1.1 {code} x\r\nretry-after: 120\r\ncontent-length: 2\r\n\r\nno");
    let (release, held) = mpsc::channel();
    let held = Held::new(Mutex::new(held));
    let respond = move |connection: Connection| answer_early(connection, &answer, then, &held);
    let (receiver, is_tls) = match authority {
        Some(authority) => (Receiver::start_tls(authority.server("127.0.0.1", |_| {}), respond), true),
        None => (Receiver::start(respond), false),
    };
    let url = if is_tls { receiver.https_url() } else { receiver.url() };
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        ca_file: authority.map(|authority| authority.file.clone()),
        ..TransportConfig::default()
    });
    let started = Instant::now();
    let result = send(&transport, &url, body).await;
    assert!(result.response.is_ok(), "{case}: {:?}", result.response);
    assert_eq!(status(&result), code, "{case}");
    assert_eq!(result.response.unwrap().header("retry-after"), Some("120"), "{case}");
    assert!(started.elapsed() < TIMEOUT / 2, "{case}: {:?}", started.elapsed());
    assert_eq!(receiver.connections(), 1, "{case}");
    drop(release);
}

#[actix_rt::test]
async fn a_response_counts_although_the_receiver_reads_nothing_of_the_body() {
    for bytes in SIZES {
        let body = Bytes::from(vec![b'x'; bytes]);
        let cases = ALL.iter().flat_map(|&then| CODES.map(|code| assert_answered(None, then, code, body.clone())));
        join_all(cases).await;
    }
}

#[actix_rt::test]
async fn a_response_counts_over_tls_although_the_receiver_reads_nothing_of_the_body() {
    let authority = Authority::new();
    for bytes in SIZES {
        let body = Bytes::from(vec![b'x'; bytes]);
        join_all(ALL.map(|then| assert_answered(Some(&authority), then, 413, body.clone()))).await;
    }
}

#[actix_rt::test]
async fn an_interim_head_does_not_end_the_sending() {
    let receiver = Receiver::start(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nno colon\r\n\r\n");
        let mut body = vec![0; 10 * MIB];
        if connection.channel.read_exact(&mut body).is_ok() && body.iter().all(|&byte| byte == b'x') {
            connection.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
            connection.hold();
        }
    });
    let result = send(&open_transport(), &receiver.url(), vec![b'x'; 10 * MIB].into()).await;
    assert_eq!(status(&result), 201);
}

#[actix_rt::test]
async fn a_connection_whose_request_was_not_fully_sent_is_closed_and_not_reused() {
    let (sender, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = mpsc::channel();
    let held = Held::new(Mutex::new(held));
    let receiver = Receiver::start(move |mut connection| {
        if connection.number > 0 {
            while connection.read_request().is_some() {
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
            return;
        }
        connection.read_head();
        connection.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        wait(&held);
        let _ = sender.send(connection.is_closed_in_time());
    });
    let transport = open_transport();
    let result = send(&transport, &receiver.url(), vec![b'x'; 10 * MIB].into()).await;
    assert_eq!(status(&result), 413);
    drop(release);
    assert_eq!(closed.recv().await, Some(true), "at once, not when its host is asked again");
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200);
    assert_eq!(receiver.connections(), 2);
}

#[actix_rt::test]
async fn an_incomplete_head_before_the_connection_ends_is_not_a_response() {
    for sent in
        ["", "HTTP/1.1 413 Too La", "HTTP/1.1 413 x\r\ncontent-length: 0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]
    {
        for then in [Then::Closes, Then::Resets] {
            let (_release, held) = mpsc::channel();
            let held = Held::new(Mutex::new(held));
            let receiver = Receiver::start(move |connection| answer_early(connection, sent, then, &held));
            let result = send(&open_transport(), &receiver.url(), vec![b'x'; 10 * MIB].into()).await;
            assert_eq!(result.response, Err(AttemptError::ConnectionReset), "{sent:?}, {then:?}");
        }
    }
    let receiver = Receiver::start(|mut connection| {
        connection.read_head();
        connection.send("<html>413</html>");
        connection.hold();
    });
    let result = send(&open_transport(), &receiver.url(), vec![b'x'; 10 * MIB].into()).await;
    assert_eq!(result.response, Err(AttemptError::InvalidResponse));
}
