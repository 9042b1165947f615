//! Assembles the document.

use serde_json::{Map, Value, json};

use super::operation::{BodySpec, NamedExamples, Operation, REPLAY, ResponseSpec, reference};
use super::{
    audit, cluster, receiving, schemas, schemas_credentials, schemas_events, schemas_health, schemas_webhooks,
    usage,
};
use crate::api::auth::Permission;
use crate::api::problem::ErrorCode;
use crate::api::route_spec::RouteSpec;
use crate::domain::event_types::{BUILT_IN, EventType, OPERATIONAL};

/// The prefix of `type` in a problem; the code follows.
const ERROR_TYPE_PREFIX: &str = "urn:ringback:error:";

const ABOUT: &str = "\
Post an event once; Ringback stores it, fans it out to every webhook of the organization that is subscribed to it, signs it, \
delivers it over HTTPS, retries with growing delays, and keeps a log of every attempt.\n\n\
Every call except health checks needs a key: `Authorization: Bearer <key>`. Keys of an organization have a role: \
`publisher` (events), `viewer` (read), `manager` (webhooks, logs, replays, and read) or `owner` (all of these, and keys). \
The deployment's admin key manages organizations and their keys. A key of the deployment acts in the organization that the \
header `Ringback-Organization` names.\n\n\
Bodies are read as JSON, whatever their Content-Type; unknown fields are refused. Errors are `application/problem+json` \
with a `code` of a closed list and, for input errors, all invalid fields in `errors`. Lists come in pages, newest \
first. An id of another organization gets the same response as one that does not exist.\n\n\
Every response has a header `X-Request-Id`: that of the request if it has at most 128 visible ASCII characters, otherwise a \
generated one. Problems repeat it as `request_id`, and so does the engine's log.";

/// The header and component of every response.
const REQUEST_ID: &str = "X-Request-Id";

/// The sections, in the order in which they are shown.
const TAGS: &[(&str, &str)] = &[
    ("Events", "Publish what happened; each event goes to every webhook that is subscribed to it."),
    ("Webhooks", "The destinations of an organization, and their signing secrets."),
    ("Logs", "The outcome of every delivery, attempt by attempt."),
    ("Event types", "The event types that can be published and subscribed to."),
    ("Catalogue", "The event types of all organizations, which the operator manages."),
    ("Organizations", "Tenants, fully separate from each other."),
    ("Keys", "The API keys of an organization."),
    ("System", "For the infrastructure around the engine; needs no key."),
    // a separate tag: generators put the calls of a tag into one class, which would replace that of a section's calls
    (receiving::TAG, "The requests to your receivers. Not a call of this API."),
];

/// The whole document. `prefix` is what the deployment's signature headers begin with.
pub(crate) fn document(routes: &[RouteSpec], operations: &[Operation], prefix: &str) -> Value {
    let mut paths = Map::new();
    for spec in routes {
        let found = operations.iter().find(|operation| is_of(operation, spec));
        // a route without one is missing in the document, and a test fails
        let Some(operation) = found else { continue };
        let item = paths.entry(spec.path).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(operation, spec);
    }
    let tags: Vec<Value> = TAGS.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringback",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Webhook delivery engine",
            "description": ABOUT,
            "contact": {"name": "Who runs this deployment"},
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": tags,
        "paths": paths,
        "webhooks": {"event": receiving::delivered(prefix)},
        "components": components(),
        "x-error-codes": ErrorCode::ALL.iter().map(|code| error_code(*code)).collect::<Vec<_>>(),
        "x-event-types": BUILT_IN.iter().map(|it| event_type(it, false))
            .chain(OPERATIONAL.iter().map(|it| event_type(it, true))).collect::<Vec<_>>(),
    })
}

fn is_of(operation: &Operation, spec: &RouteSpec) -> bool {
    operation.method == spec.method.as_str() && operation.path == spec.path
}

fn describe(operation: &Operation, spec: &RouteSpec) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": format!("{}\n\n{}", operation.description, who(spec.permission)),
        "responses": responses(operation, spec),
    });
    let is_of_tenant = !spec.permission.is_of_deployment();
    let organization = is_of_tenant.then(|| reference("parameters", "organization"));
    let parameters = path_parameters(spec.path).chain(operation.parameters.iter().cloned()).chain(organization);
    let parameters: Vec<Value> = parameters.collect();
    if !parameters.is_empty() {
        described["parameters"] = Value::from(parameters);
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = request_body(body);
    }
    if spec.permission == Permission::Open {
        described["security"] = json!([]);
    }
    described
}

fn who(permission: Permission) -> String {
    let roles: Vec<String> = permission.roles().iter().map(|role| format!("`{}`", role.as_str())).collect();
    match permission {
        Permission::Open => String::from("No key is needed."),
        Permission::Admin => {
            String::from("Needs the admin key, or a key of the deployment with the role `admin`.")
        }
        Permission::Keys => {
            format!("Needs the admin key or a key of this organization with the role {}.", roles.join(" or "))
        }
        _ => format!("Needs a key with the role {}.", roles.join(" or ")),
    }
}

/// The parameters that a path names; their schemas are components.
fn path_parameters(path: &'static str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| reference("parameters", name))
}

fn request_body(body: &BodySpec) -> Value {
    let mut described = json!({"required": body.required, "content": media_types(&body.content)});
    if !body.by_hand.is_empty() {
        described["x-also-accepts"] = Value::from(media_types(&body.by_hand));
    }
    described
}

fn media_types(content: &[(&'static str, Value, NamedExamples)]) -> Map<String, Value> {
    let entries = content.iter().map(|(media_type, schema, examples)| {
        ((*media_type).to_owned(), json!({"schema": schema, "examples": named(examples)}))
    });
    entries.collect()
}

fn named(examples: &[(&'static str, Value)]) -> Map<String, Value> {
    let key =
        |summary: &str| summary.replace(|symbol: char| !symbol.is_ascii_alphanumeric(), "_").to_ascii_lowercase();
    examples.iter().map(|(name, value)| (key(name), json!({"summary": name, "value": value}))).collect()
}

fn responses(operation: &Operation, spec: &RouteSpec) -> Map<String, Value> {
    let mut responses = Map::new();
    for answer in std::iter::once(&operation.answer).chain(&operation.other_answer) {
        responses.insert(answer.status.to_string(), good(answer));
    }
    let codes = codes(operation, spec);
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.status().as_u16()).collect();
    statuses.dedup();
    for status in statuses {
        let same: Vec<ErrorCode> = codes.iter().copied().filter(|code| code.status().as_u16() == status).collect();
        responses.insert(status.to_string(), bad(status, &same));
    }
    responses
}

fn good(answer: &ResponseSpec) -> Value {
    let mut response = json!({"description": answer.description});
    if let Some((media_type, schema, example)) = &answer.content {
        response["content"] = json!({*media_type: {"schema": schema, "example": example}});
    }
    response["headers"] = answer.headers.clone();
    response["headers"][REQUEST_ID] = reference("headers", REQUEST_ID);
    response
}

/// The errors of a route: those that the operation lists, and those that follow from the route. Sorted by status.
fn codes(operation: &Operation, spec: &RouteSpec) -> Vec<ErrorCode> {
    use ErrorCode as E;
    let mut codes = operation.errors.to_vec();
    if spec.permission != Permission::Open {
        // the caller is read from the store, and organizations take turns
        codes.extend([E::Unauthorized, E::Forbidden, E::TooManyRequests, E::Unavailable, E::Internal]);
        // of the header that names the organization
        codes.extend([E::BadRequest, E::NotFound]);
    }
    if !spec.permission.is_of_deployment() {
        codes.push(E::OrganizationRequired);
    }
    if spec.path.contains('{') {
        codes.push(E::NotFound);
    }
    if operation.body.is_some() {
        codes.extend([E::BadRequest, E::InvalidJson, E::RequestTimeout, E::PayloadTooLarge]);
        codes.extend([E::UnsupportedEncoding, E::ValidationFailed, E::JsonTooDeep]);
    }
    if operation.parameters.iter().any(|it| it["in"] == "query" || it.get("$ref").is_some()) {
        codes.push(E::ValidationFailed);
    }
    if operation.parameters.contains(&reference("parameters", "cursor")) {
        codes.push(E::InvalidCursor);
    }
    let order = |code: &E| (code.status().as_u16(), E::ALL.iter().position(|it| it == code));
    codes.sort_by_key(order);
    codes.dedup();
    codes
}

fn bad(status: u16, codes: &[ErrorCode]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.help())).collect();
    let examples: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), reference("examples", name))).collect();
    // one type for all errors: a schema narrowed to the codes of this status would be a class for each status of each call
    let mut response = json!({
        "description": lines.join("\n\n"),
        "content": {"application/problem+json": {"schema": reference("schemas", "Problem"), "examples": examples}},
        "x-codes": names,
    });
    let header =
        |text: &str, example: &str| json!({"description": text, "schema": {"type": "string"}, "example": example});
    response["headers"] = json!({REQUEST_ID: reference("headers", REQUEST_ID)});
    match status {
        401 => response["headers"]["WWW-Authenticate"] = header("How to authenticate", "Bearer"),
        429 | 503 => response["headers"]["Retry-After"] = header("Seconds to wait before trying again", "1"),
        _ => {}
    }
    response
}

fn error_code(code: ErrorCode) -> Value {
    json!({"code": code.as_str(), "status": code.status().as_u16(), "title": code.title(), "help": code.help()})
}

fn event_type(event_type: &EventType, operational: bool) -> Value {
    // samples are checked by a test
    let sample: Value = serde_json::from_str(event_type.sample).unwrap_or_default();
    json!({"name": event_type.name, "description": event_type.description, "sample": sample, "operational": operational})
}

fn components() -> Value {
    // a property of paths, not of operations: no operation has its example
    let of_operations = ErrorCode::ALL.iter().filter(|code| **code != ErrorCode::MethodNotAllowed);
    let examples: Map<String, Value> =
        of_operations.map(|code| (code.as_str().to_owned(), example(*code))).collect();
    let bearer = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A key of an organization (`rbk_…`), or the deployment's admin key",
    });
    let request_id = json!({
        "description": "The request's id in the engine's log: the caller's own, or a generated one",
        "required": true,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
        "example": schemas::REQUEST_ID,
    });
    let replay = json!({
        "description": "Present, and `true`, when everything that was published was stored by an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    });
    json!({
        "headers": {REQUEST_ID: request_id, REPLAY: replay},
        "schemas": all_schemas(),
        "parameters": schemas::parameters(),
        "examples": examples,
        "securitySchemes": {"bearer": bearer},
    })
}

fn example(code: ErrorCode) -> Value {
    let mut problem = json!({
        "type": format!("{ERROR_TYPE_PREFIX}{}", code.as_str()),
        "title": code.title(),
        "status": code.status().as_u16(),
        "detail": code.help(),
        "code": code.as_str(),
        "request_id": schemas::REQUEST_ID,
    });
    if code == ErrorCode::ValidationFailed {
        problem["detail"] = json!("timeout: must be from 1 to 60");
        problem["errors"] = json!([{"field": "timeout", "message": "must be from 1 to 60"}]);
    }
    json!({"summary": code.title(), "value": problem})
}

fn all_schemas() -> Map<String, Value> {
    let lists = [
        schemas::schemas(),
        schemas_health::schemas(),
        schemas_webhooks::schemas(),
        schemas_credentials::schemas(),
        schemas_events::schemas(),
        usage::schemas(),
        audit::schemas(),
        cluster::schemas(),
    ];
    lists.into_iter().flatten().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
