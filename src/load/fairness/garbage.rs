//! Requests that make no sense: bytes that a database may not take, ids and keys of nobody, JSON that ends early.

use std::sync::Arc;

use awc::http::Method;
use awc::http::header::HeaderValue;
use serde_json::json;

use super::client::Call;

/// Has the form of an id, and belongs to nobody.
const NOBODY: &str = "0123456789abc";

/// Each with the aggressor's own key or with one that nobody has.
pub(crate) fn garbage(key: &Arc<str>) -> Vec<Call> {
    let get = |path: &str| Call::new(Method::GET, path, key);
    let post = |path: &str| Call::new(Method::POST, path, key);
    let delete = |path: &str| Call::new(Method::DELETE, path, key);
    let mut calls = vec![
        delete("/v1/event-types/a%00b"),
        delete("/v1/event-types/%ff%fe"),
        delete(&format!("/v1/webhooks/wh_{NOBODY}")),
        get("/v1/webhooks/wh_%00"),
        get("/v1/webhooks/%c0%80%ed%a0%80"),
        get(&format!("/v1/webhooks/wh_{NOBODY}/health")),
        get(&format!("/v1/events/msg_{NOBODY}")),
        get(&format!("/v1/webhooks/logs/dlv_{NOBODY}")),
        get("/v1/webhooks/logs?event_type=a%00b"),
        get("/v1/webhooks/logs?status=%ff&response_code=%00"),
        get("/v1/webhooks/logs?from=%00&to=9999-12-31T23:59:59Z"),
        get("/v1/events?cursor=%00%00%00"),
        get("/v1/events?limit=-1&cursor=%f0%28%8c%28"),
        get("/%00/%ff"),
        post(&format!("/v1/webhooks/wh_{NOBODY}/test")).body("{}"),
        post(&format!("/v1/webhooks/wh_{NOBODY}/recover")).json(&json!({"since": "2020-01-01T00:00:00Z"})),
        post(&format!("/v1/events/msg_{NOBODY}/replay")).body("{}"),
        post("/v1/events").body(r#"{"event_type":"call.completed","data":{"#),
        post("/v1/events").body(&b"{\"event_type\":\"call.completed\",\"data\":\"\x00\xff\xfe\"}"[..]),
        post("/v1/events").body(r#"{"event_type":"a\u0000b","data":{"text":"\u0000\ud800"}}"#),
        post("/v1/events/batch").body(r#"[{"event_type":"\u0000","data":1},{"data":"\ud800"},3,null]"#),
        post("/v1/event-types").json(&json!({"name": "a\u{0}b", "description": "\u{0}"})),
        post("/v1/webhooks")
            .json(&json!({"url": "https://\u{0}/%00", "description": "\u{0}", "filters": {"\u{0}": 1}})),
    ];
    // bytes above 127 are allowed in a header, and are no UTF-8
    if let Ok(value) = HeaderValue::from_bytes(b"\xff\xfe\xc0\x80") {
        let event = json!({"event_type": "call.completed", "data": {}});
        calls.push(post("/v1/events").json(&event).header("idempotency-key", value));
    }
    let unknown =
        [get("/v1/health"), get("/v1/webhooks"), post("/v1/events").body("{"), delete("/v1/event-types/a%00b")];
    calls.extend(unknown.map(Call::with_unknown_key));
    calls
}
