//! `/v1/cluster`.

use serde_json::{Value, json};

use super::operation::{Operation, ResponseSpec, schema_ref};
use super::schemas::output;
use crate::api::problem::ErrorCode::ValidationFailed;

/// What is written down about it.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            ("GET", "/v1/cluster"),
            "readCluster",
            "System",
            ResponseSpec::json(200, "The nodes that share the database", "Cluster", example()),
        )
        .about(
            "Read which nodes there are",
            "The nodes that share the PostgreSQL database, as the answering one sees them, and how many of the 256 parts of all \
             webhooks each delivers to. On SQLite there is one.",
        )
        .errors(&[ValidationFailed]),
    ]
}

pub(crate) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Cluster",
            output(json!({
                "nodes": {"type": "array", "description": "By their numbers", "items": schema_ref("ClusterNode")},
                "partitions": schema_ref("ClusterPartitions"),
            })),
        ),
        ("ClusterNode", node()),
        (
            "ClusterPartitions",
            output(json!({
                "owned": number("Delivered to by a node"),
                "moving": number("Delivered to by a node that is about to give them to another one"),
                "unowned": number("Delivered to by nobody now"),
            })),
        ),
    ]
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn node() -> Value {
    output(json!({
        "name": {"type": "string", "description": "`cluster.name`, or host name and port"},
        "node": {"type": "integer", "minimum": 0, "maximum": 255, "description": "Its number"},
        "state": {
            "type": "string", "enum": ["joining", "live", "leaving", "fenced"],
            "description": "`fenced`: it was silent for too long, and others have taken over",
        },
        "version": {"type": "string", "description": "Of the program"},
        "advertise": {"type": ["string", "null"], "description": "Where other nodes reach its API; `null` when they can't"},
        "started_at": {"type": "string", "format": "date-time", "description": "When it joined"},
        "last_beat_ms_ago": number("For how long the answering node has seen no sign of life, in milliseconds"),
        "partitions": number("Parts of the webhooks that it delivers to, of 256"),
        "attempts_in_flight": number("Its attempts that wait for a receiver"),
        "pending": number("Pending deliveries, as it counts them"),
        "clock_offset_ms": {
            "type": "integer", "description": "The database's clock, whose time is used, minus its own, in milliseconds",
        },
    }))
}

fn example() -> Value {
    json!({
        "nodes": [
            {
                "name": "ringback-1:8080", "node": 0, "state": "live", "version": "0.1.0", "advertise": "http://10.0.0.7:8080",
                "started_at": "2026-11-29T10:00:00Z", "last_beat_ms_ago": 0, "partitions": 128, "attempts_in_flight": 12,
                "pending": 40, "clock_offset_ms": 3,
            },
            {
                "name": "ringback-2:8080", "node": 1, "state": "live", "version": "0.1.0", "advertise": "http://10.0.0.8:8080",
                "started_at": "2026-11-29T10:05:00Z", "last_beat_ms_ago": 420, "partitions": 128, "attempts_in_flight": 9,
                "pending": 40, "clock_offset_ms": -12,
            },
        ],
        "partitions": {"owned": 256, "moving": 0, "unowned": 0},
    })
}
