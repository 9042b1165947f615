//! Why there was no token for an attempt. As with the other details, a closed list of texts: what the token endpoint said is
//! not repeated, except its status.

use std::fmt;

use super::{AttemptError, ProxyFault};

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
    /// What is there does not speak HTTP.
    NotHttp,
    /// The response's body did not come to its end in time.
    Stalled,
    /// The connection was closed within the response's body.
    Cut,
    /// The response's body is larger than any token's.
    TooLarge,
    /// The response has no body.
    Empty,
    /// The response is no JSON and does not say that it is.
    ContentType,
    /// The response is no JSON object.
    Unreadable,
    /// There is no `access_token` in it.
    Missing,
    /// The token is of another type than bearer tokens.
    NotBearer,
    /// The token can't be in a header.
    Unusable,
}

impl TokenFault {
    /// Every fault; one example of the one with a status.
    pub(crate) const ALL: [Self; 22] = [
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
        Self::NotHttp,
        Self::Stalled,
        Self::Cut,
        Self::TooLarge,
        Self::Empty,
        Self::ContentType,
        Self::Unreadable,
        Self::Missing,
        Self::NotBearer,
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
            AttemptError::ProxyFailure(ProxyFault::Refused) => Self::Proxy,
            AttemptError::ProxyFailure(ProxyFault::Unreachable | ProxyFault::Timeout | ProxyFault::Closed) => {
                Self::Unreachable
            }
            AttemptError::TlsFailure(_) => Self::Tls,
            AttemptError::InvalidResponse => Self::NotHttp,
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
            Self::NotHttp => "token_not_http",
            Self::Stalled => "token_stalled",
            Self::Cut => "token_cut",
            Self::TooLarge => "token_too_large",
            Self::Empty => "token_empty",
            Self::ContentType => "token_content_type",
            Self::Unreadable => "token_unreadable",
            Self::Missing => "token_missing",
            Self::NotBearer => "token_not_bearer",
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
                let what_to_do = match status {
                    401 | 403 => "check oauth2.client_id and oauth2.client_secret, and whether this client may have tokens",
                    404 | 405 | 410 => "check oauth2.token_url: there is no token endpoint",
                    408 | 429 => "it is asked too often or too slow; raise its limit for this client",
                    500.. => "it failed itself; look into its log, attempts ask it again",
                    _ => "look into its log, and check oauth2.token_url",
                };
                return write!(f, "the token endpoint responded with {status}: {what_to_do}");
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
            Self::NotHttp => {
                "what answers at oauth2.token_url does not speak HTTP/1.1: check host and port, and look for what is in front of \
                 the token endpoint"
            }
            Self::Stalled => {
                "the token endpoint's response began and did not come to its end within the webhook's timeout: look for what holds \
                 it back (a proxy that buffers, a content-length that is too large), or raise the timeout"
            }
            Self::Cut => {
                "the token endpoint closed the connection before its response was complete: look into its log, and at the limits of \
                 proxies in front of it"
            }
            Self::TooLarge => {
                "the token endpoint's response is larger than 16 KiB: check that oauth2.token_url is not that of a page, and let \
                 the token have fewer claims"
            }
            Self::Empty => {
                "the token endpoint's response is empty: check that oauth2.token_url is that of the token endpoint, which returns JSON"
            }
            Self::ContentType => {
                "the token endpoint's response is not JSON and not declared as JSON; most often it is the page of a sign-in or of a \
                 proxy: check that oauth2.token_url is that of the token endpoint"
            }
            Self::Unreadable => {
                "the token endpoint's response is not a JSON object: check that oauth2.token_url is that of the token endpoint"
            }
            Self::Missing => {
                "the token endpoint's response has no access_token, or one that is no text: check that oauth2.token_url is that of the \
                 token endpoint, and that it grants client_credentials"
            }
            Self::NotBearer => {
                "the token endpoint returns tokens of another token_type than Bearer, which can't be sent: let it issue bearer tokens \
                 to this client"
            }
            Self::Unusable => {
                "the token endpoint's access_token can't be sent: a token is visible ASCII without blanks, of at most 8 KiB; let it have \
                 fewer claims if it is longer"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_may_not_connect_is_told_from_one_that_can_not() {
        let fault = |proxy| TokenFault::of(AttemptError::ProxyFailure(proxy));
        assert_eq!(fault(ProxyFault::Refused), TokenFault::Proxy);
        for could_not in [ProxyFault::Unreachable, ProxyFault::Timeout, ProxyFault::Closed] {
            assert_eq!(fault(could_not), TokenFault::Unreachable);
        }
    }
}
