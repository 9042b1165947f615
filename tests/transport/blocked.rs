//! Addresses that are refused are not even connected to.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use ringback::domain::attempt::AttemptError;
use ringback::domain::target::TargetPolicy;
use ringback::transport::TransportConfig;

use crate::support::{NameServer, Receiver, attempt, loopback_policy, status, transport};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn canary() -> Receiver {
    Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
}

/// What production has: nothing excepted. `http:` is allowed, so that nothing but the address is refused.
fn strict() -> TargetPolicy {
    TargetPolicy { allow_http: true, ..TargetPolicy::default() }
}

#[actix_rt::test]
async fn a_literal_address_that_is_refused_is_not_connected_to_in_whatever_form_it_is_written() {
    let canary = canary();
    let transport = transport(TransportConfig { policy: strict(), ..TransportConfig::default() });
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "１２７.０.０.１",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "localhost",
        "a.localhost",
        "LOCALHOST",
    ] {
        for scheme in ["http", "https"] {
            let result = attempt(&transport, &format!("{scheme}://{host}:{}/", canary.address.port())).await;
            assert_eq!(result.answer, Err(AttemptError::BlockedAddress), "{scheme} {host}");
        }
    }
    assert_eq!(canary.connections(), 0);
}

#[actix_rt::test]
async fn a_name_with_any_refused_address_is_not_connected_to() {
    let canary = canary();
    let public = IpAddr::from([203, 0, 114, 1]);
    for (case, addresses) in [
        ("only loopback", vec![LOOPBACK]),
        ("public first", vec![public, LOOPBACK]),
        ("loopback first", vec![LOOPBACK, public]),
        ("IPv6 loopback", vec![IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        ("mapped", vec![IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())]),
        ("refused only as IPv6", vec![public, IpAddr::V6(Ipv6Addr::LOCALHOST)]),
    ] {
        let names = NameServer::start(move |_| Some(addresses.clone()));
        let transport = transport(TransportConfig {
            policy: strict(),
            dns_servers: vec![names.address],
            ..TransportConfig::default()
        });
        let url = format!("http://rebinding.example:{}/", canary.address.port());
        let result = attempt(&transport, &url).await;
        assert_eq!(result.answer, Err(AttemptError::BlockedAddress), "{case}");
    }
    assert_eq!(canary.connections(), 0);
}

#[actix_rt::test]
async fn one_refused_address_spoils_those_that_are_allowed() {
    let canary = canary();
    // 127.0.0.1 is excepted and would answer; 127.1.0.1 is not
    let policy = TargetPolicy { allowed_networks: vec!["127.0.0.1/32".parse().unwrap()], ..strict() };
    let names = NameServer::start(|_| Some(vec![LOOPBACK, IpAddr::from([127, 1, 0, 1])]));
    let transport =
        transport(TransportConfig { policy, dns_servers: vec![names.address], ..TransportConfig::default() });
    let result = attempt(&transport, &format!("http://mixed.example:{}/", canary.address.port())).await;
    assert_eq!(result.answer, Err(AttemptError::BlockedAddress));
    assert_eq!(canary.connections(), 0);
}

#[actix_rt::test]
async fn the_engines_own_address_is_not_connected_to_and_its_neighbour_is() {
    let (own, other) = (canary(), canary());
    let own_addresses = vec![own.address, format!("0.0.0.0:{}", own.address.port()).parse().unwrap()];
    let policy = TargetPolicy { own_addresses, ..loopback_policy() };
    let names = NameServer::start(|_| Some(vec![LOOPBACK]));
    let transport =
        transport(TransportConfig { policy, dns_servers: vec![names.address], ..TransportConfig::default() });
    for host in ["127.0.0.1", "127.0.0.2", "localhost", "self.example"] {
        let result = attempt(&transport, &format!("http://{host}:{}/", own.address.port())).await;
        assert_eq!(result.answer, Err(AttemptError::BlockedAddress), "{host}");
    }
    assert_eq!(own.connections(), 0);
    assert_eq!(status(&attempt(&transport, &other.url()).await), 200);
}

#[actix_rt::test]
async fn an_engine_that_listens_everywhere_sends_nothing_to_itself_by_any_address_of_its_machine() {
    // no packet is sent: this only asks which address would be used
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    let Some(address) = outside.ok().map(|address| address.ip()).filter(|address| !address.is_loopback()) else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let policy = TargetPolicy {
        allowed_networks: vec![address.into()],
        own_addresses: vec![SocketAddr::from(([0, 0, 0, 0], port))],
        ..strict()
    };
    let transport = transport(TransportConfig { policy, ..TransportConfig::default() });
    let result = attempt(&transport, &format!("http://{address}:{port}/")).await;
    assert_eq!(result.answer, Err(AttemptError::BlockedAddress));
    listener.set_nonblocking(true).unwrap();
    if let Ok((mut connection, _)) = listener.accept() {
        connection.set_nonblocking(false).unwrap();
        assert_eq!(connection.read(&mut [0; 10]).unwrap(), 0, "connected, but nothing was sent");
    }
}

#[actix_rt::test]
async fn http_is_impossible_unless_the_operator_allows_it() {
    let canary = canary();
    let policy = TargetPolicy { allow_http: false, ..loopback_policy() };
    let transport = transport(TransportConfig { policy, ..TransportConfig::default() });
    let result = attempt(&transport, &canary.url()).await;
    assert_eq!(result.answer, Err(AttemptError::InvalidRequest));
    assert_eq!(canary.connections(), 0);
}
