//! Schemas and examples of webhooks.

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{AT, WEBHOOK_ID, described, id, input, instant, instant_or_null, list_of, output};
use crate::api::webhook_view::MASK;

/// A signing secret of examples; the one that Standard Webhooks documents.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// `whsec_` and the base64 of 24 to 64 bytes: whole groups, then one byte more, or two.
const SECRET_PATTERN: &str = "^whsec_(([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/][AQgw]==)?\
    |([A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$";

/// All of them.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let mut change = fields();
    change["url"] = url();
    let mut new = change.clone();
    new["secret"] = nullable_secret();
    vec![
        ("NewWebhook", one_way_to_retry(input(new, &["url"]))),
        ("WebhookChange", one_way_to_retry(input(change, &[]))),
        ("Webhook", webhook(false)),
        ("CreatedWebhook", webhook(true)),
        ("WebhookList", list_of("Webhook")),
        ("RetryPolicy", retry_policy()),
        ("RetryPolicyInForce", output(retry_policy()["properties"].clone())),
        ("RateLimit", rate_limit()),
        ("Filters", filters()),
        ("FilterCondition", condition()),
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

/// Adds `null`, which stands for the default.
fn or_null(mut schema: Value, default: Value, description: &str) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema["default"] = default;
    schema["description"] = json!(format!("{description}. `null`: the default"));
    schema
}

fn integer(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

/// `retry` and `retry_policy` can't both have a value.
fn one_way_to_retry(mut schema: Value) -> Value {
    schema["not"] = json!({
        "required": ["retry", "retry_policy"],
        "properties": {"retry": {"type": "integer"}, "retry_policy": {"type": "object"}},
    });
    schema
}

fn retry_on() -> Value {
    json!({"type": "array", "maxItems": 2, "items": {"type": "string", "enum": ["4xx", "3xx"]}})
}

/// The fields that a new webhook and a change have in common.
fn fields() -> Value {
    let boolean = || json!({"type": "boolean"});
    let header = json!({"type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^[!-~]([ -~]*[!-~])?$"});
    let headers = json!({
        "type": "object", "maxProperties": 20, "additionalProperties": header,
        "propertyNames": {"pattern": r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$"},
    });
    let nothing_or =
        |schema: &str, text: &str| json!({"anyOf": [schema_ref(schema), {"type": "null"}], "description": text});
    json!({
        "events": or_null(patterns(), json!([]), "Event types or patterns: `call.completed`, `call.*`, `*`. Empty: all. \
            Operational events only by name"),
        "active": or_null(boolean(), json!(true), "While it is not, events wait"),
        "filters": nothing_or("Filters", "What an event's `data` must be like: all conditions hold. `null`: anything"),
        "retry": or_null(integer(0, 20), json!(3), "Retries after the first attempt, at 60, 300 and 900 s, then tripling up \
            to 6 h. Not together with `retry_policy`"),
        "retry_policy": nothing_or("RetryPolicy", "Instead of `retry`. `null`: back to the default of `retry`"),
        "retry_on": or_null(retry_on(), json!([]), "Final answers that are retried all the same"),
        "timeout": or_null(integer(1, 60), json!(10), "Seconds for a whole attempt"),
        "description": or_null(json!({"type": "string", "maxLength": 500}), Value::Null, "Your words"),
        "headers": or_null(headers, json!({}), "Sent along with every request; names that HTTP or the engine sets are refused. \
            Values can't be read back: they read as `********`, and sent back so they stay as they are"),
        "rate_limit": nothing_or("RateLimit", "Requests a second at most. `null`: no limit"),
        "max_in_flight": or_null(integer(1, 256), json!(32), "Requests at once at most"),
        "ordered": or_null(boolean(), json!(false), "One at a time, in the order of events; a retry blocks what comes after it"),
    })
}

fn retry_policy() -> Value {
    let policy = |schema: Value, default: Value, text: &str| or_null(schema, default, text);
    input(
        json!({
            "max_attempts": policy(integer(1, 50), json!(5), "All attempts, the first included"),
            "backoff_multiplier": policy(json!({"type": "number", "minimum": 1, "maximum": 10}), json!(2), "Each delay is the one before times this"),
            "initial_delay_seconds": policy(integer(1, 86_400), json!(60), "Before the first retry"),
            "max_delay_seconds": policy(integer(1, 604_800), json!(3600), "No delay is longer"),
        }),
        &[],
    )
}

fn rate_limit() -> Value {
    input(
        json!({
            "per_second": {"type": "number", "minimum": 0.01, "maximum": 10_000, "description": "Requests a second"},
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

fn condition() -> Value {
    let literal = json!(["string", "number", "boolean", "null"]);
    let list = json!({"type": "array", "minItems": 1, "maxItems": crate::domain::filter::MAX_LIST, "items": {"type": literal}});
    let number = json!({"type": "number"});
    let operators = json!({
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "properties": {
            "eq": {"type": literal}, "ne": {"type": literal}, "in": list, "nin": list, "gt": number, "gte": number,
            "lt": number, "lte": number, "exists": {"type": "boolean"}, "prefix": {"type": "string"},
        },
    });
    json!({
        "description": "A value: equals. A list: any of. An object: operators, all of which hold",
        "anyOf": [{"type": literal}, list, operators],
    })
}

fn webhook(created: bool) -> Value {
    let number_or_null = |text: &str| json!({"type": ["integer", "null"], "description": text});
    let or_null =
        |schema: &str, text: &str| json!({"anyOf": [schema_ref(schema), {"type": "null"}], "description": text});
    let mut properties = json!({
        "id": id("wh"),
        "url": {"type": "string", "description": "Where events are sent"},
        "description": {"type": ["string", "null"]},
        "events": described(patterns(), "Event types or patterns; empty: all"),
        "active": {"type": "boolean", "description": "While it is not, events wait"},
        "state": {"type": "string", "enum": ["healthy", "failing", "paused", "disabled"],
            "description": "`failing`: the last attempt failed; `paused`: so many that deliveries wait for a probe; `disabled`: not active"},
        "disabled_reason": {"type": ["string", "null"], "enum": ["gone", "manual", "failing", null],
            "description": "`gone`: the receiver answered 410; `failing`: it failed for too long"},
        "disabled_at": instant_or_null("Since when it is not active"),
        "filters": or_null("Filters", "As they were set"),
        "retry": number_or_null("`null` while `retry_policy` is in force"),
        "retry_policy": or_null("RetryPolicyInForce", "`null` while `retry` is in force"),
        "retry_on": retry_on(),
        "timeout": integer(1, 60),
        "headers": {"type": "object", "additionalProperties": {"const": MASK}, "description": "Names; values are hidden"},
        "rate_limit": or_null("RateLimit", "`null`: no limit"),
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
            "overlap_seconds": or_null(integer(0, 2_592_000), json!(86_400), "How long events are signed with the old secret as well"),
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
pub fn example() -> Value {
    json!({
        "id": WEBHOOK_ID, "url": "https://example.com/webhooks", "description": "CRM", "events": ["call.*"], "active": true,
        "state": "healthy", "disabled_reason": null, "disabled_at": null, "filters": {"direction": "outbound", "min_duration": 30},
        "retry": 3, "retry_policy": null, "retry_on": [], "timeout": 10, "headers": {"x-token": MASK},
        "rate_limit": {"per_second": 50.0}, "max_in_flight": 32, "ordered": false, "created_at": AT, "updated_at": AT,
    })
}
