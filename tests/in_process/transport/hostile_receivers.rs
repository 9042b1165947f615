//! Every receiver of the security rules' list: the right outcome, in time, and nothing left behind.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringback::domain::attempt::{AttemptError, AttemptResult, RetryOn, Verdict, judge};
use ringback::domain::time::UnixMillis;
use ringback::transport::{
    AttemptRequest, AwcTransport, BODY_EXCERPT_BYTES, HEADERS_EXCERPT_BYTES, Transport, TransportConfig,
};
use test_support::hostile::{BEHAVIOURS, Hostile, LIST, MET_IN_USE, Means, ODD_BODY, gzip_bomb};

use super::support::{Authority, Receiver, attempt, loopback_policy, request, status, transport};

const TIMEOUT: Duration = Duration::from_secs(1);
/// More than the sockets' buffers hold.
const LARGE_BODY_BYTES: usize = 16 * 1024 * 1024;

#[test]
fn the_table_has_every_receiver_of_the_security_rules_and_no_other() {
    let mut phrases: Vec<&str> = BEHAVIOURS.iter().map(|behaviour| behaviour.phrase).collect();
    phrases.dedup();
    assert_eq!(phrases, LIST.split("; ").chain(MET_IN_USE.split("; ")).collect::<Vec<_>>());
}

fn meaning(result: &AttemptResult) -> Means {
    match &result.response {
        Ok(response) => Means::Answer(response.status),
        Err(error) => Means::Error(error.as_str()),
    }
}

fn assert_harmless(hostile: &Hostile, result: &AttemptResult) {
    let Ok(response) = &result.response else { return };
    let headers: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(headers <= HEADERS_EXCERPT_BYTES && response.body.len() <= BODY_EXCERPT_BYTES, "{}", hostile.name);
    let now = UnixMillis(1_700_000_000_000);
    if let Verdict::Retry { not_before: Some(at) } = judge(&result.response, RetryOn::default(), now) {
        assert!(at <= now + Duration::from_secs(86_400), "{}: not before {at}", hostile.name);
    }
    match hostile.behaviour.phrase {
        "gzip bomb" => assert_eq!(response.body, gzip_bomb()[..BODY_EXCERPT_BYTES], "kept unchanged"),
        "NUL, invalid UTF-8 or `<script>` in body and headers" => {
            assert_eq!(&response.body[..], ODD_BODY);
            assert_eq!(response.header("x-bytes"), Some("\u{fffd}\u{fffd}"));
            assert_eq!(response.header("x-nul"), Some("a b"));
            assert_eq!(response.header("x-script"), Some("<script>alert(1)</script>"));
        }
        _ => {}
    }
}

/// Two attempts, so that the second may meet the first one's connection.
async fn two_attempts(transport: &AwcTransport, hostile: &Hostile) {
    let mut request = AttemptRequest { timeout: TIMEOUT, ..request(&hostile.url) };
    if hostile.behaviour.phrase == "never reads our body" {
        request.body = vec![b'x'; LARGE_BODY_BYTES].into();
    }
    for number in 1..=2 {
        let started = Instant::now();
        let mut result = transport.attempt(request.clone()).await.unwrap();
        if result.response == Err(AttemptError::IdleConnectionClosed) {
            // what the engine makes of it: another attempt at once
            let fresh = AttemptRequest { fresh_connection: true, ..request.clone() };
            result = transport.attempt(fresh).await.unwrap();
        }
        let took = started.elapsed();
        let meant = hostile.behaviour.means;
        assert!(meant.contains(&meaning(&result)), "{}, attempt {number}: {:?}", hostile.name, meaning(&result));
        assert!(took < TIMEOUT + Duration::from_secs(1), "{}, attempt {number}: {took:?}", hostile.name);
        assert_harmless(hostile, &result);
    }
    assert!(
        (1..=3).contains(&hostile.receiver.connections()),
        "{}: {}",
        hostile.name,
        hostile.receiver.connections()
    );
}

#[actix_rt::test]
async fn every_hostile_receiver_gets_its_outcome_in_time_and_no_connection_outlives_it() {
    let authority = Authority::new();
    let all = Hostile::all(&authority);
    let healthy = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    });
    join_all(all.iter().map(|hostile| two_attempts(&transport, hostile))).await;
    assert_eq!(status(&attempt(&transport, &healthy.url()).await), 200);
    // what was answered well may wait for its next request: nothing of it is left a minute later
    tokio::time::pause();
    for _ in 0..61 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    all.iter().for_each(Hostile::assert_every_connection_is_closed);
}
