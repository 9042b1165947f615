//! A request's URL and headers in the form that awc needs.

use awc::http::Uri;
use awc::http::header::{HeaderName, HeaderValue};
use url::Position;

use crate::domain::attempt::AttemptError;
use crate::domain::sent_request::Header;
use crate::domain::target::TargetPolicy;

/// Headers that the transport writes itself, or that would change how a request is framed.
const RESERVED: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "expect", "upgrade"];

/// A URL that passed the policy, parsed once.
#[derive(Debug)]
pub(super) struct Target {
    /// Always `http` and always with a port: the choice of client decides about TLS, and awc pools by host and port.
    pub(super) uri: Uri,
    /// The value of the `host` header.
    pub(super) host: HeaderValue,
    pub(super) is_tls: bool,
}

impl Target {
    /// Checks a URL against the policy and parses it.
    pub(super) fn new(policy: &TargetPolicy, text: &str) -> Result<Self, AttemptError> {
        let url = policy.check_url(text).map_err(|error| match error.code() {
            "blocked_address" => AttemptError::BlockedAddress,
            _ => AttemptError::InvalidRequest,
        })?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(AttemptError::InvalidRequest);
        };
        let path = &url[Position::BeforePath..Position::AfterQuery];
        // `url` leaves the port out where it is the scheme's default
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Self {
            uri: Uri::try_from(format!("http://{host}:{port}{path}")).map_err(|_| AttemptError::InvalidRequest)?,
            host: HeaderValue::from_str(authority).map_err(|_| AttemptError::InvalidRequest)?,
            is_tls: url.scheme() == "https",
        })
    }

    /// A name, or an address without brackets.
    pub(super) fn bare_host(&self) -> &str {
        bare(self.uri.host().unwrap_or_default())
    }
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Parses a header; one that must not be sent makes the request invalid.
pub(super) fn header((name, value): Header) -> Result<(HeaderName, HeaderValue), AttemptError> {
    if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(AttemptError::InvalidRequest);
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| AttemptError::InvalidRequest)?;
    if !value.is_ascii() {
        return Err(AttemptError::InvalidRequest);
    }
    // not copied
    let value = HeaderValue::from_maybe_shared(value.into_bytes()).map_err(|_| AttemptError::InvalidRequest)?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_has_a_port_and_no_fragment_and_the_host_header_has_no_default_port() {
        let policy = TargetPolicy { allow_http: true, ..TargetPolicy::default() };
        for (url, uri, host, is_tls) in [
            ("https://a.example/x?y=1#z", "http://a.example:443/x?y=1", "a.example", true),
            ("http://a.example", "http://a.example:80/", "a.example", false),
            ("https://a.example:80/", "http://a.example:80/", "a.example:80", true),
            (
                "https://a.example:8443/%20|^`[]{}",
                "http://a.example:8443/%20|^%60[]%7B%7D",
                "a.example:8443",
                true,
            ),
            ("https://[2606:4700::1111]/", "http://[2606:4700::1111]:443/", "[2606:4700::1111]", true),
        ] {
            let target = Target::new(&policy, url).unwrap();
            assert_eq!((target.uri.to_string().as_str(), target.host.to_str().unwrap()), (uri, host), "{url}");
            assert_eq!(target.is_tls, is_tls);
        }
    }

    #[test]
    fn headers_that_would_change_the_framing_or_break_out_of_their_line_are_refused() {
        for (name, value) in [
            ("Host", "x"),
            ("Expect", "100-continue"),
            ("x y", "z"),
            ("x", "a\r\nb: c"),
            ("x", "\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(header((name.into(), value.into())), Err(AttemptError::InvalidRequest), "{name}: {value}");
        }
        assert!(header(("x-a".into(), "b c".into())).is_ok());
    }
}
