//! Texts that a database may refuse, everywhere that a caller can put one: the caller's mistake, and nobody else's
//! trouble.

use actix_web::test::TestRequest;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use ringback::api::routes::ROUTES;
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::tenant::Tenant;
use crate::world::{ADMIN, World};

on_every_store!(no_text_is_answered_with_a_fault_of_the_engine_or_costs_the_writer_its_connection);

/// As they stand in a path or a query: NUL, bytes that are no UTF-8 (cut off, overlong, half of a pair, too large),
/// the last character, one that reverses text, a very long one.
const ODD: [&str; 11] = [
    "a%00b",
    "%00",
    "%ff",
    "%c3%28",
    "%c0%80",
    "%ed%a0%80",
    "%f4%90%80%80",
    "%f4%8f%bf%bf",
    "%e2%80%ae",
    "%25%30%30",
    "%zz",
];
/// As they stand in JSON.
const ODD_JSON: [&[u8]; 7] = [b"a\\u0000b", b"\\u0000", b"\\ud800", b"\\uffff", b"\xff", b"\xed\xa0\x80", b"\x00"];

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// The session of the writer; `None` in other databases.
fn writer(world: &World) -> Option<i32> {
    let url = world.database_url.as_deref().filter(|url| url.starts_with("postgres"))?;
    let mut connection = PgConnection::establish(url).unwrap();
    let holder: Session = diesel::sql_query(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .get_result(&mut connection)
    .unwrap();
    Some(holder.pid)
}

/// A body with a text at `@`.
fn with_text(template: &str, text: &[u8]) -> Vec<u8> {
    let (before, after) = template.split_once('@').unwrap();
    [before.as_bytes(), text, after.as_bytes()].concat()
}

async fn no_text_is_answered_with_a_fault_of_the_engine_or_costs_the_writer_its_connection(database: Database) {
    let world = World::on(database).await;
    let tenant = Tenant::new(&world).await;
    let owner = tenant.key("owner");
    let before = writer(&world);
    for spec in ROUTES {
        for odd in ODD.into_iter().chain([String::from("x").repeat(20_000).as_str()]) {
            let key = if spec.path.starts_with("/v1/organizations") { ADMIN } else { owner };
            let method = spec.method.as_str();
            let queries =
                ["event_type", "webhook_id", "status", "response_code", "from", "cursor", "limit", "no_such"];
            let queries = queries.map(|name| format!("{}?{name}={odd}", tenant.path(spec.path)));
            let mut paths: Vec<String> = if method == "GET" { queries.to_vec() } else { Vec::new() };
            if let Some((begin, rest)) = spec.path.split_once('{') {
                let end = rest.split_once('}').unwrap().1;
                let end = tenant.path(end);
                paths.push(format!("{begin}{odd}{end}"));
            }
            for path in paths {
                let answer = world.call(key, method, &path, "{}").await;
                assert!(answer.status < 500, "{method} {path}: {}", answer.text);
            }
        }
    }
    let webhook = tenant.path("/v1/webhooks/{webhook_id}");
    let event = tenant.path("/v1/events/{event_id}/replay");
    let keys = tenant.path("/v1/organizations/{organization_id}/keys");
    for (method, path, template) in [
        ("POST", "/v1/organizations", r#"{"name": "@"}"#),
        ("POST", &keys, r#"{"name": "@", "role": "viewer"}"#),
        ("POST", &keys, r#"{"name": "x", "role": "@"}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/@"}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://exa@mple.com/"}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "description": "@"}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "events": ["call.@"]}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "filters": {"@": "x"}}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "filters": {"direction": "@"}}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "headers": {"x-a": "@"}}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "headers": {"x-@": "a"}}"#),
        ("POST", "/v1/webhooks", r#"{"url": "https://example.com/", "secret": "whsec_@"}"#),
        ("POST", "/v1/webhooks", r#"{"@": "https://example.com/"}"#),
        ("PATCH", &webhook, r#"{"description": "@"}"#),
        ("PATCH", &webhook, r#"{"filters": {"note": "@"}}"#),
        ("POST", &format!("{webhook}/secret/rotate"), r#"{"secret": "@"}"#),
        ("POST", &format!("{webhook}/test"), r#"{"event_type": "@"}"#),
        ("POST", &format!("{webhook}/recover"), r#"{"since": "@"}"#),
        ("POST", &format!("{webhook}/recover"), r#"{"since": "2024-01-01T00:00:00Z", "status": "@"}"#),
        ("POST", &event, r#"{"webhook_id": "@"}"#),
        ("POST", "/v1/events", r#"{"event_type": "@", "data": {}}"#),
        ("POST", "/v1/events", r#"{"event_type": "call.completed", "data": {"note": "@"}}"#),
        ("POST", "/v1/events", r#"{"event_type": "call.completed", "data": {"@": 1}}"#),
        ("POST", "/v1/events", r#"{"event_type": "call.completed", "data": {}, "timestamp": "@"}"#),
        ("POST", "/v1/events/batch", r#"[{"event_type": "@", "data": {}}]"#),
        ("POST", "/v1/events/batch", r#"[{"event_type": "call.completed", "data": {"note": "@"}}]"#),
        ("POST", "/v1/event-types", r#"{"name": "@"}"#),
        ("POST", "/v1/event-types", r#"{"name": "note.taken", "description": "@"}"#),
        ("POST", "/v1/event-types", r#"{"name": "note.made", "schema": {"title": "@"}}"#),
    ] {
        let key = if path.starts_with("/v1/organizations") { ADMIN } else { owner };
        for text in ODD_JSON {
            let answer = world.call(key, method, path, with_text(template, text)).await;
            assert!(answer.status < 500, "{method} {path} {template} {text:?}: {}", answer.text);
        }
    }
    for (name, value) in
        [("idempotency-key", &b"caf\xc3\xa9"[..]), ("idempotency-key", b"\xff"), ("x-request-id", b"\xff")]
    {
        let value = actix_web::http::header::HeaderValue::from_bytes(value).unwrap();
        let request = TestRequest::post()
            .uri("/v1/events")
            .insert_header(("authorization", format!("Bearer {owner}")))
            .insert_header((actix_web::http::header::HeaderName::from_static(name), value))
            .set_payload(r#"{"event_type": "call.completed", "data": {}}"#);
        assert!(world.send(request).await.status < 500, "{name}");
    }
    for key in ["a\u{e9}", "rb_\u{202e}"] {
        assert_eq!(world.get(key, "/v1/webhooks").await.status, 401);
    }
    let answer = world.call(owner, "DELETE", "/v1/event-types/a%00b", "").await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text);
    assert_eq!(writer(&world), before, "the writer has another connection");
    world.post(owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
    world.get(ADMIN, "/health/ready").await.ok(200);
}
