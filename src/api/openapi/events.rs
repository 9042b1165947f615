//! `/v1/events`, `/v1/event-types` and the log.

use serde_json::json;

use super::operation::{Answer, Operation, query};
use super::schemas::{self, AT, WEBHOOK_ID, page};
use super::schemas_events::{detail_example, event_type_example, published_example, row_example, status};
use crate::api::problem::ErrorCode::{IdempotencyKeyReused, Overloaded, ReservedEventType, UnknownEventType};

/// What is written down about them.
pub fn operations() -> Vec<Operation> {
    [events(), event_types(), logs()].concat()
}

fn events() -> Vec<Operation> {
    let replay = json!({"Idempotent-Replay": {
        "description": "There, and `true`, when this is the first answer to the same request again",
        "schema": {"type": "string", "const": "true"},
    }});
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "example": "order-17",
        "description": "The same key with the same body within 24 hours is answered like the first time and publishes nothing",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    });
    vec![
        Operation::new(
            ("POST", "/v1/events"),
            "publishEvent",
            "Events",
            Answer::json(202, "Stored, and on its way", "PublishedEvent", published_example()).headers(replay),
        )
        .about("Publish an event", "Answered only after the event and its deliveries are stored for good. A body may have 10 MiB.")
        .with([key])
        .body("NewEvent", vec![
            ("A completed call", json!({
                "event_type": "call.completed", "timestamp": "2024-12-16T10:30:45Z",
                "data": {"id": "call_123456789", "status": "completed", "direction": "outbound", "duration_seconds": 345},
            })),
            ("As little as there must be", json!({"event_type": "call.missed", "data": {}})),
        ])
        .errors(&[UnknownEventType, ReservedEventType, IdempotencyKeyReused, Overloaded]),
    ]
}

fn event_types() -> Vec<Operation> {
    vec![
        Operation::new(
            ("GET", "/v1/event-types"),
            "listEventTypes",
            "Event types",
            Answer::json(200, "All of them on one page", "EventTypeList", page(event_type_example())),
        )
        .about("List event types", "Each with a description and a sample of its `data`.")
        .errors(&[crate::api::problem::ErrorCode::ValidationFailed]),
    ]
}

fn logs() -> Vec<Operation> {
    let code = json!({"type": "string", "pattern": "^[1-5]([0-9]{2}|[xX]{2})$"});
    let at = || json!({"type": "string", "format": "date-time"});
    vec![
        Operation::new(
            ("GET", "/v1/webhooks/logs"),
            "listDeliveries",
            "Logs",
            Answer::json(200, "A page of deliveries", "LogList", page(row_example())),
        )
        .about("List deliveries", "Newest first; parameters narrow it down, and all of them must hold.")
        .paged()
        .with([
            query("webhook_id", "Of this webhook", schemas::id("wh"), json!(WEBHOOK_ID)),
            query("event_type", "Of this type", schemas::event_type(), json!("call.completed")),
            query("status", "In this status", status(), json!("failed")),
            query("response_code", "Whose last answer was this code, or of this class", code, json!("5xx")),
            query("from", "Accepted at or after this instant", at(), json!("2024-12-16T00:00:00Z")),
            query("to", "Accepted before this instant", at(), json!(AT)),
        ]),
        Operation::new(
            ("GET", "/v1/webhooks/logs/{delivery_id}"),
            "readDelivery",
            "Logs",
            Answer::json(200, "The delivery", "LogDetail", detail_example()),
        )
        .about("Read a delivery", "With the body as it was sent and every attempt."),
    ]
}
