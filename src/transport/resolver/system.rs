//! The system's settings for names: `/etc/resolv.conf` and `/etc/hosts`. An invalid line is ignored with a warning in the
//! log; the rest of the file counts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const DNS_PORT: u16 = 53;
/// Where Linux lists the numbers of network interfaces, for addresses like `fe80::1%eth0`.
const INTERFACES: &str = "/sys/class/net";
/// Other keywords of resolv.conf(5) on Linux and other systems. None of them is used: names are looked up unchanged, with
/// the limits of this engine.
const OTHER_KEYWORDS: [&str; 7] = ["domain", "search", "options", "sortlist", "lookup", "family", "port"];

/// A line that is ignored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidLine {
    /// From 1.
    line: usize,
    why: &'static str,
}

/// The system's name servers in their order. Without a usable one, this machine is asked, as by the system's resolver
/// (resolv.conf(5)): a machine without names can still deliver to addresses.
pub(super) fn name_servers() -> Vec<SocketAddr> {
    let (servers, broken) = read_resolv_conf(&read(RESOLV_CONF), interface);
    report(RESOLV_CONF, &broken);
    if servers.is_empty() {
        tracing::warn!("no name server is configured in {RESOLV_CONF}; asking 127.0.0.1");
        return vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT))];
    }
    servers
}

/// The addresses in the hosts file.
pub(super) fn hosts() -> Hosts {
    let (hosts, broken) = Hosts::parse(&read(HOSTS));
    report(HOSTS, &broken);
    hosts
}

/// A missing file counts as empty. Invalid UTF-8 is replaced, because it can only matter in comments.
fn read(path: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::warn!("can't read {path}: {error}; continuing without it");
            String::new()
        }
    }
}

fn report(path: &str, broken: &[InvalidLine]) {
    for InvalidLine { line, why } in broken {
        tracing::warn!("line {line} of {path} is ignored: {why}");
    }
}

fn interface(name: &str) -> Option<u32> {
    let is_file_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let path = Path::new(INTERFACES).join(name).join("ifindex");
    let number = is_file_name.then(|| std::fs::read_to_string(path).ok()).flatten()?;
    number.trim().parse().ok()
}

/// Reads the name servers of a resolv.conf; `interface` returns the number of a network interface by its name.
pub(super) fn read_resolv_conf(
    text: &str,
    interface: impl Fn(&str) -> Option<u32>,
) -> (Vec<SocketAddr>, Vec<InvalidLine>) {
    let (mut servers, mut broken) = (Vec::new(), Vec::new());
    for (index, line) in lines(text) {
        let mut words = line.split_whitespace();
        let why = match words.next() {
            None => continue,
            Some(word) if word.starts_with([';', '#']) => continue,
            Some("nameserver") => match name_server(words.next().unwrap_or_default(), &interface) {
                Ok(server) if servers.contains(&server) => continue,
                Ok(server) => {
                    servers.push(server);
                    continue;
                }
                Err(why) => why,
            },
            Some("search" | "domain") if words.all(is_domain) => continue,
            Some("search" | "domain") => "a domain in it is not valid; search lists are not used in any case",
            Some(keyword) if OTHER_KEYWORDS.contains(&keyword) => continue,
            Some(_) => "this keyword is not known",
        };
        broken.push(InvalidLine { line: index + 1, why });
    }
    (servers, broken)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.trim_start_matches('\u{feff}').lines().enumerate()
}

fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.is_empty() || name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

fn name_server(text: &str, interface: impl Fn(&str) -> Option<u32>) -> Result<SocketAddr, &'static str> {
    let Some((address, scope)) = text.split_once('%') else {
        let address =
            text.parse::<IpAddr>().map_err(|_| "a name server is an IPv4 or IPv6 address, without a port")?;
        return Ok(SocketAddr::new(address, DNS_PORT));
    };
    let address = address.parse::<Ipv6Addr>().map_err(|_| "only an IPv6 address has a % with an interface")?;
    let scope = scope.parse().ok().or_else(|| interface(scope)).ok_or("there is no such network interface")?;
    Ok(SocketAddrV6::new(address, DNS_PORT, 0, scope).into())
}

/// Names with their addresses. Name servers are not asked for these.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    fn parse(text: &str) -> (Self, Vec<InvalidLine>) {
        let (mut hosts, mut broken) = (Self::default(), Vec::new());
        for (index, line) in lines(text) {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next() else { continue };
            // an address with an interface is on a link of this machine and never a target
            match address.split('%').next().unwrap_or_default().parse() {
                Ok(_) if address.contains('%') => {}
                Ok(address) => words.for_each(|name| hosts.add(name, address)),
                Err(_) => broken.push(InvalidLine { line: index + 1, why: "it does not begin with an address" }),
            }
        }
        (hosts, broken)
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let addresses = self.0.entry(name.into()).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// `name` in lower case, without a dot at its end.
    pub(super) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolv_conf(text: &str) -> (Vec<String>, Vec<usize>) {
        let (servers, broken) = read_resolv_conf(text, |name| (name == "eth0").then_some(7));
        let servers = servers.iter().map(SocketAddr::to_string).collect();
        (servers, broken.iter().map(|broken| broken.line).collect())
    }

    #[test]
    fn valid_name_servers_are_kept_in_order_whatever_else_a_resolv_conf_contains() {
        for (text, servers, broken) in [
            ("nameserver 192.0.2.1\nsearch a..b\nnameserver 192.0.2.2\n", "192.0.2.1:53 192.0.2.2:53", vec![2]),
            ("search a..b\nnameserver 192.0.2.1", "192.0.2.1:53", vec![1]),
            ("search .example -- a_b example. .\nnameserver 192.0.2.1", "192.0.2.1:53", vec![1]),
            ("domain a..b\nnameserver 192.0.2.1", "192.0.2.1:53", vec![1]),
            ("search .\ndomain\nnameserver 192.0.2.1", "192.0.2.1:53", vec![]),
            (
                "nameserver\nnameserver x\nnameserver 192.0.2.256\nnameserver 192.0.2.1",
                "192.0.2.1:53",
                vec![1, 2, 3],
            ),
            ("nameserver 192.0.2.9:53\nnameserver 192.0.2.1 # mine", "192.0.2.1:53", vec![1]),
            (
                "\u{feff}nameserver 192.0.2.1\r\nnameserver 2001:db8::1\r\n",
                "192.0.2.1:53 [2001:db8::1]:53",
                vec![],
            ),
            ("# nameserver 192.0.2.9\n;x\n\n  nameserver\t192.0.2.1\n", "192.0.2.1:53", vec![]),
            ("options ndots:99999999999 rotate what:ever edns0\nnameserver 192.0.2.1", "192.0.2.1:53", vec![]),
            (
                "sortlist 1/x\nmade-up yes\nnameserver 192.0.2.1\0\nnameserver 192.0.2.2",
                "192.0.2.2:53",
                vec![2, 3],
            ),
            ("nameserver fe80::1%eth0\nnameserver fe80::2%3", "[fe80::1%7]:53 [fe80::2%3]:53", vec![]),
            (
                "nameserver fe80::1%none\nnameserver 192.0.2.1%eth0\nnameserver 192.0.2.2",
                "192.0.2.2:53",
                vec![1, 2],
            ),
            ("nameserver 192.0.2.1\nnameserver 192.0.2.1", "192.0.2.1:53", vec![]),
            ("Nameserver 192.0.2.1", "", vec![1]),
            ("", "", vec![]),
        ] {
            let (found, ignored) = resolv_conf(text);
            assert_eq!((found.join(" ").as_str(), &ignored), (servers, &broken), "{text:?}");
        }
    }

    #[test]
    fn a_name_in_the_hosts_file_is_found_whatever_characters_it_contains() {
        let text = "\u{feff}127.0.0.1 localhost\r\n# 192.0.2.9 commented\n192.0.2.1\tMy_App.Example my-app # x\n\
            ::5 my_app.example -a.example a~b.example. _\nwhat is this\n192.0.2.2 my_app.example\nfe80::1%lo0 link\n";
        let (hosts, broken) = Hosts::parse(text);
        let find =
            |name| hosts.find(name).map(|found| found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "));
        for (name, addresses) in [
            ("my_app.example", Some("192.0.2.1 ::5 192.0.2.2")),
            ("my-app", Some("192.0.2.1")),
            ("-a.example", Some("::5")),
            ("a~b.example", Some("::5")),
            ("_", Some("::5")),
            ("commented", None),
            ("x", None),
            ("link", None),
            ("app.example", None),
        ] {
            assert_eq!(find(name).as_deref(), addresses, "{name}");
        }
        assert_eq!(broken, [InvalidLine { line: 5, why: "it does not begin with an address" }]);
    }
}
