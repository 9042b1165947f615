//! Which name server is believed, for how long the others are waited for, and which names are asked for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringback::domain::attempt::{AttemptError, AttemptResult, DnsFault};
use ringback::domain::target::TargetPolicy;
use ringback::transport::{AwcTransport, TransportConfig};

use super::support::{
    Authority, NameServer, Question, Receiver, Reply, attempt_within, loopback_policy, status, transport,
};

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// How a server of these tests behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Good,
    /// After 30 ms, as a server across a network does.
    GoodSoon,
    /// Later than its turn is long.
    GoodLate,
    Silent,
    /// Nothing listens there.
    Closed,
    Code(u8),
    Bare(u8),
    /// Refuses EDNS with this code, and answers without.
    PlainOnly(u8),
    BarePlainOnly(u8),
    /// Takes questions with EDNS for none.
    DeafToEdns,
    Empty,
    Garbage,
    OverTcp,
}

use Does::*;
use test_support::name_server::{FORMERR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL};

fn good() -> Reply {
    Reply::Addresses(vec![LOOPBACK.into()])
}

impl Does {
    fn reply(self, question: &Question) -> Reply {
        match self {
            Good => good(),
            GoodSoon => Reply::Late(Duration::from_millis(30), Box::new(good())),
            GoodLate => Reply::Late(Duration::from_millis(1_300), Box::new(good())),
            Silent | Closed => Reply::Silence,
            Code(code) => Reply::Code(code),
            Bare(code) => Reply::BareCode(code),
            PlainOnly(code) if question.has_edns => Reply::Code(code),
            BarePlainOnly(code) if question.has_edns => Reply::BareCode(code),
            DeafToEdns if question.has_edns => Reply::Silence,
            PlainOnly(_) | BarePlainOnly(_) | DeafToEdns => good(),
            Empty => Reply::Empty,
            Garbage => Reply::Garbage,
            OverTcp if question.is_tcp => good(),
            OverTcp => Reply::CutShort,
        }
    }

    fn start(self) -> NameServer {
        NameServer::replying(move |question| self.reply(question))
    }
}

struct World {
    receiver: Receiver,
    servers: Vec<NameServer>,
    transport: AwcTransport,
}

impl World {
    fn of(behaviours: &[Does]) -> Self {
        Self::with(behaviours.iter().map(|does| does.start()).collect(), behaviours, loopback_policy())
    }

    fn with(servers: Vec<NameServer>, behaviours: &[Does], policy: TargetPolicy) -> Self {
        let address = |index: usize, server: &NameServer| match behaviours.get(index) {
            Some(Closed) => closed_port(),
            _ => server.address,
        };
        let dns_servers = servers.iter().enumerate().map(|(index, server)| address(index, server)).collect();
        let transport = transport(TransportConfig { policy, dns_servers, ..TransportConfig::default() });
        Self { receiver: Receiver::answering(OK), servers, transport }
    }

    async fn deliver(&self, host: &str, seconds: u64) -> AttemptResult {
        let url = format!("http://{host}:{}/", self.receiver.address.port());
        attempt_within(&self.transport, &url, Duration::from_secs(seconds)).await
    }
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn failed(fault: DnsFault) -> Result<u16, AttemptError> {
    Err(AttemptError::DnsFailure(fault))
}

fn code(result: AttemptResult) -> Result<u16, AttemptError> {
    result.response.map(|response| response.status)
}

#[actix_rt::test]
async fn the_next_server_is_asked_unless_there_is_a_proper_reply() {
    let improper = [
        Code(REFUSED),
        Code(SERVFAIL),
        Code(FORMERR),
        Code(NOTIMP),
        Code(9),
        Bare(REFUSED),
        Bare(FORMERR),
        Closed,
        Garbage,
    ];
    for bad in improper {
        for servers in
            [vec![bad, GoodSoon], vec![GoodSoon, bad], vec![bad, bad, GoodSoon], vec![bad, GoodSoon, bad]]
        {
            let result = World::of(&servers).deliver("a.example", 4).await;
            assert!(result.duration < Duration::from_secs(1), "{servers:?}: {:?}", result.duration);
            assert_eq!(code(result), Ok(200), "{servers:?}");
        }
        let fault = World::of(&[bad, bad]).deliver("a.example", 4).await;
        assert_eq!(code(fault), failed(DnsFault::ServerFailure), "{bad:?} alone");
    }
}

#[actix_rt::test]
async fn a_reply_without_an_address_decides_only_when_it_is_the_first_proper_one() {
    for (servers, expected) in [
        (vec![GoodSoon, Code(NXDOMAIN)], Ok(200)),
        (vec![GoodSoon, Empty], Ok(200)),
        (vec![GoodLate, Code(NXDOMAIN)], Ok(200)),
        (vec![GoodLate, Empty, Empty], Ok(200)),
        (vec![Code(SERVFAIL), GoodSoon, Code(NXDOMAIN)], Ok(200)),
        (vec![Code(NXDOMAIN), Good], failed(DnsFault::NoSuchName)),
        (vec![Empty, Good], failed(DnsFault::NoAddress)),
        (vec![Code(REFUSED), Code(NXDOMAIN), Good], failed(DnsFault::NoSuchName)),
        (vec![Closed, Empty, Good], failed(DnsFault::NoAddress)),
        (vec![Silent, Code(NXDOMAIN)], failed(DnsFault::NoSuchName)),
        (vec![Code(NXDOMAIN)], failed(DnsFault::NoSuchName)),
    ] {
        let result = World::of(&servers).deliver("a.example", 4).await;
        assert_eq!(code(result), expected, "{servers:?}");
    }
}

#[actix_rt::test]
async fn a_silent_server_costs_its_turn_once_and_later_lookups_only_a_short_one() {
    for servers in [
        vec![Silent, Good],
        vec![Silent, GoodSoon, Code(REFUSED)],
        vec![Silent, Code(SERVFAIL), Good],
        vec![Silent, Silent, Good],
        vec![Silent, Closed, Code(REFUSED), Code(FORMERR), GoodSoon],
        vec![GoodLate, Silent],
        vec![GoodLate],
    ] {
        let world = World::of(&servers);
        assert_eq!(code(world.deliver("a.example", 4).await), Ok(200), "{servers:?}");
    }
    let world = World::of(&[Silent, Good]);
    let first = world.deliver("a.example", 4).await;
    let again = world.deliver("b.example", 4).await;
    assert!(again.duration < first.duration * 2 / 3, "{:?} after {:?}", again.duration, first.duration);
    assert_eq!((code(first), code(again)), (Ok(200), Ok(200)));
    let asked = world.servers[0].names();
    assert_eq!(asked, ["a.example.", "b.example."], "it keeps its place, so it is used when it is back");
}

#[actix_rt::test]
async fn a_silent_server_is_remembered_after_an_attempt_that_timed_out_first() {
    let world = World::of(&[Silent, Good]);
    assert_eq!(code(world.deliver("a.example", 1).await), Err(AttemptError::Timeout));
    assert_eq!(code(world.deliver("a.example", 1).await), Ok(200));
}

#[actix_rt::test]
async fn a_server_that_does_not_support_edns_is_asked_again_without_it() {
    for does in [PlainOnly(FORMERR), PlainOnly(NOTIMP), BarePlainOnly(FORMERR), BarePlainOnly(NOTIMP), DeafToEdns]
    {
        for servers in [vec![does], vec![does, Code(REFUSED)], vec![Code(SERVFAIL), does]] {
            let world = World::of(&servers);
            assert_eq!(code(world.deliver("a.example", 4).await), Ok(200), "{servers:?}");
        }
    }
    // its answer decides, not that of the next one
    let servers = [PlainOnly(FORMERR), Code(NXDOMAIN)];
    assert_eq!(code(World::of(&servers).deliver("a.example", 4).await), Ok(200));
    let world = World::of(&[PlainOnly(NOTIMP)]);
    for name in ["a.example", "b.example"] {
        assert_eq!(code(world.deliver(name, 4).await), Ok(200));
    }
    let with_edns = world.servers[0].questions().iter().filter(|question| question.has_edns).count();
    assert_eq!(with_edns, 2, "A and AAAA of the first name; then it is known");
}

#[actix_rt::test]
async fn a_truncated_reply_is_requested_again_over_tcp() {
    assert_eq!(code(World::of(&[OverTcp, Code(NXDOMAIN)]).deliver("a.example", 4).await), Ok(200));
}

#[actix_rt::test]
async fn one_family_that_is_there_does_not_wait_for_the_other() {
    let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
    let policy = TargetPolicy {
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..loopback_policy()
    };
    let slow = |reply| Reply::Late(Duration::from_secs(2), Box::new(reply));
    for (case, other) in [
        ("dropped", Reply::Silence),
        ("refused", Reply::Code(SERVFAIL)),
        ("empty", Reply::Empty),
        ("slow", slow(Reply::Empty)),
    ] {
        for v4_is_there in [true, false] {
            let other = other.clone();
            let server = NameServer::replying(move |question| match question.is_v4 == v4_is_there {
                true if v4_is_there => good(),
                true => Reply::Addresses(vec![v6]),
                false => other.clone(),
            });
            let mut world = World::with(vec![server], &[], policy.clone());
            if !v4_is_there {
                world.receiver = Receiver::on(Ipv6Addr::LOCALHOST, |mut connection| {
                    connection.read_request();
                    connection.send(OK);
                });
            }
            for name in ["a.example", "a.example", "b.example"] {
                let result = world.deliver(name, 4).await;
                // not the 2 s of the slow one, nor a turn
                assert!(result.duration < Duration::from_millis(900), "{case}: {:?}", result.duration);
                assert_eq!(code(result), Ok(200), "{case}, {v4_is_there}");
            }
        }
    }
}

#[actix_rt::test]
async fn a_family_without_addresses_does_not_decide_before_the_other_one() {
    for nothing in [Reply::Empty, Reply::Code(NXDOMAIN), Reply::Code(SERVFAIL)] {
        let server = NameServer::replying(move |question| match question.is_v4 {
            true => Reply::Late(Duration::from_millis(500), Box::new(good())),
            false => nothing.clone(),
        });
        let world = World::with(vec![server], &[], loopback_policy());
        assert_eq!(status(&world.deliver("a.example", 4).await), 200);
    }
}

#[actix_rt::test]
async fn addresses_that_arrive_late_are_checked_before_they_are_used() {
    // IPv4 leads nowhere from here, so that the late one is tried
    let unreachable = IpAddr::from([255, 255, 255, 255]);
    let policy = TargetPolicy {
        allowed_networks: vec![unreachable.into(), "127.0.0.0/8".parse().unwrap()],
        ..loopback_policy()
    };
    for (is_allowed, expected) in [(true, Ok(200)), (false, Err(AttemptError::BlockedAddress))] {
        let server = NameServer::replying(move |question| match question.is_v4 {
            true => Reply::Addresses(vec![unreachable]),
            false => {
                let late = Reply::Addresses(vec![Ipv6Addr::LOCALHOST.into()]);
                Reply::Late(Duration::from_millis(200), Box::new(late))
            }
        });
        let mut policy = policy.clone();
        if is_allowed {
            policy.allowed_networks.push("::1/128".parse().unwrap());
        }
        let mut world = World::with(vec![server], &[], policy);
        world.receiver = Receiver::on(Ipv6Addr::LOCALHOST, |mut connection| {
            connection.read_request();
            connection.send(OK);
        });
        assert_eq!(code(world.deliver("a.example", 4).await), expected);
        assert_eq!(world.receiver.connections(), usize::from(is_allowed));
    }
}

#[actix_rt::test]
async fn a_refused_address_that_is_known_in_time_blocks_whichever_family_it_is_of() {
    for v4_is_first in [true, false] {
        let server = NameServer::replying(move |question| {
            let addresses = Reply::Addresses(vec![LOOPBACK.into(), Ipv6Addr::LOCALHOST.into()]);
            match question.is_v4 == v4_is_first {
                true => addresses,
                false => Reply::Late(Duration::from_millis(10), Box::new(addresses)),
            }
        });
        let world = World::with(vec![server], &[], loopback_policy());
        assert_eq!(code(world.deliver("a.example", 4).await), Err(AttemptError::BlockedAddress));
        assert_eq!(world.receiver.connections(), 0);
    }
}

#[actix_rt::test]
async fn unusual_host_names_are_looked_up_unchanged() {
    let world = World::of(&[Good]);
    let hosts = ["my_app.example", "_", "-a.example", "a-.example", "a~b.example", "a!$&'()*+,;=b.example"];
    for host in hosts {
        assert_eq!(code(world.deliver(host, 4).await), Ok(200), "{host}");
        let request = world.receiver.next_request();
        assert!(request.contains(&format!("host: {host}:")), "{request}");
    }
    let mut asked: Vec<String> = hosts.iter().map(|host| format!("{host}.")).collect();
    asked.sort();
    assert_eq!(world.servers[0].names(), asked);
    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "y".repeat(61));
    assert_eq!(code(world.deliver(&longest, 4).await), Ok(200));
}

#[actix_rt::test]
async fn a_host_with_an_underscore_is_delivered_to_over_tls() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server("my_app.example", |_| {}), |mut connection| {
        connection.read_request();
        connection.send(OK);
    });
    let names = Good.start();
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ca_file: Some(authority.file.clone()),
        ..TransportConfig::default()
    });
    let url = format!("https://my_app.example:{}/", receiver.address.port());
    assert_eq!(status(&attempt_within(&transport, &url, Duration::from_secs(4)).await), 200);
}

#[actix_rt::test]
async fn reserved_names_are_not_looked_up_in_dns() {
    let world = World::of(&[Good]);
    for host in ["a.invalid", "a.onion"] {
        assert_eq!(code(world.deliver(host, 4).await), failed(DnsFault::NoSuchName), "{host}");
    }
    assert!(world.servers[0].questions().is_empty());
}

#[actix_rt::test]
async fn servers_that_all_fail_are_a_dns_failure_within_the_default_timeout() {
    for (servers, fault) in [
        (vec![Silent, Silent, Silent], DnsFault::Silence),
        (vec![Silent, Code(SERVFAIL)], DnsFault::ServerFailure),
    ] {
        let started = Instant::now();
        let result = World::of(&servers).deliver("a.example", 10).await;
        assert_eq!(code(result), failed(fault), "{servers:?}");
        assert!(started.elapsed() < Duration::from_millis(9_500), "{:?}", started.elapsed());
    }
}

#[actix_rt::test]
async fn simultaneous_attempts_at_one_name_share_a_lookup() {
    let world = World::of(&[GoodSoon]);
    let all = (0..20).map(|_| world.deliver("a.example", 4));
    for result in futures_util::future::join_all(all).await {
        assert_eq!(code(result), Ok(200));
    }
    assert_eq!(world.servers[0].questions().len(), 2, "A and AAAA");
}
