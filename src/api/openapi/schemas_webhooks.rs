//! Schemas and examples of webhooks.

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{
    AT, WEBHOOK_ID, choice, described, id, input, instant, instant_or_null, list_of, or_default, output,
    ref_or_null,
};
use crate::api::webhook_view::MASK;

/// A signing secret of examples; the one that Standard Webhooks documents.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// `whsec_` and the base64 of 24 to 64 bytes: whole groups, then one byte more, or two.
const SECRET_PATTERN: &str = "^whsec_(([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/][AQgw]==)?\
    |([A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$";

/// All of them.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    let mut change = fields();
    change["url"] = url();
    let mut new = change.clone();
    new["secret"] = nullable_secret();
    vec![
        ("NewWebhook", described(input(new, &["url"]), "What is left out has its default")),
        ("WebhookChange", described(input(change, &[]), "What is left out stays as it is")),
        ("Webhook", webhook(false)),
        ("CreatedWebhook", webhook(true)),
        ("WebhookList", list_of("Webhook")),
        ("WebhookState", state()),
        ("DisabledReason", disabled_reason()),
        ("RetryOn", choice(&["4xx", "3xx"], "Answers by the first digit of their status")),
        ("RetryPolicy", retry_policy()),
        ("RetryPolicyInForce", retry_policy_in_force()),
        ("RateLimit", rate_limit()),
        ("Filters", filters()),
        ("FilterCondition", condition()),
        ("FilterOperators", operators()),
        ("FilterValue", value()),
        ("SecretRotation", rotation()),
        ("WebhookSecret", secret_view()),
    ]
}

fn url() -> Value {
    json!({
        "type": "string", "format": "uri", "minLength": 10, "maxLength": 2048, "pattern": r"^https?://[!-~]+$",
        "description": "Where events are sent: `https:`, a public address, without credentials. `http:` only where the operator allows it",
    })
}

fn patterns() -> Value {
    json!({
        "type": "array", "maxItems": 100,
        "items": {"type": "string", "maxLength": 130, "pattern": r"^(\*|[a-z0-9_\-]+(\.[a-z0-9_\-]+)*(\.\*)?)$"},
        "description": "Event types or patterns: `call.completed`, `call.*`, `*`. Empty: all. Operational events only by name",
    })
}

fn integer(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn number(least: f64, most: f64) -> Value {
    // without a format some languages take 32 bits
    json!({"type": "number", "format": "double", "minimum": least, "maximum": most})
}

fn retry_on() -> Value {
    json!({"type": "array", "maxItems": 2, "items": schema_ref("RetryOn")})
}

fn state() -> Value {
    choice(
        &["healthy", "failing", "paused", "disabled"],
        "`failing`: the last attempt failed; `paused`: so many that deliveries wait for a probe; `disabled`: not active",
    )
}

fn disabled_reason() -> Value {
    choice(
        &["gone", "manual", "failing"],
        "`gone`: the receiver answered 410; `manual`: it was switched off; `failing`: it failed for too long",
    )
}

/// The fields that a new webhook and a change have in common.
fn fields() -> Value {
    let boolean = || json!({"type": "boolean"});
    let header = json!({"type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^[!-~]([ -~]*[!-~])?$"});
    let headers = json!({
        "type": "object", "maxProperties": 20, "additionalProperties": header,
        "propertyNames": {"pattern": r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$"},
    });
    json!({
        "events": or_default(patterns(), &json!([]), "Event types or patterns: `call.completed`, `call.*`, `*`. Empty: all. \
            Operational events only by name"),
        "active": or_default(boolean(), &json!(true), "While it is not, events wait"),
        "filters": ref_or_null("Filters", "What an event's `data` must be like: all conditions hold. `null`: anything"),
        "retry": or_default(integer(0, 20), &json!(3), "Retries after the first attempt, at 60, 300 and 900 s, then tripling up \
            to 6 h. Not together with `retry_policy`"),
        "retry_policy": ref_or_null("RetryPolicy", "Instead of `retry`. `null`: back to the default of `retry`"),
        "retry_on": or_default(retry_on(), &json!([]), "Final answers that are retried all the same"),
        "timeout": or_default(integer(1, 60), &json!(10), "Seconds for a whole attempt"),
        "description": or_default(json!({"type": "string", "maxLength": 500}), &Value::Null, "Your words"),
        "headers": or_default(headers, &json!({}), "Sent along with every request; names that HTTP or the engine sets are refused. \
            Values can't be read back: they read as `********`, and sent back so they stay as they are"),
        "rate_limit": ref_or_null("RateLimit", "Requests a second at most. `null`: no limit"),
        "max_in_flight": or_default(integer(1, 256), &json!(32), "Requests at once at most"),
        "ordered": or_default(boolean(), &json!(false), "One at a time, in the order of events; a retry blocks what comes after it"),
    })
}

fn retry_policy() -> Value {
    input(
        json!({
            "max_attempts": or_default(integer(1, 50), &json!(5), "All attempts, the first included"),
            "backoff_multiplier": or_default(number(1.0, 10.0), &json!(2), "Each delay is the one before times this"),
            "initial_delay_seconds": or_default(integer(1, 86_400), &json!(60), "Before the first retry"),
            "max_delay_seconds": or_default(integer(1, 604_800), &json!(3600), "No delay is longer"),
        }),
        &[],
    )
}

fn retry_policy_in_force() -> Value {
    output(json!({
        "max_attempts": described(integer(1, 50), "All attempts, the first included"),
        "backoff_multiplier": described(number(1.0, 10.0), "Each delay is the one before times this"),
        "initial_delay_seconds": described(integer(1, 86_400), "Before the first retry"),
        "max_delay_seconds": described(integer(1, 604_800), "No delay is longer"),
    }))
}

fn rate_limit() -> Value {
    input(
        json!({
            "per_second": described(number(0.01, 10_000.0), "Requests a second"),
            "burst": {"type": ["integer", "null"], "minimum": 1, "maximum": 10_000,
                "description": "How many may go at once after a pause. Absent: a tenth of a second's worth, at least 1"},
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

fn webhook(created: bool) -> Value {
    let number_or_null = |text: &str| json!({"type": ["integer", "null"], "description": text});
    let mut properties = json!({
        "id": id("wh"),
        "url": {"type": "string", "description": "Where events are sent"},
        "description": {"type": ["string", "null"]},
        "events": described(patterns(), "Event types or patterns; empty: all"),
        "active": {"type": "boolean", "description": "While it is not, events wait"},
        "state": schema_ref("WebhookState"),
        "disabled_reason": ref_or_null("DisabledReason", "Why it is not active"),
        "disabled_at": instant_or_null("Since when it is not active"),
        "filters": ref_or_null("Filters", "As they were set"),
        "retry": number_or_null("`null` while `retry_policy` is in force"),
        "retry_policy": ref_or_null("RetryPolicyInForce", "`null` while `retry` is in force"),
        "retry_on": retry_on(),
        "timeout": integer(1, 60),
        "headers": {"type": "object", "additionalProperties": {"type": "string"},
            "description": format!("Names; values are hidden, and read as `{MASK}`")},
        "rate_limit": ref_or_null("RateLimit", "`null`: no limit"),
        "max_in_flight": integer(1, 256),
        "ordered": {"type": "boolean"},
        "created_at": instant("When it was made"),
        "updated_at": instant("When it was last changed"),
    });
    if created {
        properties["secret"] =
            described(secret(), "Verifies signatures; here and at `GET /v1/webhooks/{id}/secret`");
    }
    output(properties)
}

fn secret() -> Value {
    json!({"type": "string", "pattern": SECRET_PATTERN})
}

fn nullable_secret() -> Value {
    json!({
        "type": ["string", "null"], "pattern": SECRET_PATTERN,
        "description": "Your own: `whsec_` and the base64 of 24 to 64 bytes. Absent: one is made",
    })
}

fn rotation() -> Value {
    input(
        json!({
            "secret": nullable_secret(),
            "overlap_seconds": or_default(integer(0, 2_592_000), &json!(86_400), "How long events are signed with the old secret as well"),
        }),
        &[],
    )
}

fn secret_view() -> Value {
    let previous =
        instant_or_null("Until then events are signed with the newest of the secrets before this one as well");
    output(json!({
        "secret": secret(),
        "previous_secret_expires_at": previous,
        "previous_secrets": {
            "type": "array", "maxItems": 4,
            "description": "All of the secrets before this one that are valid, the newest first, each to its own end",
            "items": output(json!({"expires_at": instant("From then on it is not valid")})),
        },
    }))
}

/// A webhook as an example.
pub(crate) fn example() -> Value {
    json!({
        "id": WEBHOOK_ID, "url": "https://example.com/webhooks", "description": "CRM", "events": ["call.*"], "active": true,
        "state": "healthy", "disabled_reason": null, "disabled_at": null, "filters": {"direction": "outbound", "min_duration": 30},
        "retry": 3, "retry_policy": null, "retry_on": [], "timeout": 10, "headers": {"x-token": MASK},
        "rate_limit": {"per_second": 50.0}, "max_in_flight": 32, "ordered": false, "created_at": AT, "updated_at": AT,
    })
}
