//! ed25519: the engine signs with a private key, receivers verify with the public one (`v1a` of Standard Webhooks). Whoever
//! breaks into a receiver can't sign.

use std::fmt;

use data_encoding::BASE64;
use rand::Rng;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

/// Before the base64 of a public key.
const PUBLIC_PREFIX: &str = "whpk_";
const SEED_BYTES: usize = 32;
const PUBLIC_BYTES: usize = 32;
/// The seed, and the public key that follows from it.
pub(crate) const PRIVATE_BYTES: usize = SEED_BYTES + PUBLIC_BYTES;
const SIGNATURE_BYTES: usize = 64;

/// The bytes of a signature, before they are written as text.
pub type LongSignature = [u8; SIGNATURE_BYTES];

/// A private key, ready to sign with.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// Reads seed and public key; `None` unless one follows from the other.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seed, public) = bytes.split_at_checked(SEED_BYTES)?;
        Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Self)
    }

    /// The bytes of a new one.
    pub(crate) fn generate(rng: &mut impl Rng) -> Zeroizing<Vec<u8>> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        rng.fill_bytes(seed.as_mut());
        #[expect(clippy::expect_used, reason = "any 32 bytes are a seed (RFC 8032)")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("any seed");
        let mut bytes = Zeroizing::new(Vec::with_capacity(PRIVATE_BYTES));
        bytes.extend_from_slice(seed.as_ref());
        bytes.extend_from_slice(pair.public_key().as_ref());
        bytes
    }

    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC_BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> LongSignature {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        bytes
    }
}

/// What receivers verify with. It is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl PublicKey {
    /// Whether a text is meant as one, right or wrong.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with(PUBLIC_PREFIX)
    }

    /// That of a private key's bytes, without checking that one follows from the other.
    pub(crate) fn of_private_bytes(bytes: &[u8]) -> Option<Self> {
        let (_, public) = bytes.split_at_checked(SEED_BYTES)?;
        public.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; PUBLIC_BYTES] {
        &self.0
    }

    /// Reads `whpk_` and the base64 of 32 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix(PUBLIC_PREFIX)?.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", BASE64.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    /// RFC 8032, 7.1: seed, public key, message, signature of "TEST 3".
    const SEED: &str = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
    const PUBLIC: &str = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    const MESSAGE: &str = "af82";
    const SIGNATURE: &str = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        HEXLOWER.decode(hexadecimal.as_bytes()).unwrap()
    }

    #[test]
    fn the_vector_of_rfc_8032_is_reproduced_and_verified() {
        let key = PrivateKey::from_bytes(&[bytes(SEED), bytes(PUBLIC)].concat()).unwrap();
        let signature = key.sign(&bytes(MESSAGE));
        assert_eq!(HEXLOWER.encode(&signature), SIGNATURE);
        assert!(key.public().verifies(&bytes(MESSAGE), &signature));
        assert!(!key.public().verifies(b"other", &signature));
        assert!(!key.public().verifies(&bytes(MESSAGE), &signature[1..]));
    }

    #[test]
    fn a_private_key_whose_halves_do_not_belong_together_is_none() {
        let other = PrivateKey::generate(&mut SmallRng::seed_from_u64(1));
        assert!(PrivateKey::from_bytes(&other).is_some());
        let mixed = [bytes(SEED), other[SEED_BYTES..].to_vec()].concat();
        for wrong in [mixed, bytes(SEED), [bytes(SEED), bytes(PUBLIC), vec![0]].concat(), Vec::new()] {
            assert!(PrivateKey::from_bytes(&wrong).is_none(), "{} bytes", wrong.len());
        }
    }

    #[test]
    fn a_public_key_is_read_as_it_is_shown() {
        let key = PublicKey([7; PUBLIC_BYTES]);
        assert_eq!(PublicKey::parse(&key.to_string()), Some(key));
        for wrong in ["whpk_", "whpk_AAAA", "whsec_AAAA", &key.to_string()[..40]] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
    }
}
