//! Input that is refused leaves nothing behind.

use serde_json::json;
use test_support::engine::Answer;
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

on_both_databases!(bad_input_is_refused_by_code_and_field_and_stores_nothing);

const MAX_EVENT_BYTES: usize = 10 * 1024 * 1024;

fn assert_problem(answer: Answer, status: u16, code: &str, fields: &[&str]) {
    let answer = answer.expect(status);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{code}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    for text in ["type", "title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "no {text}: {problem}");
    }
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let mut named: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, fields, "{problem}");
}

fn bad_input_is_refused_by_code_and_field_and_stores_nothing(database: Database) {
    let world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));

    let events: &[(&str, u16, &str, &[&str])] = &[
        ("this is not JSON", 400, "invalid_json", &[]),
        (r#"{"event_type":"call.completed","data":{}"#, 400, "invalid_json", &[]),
        (r#"{"event_type":"call.completed","data":{},"extra":1}"#, 422, "validation_failed", &["extra"]),
        (r#"{"event_type":7,"data":[1]}"#, 422, "validation_failed", &["data", "event_type"]),
        (r#"{"event_type":"call.completed"}"#, 422, "validation_failed", &["data"]),
        (
            r#"{"event_type":"call.completed","data":{},"timestamp":"now"}"#,
            422,
            "validation_failed",
            &["timestamp"],
        ),
        (r#"{"event_type":"no.such_type","data":{}}"#, 422, "unknown_event_type", &["event_type"]),
        (r#"{"event_type":"webhook.disabled","data":{}}"#, 422, "reserved_event_type", &["event_type"]),
    ];
    for &(body, status, code, fields) in events {
        let answer = world.api.try_call("POST", "/v1/events", Some(body.as_bytes())).unwrap();
        assert_problem(answer, status, code, fields);
    }
    let padding = "x".repeat(MAX_EVENT_BYTES);
    let large = format!(r#"{{"event_type":"call.completed","data":{{"padding":"{padding}"}}}}"#);
    let answer = world.api.try_call("POST", "/v1/events", Some(large.as_bytes())).unwrap();
    assert_problem(answer, 413, "payload_too_large", &[]);

    let url = "https://receiver.example/hook";
    let webhooks = [
        (json!({"url": "not a url"}), "validation_failed", vec!["url"]),
        (json!({"url": "ftp://receiver.example/"}), "url_forbidden", vec!["url"]),
        (json!({"url": "https://10.0.0.1/hook"}), "url_forbidden", vec!["url"]),
        (json!({"url": url, "timeout": 0, "retry": 21}), "validation_failed", vec!["retry", "timeout"]),
        (json!({"url": url, "colour": "red"}), "validation_failed", vec!["colour"]),
    ];
    for (webhook, code, fields) in webhooks {
        assert_problem(world.api.post("/v1/webhooks", &webhook), 422, code, &fields);
    }

    let listed = |path: &str| world.api.get(path).expect(200).json()["data"].as_array().unwrap().len();
    assert_eq!(listed("/v1/webhooks/logs"), 0);
    assert_eq!(listed("/v1/webhooks"), 1);
    assert_eq!(world.api.metric("ringback_events_accepted_total", ""), 0.0);
    assert_eq!(world.api.metric("ringback_deliveries_pending", ""), 0.0);
    // what is good is taken, and is the first to arrive
    let id = world.publish(1);
    world.eventually_idle();
    assert_eq!(receiver.seen().iter().map(|seen| seen.event_id()).collect::<Vec<_>>(), [id]);
}
