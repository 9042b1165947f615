//! Signing secrets: shown to their owner, never logged.

use data_encoding::{BASE64, BASE64_NOPAD};
use rand::Rng;
use thiserror::Error;
use zeroize::Zeroizing;

/// The prefix of Standard Webhooks 1.0.0, before the base64 part.
const PREFIX: &str = "whsec_";
/// The length of a generated secret: that of a SHA-256 hash, as Standard Webhooks recommends.
const GENERATED_BYTES: usize = 32;
/// Standard Webhooks 1.0.0 requires 24 to 64 bytes.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret text. It has no `Debug` and no `Serialize`, so that it can't slip into a log line or a response;
/// [`Secret::expose`] is the only way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a text is not a signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The prefix is missing.
    #[error("a secret starts with whsec_")]
    Prefix,
    /// The part after the prefix is not standard base64.
    #[error(
        "after whsec_ a secret is standard base64: letters, digits, + and /, and = only to fill its last four characters; \
         this one is cut or mistyped"
    )]
    Base64,
    /// The URL-safe alphabet of RFC 4648. Refused, because Standard Webhooks libraries read it as another key or not at all.
    #[error(
        "after whsec_ a secret is standard base64, this one is URL-safe base64: write + for - and / for _, here and at the receiver"
    )]
    UrlSafe,
    /// For example a line break that was copied along.
    #[error("a secret contains no spaces or line breaks")]
    Blank,
    /// Too short or too long.
    #[error("a secret has 24 to 64 bytes after base64 decoding, this one has {0}")]
    Length(usize),
}

impl Secret {
    /// Wraps any secret text, for example an API key or a custom header's value.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A new signing secret: `whsec_` and the base64 of 32 random bytes.
    pub(crate) fn generate(rng: &mut impl Rng) -> Self {
        let mut bytes = Zeroizing::new([0u8; GENERATED_BYTES]);
        rng.fill_bytes(bytes.as_mut());
        Self::new(format!("{PREFIX}{}", BASE64.encode(bytes.as_ref())))
    }

    /// Checks a signing secret that a customer supplies.
    pub fn parse_signing(text: String) -> Result<Self, SecretError> {
        let secret = Self::new(text);
        let encoded = secret.expose().strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = decode(encoded).ok_or_else(|| match encoded {
            _ if encoded.contains(char::is_whitespace) => SecretError::Blank,
            _ if encoded.contains(['-', '_']) => SecretError::UrlSafe,
            _ => SecretError::Base64,
        })?;
        if !BYTES.contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        Ok(secret)
    }

    /// The text itself. The caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key bytes after `whsec_`; empty when this is not a signing secret.
    pub(crate) fn signing_bytes(&self) -> Zeroizing<Vec<u8>> {
        let encoded = self.expose().strip_prefix(PREFIX).unwrap_or_default();
        decode(encoded).unwrap_or_default()
    }
}

/// Accepts all of the padding or none of it.
fn decode(encoded: &str) -> Option<Zeroizing<Vec<u8>>> {
    let encoding = if encoded.ends_with('=') { BASE64 } else { BASE64_NOPAD };
    encoding.decode(encoded.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn a_generated_secret_is_accepted_as_a_customers_own() {
        let secret = Secret::generate(&mut SmallRng::seed_from_u64(1));
        assert!(Secret::parse_signing(secret.expose().to_owned()).is_ok());
        assert_eq!(secret.signing_bytes().len(), GENERATED_BYTES);
    }

    #[test]
    fn a_secret_of_the_wrong_form_or_length_is_refused_with_the_reason() {
        let refused = |text: &str| Secret::parse_signing(text.to_owned()).err();
        assert_eq!(refused("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(SecretError::Prefix));
        assert_eq!(refused("whsec_***"), Some(SecretError::Base64));
        assert_eq!(refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL-_w"), Some(SecretError::UrlSafe));
        assert_eq!(refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), Some(SecretError::Blank));
        assert_eq!(refused("whsec_AAAA"), Some(SecretError::Length(3)));
        let padded = format!("whsec_{}", BASE64.encode(&[7; 32]));
        for wrong in [format!("{padded}="), format!("{}B=", &padded[..padded.len() - 2])] {
            assert_eq!(refused(&wrong), Some(SecretError::Base64), "{wrong}");
        }
        let sized = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
        assert_eq!(refused(&sized(23)), Some(SecretError::Length(23)));
        assert_eq!(refused(&sized(24)), None);
        assert_eq!(refused(&sized(64)), None);
        assert_eq!(refused(&sized(65)), Some(SecretError::Length(65)));
    }

    #[test]
    fn a_secret_without_padding_has_the_same_bytes() {
        for bytes in 24..=64 {
            let padded = format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
            let bare = Secret::parse_signing(padded.trim_end_matches('=').to_owned());
            assert_eq!(bare.map(|secret| secret.signing_bytes().to_vec()), Ok(vec![7; bytes]));
        }
    }
}
