//! Verifies the signatures of a request, as a receiver does.

use bytes::Bytes;
use ringback::domain::signing::{SigningKey, Verifier};
use ringback::domain::time::UnixMillis;

/// What a webhook can sign with, as `--signature`.
pub(crate) const SIGNATURES: [&str; 2] = ["hmac", "ed25519"];

/// The distance from now that the Standard Webhooks libraries accept.
const TOLERANCE_SECONDS: i64 = 5 * 60;

/// The signed parts of a request; `None` is a missing header.
pub(crate) struct SignedRequest<'a> {
    pub body: &'a Bytes,
    /// Before `-id`, `-timestamp` and `-signature`: `webhook` or `svix`.
    pub standard_prefix: &'a str,
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub standard: Option<&'a str>,
    /// `<prefix>-signature`.
    pub document: Option<&'a str>,
}

impl SignedRequest<'_> {
    /// Standard Webhooks 1.0.0.
    pub(crate) fn verify_standard(&self, verifier: &Verifier, now: UnixMillis) -> Result<(), String> {
        let prefix = self.standard_prefix;
        let missing = |name: &str| format!("{prefix}-{name} is missing");
        let id = self.id.ok_or_else(|| missing("id"))?;
        let timestamp = self.timestamp.ok_or_else(|| missing("timestamp"))?;
        let signatures = self.standard.ok_or_else(|| missing("signature"))?;
        let seconds: i64 =
            timestamp.parse().map_err(|_| format!("{prefix}-timestamp is not a number of seconds"))?;
        let age = now.as_seconds().saturating_sub(seconds);
        if age > TOLERANCE_SECONDS {
            return Err(format!("{prefix}-timestamp is {age} s old: a replay, or a wrong clock"));
        }
        if age < -TOLERANCE_SECONDS {
            return Err(format!("{prefix}-timestamp is {} s in the future", age.saturating_neg()));
        }
        if !verifier.verify_standard(id, seconds, self.body, signatures) {
            let what = if verifier.document_key().is_some() { "secret" } else { "key" };
            return Err(format!(
                "no signature of {prefix}-signature matches: a different {what} or a changed body"
            ));
        }
        Ok(())
    }

    /// The scheme of the contract: HMAC-SHA256 of the body, in `<prefix>-signature`.
    pub(crate) fn verify_document(&self, key: &SigningKey, prefix: &str) -> Result<(), String> {
        let signature = self.document.ok_or_else(|| format!("{prefix}-signature is missing"))?;
        if !key.verify_document(self.body, signature) {
            return Err(format!("{prefix}-signature does not match: a different secret or a changed body"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ringback::domain::secret::Secret;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: Bytes = Bytes::from_static(br#"{"test": 2432232314}"#);
    const SIGNED_AT: i64 = 1_614_265_330;

    fn vector() -> SignedRequest<'static> {
        static BODY_BYTES: Bytes = BODY;
        SignedRequest {
            body: &BODY_BYTES,
            standard_prefix: "webhook",
            id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            timestamp: Some("1614265330"),
            standard: Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            document: Some("80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"),
        }
    }

    fn verifier(text: &str) -> Verifier {
        Verifier::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn key(text: &str) -> SigningKey {
        SigningKey::new(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_genuine_request_is_accepted_within_five_minutes() {
        for offset in [-300, 0, 300] {
            assert_eq!(
                vector().verify_standard(&verifier(SECRET), UnixMillis((SIGNED_AT + offset) * 1000)),
                Ok(())
            );
        }
        assert_eq!(vector().verify_document(&key(SECRET), "x-callintel"), Ok(()));
    }

    #[test]
    fn a_timestamp_too_old_or_in_the_future_is_refused_with_the_reason() {
        let at =
            |offset: i64| vector().verify_standard(&verifier(SECRET), UnixMillis((SIGNED_AT + offset) * 1000));
        assert!(at(301).is_err_and(|reason| reason.contains("301 s old")));
        assert!(at(-301).is_err_and(|reason| reason.contains("in the future")));
    }

    #[test]
    fn a_different_secret_a_changed_body_or_a_missing_header_is_refused_with_the_reason() {
        let now = UnixMillis(SIGNED_AT * 1000);
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(vector().verify_standard(&verifier(other), now).is_err());
        assert!(vector().verify_document(&key(other), "x-callintel").is_err());
        let changed = Bytes::from_static(b"{}");
        assert!(SignedRequest { body: &changed, ..vector() }.verify_standard(&verifier(SECRET), now).is_err());
        assert!(SignedRequest { body: &changed, ..vector() }.verify_document(&key(SECRET), "x").is_err());
        let without_id = SignedRequest { id: None, ..vector() }.verify_standard(&verifier(SECRET), now);
        assert_eq!(without_id, Err(String::from("webhook-id is missing")));
        let without = SignedRequest { document: None, ..vector() }.verify_document(&key(SECRET), "x-acme");
        assert_eq!(without, Err(String::from("x-acme-signature is missing")));
    }

    /// The first key of RFC 8032; the signature computed with Python's `cryptography`.
    #[test]
    fn an_ed25519_signature_is_verified_with_the_public_key_under_the_names_of_svix() {
        let verifier = verifier("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let signature =
            "v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==";
        let genuine = SignedRequest { standard_prefix: "svix", standard: Some(signature), ..vector() };
        let now = UnixMillis(SIGNED_AT * 1000);
        assert_eq!(genuine.verify_standard(&verifier, now), Ok(()));
        let with_a_secret = SignedRequest { standard: vector().standard, ..genuine };
        let refused = with_a_secret.verify_standard(&verifier, now);
        assert!(refused.is_err_and(|reason| reason.starts_with("no signature of svix-signature matches: a different key")));
    }
}
