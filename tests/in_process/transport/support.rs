//! A transport to test, and what it is tested against.

use std::time::Duration;

use bytes::Bytes;
use ringback::domain::attempt::AttemptResult;
use ringback::domain::target::TargetPolicy;
use ringback::transport::{AttemptRequest, AwcTransport, Transport, TransportConfig};
pub(crate) use test_support::authority::{Authority, self_signed_server, self_signed_with, server_of};
pub(crate) use test_support::name_server::{NameServer, Question, Reply};
pub(crate) use test_support::raw_receiver::{Connection, PATIENCE, Receiver};

pub(crate) fn loopback_policy() -> TargetPolicy {
    TargetPolicy {
        allow_http: true,
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..TargetPolicy::default()
    }
}

pub(crate) fn transport(config: TransportConfig) -> AwcTransport {
    AwcTransport::new(config).expect("a transport")
}

/// A transport that may reach the receivers of these tests.
pub(crate) fn open_transport() -> AwcTransport {
    transport(TransportConfig { policy: loopback_policy(), ..TransportConfig::default() })
}

pub(crate) fn request(url: &str) -> AttemptRequest {
    AttemptRequest {
        url: url.into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout: Duration::from_secs(5),
        fresh_connection: false,
        client_certificate: None,
        oauth2: None,
    }
}

pub(crate) async fn attempt(transport: &AwcTransport, url: &str) -> AttemptResult {
    transport.attempt(request(url)).await.expect("this machine lacks nothing")
}

pub(crate) async fn attempt_within(transport: &AwcTransport, url: &str, timeout: Duration) -> AttemptResult {
    transport.attempt(AttemptRequest { timeout, ..request(url) }).await.expect("this machine lacks nothing")
}

pub(crate) fn status(result: &AttemptResult) -> u16 {
    result.response.as_ref().expect("an answer").status
}
