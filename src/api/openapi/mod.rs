//! `/openapi.json`: the API's description in OpenAPI 3.1, made from the table of routes.
//!
//! Each route of [`super::routes::ROUTES`] has one [`Operation`] in a file of this folder; what follows from the
//! table itself (who may call, which errors that brings, the parameters of the path) is derived. A test fails for
//! a route without one.

mod assemble;
mod events;
mod operation;
mod organizations;
mod schemas;
mod schemas_events;
mod schemas_health;
mod schemas_webhooks;
mod system;
mod webhooks;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use serde_json::Value;

pub use operation::Operation;

/// The prefix of `type` in a problem; the code follows.
pub const ERROR_TYPE_PREFIX: &str = "urn:ringback:error:";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| assemble::document(&operations()));
static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", *DOCUMENT));

/// What is written down about every route.
pub fn operations() -> Vec<Operation> {
    [organizations::operations(), webhooks::operations(), events::operations(), system::operations()].concat()
}

/// The whole description.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// The same as text, as it is served.
pub fn text() -> &'static str {
    &TEXT
}

/// `GET /openapi.json`.
pub async fn read() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text())
}
