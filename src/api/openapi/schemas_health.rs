//! Schemas and examples of tests, recoveries and health.

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{
    choice, described, event_type, id, input, instant, instant_or_null, or_default, output, ref_or_null,
};
use super::schemas_events::{error, error_detail, response_code};

/// All of them.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    let asked_for = or_default(event_type(), &json!("call.completed"), "The type of the sample");
    vec![
        // not `Test`: generators of clients make tests beside each class, and `TestTest` of a `Test` does not compile
        ("TestRequest", input(json!({"event_type": asked_for}), &[])),
        ("TestResult", test_result()),
        ("Recovery", recovery()),
        ("RecoveryStatus", choice(&["failed", "success"], "`success` resends deliveries that succeeded")),
        ("WebhookHealth", webhook_health()),
        ("OrganizationHealth", organization_health()),
        ("LastFailure", last_failure()),
        ("Period", period()),
        ("Backlog", output(pending())),
    ]
}

fn test_result() -> Value {
    output(json!({
        "status": choice(&["success", "failed"], "There is no second attempt"),
        "response_code": response_code(),
        "duration_ms": {"type": "integer", "minimum": 0},
        "response_body": {"type": ["string", "null"], "description": "The first 16 KiB"},
        "error": error(),
        "error_detail": error_detail(),
        "delivery_id": id("dlv"),
    }))
}

fn recovery() -> Value {
    let status = ref_or_null("RecoveryStatus", "Which deliveries. `null`: the default, `failed`");
    input(
        json!({
            "since": instant("Created at or after"),
            "until": instant_or_null("Created before; after `since`. Absent: now"),
            "status": status,
        }),
        &["since"],
    )
}

fn pending() -> Value {
    json!({
        "pending": {"type": "integer", "minimum": 0, "description": "Deliveries that wait for an attempt"},
        "oldest_pending_at": instant_or_null("When the oldest of them was created"),
    })
}

fn webhook_health() -> Value {
    let breaker = output(json!({
        "state": choice(&["closed", "open"], "Whether deliveries wait"),
        "probe_at": instant_or_null("While it is open: when one delivery tries again"),
    }));
    let mut fields = pending();
    fields["state"] = schema_ref("WebhookState");
    fields["breaker"] = described(breaker, "Open: deliveries wait, as so many failed in a row");
    fields["failing_since"] = instant_or_null("Since when it fails without one success");
    fields["last_failure"] = ref_or_null(
        "LastFailure",
        "The newest attempt that failed, whatever came after it. `null` when there is none that the log could still have",
    );
    fields["last_1h"] = schema_ref("Period");
    fields["last_24h"] = schema_ref("Period");
    output(fields)
}

fn last_failure() -> Value {
    output(json!({
        "at": instant("When the attempt ended"),
        "delivery_id": id("dlv"),
        "response_code": response_code(),
        "error": error(),
        "response_excerpt": {
            "type": ["string", "null"],
            "description": "The first 512 bytes of the answer's body; the log has more of it. `null` when there was no answer",
        },
    }))
}

fn organization_health() -> Value {
    let count = || json!({"type": "integer", "minimum": 0});
    let states = output(json!({"healthy": count(), "failing": count(), "paused": count(), "disabled": count()}));
    output(json!({
        "webhooks": described(states, "How many are in each state"),
        "backlog": schema_ref("Backlog"),
        "last_1h": schema_ref("Period"),
        "last_24h": schema_ref("Period"),
    }))
}

fn period() -> Value {
    let milliseconds = || json!({"type": ["integer", "null"], "minimum": 0});
    let latency = output(json!({"p50": milliseconds(), "p95": milliseconds(), "p99": milliseconds()}));
    let mut schema = output(json!({
        "attempts": {"type": "integer", "minimum": 0, "description": "That ended in it, of pending deliveries too; counted by 5 minutes, so that up to 5 minutes before it are included"},
        "failed_attempts": {"type": "integer", "minimum": 0, "description": "Those of them that failed, whether another one follows or not"},
        "deliveries": {"type": "integer", "minimum": 0, "description": "That were created in it and have succeeded or failed; the newest 10,000"},
        "success_rate": {"type": ["number", "null"], "format": "double", "minimum": 0, "maximum": 1, "description": "`null` when there are none"},
        "latency_ms": described(latency, "How long their last attempts took"),
    }));
    schema["description"] = json!("A period that ends now");
    schema
}

fn period_example() -> Value {
    json!({"attempts": 1230, "failed_attempts": 36, "deliveries": 1200, "success_rate": 0.995, "latency_ms": {"p50": 48, "p95": 210, "p99": 900}})
}

fn last_failure_example() -> Value {
    json!({
        "at": super::schemas::AT, "delivery_id": super::schemas::DELIVERY_ID, "response_code": 503, "error": null,
        "response_excerpt": "upstream unavailable",
    })
}

/// A webhook's health as an example.
pub(crate) fn webhook_example() -> Value {
    json!({
        "state": "healthy", "breaker": {"state": "closed", "probe_at": null}, "failing_since": null, "pending": 0,
        "oldest_pending_at": null, "last_failure": last_failure_example(), "last_1h": period_example(), "last_24h": period_example(),
    })
}

/// An organization's health as an example.
pub(crate) fn organization_example() -> Value {
    json!({
        "webhooks": {"healthy": 4, "failing": 1, "paused": 0, "disabled": 1},
        "backlog": {"pending": 3, "oldest_pending_at": super::schemas::AT},
        "last_1h": period_example(), "last_24h": period_example(),
    })
}
