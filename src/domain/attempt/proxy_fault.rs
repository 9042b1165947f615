//! Why there is no way through the egress proxy to a receiver, although the proxy works.

use std::fmt;

/// What the proxy said about this receiver. Nothing of its own text is repeated: it is not for tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyFault {
    /// It may not connect there (403 and other 4xx).
    Refused,
    /// It could not connect there (502 and other 5xx).
    Unreachable,
    /// It could not connect there in time (504).
    Timeout,
    /// It closed the connection without an answer about this receiver.
    Closed,
}

impl ProxyFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 4] = [Self::Refused, Self::Unreachable, Self::Timeout, Self::Closed];

    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Refused => "proxy_refused",
            Self::Unreachable => "proxy_unreachable",
            Self::Timeout => "proxy_timeout",
            Self::Closed => "proxy_closed",
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => {
                "the egress proxy of this deployment does not connect to this host and port: use a URL that it allows, or ask an \
                 operator to allow this one there"
            }
            Self::Unreachable => {
                "the egress proxy of this deployment could not connect to the receiver: check that it runs, and its address, network \
                 and firewall"
            }
            Self::Timeout => {
                "the egress proxy of this deployment could not connect to the receiver in time: check that it runs, and its address, \
                 network and firewall"
            }
            Self::Closed => {
                "the egress proxy of this deployment gave up on the receiver without saying why: check that the receiver runs, and let \
                 an operator look into the proxy's log"
            }
        })
    }
}
