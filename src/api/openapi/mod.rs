//! `/openapi.json`: the API's description in OpenAPI 3.1, made from the table of routes.
//!
//! Each route of the table of routes has one [`Operation`] in a file of this folder; what follows from the
//! table itself (who may call, which errors that brings, the parameters of the path) is derived. A test fails for
//! a route without one.
//!
//! Clients are generated from it, so schemas keep to what generators understand (`tests/in_process/openapi.rs` checks it, and
//! `tests/generated_clients.sh` makes two clients and uses them).

mod assemble;
mod audit;
mod catalogue;
mod cluster;
mod events;
mod operation;
mod organizations;
mod receiving;
mod schemas;
mod schemas_credentials;
mod schemas_events;
mod schemas_health;
mod schemas_webhooks;
mod system;
mod usage;
mod webhooks;

use actix_web::HttpResponse;
use bytes::Bytes;
use serde_json::Value;

use super::Api;
use super::route_spec::RouteSpec;
pub(crate) use operation::Operation;

/// What is written down about every route.
pub fn operations() -> Vec<Operation> {
    let organizations = [
        organizations::operations(),
        audit::operations(),
        catalogue::operations(),
        usage::operations(),
        cluster::operations(),
    ]
    .concat();
    [organizations, webhooks::operations(), events::operations(), system::operations()].concat()
}

/// The whole description of these routes, for a deployment whose signature headers begin with `signature_header_prefix`.
pub fn document(routes: &[RouteSpec], signature_header_prefix: &str) -> Value {
    assemble::document(routes, &operations(), signature_header_prefix)
}

/// A description as text, as it is served.
pub fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// The response to `GET /openapi.json`.
pub(crate) fn response(api: &Api, routes: &[RouteSpec]) -> HttpResponse {
    let text = api.description.get_or_init(|| Bytes::from(text(&document(routes, api.signature_header_prefix()))));
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}
