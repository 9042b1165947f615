//! Schemas and examples of webhooks.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{
    AT, WEBHOOK_ID, choice, described, id, input, instant, instant_or_null, list_of, or_default, output,
    ref_or_null,
};
use crate::api::webhook_settings::{
    BURST_BOUNDS, PER_SECOND_BOUNDS, PolicyField, RETRY_POLICY, Requirement, SECRET_PATTERN, SETTINGS,
    SHOWN_SECRET_PATTERN, Setting,
};
use crate::domain::retry::RetryPolicy;
use crate::domain::secret::SecretKind;

/// A signing secret of examples; the one that Standard Webhooks documents.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The same of an ed25519 key.
const PUBLIC_KEY: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const PUBLIC_KEY_PATTERN: &str = "^whpk_[A-Za-z0-9+/]{43}=$";

/// All of them.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    let mut new = properties(SETTINGS.iter(), Setting::schema);
    new["signature"] = signature_or_null(
        "What signs. `null`: the default, `\"hmac\"`. With `ed25519` a private key is made, and receivers verify with its public key",
    );
    let change = properties(SETTINGS.iter().filter(|setting| setting.is_in_every_response()), Setting::schema);
    let required = SETTINGS.iter().filter(|setting| matches!(setting.requirement, Requirement::Required { .. }));
    let required: Vec<&str> = required.map(|setting| setting.name).collect();
    vec![
        ("NewWebhook", described(input(new, &required), "Fields that are left out have their default")),
        ("WebhookChange", described(input(change, &[]), "Fields that are left out stay unchanged")),
        ("Webhook", webhook(false)),
        ("CreatedWebhook", webhook(true)),
        ("WebhookList", list_of("Webhook")),
        ("WebhookState", state()),
        ("DisabledReason", disabled_reason()),
        (
            "Signature",
            choice(
                &SecretKind::ALL.map(SecretKind::as_str),
                "`hmac`: with a secret that the receiver has too; `ed25519`: with a private key",
            ),
        ),
        ("RetryOn", choice(&["4xx", "3xx"], "Responses by the first digit of their status")),
        ("RetryPolicy", retry_policy()),
        ("RetryPolicyInForce", retry_policy_in_force()),
        ("RateLimit", rate_limit()),
        ("Filters", filters()),
        ("FilterCondition", condition()),
        ("FilterOperators", operators()),
        ("FilterValue", value()),
        ("SecretRotation", rotation()),
        ("WebhookSecret", secret_view()),
        ("PublicKey", public_key()),
        (
            "PublicKeys",
            output(
                json!({"keys": {"type": "array", "minItems": 1, "maxItems": 5, "description": "The newest first", "items": schema_ref("PublicKey")}}),
            ),
        ),
    ]
}

/// The schemas of these settings, by their names.
fn properties(settings: impl Iterator<Item = &'static Setting>, schema: fn(&Setting) -> Value) -> Value {
    Value::Object(settings.map(|setting| (setting.name.to_owned(), schema(setting))).collect())
}

fn integer(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn number(bounds: RangeInclusive<f64>) -> Value {
    // without a format, generators for some languages take 32 bits
    json!({"type": "number", "format": "double", "minimum": bounds.start(), "maximum": bounds.end()})
}

fn state() -> Value {
    choice(
        &["healthy", "failing", "paused", "disabled"],
        "`failing`: the last attempt failed; `paused`: the circuit breaker is open after many failures, and deliveries wait for a probe; `disabled`: not active",
    )
}

fn disabled_reason() -> Value {
    choice(
        &["gone", "manual", "failing"],
        "`gone`: the receiver responded with 410; `manual`: someone switched it off; `failing`: it failed for too long",
    )
}

fn retry_policy() -> Value {
    let field = |field: &PolicyField| {
        // whole numbers without a fraction
        let default = json!((field.get)(&RetryPolicy::default()) as u64);
        (field.name.to_owned(), or_default(field.schema(), &default, field.help))
    };
    input(Value::Object(RETRY_POLICY.iter().map(field).collect()), &[])
}

fn retry_policy_in_force() -> Value {
    let field = |field: &PolicyField| (field.name.to_owned(), described(field.schema(), field.help));
    output(Value::Object(RETRY_POLICY.iter().map(field).collect()))
}

fn rate_limit() -> Value {
    input(
        json!({
            "per_second": described(number(PER_SECOND_BOUNDS), "Requests per second"),
            "burst": {"type": ["integer", "null"], "minimum": BURST_BOUNDS.start(), "maximum": BURST_BOUNDS.end(),
                "description": "How many requests may be sent at once before the rate applies. Absent: a tenth of a second's worth, at least 1"},
        }),
        &["per_second"],
    )
}

fn filters() -> Value {
    json!({
        "type": "object", "maxProperties": 50, "additionalProperties": schema_ref("FilterCondition"),
        "description": "By the name of a field of `data`; a dotted name goes deeper. `min_x` and `max_x` bound the number `x` (or \
            `x_seconds`). A missing field matches nothing but `exists: false`, `ne` and `nin`",
    })
}

/// A choice and not a list of types: of that some generators make a class that wraps the value.
fn literal() -> Vec<Value> {
    ["string", "number", "boolean", "null"].map(|name| json!({"type": name})).to_vec()
}

fn value() -> Value {
    json!({"anyOf": literal(), "description": "A value that a field of `data` is compared with"})
}

fn literals() -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": crate::domain::filter::MAX_LIST, "items": schema_ref("FilterValue")})
}

fn condition() -> Value {
    let choices = [literal(), vec![literals(), schema_ref("FilterOperators")]].concat();
    json!({"description": "A value: equals. A list: any of. An object: operators, all of which hold", "anyOf": choices})
}

fn operators() -> Value {
    let number = || json!({"type": "number", "format": "double"});
    let mut schema = input(
        json!({
            "eq": schema_ref("FilterValue"), "ne": schema_ref("FilterValue"), "in": literals(), "nin": literals(), "gt": number(), "gte": number(),
            "lt": number(), "lte": number(), "exists": {"type": "boolean"}, "prefix": {"type": "string"},
        }),
        &[],
    );
    schema["minProperties"] = json!(1);
    described(schema, "All of them hold")
}

fn webhook(is_created: bool) -> Value {
    let shown = SETTINGS.iter().filter(|setting| is_created || setting.is_in_every_response());
    let mut properties = properties(shown, Setting::response_schema);
    properties["id"] = id("wh");
    properties["signature"] = schema_ref("Signature");
    properties["public_key"] = json!({
        "type": ["string", "null"], "pattern": PUBLIC_KEY_PATTERN,
        "description": "What receivers verify with; `null` of a webhook with a shared secret",
    });
    properties["state"] = schema_ref("WebhookState");
    properties["disabled_reason"] = ref_or_null("DisabledReason", "Why it is not active");
    properties["disabled_at"] = instant_or_null("Since when it is not active");
    properties["created_at"] = instant("When it was created");
    properties["updated_at"] = instant("When it was last changed");
    output(properties)
}

fn secret() -> Value {
    json!({
        "type": "string", "pattern": SHOWN_SECRET_PATTERN,
        "description": "`whsec_…`; of a webhook that signs with a private key (ed25519), the public key `whpk_…`",
    })
}

fn nullable_secret() -> Value {
    json!({
        "type": ["string", "null"], "pattern": SECRET_PATTERN,
        "description": "A secret of your own: `whsec_` and the base64 of 24 to 64 bytes. Absent: one is generated",
    })
}

fn signature_or_null(meaning: &str) -> Value {
    json!({"anyOf": [schema_ref("Signature"), {"type": "null"}], "description": meaning})
}

fn public_key() -> Value {
    let text =
        |pattern: &str, meaning: &str| json!({"type": "string", "pattern": pattern, "description": meaning});
    output(json!({
        "kty": choice(&["OKP"], "Of RFC 8037"), "crv": choice(&["Ed25519"], "The curve"), "alg": choice(&["EdDSA"], "The algorithm"),
        "use": choice(&["sig"], "It verifies signatures"),
        "kid": text("^[A-Za-z0-9_-]{43}$", "Its thumbprint (RFC 7638)"), "x": text("^[A-Za-z0-9_-]{43}$", "Its bytes in base64url"),
        "public_key": text(PUBLIC_KEY_PATTERN, "The same key as Standard Webhooks writes it"),
        "expires_at": instant_or_null("It signs nothing from then on; `null` for the newest"),
    }))
}

/// The public key of RFC 8032's first test as it is answered.
pub(super) fn public_keys_example() -> Value {
    json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "public_key": PUBLIC_KEY, "expires_at": null,
    }]})
}

fn rotation() -> Value {
    input(
        json!({
            "secret": nullable_secret(),
            "signature": signature_or_null("What the new one signs with; not together with `secret`. Absent: the same as before"),
            "overlap_seconds": or_default(integer(0, 2_592_000), &json!(86_400), "How long events are also signed with the old secret"),
        }),
        &[],
    )
}

fn secret_view() -> Value {
    let previous = instant_or_null("Until this time events are also signed with the newest previous secret");
    output(json!({
        "secret": secret(),
        "previous_secret_expires_at": previous,
        "previous_secrets": {
            "type": "array", "maxItems": 4,
            "description": "All valid previous secrets, the newest first, each with its own end",
            "items": output(json!({"expires_at": instant("It is not valid from then on")})),
        },
    }))
}

/// A webhook as an example.
pub(crate) fn example() -> Value {
    let mut example = json!({
        "id": WEBHOOK_ID, "signature": "hmac", "public_key": null, "state": "healthy", "disabled_reason": null, "disabled_at": null, "created_at": AT, "updated_at": AT,
    });
    for setting in SETTINGS.iter().filter(|setting| setting.is_in_every_response()) {
        // a test holds that each is JSON
        example[setting.name] = serde_json::from_str(setting.example).unwrap_or_default();
    }
    example
}
