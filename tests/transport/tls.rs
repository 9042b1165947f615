//! Certificates.

use std::path::PathBuf;

use ringback::domain::attempt::AttemptError;
use ringback::transport::{AwcTransport, TransportConfig, TransportSetupError};
use rustls::ServerConfig;

use crate::support::{
    Authority, Connection, NameServer, Receiver, attempt, loopback_policy, self_signed_server, status, transport,
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
async fn a_certificate_of_a_trusted_authority_is_accepted_and_the_connection_used_again() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("127.0.0.1", |_| {}), answer_all);
    let transport = trusting(&authority);
    for _ in 0..3 {
        let response = attempt(&transport, &receiver.https_url()).await.answer.unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    }
    assert_eq!(receiver.connections(), 1);
}

#[actix_rt::test]
async fn a_tls_connection_that_the_receiver_closes_as_it_is_used_again_is_told_from_one_that_was_reset() {
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
        assert_eq!(again.answer, Err(AttemptError::IdleConnectionClosed));
    }
}

#[actix_rt::test]
async fn bytes_after_an_answer_are_never_taken_for_the_answer_of_a_later_request_under_tls() {
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
    });
    let url = |name: &str| format!("https://{name}:{}/", receiver.address.port());
    assert_eq!(status(&attempt(&transport, &url("receiver.example")).await), 200);
    let other = attempt(&transport, &url("other.example")).await;
    assert_eq!(other.answer, Err(AttemptError::TlsFailure));
    assert!(attempt(&transport, &receiver.https_url()).await.answer == Err(AttemptError::TlsFailure));
}

#[actix_rt::test]
async fn a_certificate_that_is_expired_early_self_signed_or_of_an_unknown_authority_is_a_tls_failure() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases: [(&str, ServerConfig); 4] = [
        ("expired", authority.server("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))),
        ("early", authority.server("127.0.0.1", |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1))),
        ("self-signed", self_signed_server("127.0.0.1")),
        ("stranger", stranger.server("127.0.0.1", |_| {})),
    ];
    let transport = trusting(&authority);
    for (case, config) in cases {
        let receiver = Receiver::start_tls(config, answer_all);
        let result = attempt(&transport, &receiver.https_url()).await;
        assert_eq!(result.answer, Err(AttemptError::TlsFailure), "{case}");
        assert!(receiver.connections() > 0, "{case}");
    }
}

#[actix_rt::test]
async fn a_receiver_that_speaks_no_tls_is_a_tls_failure_and_gets_no_request() {
    let closing = Receiver::start(drop);
    let authority = Authority::new();
    let speaking_first = Receiver::start(|mut connection| {
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        connection.hold();
    });
    for receiver in [closing, speaking_first] {
        let result = attempt(&trusting(&authority), &receiver.https_url()).await;
        assert_eq!(result.answer, Err(AttemptError::TlsFailure));
    }
}

#[test]
fn a_file_of_authorities_that_holds_none_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for path in [empty, folder.path().join("missing.pem"), PathBuf::from("/")] {
        let config = TransportConfig { ca_file: Some(path.clone()), ..TransportConfig::default() };
        let error = AwcTransport::new(config).err();
        assert!(matches!(error, Some(TransportSetupError::Tls(_))), "{path:?}");
    }
}
