//! Receivers that misbehave, in more variants than the list in `hostile` has: each gets the right outcome, in time, and
//! none spoils what comes after it.

use std::io::Read;
use std::time::{Duration, Instant};

use ringback::domain::attempt::AttemptError::{
    ConnectionRefused, ConnectionReset, IdleConnectionClosed, InvalidResponse, Timeout,
};
use ringback::domain::attempt::{AttemptError, AttemptResult};
use ringback::transport::{AttemptRequest, BODY_EXCERPT_BYTES, Transport};

use super::support::{Connection, Receiver, attempt, attempt_within, open_transport, request, status};

const TIMEOUT: Duration = Duration::from_secs(1);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ERROR: &str = "HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\nno";

/// One attempt at a receiver that does this; it must end within its timeout and a second.
async fn outcome(handler: impl Fn(Connection) + Send + Sync + 'static) -> AttemptResult {
    let receiver = Receiver::start(handler);
    let started = Instant::now();
    let result = attempt_within(&open_transport(), &receiver.url(), TIMEOUT).await;
    assert!(started.elapsed() < TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
    result
}

/// Sends these bytes after the request, then waits for the end.
fn sending(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> impl Fn(Connection) + Send + Sync + 'static {
    move |mut connection| {
        connection.read_request();
        connection.send(answer.as_ref());
        connection.hold();
    }
}

/// Sends these bytes after the request, and closes.
fn sending_and_closing(
    answer: impl AsRef<[u8]> + Send + Sync + 'static,
) -> impl Fn(Connection) + Send + Sync + 'static {
    move |mut connection| {
        connection.read_request();
        connection.send(answer.as_ref());
    }
}

fn error(result: AttemptResult) -> AttemptError {
    result.response.expect_err("no answer")
}

#[actix_rt::test]
async fn a_receiver_that_closes_or_resets_before_responding_is_a_connection_reset() {
    assert_eq!(error(outcome(drop).await), ConnectionReset);
    assert_eq!(error(outcome(sending_and_closing("")).await), ConnectionReset);
    assert_eq!(error(outcome(sending_and_closing("HTTP/1.1 200 OK\r\ncontent-le")).await), ConnectionReset);
    // closing with unread bytes in the socket sends a reset
    let result = outcome(|mut connection| {
        let _ = connection.channel.read(&mut [0; 10]);
    })
    .await;
    assert_eq!(error(result), ConnectionReset);
}

#[actix_rt::test]
async fn a_port_where_nobody_listens_is_a_connection_refused() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = attempt(&open_transport(), &format!("http://{gone}/")).await;
    assert_eq!(error(result), ConnectionRefused);
}

#[actix_rt::test]
async fn once_the_head_has_arrived_nothing_in_the_body_changes_the_outcome() {
    let terabyte = "content-length: 1099511627776";
    for status_line in ["HTTP/1.1 200 OK", "HTTP/1.1 202 Accepted", "HTTP/1.1 500 x", "HTTP/1.1 410 Gone"] {
        let expected: u16 = status_line[9..12].parse().unwrap();
        for (fields, body) in [
            (terabyte, "short"),
            ("content-length: 100", "short"),
            ("content-length: 2", "too long"),
            ("content-length: abc", "x"),
            ("content-length: -1", "x"),
            ("content-length: 1\r\ncontent-length: 2", "x"),
            ("transfer-encoding: chunked", "not a chunk\r\n"),
            ("transfer-encoding: chunked", "5\r\nshort"),
            ("transfer-encoding: chunked", "ffffffffffffffffff\r\nx"),
            ("transfer-encoding: gzip, chunked", "5\r\nshort\r\n0\r\n\r\n"),
            ("transfer-encoding: chunked\r\ncontent-length: 3", "0\r\n\r\n"),
            ("content-encoding: gzip\r\ncontent-length: 4", "nope"),
            ("x: no length", "until the end"),
        ] {
            let answer = format!("{status_line}\r\n{fields}\r\n\r\n{body}");
            let result = outcome(sending_and_closing(answer.clone())).await;
            assert_eq!(status(&result), expected, "{answer}");
        }
    }
    let response = outcome(sending_and_closing("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nx")).await;
    let response = response.response.unwrap();
    assert_eq!((response.header("content-length"), &response.body[..]), (Some("abc"), &b"x"[..]), "unchanged");
    for fields in [terabyte, "content-length: 100", "transfer-encoding: chunked", "x: no length"] {
        let result = outcome(sending(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"))).await;
        assert_eq!(status(&result), 200, "{fields}");
    }
}

#[actix_rt::test]
async fn a_receiver_that_does_not_declare_its_empty_body_does_not_hold_the_attempt_until_its_timeout() {
    let receiver = Receiver::start(sending("HTTP/1.1 200 OK\r\n\r\n"));
    let started = Instant::now();
    assert_eq!(status(&attempt(&open_transport(), &receiver.url()).await), 200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[actix_rt::test]
async fn an_endless_body_after_200_is_a_success_and_is_read_only_up_to_the_maximum() {
    for fields in ["transfer-encoding: chunked\r\n\r\n", "content-length: 1099511627776\r\n\r\n", "x: y\r\n\r\n"] {
        let (sender, written) = std::sync::mpsc::channel();
        let result = outcome(move |mut connection| {
            connection.read_request();
            connection.send(format!("HTTP/1.1 200 OK\r\n{fields}"));
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
            let mut total = 0_usize;
            while connection.send(&chunk) {
                total += chunk.len();
            }
            let _ = sender.send(total);
        })
        .await;
        let response = result.response.unwrap();
        assert_eq!((response.status, response.body.len()), (200, BODY_EXCERPT_BYTES));
        // the connection is dropped: the receiver notices after what fits into the sockets' buffers
        let total = written.recv_timeout(super::support::PATIENCE).expect("the connection is closed");
        assert!(total < 64 * 1024 * 1024, "{total}");
    }
}

#[actix_rt::test]
async fn interim_responses_are_skipped_and_the_final_one_counts() {
    for (answer, expected) in [
        (format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"), 200),
        (format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{ERROR}"), 500),
    ] {
        assert_eq!(status(&outcome(sending(answer)).await), expected);
    }
    // and when they come apart
    let result = outcome(|mut connection| {
        connection.read_request();
        for byte in format!("HTTP/1.1 100 Continue\r\n\r\n{ERROR}").bytes() {
            connection.send([byte]);
        }
        connection.hold();
    })
    .await;
    assert_eq!(status(&result), 500);
    assert_eq!(error(outcome(sending("HTTP/1.1 100 Continue\r\n\r\n")).await), Timeout);
    assert_eq!(error(outcome(sending("HTTP/1.1 100 x\r\n\r\n".repeat(10_000))).await), InvalidResponse);
}

#[actix_rt::test]
async fn anything_but_an_http_1_response_is_an_invalid_response() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".to_owned(),
        "<html>hello, this is HTTP/0.9</html>".to_owned(),
        "HTTP/2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 OK\r\n\r\n".to_owned(),
        "\0\0\0\0\0\0\0\0".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(40_000)),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024)),
    ] {
        let shown = answer[..answer.len().min(60)].to_owned();
        assert_eq!(error(outcome(sending(answer)).await), InvalidResponse, "{shown}");
    }
}

#[actix_rt::test]
async fn odd_headers_do_not_hide_a_good_status() {
    let many: String = (0..97).map(|number| format!("x-{number}: y\r\n")).collect();
    for fields in [
        many.as_str(),
        "x: \0 and \x1b[31m and <script>alert(1)</script>\r\n",
        "x: folded\r\n  line\r\n",
        "retry-after: 1e308\r\n",
        "retry-after: -1\r\nretry-after: NaN\r\n",
        "upgrade: websocket\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok");
        assert_eq!(status(&outcome(sending(answer)).await), 200, "{fields}");
    }
    let answer = b"HTTP/1.1 200 OK\r\nx: \xff\xfe\r\ncontent-length: 2\r\n\r\n\0\xff";
    let response = outcome(sending(answer)).await.response.unwrap();
    assert_eq!(response.header("x"), Some("\u{fffd}\u{fffd}"));
    assert_eq!(&response.body[..], b"\0\xff");
}

#[actix_rt::test]
async fn bytes_after_a_response_are_never_taken_for_the_response_to_a_later_request() {
    let chunked = "HTTP/1.1 500 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    for (case, answer) in [
        ("after a length", format!("{ERROR}{OK}")),
        ("after no body", format!("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n{OK}")),
        ("after chunks", format!("{chunked}{OK}")),
        ("after chunks, chunked", format!("{chunked}{}", chunked.replace("500", "200"))),
        ("after no length", format!("HTTP/1.1 500 x\r\n\r\n{OK}")),
        ("after 304 with a length", format!("HTTP/1.1 304 x\r\ncontent-length: 80\r\n\r\n{OK}")),
        ("after 304 without", format!("HTTP/1.1 304 x\r\n\r\n{OK}")),
        ("after an interim answer", format!("HTTP/1.1 100 x\r\n\r\n{ERROR}{OK}")),
    ] {
        let receiver = Receiver::answering(answer);
        let transport = open_transport();
        for number in 0..4 {
            let result = attempt_within(&transport, &receiver.url(), TIMEOUT).await;
            assert!(matches!(status(&result), 500 | 304), "{case}, attempt {number}");
        }
        assert_eq!(receiver.connections(), 4, "{case}: no such connection is used again");
    }
}

#[actix_rt::test]
async fn an_extra_response_that_arrives_late_is_found_before_the_connection_is_reused() {
    let (answered, was_answered) = std::sync::mpsc::channel();
    let (sender, extra_sent) = std::sync::mpsc::channel();
    let was_answered = std::sync::Mutex::new(was_answered);
    let receiver = Receiver::start(move |mut connection| {
        while connection.read_request().is_some() {
            connection.send(ERROR);
            if connection.number == 0 {
                was_answered.lock().unwrap().recv_timeout(super::support::PATIENCE).unwrap();
                connection.send(OK);
                sender.send(()).unwrap();
            }
        }
    });
    let transport = open_transport();
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 500);
    answered.send(()).unwrap();
    // blocks the thread: tokio does not yet know of the extra response when the connection is taken from the pool
    extra_sent.recv_timeout(super::support::PATIENCE).unwrap();
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 500);
    assert_eq!(receiver.connections(), 2);
}

#[actix_rt::test]
async fn a_reused_connection_that_is_closed_at_once_is_distinguished_from_one_closed_after_work() {
    for (work, expected) in
        [(Duration::ZERO, IdleConnectionClosed), (Duration::from_millis(1_200), ConnectionReset)]
    {
        let receiver = Receiver::start(move |mut connection| {
            connection.read_request();
            connection.send(OK);
            connection.read_request();
            std::thread::sleep(work);
        });
        let transport = open_transport();
        assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200);
        assert_eq!(error(attempt(&transport, &receiver.url()).await), expected);
        assert_eq!(receiver.connections(), 1, "one attempt is one request");
        // and on a new connection that can't happen
        let fresh = AttemptRequest { fresh_connection: true, ..request(&receiver.url()) };
        assert_eq!(status(&transport.attempt(fresh).await.unwrap()), 200);
        assert_eq!(receiver.connections(), 2);
    }
}

#[actix_rt::test]
async fn a_fresh_connection_that_is_closed_is_a_connection_reset() {
    let receiver = Receiver::start(|mut connection| {
        connection.read_request();
    });
    let fresh = AttemptRequest { fresh_connection: true, ..request(&receiver.url()) };
    assert_eq!(error(open_transport().attempt(fresh).await.unwrap()), ConnectionReset);
    assert_eq!(receiver.connections(), 1);
}

#[actix_rt::test]
async fn an_idle_connection_that_was_closed_before_its_use_is_replaced_silently() {
    let (sender, closed) = std::sync::mpsc::channel();
    let receiver = Receiver::start(move |mut connection| {
        connection.read_request();
        connection.send(OK);
        drop(connection);
        let _ = sender.send(());
    });
    let transport = open_transport();
    for number in 1..=3 {
        assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200);
        closed.recv_timeout(super::support::PATIENCE).unwrap();
        assert_eq!(receiver.connections(), number);
    }
}

#[actix_rt::test]
async fn a_broken_response_on_a_reused_connection_is_not_requested_again() {
    let receiver = Receiver::start(|mut connection| {
        connection.read_request();
        connection.send(OK);
        connection.read_request();
        connection.send("HTTP/1.1 20");
    });
    let transport = open_transport();
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200);
    assert_eq!(error(attempt(&transport, &receiver.url()).await), ConnectionReset);
    assert_eq!(receiver.connections(), 1);
}
