//! The settings `client_certificate` and `oauth2`. Their secrets can be set and not read.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::Error as TlsError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::values::{read_url, reference, reference_or_null};
use super::{Change, MASK, Rules, Structured};
use crate::api::input::{self, Errors, FieldValue, JsonFields};
use crate::domain::credentials::{ClientAuthentication, ClientCertificate, OAuth2};
use crate::domain::endpoint::Endpoint;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

/// Of a chain or a key in PEM; ten certificates with RSA keys have 20 KB.
pub(crate) const PEM_BOUNDS: RangeInclusive<usize> = 1..=32_768;
/// Of the client's id, the scope and the audience.
pub(crate) const TEXT_BOUNDS: RangeInclusive<usize> = 1..=1_024;
/// Some servers take a signed token for it.
pub(crate) const CLIENT_SECRET_BOUNDS: RangeInclusive<usize> = 1..=4_096;

pub(super) const CLIENT_CERTIFICATE: Structured = Structured {
    type_name: "object",
    bounds: "see below",
    schema: || reference("ClientCertificate"),
    response_schema: || reference_or_null("ClientCertificateInForce"),
    get: |endpoint| endpoint.credentials.client_certificate.as_deref().map_or(Value::Null, certificate_view),
    read: |value, path, rules, errors| {
        let given = read_given(value, path, rules.now, errors)?;
        Some(Change::new(move |endpoint, errors| match &given {
            GivenCertificate::New(certificate) => {
                endpoint.credentials.client_certificate = Some(Arc::clone(certificate));
            }
            GivenCertificate::AsRead(view) => {
                keep(view, endpoint.credentials.client_certificate.as_deref(), errors)
            }
        }))
    },
    reset: |endpoint, _| endpoint.credentials.client_certificate = None,
};

pub(super) const OAUTH2: Structured = Structured {
    type_name: "object",
    bounds: "see below",
    schema: || reference("OAuth2"),
    response_schema: || reference_or_null("OAuth2InForce"),
    get: |endpoint| endpoint.credentials.oauth2.as_deref().map_or(Value::Null, oauth2_view),
    read: |value, path, rules, errors| {
        let settings = read_oauth2(value, path, rules, errors)?;
        Some(Change::new(move |endpoint, errors| {
            let stored = endpoint.credentials.oauth2.as_deref();
            if let Some(settings) = unmask(&settings, stored, errors) {
                endpoint.credentials.oauth2 = Some(Arc::new(settings));
            }
        }))
    },
    reset: |endpoint, _| endpoint.credentials.oauth2 = None,
};

fn certificate_view(certificate: &ClientCertificate) -> Value {
    let facts = certificate.facts();
    json!({
        "subject": facts.subject, "issuer": facts.issuer, "not_before": facts.not_before, "not_after": facts.not_after,
        "sha256_fingerprint": facts.fingerprint,
    })
}

fn oauth2_view(settings: &OAuth2) -> Value {
    json!({
        "token_url": settings.token_url, "client_id": settings.client_id, "client_secret": MASK, "scope": settings.scope,
        "audience": settings.audience, "client_authentication": settings.client_authentication.as_str(),
    })
}

/// What can't be set together. It holds for the webhook as a whole, so it is checked after a change to any of them.
pub(crate) fn check(endpoint: &Endpoint, errors: &mut Errors) {
    let has_header = endpoint.headers.iter().any(|header| header.name.eq_ignore_ascii_case("authorization"));
    if endpoint.credentials.oauth2.is_some() && has_header {
        errors.add(
            "oauth2",
            "not together with a header authorization, which carries the token; remove one of the two",
        );
    }
    if endpoint.credentials.client_certificate.is_some() && endpoint.url.starts_with("http:") {
        errors.add(
            "client_certificate",
            "needs an https: URL: without TLS it is never shown; remove one of the two",
        );
    }
}

/// A certificate in a body.
enum GivenCertificate {
    New(Arc<ClientCertificate>),
    /// The fields of [`certificate_view`], or some of them: what was read is written back.
    AsRead(Map<String, Value>),
}

fn read_given(value: &RawValue, path: &str, now: UnixMillis, errors: &mut Errors) -> Option<GivenCertificate> {
    let mut fields = JsonFields::nested(value, path, errors)?;
    // the one that says which certificate it is
    if fields.has("certificate") || fields.has("private_key") || !fields.has("sha256_fingerprint") {
        return read_certificate(fields, path, now, errors).map(|read| GivenCertificate::New(Arc::new(read)));
    }
    let mut view = Map::new();
    for name in ["subject", "issuer", "sha256_fingerprint"] {
        if let FieldValue::Value(text) = fields.read(name, errors, input::string) {
            view.insert(name.to_owned(), text.into());
        }
    }
    for name in ["not_before", "not_after"] {
        // as an instant: clients write one in other ways than they read it
        if let FieldValue::Value(at) = fields.read(name, errors, input::instant) {
            view.insert(name.to_owned(), json!(at));
        }
    }
    fields.finish(errors);
    Some(GivenCertificate::AsRead(view))
}

/// What was read keeps the stored certificate. Another one has replaced it, or never was there, if it is not that one's.
fn keep(view: &Map<String, Value>, stored: Option<&ClientCertificate>, errors: &mut Errors) {
    let Some(stored) = stored else {
        errors.add(
            "client_certificate",
            "describes a certificate, and none is stored here; give certificate and private_key",
        );
        return;
    };
    let shown = certificate_view(stored);
    if view.iter().any(|(name, value)| shown[name] != *value) {
        errors.add(
            "client_certificate",
            "describes another certificate than the stored one; read the webhook again, or give certificate and private_key",
        );
    }
}

fn read_certificate(
    mut fields: JsonFields<'_>,
    path: &str,
    now: UnixMillis,
    errors: &mut Errors,
) -> Option<ClientCertificate> {
    let chain = fields.require("certificate", errors, read_chain);
    let key = fields.require("private_key", errors, read_key);
    fields.finish(errors);
    let (chain, key) = (chain?, key?);
    let mut refuse = |field: &str, message: String| errors.add(format!("{path}.{field}"), message);
    let certificate = match ClientCertificate::new(chain, key) {
        Ok(certificate) => certificate,
        Err(error) => {
            refuse("certificate", error.to_string());
            return None;
        }
    };
    let facts = certificate.facts();
    if facts.not_after <= now {
        refuse("certificate", format!("expired at {}; receivers refuse it: get a new one", facts.not_after));
        return None;
    }
    if facts.not_before > now {
        refuse("certificate", format!("is not valid before {}; set it then", facts.not_before));
        return None;
    }
    if let Err(fault) = fits(&certificate) {
        refuse("private_key", fault);
        return None;
    }
    Some(certificate)
}

fn read_chain(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Vec<Vec<u8>>> {
    let text = input::string_of_length(PEM_BOUNDS)(value, path, errors)?;
    if text.contains("PRIVATE KEY-----") {
        errors.add(path, "contains a private key: give that in private_key alone");
        return None;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Some(chain.iter().map(|der| der.to_vec()).collect()),
        _ => {
            errors.add(
                path,
                "is not PEM: it needs -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- on lines of their own, and \
                 base64 between them; the webhook's own certificate first, then its intermediates",
            );
            None
        }
    }
}

fn read_key(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(input::string_of_length(PEM_BOUNDS)(value, path, errors)?);
    if text.contains("ENCRYPTED") {
        errors.add(path, "is protected by a password: decrypt it first, with `openssl pkey -in key.pem`");
        return None;
    }
    // the library's error could repeat a part of it
    let Ok(key) = PrivateKeyDer::from_pem_slice(text.as_bytes()) else {
        errors.add(path, "is not a private key in PEM: it needs -----BEGIN PRIVATE KEY----- (or RSA or EC PRIVATE KEY) and its end");
        return None;
    };
    Some(Zeroizing::new(key.secret_der().to_vec()))
}

/// Checks as the transport will, that the key can sign and is that of the certificate.
fn fits(certificate: &ClientCertificate) -> Result<(), String> {
    let chain = certificate.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
    let unusable =
        || "can't be used: it is RSA of 2,048 to 8,192 bits, ECDSA with P-256 or P-384, or Ed25519".to_owned();
    let key = PrivateKeyDer::try_from(certificate.expose_key()).map_err(|_| unusable())?.clone_key();
    match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(TlsError::InconsistentKeys(_)) => {
            Err("is not the key of the certificate (the first one of the chain)".to_owned())
        }
        Err(_) => Err(unusable()),
    }
}

fn read_oauth2(value: &RawValue, path: &str, rules: &Rules<'_>, errors: &mut Errors) -> Option<OAuth2> {
    let mut fields = JsonFields::nested(value, path, errors)?;
    let token_url =
        fields.require("token_url", errors, |value, path, errors| read_url(value, path, rules, errors));
    let client_id = fields.require("client_id", errors, printable(TEXT_BOUNDS));
    let client_secret = fields.require("client_secret", errors, printable(CLIENT_SECRET_BOUNDS));
    let scope = fields.read("scope", errors, printable(TEXT_BOUNDS)).into_option();
    let audience = fields.read("audience", errors, printable(TEXT_BOUNDS)).into_option();
    let way = fields.read("client_authentication", errors, read_way).into_option();
    fields.finish(errors);
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: Secret::new(client_secret?),
        scope,
        audience,
        client_authentication: way.unwrap_or_default(),
    })
}

/// What RFC 6749 allows in these.
fn printable(length: RangeInclusive<usize>) -> impl FnOnce(&RawValue, &str, &mut Errors) -> Option<String> {
    move |value, path, errors| {
        let text = input::string_of_length(length)(value, path, errors)?;
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.trim() != text {
            errors.add(path, "is printable ASCII without white space at its ends");
            return None;
        }
        Some(text)
    }
}

fn read_way(value: &RawValue, path: &str, errors: &mut Errors) -> Option<ClientAuthentication> {
    let text = input::string(value, path, errors)?;
    let way = ClientAuthentication::parse(&text);
    if way.is_none() {
        let names = ClientAuthentication::ALL.map(ClientAuthentication::as_str).join(" or ");
        errors.add(path, format!("expected {names}"));
    }
    way
}

/// The mask keeps the stored secret, so that settings that were read can be written back; but not with another token URL,
/// whose owner would get it.
fn unmask(settings: &OAuth2, stored: Option<&OAuth2>, errors: &mut Errors) -> Option<OAuth2> {
    if settings.client_secret.expose() != MASK {
        return Some(settings.clone());
    }
    let fault = match stored {
        Some(stored) if stored.token_url == settings.token_url => {
            return Some(OAuth2 { client_secret: stored.client_secret.clone(), ..settings.clone() });
        }
        Some(_) => {
            "with another token_url the secret has to be given again: the mask keeps it for the same one alone"
        }
        None => "the mask stands for no stored value here",
    };
    errors.add("oauth2.client_secret", fault);
    None
}
