//! `/v1/events`, `/v1/event-types` and the log.

use serde_json::{Value, json};

use super::operation::{BodySpec, Operation, REPLAY, ResponseSpec, location, query, reference, schema_ref};
use super::schemas::{self, AT, EVENT_ID, WEBHOOK_ID, page};
use super::schemas_events::{
    detail_example, event_detail_example, event_row_example, event_type_example, published_example, row_example,
    status,
};
use crate::api::label_input::label_schema;
use crate::api::problem::ErrorCode::{
    Conflict, IdempotencyKeyReused, LimitReached, NotFound, Overloaded, PayloadErased, ReservedEventType,
    SchemaViolation, UnknownEventType, ValidationFailed,
};

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    [events(), batches(), past_events(), event_types(), logs()].concat()
}

fn replay() -> Value {
    json!({REPLAY: reference("headers", REPLAY)})
}

fn key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "example": "order-17",
        "description": "The same key with the same body within 24 hours gets the first response again and publishes nothing",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    })
}

/// The headers of W3C Trace Context. Without a pattern: what is not valid is ignored, and no reason to refuse an event.
fn trace() -> [Value; 2] {
    let header = |name: &str, description: &str, example: &str| {
        json!({
            "name": name, "in": "header", "required": false, "description": description, "schema": {"type": "string"},
            "example": example,
        })
    };
    [
        header(
            "traceparent",
            "W3C Trace Context: the span that the event belongs to. Passed on to receivers. One that is not valid is ignored",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        header(
            "tracestate",
            "Goes along with a valid `traceparent`: at most 512 bytes and 32 members",
            "vendor=value",
        ),
    ]
}

fn events() -> Vec<Operation> {
    vec![
        Operation::new(
            ("POST", "/v1/events"),
            "publishEvent",
            "Events",
            ResponseSpec::json(202, "Stored; delivery has begun", "PublishedEvent", published_example()).headers(replay()),
        )
        .about("Publish an event", "Responds only after the event and its deliveries are durably stored. A body may have 10 MiB.")
        .with([key()])
        .with(trace())
        .body("NewEvent", vec![
            ("A completed call", json!({
                "event_type": "call.completed", "timestamp": "2024-12-16T10:30:45Z",
                "data": {"id": "call_123456789", "status": "completed", "direction": "outbound", "duration_seconds": 345},
            })),
            ("Only the required fields", json!({"event_type": "call.missed", "data": {}})),
            ("For webhooks of one project, to be found by a tag", json!({
                "event_type": "call.completed", "data": {"id": "call_123456789"}, "channels": ["project_7"], "tags": ["call_123456789"],
            })),
        ])
        .errors(&[UnknownEventType, ReservedEventType, SchemaViolation, IdempotencyKeyReused, Overloaded]),
    ]
}

fn batches() -> Vec<Operation> {
    let refused = json!({"error": {
        "code": "unknown_event_type", "detail": "event_type: no such event type", "errors": [{"field": "event_type", "message": "no such event type"}],
    }});
    let answer = json!({"data": [published_example(), refused]});
    let event = json!({"event_type": "call.completed", "data": {"id": "call_123456789"}});
    let lines = format!("{event}\n{event}\n");
    let body = BodySpec {
        required: true,
        content: vec![("application/json", schema_ref("Batch"), vec![("An array", json!([event, event]))])],
        by_hand: vec![(
            "application/x-ndjson",
            json!({"type": "string", "description": "One event per line"}),
            vec![("Lines", json!(lines))],
        )],
    };
    let mut batch = Operation::new(
        ("POST", "/v1/events/batch"),
        "publishEvents",
        "Events",
        ResponseSpec::json(202, "The valid ones are stored; their delivery has begun", "BatchAnswer", answer)
            .headers(replay()),
    )
    .about("Publish many events", "Up to 1,000: an array, or with `Content-Type: application/x-ndjson` one event per line. Invalid items \
        are refused individually, and the valid ones are stored. Responds when all of them are durable; that may take several \
        commits, so after a 503 a part of them may be stored. With an `Idempotency-Key` a repetition gets the same results and stores \
        only what is missing. An item can have its own `idempotency_key`. The body may have 10 MiB.")
    .with([key()])
    .with(trace())
    .errors(&[IdempotencyKeyReused, Overloaded]);
    batch.body = Some(body);
    vec![batch]
}

fn at() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn past_events() -> Vec<Operation> {
    vec![
        Operation::new(
            ("GET", "/v1/events"),
            "listEvents",
            "Events",
            ResponseSpec::json(200, "A page of events", "EventList", page(event_row_example())),
        )
        .about("List events", "Newest first; parameters are filters, all of which must hold. Rare rows among millions can take several \
             pages to find: such a page has fewer rows than `limit`, or none, and a `next_cursor`. Only `null` marks the end.")
        .paged()
        .with([
            query("event_type", "Of this type", schemas::event_type(), json!("call.completed")),
            query("tag", "With this tag", label_schema(), json!("call_123456789")),
            query("from", "Accepted at or after this instant", at(), json!("2024-12-16T00:00:00Z")),
            query("to", "Accepted before this instant", at(), json!(AT)),
        ]),
        Operation::new(
            ("GET", "/v1/events/{event_id}"),
            "readEvent",
            "Events",
            ResponseSpec::json(200, "The event", "EventDetail", event_detail_example()),
        )
        .about("Read an event", "With its verbatim body and its deliveries."),
        Operation::new(
            ("POST", "/v1/events/{event_id}/replay"),
            "replayEvent",
            "Events",
            ResponseSpec::json(202, "Enqueued", "Queued", json!({"deliveries": 1})),
        )
        .about("Replay an event", "To one webhook, or to each that has a delivery of it. The event keeps its id, so that receivers can recognize it. No body \
            is as good as an empty object.")
        .optional_body("Replay", vec![("To all webhooks", json!({})), ("To one webhook", json!({"webhook_id": WEBHOOK_ID})),
            ("To one webhook, without retries", json!({"webhook_id": WEBHOOK_ID, "rounds": "once"}))])
        .errors(&[PayloadErased]),
        Operation::new(
            ("DELETE", "/v1/events/{event_id}/payload"),
            "erasePayload",
            "Events",
            ResponseSpec::empty(204, "Erased"),
        )
        .about("Erase an event's payload", "Its body is forgotten for good, with what was published as `data`. Type, times, tags, channels and \
            the log of its deliveries stay. Pending deliveries are cancelled; an attempt that is under way ends. From then on `payload` \
            is `null`, and the event can't be sent again. Erasing it once more changes nothing."),
    ]
}

fn event_types() -> Vec<Operation> {
    const TAG: &str = "Event types";
    let mut all = page(event_type_example());
    all["operational"] = json!([]);
    let schema = json!({"type": "object", "required": ["amount"], "examples": [{"amount": 45.2}]});
    vec![
        Operation::new(
            ("GET", "/v1/event-types"),
            "listEventTypes",
            TAG,
            ResponseSpec::json(200, "All of them on one page", "EventTypes", all),
        )
        .about("List event types", "Each with a description and a sample of its `data`.")
        .errors(&[ValidationFailed]),
        Operation::new(
            ("POST", "/v1/event-types"),
            "createEventType",
            TAG,
            ResponseSpec::json(201, "Created", "EventType", event_type_example()).headers(location()),
        )
        .about(
            "Add an event type",
            "How many of its own an organization may have is a setting of the deployment (1,000 by default). With a schema, events whose `data` does not fit are refused.",
        )
        .body(
            "NewEventType",
            vec![
                ("A name", json!({"name": "invoice.paid"})),
                (
                    "With a schema",
                    json!({"name": "invoice.paid", "description": "An invoice was paid", "schema": schema}),
                ),
            ],
        )
        .errors(&[Conflict, LimitReached, ReservedEventType]),
        Operation::new(
            ("GET", "/v1/event-types/{event_type}"),
            "readEventType",
            TAG,
            ResponseSpec::json(200, "The type", "EventType", event_type_example()),
        )
        .about("Read an event type", "Also an archived one, and operational events."),
        Operation::new(
            ("PUT", "/v1/event-types/{event_type}"),
            "putEventType",
            TAG,
            ResponseSpec::json(200, "As it is now", "EventType", event_type_example()),
        )
        .or(ResponseSpec::json(201, "Added", "EventType", event_type_example()))
        .about("Set an event type", "Adds one of the organization's own, or makes it what the body says; what is not given is as in a new one.")
        .optional_body("EventTypeChange", vec![("With a description", json!({"description": "An invoice was paid"}))])
        .errors(&[Conflict, LimitReached, ReservedEventType]),
        Operation::new(
            ("PATCH", "/v1/event-types/{event_type}"),
            "updateEventType",
            TAG,
            ResponseSpec::json(200, "As it is now", "EventType", event_type_example()),
        )
        .about("Change an event type", "One of the organization's own; only the fields that are given.")
        .body("EventTypeChange", vec![("Archive it", json!({"archived": true}))])
        .errors(&[LimitReached]),
        Operation::new(
            ("DELETE", "/v1/event-types/{event_type}"),
            "deleteEventType",
            TAG,
            ResponseSpec::empty(204, "Deleted"),
        )
        .about("Delete an event type", "Only an own type of the organization; events of this type stay.")
        .errors(&[Conflict, NotFound]),
    ]
}

fn logs() -> Vec<Operation> {
    let code = json!({"type": "string", "pattern": "^[1-5]([0-9]{2}|[xX]{2})$"});
    vec![
        Operation::new(
            ("GET", "/v1/webhooks/logs"),
            "listDeliveries",
            "Logs",
            ResponseSpec::json(200, "A page of deliveries", "LogList", page(row_example())),
        )
        .about("List deliveries", "Newest first; parameters are filters, all of which must hold. Rare rows among millions can take several \
             pages to find: such a page has fewer rows than `limit`, or none, and a `next_cursor`. Only `null` marks the end.")
        .paged()
        .with([
            query("webhook_id", "Of this webhook", schemas::id("wh"), json!(WEBHOOK_ID)),
            query("event_id", "Of this event", schemas::id("msg"), json!(EVENT_ID)),
            query("event_type", "Of this type", schemas::event_type(), json!("call.completed")),
            query("tag", "Of events with this tag", label_schema(), json!("call_123456789")),
            query("status", "In this status", status(), json!("failed")),
            query("response_code", "Whose last response had this code, or a code of this class", code, json!("5xx")),
            query("from", "Accepted at or after this instant", at(), json!("2024-12-16T00:00:00Z")),
            query("to", "Accepted before this instant", at(), json!(AT)),
        ]),
        Operation::new(
            ("GET", "/v1/webhooks/logs/{delivery_id}"),
            "readDelivery",
            "Logs",
            ResponseSpec::json(200, "The delivery", "LogDetail", detail_example()),
        )
        .about("Read a delivery", "With its verbatim body and every attempt."),
        Operation::new(
            ("POST", "/v1/webhooks/logs/{delivery_id}/retry"),
            "retryDelivery",
            "Logs",
            ResponseSpec::json(202, "Pending again", "LogRow", pending_example()),
        )
        .about("Retry a delivery", "Begins a new round of its retry schedule, or with `once` makes one attempt, whatever its status. A pending delivery is \
            refused, and so is one whose webhook was deleted, or whose event's payload was erased. No body is as good as an empty object.")
        .optional_body("Retry", vec![("The whole schedule", json!({})), ("One attempt", json!({"rounds": "once"}))])
        .errors(&[Conflict, PayloadErased]),
        Operation::new(
            ("DELETE", "/v1/webhooks/logs/{delivery_id}/attempts/{number}/response"),
            "eraseResponse",
            "Logs",
            ResponseSpec::empty(204, "Erased"),
        )
        .about("Erase the response to an attempt", "`response_headers` and `response_body` of the attempt are forgotten for good and are `null` from then \
            on, also where the webhook's health shows its last failure. Status, times and error stay. Erasing it once more changes nothing."),
    ]
}

fn pending_example() -> Value {
    let mut row = row_example();
    row["status"] = json!("pending");
    row["finished_at"] = Value::Null;
    row["next_attempt_at"] = json!(AT);
    row
}
