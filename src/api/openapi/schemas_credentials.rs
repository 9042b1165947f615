//! Schemas of client certificates and OAuth 2.0.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::schemas::{choice, described, input, instant, output};
use crate::api::webhook_settings::{CLIENT_SECRET_BOUNDS, PEM_BOUNDS, TEXT_BOUNDS};
use crate::domain::credentials::ClientAuthentication;

const FINGERPRINT: &str = "^[0-9a-f]{64}$";

/// All of them.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("ClientCertificate", certificate()),
        ("ClientCertificateInForce", certificate_in_force()),
        ("OAuth2", oauth2()),
        ("OAuth2InForce", oauth2_in_force()),
        ("ClientAuthentication", way()),
    ]
}

fn text(bounds: &RangeInclusive<usize>, description: &str) -> Value {
    json!({"type": "string", "minLength": bounds.start(), "maxLength": bounds.end(), "description": description})
}

fn optional(bounds: &RangeInclusive<usize>, description: &str) -> Value {
    let mut schema = text(bounds, description);
    schema["type"] = json!(["string", "null"]);
    schema
}

fn certificate() -> Value {
    input(
        json!({
            "certificate": text(&PEM_BOUNDS, "PEM: the webhook's own certificate, then its intermediates; at most 10. Only together with `private_key`"),
            "private_key": text(&PEM_BOUNDS, "PEM, without a password: PKCS #8, PKCS #1 or SEC 1. It can't be read back"),
            "subject": as_read("string"),
            "issuer": as_read("string"),
            "not_before": as_read("date-time"),
            "not_after": as_read("date-time"),
            "sha256_fingerprint": {"type": "string", "pattern": FINGERPRINT,
                "description": "As it was read, instead of the two: keeps the stored certificate, if this is its fingerprint"},
        }),
        // either the two or the fingerprint: a choice of schemas would be two types in generated clients
        &[],
    )
}

fn as_read(format: &str) -> Value {
    let mut schema = json!({"type": "string", "description": "As it was read, beside `sha256_fingerprint`"});
    if format != "string" {
        schema["format"] = json!(format);
    }
    schema
}

fn certificate_in_force() -> Value {
    output(json!({
        "subject": {"type": "string", "description": "Whose certificate it is"},
        "issuer": {"type": "string", "description": "Who issued it"},
        "not_before": instant("It is valid from then on"),
        "not_after": instant("Receivers refuse it from then on"),
        "sha256_fingerprint": {"type": "string", "pattern": FINGERPRINT, "description": "SHA-256 of the certificate in DER"},
    }))
}

fn oauth2() -> Value {
    let url = json!({
        "type": "string", "format": "uri", "minLength": 10, "maxLength": 2048, "pattern": r"^https?://[!-~]+$",
        "description": "Where tokens come from; the rules of a webhook's URL hold for it",
    });
    let secret = "It can't be read back: it reads as `********`, and keeps its value when that is sent back with the same `token_url`";
    input(
        json!({
            "token_url": url,
            "client_id": text(&TEXT_BOUNDS, "Printable ASCII"),
            "client_secret": text(&CLIENT_SECRET_BOUNDS, secret),
            "scope": optional(&TEXT_BOUNDS, "Scopes to ask for, separated by spaces"),
            "audience": optional(&TEXT_BOUNDS, "For servers that require it"),
            "client_authentication": {
                "anyOf": [super::operation::schema_ref("ClientAuthentication"), {"type": "null"}],
                "description": "Absent: `client_secret_basic`",
            },
        }),
        &["token_url", "client_id", "client_secret"],
    )
}

fn oauth2_in_force() -> Value {
    let nullable = |description: &str| json!({"type": ["string", "null"], "description": description});
    output(json!({
        "token_url": {"type": "string", "description": "Where tokens come from"},
        "client_id": {"type": "string", "description": "The client's id"},
        "client_secret": {"type": "string", "description": "Hidden: `********`"},
        "scope": nullable("Scopes to ask for"),
        "audience": nullable("Sent as `audience`"),
        "client_authentication": super::operation::schema_ref("ClientAuthentication"),
    }))
}

fn way() -> Value {
    let names = ClientAuthentication::ALL.map(ClientAuthentication::as_str);
    described(
        choice(&names, "How the client names itself"),
        "In the header `authorization`, or in the form (RFC 6749, section 2.3.1)",
    )
}
