//! `/v1/usage`.

use serde_json::{Value, json};

use super::operation::{Operation, ResponseSpec, schema_ref};
use super::schemas::{ORGANIZATION_ID, id, output};
use crate::api::problem::ErrorCode::ValidationFailed;

/// What is written down about it.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            ("GET", "/v1/usage"),
            "readUsage",
            "Organizations",
            ResponseSpec::json(200, "Who uses how much", "Usage", example()),
        )
        .about(
            "Read who uses how much",
            "Of what all organizations share on the node that answers: the 100 largest users, by the largest part that each holds of any \
             resource. Rates are averages over the last 10 to 20 seconds. Of several nodes each has its own answer.",
        )
        .errors(&[ValidationFailed]),
    ]
}

pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Usage",
            output(json!({
                "data": {"type": "array", "description": "The largest user first", "items": schema_ref("OrganizationUsage")},
                "totals": schema_ref("UsageTotals"),
            })),
        ),
        ("OrganizationUsage", organization()),
        ("UsageTotals", totals()),
        (
            "ResourceUse",
            output(json!({
                "used": number("What all organizations hold together"),
                "capacity": number("How much there is"),
            })),
        ),
    ]
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn rate(description: &str) -> Value {
    json!({"type": "number", "minimum": 0, "description": description})
}

fn organization() -> Value {
    output(json!({
        "organization_id": id("org"),
        "name": {"type": ["string", "null"], "description": "`null` when it was deleted a moment ago"},
        "supervisors": number("Its webhooks that are delivered to now"),
        "attempts_in_flight": number("Its attempts that wait for a receiver"),
        "payload_bytes": number("Its event bodies in memory for delivery"),
        "uncommitted_events": number("Its events that wait to be stored"),
        "body_bytes": number("Its request bodies that arrive or are worked on"),
        "rows_per_second": rate("Rows that are written for it"),
        "reads_per_second": rate("Its reads through the API and the dashboard"),
        "waiting_reads": number("Its reads that wait for their turn"),
        "waiting_changes": number("Its changes that wait for their turn"),
        "refused_per_minute": rate("Its requests that were refused because it was over its share"),
    }))
}

fn totals() -> Value {
    output(json!({
        "organizations": number("The number of organizations that use anything"),
        "supervisors": schema_ref("ResourceUse"),
        "attempts_in_flight": schema_ref("ResourceUse"),
        "payload_bytes": schema_ref("ResourceUse"),
        "uncommitted_events": schema_ref("ResourceUse"),
        "body_bytes": schema_ref("ResourceUse"),
        "rows_per_second": rate("Rows that are written for all organizations"),
        "reads_per_second": rate("Reads of all organizations"),
        "refused_per_minute": rate("Requests of all organizations that were over a share"),
    }))
}

fn example() -> Value {
    json!({
        "data": [{
            "organization_id": ORGANIZATION_ID, "name": "Acme", "supervisors": 310, "attempts_in_flight": 1_204, "payload_bytes": 5_120_000,
            "uncommitted_events": 40, "body_bytes": 12_288, "rows_per_second": 4_210.5, "reads_per_second": 12.1, "waiting_reads": 0,
            "waiting_changes": 1, "refused_per_minute": 0.0,
        }],
        "totals": {
            "organizations": 12,
            "supervisors": {"used": 340, "capacity": 4_000},
            "attempts_in_flight": {"used": 1_250, "capacity": 2_048},
            "payload_bytes": {"used": 6_000_000, "capacity": 134_217_728},
            "uncommitted_events": {"used": 52, "capacity": 10_000},
            "body_bytes": {"used": 20_480, "capacity": 67_108_864},
            "rows_per_second": 4_930.0, "reads_per_second": 31.4, "refused_per_minute": 0.0,
        },
    })
}
