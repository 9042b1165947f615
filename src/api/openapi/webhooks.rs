//! `/v1/webhooks`.

use serde_json::{Value, json};

use super::operation::{Operation, ResponseSpec, location};
use super::schemas::{AT, DELIVERY_ID, page};
use super::schemas_health;
use super::schemas_webhooks::{SECRET, example, public_keys_example};
use crate::api::problem::ErrorCode::{
    Conflict, HttpsRequired, Internal, LimitReached, NotFound, Overloaded, TooManySecrets, UnknownEventType,
    UrlForbidden, ValidationFailed,
};

const TAG: &str = "Webhooks";
const ALL: &str = "/v1/webhooks";
const ONE: &str = "/v1/webhooks/{webhook_id}";

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    [resource(), secrets(), actions()].concat()
}

fn new_examples() -> Vec<(&'static str, Value)> {
    vec![
        ("Everything to one URL", json!({"url": "https://example.com/webhooks"})),
        (
            "Some calls only",
            json!({
                "url": "https://example.com/webhooks", "events": ["call.completed", "batch.*"],
                "filters": {"direction": "outbound", "min_duration": 30, "custom_metadata.campaign_id": {"in": ["camp_001", "camp_002"]}},
                "headers": {"x-token": "t0ken"}, "timeout": 5,
            }),
        ),
        (
            "Many retries and in order",
            json!({
                "url": "https://example.com/webhooks", "ordered": true, "retry_on": ["4xx"],
                "retry_policy": {"max_attempts": 10, "backoff_multiplier": 2, "initial_delay_seconds": 30, "max_delay_seconds": 3600},
                "rate_limit": {"per_second": 20, "burst": 5},
            }),
        ),
    ]
}

fn change_examples() -> Vec<(&'static str, Value)> {
    vec![
        ("Switch it off", json!({"active": false})),
        (
            "A retry policy",
            json!({"retry_policy": {"max_attempts": 5, "backoff_multiplier": 2, "initial_delay_seconds": 60, "max_delay_seconds": 3600}}),
        ),
        ("A list of delays", json!({"retry_schedule": [5, 300, 1800, 7200, 18000, 36000, 36000]})),
        ("Restore a default", json!({"timeout": null})),
    ]
}

fn resource() -> Vec<Operation> {
    let mut created = example();
    created["secret"] = json!(SECRET);
    let webhook = |text| ResponseSpec::json(200, text, "Webhook", example());
    let change = |method, id| {
        Operation::new((method, ONE), id, TAG, webhook("The webhook as it is now"))
            .about("Change a webhook", "`PUT` and `PATCH` both change only the fields that are in the body; `null` restores a field's default. \
                Of `retry`, `retry_policy` and `retry_schedule` the one in the body replaces the others. Setting `active` to true enables a \
                disabled webhook.")
            .body("WebhookChange", change_examples())
            .errors(&[Conflict, HttpsRequired, UnknownEventType, UrlForbidden])
    };
    vec![
        Operation::new(
            ("POST", ALL),
            "createWebhook",
            TAG,
            ResponseSpec::json(201, "Created", "CreatedWebhook", created).headers(location()),
        )
        .about("Create a webhook", "The response contains the signing secret, with which receivers verify signatures.")
        .body("NewWebhook", new_examples())
        .errors(&[HttpsRequired, LimitReached, UnknownEventType, UrlForbidden]),
        Operation::new(
            ("GET", ALL),
            "listWebhooks",
            TAG,
            ResponseSpec::json(200, "A page of webhooks", "WebhookList", page(example())),
        )
        .about("List webhooks", "Newest first, with the state of each.")
        .paged(),
        Operation::new(("GET", ONE), "readWebhook", TAG, webhook("The webhook"))
            .about("Read a webhook", "Its settings and its state; values of headers are hidden."),
        change("PUT", "updateWebhook"),
        change("PATCH", "patchWebhook"),
        Operation::new(("DELETE", ONE), "deleteWebhook", TAG, ResponseSpec::empty(204, "Deleted"))
            .about("Delete a webhook", "Its pending deliveries are cancelled; its log stays. An attempt in flight completes and is in the log: \
                its delivery is a success if the receiver acknowledges it."),
    ]
}

fn secrets() -> Vec<Operation> {
    let answer = |expires_at: Value| {
        let previous = match &expires_at {
            Value::Null => json!([]),
            expires_at => json!([{ "expires_at": expires_at }]),
        };
        ResponseSpec::json(
            200,
            "The secret",
            "WebhookSecret",
            json!({"secret": SECRET, "previous_secret_expires_at": expires_at, "previous_secrets": previous}),
        )
    };
    vec![
        Operation::new(("GET", "/v1/webhooks/{webhook_id}/secret"), "readWebhookSecret", TAG, answer(Value::Null))
            .about("Read the signing secret", "Receivers verify signatures with it."),
        Operation::new(
            ("POST", "/v1/webhooks/{webhook_id}/secret/rotate"),
            "rotateWebhookSecret",
            TAG,
            answer(json!("2024-12-17T10:30:45.007Z")),
        )
        .about(
            "Change the signing secret",
            "The old secret stays valid until `overlap_seconds` have passed, so that receivers can switch; several \
                rotations keep all of them valid, each to its own end, up to five. `webhook-signature` has a signature of each, \
                the newest first. The hexadecimal signature is a single one: a response of 401 or 403 to it is followed at once by an attempt \
                signed with the next valid secret, and the secret that was accepted comes first from then on. An absent body means an \
                empty object.",
        )
        .optional_body(
            "SecretRotation",
            vec![
                ("A new secret, a day of overlap", json!({})),
                ("At once, with your own", json!({"secret": SECRET, "overlap_seconds": 0})),
                ("From a shared secret to a private key", json!({"signature": "ed25519"})),
            ],
        )
        .errors(&[Conflict, TooManySecrets]),
        Operation::new(
            ("GET", "/.well-known/webhook-keys/{webhook_id}"),
            "readWebhookKeys",
            TAG,
            ResponseSpec::json(200, "Its public keys", "PublicKeys", public_keys_example()),
        )
        .about(
            "Read a webhook's public keys",
            "For its receiver, without a key of the API: a JSON Web Key Set of the keys that are valid now. A webhook with a shared secret has \
                none and responds as one that does not exist.",
        )
        .errors(&[Internal, NotFound]),
    ]
}

fn actions() -> Vec<Operation> {
    let tested = json!({
        "status": "success", "response_code": 200, "duration_ms": 48, "response_body": "ok", "error": null, "error_detail": null,
        "delivery_id": DELIVERY_ID,
    });
    let health = ResponseSpec::json(200, "Its health", "WebhookHealth", schemas_health::webhook_example());
    vec![
        Operation::new(("POST", "/v1/webhooks/{webhook_id}/test"), "testWebhook", TAG, ResponseSpec::json(200, "The outcome", "TestResult", tested))
            .about("Send a test event", "Sends a real signed sample once, at once, whether or not the webhook is active, paused or rate-limited. It is in \
                the logs. A success is a probe: it closes the webhook's circuit breaker, and the deliveries that waited for that are sent. A receiver's refusal is not an error of this call: see `status`. An absent body means an empty object.")
            .optional_body("TestRequest", vec![("A completed call", json!({})), ("Another type", json!({"event_type": "call.missed"}))])
            .errors(&[Overloaded, UnknownEventType]),
        Operation::new(
            ("POST", "/v1/webhooks/{webhook_id}/resume"),
            "resumeWebhook",
            TAG,
            ResponseSpec::json(202, "Due now", "Queued", json!({"deliveries": 17})),
        )
        .about("Resume a webhook", "For use after the receiver was repaired: closes the circuit breaker, so that nothing waits for a probe, and \
            makes deliveries that wait for a retry due now. The response has the number of the latter. A disabled webhook is refused; \
            enable it instead.")
        .errors(&[Conflict]),
        Operation::new(
            ("POST", "/v1/webhooks/{webhook_id}/recover"),
            "recoverWebhook",
            TAG,
            ResponseSpec::json(202, "Enqueued", "Queued", json!({"deliveries": 17})),
        )
        .about("Resend failed deliveries", "Enqueues every failed delivery that was created in a time range, for example after an outage of the receiver.")
        .body("Recovery", vec![
            ("Since an instant", json!({"since": "2024-12-16T08:00:00Z"})),
            ("A range", json!({"since": "2024-12-16T08:00:00Z", "until": AT, "status": "failed"})),
            ("Without retries", json!({"since": "2024-12-16T08:00:00Z", "rounds": "once"})),
        ]),
        Operation::new(("GET", "/v1/webhooks/{webhook_id}/health"), "readWebhookHealth", TAG, health)
            .about("Read a webhook's health", "Its state, its pending deliveries, and its success rate and response times over the last hour and day.")
            .errors(&[ValidationFailed]),
    ]
}
