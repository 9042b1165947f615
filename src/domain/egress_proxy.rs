//! A forward proxy that every attempt goes through, as an operator sets it.

use std::fmt;

use data_encoding::BASE64;
use thiserror::Error;
use url::Url;

use super::secret::Secret;

/// Where the proxy is, and what it is told.
#[derive(Clone)]
pub struct EgressProxy {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// The value of `proxy-authorization`.
    pub authorization: Option<Secret>,
    /// Whether it looks names up. Otherwise it is asked for an address that was looked up and checked here.
    pub resolves: bool,
}

/// Why a text is not the URL of a proxy. The texts repeat nothing of it: it can contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum EgressProxyError {
    /// Not a URL, or of another form.
    #[error(
        "expects http://host:port or http://user:password@host:port, where @, :, /, # and % in a password are written as %40, \
         %3A, %2F, %23 and %25"
    )]
    Form,
    /// `https://`, `socks5://`.
    #[error(
        "expects a proxy that is spoken to in plain HTTP: http://host:port (what is sent to receivers through it is encrypted)"
    )]
    Scheme,
    /// Basic authentication ends the user's name there.
    #[error("the user's name must not contain a colon")]
    Colon,
}

impl EgressProxy {
    /// Reads the URL; names are not looked up by it.
    pub(crate) fn parse(text: &str) -> Result<Self, EgressProxyError> {
        let url = Url::parse(text).map_err(|_| EgressProxyError::Form)?;
        if url.scheme() != "http" {
            // `host:3128` is a URL too, whose scheme is the host
            return Err(if text.contains("://") { EgressProxyError::Scheme } else { EgressProxyError::Form });
        }
        let host = url.host_str().ok_or(EgressProxyError::Form)?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(EgressProxyError::Form);
        }
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let mut credentials = decoded(user).ok_or(EgressProxyError::Form)?;
                if credentials.contains(&b':') {
                    return Err(EgressProxyError::Colon);
                }
                credentials.push(b':');
                credentials.extend(decoded(password.unwrap_or_default()).ok_or(EgressProxyError::Form)?);
                Some(Secret::new(format!("Basic {}", BASE64.encode(&credentials))))
            }
        };
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            authorization,
            resolves: false,
        })
    }
}

/// Without user and password.
impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.authorization.is_some() { "(hidden)@" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "http://{user}[{}]:{}", self.host, self.port),
            false => write!(f, "http://{user}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EgressProxy({self})")
    }
}

/// Undoes percent-encoding; `None` where two hexadecimal digits are missing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(text: &str) -> Option<String> {
        EgressProxy::parse(text).unwrap().authorization.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_proxy_is_a_host_a_port_and_perhaps_who_asks() {
        for (text, shown) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128"),
            ("http://10.0.0.7/", "http://10.0.0.7:80"),
            ("http://[fd00::7]:3128", "http://[fd00::7]:3128"),
            ("http://ringback:s3cret@proxy:3128", "http://(hidden)@proxy:3128"),
        ] {
            assert_eq!(EgressProxy::parse(text).unwrap().to_string(), shown, "{text}");
            assert!(!format!("{:?}", EgressProxy::parse(text)).contains("s3cret"));
        }
        assert_eq!(authorization("http://proxy:3128"), None);
        // RFC 7617, section 2
        let of_the_rfc = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(authorization("http://Aladdin:open%20sesame@proxy:3128").as_deref(), Some(of_the_rfc));
        assert_eq!(authorization("http://a:%40%3a%25@proxy").as_deref(), Some("Basic YTpAOiU="));
        assert_eq!(authorization("http://a@proxy").as_deref(), Some("Basic YTo="));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_its_password() {
        for (text, error) in [
            ("proxy:3128", EgressProxyError::Form),
            ("10.0.0.7:3128", EgressProxyError::Form),
            ("https://proxy:3128", EgressProxyError::Scheme),
            ("socks5://proxy:1080", EgressProxyError::Scheme),
            ("http://a:s3cret/@proxy:3128", EgressProxyError::Form),
            ("http://a:s3cret%2@proxy:3128", EgressProxyError::Form),
            ("http://a%3ab:s3cret@proxy:3128", EgressProxyError::Colon),
            ("http://proxy:3128/path", EgressProxyError::Form),
            ("http://proxy:3128?x", EgressProxyError::Form),
            ("http://", EgressProxyError::Form),
        ] {
            let refused = EgressProxy::parse(text).err();
            assert_eq!(refused, Some(error), "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
