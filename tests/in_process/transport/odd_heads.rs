//! Heads with lines that are no headers: the line is dropped, the status decides. RFC 9112 is what a receiver should
//! keep to; a PHP warning in the head says nothing about whether the event arrived.

use std::time::Duration;

use futures_util::future::join_all;
use ringback::domain::attempt::{RetryOn, Verdict, judge};
use ringback::domain::time::UnixMillis;
use ringback::transport::TransportConfig;

use super::support::{
    Authority, Receiver, attempt, attempt_within, loopback_policy, open_transport, status, transport,
};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

/// Each is added to a good head.
const ODD_LINES: &[&[u8]] = &[
    b"a b: c",
    b"PHP Warning:  Undefined variable $x in /srv/hook.php on line 3",
    b"Mon, 16 Dec 2024 10:31:45 GMT",
    b"<html><body>oops</body></html>",
    b"no colon",
    b"a@b: c",
    b"a(b): c",
    b"a/b: c",
    b"a=b: c",
    b"\"a\": c",
    b"[a]: c",
    b"{a}: c",
    b"<a>: c",
    b"a,b: c",
    b"a\0b: c",
    b"a: b\0c",
    b"\xc3\xa4: c",
    b"\xff\xfe: c",
    b": no name",
    b":",
    b" begins with a blank: x",
    b"\tbegins with a tab",
    b" ",
    b"\0",
    b"\x1b[31m: c",
    b"a\x7f: b\x7f",
    b"a: b\rc: d",
    b"\r",
    b"HTTP/1.1 500 again",
    b"content-length 5",
    b"content-length\0: 5",
    b"transfer encoding: chunked",
    b"host: a\r\nhost: b",
    b"upgrade: websocket",
    b"expect: 100-continue",
];

/// How the two bytes of the body are framed; the first is a header line.
const FRAMINGS: &[(&str, &str)] = &[
    ("content-length: 2", "no"),
    ("transfer-encoding: chunked", "2\r\nno\r\n0\r\n\r\n"),
    ("transfer-encoding: chunked", "2\r\nno\r\n0\r\nno colon\n\0: \r x\r\na b: c\n\r\n"),
];

fn answers_with(odd: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut answers = Vec::new();
    for code in [200_u16, 204, 410, 429, 503] {
        for (number, (framing, body)) in FRAMINGS.iter().enumerate() {
            let good = format!("{framing}\r\nretry-after: 120");
            let lines = match number {
                0 => [odd, good.as_bytes()],
                _ => [good.as_bytes(), odd],
            };
            let mut answer = b"HTTP/1.1 103 Early Hints\r\n".repeat(number % 2);
            if !answer.is_empty() {
                answer.extend_from_slice(&[odd, b"\r\n\r\n"].concat());
            }
            answer.extend_from_slice(format!("HTTP/1.1 {code} x\r\n").as_bytes());
            answer.extend_from_slice(&[&lines.join(&b"\r\n"[..])[..], b"\r\n\r\n"].concat());
            answer.extend_from_slice(if code == 204 { b"" } else { body.as_bytes() });
            answers.push((code, answer));
        }
    }
    answers
}

async fn assert_understood(answers: Vec<(u16, Vec<u8>)>, authority: Option<&Authority>) {
    let config = TransportConfig { policy: loopback_policy(), ..TransportConfig::default() };
    let transport = transport(TransportConfig { ca_file: authority.map(|it| it.file.clone()), ..config });
    let attempts = answers.into_iter().map(async |(code, answer)| {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let respond = move |mut connection: super::support::Connection| {
            while connection.read_request().is_some() {
                connection.send(&answer);
            }
        };
        let (receiver, url) = match authority {
            Some(authority) => {
                let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), respond);
                let url = receiver.https_url();
                (receiver, url)
            }
            None => {
                let receiver = Receiver::start(respond);
                let url = receiver.url();
                (receiver, url)
            }
        };
        // twice: what is left of the first answer must not be taken for the second
        for _ in 0..2 {
            let result = attempt(&transport, &url).await;
            let response = result.response.as_ref().unwrap_or_else(|error| panic!("{error:?}: {shown:?}"));
            assert_eq!(response.status, code, "{shown:?}");
            assert_eq!(response.header("retry-after"), Some("120"), "{shown:?}");
            assert_eq!(&response.body[..], if code == 204 { &b""[..] } else { b"no" }, "{shown:?}");
            let expected = match code {
                200 | 204 => Verdict::Success,
                410 => Verdict::Gone,
                _ => Verdict::Retry { not_before: Some(NOW + Duration::from_secs(120)) },
            };
            assert_eq!(judge(&result.response, RetryOn::default(), NOW), expected, "{shown:?}");
        }
        assert!(receiver.connections() <= 2, "{shown:?}");
    });
    join_all(attempts).await;
}

#[actix_rt::test]
async fn a_line_that_is_not_a_header_is_dropped_and_the_status_decides() {
    for odd in ODD_LINES {
        assert_understood(answers_with(odd), None).await;
    }
}

#[actix_rt::test]
async fn a_line_that_is_not_a_header_is_dropped_over_tls_too() {
    let authority = Authority::new();
    let answers = ODD_LINES.iter().map(|odd| answers_with(odd).swap_remove(6)).collect();
    assert_understood(answers, Some(&authority)).await;
}

#[actix_rt::test]
async fn heads_at_the_limits_of_the_parser_are_understood() {
    let long_name = format!("{}: x", "n".repeat(65_536));
    let long_value = format!("x: {}", "y".repeat(60_000));
    let long_line = "no colon ".repeat(6_000);
    let connection = "connection: keep-alive\r\n".repeat(200) + "x: y";
    let many = (0..500).map(|number| format!("x-{number}: y")).collect::<Vec<_>>().join("\r\n");
    let odd = (0..500).map(|number| format!("x {number} y")).collect::<Vec<_>>().join("\n");
    let folds = "x: y\n".to_owned() + &" z\n".repeat(20_000) + "x: y";
    let empty_folds = "retry-after:\n".to_owned() + &" \n".repeat(30_000) + " 120";
    let answers = [long_name, long_value, long_line, connection, many, odd, folds, empty_folds].map(|lines| {
        let head = format!("HTTP/1.1 503 x\r\n{lines}\r\nretry-after: 120\r\ncontent-length: 2\r\n\r\nno");
        (503, head.into_bytes())
    });
    assert_understood(answers.into(), None).await;
}

#[actix_rt::test]
async fn an_odd_status_line_counts_as_long_as_it_has_a_status() {
    let rest = "retry-after: 120\r\ncontent-length: 2\r\n\r\nno";
    let lines = [
        "HTTP/1.1 503\r\n",
        "HTTP/1.1 503 \r\n",
        "HTTP/1.1  503 Busy\r\n",
        "HTTP/1.1 503\tBusy\r\n",
        "HTTP/1.1 503 \0\x1b[31m\x7f\r\n",
        "HTTP/1.1 503 B\u{fc}sy \u{1f600}\r\n",
        "HTTP/1.1 503 a\rb: c\r\n",
        "http/1.1 503 Busy\r\n",
        "HTTP/1.2 503 Busy\n",
        "HTTP/1.1 503\r\n continued\r\n",
        "\r\n\nHTTP/1.1 503 Busy\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 503 Busy\r\n",
    ];
    let answers = lines.map(|line| (503, format!("{line}{rest}").into_bytes()));
    assert_understood(answers.into(), None).await;
    let latin = [&b"HTTP/1.1 503 B\xfcsy\r\n"[..], rest.as_bytes()].concat();
    assert_understood(vec![(503, latin)], None).await;
}

/// What a proxy in front of the receiver could have read as the end of the body, or as no end.
#[actix_rt::test]
async fn a_connection_whose_head_had_a_dropped_line_is_closed_and_not_reused() {
    for odd in
        ["content-length 0", "transfer encoding: chunked", " content-length: 0", "x: y\rcontent-length: 0", "a b"]
    {
        let (sender, closed) = tokio::sync::mpsc::unbounded_channel();
        let receiver = Receiver::start(move |mut connection| {
            connection.read_request();
            connection.send(format!("HTTP/1.1 500 x\r\n{odd}\r\ncontent-length: 2\r\n\r\nno"));
            let _ = sender.send(connection.is_closed_in_time());
        });
        let mut closed = closed;
        let transport = open_transport();
        for connections in 1..=2 {
            let response = attempt(&transport, &receiver.url()).await.response.unwrap();
            assert_eq!((response.status, &response.body[..]), (500, &b"no"[..]), "{odd}");
            assert_eq!(response.header("connection"), None, "what makes awc close it is not in the log");
            assert_eq!(closed.recv().await, Some(true), "{odd}: at once, not when its host is asked again");
            assert_eq!(receiver.connections(), connections, "{odd}");
        }
    }
}

#[actix_rt::test]
async fn a_chunked_body_ends_after_trailers_of_any_kind_without_waiting_and_the_connection_is_reused() {
    for trailers in [
        "\r\n",
        "a: b\r\n\r\n",
        "no colon\r\n\r\n",
        "a b: c\r\n\0\r\n\r\n",
        "\n",
        "a: b\n\n",
        "\n\r\n",
        "\ra\r\n\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailers}");
        // byte by byte as well
        for is_slow in [false, true] {
            let answer = answer.clone();
            let receiver = Receiver::start(move |mut connection| {
                while connection.read_request().is_some() {
                    let pieces = if is_slow { 1 } else { answer.len() };
                    answer.as_bytes().chunks(pieces).for_each(|piece| {
                        connection.send(piece);
                    });
                }
            });
            let transport = open_transport();
            for _ in 0..2 {
                let timeout = Duration::from_secs(30);
                let started = std::time::Instant::now();
                let response = attempt_within(&transport, &receiver.url(), timeout).await.response.unwrap();
                assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]), "{trailers:?}");
                assert!(started.elapsed() < timeout / 2, "{trailers:?}: {:?}", started.elapsed());
            }
            let is_extra = trailers == "\n\r\n";
            assert!(is_extra || receiver.connections() == 1, "{trailers:?}: {}", receiver.connections());
        }
    }
}

#[actix_rt::test]
async fn status_and_headers_count_whatever_the_body_does() {
    for (framing, body) in [
        ("transfer-encoding: chunked", "not a chunk"),
        ("transfer-encoding: chunked", "5\r\nhello!!\r\n"),
        ("transfer-encoding: chunked", "5\nhello\n0\n\n"),
        ("transfer-encoding: chunked", "2\r\nno\r\n0\r\n\0\rx"),
        ("transfer-encoding: chunked\r\ncontent-length: 3", "fffffffffffffffff\r\n"),
        ("content-length: 100", "short"),
        ("content-length: 1, 2", ""),
        ("content-length: nan", "x"),
        ("no framing", "x"),
    ] {
        for code in [200, 204, 304, 400, 410, 429, 503] {
            let answer = format!("HTTP/1.1 {code} x\r\n{framing}\r\nretry-after: 120\r\n\r\n{body}");
            let receiver = Receiver::start(move |mut connection| {
                connection.read_request();
                connection.send(&answer);
            });
            let result = attempt(&open_transport(), &receiver.url()).await;
            assert_eq!(status(&result), code, "{framing}: {body}");
            assert_eq!(result.response.unwrap().header("retry-after"), Some("120"), "{framing}: {body}");
        }
    }
}
