//! The schemas and parameters that operations refer to.

use serde_json::{Map, Value, json};

use super::reference;

/// Names of fields with their schemas, and whether they are always there.
type Fields = Vec<(&'static str, Value, bool)>;

fn always(name: &'static str, schema: Value) -> (&'static str, Value, bool) {
    (name, schema, true)
}

fn maybe(name: &'static str, mut schema: Value) -> (&'static str, Value, bool) {
    schema["type"] = json!([schema["type"], "null"]);
    (name, schema, false)
}

fn object(fields: Fields) -> Value {
    let required: Vec<&str> =
        fields.iter().filter(|(.., is_required)| *is_required).map(|(name, ..)| *name).collect();
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, schema, _)| (name.to_owned(), schema)).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn name() -> Value {
    json!({"type": "string", "pattern": "^[a-zA-Z0-9\\-_.]{1,256}$"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn rate() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 65_535, "description": "In a second"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn pairs() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn free_form() -> Value {
    json!({"type": "object", "additionalProperties": true})
}

fn secret() -> Value {
    json!({"type": "string", "description": "`whsec_` and base64, or `whsk_` and the base64 of an ed25519 key"})
}

fn shown_secret() -> Value {
    json!({"type": "string", "description": "`whsec_` and base64, or `whpk_` and the base64 of a public key"})
}

/// Under both of its names.
fn rates() -> Fields {
    vec![maybe("rateLimit", rate()), maybe("throttleRate", rate())]
}

fn types_and_channels() -> Fields {
    vec![maybe("filterTypes", texts()), maybe("eventTypes", texts()), maybe("channels", texts())]
}

fn with(mut fields: Fields, more: Fields) -> Fields {
    fields.extend(more);
    fields
}

fn optional(fields: Fields) -> Fields {
    fields.into_iter().map(|(name, schema, _)| (name, schema, false)).collect()
}

fn application_in() -> Fields {
    with(vec![always("name", text()), maybe("uid", name()), maybe("metadata", pairs())], rates())
}

fn application_out() -> Fields {
    let own = vec![
        always("id", text()),
        always("name", text()),
        maybe("uid", name()),
        always("metadata", pairs()),
        always("createdAt", instant()),
        always("updatedAt", instant()),
    ];
    with(own, rates())
}

fn endpoint_fields() -> Fields {
    with(
        vec![
            always("url", text()),
            maybe("description", text()),
            maybe("uid", name()),
            maybe("version", count()),
            maybe("disabled", flag()),
            maybe("metadata", pairs()),
        ],
        with(rates(), types_and_channels()),
    )
}

fn endpoint_out() -> Fields {
    let own = vec![
        always("id", text()),
        always("url", text()),
        always("description", text()),
        maybe("uid", name()),
        always("version", count()),
        always("disabled", flag()),
        always("metadata", pairs()),
        always("createdAt", instant()),
        always("updatedAt", instant()),
    ];
    with(own, with(rates(), types_and_channels()))
}

fn message_in() -> Fields {
    vec![
        always("eventType", name()),
        always("payload", free_form()),
        maybe("eventId", name()),
        maybe("channels", texts()),
        maybe("tags", texts()),
        maybe("payloadRetentionPeriod", json!({"type": "integer", "minimum": 5, "maximum": 90})),
        maybe("payloadRetentionHours", json!({"type": "integer", "minimum": 1, "maximum": 2_160})),
        maybe("deliverAt", instant()),
        maybe("transformationsParams", free_form()),
        maybe("application", object(application_in())),
    ]
}

fn message_out() -> Fields {
    vec![
        always("id", text()),
        maybe("eventId", name()),
        always("eventType", text()),
        always("payload", free_form()),
        maybe("channels", texts()),
        maybe("tags", texts()),
        always("timestamp", instant()),
        maybe("deliverAt", instant()),
    ]
}

/// What became of a message at an endpoint.
fn fate() -> Fields {
    let number = json!({"type": "integer", "enum": [0, 1, 2, 3, 4]});
    let word = json!({"type": "string", "enum": ["success", "pending", "fail", "sending", "canceled"]});
    vec![always("status", number), always("statusText", word)]
}

fn attempt() -> Fields {
    let own = vec![
        always("id", text()),
        always("msgId", text()),
        always("endpointId", text()),
        always("url", text()),
        always("response", text()),
        always("responseStatusCode", count()),
        always("responseDurationMs", count()),
        always("triggerType", json!({"type": "integer", "enum": [0, 1]})),
        always("timestamp", instant()),
    ];
    with(own, fate())
}

fn event_type() -> Fields {
    vec![
        always("description", text()),
        maybe("archived", flag()),
        maybe("deprecated", flag()),
        maybe("schemas", free_form()),
        maybe("featureFlag", name()),
        maybe("featureFlags", texts()),
        maybe("groupName", name()),
    ]
}

fn event_type_out() -> Fields {
    let times = vec![always("createdAt", instant()), always("updatedAt", instant())];
    with(with(vec![always("name", name())], event_type()), times)
}

fn portal_access_in() -> Fields {
    vec![
        maybe("featureFlags", texts()),
        maybe("readOnly", flag()),
        maybe("capabilities", texts()),
        maybe("expiry", json!({"type": "integer", "minimum": 3_600, "maximum": 604_800})),
        maybe("application", object(application_in())),
    ]
}

fn background_task() -> Fields {
    let status = json!({"type": "string", "enum": ["running", "finished", "failed"]});
    let data = object(vec![always("messagesSent", count()), maybe("error", text())]);
    vec![
        always("id", text()),
        always("status", status),
        always("task", text()),
        always("data", data),
        always("updatedAt", instant()),
    ]
}

fn bulk_replay() -> Fields {
    let selected = vec![
        maybe("eventTypes", texts()),
        maybe("channel", text()),
        maybe("tag", text()),
        maybe("status", json!({"type": "integer", "enum": [0, 2]})),
        maybe("statusCodeClass", json!({"type": "integer", "enum": [0, 100, 200, 300, 400, 500]})),
    ];
    with(period(), selected)
}

fn period() -> Fields {
    vec![always("since", instant()), maybe("until", instant())]
}

/// What became of each message whose payload was to be erased, by its name in the request.
fn expunged() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string", "enum": ["expunged", "not-found"]}})
}

fn health() -> Fields {
    let part = || object(vec![always("status", json!({"type": "string", "enum": ["Ok", "Error"]}))]);
    vec![always("database", part()), always("queue", part()), always("cache", part())]
}

fn validation_error() -> Value {
    let fields = vec![always("loc", texts()), always("msg", text()), always("type", text())];
    object(vec![always("detail", json!({"type": "array", "items": object(fields)}))])
}

/// A page of a list.
fn list_of(schema: &str) -> Value {
    object(vec![
        always("data", json!({"type": "array", "items": reference("schemas", schema)})),
        always("iterator", json!({"type": ["string", "null"]})),
        maybe("prevIterator", text()),
        always("done", flag()),
    ])
}

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let headers_out = vec![always("headers", pairs()), always("sensitive", texts())];
    let headers_patch = vec![
        always("headers", json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}})),
        maybe("deleteHeaders", texts()),
    ];
    let rotation = vec![
        maybe("key", secret()),
        maybe("gracePeriodSeconds", json!({"type": "integer", "minimum": 0, "maximum": 604_800})),
    ];
    let statistics = ["success", "pending", "sending", "fail", "canceled"].map(|name| always(name, count()));
    let endpoint_in = with(endpoint_fields(), vec![maybe("secret", secret()), maybe("headers", pairs())]);
    let schemas = [
        ("ApplicationIn", object(application_in())),
        ("ApplicationPatch", object(optional(application_in()))),
        ("ApplicationOut", object(application_out())),
        ("EndpointIn", object(endpoint_in)),
        ("EndpointPatch", object(optional(endpoint_fields()))),
        ("EndpointOut", object(endpoint_out())),
        ("EndpointSecretOut", object(vec![always("key", shown_secret())])),
        ("EndpointSecretRotateIn", object(rotation)),
        ("EndpointHeadersOut", object(headers_out)),
        ("EndpointHeadersIn", object(vec![always("headers", pairs())])),
        ("EndpointHeadersPatchIn", object(headers_patch)),
        ("EndpointStats", object(statistics.to_vec())),
        ("EventExampleIn", object(vec![always("eventType", name()), maybe("exampleIndex", count())])),
        ("PeriodIn", object(period())),
        ("BulkReplayIn", object(bulk_replay())),
        ("BackgroundTaskOut", object(background_task())),
        ("BulkExpungeIn", object(vec![always("ids", texts())])),
        ("BulkExpungeOut", object(vec![always("results", expunged())])),
        ("MessagePrecheckIn", object(vec![always("eventType", name()), maybe("channels", texts())])),
        ("MessagePrecheckOut", object(vec![always("active", flag())])),
        ("ApplicationTokenExpireIn", object(vec![maybe("expiry", count())])),
        ("MessageIn", object(message_in())),
        ("MessageOut", object(message_out())),
        ("MessageAttemptOut", object(attempt())),
        (
            "MessageEndpointOut",
            object(with(
                with(endpoint_out(), fate()),
                vec![always("nextAttempt", json!({"type": ["string", "null"], "format": "date-time"}))],
            )),
        ),
        ("EndpointMessageOut", object(with(with(message_out(), fate()), vec![maybe("nextAttempt", instant())]))),
        ("EventTypeIn", object(with(vec![always("name", name())], event_type()))),
        ("EventTypeUpdate", object(event_type())),
        ("EventTypePatch", object(optional(event_type()))),
        ("EventTypeOut", object(event_type_out())),
        ("AppPortalAccessIn", object(portal_access_in())),
        ("AppPortalAccessOut", object(vec![always("url", text()), always("token", text())])),
        ("HealthReport", object(health())),
        ("OpenApiDocument", free_form()),
        ("EmptyResponse", object(Vec::new())),
        ("HttpErrorOut", object(vec![always("code", text()), always("detail", text())])),
        ("HTTPValidationError", validation_error()),
    ];
    let listed = [
        "ApplicationOut",
        "EndpointOut",
        "MessageOut",
        "MessageAttemptOut",
        "MessageEndpointOut",
        "EndpointMessageOut",
        "EventTypeOut",
        "BackgroundTaskOut",
    ];
    let lists = listed.map(|name| (format!("ListResponse_{name}"), list_of(name)));
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).chain(lists).collect()
}

/// All parameters by name.
pub(super) fn parameters() -> Map<String, Value> {
    let of_path = [
        ("app", "The application's id or uid"),
        ("endpoint", "The endpoint's id or uid"),
        ("msg", "The message's id or `eventId`"),
        ("attempt", "The attempt's id"),
        ("event_type", "The event type's name"),
        ("task", "The background task's id"),
    ];
    let of_path = of_path.map(|(name, description)| (name, "path", text(), description));
    let of_query = [
        ("limit", json!({"type": "integer", "minimum": 0, "maximum": 250}), "At most so many; 50 if absent"),
        ("iterator", text(), "The `iterator` or `prevIterator` of another page"),
        ("order", json!({"type": "string", "enum": ["ascending", "descending"]}), "In which order"),
        ("channel", text(), "Only messages of this channel"),
        ("tag", text(), "Only messages with this tag"),
        ("before", instant(), "Only messages from before"),
        ("after", instant(), "Only messages from after"),
        ("event_types", text(), "Only messages of these types, joined by commas"),
        ("with_content", flag(), "Whether payloads, answers or schemas are shown"),
        ("status", json!({"type": "integer", "enum": [0, 1, 2, 3, 4]}), "Only with this status"),
        (
            "status_code_class",
            json!({"type": "integer", "enum": [0, 100, 200, 300, 400, 500]}),
            "Only attempts that were answered so; 0: not at all",
        ),
        ("endpoint_id", text(), "Only at this endpoint, by its id or uid"),
        ("expanded_statuses", flag(), "Whether what was canceled has a status of its own"),
        ("include_archived", flag(), "Also archived ones"),
        ("get_if_exists", flag(), "Get the one with that uid if there is one"),
        ("expunge", flag(), "Remove it instead of archiving it"),
        ("since", instant(), "From then on; a day ago if absent"),
        ("until", instant(), "Up to then; now if absent"),
    ];
    let of_query = of_query.map(|(name, schema, description)| (name, "query", schema, description));
    let key = ("idempotency-key", "header", text(), "Requests with the same one are carried out once");
    let trace = [
        (
            "traceparent",
            "header",
            text(),
            "W3C Trace Context: the span that the message belongs to; one that is not valid is ignored",
        ),
        ("tracestate", "header", text(), "Goes along with a valid traceparent"),
    ];
    let parameter = |(name, place, schema, description): (&str, &str, Value, &str)| {
        let is_required = place == "path";
        let described = json!({"name": name, "in": place, "required": is_required, "schema": schema, "description": description});
        (name.to_owned(), described)
    };
    let mut all: Map<String, Value> =
        of_path.into_iter().chain(of_query).chain([key]).chain(trace).map(parameter).collect();
    all.extend(of_tasks().map(|(component, described)| (component.to_owned(), described)));
    all
}

/// Parameters that have the names of others.
fn of_tasks() -> [(&'static str, Value); 2] {
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    let query = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description});
    let kinds = words(&["endpoint.replay", "endpoint.recover", "endpoint.bulk-replay"]);
    [
        ("task_status", query("status", words(&["running", "finished", "failed"]), "Only with this status")),
        ("task_kind", query("task", kinds, "Only of this kind")),
    ]
}
