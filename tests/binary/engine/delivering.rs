//! What a receiver gets.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use standardwebhooks::Webhook;
use test_support::engine::{eventually, text};
use test_support::receiver::{Receiver, Seen};
use test_support::world::{Database, EVENT_TYPE, World};

on_both_databases!(an_event_reaches_its_webhook_as_published_and_signed_and_is_in_the_log_and_the_metrics);

/// No parser that prints numbers again leaves these as they are.
const DATA: &str = r#"{"z":1e400,"a":1234567890123456789012345678901234567890,"text":"na\u00efve — \/","b":1.50}"#;
const TIMESTAMP: &str = "2024-12-16T10:30:45Z";

fn an_event_reaches_its_webhook_as_published_and_signed_and_is_in_the_log_and_the_metrics(database: Database) {
    let world = World::new(database);
    let (receiver, uninterested) = (Receiver::ok(), Receiver::ok());
    let webhook = world.webhook(&receiver, json!({"events": [EVENT_TYPE], "headers": {"x-token": "t0p"}}));
    world.webhook(&uninterested, json!({"events": ["call.missed"]}));
    let event = format!(r#"{{"event_type":"{EVENT_TYPE}","data":{DATA},"timestamp":"{TIMESTAMP}"}}"#);
    let answer = world.api.try_call("POST", "/v1/events", Some(event.as_bytes())).unwrap().expect(202).json();
    assert_eq!(answer["deliveries"], 1);
    assert_eq!(answer["event_type"], EVENT_TYPE);
    let event_id = text(&answer, "id");
    assert!(event_id.starts_with("msg_"));

    let is_success = |delivery: &serde_json::Value| delivery["status"] == "success";
    let delivery = world.eventually_delivery(&webhook, "a success in the log", is_success);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    let body = format!(
        r#"{{"event_type":"{EVENT_TYPE}","timestamp":"{TIMESTAMP}","webhook_id":"{event_id}","data":{DATA}}}"#
    );
    assert_eq!(seen[0].body, body);
    assert_head(&seen[0], event_id, text(&delivery, "id"));
    assert_signed(&seen[0], text(&webhook, "secret"));

    assert_eq!(delivery["event_id"], event_id);
    assert_eq!(delivery["webhook_id"], webhook["id"]);
    assert_eq!(delivery["attempt_count"], 1);
    assert_eq!(delivery["response_code"], 200);
    let path = format!("/v1/webhooks/logs/{}", text(&delivery, "id"));
    let detail = world.api.get(&path).expect(200);
    assert!(detail.text.contains(&body), "the payload of the log is the body that was sent: {}", detail.text);
    let detail = detail_without_payload(&detail.text);
    let attempts = detail["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0]["number"], 1);
    assert_eq!(attempts[0]["response_code"], 200);
    assert!(!detail.to_string().contains("t0p"), "a customer's header is a secret: {detail}");

    let metric = |name: &str, label: &str| world.api.metric(name, label);
    eventually("the delivery is counted", || {
        (metric("ringback_deliveries_total", "outcome=\"success\"") == 1.0).then_some(())
    });
    assert_eq!(metric("ringback_events_accepted_total", &format!("event_type=\"{EVENT_TYPE}\"")), 1.0);
    assert_eq!(metric("ringback_attempts_total", "success"), 1.0);
    assert_eq!(metric("ringback_attempt_duration_seconds_count", ""), 1.0);
    assert_eq!(metric("ringback_delivery_latency_seconds_count", ""), 1.0);
    assert_eq!(metric("ringback_deliveries_pending", ""), 0.0);
    assert_eq!(uninterested.count(), 0);
}

/// 1e400 fits into no number of the JSON library that reads here.
fn detail_without_payload(detail: &str) -> serde_json::Value {
    serde_json::from_str(&detail.replace("1e400", "1")).unwrap()
}

fn assert_head(seen: &Seen, event_id: &str, delivery_id: &str) {
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/hook"));
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("user-agent"), concat!("Ringback/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen.header("webhook-id"), event_id);
    assert_eq!(seen.header("x-callintel-delivery"), delivery_id);
    assert_eq!(seen.header("x-callintel-attempt"), "1");
    assert_eq!(seen.header("x-token"), "t0p");
    assert!(!seen.headers.contains_key("x-callintel-signature-previous"), "no secret was rotated");
}

/// Both schemes, by code that is not the engine's.
fn assert_signed(seen: &Seen, secret: &str) {
    // also checks that the timestamp is of this moment
    Webhook::new(secret).unwrap().verify(&seen.body, &seen.headers).unwrap();
    assert!(
        Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().verify(&seen.body, &seen.headers).is_err()
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&seen.body);
    let expected = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    assert_eq!(seen.header("x-callintel-signature"), expected);
}
