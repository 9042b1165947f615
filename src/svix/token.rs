//! Tokens: JSON Web Tokens of HS256 (RFC 7519), with the claims that Svix's server gives its own. No other algorithm is read,
//! whatever a token says about itself.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, Serializer};
use sha2::Sha256;

use crate::domain::secret::Secret;
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

const ALGORITHM: &str = "HS256";
const ISSUER: &str = "ringback";
/// How wrong the clocks of those who make and read tokens may be; Svix's server forgives as much.
const LEEWAY_SECONDS: f64 = 900.0;
/// Longer ones are not looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How long a token of an environment is valid, as those of Svix's server.
pub const ENVIRONMENT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The same of an application.
pub const APPLICATION_LIFETIME: Duration = Duration::from_secs(28 * 86_400);

/// Makes and reads tokens. No `Debug`: it holds the key.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that a reader must understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// What a token says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The environment, in a token of an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// In seconds since 1970, as the others.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    exp: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    nbf: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    iat: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_flags: Vec<String>,
    /// Of ours alone: it changes nothing and sees no secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

impl Claims {
    /// Whether it was made before `from`; one that does not say when may have been.
    pub(super) fn is_from_before(&self, from: UnixMillis) -> bool {
        // a token says whole seconds
        self.iat.is_none_or(|made_at| made_at < from.as_seconds() as f64)
    }

    pub(super) fn is_valid_at(&self, now: UnixMillis) -> bool {
        let now = now.0 as f64 / 1_000.0;
        self.exp.is_none_or(|end| now - LEEWAY_SECONDS <= end)
            && self.nbf.is_none_or(|begin| now + LEEWAY_SECONDS >= begin)
            && self.iat.is_none_or(|made_at| now + LEEWAY_SECONDS >= made_at)
    }

    fn until(self, now: UnixMillis, lifetime: Duration) -> Self {
        let now = now.as_seconds() as f64;
        let (iat, nbf, exp) = (Some(now), Some(now), Some(now + lifetime.as_secs() as f64));
        Self { iat, nbf, exp, iss: Some(ISSUER.to_owned()), ..self }
    }
}

impl TokenKey {
    /// A key with this secret, which is used as it is written.
    pub fn new(secret: &Secret) -> Self {
        Self(keyed(secret.expose().as_bytes()))
    }

    /// A token of an environment.
    pub fn environment_token(&self, environment: &Environment, now: UnixMillis) -> String {
        let claims = Claims { sub: Some(environment.to_string()), ..Claims::default() };
        self.sign(&claims.until(now, ENVIRONMENT_LIFETIME))
    }

    /// A token of an application, by whatever id it has in this API, which sees event types with these flags.
    pub fn application_token(
        &self,
        environment: &Environment,
        application: &impl std::fmt::Display,
        wishes: TokenWishes,
        now: UnixMillis,
    ) -> String {
        let claims = Claims {
            sub: Some(application.to_string()),
            org: Some(environment.to_string()),
            feature_flags: wishes.feature_flags,
            read_only: wishes.read_only,
            ..Claims::default()
        };
        self.sign(&claims.until(now, wishes.lifetime))
    }

    fn sign(&self, claims: &Claims) -> String {
        let header = Header { alg: ALGORITHM.to_owned(), typ: Some("JWT".to_owned()), crit: None };
        let signed = format!("{}.{}", encoded(&header), encoded(claims));
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
    }

    /// Whether a text has the form of a token, whoever made it.
    pub(super) fn is_token(text: &str) -> bool {
        let header = text.split_once('.').and_then(|(header, _)| decoded::<Header>(header));
        header.is_some()
    }

    /// What a token says; `None` when it is not one of ours, or not valid now.
    pub(super) fn read(&self, token: &str, now: UnixMillis) -> Option<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = decoded(header)?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return None;
        }
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        // in constant time
        mac.verify_slice(&BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?).ok()?;
        decoded(claims).filter(|claims: &Claims| claims.is_valid_at(now))
    }
}

/// What an application's token is to be like.
#[derive(Debug, Clone)]
pub struct TokenWishes {
    /// The event types with one of these are seen as well as those without any.
    pub feature_flags: Vec<String>,
    /// It changes nothing and sees no secret.
    pub read_only: bool,
    /// From now on.
    pub lifetime: Duration,
}

impl Default for TokenWishes {
    fn default() -> Self {
        Self { feature_flags: Vec::new(), read_only: false, lifetime: APPLICATION_LIFETIME }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// Some readers take no fractions.
fn whole<S: Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds.map(|seconds| seconds as i64).serialize(serializer)
}

fn encoded(part: &impl Serialize) -> String {
    // strings and numbers always serialize
    BASE64URL_NOPAD.encode(&serde_json::to_vec(part).unwrap_or_default())
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
