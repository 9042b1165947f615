//! The text of API keys: how they are made, and what is kept of them.

use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::secret::Secret;

/// Makes a key findable in leaked text.
const KEY_PREFIX: &str = "rbk_";
/// The length of the stored prefix, by which a key is recognized; 8 of its characters are from the 43 random ones.
const SHOWN_PREFIX_LENGTH: usize = 12;

/// How a key is stored and found.
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key: the text that is shown once, and its stored prefix.
pub(crate) fn generate_key(rng: &mut impl Rng) -> (Secret, String) {
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(bytes.as_mut());
    let key = format!("{KEY_PREFIX}{}", BASE64URL_NOPAD.encode(bytes.as_ref()));
    let prefix = key.chars().take(SHOWN_PREFIX_LENGTH).collect();
    (Secret::new(key), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn a_new_key_holds_256_random_bits_behind_its_prefix() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (first, prefix) = generate_key(&mut rng);
        let (second, _) = generate_key(&mut rng);
        assert_eq!(first.expose().len(), 4 + 43);
        assert!(first.expose().starts_with(&prefix) && prefix.len() == 12 && prefix.starts_with("rbk_"));
        assert!(first.expose() != second.expose());
    }
}
