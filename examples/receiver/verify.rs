// Cargo.toml: data-encoding = "2", hmac = "0.13", sha2 = "0.11"
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The second is only there for a while after the secret was rotated.
const SIGNATURES: [&str; 2] = ["x-callintel-signature", "x-callintel-signature-previous"];

/// Whether a request is from the sender. `secret` is the text that begins with `whsec_`, `body` the bytes as they
/// came (JSON that is parsed and printed again has another signature), and `header` gives a header's value.
pub(crate) fn is_genuine<'a>(secret: &str, body: &[u8], header: impl Fn(&str) -> Option<&'a str>) -> bool {
    let is_signature = |given: &str| {
        let Ok(given) = HEXLOWER.decode(given.as_bytes()) else { return false };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(body);
        // compares in constant time
        mac.verify_slice(&given).is_ok()
    };
    SIGNATURES.iter().filter_map(|name| header(name)).any(is_signature)
}
