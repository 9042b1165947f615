//! `/api/v1/health`.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::api::{Api, probes};

/// `GET /api/v1/health`: whether requests can be served now.
pub(super) async fn report(api: web::Data<Api>) -> HttpResponse {
    let (mut response, status) = match probes::ready(api).await {
        Ok(_) => (HttpResponse::Ok(), "Ok"),
        Err(_) => (HttpResponse::InternalServerError(), "Error"),
    };
    // the names of Svix's server; here all three are the database
    let part = json!({ "status": status });
    response.json(json!({"database": part, "queue": part, "cache": part}))
}

/// `GET /api/v1/health/ping`: the process is running.
pub(super) async fn ping() -> HttpResponse {
    HttpResponse::NoContent().finish()
}
