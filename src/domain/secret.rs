//! Signing secrets: shown to their owner, never logged.

use std::borrow::Cow;

use data_encoding::{BASE64, BASE64_NOPAD};
use rand::Rng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::asymmetric::{PrivateKey, PublicKey};

/// The prefix of Standard Webhooks 1.0.0, before the base64 part.
const PREFIX: &str = "whsec_";
/// The same before a private key.
const PRIVATE_PREFIX: &str = "whsk_";
/// The length of a generated secret: that of a SHA-256 hash, as Standard Webhooks recommends.
const GENERATED_BYTES: usize = 32;
/// Standard Webhooks 1.0.0 requires 24 to 64 bytes.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a signing secret signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretKind {
    /// `whsec_…`: the receiver has the same secret.
    #[default]
    Hmac,
    /// `whsk_…`: the receiver has the public key of it.
    Ed25519,
}

impl SecretKind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Hmac, Self::Ed25519];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Ed25519 => "ed25519",
        }
    }
}

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
    /// `whpk_`, and something else behind it.
    #[error("after whpk_ a public key is the standard base64 of 32 bytes; this one is cut or mistyped")]
    PublicKey,
    /// Too short or too long.
    #[error("a secret has 24 to 64 bytes after base64 decoding, this one has {0}")]
    Length(usize),
}

impl Secret {
    /// Wraps any secret text, for example an API key or a custom header's value.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A new signing secret.
    pub(crate) fn generate_of(kind: SecretKind, rng: &mut impl Rng) -> Self {
        match kind {
            SecretKind::Hmac => Self::generate(rng),
            SecretKind::Ed25519 => Self::of_private(&PrivateKey::generate(rng)),
        }
    }

    fn of_private(bytes: &[u8]) -> Self {
        Self::new(format!("{PRIVATE_PREFIX}{}", BASE64.encode(bytes)))
    }

    /// A new one of the usual kind: `whsec_` and the base64 of 32 random bytes.
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

    /// Reads a private key that a customer supplies: `whsk_` and the base64 of its 64 bytes, the seed and the public key.
    pub fn parse_private(text: &str) -> Option<Self> {
        let bytes = decode(text.strip_prefix(PRIVATE_PREFIX)?)?;
        // in one form, however it was filled up: the same key again is no rotation
        PrivateKey::from_bytes(&bytes).map(|_| Self::of_private(&bytes))
    }

    /// What this signing secret signs with.
    pub fn kind(&self) -> SecretKind {
        match self.expose().starts_with(PRIVATE_PREFIX) {
            true => SecretKind::Ed25519,
            false => SecretKind::Hmac,
        }
    }

    /// What its owner sees and gives to receivers: the secret itself, of a private key the public one.
    pub fn shown(&self) -> Cow<'_, str> {
        match self.kind() {
            SecretKind::Hmac => Cow::Borrowed(self.expose()),
            // without one there is nothing to show, least of all the private key
            SecretKind::Ed25519 => {
                Cow::Owned(self.private_key().map(|key| key.public().to_string()).unwrap_or_default())
            }
        }
    }

    /// What receivers verify with; `None` when this is not a private key.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        PublicKey::of_private_bytes(&decode(self.expose().strip_prefix(PRIVATE_PREFIX)?)?)
    }

    /// `None` when this is not a private key.
    pub(crate) fn private_key(&self) -> Option<PrivateKey> {
        PrivateKey::from_bytes(&decode(self.expose().strip_prefix(PRIVATE_PREFIX)?)?)
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

    /// The first key of RFC 8032; its texts made with Python's `cryptography`.
    #[test]
    fn a_private_key_is_read_in_one_form_and_shown_as_its_public_key() {
        let text = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
        let secret = Secret::parse_private(text).unwrap();
        assert!(Secret::parse_private(text.trim_end_matches('=')).is_some_and(|bare| bare == secret));
        assert_eq!((secret.expose(), secret.kind()), (text, SecretKind::Ed25519));
        assert_eq!(secret.shown(), "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let cut = Secret::new(text[..60].to_owned());
        assert_eq!(cut.shown(), "", "and never the private key");
        let mixed = text.replace("nWGx", "nWGy");
        for wrong in [&text[..60], &mixed, "whsk_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::parse_private(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_generated_private_key_is_accepted_as_a_customers_own() {
        let secret = Secret::generate_of(SecretKind::Ed25519, &mut SmallRng::seed_from_u64(1));
        assert!(Secret::parse_private(secret.expose()).is_some_and(|read| read == secret));
        let usual = Secret::generate_of(SecretKind::Hmac, &mut SmallRng::seed_from_u64(1));
        assert_eq!((usual.kind(), usual.shown()), (SecretKind::Hmac, usual.expose().into()));
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
