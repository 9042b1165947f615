//! Signatures of both schemes (contract, "What a receiver gets").

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::ids::EventId;
use super::secret::Secret;

type HmacSha256 = Hmac<Sha256>;

/// The bytes of a signature, before they are written as text.
pub type Digest = [u8; 32];

/// `v1,` and 32 bytes in base64.
const STANDARD_SIGNATURE_LENGTH: usize = 3 + 44;

/// A secret prepared for signing: the key schedules of both schemes, computed once.
#[derive(Clone)]
pub struct SigningKey {
    /// Keyed with the secret as shown to the user, as UTF-8 bytes.
    document: HmacSha256,
    /// Keyed with the bytes after `whsec_`.
    standard: HmacSha256,
}

impl SigningKey {
    /// Prepares a secret.
    pub fn new(secret: &Secret) -> Self {
        Self { document: keyed(secret.expose().as_bytes()), standard: keyed(&secret.signing_bytes()) }
    }

    /// The CallIntel scheme: hex HMAC-SHA256 of the raw body.
    pub fn sign_document(&self, body: &Bytes) -> String {
        document_text(&self.document_digest(body))
    }

    /// The same before it is written in hexadecimal.
    pub(crate) fn document_digest(&self, body: &[u8]) -> Digest {
        let mut mac = self.document.clone();
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    /// Standard Webhooks 1.0.0: `v1,` and base64 HMAC-SHA256 of `id.timestamp.body`; `timestamp` in Unix
    /// seconds.
    pub fn sign_standard(&self, event_id: EventId, timestamp: i64, body: &Bytes) -> String {
        self.sign_standard_text(&event_id.to_string(), &timestamp.to_string(), body)
    }

    /// The same with id and timestamp in the form of their headers.
    pub(crate) fn sign_standard_text(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        standard_text(&[self.standard_digest(id, timestamp, body)])
    }

    /// The same before it is written in base64.
    pub(crate) fn standard_digest(&self, id: &str, timestamp: &str, body: &[u8]) -> Digest {
        let mut mac = self.standard.clone();
        for part in [id, ".", timestamp, "."] {
            mac.update(part.as_bytes());
        }
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    /// Checks a Standard Webhooks signature list in constant time, for `ringback listen`.
    pub fn verify_standard(&self, id: &str, timestamp: i64, body: &[u8], signatures: &str) -> bool {
        let expected = self.sign_standard_text(id, &timestamp.to_string(), body);
        signatures.split(' ').any(|signature| constant_time_eq(signature, &expected))
    }

    /// Checks a CallIntel signature in constant time.
    pub fn verify_document(&self, body: &Bytes, signature: &str) -> bool {
        constant_time_eq(signature, &self.sign_document(body))
    }
}

/// A signature of the document's scheme as its header has it.
pub(crate) fn document_text(digest: &Digest) -> String {
    HEXLOWER.encode(digest)
}

/// Signatures of Standard Webhooks as their header has them: separated by spaces.
pub(crate) fn standard_text(digests: &[Digest]) -> String {
    let mut text = String::with_capacity(digests.len() * (STANDARD_SIGNATURE_LENGTH + 1));
    for (place, digest) in digests.iter().enumerate() {
        text.push_str(if place == 0 { "v1," } else { " v1," });
        BASE64.encode_append(digest, &mut text);
    }
    text
}

fn constant_time_eq(left: &str, right: &str) -> bool {
    use subtle::ConstantTimeEq;
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn keyed(key: &[u8]) -> HmacSha256 {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
    HmacSha256::new_from_slice(key).expect("any key length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks reference libraries.
    #[test]
    fn the_standard_webhooks_vector_is_reproduced() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        let signature =
            key.sign_standard_text("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// Computed with Python: `hmac.new(secret.encode(), body, "sha256").hexdigest()`.
    #[test]
    fn the_callintel_scheme_is_keyed_with_the_secret_as_shown() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        let body = Bytes::from_static(br#"{"test": 2432232314}"#);
        let signature = key.sign_document(&body);
        assert_eq!(signature, "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c");
        assert!(key.verify_document(&body, &signature));
        assert!(!key.verify_document(&Bytes::from_static(b"{}"), &signature));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        let signature = key.sign_standard_text("msg_1", "5", b"x");
        assert!(key.verify_standard("msg_1", 5, b"x", &format!("v1,AAAA {signature}")));
        assert!(!key.verify_standard("msg_1", 6, b"x", &signature));
    }
}
