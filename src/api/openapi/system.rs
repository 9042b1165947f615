//! Health checks, metrics, and this documentation itself.

use serde_json::json;

use super::operation::{Answer, Operation};
use super::schemas::free_form;
use super::schemas_health;
use crate::api::problem::ErrorCode::{Internal, NotFound, Unavailable, ValidationFailed};

const TAG: &str = "System";

/// What is written down about them.
pub(crate) fn operations() -> Vec<Operation> {
    let ok = |text| Answer::json(200, text, "Status", json!({"status": "ok"}));
    let metrics = Answer::text("text/plain", "In Prometheus' text format", "ringback_deliveries_pending 0\n");
    let mut document = Answer::text("application/json", "An OpenAPI 3.1 document", "");
    document.content =
        Some(("application/json", free_form("As specified by OpenAPI 3.1"), json!({"openapi": "3.1.0"})));
    let page = Answer::text("text/html", "A page to read", "<!DOCTYPE html>");
    let health = Answer::json(200, "Its health", "OrganizationHealth", schemas_health::organization_example());
    vec![
        Operation::new(("GET", "/v1/health"), "readHealth", "Webhooks", health)
            .about(
                "See how the organization fares",
                "Its webhooks by state, what waits, and success rate and latencies over an hour and a day.",
            )
            .errors(&[ValidationFailed]),
        Operation::new(("GET", "/health/live"), "live", TAG, ok("The process answers"))
            .about("Is it alive?", "For a liveness probe: says nothing about the database.")
            .errors(&[Internal]),
        Operation::new(("GET", "/health/ready"), "ready", TAG, ok("Requests can be served"))
            .about("Can it serve?", "For a readiness probe: the database answers and the engine is not stopping.")
            .errors(&[Internal, Unavailable]),
        Operation::new(("GET", "/metrics"), "metrics", TAG, metrics)
            .about("Metrics", "For Prometheus. Not found here when the operator serves them on another address.")
            .errors(&[Internal, NotFound]),
        Operation::new(("GET", "/openapi.json"), "openapi", TAG, document)
            .about("This description", "For generators and tools.")
            .errors(&[Internal]),
        Operation::new(("GET", "/docs"), "docs", TAG, page)
            .about("The documentation", "This description as a page.")
            .errors(&[Internal]),
    ]
}
