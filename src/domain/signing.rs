//! Signatures of both schemes (contract, "What a receiver gets"), and of ed25519.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::asymmetric::{LongSignature, PrivateKey, PublicKey};
use super::ids::EventId;
use super::secret::{Secret, SecretError};

type HmacSha256 = Hmac<Sha256>;

/// The bytes of an HMAC, before they are written as text.
pub type Digest = [u8; 32];

/// `v1,` and 32 bytes in base64.
const STANDARD_SIGNATURE_LENGTH: usize = 3 + 44;

/// One of the signatures of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandardSignature {
    /// `v1`.
    Hmac(Digest),
    /// `v1a`; rare and long, so that the others take no room for it.
    Ed25519(Box<LongSignature>),
}

/// A signing secret of either kind, prepared for signing.
pub enum Signer {
    Hmac(SigningKey),
    /// It makes no document's signature: a receiver has only the public key, and that is no secret to key an HMAC with.
    Ed25519(PrivateKey),
}

impl Signer {
    /// Prepares a secret.
    pub fn new(secret: &Secret) -> Self {
        match secret.private_key() {
            Some(key) => Self::Ed25519(key),
            None => Self::Hmac(SigningKey::new(secret)),
        }
    }

    /// The key of the document's signature, if there is one.
    pub(crate) fn document_key(&self) -> Option<&SigningKey> {
        match self {
            Self::Hmac(key) => Some(key),
            Self::Ed25519(_) => None,
        }
    }

    /// The signature of Standard Webhooks, with id and timestamp in the form of their headers.
    pub(crate) fn sign_standard(&self, id: &str, timestamp: &str, body: &[u8]) -> StandardSignature {
        match self {
            Self::Hmac(key) => StandardSignature::Hmac(key.standard_digest(id, timestamp, body)),
            Self::Ed25519(key) => {
                StandardSignature::Ed25519(Box::new(key.sign(&standard_content(id, timestamp, body))))
            }
        }
    }
}

/// What a receiver has to verify with: the secret, or the public key.
pub enum Verifier {
    Hmac(Box<SigningKey>),
    Ed25519(PublicKey),
}

impl Verifier {
    /// Reads a secret as its owner sees it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        match PublicKey::is_meant(text) {
            true => PublicKey::parse(text).map(Self::Ed25519).ok_or(SecretError::PublicKey),
            false => {
                Secret::parse_signing(text.to_owned()).map(|secret| Self::Hmac(Box::new(SigningKey::new(&secret))))
            }
        }
    }

    /// Checks the signatures of Standard Webhooks: one of the right kind is enough.
    pub fn verify_standard(&self, id: &str, timestamp: i64, body: &[u8], signatures: &str) -> bool {
        match self {
            Self::Hmac(key) => key.verify_standard(id, timestamp, body, signatures),
            Self::Ed25519(key) => {
                let content = standard_content(id, &timestamp.to_string(), body);
                let of_its_kind = signatures.split(' ').filter_map(|one| one.strip_prefix("v1a,"));
                let mut decoded = of_its_kind.filter_map(|text| BASE64.decode(text.as_bytes()).ok());
                decoded.any(|signature| key.verifies(&content, &signature))
            }
        }
    }

    /// The key of the document's signature, if there is one.
    pub fn document_key(&self) -> Option<&SigningKey> {
        match self {
            Self::Hmac(key) => Some(key),
            Self::Ed25519(_) => None,
        }
    }
}

/// What Standard Webhooks signs, in one piece.
fn standard_content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// An HMAC secret prepared for signing: the key schedules of both schemes, computed once.
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
        HEXLOWER.encode(&self.document_digest(body))
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
        standard_text(&[StandardSignature::Hmac(self.standard_digest(id, timestamp, body))])
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
pub(crate) fn append_document(digest: &Digest, text: &mut String) {
    HEXLOWER.encode_append(digest, text);
}

/// Signatures of Standard Webhooks as their header has them: separated by spaces.
pub(crate) fn standard_text(signatures: &[StandardSignature]) -> String {
    let spaces = signatures.len().saturating_sub(1);
    let mut text = String::with_capacity(signatures.len() * STANDARD_SIGNATURE_LENGTH + spaces);
    append_standard(signatures, &mut text);
    text
}

pub(crate) fn append_standard(signatures: &[StandardSignature], text: &mut String) {
    for (place, signature) in signatures.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        let (version, bytes): (_, &[u8]) = match signature {
            StandardSignature::Hmac(digest) => ("v1,", digest),
            StandardSignature::Ed25519(long) => ("v1a,", long.as_ref()),
        };
        text.push_str(version);
        BASE64.encode_append(bytes, text);
    }
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

    /// Computed with Python's `cryptography`; the key is the first of RFC 8032.
    #[test]
    fn ed25519_signs_the_same_content_and_is_verified_with_the_public_key() {
        let text = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
        let secret = Secret::parse_private(text).unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let signer = Signer::new(&secret);
        assert!(signer.document_key().is_none());
        let signature = standard_text(&[signer.sign_standard(id, "1614265330", body)]);
        assert_eq!(
            signature,
            "v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw=="
        );
        let verifier = Verifier::parse(&secret.shown()).unwrap_or_else(|error| panic!("{error}"));
        assert!(verifier.document_key().is_none());
        let mixed = format!("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {signature}");
        assert!(verifier.verify_standard(id, 1_614_265_330, body, &mixed));
        assert!(!verifier.verify_standard(id, 1_614_265_331, body, &mixed));
        assert!(!verifier.verify_standard(id, 1_614_265_330, b"{}", &mixed));
        for other in
            ["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", &signature.replace("v1a", "v1"), "v1a,", ""]
        {
            assert!(!verifier.verify_standard(id, 1_614_265_330, body, other), "{other}");
        }
    }

    #[test]
    fn a_verifier_is_what_the_owner_sees_and_no_private_key() {
        assert!(Verifier::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
        assert_eq!(Verifier::parse("whpk_AAAA").err(), Some(SecretError::PublicKey));
        assert_eq!(Verifier::parse("whsk_AAAA").err(), Some(SecretError::Prefix));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        let signature = key.sign_standard_text("msg_1", "5", b"x");
        assert!(key.verify_standard("msg_1", 5, b"x", &format!("v1,AAAA {signature}")));
        assert!(!key.verify_standard("msg_1", 6, b"x", &signature));
    }
}
