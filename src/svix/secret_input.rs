//! A signing secret that a publisher supplies, in the forms that Svix's server takes.

use data_encoding::BASE64;

use super::input::Invalid;
use crate::domain::secret::Secret;

/// Before the base64 part of a secret for HMAC.
const SECRET_PREFIX: &str = "whsec_";
/// The same of a private key.
const PRIVATE_PREFIX: &str = "whsk_";
/// Bytes of a secret for HMAC, as Svix's server takes them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=75;

/// A private key of ed25519, or a secret for HMAC with or without its prefix.
pub(super) fn checked_secret(field: &str, text: &str, invalid: &mut Invalid) -> Option<Secret> {
    if text.starts_with(PRIVATE_PREFIX) {
        let key = Secret::parse_private(text);
        if key.is_none() {
            let msg = "must be whsk_ and the base64 of an ed25519 key: the 32 bytes of its seed, then the 32 of the public key that \
                       follows from it";
            invalid.add(field, msg);
        }
        return key;
    }
    let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    let is_good = BASE64.decode(encoded.as_bytes()).is_ok_and(|bytes| SECRET_BYTES.contains(&bytes.len()));
    if !is_good {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        let msg = format!(
            "must be whsec_ and the base64 of {least} to {most} bytes, or whsk_ and that of an ed25519 key"
        );
        invalid.add(field, msg);
        return None;
    }
    Some(Secret::new(format!("{SECRET_PREFIX}{encoded}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut invalid = Invalid::of_body();
        let secret = checked_secret("secret", text, &mut invalid);
        assert_eq!(secret.is_none(), invalid.into_result().is_err());
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_secret_has_24_to_75_bytes_and_gets_its_prefix() {
        let encoded = |length: usize| BASE64.encode(&vec![7; length]);
        assert_eq!(read(&encoded(24)), Some(format!("whsec_{}", encoded(24))));
        assert_eq!(read(&format!("whsec_{}", encoded(75))), Some(format!("whsec_{}", encoded(75))));
        for wrong in [&encoded(23), &encoded(76), "", "whsec_", "not base64!"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_private_key_is_seed_and_public_key_and_a_public_key_alone_signs_nothing() {
        // the first of RFC 8032
        let key = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
        assert_eq!(read(key).as_deref(), Some(key));
        let seed = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        for wrong in [seed, public, &key.replace("whsk_nWGx", "whsk_nWGy"), &key[..40], "whsk_"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
