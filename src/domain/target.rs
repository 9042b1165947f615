//! Which URLs and addresses may be targets (SSRF rules).
//!
//! [`TargetPolicy::check_url`] gives a helpful error when a webhook is created; what protects is
//! [`TargetPolicy::allows_socket`], asked by the transport for every address that it is about to connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

/// Bytes of a target's URL, as written.
pub const MAX_URL_BYTES: usize = 2048;

/// IPv4 networks that are not globally reachable (IANA IPv4 Special-Purpose Address Registry, RFC 6890), plus
/// multicast (RFC 5771), the withdrawn 6to4 relay (RFC 7526), and 168.63.129.16, where one cloud serves its
/// machines' metadata.
const REFUSED_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// The only IPv6 network that IANA has allocated for global unicast (RFC 4291, IANA IPv6 Address Space).
const ALLOWED_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is special inside it (IANA IPv6 Special-Purpose Address Registry): protocol assignments with Teredo,
/// documentation, 6to4, documentation (RFC 9637).
const REFUSED_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The WHATWG bad ports (Fetch Standard, "port blocking") from 1024 on; below, only 80 and 443 are allowed.
const BAD_PORTS: [u16; 19] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697,
    10080,
];

/// The operator's rules.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    /// Whether `http:` is accepted beside `https:`.
    pub allow_http: bool,
    /// Networks that are allowed although the rules refuse them.
    pub allowed_networks: Vec<IpNet>,
    /// Where the engine itself listens. Refused even inside `allowed_networks`: a target there would make the
    /// engine call itself. An unspecified address (`0.0.0.0`, `::`) stands for every loopback address.
    pub own_addresses: Vec<SocketAddr>,
}

/// Why a URL is refused when a webhook is created or changed. The texts are for the tenant and say what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// `http:` where it is not allowed.
    #[error("the URL must begin with https://")]
    HttpsRequired,
    /// Another scheme.
    #[error("the URL must begin with https://, not {0}:")]
    Scheme(String),
    /// Not a URL.
    #[error("not a URL: {0}")]
    Malformed(String),
    /// Longer than [`MAX_URL_BYTES`].
    #[error("the URL has {0} bytes; at most {MAX_URL_BYTES} are allowed")]
    TooLong(usize),
    /// A user name or a password.
    #[error("the URL must not hold a user name or a password; use a custom header to authenticate")]
    Credentials,
    /// A port that is neither 80, 443 nor at least 1024, or one that browsers block.
    #[error("port {0} is not allowed; use 80, 443 or another port from 1024 on that serves HTTP")]
    Port(u16),
    /// A host name that can't be looked up.
    #[error("the host name is not valid: {0}")]
    HostName(&'static str),
    /// `localhost` or a name below it.
    #[error("localhost is not reachable from here; use a public host name")]
    Localhost,
    /// An address that is not public.
    #[error("this address is not allowed as a target; use a public host name")]
    Address,
}

impl TargetError {
    /// The error's code in the API: `https_required`, `blocked_address` or `invalid_url`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HttpsRequired => "https_required",
            Self::Localhost | Self::Address => "blocked_address",
            Self::Scheme(_)
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::Credentials
            | Self::Port(_)
            | Self::HostName(_) => "invalid_url",
        }
    }
}

impl TargetPolicy {
    /// Checks a URL and gives its folded form without the fragment, which is never sent. A name is not
    /// resolved: it may not exist yet, and the answer may change.
    pub fn check_url(&self, text: &str) -> Result<Url, TargetError> {
        if text.len() > MAX_URL_BYTES {
            return Err(TargetError::TooLong(text.len()));
        }
        let mut url = Url::parse(text).map_err(|error| TargetError::Malformed(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(TargetError::HttpsRequired),
            other => return Err(TargetError::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        let Some(port) = url.port_or_known_default() else {
            return Err(TargetError::Malformed("no port".to_owned()));
        };
        if !allows_port(port) {
            return Err(TargetError::Port(port));
        }
        match url.host() {
            Some(Host::Domain(name)) => self.check_name(name, port)?,
            Some(Host::Ipv4(address)) => self.check_literal(address.into(), port)?,
            Some(Host::Ipv6(address)) => self.check_literal(address.into(), port)?,
            None => return Err(TargetError::Malformed("no host".to_owned())),
        }
        url.set_fragment(None);
        Ok(url)
    }

    /// Whether a connection to this address is allowed, whatever the port.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.is_excepted(address) || is_public(address)
    }

    /// Whether a connection to this address and port is allowed: a public or excepted address where the engine
    /// itself does not listen.
    pub fn allows_socket(&self, address: SocketAddr) -> bool {
        self.allows_address(address.ip()) && !self.is_own(address)
    }

    /// Whether the engine listens on this port; on which address is not asked.
    pub fn is_own_port(&self, port: u16) -> bool {
        self.own_addresses.iter().any(|own| own.port() == port)
    }

    /// Whether this is `localhost` or below it (RFC 6761, section 6.3); `name` in lower case.
    pub fn is_localhost(name: &str) -> bool {
        name == "localhost" || name.ends_with(".localhost")
    }

    fn check_name(&self, name: &str, port: u16) -> Result<(), TargetError> {
        if name.ends_with('.') {
            return Err(TargetError::HostName("remove the dot at its end"));
        }
        // RFC 1035, section 2.3.4
        if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(TargetError::HostName(
                "each of its parts has 1 to 63 characters, all of them at most 253",
            ));
        }
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let reachable = || loopback.iter().any(|&address| self.allows_socket(SocketAddr::new(address, port)));
        if Self::is_localhost(name) && !reachable() {
            return Err(TargetError::Localhost);
        }
        Ok(())
    }

    fn check_literal(&self, address: IpAddr, port: u16) -> Result<(), TargetError> {
        match self.allows_socket(SocketAddr::new(address, port)) {
            true => Ok(()),
            false => Err(TargetError::Address),
        }
    }

    /// An IPv4 address written as IPv6 (`::ffff:a.b.c.d`) is excepted when its IPv4 form is.
    fn is_excepted(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allowed_networks.iter().any(|network| network.contains(&address) || network.contains(&canonical))
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.own_addresses.iter().any(|own| {
            let own_ip = own.ip().to_canonical();
            own.port() == address.port()
                && (own_ip == ip || ip.is_unspecified() || own_ip.is_unspecified() && ip.is_loopback())
        })
    }
}

fn allows_port(port: u16) -> bool {
    matches!(port, 80 | 443) || port >= 1024 && !BAD_PORTS.contains(&port)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !REFUSED_V4.iter().any(|&(network, bits)| shares_v4(address, network, bits)),
        IpAddr::V6(address) => {
            shares_v6(address, ALLOWED_V6.0, ALLOWED_V6.1)
                && !REFUSED_V6.iter().any(|&(network, bits)| shares_v6(address, network, bits))
        }
    }
}

/// Whether the first `bits` (1 to 32) are the same.
fn shares_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

/// Whether the first `bits` (1 to 128) are the same.
fn shares_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict() -> TargetPolicy {
        TargetPolicy::default()
    }

    fn excepting(networks: &[&str]) -> TargetPolicy {
        let allowed_networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        TargetPolicy { allow_http: true, allowed_networks, own_addresses: Vec::new() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// First and last address of each range, and the neighbours just outside where those are public.
    #[test]
    fn every_refused_ipv4_range_ends_exactly_where_the_registry_says() {
        for (before, first, last, after) in [
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
        ] {
            for refused in [first, last] {
                assert!(!strict().allows_address(ip(refused)), "{refused}");
            }
            for allowed in [before, after].into_iter().flatten() {
                assert!(strict().allows_address(ip(allowed)), "{allowed}");
            }
        }
    }

    #[test]
    fn of_ipv6_only_global_unicast_is_allowed_less_its_special_ranges() {
        for refused in [
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002::",
            "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(!strict().allows_address(ip(refused)), "{refused}");
        }
        for allowed in [
            "2000::",
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(strict().allows_address(ip(allowed)), "{allowed}");
        }
    }

    #[test]
    fn an_excepted_network_is_allowed_and_nothing_beside_it() {
        let policy = excepting(&["127.0.0.0/8", "fd00::/64"]);
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:10.0.0.1", false),
            ("::127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("fd00::5", true),
            ("fd00:0:0:1::5", false),
        ] {
            assert_eq!(policy.allows_address(ip(address)), allowed, "{address}");
        }
    }

    #[test]
    fn the_engines_own_address_is_refused_even_inside_an_excepted_network() {
        let own = |listen: &str| TargetPolicy {
            own_addresses: vec![listen.parse().unwrap()],
            ..excepting(&["127.0.0.0/8", "10.0.0.0/8", "::1/128"])
        };
        for (listen, target, allowed) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", false),
            ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080/", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8081/", true),
            ("127.0.0.1:8080", "http://10.0.0.1:8080/", true),
            ("0.0.0.0:8080", "http://127.0.0.2:8080/", false),
            ("[::]:8080", "http://127.0.0.1:8080/", false),
            ("[::]:8080", "http://localhost:8080/", false),
            ("[::]:8080", "http://localhost:8081/", true),
        ] {
            assert_eq!(own(listen).check_url(target).is_ok(), allowed, "{target} while listening on {listen}");
        }
    }

    #[test]
    fn a_url_is_refused_with_the_reason_and_a_stable_code() {
        let long = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES - 17));
        for (url, code) in [
            ("http://a.example/", "https_required"),
            ("ftp://a.example/", "invalid_url"),
            ("a.example", "invalid_url"),
            ("", "invalid_url"),
            ("https://", "invalid_url"),
            ("https://user@a.example/", "invalid_url"),
            ("https://user:password@a.example/", "invalid_url"),
            ("https://:password@a.example/", "invalid_url"),
            ("https://a.example:0/", "invalid_url"),
            ("https://a.example:22/", "invalid_url"),
            ("https://a.example:444/", "invalid_url"),
            ("https://a.example:1023/", "invalid_url"),
            ("https://a.example:6000/", "invalid_url"),
            ("https://a.example:6667/", "invalid_url"),
            ("https://a.example:10080/", "invalid_url"),
            ("https://a.example./", "invalid_url"),
            ("https://a..example/", "invalid_url"),
            ("https://localhost/", "blocked_address"),
            ("https://LOCALHOST:8443/", "blocked_address"),
            ("https://a.localhost/", "blocked_address"),
            ("https://127.0.0.1/", "blocked_address"),
            ("https://0x7f.1/", "blocked_address"),
            ("https://2130706433/", "blocked_address"),
            ("https://0177.0.0.1/", "blocked_address"),
            ("https://１２７.０.０.１/", "blocked_address"),
            ("https://127.0.0.1./", "blocked_address"),
            ("https://169.254.169.254/latest/meta-data", "blocked_address"),
            ("https://[::1]/", "blocked_address"),
            ("https://[::ffff:127.0.0.1]/", "blocked_address"),
            ("https://[::ffff:7f00:1]/", "blocked_address"),
            ("https://[fe80::1]/", "blocked_address"),
            (&long, "invalid_url"),
        ] {
            let error = strict().check_url(url).expect_err(url);
            assert_eq!(error.code(), code, "{url}: {error}");
        }
        assert_eq!(strict().check_url(&long), Err(TargetError::TooLong(MAX_URL_BYTES + 1)));
    }

    #[test]
    fn a_public_target_is_accepted_and_its_fragment_dropped() {
        for (url, folded) in [
            ("https://a.example/x?y#z", "https://a.example/x?y"),
            ("https://a.example:80/", "https://a.example:80/"),
            ("https://a.example:443/", "https://a.example/"),
            ("https://a.example:1024/", "https://a.example:1024/"),
            ("https://a.example:65535/", "https://a.example:65535/"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://notlocalhost/", "https://notlocalhost/"),
        ] {
            assert_eq!(strict().check_url(url).map(String::from).as_deref(), Ok(folded), "{url}");
        }
        let exact = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES - 18));
        assert!(strict().check_url(&exact).is_ok());
        assert!(excepting(&["127.0.0.0/8"]).check_url("http://localhost:9000/").is_ok());
        assert!(excepting(&["::1/128"]).check_url("http://localhost:9000/").is_ok());
        assert!(excepting(&["10.0.0.0/8"]).check_url("http://localhost:9000/").is_err());
    }

    /// The same rules, written as prefixes of the address in binary.
    fn oracle(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let bits: String = address.octets().iter().map(|octet| format!("{octet:08b}")).collect();
                let refused = [
                    "00000000",
                    "00001010",
                    "0110010001",
                    "01111111",
                    "1010100111111110",
                    "101011000001",
                    "110000000000000000000000",
                    "110000000000000000000010",
                    "110000000101100001100011",
                    "1100000010101000",
                    "110001100001001",
                    "110001100011001101100100",
                    "110010110000000001110001",
                    "1110",
                    "1111",
                    "10101000001111111000000100010000",
                ];
                !refused.iter().any(|prefix| bits.starts_with(prefix))
            }
            IpAddr::V6(address) => {
                let hex: String = address.segments().iter().map(|segment| format!("{segment:04x}")).collect();
                let is_assignments = hex.starts_with("2001") && matches!(&hex[4..6], "00" | "01");
                (hex.starts_with('2') || hex.starts_with('3'))
                    && !is_assignments
                    && !["20010db8", "2002", "3fff0"].iter().any(|prefix| hex.starts_with(prefix))
            }
        }
    }

    proptest! {
        #[test]
        fn any_ipv4_address_is_judged_like_its_binary_prefix(bits: u32, near in 0usize..16, offset in -2i64..=2) {
            let (network, length) = REFUSED_V4[near];
            let first = i64::from(network.to_bits());
            let last = first + (1i64 << (32 - length)) - 1;
            for bits in [bits, (first + offset) as u32, (last + offset) as u32] {
                let address = IpAddr::from(Ipv4Addr::from_bits(bits));
                prop_assert_eq!(strict().allows_address(address), oracle(address), "{}", address);
            }
        }

        #[test]
        fn any_ipv6_address_is_judged_like_its_hexadecimal_prefix(bits: u128, start in 0x1ff0u16..0x4010, second: u16) {
            let spread = Ipv6Addr::from_bits(bits);
            let near = Ipv6Addr::from_bits(u128::from(start) << 112 | u128::from(second) << 96 | bits >> 32);
            let special = Ipv6Addr::from_bits(0x2001u128 << 112 | u128::from(second) << 96 | bits >> 32);
            for address in [spread, near, special].map(IpAddr::from) {
                prop_assert_eq!(strict().allows_address(address), oracle(address), "{}", address);
            }
        }

        #[test]
        fn no_text_makes_the_check_panic(text in "\\PC*", host in "[-a-z0-9.:\\[\\]%@]{0,40}") {
            let _ = strict().check_url(&text);
            let _ = excepting(&["0.0.0.0/0"]).check_url(&format!("http://{host}/"));
        }

        #[test]
        fn an_accepted_literal_is_an_allowed_address(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let accepted = strict().check_url(&format!("https://{bits}/")).is_ok();
            prop_assert_eq!(accepted, strict().allows_address(address.into()));
        }
    }
}
