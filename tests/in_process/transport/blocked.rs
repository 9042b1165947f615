//! Addresses that are refused are not even connected to.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use ringback::domain::attempt::AttemptError;
use ringback::domain::target::TargetPolicy;
use ringback::transport::TransportConfig;
use test_support::forbidden::{Canary, host, refused};

use super::support::{NameServer, Receiver, Reply, attempt, attempt_within, loopback_policy, status, transport};

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
            assert_eq!(result.response, Err(AttemptError::BlockedAddress), "{scheme} {host}");
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
        assert_eq!(result.response, Err(AttemptError::BlockedAddress), "{case}");
    }
    assert_eq!(canary.connections(), 0);
}

#[actix_rt::test]
async fn one_refused_address_blocks_a_name_with_allowed_addresses() {
    let canary = canary();
    // 127.0.0.1 is excepted and would answer; 127.1.0.1 is not
    let policy = TargetPolicy { allowed_networks: vec!["127.0.0.1/32".parse().unwrap()], ..strict() };
    let names = NameServer::start(|_| Some(vec![LOOPBACK, IpAddr::from([127, 1, 0, 1])]));
    let transport =
        transport(TransportConfig { policy, dns_servers: vec![names.address], ..TransportConfig::default() });
    let result = attempt(&transport, &format!("http://mixed.example:{}/", canary.address.port())).await;
    assert_eq!(result.response, Err(AttemptError::BlockedAddress));
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
        assert_eq!(result.response, Err(AttemptError::BlockedAddress), "{host}");
    }
    assert_eq!(own.connections(), 0);
    assert_eq!(status(&attempt(&transport, &other.url()).await), 200);
}

#[actix_rt::test]
async fn an_engine_that_listens_on_every_address_sends_nothing_to_itself() {
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
    assert_eq!(result.response, Err(AttemptError::BlockedAddress));
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
    assert_eq!(result.response, Err(AttemptError::InvalidRequest));
    assert_eq!(canary.connections(), 0);
}

/// Where a connection was tried to what no packet reaches, there would be another error, or none in time: a blocked
/// address is known before. That nobody connects where somebody could listen is shown with the canary.
#[actix_rt::test]
async fn both_ends_of_every_refused_range_are_blocked_as_literals_and_as_dns_results() {
    let canary = Canary::new();
    let names = NameServer::replying(|question| {
        // the first label is a place in the table
        let place = question.name.split('.').next().unwrap().trim_start_matches('n').parse().unwrap();
        Reply::Addresses(vec![refused().nth(place).unwrap().parse().unwrap()])
    });
    let transport = transport(TransportConfig {
        policy: strict(),
        dns_servers: vec![names.address],
        ..TransportConfig::default()
    });
    let mut count = 0;
    for (place, address) in refused().enumerate() {
        for host in [host(address), format!("n{place}.range.example")] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{}/", canary.port);
                // a name is looked up first; nothing else takes time
                let result = attempt_within(&transport, &url, Duration::from_secs(10)).await;
                assert_eq!(result.response, Err(AttemptError::BlockedAddress), "{url}, {address}");
                count += 1;
            }
        }
    }
    println!("measured: {count} attempts at {} forbidden addresses, all blocked", refused().count());
    canary.assert_untouched();
}

#[actix_rt::test]
async fn an_alias_that_leads_to_a_refused_address_is_blocked_however_long_the_chain() {
    let canary = Canary::new();
    for last in [LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::from([169, 254, 169, 254])] {
        let in_one_answer = move |_: &test_support::name_server::Question| {
            Reply::Alias(vec!["b.example", "c.example", "d.example"], vec![IpAddr::from([8, 8, 8, 8]), last])
        };
        let step_by_step = move |question: &test_support::name_server::Question| match question.name.as_str() {
            "a.example." => Reply::Alias(vec!["b.example"], Vec::new()),
            "b.example." => Reply::Alias(vec!["c.example"], Vec::new()),
            _ => Reply::Addresses(vec![last]),
        };
        for names in [NameServer::replying(in_one_answer), NameServer::replying(step_by_step)] {
            let transport = transport(TransportConfig {
                policy: strict(),
                dns_servers: vec![names.address],
                ..TransportConfig::default()
            });
            let result = attempt(&transport, &format!("http://a.example:{}/", canary.port)).await;
            assert_eq!(result.response, Err(AttemptError::BlockedAddress), "{last}: {:?}", names.names());
        }
    }
    canary.assert_untouched();
}

#[actix_rt::test]
async fn a_name_whose_address_changes_between_check_and_connection_is_not_looked_up_again() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let port = receiver.address.port();
    let canary = TcpListener::bind(("127.0.0.2", port)).unwrap();
    canary.set_nonblocking(true).unwrap();
    // one question for A and one for AAAA are the first attempt's; every later answer is another address
    let names = NameServer::replying(|question| match question.number {
        0 | 1 => Reply::Addresses(vec![LOOPBACK]),
        _ => Reply::Addresses(vec![IpAddr::from([127, 0, 0, 2])]),
    });
    let policy = TargetPolicy { allowed_networks: vec!["127.0.0.1/32".parse().unwrap()], ..strict() };
    let transport =
        transport(TransportConfig { policy, dns_servers: vec![names.address], ..TransportConfig::default() });
    let result = attempt(&transport, &format!("http://rebinding.example:{port}/")).await;
    assert_eq!(status(&result), 200);
    assert_eq!(names.questions().len(), 2, "looked up once: {:?}", names.questions());
    // another name, so that no cache answers: what it has become is blocked
    let result = attempt(&transport, &format!("http://rebound.example:{port}/")).await;
    assert_eq!(result.response, Err(AttemptError::BlockedAddress));
    assert!(canary.accept().is_err(), "connected to what is forbidden");
}

#[actix_rt::test]
async fn a_redirect_to_a_refused_address_is_a_response_like_any_other() {
    let canary = Canary::new();
    let policy = TargetPolicy { allowed_networks: vec!["127.0.0.2/32".parse().unwrap()], ..strict() };
    let transport = transport(TransportConfig { policy, ..TransportConfig::default() });
    for code in [301, 302, 303, 307, 308] {
        let location = format!("http://127.0.0.1:{}/", canary.port);
        let answer = format!("HTTP/1.1 {code} x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::on([127, 0, 0, 2], move |mut connection| {
            while connection.read_request().is_some() {
                connection.send(&answer);
            }
        });
        assert_eq!(status(&attempt(&transport, &receiver.url()).await), code);
    }
    canary.assert_untouched();
}
