//! Through an egress proxy: what it is asked for, and what its failures mean.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use ringback::domain::attempt::{AttemptError, DnsFault, LocalFault, ProxyFault, TlsFault};
use ringback::domain::egress_proxy::EgressProxy;
use ringback::domain::secret::Secret;
use ringback::transport::{AttemptRequest, AwcTransport, Transport, TransportConfig};

use test_support::forward_proxy::{Act, ForwardProxy};

use super::support::{
    Authority, NameServer, PATIENCE, Receiver, attempt, attempt_within, loopback_policy, request, status,
    transport,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const FORBIDDEN: &str =
    "HTTP/1.1 407 Request rejected by proxy\r\nX-Smokescreen-Error: denied\r\ncontent-length: 0\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";

fn settings(proxy: &ForwardProxy) -> EgressProxy {
    EgressProxy {
        host: proxy.address.ip().to_string(),
        port: proxy.address.port(),
        authorization: None,
        resolves: false,
    }
}

/// Every name is this machine.
fn names() -> NameServer {
    NameServer::start(|_| Some(vec![LOOPBACK]))
}

fn proxied(settings: EgressProxy, names: &NameServer) -> AwcTransport {
    transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        proxy: Some(settings),
        ..TransportConfig::default()
    })
}

fn receiver() -> Receiver {
    Receiver::answering(OK)
}

fn secure_receiver(authority: &Authority, name: &str) -> Receiver {
    Receiver::start_tls(authority.server(name, |_| {}), |mut connection| {
        while connection.read_request().is_some() {
            connection.send(OK);
        }
    })
}

async fn fault(transport: &AwcTransport, url: &str) -> Option<LocalFault> {
    transport.attempt(request(url)).await.err()
}

#[actix_rt::test]
async fn https_goes_through_a_tunnel_to_the_address_that_was_checked_and_is_verified_by_name() {
    let authority = Authority::new();
    let receiver = secure_receiver(&authority, "receiver.example");
    let (proxy, names) = (ForwardProxy::to(receiver.address), names());
    let authorization = Some(Secret::new("Basic dXNlcjpwYXNz".to_owned()));
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        proxy: Some(EgressProxy { authorization, ..settings(&proxy) }),
        ..TransportConfig::default()
    });
    let port = receiver.address.port();
    let url = format!("https://receiver.example:{port}/hook");
    for _ in 0..2 {
        assert_eq!(status(&attempt(&transport, &url).await), 200);
        let got = receiver.next_request();
        assert!(got.starts_with("POST /hook HTTP/1.1\r\nhost: receiver.example:"), "{got}");
        assert!(!got.contains("proxy-"), "the credentials are the proxy's alone: {got}");
    }
    let expected = format!(
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n"
    );
    assert_eq!(proxy.asked(), [expected], "one tunnel for both requests");
    assert_eq!(transport.proxy_trouble(), None);
}

#[actix_rt::test]
async fn a_proxy_is_never_asked_for_an_address_that_is_forbidden() {
    let proxy = ForwardProxy::saying(OK);
    let names = NameServer::start(|_| Some(vec![LOOPBACK, IpAddr::from([10, 0, 0, 1])]));
    for resolves in [false, true] {
        let transport = proxied(EgressProxy { resolves, ..settings(&proxy) }, &names);
        for url in ["https://10.0.0.1:8443/", "http://10.0.0.1:8080/", "http://[fd00::1]:8080/"] {
            assert_eq!(attempt(&transport, url).await.response, Err(AttemptError::BlockedAddress), "{url}");
        }
    }
    let transport = proxied(settings(&proxy), &names);
    for url in ["https://rebinding.example:8443/", "http://rebinding.example:8080/"] {
        assert_eq!(attempt(&transport, url).await.response, Err(AttemptError::BlockedAddress), "{url}");
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[actix_rt::test]
async fn a_proxy_that_looks_names_up_is_asked_for_the_name_and_no_name_server_is() {
    let authority = Authority::new();
    let receiver = secure_receiver(&authority, "receiver.example");
    let proxy = ForwardProxy::to(receiver.address);
    let names = NameServer::start(|_| None);
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        proxy: Some(EgressProxy { resolves: true, ..settings(&proxy) }),
        ..TransportConfig::default()
    });
    let port = receiver.address.port();
    assert_eq!(status(&attempt(&transport, &format!("https://receiver.example:{port}/")).await), 200);
    assert_eq!(proxy.lines(), [format!("CONNECT receiver.example:{port} HTTP/1.1")]);
}

#[actix_rt::test]
async fn plain_requests_are_sent_to_the_proxy_in_absolute_form() {
    let (receiver, names) = (receiver(), names());
    let proxy = ForwardProxy::to(receiver.address);
    let authorization = Some(Secret::new("Basic dXNlcjpwYXNz".to_owned()));
    let settings = EgressProxy { authorization, resolves: true, ..settings(&proxy) };
    let transport = proxied(settings, &names);
    let port = receiver.address.port();
    for host in ["127.0.0.1", "receiver.example"] {
        for bytes in [0, 7, 3 * 1024 * 1024] {
            let body = bytes::Bytes::from("x".repeat(bytes));
            let url = format!("http://{host}:{port}/hook?a=b");
            let wanted = AttemptRequest { body, ..request(&url) };
            assert_eq!(status(&transport.attempt(wanted).await.unwrap()), 200);
            let got = receiver.next_request();
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            let lines: Vec<&str> = head.lines().collect();
            assert_eq!(lines[0], format!("POST {url} HTTP/1.1"));
            assert_eq!(lines[1], format!("host: {host}:{port}"));
            assert_eq!(lines[2], "proxy-authorization: Basic dXNlcjpwYXNz");
            assert_eq!(body.len(), bytes);
        }
    }
    assert_eq!(proxy.asked().len(), 2, "a connection for each receiver, and each is used again");
}

#[actix_rt::test]
async fn a_plain_request_to_a_name_that_was_looked_up_here_goes_through_a_tunnel_with_its_host() {
    let (receiver, names) = (receiver(), names());
    let proxy = ForwardProxy::to(receiver.address);
    let transport = proxied(settings(&proxy), &names);
    let port = receiver.address.port();
    assert_eq!(status(&attempt(&transport, &format!("http://receiver.example:{port}/hook")).await), 200);
    assert_eq!(proxy.lines(), [format!("CONNECT 127.0.0.1:{port} HTTP/1.1")]);
    let got = receiver.next_request();
    assert!(got.starts_with(&format!("POST /hook HTTP/1.1\r\nhost: receiver.example:{port}\r\n")), "{got}");
}

#[actix_rt::test]
async fn a_connection_for_one_receiver_is_never_used_for_another() {
    let receivers = [receiver(), receiver()];
    let ports = receivers.each_ref().map(|receiver| receiver.address.port());
    let names = names();
    for resolves in [false, true] {
        let proxy = ForwardProxy::start(move |head| {
            let port = ports.into_iter().find(|port| head.lines().next().unwrap().contains(&format!(":{port}")));
            Act::To(SocketAddr::new(LOOPBACK, port.unwrap()))
        });
        let transport = proxied(EgressProxy { resolves, ..settings(&proxy) }, &names);
        for round in 0..6 {
            let at = round % 2;
            assert_eq!(
                status(&attempt(&transport, &format!("http://a.example:{}/{round}", ports[at])).await),
                200
            );
            let got = receivers[at].next_request();
            assert!(got.lines().next().unwrap().ends_with(&format!("/{round} HTTP/1.1")), "{got}");
        }
        assert_eq!(proxy.asked().len(), 2);
    }
}

#[actix_rt::test]
async fn what_the_proxy_fails_in_itself_is_a_fault_of_this_deployment_and_no_outcome() {
    let names = names();
    let extra = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for (answer, expected) in [
        (UNAUTHORIZED, LocalFault::ProxyCredentials),
        ("HTTP/1.1 407 x\r\n\r\n", LocalFault::ProxyCredentials),
        ("HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 2\r\n\r\nno", LocalFault::ProxyAnswer),
        ("HTTP/1.1 429 Too Many Requests\r\n\r\n", LocalFault::ProxyAnswer),
        ("HTTP/1.1 501 Not Implemented\r\n\r\n", LocalFault::ProxyAnswer),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1/\r\n\r\n", LocalFault::ProxyAnswer),
        ("SSH-2.0-OpenSSH_9.6\r\n", LocalFault::ProxyAnswer),
        ("HTTP/1.1 200 OK\r\nx: y", LocalFault::ProxyAnswer),
        ("HTTP/1.1 xyz\r\n\r\n", LocalFault::ProxyAnswer),
        (extra, LocalFault::ProxyAnswer),
    ] {
        let proxy = ForwardProxy::saying(answer);
        let transport = proxied(settings(&proxy), &names);
        assert_eq!(fault(&transport, "https://receiver.example:8443/").await, Some(expected), "{answer}");
        assert_eq!(transport.proxy_trouble(), Some(expected));
    }
}

#[actix_rt::test]
async fn a_proxy_that_sends_headers_without_end_is_left_soon() {
    let names = names();
    let proxy = ForwardProxy::start(|_| {
        Act::Flood(b"HTTP/1.1 200 OK\r\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
    });
    let transport = proxied(settings(&proxy), &names);
    let by_flood = fault(&transport, "https://receiver.example:8443/").await;
    assert_eq!(by_flood, Some(LocalFault::ProxyAnswer));
}

#[actix_rt::test]
async fn what_the_proxy_says_about_a_receiver_is_an_outcome_with_an_explanation() {
    let names = names();
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nsecret", ProxyFault::Refused),
        ("HTTP/1.0 400 Bad Request\r\n\r\n", ProxyFault::Refused),
        (FORBIDDEN, ProxyFault::Refused),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", ProxyFault::Unreachable),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", ProxyFault::Unreachable),
        ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", ProxyFault::Timeout),
        ("", ProxyFault::Closed),
    ] {
        let proxy = ForwardProxy::saying(answer);
        let transport = proxied(settings(&proxy), &names);
        let result = attempt(&transport, "https://receiver.example:8443/").await;
        assert_eq!(result.response, Err(AttemptError::ProxyFailure(expected)), "{answer}");
        let error = result.response.unwrap_err();
        assert_eq!(error.as_str(), "connection_failed");
        let detail = error.detail().unwrap();
        assert!(detail.contains("the egress proxy") && !detail.contains("secret"), "{detail}");
        assert_eq!(transport.proxy_trouble(), None, "{answer}");
    }
}

#[actix_rt::test]
async fn a_proxy_that_is_silent_is_to_blame_when_it_is_about_several_receivers_and_answers_about_none() {
    let names = names();
    let proxy = ForwardProxy::start(|head| match head.contains(":9000 ") {
        true => Act::Say(b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec()),
        false => Act::Hang,
    });
    let transport = proxied(settings(&proxy), &names);
    let silent = async |port: u16| {
        let timeout = Duration::from_millis(100);
        let wanted = AttemptRequest { timeout, ..request(&format!("https://receiver.example:{port}/")) };
        transport.attempt(wanted).await.map(|made| made.response.unwrap_err())
    };
    for _ in 0..5 {
        assert_eq!(silent(8001).await, Ok(AttemptError::Timeout), "the proxy may wait for this receiver");
    }
    assert_eq!(silent(8002).await, Ok(AttemptError::Timeout));
    assert_eq!(silent(8003).await, Err(LocalFault::ProxySilent));
    assert_eq!(silent(8001).await, Err(LocalFault::ProxySilent));
    assert_eq!(transport.proxy_trouble(), Some(LocalFault::ProxySilent));
    let answered = attempt(&transport, "https://receiver.example:9000/").await;
    assert_eq!(answered.response, Err(AttemptError::ProxyFailure(ProxyFault::Unreachable)));
    assert_eq!(transport.proxy_trouble(), None);
    assert_eq!(silent(8001).await, Ok(AttemptError::Timeout));
}

#[actix_rt::test]
async fn receivers_that_are_silent_at_once_are_not_the_proxys_fault_if_it_answered_while_they_waited() {
    const SILENT: usize = 10;
    let names = names();
    let proxy = ForwardProxy::start(|head| match head.contains(":9000 ") {
        true => Act::Say(b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec()),
        false => Act::Hang,
    });
    let transport = proxied(settings(&proxy), &names);
    let silent = (0..SILENT).map(|place| {
        let timeout = Duration::from_secs(1);
        let wanted = AttemptRequest { timeout, ..request(&format!("https://receiver.example:{}/", 8001 + place)) };
        transport.attempt(wanted)
    });
    let answered = async {
        while proxy.asked().len() < SILENT {
            tokio::task::yield_now().await;
        }
        attempt(&transport, "https://receiver.example:9000/").await
    };
    let (silent, answered) = futures_util::join!(futures_util::future::join_all(silent), answered);
    assert_eq!(answered.response, Err(AttemptError::ProxyFailure(ProxyFault::Unreachable)));
    let outcomes: Vec<_> = silent.into_iter().map(|made| made.map(|made| made.response.unwrap_err())).collect();
    assert_eq!(outcomes, vec![Ok(AttemptError::Timeout); SILENT]);
    assert_eq!(transport.proxy_trouble(), None);
}

#[actix_rt::test]
async fn a_proxy_that_connects_elsewhere_is_found_out_by_the_certificate() {
    let authority = Authority::new();
    let elsewhere = secure_receiver(&authority, "elsewhere.example");
    let (proxy, names) = (ForwardProxy::to(elsewhere.address), names());
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        proxy: Some(settings(&proxy)),
        ..TransportConfig::default()
    });
    let result = attempt(&transport, "https://receiver.example:8443/").await;
    assert_eq!(result.response, Err(AttemptError::TlsFailure(TlsFault::WrongName)));
}

#[actix_rt::test]
async fn a_tunnel_that_says_nothing_times_out_as_the_receiver_would() {
    let proxy = ForwardProxy::start(|_| Act::Say(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent, names) = (ForwardProxy::to(hole.local_addr().unwrap()), names());
    let transport = proxied(settings(&silent), &names);
    for port in [8001, 8002, 8003, 8004] {
        let url = format!("https://receiver.example:{port}/");
        let result = attempt_within(&transport, &url, Duration::from_millis(200)).await;
        assert_eq!(result.response, Err(AttemptError::Timeout));
    }
    assert_eq!(transport.proxy_trouble(), None);
    // and one that is closed at once
    let transport = proxied(settings(&proxy), &names);
    let result = attempt(&transport, "https://receiver.example:8443/").await;
    assert!(matches!(result.response, Err(AttemptError::TlsFailure(_))), "{:?}", result.response);
}

#[actix_rt::test]
async fn only_the_proxys_own_407_is_about_its_credentials() {
    let names = names();
    // in a tunnel it is the receiver's
    let receiver = Receiver::answering(UNAUTHORIZED);
    let proxy = ForwardProxy::to(receiver.address);
    let transport = proxied(settings(&proxy), &names);
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    assert_eq!(status(&attempt(&transport, &url).await), 407);
    // without a tunnel a proxy removes the receiver's `proxy-authenticate`
    let url = format!("http://127.0.0.1:{}/", receiver.address.port());
    assert_eq!(fault(&transport, &url).await, Some(LocalFault::ProxyCredentials));
    let forbidding = ForwardProxy::saying(FORBIDDEN);
    let transport = proxied(settings(&forbidding), &names);
    assert_eq!(status(&attempt(&transport, "http://127.0.0.1:8080/").await), 407);
}

#[actix_rt::test]
async fn deliveries_wait_for_a_proxy_that_is_away_and_go_on_when_it_is_back() {
    let (receiver, names) = (receiver(), names());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings =
        EgressProxy { host: "localhost".to_owned(), port: address.port(), authorization: None, resolves: false };
    let transport = proxied(settings, &names);
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    for _ in 0..20 {
        assert_eq!(fault(&transport, &url).await, Some(LocalFault::ProxyUnreachable));
    }
    assert_eq!(transport.proxy_trouble(), Some(LocalFault::ProxyUnreachable));
    let target = receiver.address;
    let _proxy = ForwardProxy::on(TcpListener::bind(address).unwrap(), move |_| Act::To(target));
    let back = async {
        loop {
            match transport.attempt(request(&url)).await {
                Ok(made) => return status(&made),
                Err(fault) => assert_eq!(fault, LocalFault::ProxyUnreachable),
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, back).await, Ok(200));
    assert_eq!(transport.proxy_trouble(), None);
}

#[actix_rt::test]
async fn a_proxy_whose_name_is_unknown_or_can_not_be_looked_up_in_time_is_unreachable() {
    let at = |host: &str| EgressProxy { host: host.to_owned(), port: 3128, authorization: None, resolves: true };
    let unknown = proxied(at("proxy.example"), &NameServer::start(|_| Some(Vec::new())));
    let url = "https://receiver.example:8443/";
    assert_eq!(fault(&unknown, url).await, Some(LocalFault::ProxyUnreachable));

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let slow = transport(TransportConfig {
        dns_servers: vec![silent.local_addr().unwrap()],
        proxy: Some(at("proxy.example")),
        ..TransportConfig::default()
    });
    let wanted = AttemptRequest { timeout: Duration::from_millis(200), ..request(url) };
    assert_eq!(slow.attempt(wanted).await.err(), Some(LocalFault::ProxyUnreachable));
}

#[actix_rt::test]
async fn a_receivers_name_that_does_not_exist_is_its_own_fault() {
    let proxy = ForwardProxy::saying(OK);
    let names = NameServer::start(|_| Some(Vec::new()));
    let transport = proxied(settings(&proxy), &names);
    let result = attempt(&transport, "https://receiver.example:8443/").await;
    assert_eq!(result.response, Err(AttemptError::DnsFailure(DnsFault::NoSuchName)));
}
