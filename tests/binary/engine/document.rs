//! The commands of the document that customers were given, word for word but for host and key.

use test_support::engine::text;
use test_support::world::{Database, World};

on_both_databases!(the_documents_own_commands_work_word_for_word);

const WITH_EVENTS: &str = r#"{
    "url": "https://your-domain.com/webhooks/callintel",
    "events": [
      "call.completed",
      "call.transcript_ready",
      "batch.completed"
    ],
    "active": true
  }"#;
const WITH_FILTERS: &str = r#"{
    "url": "https://your-domain.com/webhooks",
    "events": ["call.completed"],
    "filters": {
      "direction": "outbound",
      "status": "completed",
      "min_duration": 60
    }
  }"#;
const PRODUCTION: &str = r#"{
    "url": "https://prod.example.com/webhooks",
    "events": ["call.completed", "batch.completed"]
  }"#;
const ANALYTICS: &str = r#"{
    "url": "https://analytics.example.com/webhooks",
    "events": ["call.completed"]
  }"#;
const BACKUP: &str = r#"{
    "url": "https://backup.example.com/webhooks",
    "events": ["call.completed", "call.transcript_ready"]
  }"#;
const RETRY_POLICY: &str = r#"{
    "retry_policy": {
      "max_attempts": 5,
      "backoff_multiplier": 2,
      "initial_delay_seconds": 60,
      "max_delay_seconds": 3600
    }
  }"#;
/// The content type that curl sends by default: the later commands of the document set none.
const CURLS_OWN_TYPE: &str = "application/x-www-form-urlencoded";

fn the_documents_own_commands_work_word_for_word(database: Database) {
    let world = World::new(database);
    let call = |method: &str, path: &str, body: &str, content_type: &str| {
        world.api.call_with_header(method, path, body, ("content-type", content_type))
    };
    let created = call("POST", "/v1/webhooks", WITH_EVENTS, "application/json").expect(201).json();
    assert_eq!(created["events"].as_array().map(Vec::len), Some(3));
    assert!(text(&created, "secret").starts_with("whsec_"));
    let filtered = call("POST", "/v1/webhooks", WITH_FILTERS, "application/json").expect(201).json();
    assert_eq!(filtered["filters"]["min_duration"], 60);
    for body in [PRODUCTION, ANALYTICS, BACKUP] {
        call("POST", "/v1/webhooks", body, CURLS_OWN_TYPE).expect(201);
    }
    let path = format!("/v1/webhooks/{}", text(&created, "id"));
    let changed = call("PUT", &path, RETRY_POLICY, CURLS_OWN_TYPE).expect(200).json();
    assert_eq!(changed["retry_policy"]["max_attempts"], 5);
    assert_eq!(changed["events"], created["events"], "PUT changes only what is given");
    let logs = world.api.get("/v1/webhooks/logs?limit=50").expect(200).json();
    assert_eq!(logs["data"].as_array().map(Vec::len), Some(0));
    let webhooks = world.api.get("/v1/webhooks").expect(200).json();
    assert_eq!(webhooks["data"].as_array().map(Vec::len), Some(5));
}
