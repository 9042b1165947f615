//! The addresses that no webhook may reach, as the security rules list them: written down here once more, so that a
//! slip in the code's own list is seen.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// First and last address of each range, and their neighbours outside where those are public.
pub type Range = (Option<&'static str>, &'static str, &'static str, Option<&'static str>);

pub const RANGES: &[Range] = &[
    (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
    (Some("9.255.255.255"), "10.0.0.0", "10.255.255.255", Some("11.0.0.0")),
    (Some("100.63.255.255"), "100.64.0.0", "100.127.255.255", Some("100.128.0.0")),
    (Some("126.255.255.255"), "127.0.0.0", "127.255.255.255", Some("128.0.0.0")),
    (Some("169.253.255.255"), "169.254.0.0", "169.254.255.255", Some("169.255.0.0")),
    (Some("172.15.255.255"), "172.16.0.0", "172.31.255.255", Some("172.32.0.0")),
    (Some("191.255.255.255"), "192.0.0.0", "192.0.0.255", Some("192.0.1.0")),
    (Some("192.0.1.255"), "192.0.2.0", "192.0.2.255", Some("192.0.3.0")),
    (Some("192.88.98.255"), "192.88.99.0", "192.88.99.255", Some("192.88.100.0")),
    (Some("192.167.255.255"), "192.168.0.0", "192.168.255.255", Some("192.169.0.0")),
    (Some("198.17.255.255"), "198.18.0.0", "198.19.255.255", Some("198.20.0.0")),
    (Some("198.51.99.255"), "198.51.100.0", "198.51.100.255", Some("198.51.101.0")),
    (Some("203.0.112.255"), "203.0.113.0", "203.0.113.255", Some("203.0.114.0")),
    (Some("223.255.255.255"), "224.0.0.0", "239.255.255.255", None),
    (None, "240.0.0.0", "255.255.255.255", None),
    (Some("168.63.129.15"), "168.63.129.16", "168.63.129.16", Some("168.63.129.17")),
    // everything below 2000::/3: unspecified, loopback, v4-compatible, v4-mapped, NAT64, discard-only
    (None, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000::")),
    (None, "::1", "::1", None),
    (None, "::ffff:0.0.0.0", "::ffff:255.255.255.255", None),
    (None, "64:ff9b::", "64:ff9b::ffff:ffff", None),
    (
        Some("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        "2001::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("2001:200::"),
    ),
    (
        Some("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("2001:db9::"),
    ),
    (
        Some("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("2003::"),
    ),
    (
        Some("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("3fff:1000::"),
    ),
    // everything above it: unique local, link-local, site-local, multicast
    (Some("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    (None, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    (None, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    (None, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    (None, "ff00::", "ff02::1", None),
];

/// The addresses at the ends of all ranges.
pub fn refused() -> impl Iterator<Item = &'static str> {
    RANGES.iter().flat_map(|&(_, first, last, _)| [first, last])
}

/// The public addresses just outside.
pub fn neighbours() -> impl Iterator<Item = &'static str> {
    RANGES.iter().flat_map(|&(before, _, _, after)| [before, after]).flatten()
}

/// As the host of a URL.
pub fn host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Listens on both loopback addresses, on one port, and lets the system queue who comes: a connection is seen even
/// when it was closed at once.
pub struct Canary {
    listeners: Vec<TcpListener>,
    pub port: u16,
}

impl Canary {
    #[expect(clippy::new_without_default, reason = "opens sockets")]
    pub fn new() -> Self {
        // the port can be taken on the other address: then another one is tried
        for _ in 0..100 {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = v4.local_addr().unwrap().port();
            if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
                let listeners = vec![v4, v6];
                listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
                return Self { listeners, port };
            }
        }
        panic!("no port is free on both loopback addresses");
    }

    /// Fails when anybody has connected.
    pub fn assert_untouched(&self) {
        let visitors: Vec<SocketAddr> =
            self.listeners.iter().filter_map(|listener| listener.accept().ok()).map(|(_, peer)| peer).collect();
        assert_eq!(visitors, [], "connected to what is forbidden");
    }
}
