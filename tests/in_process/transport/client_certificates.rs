//! Client certificates: who shows one, and to whom.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use ringback::domain::attempt::{AttemptError, AttemptResult, TlsFault};
use ringback::domain::credentials::{ClientCertificate, ShownCertificate};
use ringback::domain::ids::OrganizationId;
use ringback::transport::{AttemptRequest, AwcTransport, Transport, TransportConfig};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};
use zeroize::Zeroizing;

use super::support::{Authority, Receiver, loopback_policy, request, status, transport};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn client_of(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Arc<ClientCertificate> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    change(&mut params);
    let made = params.signed_by(&key, &authority.issuer).unwrap();
    let chain = vec![made.der().to_vec()];
    Arc::new(ClientCertificate::new(chain, Zeroizing::new(key.serialize_der())).unwrap())
}

/// Requires a certificate of this authority.
fn strict_receiver(authority: &Authority, version: &'static SupportedProtocolVersion) -> Receiver {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wanting = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    Receiver::start_tls(authority.server_wanting("127.0.0.1", version, wanting), |mut connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        // never closed: a reset could overtake the alert
        std::mem::forget(connection);
    })
}

fn trusting(authority: &Authority) -> AwcTransport {
    transport(TransportConfig {
        policy: loopback_policy(),
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    })
}

fn shown_by(organization: i64, certificate: &Arc<ClientCertificate>) -> ShownCertificate {
    ShownCertificate { organization_id: OrganizationId(organization), certificate: Arc::clone(certificate) }
}

async fn send(transport: &AwcTransport, url: &str, shown: Option<&Arc<ClientCertificate>>) -> AttemptResult {
    send_of(1, transport, url, shown).await
}

async fn send_of(
    organization: i64,
    transport: &AwcTransport,
    url: &str,
    shown: Option<&Arc<ClientCertificate>>,
) -> AttemptResult {
    let client_certificate = shown.map(|certificate| shown_by(organization, certificate));
    let request = AttemptRequest { client_certificate, ..request(url) };
    transport.attempt(request).await.expect("this machine lacks nothing")
}

#[actix_rt::test]
async fn a_receiver_gets_the_certificate_of_the_webhook_and_no_other_webhook_profits_from_it() {
    let (authority, stranger) = (Authority::new(), Authority::named("A stranger"));
    let (ours, theirs) = (client_of(&authority, |_| {}), client_of(&stranger, |_| {}));
    for version in VERSIONS {
        let receiver = strict_receiver(&authority, version);
        let (transport, url) = (trusting(&authority), receiver.https_url());
        for _ in 0..2 {
            assert_eq!(status(&send(&transport, &url, Some(&ours)).await), 200, "{version:?}");
        }
        assert_eq!(receiver.connections(), 1, "its own connection is used again");
        // that connection is idle now, and its TLS session could be resumed
        let without = send(&transport, &url, None).await;
        assert_eq!(without.response, Err(AttemptError::TlsFailure(TlsFault::ClientCertificate)), "{version:?}");
        let other = send(&transport, &url, Some(&theirs)).await;
        let refused = Err(AttemptError::TlsFailure(TlsFault::ClientCertificateRefused));
        assert_eq!(other.response, refused, "{version:?}");
        assert_eq!(receiver.connections(), 3);
        assert_eq!(status(&send(&transport, &url, Some(&ours)).await), 200, "{version:?}");
    }
}

#[actix_rt::test]
async fn two_organizations_with_the_same_certificate_have_connections_of_their_own() {
    let authority = Authority::new();
    let receiver = strict_receiver(&authority, &rustls::version::TLS13);
    let (transport, url, same) = (trusting(&authority), receiver.https_url(), client_of(&authority, |_| {}));
    for (organization, connections) in [(1, 1), (2, 2), (1, 2), (2, 2)] {
        assert_eq!(status(&send_of(organization, &transport, &url, Some(&same)).await), 200);
        assert_eq!(receiver.connections(), connections);
    }
}

#[actix_rt::test]
async fn a_replaced_certificate_is_shown_by_the_next_attempt() {
    let authority = Authority::new();
    let receiver = strict_receiver(&authority, &rustls::version::TLS13);
    let (transport, url) = (trusting(&authority), receiver.https_url());
    for connections in 1..=3 {
        let renewed = client_of(&authority, |_| {});
        assert_eq!(status(&send(&transport, &url, Some(&renewed)).await), 200);
        assert_eq!(receiver.connections(), connections);
    }
}

#[actix_rt::test]
async fn a_certificate_that_expired_is_refused_by_the_receiver_and_reported_as_that() {
    let authority = Authority::new();
    let expired = client_of(&authority, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for version in VERSIONS {
        let receiver = strict_receiver(&authority, version);
        let result = send(&trusting(&authority), &receiver.https_url(), Some(&expired)).await;
        let refused = Err(AttemptError::TlsFailure(TlsFault::ClientCertificateRefused));
        assert_eq!(result.response, refused, "{version:?}");
    }
}

#[actix_rt::test]
async fn a_fresh_connection_shows_the_certificate_too() {
    let authority = Authority::new();
    let receiver = strict_receiver(&authority, &rustls::version::TLS13);
    let (transport, ours) = (trusting(&authority), client_of(&authority, |_| {}));
    for connections in 1..=2 {
        let fresh = AttemptRequest {
            client_certificate: Some(shown_by(1, &ours)),
            fresh_connection: true,
            ..request(&receiver.https_url())
        };
        assert_eq!(status(&transport.attempt(fresh).await.unwrap()), 200);
        assert_eq!(receiver.connections(), connections);
    }
}

#[actix_rt::test]
async fn a_receiver_that_does_not_ask_gets_the_request_as_ever() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), |mut connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    let ours = client_of(&authority, |_| {});
    assert_eq!(status(&send(&trusting(&authority), &receiver.https_url(), Some(&ours)).await), 204);
}

#[actix_rt::test]
async fn a_key_that_does_not_fit_sends_nothing() {
    let authority = Authority::new();
    let receiver = strict_receiver(&authority, &rustls::version::TLS13);
    let chain = client_of(&authority, |_| {}).chain().to_vec();
    let key = Zeroizing::new(KeyPair::generate().unwrap().serialize_der());
    let mixed = Arc::new(ClientCertificate::new(chain, key).unwrap());
    let result = send(&trusting(&authority), &receiver.https_url(), Some(&mixed)).await;
    assert_eq!(result.response, Err(AttemptError::InvalidRequest));
    assert_eq!(receiver.connections(), 0);
}
