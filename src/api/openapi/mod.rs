//! `/openapi.json`: the API's description in OpenAPI 3.1, made from the table of routes.
//!
//! Each route of [`super::routes::ROUTES`] has one [`Operation`] in a file of this folder; what follows from the
//! table itself (who may call, which errors that brings, the parameters of the path) is derived. A test fails for
//! a route without one.
//!
//! Clients are generated from it, so schemas keep to what generators understand (`tests/in_process/openapi.rs` checks it, and
//! `tests/generated_clients.sh` makes two clients and uses them).

mod assemble;
mod events;
mod operation;
mod organizations;
mod receiving;
mod schemas;
mod schemas_events;
mod schemas_health;
mod schemas_webhooks;
mod system;
mod webhooks;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::Value;

use super::Api;
pub(crate) use operation::Operation;

/// The prefix of `type` in a problem; the code follows.
pub(crate) const ERROR_TYPE_PREFIX: &str = "urn:ringback:error:";

/// What is written down about every route.
pub fn operations() -> Vec<Operation> {
    [organizations::operations(), webhooks::operations(), events::operations(), system::operations()].concat()
}

/// The whole description, for a deployment whose signature headers begin with `signature_header_prefix`.
pub fn document(signature_header_prefix: &str) -> Value {
    assemble::document(&operations(), signature_header_prefix)
}

/// A description as text, as it is served.
pub fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// `GET /openapi.json`.
pub(crate) async fn read(api: web::Data<Api>) -> HttpResponse {
    let text = api.description.get_or_init(|| Bytes::from(text(&document(api.signature_header_prefix()))));
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}
