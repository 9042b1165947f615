//! Which URLs and addresses may be targets (SSRF rules).
//!
//! [`TargetPolicy::check_url`] gives a helpful error when a webhook is created; the protection is
//! [`TargetPolicy::allows_socket`], which the transport calls for every address that it is about to connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use host_name::check_host_name;
use ipnet::IpNet;
use ports::{allowed_in_words, allows_port};
use thiserror::Error;
use url::{Host, Url};

mod host_name;
mod ports;

pub(crate) use host_name::HostNameError;
pub(crate) use ports::{PortRange, PortRangeError};

/// Bytes of a target's URL, as written.
pub(crate) const MAX_URL_BYTES: usize = 2048;

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

/// Special networks inside it (IANA IPv6 Special-Purpose Address Registry): protocol assignments with Teredo,
/// documentation, 6to4, documentation (RFC 9637).
const REFUSED_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The operator's rules.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    /// Whether `http:` is accepted as well as `https:`.
    pub allow_http: bool,
    /// Networks that are allowed although the rules refuse them.
    pub allowed_networks: Vec<IpNet>,
    /// Ports that a target may use; empty = 80, 443 and those from 1024 up that browsers don't block.
    pub allowed_ports: Vec<PortRange>,
    /// Where the engine itself listens. Refused even inside `allowed_networks`, because the engine would call itself. An
    /// unspecified address (`0.0.0.0`, `::`) stands for every loopback address.
    pub own_addresses: Vec<SocketAddr>,
    /// Where other nodes of the cluster listen: as forbidden.
    pub peer_addresses: PeerAddresses,
}

/// The addresses of other nodes, which come and go. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct PeerAddresses(Arc<RwLock<Vec<SocketAddr>>>);

impl PeerAddresses {
    /// From now on it is these.
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn any(&self, is: impl Fn(&SocketAddr) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(is)
    }
}

/// Why a URL is refused when a webhook is created or changed. The texts are for the tenant and say what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TargetError {
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
    #[error("the URL must not contain a user name or a password; use a custom header to authenticate")]
    Credentials,
    /// A port that the operator does not allow.
    #[error("port {port} is not allowed; {allowed}")]
    Port {
        /// The port of the URL.
        port: u16,
        /// The ports that are allowed, in words.
        allowed: String,
    },
    /// A host name that can't be looked up.
    #[error("the host name is not valid: {0}")]
    HostName(HostNameError),
    /// `localhost` or a name below it.
    #[error("localhost is not reachable from here; use a public host name")]
    Localhost,
    /// An address that is not public.
    #[error("this address is not allowed as a target; use a public host name")]
    Address,
}

impl TargetError {
    /// The error's code in the API: `https_required`, `blocked_address` or `invalid_url`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::HttpsRequired => "https_required",
            Self::Localhost | Self::Address => "blocked_address",
            Self::Scheme(_)
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::Credentials
            | Self::Port { .. }
            | Self::HostName(_) => "invalid_url",
        }
    }
}

impl TargetPolicy {
    /// Checks a URL and returns its normalized form without the fragment, which is never sent. The host name is not looked
    /// up: it may not exist yet, and its addresses may change.
    pub(crate) fn check_url(&self, text: &str) -> Result<Url, TargetError> {
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
        if !allows_port(&self.allowed_ports, port) {
            return Err(TargetError::Port { port, allowed: allowed_in_words(&self.allowed_ports) });
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
    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        self.is_excepted(address) || is_public(address)
    }

    /// Whether a connection to this address and port is allowed: a public or excepted address where the engine
    /// itself does not listen.
    pub(crate) fn allows_socket(&self, address: SocketAddr) -> bool {
        self.allows_address(address.ip()) && !self.is_own(address)
    }

    /// Whether the engine listens on this port on every address of its machine, including addresses that are not known here.
    pub(crate) fn listens_everywhere_on(&self, port: u16) -> bool {
        self.own_addresses.iter().any(|own| own.port() == port && own.ip().is_unspecified())
    }

    /// Whether this is `localhost` or below it (RFC 6761, section 6.3); `name` in lower case.
    pub(crate) fn is_localhost(name: &str) -> bool {
        name == "localhost" || name.ends_with(".localhost")
    }

    fn check_name(&self, name: &str, port: u16) -> Result<(), TargetError> {
        check_host_name(name).map_err(TargetError::HostName)?;
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
        let is_it = |own: &SocketAddr| {
            let own_ip = own.ip().to_canonical();
            own.port() == address.port()
                && (own_ip == ip || ip.is_unspecified() || own_ip.is_unspecified() && ip.is_loopback())
        };
        self.own_addresses.iter().any(is_it) || self.peer_addresses.any(is_it)
    }
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
mod tests;
