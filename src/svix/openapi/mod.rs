//! `/api/v1/openapi.json`: what this API is, in OpenAPI 3.1, made from the table of routes.
//!
//! Each route of the table has one [`operations::Operation`]; who may call, the parameters of its path and its
//! errors are derived. A test fails for a route without one, and compares every answer with its schema.

mod operations;
mod schemas;

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::Method;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::BASE_PATH;
use super::route_spec::{Permission, RouteSpec};
use operations::Operation;

const ABOUT: &str = "\
The calls of Svix's open-source server that Ringback answers, for Svix's client libraries. Applications are organizations of \
Ringback, endpoints webhooks, and messages events.\n\n\
`Authorization: Bearer <token>`: a JSON Web Token of HS256, signed with the deployment's `svix.jwt_secret`; `ringback svix token` \
prints one. Fields and parameters that are not known are ignored. Wherever a path names an application, an endpoint or a \
message, its id and your own id of it serve.";

/// The response to `GET /api/v1/openapi.json`.
pub(super) fn response(routes: &[RouteSpec]) -> HttpResponse {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| Bytes::from(format!("{:#}\n", document(routes))));
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}

/// The whole description of these routes.
pub fn document(routes: &[RouteSpec]) -> Value {
    let mut paths = Map::new();
    for spec in routes {
        let is_of_spec = |it: &&Operation| it.method == spec.method.as_str() && it.path == spec.path;
        // a route without one is missing in the document, and a test fails
        let Some(operation) = operations::OPERATIONS.iter().find(is_of_spec) else { continue };
        let item = paths.entry(format!("{BASE_PATH}{}", spec.path)).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(operation, spec);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringback: the Svix-compatible API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"HTTPBearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": schemas::parameters(),
            "securitySchemes": {"HTTPBearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn describe(operation: &Operation, spec: &RouteSpec) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag()],
        "summary": operation.summary,
        "description": who(spec.permission),
        "responses": responses(operation, spec),
    });
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let key = (spec.method == Method::POST).then_some("idempotency-key");
    let parameters = names.chain(operation.query.iter().copied()).chain(key);
    let parameters: Vec<Value> = parameters.map(|name| reference("parameters", name)).collect();
    if !parameters.is_empty() {
        described["parameters"] = Value::from(parameters);
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({"required": true, "content": content(body)});
    }
    if spec.permission == Permission::Open {
        described["security"] = json!([]);
    }
    described
}

fn who(permission: Permission) -> &'static str {
    match permission {
        Permission::Open => "Needs no token.",
        Permission::Environment => "Needs a token of the environment.",
        Permission::Application => "Needs a token of the environment, or of this application.",
        Permission::ApplicationRead => {
            "Needs a token of the environment or of the application, which may be one that only reads."
        }
    }
}

fn responses(operation: &Operation, spec: &RouteSpec) -> Map<String, Value> {
    let mut responses = Map::new();
    for status in operation.statuses {
        let mut response = json!({"description": "What was asked for"});
        if let Some(answer) = operation.answer {
            response["content"] = content(answer);
        }
        responses.insert(status.to_string(), response);
    }
    let (is_open, has_names) = (spec.permission == Permission::Open, spec.path.contains('{'));
    let (has_body, has_input) =
        (operation.body.is_some(), operation.body.is_some() || !operation.query.is_empty());
    let errors = [
        (
            400,
            !is_open,
            "The token says something impossible, a parameter can't be read, or what is asked for can't be done; `code` says which",
        ),
        (401, !is_open, "There is no token, or it is not valid"),
        (403, !is_open, "The token may not do that"),
        (404, has_names, "What the path names does not exist"),
        (409, has_body, "It exists already"),
        (413, has_body, "The body is too large"),
        (429, !is_open, "Too much at once; try again after `Retry-After` seconds"),
        (500, !is_open, "Something went wrong in the engine"),
        (501, operation.statuses.is_empty(), "It is not implemented, as in Svix's server"),
        (503, !is_open, "The database is away; try again after `Retry-After` seconds"),
    ];
    for (status, _, description) in errors.into_iter().filter(|(_, is_one_of_it, _)| *is_one_of_it) {
        let response = json!({"description": description, "content": content("HttpErrorOut")});
        responses.insert(status.to_string(), response);
    }
    if has_input {
        let response = json!({"description": "The input is wrong", "content": content("HTTPValidationError")});
        responses.insert("422".to_owned(), response);
    }
    responses
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference("schemas", schema)}})
}

/// Refers to a component.
fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}
