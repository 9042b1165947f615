//! Schemas and examples of events, event types and logs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::operation::schema_ref;
use super::schemas::{
    AT, DELIVERY_ID, EVENT_ID, WEBHOOK_ID, choice, delivered_example, described, event_type, field_errors,
    free_form, free_form_or_null, id, input, instant, instant_or_null, list_of, output, ref_or_null,
};
use crate::api::label_input::labels_schema;
use crate::domain::attempt::AttemptError;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::labels::{MAX_EVENT_CHANNELS, MAX_TAGS};
use crate::domain::round::Rounds;

/// All of them.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("NewEvent", new_event()),
        ("PublishedEvent", published()),
        ("DeliveredEvent", delivered()),
        ("LogRow", output(row())),
        ("LogList", list_of("LogRow")),
        ("LogDetail", detail()),
        ("Attempt", attempt()),
        ("AttemptError", attempt_error()),
        ("DeliveryStatus", delivery_status()),
        ("EventType", event_type_view()),
        ("EventTypes", event_types()),
        ("NewEventType", new_event_type()),
        ("EventTypeChange", event_type_change()),
        ("CatalogueTypes", list_of("EventType")),
        ("EventRow", output(event_row())),
        ("EventList", list_of("EventRow")),
        ("EventDetail", event_detail()),
        ("Replay", input(json!({"webhook_id": webhook_id_or_null(), "rounds": rounds_or_null()}), &[])),
        ("Retry", input(json!({"rounds": rounds_or_null()}), &[])),
        (
            "Rounds",
            choice(
                &Rounds::ALL.map(Rounds::as_str),
                "How often a delivery is attempted that is sent again: `schedule`, the first attempt and all its retries; `once`, one \
                 attempt without retries",
            ),
        ),
        (
            "Batch",
            json!({"type": "array", "minItems": 1, "maxItems": 1_000, "items": schema_ref("NewBatchEvent")}),
        ),
        (
            "BatchAnswer",
            output(
                json!({"data": {"type": "array", "items": schema_ref("BatchItem"), "description": "In the order sent"}}),
            ),
        ),
        ("NewBatchEvent", new_batch_event()),
        ("BatchItem", json!({"anyOf": [schema_ref("PublishedEvent"), schema_ref("BatchRefusal")]})),
        ("BatchRefusal", batch_refusal()),
    ]
}

pub(super) fn rounds_or_null() -> Value {
    ref_or_null("Rounds", "How often each delivery is attempted. `null`: the default, `schedule`")
}

fn new_event_fields() -> Value {
    json!({
        "event_type": event_type(),
        "data": free_form("Sent to receivers verbatim: numbers, the order of keys and escapes stay unchanged"),
        "timestamp": instant_or_null("When it happened, RFC 3339. Absent: now"),
        "channels": labels_or_null(MAX_EVENT_CHANNELS, "A webhook with channels receives only events that share one; webhooks \
            without receive all. Absent: only to webhooks without"),
        "tags": labels_or_null(MAX_TAGS, "By which the event and its deliveries are found. Receivers don't see them"),
    })
}

fn labels_or_null(most: usize, description: &str) -> Value {
    let mut schema = labels_schema(most);
    schema["type"] = json!(["array", "null"]);
    described(schema, description)
}

fn new_event() -> Value {
    input(new_event_fields(), &["event_type", "data"])
}

fn new_batch_event() -> Value {
    let mut fields = new_event_fields();
    fields["idempotency_key"] = json!({
        "type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$",
        "description": "The same key with the same item within 24 hours gets the first result again and publishes nothing",
    });
    input(fields, &["event_type", "data"])
}

fn published() -> Value {
    output(json!({
        "id": id("msg"),
        "event_type": event_type(),
        "timestamp": instant("When it happened"),
        "deliveries": {"type": "integer", "minimum": 0, "description": "The number of webhooks that it is delivered to"},
    }))
}

fn delivered() -> Value {
    let mut schema = output(json!({
        "event_type": event_type(),
        "timestamp": instant("When it happened"),
        "webhook_id": id("msg"),
        "data": free_form("The published data, verbatim"),
    }));
    schema["properties"]["webhook_id"]["description"] = json!(
        "The event's id: the same on every retry and at every receiver. Ignore an id that you have seen before"
    );
    schema
}

fn attempt_error() -> Value {
    // two of them have one name
    let names: BTreeSet<&str> = AttemptError::ALL.into_iter().map(AttemptError::as_str).collect();
    choice(&names.into_iter().collect::<Vec<_>>(), "Why there was no response")
}

/// The words beside an error.
pub(crate) fn error_detail() -> Value {
    json!({"type": ["string", "null"], "description": "Details of an error of the host's name or of TLS, and what to do \
        about it: a text for people, which can change"})
}

/// The name of an attempt's error.
pub(crate) fn error() -> Value {
    ref_or_null("AttemptError", "Why there was no response")
}

fn delivery_status() -> Value {
    choice(
        &DeliveryStatus::ALL.map(DeliveryStatus::as_str),
        "`pending`: not finished; `cancelled`: its webhook was deleted, or its event's payload was erased",
    )
}

/// A delivery's status.
pub(crate) fn status() -> Value {
    schema_ref("DeliveryStatus")
}

/// What a receiver answered.
pub(crate) fn response_code() -> Value {
    json!({"type": ["integer", "null"], "minimum": 100, "maximum": 999, "description": "The receiver's response"})
}

/// The fields of a row of the log.
pub(crate) fn row() -> Value {
    json!({
        "id": id("dlv"),
        "event_id": id("msg"),
        "webhook_id": id("wh"),
        "event_type": event_type(),
        "status": status(),
        "attempt_count": {"type": "integer", "minimum": 0},
        "response_code": response_code(),
        "error": error(),
        "created_at": instant("When the event was accepted"),
        "finished_at": instant_or_null("When it succeeded, failed or was cancelled"),
        "next_attempt_at": instant_or_null("While pending"),
    })
}

fn detail() -> Value {
    let mut fields = row();
    add_payload(&mut fields);
    fields["attempts"] =
        json!({"type": "array", "items": schema_ref("Attempt"), "description": "In the order of the attempts"});
    output(fields)
}

fn add_payload(fields: &mut Value) {
    fields["payload"] = ref_or_null("DeliveredEvent", "What receivers get, verbatim; `null` when it was erased");
    fields["payload_erased"] =
        json!({"type": "boolean", "description": "It was erased, and the event can't be sent any more"});
}

fn attempt() -> Value {
    output(json!({
        "number": {"type": "integer", "minimum": 1},
        "started_at": instant("When it began"),
        "duration_ms": {"type": "integer", "minimum": 0, "description": "Until the response or the failure"},
        "response_code": response_code(),
        "error": error(),
        "error_detail": error_detail(),
        "request_headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "As they were sent"},
        "response_headers": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "The first 8 KiB; `null` without a response, and when it was erased"},
        "response_body": {"type": ["string", "null"], "description": "The first 16 KiB; `null` without a response, and when it was erased"},
    }))
}

fn event_type_view() -> Value {
    output(json!({
        "name": event_type(),
        "kind": choice(&["built_in", "catalogue", "operational", "own"], "`built_in`: every organization has it; `catalogue`: the \
            operator added or changed it; `operational`: made by the engine, and subscribed to by name; `own`: of this organization"),
        "description": {"type": "string", "description": "When it happens"},
        "sample": free_form("A realistic `data`"),
        "schema": free_form_or_null("A JSON Schema that `data` must fit"),
        "archived": {"type": "boolean", "description": "It is accepted and delivered, and no longer offered"},
        "created_at": instant_or_null("`null` for a built-in type that nobody changed"),
    }))
}

fn event_types() -> Value {
    let mut list = list_of("EventType");
    list["properties"]["data"]["description"] = json!("Types that can be published");
    list["properties"]["operational"] = json!({"type": "array", "items": schema_ref("EventType"), "description": "Types that the engine publishes"});
    list["required"] = json!(["data", "next_cursor", "operational"]);
    list
}

fn event_type_change() -> Value {
    input(event_type_fields(), &[])
}

fn new_event_type() -> Value {
    let mut fields = event_type_fields();
    fields["name"] = event_type();
    input(fields, &["name"])
}

fn event_type_fields() -> Value {
    json!({
        "description": {"type": ["string", "null"], "maxLength": 500, "description": "When it happens"},
        "schema": free_form_or_null("A JSON Schema that `data` must fit; it must stand alone"),
        "sample": free_form_or_null(
            "A realistic `data`, for test events. Absent: the first example of the schema that is an object, or an empty object",
        ),
        "archived": {"type": ["boolean", "null"], "description": "Accepted and delivered, and no longer offered"},
    })
}

fn event_row() -> Value {
    json!({
        "id": id("msg"),
        "event_type": event_type(),
        "timestamp": instant("When it happened"),
        "created_at": instant("When it was accepted"),
        "delivery_count": {"type": "integer", "minimum": 0, "description": "The number of webhooks that it is delivered to, including by replays"},
        "channels": labels_schema(MAX_EVENT_CHANNELS),
        "tags": labels_schema(MAX_TAGS),
    })
}

fn event_detail() -> Value {
    let mut fields = event_row();
    add_payload(&mut fields);
    fields["deliveries"] = json!({"type": "array", "items": schema_ref("LogRow")});
    output(fields)
}

fn webhook_id_or_null() -> Value {
    let mut schema = described(id("wh"), "Only to this webhook. Absent: to each that has a delivery of it");
    schema["type"] = json!(["string", "null"]);
    schema
}

fn batch_refusal() -> Value {
    let detail = json!({"type": "string", "description": "What is wrong with this item"});
    let error = json!({"code": schema_ref("ErrorCode"), "detail": detail, "errors": field_errors()});
    output(json!({"error": output(error)}))
}

/// A row of the list of events, as an example.
pub(crate) fn event_row_example() -> Value {
    json!({"id": EVENT_ID, "event_type": "call.completed", "timestamp": AT, "created_at": AT, "delivery_count": 1,
        "channels": [], "tags": ["call_123456789"]})
}

/// An event with its deliveries, as an example.
pub(crate) fn event_detail_example() -> Value {
    let mut event = event_row_example();
    event["payload"] = delivered_example();
    event["payload_erased"] = json!(false);
    event["deliveries"] = json!([row_example()]);
    event
}

/// An answer to a published event, as an example.
pub(crate) fn published_example() -> Value {
    json!({"id": EVENT_ID, "event_type": "call.completed", "timestamp": AT, "deliveries": 2})
}

/// A row of the log, as an example.
pub(crate) fn row_example() -> Value {
    json!({
        "id": DELIVERY_ID, "event_id": EVENT_ID, "webhook_id": WEBHOOK_ID, "event_type": "call.completed", "status": "success",
        "attempt_count": 1, "response_code": 200, "error": null, "created_at": AT, "finished_at": AT, "next_attempt_at": null,
    })
}

/// A delivery with its attempts, as an example.
pub(crate) fn detail_example() -> Value {
    let mut detail = row_example();
    detail["payload"] = delivered_example();
    detail["payload_erased"] = json!(false);
    detail["attempts"] = json!([{
        "number": 1, "started_at": AT, "duration_ms": 48, "response_code": 200, "error": null, "error_detail": null,
        "request_headers": {"content-type": "application/json", "webhook-id": EVENT_ID},
        "response_headers": {"content-length": "2"}, "response_body": "ok",
    }]);
    detail
}

/// An event type, as an example.
pub(crate) fn event_type_example() -> Value {
    json!({
        "name": "invoice.paid", "kind": "own", "description": "An invoice was paid", "sample": {"amount": 45.2},
        "schema": {"type": "object", "required": ["amount"], "examples": [{"amount": 45.2}]},
        "archived": false, "created_at": AT,
    })
}
