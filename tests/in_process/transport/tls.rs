//! Certificates.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use ringback::domain::attempt::{AttemptError, Response, TlsFault};
use ringback::domain::time::UnixMillis;
use ringback::transport::{AwcTransport, TransportConfig, TransportSetupError};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::support::{
    Authority, Connection, NameServer, Receiver, attempt, loopback_policy, self_signed_server, self_signed_with,
    server_of, status, transport,
};

fn answer_all(mut connection: Connection) {
    while connection.read_request().is_some() {
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}

fn trusting(authority: &Authority) -> AwcTransport {
    transport(TransportConfig {
        policy: loopback_policy(),
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    })
}

#[actix_rt::test]
async fn a_certificate_of_a_trusted_authority_is_accepted_and_the_connection_reused() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), answer_all);
    let transport = trusting(&authority);
    for _ in 0..3 {
        let response = attempt(&transport, &receiver.https_url()).await.response.unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    }
    assert_eq!(receiver.connections(), 1);
}

#[actix_rt::test]
async fn a_tls_connection_that_the_receiver_closes_as_it_is_reused_is_distinguished_from_one_that_was_reset() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), |mut connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        // reads the second request, so that the close can't be seen before it is sent
        connection.read_request();
    });
    let transport = trusting(&authority);
    for connections in 1..=3 {
        assert_eq!(status(&attempt(&transport, &receiver.https_url()).await), 200);
        assert_eq!(receiver.connections(), connections);
        let again = attempt(&transport, &receiver.https_url()).await;
        assert_eq!(again.response, Err(AttemptError::IdleConnectionClosed));
    }
}

#[actix_rt::test]
async fn bytes_after_a_response_are_never_taken_for_the_response_to_a_later_request_under_tls() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), |mut connection| {
        while connection.read_request().is_some() {
            connection.send(
                "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            );
        }
    });
    let transport = trusting(&authority);
    for connections in 1..=3 {
        assert_eq!(status(&attempt(&transport, &receiver.https_url()).await), 500);
        assert_eq!(receiver.connections(), connections);
    }
}

#[actix_rt::test]
async fn a_certificate_is_checked_against_the_name_in_the_url() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("receiver.example", |_| {}), answer_all);
    let names = NameServer::start(|_| Some(vec![[127, 0, 0, 1].into()]));
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    });
    let url = |name: &str| format!("https://{name}:{}/", receiver.address.port());
    assert_eq!(status(&attempt(&transport, &url("receiver.example")).await), 200);
    let other = attempt(&transport, &url("other.example")).await;
    assert_eq!(other.response, failed(TlsFault::WrongName));
    assert_eq!(attempt(&transport, &receiver.https_url()).await.response, failed(TlsFault::WrongName));
}

fn failed(fault: TlsFault) -> Result<Response, AttemptError> {
    Err(AttemptError::TlsFailure(fault))
}

/// Of a day; what is stored and shown has no more.
fn at(year: i32) -> UnixMillis {
    UnixMillis(rcgen::date_time_ymd(year, 1, 1).unix_timestamp() * 1000)
}

#[actix_rt::test]
async fn a_refused_certificate_is_a_tls_failure_with_its_reason() {
    let (authority, stranger) = (Authority::new(), Authority::named("A stranger"));
    let of_the_same_name = Authority::new();
    let (intermediate, strange) = (authority.intermediate(), stranger.intermediate());
    let address = "127.0.0.1";
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let for_clients =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let as_authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cases: [(&str, ServerConfig, TlsFault); 13] = [
        ("expired", authority.server(address, expired), TlsFault::Expired(at(2020))),
        ("early", authority.server(address, early), TlsFault::NotYetValid(at(2090))),
        ("wrong address", authority.server("127.0.0.2", |_| {}), TlsFault::WrongName),
        ("self-signed", self_signed_server(address), TlsFault::SelfSigned),
        ("self-signed by openssl", self_signed_with(address, as_authority), TlsFault::SelfSigned),
        ("stranger, leaf alone", stranger.server(address, |_| {}), TlsFault::MissingIntermediate),
        ("stranger of the same name", of_the_same_name.server(address, |_| {}), TlsFault::MissingIntermediate),
        ("stranger", server_of(&stranger.issuer, address, &[&stranger.issuer]), TlsFault::UnknownAuthority),
        ("stranger's intermediate", server_of(&strange, address, &[&strange]), TlsFault::UnknownAuthority),
        ("leaf alone", server_of(&intermediate, address, &[]), TlsFault::MissingIntermediate),
        (
            "another intermediate",
            server_of(&intermediate, address, &[&stranger.issuer]),
            TlsFault::MissingIntermediate,
        ),
        ("for clients", authority.server(address, for_clients), TlsFault::UnusableCertificate),
        ("an authority's own", authority.server(address, as_authority), TlsFault::UnusableCertificate),
    ];
    let transport = trusting(&authority);
    for (case, config, fault) in cases {
        let receiver = Receiver::start_tls(config, answer_all);
        let result = attempt(&transport, &receiver.https_url()).await;
        assert_eq!(result.response, failed(fault), "{case}");
        assert!(receiver.connections() > 0, "{case}");
    }
    let whole = Receiver::start_tls(server_of(&intermediate, address, &[&intermediate]), answer_all);
    assert_eq!(status(&attempt(&transport, &whole.https_url()).await), 200, "the full chain");
}

#[actix_rt::test]
async fn a_receiver_without_compatible_tls_gets_no_request_and_the_failure_has_its_reason() {
    let alert = |description: u8| vec![21, 3, 3, 0, 2, 2, description];
    let tls_1_0: Vec<u8> = [&[22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    for (case, answer, fault) in [
        ("HTTP", text("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), TlsFault::PlainText),
        ("HTTP/0.9", text("<!DOCTYPE HTML><h1>Error"), TlsFault::PlainText),
        ("mail", text("220 mail.example ESMTP\r\n"), TlsFault::PlainText),
        ("TLS 1.0", tls_1_0, TlsFault::ProtocolVersion),
        ("protocol_version", alert(70), TlsFault::ProtocolVersion),
        ("handshake_failure", alert(40), TlsFault::NothingInCommon),
        ("insufficient_security", alert(71), TlsFault::NothingInCommon),
        ("unrecognized_name", alert(112), TlsFault::UnrecognizedName),
        ("certificate_required", alert(116), TlsFault::ClientCertificate),
        ("internal_error", alert(80), TlsFault::Alert),
        ("closes", Vec::new(), TlsFault::Closed),
    ] {
        let receiver = Receiver::start(move |mut connection| {
            // the whole client's hello, so that closing is no reset
            let _ = connection.channel.read(&mut [0; 4096]);
            if !answer.is_empty() {
                connection.send(&answer);
                connection.hold();
            }
        });
        let result = attempt(&trusting(&Authority::new()), &receiver.https_url()).await;
        assert_eq!(result.response, failed(fault), "{case}");
    }
}

#[actix_rt::test]
async fn a_receiver_that_requires_a_client_certificate_is_recognized_during_or_after_the_handshake() {
    let authority = Authority::new();
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wanting =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = authority.server_wanting("127.0.0.1", version, Arc::clone(&wanting));
        let receiver = Receiver::start_tls(config, |mut connection| {
            connection.read_request();
            // never closed: a reset could overtake the alert
            std::mem::forget(connection);
        });
        let result = attempt(&trusting(&authority), &receiver.https_url()).await;
        assert_eq!(result.response, failed(TlsFault::ClientCertificate), "{version:?}");
    }
}

#[actix_rt::test]
async fn a_host_name_that_no_certificate_can_cover_is_reported_as_such() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("a.example", |_| {}), answer_all);
    let names = NameServer::start(|_| Some(vec![[127, 0, 0, 1].into()]));
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    });
    for host in ["-a.example", "a-.example", "a~b.example"] {
        let result = attempt(&transport, &format!("https://{host}:{}/", receiver.address.port())).await;
        assert_eq!(result.response, failed(TlsFault::HostName), "{host}");
    }
}

#[actix_rt::test]
async fn the_handshake_of_a_forbidden_address_is_not_revealed() {
    let receiver = Receiver::answering("HTTP/1.1 400 x\r\n\r\n");
    let transport = transport(TransportConfig::default());
    for host in ["127.0.0.1", "localhost"] {
        let result = attempt(&transport, &format!("https://{host}:{}/", receiver.address.port())).await;
        let error = result.response.unwrap_err();
        assert_eq!((error, error.detail()), (AttemptError::BlockedAddress, None));
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn an_authority_file_without_certificates_prevents_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for path in [empty, folder.path().join("missing.pem"), PathBuf::from("/")] {
        let config = TransportConfig { ca_file: Some(path.clone()), ..TransportConfig::default() };
        let error = AwcTransport::new(config).err();
        assert!(matches!(error, Some(TransportSetupError::Tls(_))), "{path:?}");
    }
}
