//! Encryption at rest of customers' secrets: signing secrets and header values.
//!
//! Envelope: version (1 byte) | key id (4 bytes) | nonce (24 bytes) | XChaCha20-Poly1305 ciphertext. The key id
//! is the beginning of SHA-256 of the master key, so that a wrong key is reported as such instead of looking
//! like damage. The organization and the endpoint are authenticated too: a value copied to another row does not
//! open there.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::random::RandomSource;
use crate::domain::secret::Secret;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// Why a value or a key is unusable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CipherError {
    /// The master key is not 32 bytes in base64.
    #[error("the master key must be 32 bytes in base64; make one with: openssl rand -base64 32")]
    MasterKey,
    /// The value was encrypted with another master key.
    #[error(
        "it was encrypted with the master key whose id is {expected}, the configured one has the id {configured}; \
         start with the master key that this database was written with"
    )]
    OtherKey {
        /// The id of the key that is needed.
        expected: String,
        /// The id of the key that is configured.
        configured: String,
    },
    /// Cut, changed, or moved here from another row.
    #[error("an encrypted value is damaged or belongs to another row")]
    Damaged,
    /// Written by a later version of this program.
    #[error("an encrypted value has the unknown format {0}; a newer version of this program wrote it")]
    UnknownVersion(u8),
    /// The value is too long; it would take gigabytes.
    #[error("the value is too long to be encrypted")]
    TooLong,
}

/// The cipher with its key, which is wiped when dropped. No `Debug`: it holds the key.
pub struct Cipher {
    cipher: XChaCha20Poly1305,
    key_id: [u8; KEY_ID_BYTES],
    /// Seeds the nonces.
    random: Arc<dyn RandomSource>,
}

impl Cipher {
    /// Reads the master key: 32 bytes in standard base64.
    pub fn from_master_key(base64: &Secret, random: Arc<dyn RandomSource>) -> Result<Self, CipherError> {
        let decoded = BASE64.decode(base64.expose().trim().as_bytes()).map_err(|_| CipherError::MasterKey)?;
        let key = Zeroizing::new(decoded);
        if key.len() != KEY_BYTES {
            return Err(CipherError::MasterKey);
        }
        let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| CipherError::MasterKey)?;
        let digest = Sha256::digest(key.as_slice());
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        Ok(Self { cipher, key_id, random })
    }

    /// A key for another purpose, from which the master key can't be found: HMAC-SHA-256 of the purpose, which is HKDF-Expand
    /// for one block (RFC 5869, section 2.3).
    pub fn derive_key(base64: &Secret, purpose: &str) -> Result<[u8; 32], CipherError> {
        let key =
            Zeroizing::new(BASE64.decode(base64.expose().trim().as_bytes()).map_err(|_| CipherError::MasterKey)?);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| CipherError::MasterKey)?;
        mac.update(purpose.as_bytes());
        mac.update(&[1]);
        Ok(mac.finalize().into_bytes().into())
    }

    /// Whether a value claims to be encrypted with this key, by its envelope; only decrypting it proves that.
    pub(crate) fn sealed(&self, envelope: &[u8]) -> bool {
        envelope.first() == Some(&VERSION) && envelope.get(1..=KEY_ID_BYTES) == Some(self.key_id.as_slice())
    }

    /// The id of its key, as in error messages.
    pub(crate) fn key_id(&self) -> String {
        HEXLOWER.encode(&self.key_id)
    }

    /// Encrypts a value for a row. The nonce is random: with 24 bytes a repetition is out of the question.
    pub(crate) fn encrypt(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let mut nonce = [0; NONCE_BYTES];
        StdRng::from_seed(self.random.seed()).fill_bytes(&mut nonce);
        let aad = associated_data(organization_id, endpoint_id);
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| CipherError::TooLong)?;
        let mut envelope = Vec::with_capacity(HEADER_BYTES + ciphertext.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.key_id);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&ciphertext);
        Ok(envelope)
    }

    /// Decrypts a value of a row.
    pub(crate) fn decrypt(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let (&version, rest) = envelope.split_first().ok_or(CipherError::Damaged)?;
        if version != VERSION {
            return Err(CipherError::UnknownVersion(version));
        }
        let (key_id, rest) = rest.split_at_checked(KEY_ID_BYTES).ok_or(CipherError::Damaged)?;
        if key_id != self.key_id {
            let (expected, configured) = (HEXLOWER.encode(key_id), self.key_id());
            return Err(CipherError::OtherKey { expected, configured });
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(CipherError::Damaged)?;
        let aad = associated_data(organization_id, endpoint_id);
        self.cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| CipherError::Damaged)
    }
}

fn associated_data(organization_id: OrganizationId, endpoint_id: EndpointId) -> [u8; 16] {
    let mut aad = [0; 16];
    aad[..8].copy_from_slice(&organization_id.0.to_be_bytes());
    aad[8..].copy_from_slice(&endpoint_id.0.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::CountingRandomSource;

    const HERE: (OrganizationId, EndpointId) = (OrganizationId(1), EndpointId(2));

    fn cipher(byte: u8) -> Cipher {
        let key = Secret::new(BASE64.encode(&[byte; KEY_BYTES]));
        Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).ok().unwrap()
    }

    #[test]
    fn a_value_is_decrypted_to_itself_and_never_encrypted_to_the_same_bytes_twice() {
        let cipher = cipher(7);
        let first = cipher.encrypt(HERE.0, HERE.1, b"whsec_x").unwrap();
        let second = cipher.encrypt(HERE.0, HERE.1, b"whsec_x").unwrap();
        assert_ne!(first, second);
        assert_eq!(cipher.decrypt(HERE.0, HERE.1, &first).unwrap().as_slice(), b"whsec_x");
        assert!(!first.windows(5).any(|window| window == b"whsec"));
    }

    #[test]
    fn a_value_opens_only_in_its_own_row() {
        let cipher = cipher(7);
        let sealed = cipher.encrypt(HERE.0, HERE.1, b"x").unwrap();
        assert_eq!(cipher.decrypt(OrganizationId(9), HERE.1, &sealed), Err(CipherError::Damaged));
        assert_eq!(cipher.decrypt(HERE.0, EndpointId(9), &sealed), Err(CipherError::Damaged));
    }

    #[test]
    fn every_changed_or_cut_value_is_refused() {
        let cipher = cipher(7);
        let sealed = cipher.encrypt(HERE.0, HERE.1, b"secret").unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(cipher.decrypt(HERE.0, HERE.1, &changed).is_err(), "{position}");
            assert!(cipher.decrypt(HERE.0, HERE.1, &sealed[..position]).is_err(), "{position}");
        }
    }

    #[test]
    fn another_master_key_is_named_by_its_id() {
        let sealed = cipher(7).encrypt(HERE.0, HERE.1, b"x").unwrap();
        let error = cipher(8).decrypt(HERE.0, HERE.1, &sealed).unwrap_err();
        let expected = HEXLOWER.encode(&Sha256::digest([7; KEY_BYTES])[..KEY_ID_BYTES]);
        assert!(error.to_string().contains(&expected), "{error}");
    }

    #[test]
    fn an_envelope_shows_which_key_it_was_sealed_with() {
        let sealed = cipher(7).encrypt(HERE.0, HERE.1, b"x").unwrap();
        assert!(cipher(7).sealed(&sealed) && !cipher(8).sealed(&sealed));
        assert!(!cipher(7).sealed(&sealed[..KEY_ID_BYTES]) && !cipher(7).sealed(b""));
        assert_ne!(cipher(7).key_id(), cipher(8).key_id());
    }

    #[test]
    fn a_master_key_of_the_wrong_size_is_refused_with_the_command_that_makes_one() {
        for text in ["", "abc", "AAAA", &BASE64.encode(&[1; 31]), &BASE64.encode(&[1; 33])] {
            let error = Cipher::from_master_key(
                &Secret::new((*text).to_owned()),
                Arc::new(CountingRandomSource::default()),
            )
            .err();
            assert!(error.unwrap().to_string().contains("openssl rand -base64 32"));
        }
    }
}
