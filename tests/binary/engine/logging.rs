//! Requests in the engine's log: all of them where that is configured, and refusals always.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_support::engine::{ADMIN_KEY, eventually, text};
use test_support::world::{Database, World};

#[test]
fn the_access_log_has_a_line_for_each_request_with_who_asked_and_its_id_and_nothing_secret() {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_LOG", "info,ringback::api=debug");
    let world = World::start(database, serve);
    let call = |key: &str, method: &str, path: &str, body: &str, id: &str| {
        let api = world.engine.api(key);
        api.call_with_header(method, path, body, ("x-request-id", id))
    };
    let key = world.api.key().to_owned();
    let hook = "http://127.0.0.1:1025/a-token-of-a-customer";
    let webhook =
        call(&key, "POST", "/v1/webhooks", &json!({"url": hook}).to_string(), "id-of-creation").expect(201);
    let event = json!({"event_type": "call.completed", "data": {"note": "a-text-of-a-body"}}).to_string();
    call(&key, "POST", "/v1/events", &event, "id-of-publishing").expect(202);
    call(&key, "GET", "/v1/events?limit=0&a-text-of-a-query=1", "", "id-of-refusal").expect(422);
    call("rbk_a-key-that-is-unknown", "GET", "/v1/webhooks", "", "id-of-a-stranger").expect(401);
    call(ADMIN_KEY, "GET", "/v1/organizations", "", "id-of-the-admin").expect(200);
    let made = call(&key, "GET", "/nosuch", "", "not visible").expect(404);

    let line = |id: &str| {
        eventually(&format!("a line with {id}"), || {
            world.engine.log().lines().find(|line| line.contains(id)).map(str::to_owned)
        })
    };
    let organization =
        text(&world.engine.api(ADMIN_KEY).get("/v1/organizations").json()["data"][0], "id").to_owned();
    for (id, parts) in [
        (
            "id-of-creation",
            ["method=\"POST\"", "path=\"/v1/webhooks\"", "status=201", organization.as_str(), "key=key_"],
        ),
        ("id-of-publishing", ["method=\"POST\"", "path=\"/v1/events\"", "status=202", &organization, "key=key_"]),
        ("id-of-refusal", ["method=\"GET\"", "path=\"/v1/events\"", "status=422", &organization, "key=key_"]),
        ("id-of-a-stranger", ["method=\"GET\"", "path=\"/v1/webhooks\"", "status=401", "duration_ms=", "DEBUG"]),
        (
            "id-of-the-admin",
            ["method=\"GET\"", "path=\"/v1/organizations\"", "status=200", "duration_ms=", "DEBUG"],
        ),
        (
            made.header("x-request-id"),
            ["method=\"GET\"", "path=\"/nosuch\"", "status=404", "duration_ms=", "DEBUG"],
        ),
    ] {
        let line = line(id);
        for part in parts {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
    }
    let log = world.engine.log();
    let secret = text(&webhook.json(), "secret").to_owned();
    for hidden in [&key, &secret, "a-token", "a-text", "a-key", ADMIN_KEY, "not visible"] {
        assert!(!log.contains(hidden), "{hidden} is in the log: {log}");
    }
}

/// The lines of a log in JSON, as objects.
fn objects(log: &str) -> Vec<serde_json::Map<String, Value>> {
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_line_of_the_access_log_has_the_documented_fields_and_nothing_that_a_client_chooses_but_the_request_id() {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_LOG", "error").set("RINGBACK_LOG_FORMAT", "json");
    let world = World::start(database, serve.set("RINGBACK_ACCESS_LOG", "true"));
    let key = world.api.key().to_owned();
    let call_as = |method: &str, key: &str, path: &str, id: &str| {
        world.engine.api(key).call_with_header(method, path, "", ("x-request-id", id)).status
    };
    let call = |key: &str, path: &str, id: &str| call_as("GET", key, path, id);
    assert_eq!(call(&key, "/v1/webhooks/a-secret-in-a-path?token=a-secret-in-a-query", "first"), 404);
    assert_eq!(call("rbk_a-secret-key", "/v1/webhooks?token=a-secret-in-a-query", "second"), 401);
    assert_eq!(call(ADMIN_KEY, "/no-such-secret-page", "third"), 404);
    // stands for whatever a client invents: this one refuses to send that
    assert_eq!(call_as("TRACE", ADMIN_KEY, "/no-such-page", "fourth"), 404);
    let line = |id: &str| {
        eventually(&format!("a line with {id}"), || {
            objects(&world.engine.log())
                .into_iter()
                .find(|line| line.get("request_id").is_some_and(|own| own == id))
        })
    };
    let always = [
        "bytes",
        "duration_ms",
        "left_out",
        "level",
        "message",
        "method",
        "request_id",
        "route",
        "status",
        "target",
        "timestamp",
    ];
    for (id, route, status, more) in [
        ("first", "/v1/webhooks/{webhook_id}", 404, &["key", "organization"][..]),
        ("second", "/v1/webhooks", 401, &[]),
        ("third", "unmatched", 404, &[]),
        ("fourth", "unmatched", 404, &[]),
    ] {
        let line = line(id);
        let mut expected: Vec<&str> = always.iter().chain(more).copied().collect();
        expected.sort_unstable();
        let mut fields: Vec<&str> = line.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, expected, "{id}");
        assert_eq!((line["route"].as_str(), line["status"].as_u64()), (Some(route), Some(status)), "{id}");
        assert_eq!((line["target"].as_str(), line["level"].as_str()), (Some("ringback::access"), Some("INFO")));
        assert!(line["bytes"].as_u64() > Some(20) && line["duration_ms"].is_number(), "{line:?}");
    }
    assert_eq!([line("first"), line("fourth")].map(|line| line["method"].clone()), ["GET", "other"]);
    assert!(!world.engine.log().contains("secret"), "{}", world.engine.log());
}

#[test]
fn a_stranger_who_floods_the_engine_does_not_flood_the_access_log() {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_LOG_FORMAT", "json").set("RINGBACK_ACCESS_LOG", "true");
    let world = World::start(database, serve);
    let stranger = world.engine.api("rbk_unknown");
    let flood = || (0..150).for_each(|_| assert_eq!(stranger.get("/v1/webhooks").status, 401));
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(flood))));
    let of_strangers = || {
        let lines = objects(&world.engine.log()).into_iter();
        lines.filter(|line| line.get("status").is_some_and(|status| status == 401)).collect::<Vec<_>>()
    };
    // however fast this machine is: every request has a line, or is counted as left out by a later one
    let requests = eventually("all of them", || {
        assert_eq!(stranger.get("/v1/webhooks").status, 401);
        let lines = of_strangers();
        let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        (lines.len() as u64 + left_out > 600).then_some(lines)
    });
    let seconds: std::collections::BTreeSet<&str> =
        requests.iter().filter_map(|line| line["timestamp"].as_str()?.get(..19)).collect();
    assert!(requests.len() <= 100 * (seconds.len() + 1), "{} lines in {} seconds", requests.len(), seconds.len());
}

#[test]
fn an_overloaded_engine_says_so_once_and_not_for_each_refusal() {
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_DELIVERY_MAX_UNCOMMITTED_EVENTS", "1");
    let world = World::start(database, serve);
    let event = json!({"event_type": "call.completed", "data": {}});
    let admin = world.api.with_key(ADMIN_KEY);
    let other = admin.post("/v1/organizations", &json!({"name": "other"})).expect(201).json();
    let keys = format!("/v1/organizations/{}/keys", text(&other, "id"));
    let key = admin.post(&keys, &json!({"name": "k", "role": "owner"})).expect(201).json();
    let apis = [world.api.clone(), world.api.with_key(text(&key, "key"))];
    let refused = AtomicUsize::new(0);
    // one event at a time fits: while one organization has it, the other one finds nothing
    std::thread::scope(|scope| {
        for api in apis.iter().cycle().take(8) {
            scope.spawn(|| {
                while refused.load(Ordering::Relaxed) < 50 {
                    let answer = api.post("/v1/events", &event);
                    if answer.status == 503 {
                        assert_eq!(answer.json()["code"], "overloaded");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    world.api.post("/v1/events", &event).expect(202);
    let lines = || world.engine.log().lines().filter(|line| line.contains("overloaded")).count();
    eventually("a line about it", || (lines() > 0).then_some(()));
    assert!(lines() < 5, "logged from time to time only: {}", world.engine.log());
    assert!(world.engine.log().contains("WARN"), "{}", world.engine.log());
}
