//! Health checks, metrics, and this documentation itself.

use serde_json::json;

use super::operation::{Operation, ResponseSpec, query};
use super::schemas::free_form;
use super::schemas_health;
use crate::api::problem::ErrorCode::{Internal, NotFound, Unavailable, ValidationFailed};

const TAG: &str = "System";

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    let ok = |text| ResponseSpec::json(200, text, "Status", json!({"status": "ok"}));
    let ready = ResponseSpec::json(200, "Requests can be served", "Readiness", json!({"status": "ok"}));
    let metrics =
        ResponseSpec::text("text/plain", "In Prometheus' text format", "ringback_deliveries_pending 0\n");
    let mut document = ResponseSpec::text("application/json", "An OpenAPI 3.1 document", "");
    document.content =
        Some(("application/json", free_form("As specified by OpenAPI 3.1"), json!({"openapi": "3.1.0"})));
    let page = ResponseSpec::text("text/html", "An HTML page", "<!DOCTYPE html>");
    let health = ResponseSpec::json(200, "Its health", "Health", schemas_health::organization_example());
    vec![
        Operation::new(("GET", "/v1/health"), "readHealth", "Webhooks", health)
            .about(
                "Read the organization's health",
                "Its webhooks by state, the backlog, and the success rate and response times over the last hour and day. With `all=true` and \
                 the admin key, which then names no organization: a page of all organizations, those first whose webhooks fail or \
                 fall behind, who have for longest first.",
            )
            .paged()
            .with([query("all", "Of all organizations, for the admin", json!({"type": "boolean"}), json!(false))])
            .errors(&[ValidationFailed]),
        Operation::new(("GET", "/health/live"), "live", TAG, ok("The process is running"))
            .about("Check liveness", "For a liveness probe: says nothing about the database.")
            .errors(&[Internal]),
        Operation::new(("GET", "/health/ready"), "ready", TAG, ready)
            .about("Check readiness", "For a readiness probe: the database responds and the engine is not stopping. An egress proxy that is away makes no difference: \
                 events are still taken.")
            .errors(&[Internal, Unavailable]),
        Operation::new(("GET", "/metrics"), "metrics", TAG, metrics)
            .about("Metrics", "For Prometheus. Responds with 404 when the operator serves them on another address.")
            .errors(&[Internal, NotFound]),
        Operation::new(("GET", "/openapi.json"), "openapi", TAG, document)
            .about("This description", "For generators and tools.")
            .errors(&[Internal]),
        Operation::new(("GET", "/docs"), "docs", TAG, page)
            .about("The documentation", "This description as a page.")
            .errors(&[Internal]),
    ]
}
