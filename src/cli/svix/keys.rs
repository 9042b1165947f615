//! Signing keys as Svix's server stores them: a byte that says what follows, and the key, which may be encrypted.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use ringback::domain::secret::Secret;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// A key without the byte before it, as the oldest servers stored it.
const BARE_BYTES: usize = 24;
const NONCE_BYTES: usize = 24;
const ENCRYPTED: u8 = 0b1000_0000;
const SYMMETRIC: u8 = 1;
const ED25519: u8 = 2;
const SYMMETRIC_PREFIX: &str = "whsec_";
const ED25519_PREFIX: &str = "whsk_";

/// Why a key can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum KeyError {
    #[error("the signing key is damaged: it has {0} bytes")]
    Short(usize),
    #[error("the signing key is of an unknown kind ({0})")]
    Kind(u8),
    #[error("the signing key is encrypted; give the server's main_secret with --encryption-secret")]
    Encrypted,
    #[error("the signing key was encrypted with another main_secret")]
    OtherSecret,
    #[error("the signing key is not base64")]
    Encoding,
}

/// Reads keys. No `Debug`: it holds the key of keys.
pub(super) struct KeyReader(Option<XChaCha20Poly1305>);

impl KeyReader {
    /// With the server's `main_secret`, if it has one.
    pub(super) fn new(main_secret: Option<&Secret>) -> Self {
        Self(main_secret.map(|secret| {
            let key = Zeroizing::new(<[u8; 32]>::from(derived(secret)));
            XChaCha20Poly1305::new(&(*key).into())
        }))
    }

    /// A key as its column holds it.
    pub(super) fn open(&self, stored: &[u8]) -> Result<Secret, KeyError> {
        let (kind, key) = match stored {
            [] => return Err(KeyError::Short(0)),
            stored if stored.len() < BARE_BYTES => return Err(KeyError::Short(stored.len())),
            stored if stored.len() == BARE_BYTES => (SYMMETRIC, stored),
            [kind, key @ ..] => (*kind, key),
        };
        let prefix = match kind & !ENCRYPTED {
            SYMMETRIC => SYMMETRIC_PREFIX,
            ED25519 => ED25519_PREFIX,
            kind => return Err(KeyError::Kind(kind)),
        };
        let plain = match kind & ENCRYPTED {
            0 => Zeroizing::new(key.to_vec()),
            _ => self.decrypt(key)?,
        };
        Ok(Secret::new(format!("{prefix}{}", BASE64.encode(&plain))))
    }

    /// A replaced key as the list of them holds it: the text of a key, or the base64 of what a column would hold.
    pub(super) fn open_text(&self, text: &str) -> Result<Secret, KeyError> {
        if text.starts_with(SYMMETRIC_PREFIX) {
            return Ok(Secret::new(text.to_owned()));
        }
        self.open(&Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| KeyError::Encoding)?))
    }

    fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let cipher = self.0.as_ref().ok_or(KeyError::Encrypted)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(KeyError::Short(sealed.len()))?;
        cipher.decrypt(&XNonce::from(*nonce), sealed).map(Zeroizing::new).map_err(|_| KeyError::OtherSecret)
    }
}

/// What Svix's server makes of its `main_secret`: a key of the right size.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn derived(main_secret: &Secret) -> hmac::digest::Output<Hmac<Sha256>> {
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(main_secret.expose().as_bytes());
    let mut mac = mac.expect("HMAC takes keys of every length");
    mac.update(b"main");
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> KeyReader {
        KeyReader::new(Some(&Secret::new("main".to_owned())))
    }

    fn sealed(kind: u8, key: &[u8]) -> Vec<u8> {
        let nonce = [9; NONCE_BYTES];
        let ciphertext = reader().0.unwrap().encrypt(&XNonce::from(nonce), key).unwrap();
        [&[kind | ENCRYPTED][..], &nonce, &ciphertext].concat()
    }

    fn text(secret: Result<Secret, KeyError>) -> String {
        secret.unwrap().expose().to_owned()
    }

    #[test]
    fn a_key_is_read_as_every_server_stored_it() {
        let key = [7; 24];
        let expected = format!("whsec_{}", BASE64.encode(&key));
        assert_eq!(text(reader().open(&key)), expected, "without a byte before it");
        assert_eq!(text(KeyReader::new(None).open(&[&[SYMMETRIC][..], &key].concat())), expected);
        assert_eq!(text(reader().open(&sealed(SYMMETRIC, &key))), expected);
        assert_eq!(text(reader().open_text(&expected)), expected);
        assert_eq!(text(reader().open_text(&BASE64.encode(&sealed(SYMMETRIC, &key)))), expected);
        assert!(text(reader().open(&sealed(ED25519, &[7; 64]))).starts_with("whsk_"));
    }

    #[test]
    fn a_key_that_can_t_be_read_says_why() {
        let failure = |stored: &[u8]| reader().open(stored).err();
        assert_eq!(failure(&[1; 23]), Some(KeyError::Short(23)));
        assert_eq!(failure(&[9; 25]), Some(KeyError::Kind(9)));
        assert_eq!(KeyReader::new(None).open(&sealed(SYMMETRIC, &[7; 24])).err(), Some(KeyError::Encrypted));
        let other = KeyReader::new(Some(&Secret::new("other".to_owned())));
        assert_eq!(other.open(&sealed(SYMMETRIC, &[7; 24])).err(), Some(KeyError::OtherSecret));
        assert_eq!(reader().open_text("not base64!").err(), Some(KeyError::Encoding));
    }
}
