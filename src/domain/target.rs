//! Which URLs and addresses may be targets (SSRF rules).

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;
use url::Url;

/// The operator's rules.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    /// Whether `http:` is accepted beside `https:`.
    pub allow_http: bool,
    /// Networks that are allowed although the rules refuse them.
    pub allowed_networks: Vec<IpNet>,
}

/// Why a URL is refused when a webhook is created or changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// `http:` where it is not allowed.
    #[error("the URL must begin with https://")]
    HttpsRequired,
    /// Not a URL.
    #[error("not a URL: {0}")]
    Malformed(String),
}

impl TargetPolicy {
    /// Checks a URL; a name is not resolved.
    pub fn check_url(&self, _text: &str) -> Result<Url, TargetError> {
        Err(TargetError::HttpsRequired)
    }

    /// Whether a connection to this address is allowed.
    pub fn allows_address(&self, _address: IpAddr) -> bool {
        false
    }
}
