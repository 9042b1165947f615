//! `/.well-known/webhook-keys/{id}`: the public keys of a webhook, for its receiver. And how a webhook says what signs.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::input::{self, Errors};
use super::problem::Problem;
use super::{Api, path_id};
use crate::domain::ids::EndpointId;
use crate::domain::public_keys::PublishedKey;
use crate::domain::secret::SecretKind;
use crate::domain::time::UnixMillis;

/// Smaller: receivers ask more often. Larger: those that keep the answer learn later of a key that was rotated without an
/// overlap.
const KEPT_FOR: &str = "public, max-age=300";
/// Why `signature` can't be set in a change.
pub(super) const CHANGED_BY_ROTATION: &str =
    "is changed with POST /v1/webhooks/{id}/secret/rotate, which makes a new secret or key; leave it out";

/// Why a rotation with a shared secret alone is refused where a private key signs.
pub(super) const SHARED_SECRET_AFTER_KEY: &str = "a private key signs for this webhook, and its receiver verifies with the public \
     key; to change to a shared secret send signature hmac too";

/// A key as RFC 8037 has it, and as Standard Webhooks does.
#[derive(Serialize)]
struct KeyView {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
    public_key: String,
    expires_at: Option<UnixMillis>,
}

impl KeyView {
    fn new(published: &PublishedKey) -> Self {
        let x = BASE64URL_NOPAD.encode(published.key.as_bytes());
        // RFC 7638: these members in this order
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid: BASE64URL_NOPAD.encode(&thumbprint),
            x,
            public_key: published.key.to_string(),
            expires_at: published.expires_at,
        }
    }
}

#[derive(Serialize)]
struct KeysView {
    keys: Vec<KeyView>,
}

/// `GET /.well-known/webhook-keys/{webhook_id}`. A webhook with a shared secret and one that does not exist look the same.
pub(crate) async fn of_webhook(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    const WHAT: &str = "webhook with a public key";
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let keys = api.engine.public_keys(id);
    if keys.is_empty() {
        return Err(Problem::no_such(WHAT));
    }
    let view = KeysView { keys: keys.iter().map(KeyView::new).collect() };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, KEPT_FOR)).json(view))
}

/// Reads `signature` of a new webhook, or of a rotation.
pub(super) fn read_signature(value: &RawValue, path: &str, errors: &mut Errors) -> Option<SecretKind> {
    let text = input::string(value, path, errors)?;
    let found = SecretKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if found.is_none() {
        errors.add(path, "must be hmac or ed25519");
    }
    found
}

/// A private key is made here and stays here, so a caller's secret is a shared one.
pub(super) fn refuse_both(has_secret: bool, kind: Option<SecretKind>, errors: &mut Errors) {
    if has_secret && kind == Some(SecretKind::Ed25519) {
        errors.add(
            "secret",
            "not together with the signature ed25519: the private key is made here; leave one of the two out",
        );
    }
}
