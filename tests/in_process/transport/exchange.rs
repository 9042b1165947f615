//! What is sent, what is kept of the answer, and how connections are used again.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use ringback::domain::attempt::{AttemptError, DnsFault};
use ringback::transport::{AttemptRequest, BODY_EXCERPT_BYTES, HEADERS_EXCERPT_BYTES, Transport, TransportConfig};

use socket2::{Domain, Socket, Type};

use super::support::{
    Authority, Connection, NameServer, Receiver, attempt, attempt_within, loopback_policy, open_transport,
    request, status, transport,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[actix_rt::test]
async fn the_body_and_the_headers_arrive_unchanged() {
    let receiver = Receiver::answering(OK);
    let body = Bytes::from_static(b"{\"n\":1e400, \"s\":\"\\u00e9\"}\n");
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", "Ringback/0.1.0"),
        ("webhook-signature", "v1,AAAA v1,BBBB"),
        ("x-custom", "first"),
        ("x-custom", "second"),
    ];
    let headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
    let url = format!("http://{}/a%20b/c?d=e&f#fragment", receiver.address);
    let sent = AttemptRequest { body: body.clone(), headers, ..request(&url) };
    let result = open_transport().attempt(sent).await.unwrap();

    assert_eq!(status(&result), 200);
    let request = receiver.next_request();
    let (head, received) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(received.as_bytes(), &body[..]);
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("POST /a%20b/c?d=e&f HTTP/1.1"));
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("date: ")).collect();
    let host = format!("host: {}", receiver.address);
    let length = format!("content-length: {}", body.len());
    let expected = [
        host.as_str(),
        length.as_str(),
        "content-type: application/json",
        "user-agent: Ringback/0.1.0",
        "webhook-signature: v1,AAAA v1,BBBB",
        "x-custom: first",
        "x-custom: second",
    ];
    assert_eq!(lines, expected, "and nothing else, such as an accept-encoding of awc");
}

#[actix_rt::test]
async fn host_comes_first_and_the_other_headers_in_one_order_with_every_request() {
    let authority = Authority::new();
    let answer_all = |mut connection: Connection| {
        while connection.read_request().is_some() {
            connection.send(OK);
        }
    };
    let plain = Receiver::start(answer_all);
    let secured = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), answer_all);
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    });
    // more headers than one read takes in one piece, and a body behind them that is sent in pieces
    let headers: Vec<_> =
        (0..20).map(|number| (format!("x-{:02}", 19 - number).into(), "y".repeat(200).into())).collect();
    for (receiver, url) in [(&plain, plain.url()), (&secured, secured.https_url())] {
        let mut seen = Vec::new();
        for number in 0..10 {
            let body = Bytes::from(vec![b'x'; [10, 100_000][number % 2]]);
            let sent = AttemptRequest { headers: headers.clone(), body: body.clone(), ..request(&url) };
            assert_eq!(status(&transport.attempt(sent).await.unwrap()), 200);
            let request = receiver.next_request();
            let (head, received) = request.split_once("\r\n\r\n").unwrap();
            assert_eq!(received.as_bytes(), &body[..]);
            let names: Vec<_> =
                head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_owned()).collect();
            assert_eq!(names[0], "host");
            assert!(names[1..].is_sorted() && names.len() >= 22, "{names:?}");
            seen.push(names);
        }
        seen.dedup();
        assert_eq!((seen.len(), receiver.connections()), (1, 1));
    }
}

#[actix_rt::test]
async fn a_large_body_arrives_whole() {
    let receiver = Receiver::answering(OK);
    let body = Bytes::from(vec![b'x'; 10 * 1024 * 1024]);
    let result =
        open_transport().attempt(AttemptRequest { body: body.clone(), ..request(&receiver.url()) }).await.unwrap();
    assert_eq!(status(&result), 200);
    assert!(receiver.next_request().ends_with(std::str::from_utf8(&body).unwrap()));
}

#[actix_rt::test]
async fn a_url_or_header_that_can_not_be_sent_is_an_invalid_request() {
    let receiver = Receiver::answering(OK);
    for (name, value) in [("x y", "z"), ("x", "a\r\nb: c"), ("Host", "other"), ("content-length", "1")] {
        let headers = vec![(name.into(), value.into())];
        let result =
            open_transport().attempt(AttemptRequest { headers, ..request(&receiver.url()) }).await.unwrap();
        assert_eq!(result.response, Err(AttemptError::InvalidRequest), "{name}: {value}");
    }
    for url in ["", "receiver", "http://", "ftp://127.0.0.1/", "http://user@127.0.0.1:8080/"] {
        assert_eq!(attempt(&open_transport(), url).await.response, Err(AttemptError::InvalidRequest), "{url}");
    }
}

#[actix_rt::test]
async fn the_beginning_of_the_response_is_kept() {
    let many: String = (0..60).map(|number| format!("x-{number}: {}\r\n", "y".repeat(400))).collect();
    let body = "z".repeat(BODY_EXCERPT_BYTES * 3);
    let receiver = Receiver::answering(format!(
        "HTTP/1.1 503 Busy\r\nSet-Cookie: a\r\nset-cookie: b\r\n{many}Retry-After: 120\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let response = attempt(&open_transport(), &receiver.url()).await.response.unwrap();
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("120"));
    let bytes: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes <= HEADERS_EXCERPT_BYTES && bytes > HEADERS_EXCERPT_BYTES / 2, "{bytes}");
    assert_eq!(response.body, body.as_bytes()[..BODY_EXCERPT_BYTES]);
}

#[actix_rt::test]
async fn retry_after_is_kept_among_any_number_of_other_headers() {
    // 32 of these fill the excerpt to the last byte, and awc hands them out in any order
    let many: String = (10..90).map(|number| format!("x-{number}: {}\r\n", "y".repeat(252))).collect();
    let receiver = Receiver::answering(format!("HTTP/1.1 304 x\r\n{many}Retry-After: 120\r\n\r\n"));
    let transport = open_transport();
    for _ in 0..20 {
        let response = attempt(&transport, &receiver.url()).await.response.unwrap();
        assert_eq!(response.header("retry-after"), Some("120"));
        assert!(response.headers.len() >= 31);
    }
}

#[actix_rt::test]
async fn a_redirect_is_a_response_and_is_not_followed() {
    let canary = Receiver::answering(OK);
    let receiver = Receiver::answering(format!(
        "HTTP/1.1 307 Elsewhere\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        canary.url()
    ));
    let result = attempt(&open_transport(), &receiver.url()).await;
    assert_eq!(status(&result), 307);
    assert_eq!((receiver.connections(), canary.connections()), (1, 0));
}

#[actix_rt::test]
async fn a_connection_is_reused_whatever_the_framing_of_the_response() {
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let receiver = Receiver::answering(answer);
        let transport = open_transport();
        for _ in 0..3 {
            assert!(matches!(status(&attempt(&transport, &receiver.url()).await), 200 | 204), "{answer}");
        }
        assert_eq!(receiver.connections(), 1, "{answer}");
    }
}

#[actix_rt::test]
async fn five_hundred_hanging_attempts_do_not_hold_up_another_endpoint() {
    let hanging = Receiver::start(|mut connection| connection.hold());
    let healthy = Receiver::answering(OK);
    let transport = open_transport();
    let url = hanging.url();
    let held: Vec<_> = (0..500)
        .map(|_| {
            let (transport, url) = (transport.clone(), url.clone());
            actix_rt::spawn(async move { attempt_within(&transport, &url, Duration::from_secs(60)).await })
        })
        .collect();
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    while hanging.connections() < 500 {
        assert!(std::time::Instant::now() < deadline, "{} connections", hanging.connections());
        tokio::task::yield_now().await;
    }
    let result = attempt(&transport, &healthy.url()).await;
    assert_eq!(status(&result), 200);
    assert!(result.duration < Duration::from_secs(1), "{:?}", result.duration);
    held.into_iter().for_each(|task| task.abort());
}

#[actix_rt::test]
async fn a_name_is_looked_up_fully_qualified_at_the_configured_servers() {
    let receiver = Receiver::answering(OK);
    let names = NameServer::start(|name| match name {
        "receiver.example." | "single." => Some(vec![IpAddr::from([127, 0, 0, 1])]),
        _ => Some(Vec::new()),
    });
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ..TransportConfig::default()
    });
    let url = |name: &str| format!("http://{name}:{}/", receiver.address.port());
    assert_eq!(status(&attempt(&transport, &url("receiver.example")).await), 200);
    assert!(receiver.next_request().contains(&format!("host: receiver.example:{}\r\n", receiver.address.port())));
    assert_eq!(status(&attempt(&transport, &url("single")).await), 200);
    let missing = attempt(&transport, &url("missing.example")).await;
    assert_eq!(missing.response, Err(AttemptError::DnsFailure(DnsFault::NoSuchName)));
    assert_eq!(names.names(), ["missing.example.", "receiver.example.", "single."]);
}

#[actix_rt::test]
async fn when_one_address_of_a_name_refuses_the_next_one_is_tried() {
    let receiver = Receiver::answering(OK);
    for addresses in [[2, 1], [1, 2]] {
        let names =
            NameServer::start(move |_| Some(addresses.map(|last| IpAddr::from([127, 0, 0, last])).to_vec()));
        let transport = transport(TransportConfig {
            policy: loopback_policy(),
            dns_servers: vec![names.address],
            ..TransportConfig::default()
        });
        let url = format!("http://two.example:{}/", receiver.address.port());
        assert_eq!(status(&attempt(&transport, &url).await), 200);
    }
}

#[actix_rt::test]
async fn when_one_address_of_a_name_does_not_respond_the_next_one_is_tried_in_parallel() {
    let receiver = Receiver::answering(OK);
    let full = SocketAddr::from(([127, 0, 0, 2], receiver.address.port()));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&full.into()).unwrap();
    listener.listen(0).unwrap();
    // the system lets nobody in beyond the queue: once one connect hangs, all do
    let mut queued = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&full, Duration::from_millis(500)) {
        queued.push(connection);
        assert!(queued.len() < 100, "the queue is never full");
    }
    let names = NameServer::start(|_| Some(vec![[127, 0, 0, 2].into(), [127, 0, 0, 1].into()]));
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ..TransportConfig::default()
    });
    let result = attempt(&transport, &format!("http://two.example:{}/", receiver.address.port())).await;
    assert_eq!(status(&result), 200);
    assert!(result.duration >= Duration::from_millis(200), "the first address hangs: {:?}", result.duration);
    drop((listener, queued));
}

#[test]
fn every_thread_can_make_attempts_with_clones_of_one_transport() {
    let receiver = Receiver::answering(OK);
    let transport = open_transport();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (transport, url) = (transport.clone(), receiver.url());
            scope.spawn(move || {
                // two runtimes after one another on one thread share nothing
                for _ in 0..2 {
                    actix_rt::System::new().block_on(async {
                        assert_eq!(status(&attempt(&transport, &url).await), 200);
                    });
                }
            });
        }
    });
    assert_eq!(receiver.connections(), 6);
}

#[actix_rt::test]
async fn a_name_server_that_never_replies_is_a_dns_failure_or_a_timeout_whichever_is_first() {
    let silent = NameServer::start(|_| None);
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![silent.address],
        ..TransportConfig::default()
    });
    let started = std::time::Instant::now();
    let result = attempt_within(&transport, "http://receiver.example:9000/", Duration::from_secs(1)).await;
    assert_eq!(result.response, Err(AttemptError::Timeout));
    assert!(started.elapsed() < Duration::from_secs(2));
    let result = attempt_within(&transport, "http://receiver.example:9000/", Duration::from_secs(10)).await;
    assert_eq!(result.response, Err(AttemptError::DnsFailure(DnsFault::Silence)));
    assert!(result.duration < Duration::from_secs(10));
}

#[actix_rt::test]
async fn localhost_is_reached_when_only_one_loopback_address_is_allowed() {
    let receiver = Receiver::answering(OK);
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(status(&attempt(&open_transport(), &url).await), 200);
}

#[actix_rt::test]
async fn the_duration_ends_with_the_head() {
    let receiver = Receiver::start(|mut connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        connection.hold();
    });
    let result = attempt_within(&open_transport(), &receiver.url(), Duration::from_secs(1)).await;
    assert_eq!(&result.response.unwrap().body[..], b"half");
    assert!(result.duration < Duration::from_millis(900), "{:?}", result.duration);
}

#[actix_rt::test]
async fn an_idle_connection_is_closed_even_if_its_host_gets_no_further_request() {
    let (sender, closed) = std::sync::mpsc::channel();
    let receiver = Receiver::start(move |mut connection| {
        connection.read_request();
        connection.send(OK);
        connection.hold();
        let _ = sender.send(());
    });
    let transport = open_transport();
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200);
    tokio::time::pause();
    for _ in 0..61 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    closed.recv_timeout(super::support::PATIENCE).expect("closed within a minute");
    tokio::time::resume();
    assert_eq!(status(&attempt(&transport, &receiver.url()).await), 200, "and the thread starts again");
    assert_eq!(receiver.connections(), 2);
}
