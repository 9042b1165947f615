//! Schemas and examples of tests, recoveries and health.

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{
    choice, described, event_type, id, input, instant, instant_or_null, list_of, or_default, output, ref_or_null,
};
use super::schemas_events::{error, error_detail, response_code, rounds_or_null};
use crate::domain::credentials::CertificateState;

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
        ("WebhookStates", webhook_states()),
        ("OrganizationSummary", organization_summary()),
        ("OrganizationSummaryList", list_of("OrganizationSummary")),
        ("Health", json!({"anyOf": [schema_ref("OrganizationHealth"), schema_ref("OrganizationSummaryList")]})),
        ("CertificateHealth", certificate()),
        ("LastFailure", last_failure()),
        ("Period", period()),
        ("Backlog", output(pending())),
    ]
}

fn test_result() -> Value {
    output(json!({
        "status": choice(&["success", "failed"], "A test event is not retried"),
        "response_code": response_code(),
        "duration_ms": {"type": "integer", "minimum": 0},
        "response_body": {"type": ["string", "null"], "description": "The first 16 KiB"},
        "error": error(),
        "error_detail": error_detail(),
        "delivery_id": id("dlv"),
    }))
}

fn recovery() -> Value {
    let status = ref_or_null("RecoveryStatus", "The deliveries to resend. `null`: the default, `failed`");
    input(
        json!({
            "since": instant("Created at or after"),
            "until": instant_or_null("Created before; after `since`. Absent: now"),
            "status": status,
            "rounds": rounds_or_null(),
        }),
        &["since"],
    )
}

fn pending() -> Value {
    json!({
        "pending": {"type": "integer", "minimum": 0, "description": "Pending deliveries"},
        "oldest_pending_at": instant_or_null("When the oldest of them was created"),
    })
}

fn webhook_health() -> Value {
    let breaker = output(json!({
        "state": choice(&["closed", "open"], "The circuit breaker: whether deliveries wait"),
        "probe_at": instant_or_null("While it is open: when the probe is due"),
    }));
    let mut fields = pending();
    fields["state"] = schema_ref("WebhookState");
    fields["breaker"] = described(breaker, "`open`: deliveries wait after many failures in a row");
    fields["failing_since"] = instant_or_null("Since when it fails, with no success since");
    fields["client_certificate"] =
        ref_or_null("CertificateHealth", "How close the end of its client certificate is. `null` without one");
    fields["last_failure"] = ref_or_null(
        "LastFailure",
        "The newest failed attempt, even if others succeeded after it. `null` when there is none within the log's retention",
    );
    fields["last_1h"] = schema_ref("Period");
    fields["last_24h"] = schema_ref("Period");
    output(fields)
}

fn certificate() -> Value {
    let states = CertificateState::ALL.map(CertificateState::as_str);
    output(json!({
        "state": choice(&states, "`expiring`: it ends in less than 21 days; `expired`: receivers refuse it"),
        "not_after": instant("Receivers refuse it from then on"),
        "days_left": {"type": ["integer", "null"], "minimum": 0, "description": "Whole days until then. `null` when it is over"},
    }))
}

fn last_failure() -> Value {
    output(json!({
        "at": instant("When the attempt ended"),
        "delivery_id": id("dlv"),
        "response_code": response_code(),
        "error": error(),
        "response_excerpt": {
            "type": ["string", "null"],
            "description": "The first 512 bytes of the response's body; the log has more of it. `null` when there was no response",
        },
    }))
}

fn webhook_states() -> Value {
    let count = || json!({"type": "integer", "minimum": 0});
    let states = output(json!({"healthy": count(), "failing": count(), "paused": count(), "disabled": count()}));
    described(states, "The number of webhooks in each state")
}

fn organization_summary() -> Value {
    output(json!({
        "organization_id": id("org"),
        "uid": {"type": ["string", "null"], "description": "Your own id of it"},
        "name": {"type": "string"},
        "webhooks": schema_ref("WebhookStates"),
        "failing_since": instant_or_null("Since when the longest failing webhook fails"),
        "backlog": schema_ref("Backlog"),
        "last_event_at": instant_or_null("When its newest event was accepted, of those that are still kept"),
    }))
}

fn organization_health() -> Value {
    output(json!({
        "webhooks": schema_ref("WebhookStates"),
        "backlog": schema_ref("Backlog"),
        "last_1h": schema_ref("Period"),
        "last_24h": schema_ref("Period"),
    }))
}

fn period() -> Value {
    let milliseconds = || json!({"type": ["integer", "null"], "minimum": 0});
    let latency = output(json!({"p50": milliseconds(), "p95": milliseconds(), "p99": milliseconds()}));
    let mut schema = output(json!({
        "attempts": {"type": "integer", "minimum": 0, "description": "Attempts that ended in the period, including those of pending deliveries"},
        "failed_attempts": {"type": "integer", "minimum": 0, "description": "The failed attempts, whether or not a retry follows"},
        "deliveries": {"type": "integer", "minimum": 0, "description": "Deliveries that succeeded or failed in the period"},
        "success_rate": {"type": ["number", "null"], "format": "double", "minimum": 0, "maximum": 1, "description": "`null` when there are none"},
        "latency_ms": described(latency, "Response times of all attempts of the period, off by less than a quarter; exact below 8 ms"),
    }));
    schema["description"] =
        json!("A period that ends now, counted in steps of 5 minutes: up to 5 minutes before it are included");
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
        "oldest_pending_at": null, "client_certificate": null, "last_failure": last_failure_example(), "last_1h": period_example(), "last_24h": period_example(),
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
