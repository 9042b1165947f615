//! The schemas that operations refer to, and how their parts are written.

use serde_json::{Value, json};

use super::operation::schema_ref;
use crate::api::problem::ErrorCode;
use crate::domain::organization::{BodyShape, Role};

/// Of every time in an example.
pub(crate) const AT: &str = "2024-12-16T10:30:45.007Z";
/// Ids of examples.
pub(crate) const ORGANIZATION_ID: &str = "org_01jf7k2m3n4p1";
pub(crate) const KEY_ID: &str = "key_01jf7k2m3n4p2";
pub(crate) const WEBHOOK_ID: &str = "wh_01jf7k2m3n4p5";
pub(crate) const DELIVERY_ID: &str = "dlv_01jf7k2m3n4p6";
pub(crate) const REQUEST_ID: &str = "k3v9x2mq-0000000a1b";
pub(crate) const EVENT_ID: &str = "msg_01jf7k2m3n4p7";

/// Those of errors, organizations and keys, and those that belong to no section.
pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Problem", problem()),
        ("ErrorCode", error_code()),
        ("FieldError", field_error()),
        ("Role", role()),
        ("Organization", organization()),
        (
            "NewOrganization",
            input(
                json!({"name": name(), "uid": uid_or_null(), "metadata": metadata(true), "body": wanted_body()}),
                &["name"],
            ),
        ),
        (
            "WantedOrganization",
            input(json!({"name": name(), "metadata": metadata(true), "body": wanted_body()}), &[]),
        ),
        (
            "OrganizationChange",
            input(
                json!({"name": name(), "uid": uid_or_null(), "metadata": metadata(true), "body": wanted_body()}),
                &[],
            ),
        ),
        (
            "BodyShape",
            choice(
                &BodyShape::ALL.map(BodyShape::as_str),
                "What receivers get of an event: `event_type`, `timestamp`, `webhook_id` and `data`, or `data` alone, as it was sent",
            ),
        ),
        ("OrganizationList", list_of("Organization")),
        (
            "SignInLink",
            output(json!({
                "url": {"type": "string", "format": "uri", "description": "Opens the dashboard once"},
                "expires_at": instant("It is refused from then on"),
            })),
        ),
        ("NewSignInLink", new_sign_in_link()),
        ("VisitorRole", choice(&["viewer", "manager", "owner"], "The roles that can open the dashboard")),
        ("ApiKey", api_key(false)),
        ("CreatedApiKey", api_key(true)),
        ("NewApiKey", new_api_key("Role")),
        ("ApiKeyList", list_of("ApiKey")),
        ("DeploymentRole", deployment_role()),
        ("DeploymentKey", deployment_key(false)),
        ("CreatedDeploymentKey", deployment_key(true)),
        ("NewDeploymentKey", new_api_key("DeploymentRole")),
        ("DeploymentKeyList", list_of("DeploymentKey")),
        (
            "Queued",
            output(
                json!({"deliveries": {"type": "integer", "minimum": 0, "description": "The number of deliveries that are pending now"}}),
            ),
        ),
        ("StatusWord", choice(&["ok"], "Always the same")),
        ("Status", output(json!({"status": schema_ref("StatusWord")}))),
        ("Readiness", readiness()),
    ]
}

fn readiness() -> Value {
    let mut schema = output(json!({"status": schema_ref("StatusWord")}));
    schema["properties"]["egress_proxy"] = json!({
        "type": "string",
        "description": "`ok`, or what is wrong with the egress proxy: the values of `kind` in `ringback_local_faults_total`. Only where there is one",
    });
    schema
}

/// Parameters by name.
pub(crate) fn parameters() -> Value {
    let path = |name: &str, prefix: &str, example: &str, what: &str| {
        let schema = id(prefix);
        json!({"name": name, "in": "path", "required": true, "description": what, "schema": schema, "example": example})
    };
    let query = |name: &str, text: &str, schema: Value| json!({"name": name, "in": "query", "description": text, "schema": schema});
    json!({
        "organization_id": {"name": "organization_id", "in": "path", "required": true,
            "description": "The organization's id or `uid`", "schema": uid(), "example": ORGANIZATION_ID},
        "organization": {"name": "Ringback-Organization", "in": "header", "required": false,
            "description": "The id or `uid` of the organization in which a key of the deployment acts. An organization's own key does not need it",
            "schema": uid(), "example": "customer-42"},
        "key_id": path("key_id", "key", KEY_ID, "The key's id"),
        "webhook_id": path("webhook_id", "wh", WEBHOOK_ID, "The webhook's id"),
        "delivery_id": path("delivery_id", "dlv", DELIVERY_ID, "The delivery's id"),
        "number": {"name": "number", "in": "path", "required": true, "description": "The attempt's number",
            "schema": {"type": "integer", "minimum": 1}, "example": 1},
        "event_id": path("event_id", "msg", EVENT_ID, "The event's id"),
        "event_type": {"name": "event_type", "in": "path", "required": true, "description": "The event type's name",
            "schema": event_type(), "example": "invoice.paid"},
        "limit": query("limit", "The most rows; 50 when it is left out", json!({"type": "integer", "minimum": 1, "maximum": 200})),
        "cursor": query("cursor", "`next_cursor` of the previous page, unchanged; only for the same list", json!({"type": "string", "maxLength": 64})),
    })
}

/// An object that a caller sends: all its fields are known.
pub(crate) fn input(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// An object that is answered: all its fields are always there. Later versions may add some.
pub(crate) fn output(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    json!({"type": "object", "properties": properties, "required": required})
}

/// A page of a list.
pub(crate) fn list_of(schema: &str) -> Value {
    output(json!({
        "data": {"type": "array", "description": "Newest first", "items": schema_ref(schema)},
        "next_cursor": {"type": ["string", "null"], "description": "For the next page; `null` on the last"},
    }))
}

/// A page as an example.
pub(super) fn page(row: Value) -> Value {
    json!({"data": [row], "next_cursor": null})
}

/// An id with this prefix.
pub(crate) fn id(prefix: &str) -> Value {
    json!({"type": "string", "pattern": format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{12}}$")})
}

/// A time in an answer.
pub(crate) fn instant(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

/// The same, or `null`.
pub(crate) fn instant_or_null(description: &str) -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": description})
}

/// An object whose fields are up to somebody else. Without saying that it has some, generators make a type of it that
/// nothing but an empty object fits.
pub(crate) fn free_form(description: &str) -> Value {
    json!({"type": "object", "additionalProperties": true, "description": description})
}

/// The same, or `null`.
pub(crate) fn free_form_or_null(description: &str) -> Value {
    json!({"type": ["object", "null"], "additionalProperties": true, "description": description})
}

/// One of these words. A component where several schemas have it, so that clients have one type of it.
pub(crate) fn choice(words: &[&str], description: &str) -> Value {
    json!({"type": "string", "enum": words, "description": description})
}

/// A named schema, or `null`.
pub(crate) fn ref_or_null(schema: &str, description: &str) -> Value {
    json!({"anyOf": [schema_ref(schema), {"type": "null"}], "description": description})
}

/// An optional field of an input, where `null` stands for the default. The default is part of the description:
/// generators make a field with a `default` a required one, or send it where the caller set nothing, which in a change
/// would overwrite the stored value.
pub(crate) fn or_default(mut schema: Value, default: &Value, description: &str) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    let default = if default.is_null() { String::from("none") } else { format!("the default, `{default}`") };
    described(schema, &format!("{description}. `null`: {default}"))
}

/// A schema with its words.
pub(crate) fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = json!(description);
    schema
}

pub(crate) fn event_type() -> Value {
    json!({
        "type": "string",
        "maxLength": 128,
        "pattern": r"^[a-z0-9_\-]+(\.[a-z0-9_\-]+)*$",
        "description": "For example `call.completed`",
    })
}

fn name() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        "description": "For people: not blank, without control characters",
    })
}

/// What every error is answered with.
pub(crate) fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "A URN made from the code"},
            "title": {"type": "string", "description": "The same for every occurrence"},
            "status": {"type": "integer", "description": "The HTTP status"},
            "detail": {"type": "string", "description": "What happened in this case"},
            "code": schema_ref("ErrorCode"),
            "errors": field_errors(),
            "request_id": {"type": "string", "description": "As in the header `X-Request-Id` and in the engine's log"},
        },
    })
}

fn error_code() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    choice(&codes, "For programs; the list is closed")
}

fn field_error() -> Value {
    output(json!({
        "field": {"type": "string", "description": "The path of the invalid field, for example `retry_policy.max_attempts`"},
        "message": {"type": "string", "description": "What is wrong and what it should be"},
    }))
}

/// `errors` of a problem.
pub(crate) fn field_errors() -> Value {
    json!({"type": "array", "items": schema_ref("FieldError"), "description": "All bad fields, for input errors"})
}

fn organization() -> Value {
    let mut schema = output(json!({
        "id": id("org"),
        "uid": {"type": ["string", "null"], "description": "Your own id of it, which serves wherever its id does"},
        "name": {"type": "string"},
        "metadata": metadata(false),
        "body": schema_ref("BodyShape"),
        "created_at": instant("When it was created"),
    }));
    // most have none
    schema["properties"]["environment"] = json!({"type": "string",
        "description": "Of an application of the Svix-compatible API, when its environment is not the default one: its `uid` is unique there"});
    schema
}

fn wanted_body() -> Value {
    ref_or_null("BodyShape", "Of its events from now on. `null`: `envelope`")
}

/// An id of ours, or the publisher's own.
fn uid() -> Value {
    json!({"type": "string", "pattern": "^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,256}$"})
}

fn uid_or_null() -> Value {
    json!({"type": ["string", "null"], "pattern": "^(?!org_|\\.{1,2}$)[A-Za-z0-9._-]{1,256}$",
        "description": "Your own id of the organization, unique in the deployment; not beginning with `org_`"})
}

fn metadata(may_be_null: bool) -> Value {
    let kind = if may_be_null { json!(["object", "null"]) } else { json!("object") };
    json!({"type": kind, "additionalProperties": {"type": "string"},
        "description": "What you keep with it: at most 50 pairs and 8 KiB"})
}

fn role() -> Value {
    choice(
        &Role::ALL.map(Role::as_str),
        "`publisher`: events; `viewer`: read; `manager`: webhooks, logs, replays, and read; `owner`: all of these, and keys",
    )
}

fn new_sign_in_link() -> Value {
    let seconds = json!({"type": "integer", "minimum": 10, "maximum": 604_800});
    input(
        json!({
            "role": ref_or_null("VisitorRole", "What its visitor may do. `null`: `manager`"),
            "expires_in_seconds": or_default(seconds, &json!(300), "For so long it can be used"),
            "return_url": {"type": ["string", "null"], "maxLength": 2048,
                "description": "A link back to your product, shown in the dashboard; http or https"},
            "name": {"type": ["string", "null"], "minLength": 1, "maxLength": 200, "description": "Of the visitor, as shown"},
        }),
        &[],
    )
}

fn deployment_role() -> Value {
    choice(
        &Role::OF_DEPLOYMENT.map(Role::as_str),
        "What the key may do in every organization; `admin`: everything, and what concerns the deployment",
    )
}

fn deployment_key(created: bool) -> Value {
    let mut schema = api_key(created);
    schema["properties"]["organization_id"] = json!({"type": "null"});
    schema["properties"]["role"] = schema_ref("DeploymentRole");
    schema
}

fn api_key(created: bool) -> Value {
    let mut properties = json!({
        "id": id("key"),
        "organization_id": id("org"),
        "name": {"type": "string"},
        "role": schema_ref("Role"),
        "prefix": {"type": "string", "description": "The beginning of the key, to recognize it by"},
        "created_at": instant("When it was created"),
        "expires_at": instant_or_null("It is refused from then on"),
        "last_used_at": instant_or_null("When it was used last, to a minute; `null`: never"),
    });
    if created {
        properties["key"] = json!({"type": "string", "description": "The key itself: shown only here. Keep it"});
    }
    output(properties)
}

fn new_api_key(role: &str) -> Value {
    let expires_at =
        instant_or_null("The key is refused from then on; must be in the future. Absent: it does not expire");
    input(json!({"name": name(), "role": schema_ref(role), "expires_at": expires_at}), &["name", "role"])
}

/// An organization as an example.
pub(crate) fn organization_example() -> Value {
    json!({"id": ORGANIZATION_ID, "uid": "customer-42", "name": "Acme", "metadata": {"plan": "pro"}, "body": "envelope", "created_at": AT})
}

pub(crate) fn deployment_key_example() -> Value {
    json!({
        "id": KEY_ID, "organization_id": null, "name": "our backend", "role": "admin", "prefix": "rbk_Zm9vYmFy",
        "created_at": AT, "expires_at": null, "last_used_at": AT,
    })
}

pub(crate) fn api_key_example() -> Value {
    json!({
        "id": KEY_ID, "organization_id": ORGANIZATION_ID, "name": "billing service", "role": "publisher",
        "prefix": "rbk_Zm9vYmFy", "created_at": AT, "expires_at": null, "last_used_at": null,
    })
}

/// What a receiver gets, as an example.
pub(crate) fn delivered_example() -> Value {
    json!({
        "event_type": "call.completed",
        "timestamp": AT,
        "webhook_id": EVENT_ID,
        "data": {"id": "call_123456789", "status": "completed", "duration_seconds": 345},
    })
}
