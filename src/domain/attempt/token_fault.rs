//! Why there was no token for an attempt. As with the other details, a closed list of texts: what the token endpoint said is
//! not repeated, except its status.

use std::fmt;

use super::AttemptError;

/// Why a webhook with `oauth2` got no token. Nothing was sent to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// No response within the webhook's timeout.
    Timeout,
    /// The host name of the token URL did not resolve.
    HostName,
    /// No connection could be made, or it was closed before a response.
    Unreachable,
    /// The egress proxy made no connection to it.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// The address is not allowed; no connection was made.
    Blocked,
    /// The token URL can't be requested.
    InvalidUrl,
    /// The response is a redirect, which is not followed.
    Redirect,
    /// Another status than 2xx, without an error code of RFC 6749.
    Status(u16),
    /// `invalid_client`.
    InvalidClient,
    /// `invalid_scope`.
    InvalidScope,
    /// Another error code of RFC 6749.
    Refused,
    /// The response is no JSON object, or too large.
    Unreadable,
    /// There is no bearer token in it that can be a header.
    Unusable,
}

impl TokenFault {
    /// Every fault; one example of the one with a status.
    pub(crate) const ALL: [Self; 14] = [
        Self::Timeout,
        Self::HostName,
        Self::Unreachable,
        Self::Proxy,
        Self::Tls,
        Self::Blocked,
        Self::InvalidUrl,
        Self::Redirect,
        Self::Status(500),
        Self::InvalidClient,
        Self::InvalidScope,
        Self::Refused,
        Self::Unreadable,
        Self::Unusable,
    ];

    /// Why the request for a token got no response.
    pub(crate) fn of(error: AttemptError) -> Self {
        match error {
            AttemptError::Timeout => Self::Timeout,
            AttemptError::DnsFailure(_) => Self::HostName,
            AttemptError::ConnectionRefused
            | AttemptError::ConnectionReset
            | AttemptError::IdleConnectionClosed
            | AttemptError::ConnectionFailed => Self::Unreachable,
            AttemptError::ProxyFailure(_) => Self::Proxy,
            AttemptError::TlsFailure(_) => Self::Tls,
            AttemptError::InvalidResponse => Self::Unreadable,
            AttemptError::BlockedAddress => Self::Blocked,
            AttemptError::InvalidRequest => Self::InvalidUrl,
            AttemptError::TokenFailure(fault) => fault,
        }
    }

    pub(super) fn stored(self) -> String {
        match self {
            Self::Status(status) => format!("{}={status}", self.code()),
            _ => self.code().to_owned(),
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Timeout => "token_timeout",
            Self::HostName => "token_host_name",
            Self::Unreachable => "token_unreachable",
            Self::Proxy => "token_proxy",
            Self::Tls => "token_tls",
            Self::Blocked => "token_blocked",
            Self::InvalidUrl => "token_invalid_url",
            Self::Redirect => "token_redirect",
            Self::Status(_) => "token_status",
            Self::InvalidClient => "token_invalid_client",
            Self::InvalidScope => "token_invalid_scope",
            Self::Refused => "token_refused",
            Self::Unreadable => "token_unreadable",
            Self::Unusable => "token_unusable",
        }
    }

    /// The fault of a stored code, and what is behind it.
    pub(super) fn parse(code: &str, detail: Option<&str>) -> Option<Self> {
        match Self::ALL.into_iter().find(|fault| fault.code() == code)? {
            Self::Status(_) => detail?.parse().ok().map(Self::Status),
            fault => Some(fault),
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => {
                "the token endpoint did not respond within the webhook's timeout: check it, or raise the timeout"
            }
            Self::HostName => "the host name of oauth2.token_url did not resolve: check its spelling and DNS records",
            Self::Unreachable => {
                "the token endpoint could not be reached, or closed the connection: check that it runs, and host and port in \
                 oauth2.token_url"
            }
            Self::Proxy => {
                "the egress proxy of this deployment does not connect to the host and port of oauth2.token_url: ask its operator"
            }
            Self::Tls => "the TLS handshake with the token endpoint failed: check its certificate",
            Self::Blocked => {
                "the address of oauth2.token_url is not an allowed target: use one that anyone can reach from the internet, or \
                 ask for this one to be allowed"
            }
            Self::InvalidUrl => "oauth2.token_url can't be requested: it needs https and a usual port, unless others are allowed here",
            Self::Redirect => {
                "the token endpoint responded with a redirect, which is never followed: set oauth2.token_url to the address that it \
                 leads to"
            }
            Self::Status(status) => {
                return write!(f, "the token endpoint responded with {status}: look into its log, and check oauth2.token_url");
            }
            Self::InvalidClient => {
                "the token endpoint does not accept the client (invalid_client): check oauth2.client_id and \
                 oauth2.client_secret, and whether it wants client_secret_post"
            }
            Self::InvalidScope => "the token endpoint does not grant the scope (invalid_scope): check oauth2.scope",
            Self::Refused => {
                "the token endpoint refused the request: let it allow the grant client_credentials to this client, and check \
                 oauth2.scope and oauth2.audience"
            }
            Self::Unreadable => {
                "the token endpoint's response is not a JSON object of at most 16 KiB: check that oauth2.token_url is that of the token \
                 endpoint"
            }
            Self::Unusable => {
                "the token endpoint's response has no bearer token that can be sent: a token is visible ASCII of at most 8 KiB \
                 in access_token"
            }
        })
    }
}
