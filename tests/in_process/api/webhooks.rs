//! Webhooks: creation, changes, secrets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::endpoint::EndpointDefaults;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    the_examples_of_the_contract_are_accepted,
    a_new_webhook_has_the_documented_defaults_and_shows_its_secret_once,
    a_change_touches_only_the_fields_that_it_names_and_null_is_the_default,
    retry_retry_policy_and_retry_schedule_replace_each_other,
    switching_off_and_on_keeps_the_reason_and_the_time,
    every_bad_value_is_refused_by_name,
    reserved_headers_are_refused_whatever_their_case,
    a_url_is_refused_with_the_code_of_the_rule_that_it_breaks,
    an_event_pattern_must_be_able_to_match,
    header_values_are_masked_and_the_mask_keeps_them,
    a_secret_is_brought_rotated_and_read,
    a_change_is_retried_a_few_times_when_others_change_the_webhook_first,
    a_webhook_that_says_nothing_has_the_operators_defaults_and_null_restores_them,
);

const URL: &str = "https://your-domain.com/webhooks/callintel";

async fn the_examples_of_the_contract_are_accepted(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for body in [
        json!({"url": URL, "events": ["call.completed", "call.transcript_ready", "batch.completed"], "active": true}),
        json!({"url": "https://your-domain.com/webhooks", "events": ["call.completed"],
               "filters": {"direction": "outbound", "status": "completed", "min_duration": 60}}),
        json!({"url": "https://prod.example.com/webhooks", "events": ["call.completed", "batch.completed"]}),
    ] {
        let created = world.post(&owner, "/v1/webhooks", body.clone()).await.ok(201);
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&created[name], value, "{name}");
        }
    }
    let path = world.webhook(&owner, json!({"url": URL})).await;
    let policy = json!({"max_attempts": 5, "backoff_multiplier": 2, "initial_delay_seconds": 60, "max_delay_seconds": 3600});
    let changed = world.call(&owner, "PUT", &path, json!({"retry_policy": policy}).to_string()).await.ok(200);
    assert_eq!(changed["retry_policy"]["max_delay_seconds"], 3600);
    assert_eq!(changed["retry"], Value::Null);
    assert_eq!(changed["url"], URL);
}

async fn a_new_webhook_has_the_documented_defaults_and_shows_its_secret_once(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let answer = world.post(&owner, "/v1/webhooks", json!({"url": URL})).await;
    let mut created = answer.ok(201);
    let path = format!("/v1/webhooks/{}", created["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    let secret = created.as_object_mut().unwrap().remove("secret").unwrap();
    assert!(secret.as_str().unwrap().starts_with("whsec_"));
    let id = created["id"].clone();
    // those of the contract; `docs/webhook-settings.md` has every default and is compared with the code
    let documented = json!({"id": id, "url": URL, "description": null, "events": [], "active": true, "state": "healthy",
        "disabled_reason": null, "disabled_at": null, "filters": null, "retry": 3, "retry_policy": null, "retry_schedule": null,
        "retry_on": [], "timeout": 10, "headers": {}, "rate_limit": null, "max_in_flight": 32,
        "ordered": false, "channels": [], "created_at": "2024-12-16T10:30:45.007Z", "updated_at": "2024-12-16T10:30:45.007Z"});
    for (name, value) in documented.as_object().unwrap() {
        assert_eq!(created.get(name), Some(value), "{name}");
    }
    let read = world.get(&owner, &path).await;
    assert_eq!(read.ok(200), created);
    assert!(!world.get(&owner, "/v1/webhooks").await.text.contains("whsec_"));
    assert_eq!(world.get(&owner, &format!("{path}/secret")).await.ok(200)["secret"], secret);
}

async fn a_change_touches_only_the_fields_that_it_names_and_null_is_the_default(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let everything = json!({"url": URL, "description": "d", "events": ["call.*"], "filters": {"status": "completed"},
        "timeout": 20, "retry": 7, "retry_on": ["4xx", "3xx"], "headers": {"X-Token": "abc"},
        "rate_limit": {"per_second": 0.5, "burst": 2}, "max_in_flight": 4, "ordered": true});
    let path = world.webhook(&owner, everything.clone()).await;
    let before = world.get(&owner, &path).await.ok(200);
    for method in ["PUT", "PATCH"] {
        world.clock.advance(Duration::from_secs(1));
        let changed = world.call(&owner, method, &path, r#"{"timeout":21}"#).await.ok(200);
        let mut expected = before.clone();
        expected["timeout"] = json!(21);
        expected["updated_at"] = changed["updated_at"].clone();
        assert_eq!(changed, expected, "{method}");
    }
    let nothing = json!({"description": null, "events": null, "filters": null, "timeout": null, "retry": null,
        "retry_on": null, "headers": null, "rate_limit": null, "max_in_flight": null, "ordered": null, "active": null});
    let reset = world.patch(&owner, &path, nothing).await.ok(200);
    let fresh = world.webhook(&owner, json!({"url": URL})).await;
    let fresh = world.get(&owner, &fresh).await.ok(200);
    for name in everything.as_object().unwrap().keys() {
        assert_eq!(reset[name], fresh[name], "{name}");
    }
    world.patch(&owner, &path, json!({"url": null})).await.problem(422, "validation_failed");
}

async fn retry_retry_policy_and_retry_schedule_replace_each_other(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": URL, "retry_policy": {"max_attempts": 9}})).await;
    let read = world.get(&owner, &path).await.ok(200);
    let example = json!({"max_attempts": 9, "backoff_multiplier": 2.0, "initial_delay_seconds": 60, "max_delay_seconds": 3600});
    assert_eq!(read["retry_policy"], example);
    let changed = world.patch(&owner, &path, json!({"retry": 0})).await.ok(200);
    assert_eq!((&changed["retry"], &changed["retry_policy"]), (&json!(0), &Value::Null));
    // what was read can be written back
    let changed = world.patch(&owner, &path, json!({"retry": 0, "retry_policy": null})).await.ok(200);
    assert_eq!(changed["retry"], 0);
    let schedule = json!([5, 300, 604_800]);
    let changed = world.patch(&owner, &path, json!({"retry_schedule": schedule, "retry": null})).await.ok(200);
    assert_eq!(world.get(&owner, &path).await.ok(200)["retry_schedule"], schedule);
    assert_eq!((&changed["retry"], &changed["retry_policy"]), (&Value::Null, &Value::Null));
    // one that is not in force can't be taken back
    let changed = world.patch(&owner, &path, json!({"retry": null, "retry_policy": null})).await.ok(200);
    assert_eq!(changed["retry_schedule"], schedule);
    let changed = world.patch(&owner, &path, json!({"retry_schedule": null})).await.ok(200);
    assert_eq!((&changed["retry"], &changed["retry_schedule"]), (&json!(3), &Value::Null));
    for (both, refused) in [
        (json!({"retry": 1, "retry_policy": {}}), vec!["retry_policy"]),
        (json!({"retry_policy": {}, "retry_schedule": [1]}), vec!["retry_schedule"]),
        (json!({"retry": 1, "retry_policy": {}, "retry_schedule": [1]}), vec!["retry_policy", "retry_schedule"]),
    ] {
        assert_eq!(world.patch(&owner, &path, both).await.problem(422, "validation_failed"), refused);
    }
}

async fn switching_off_and_on_keeps_the_reason_and_the_time(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": URL})).await;
    let off = world.patch(&owner, &path, json!({"active": false})).await.ok(200);
    assert_eq!((&off["state"], &off["disabled_reason"]), (&json!("disabled"), &json!("manual")));
    assert_eq!(off["disabled_at"], "2024-12-16T10:30:45.007Z");
    let event = json!({"event_type": "call.completed", "data": {}});
    assert_eq!(world.post(&owner, "/v1/events", event.clone()).await.ok(202)["deliveries"], 0);
    world.clock.advance(Duration::from_secs(9));
    let still = world.patch(&owner, &path, json!({"active": false})).await.ok(200);
    assert_eq!(still["disabled_at"], off["disabled_at"]);
    let on = world.patch(&owner, &path, json!({"active": true})).await.ok(200);
    assert_eq!(
        (&on["disabled_reason"], &on["disabled_at"], &on["state"]),
        (&Value::Null, &Value::Null, &json!("healthy"))
    );
    assert_eq!(world.post(&owner, "/v1/events", event.clone()).await.ok(202)["deliveries"], 1);
    world.call(&owner, "DELETE", &path, "").await.ok(204);
    assert_eq!(world.post(&owner, "/v1/events", event).await.ok(202)["deliveries"], 0);
    for method in ["GET", "DELETE", "PATCH"] {
        world.call(&owner, method, &path, "{}").await.problem(404, "not_found");
    }
}

/// One bad field each, beside a good URL: the field that must be named, and the code.
async fn every_bad_value_is_refused_by_name(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let long = "x".repeat(501);
    let many: Vec<&str> = vec!["call.completed"; 101];
    let headers: Value = (0..21).map(|n| (format!("X-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let filters: Value = (0..51).map(|n| (format!("f{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let cases: Vec<(&str, Value, &str)> = vec![
        ("timeout", json!(0), "timeout"),
        ("timeout", json!(61), "timeout"),
        ("timeout", json!(1.5), "timeout"),
        ("timeout", json!("10"), "timeout"),
        ("retry", json!(21), "retry"),
        ("retry", json!(-1), "retry"),
        ("retry_policy", json!(5), "retry_policy"),
        ("retry_policy", json!({"max_attempts": 0}), "retry_policy.max_attempts"),
        ("retry_policy", json!({"max_attempts": 51}), "retry_policy.max_attempts"),
        ("retry_policy", json!({"backoff_multiplier": 0.9}), "retry_policy.backoff_multiplier"),
        ("retry_policy", json!({"initial_delay_seconds": 86401}), "retry_policy.initial_delay_seconds"),
        ("retry_policy", json!({"max_delay_seconds": 604801}), "retry_policy.max_delay_seconds"),
        ("retry_policy", json!({"attempts": 3}), "retry_policy.attempts"),
        ("retry_schedule", json!([]), "retry_schedule"),
        ("retry_schedule", json!(5), "retry_schedule"),
        ("retry_schedule", json!(vec![1; 21]), "retry_schedule"),
        ("retry_schedule", json!([1, 0]), "retry_schedule[1]"),
        ("retry_schedule", json!([604_801]), "retry_schedule[0]"),
        ("retry_schedule", json!([1, 1.5]), "retry_schedule[1]"),
        ("retry_schedule", json!(["1"]), "retry_schedule[0]"),
        ("retry_on", json!(["5xx"]), "retry_on[0]"),
        ("retry_on", json!("4xx"), "retry_on"),
        ("active", json!("yes"), "active"),
        ("active", json!(1), "active"),
        ("ordered", json!(0), "ordered"),
        ("description", json!(long), "description"),
        ("description", json!("a\u{0}b"), "description"),
        ("events", json!("call.completed"), "events"),
        ("events", json!(["call.completed", "Call.X"]), "events[1]"),
        ("events", json!([1]), "events[0]"),
        ("events", json!(many), "events"),
        ("headers", json!(["X"]), "headers"),
        ("headers", json!({"X-Foo": 1}), "headers.X-Foo"),
        ("headers", json!({"X Foo": "v"}), "headers.X Foo"),
        ("headers", json!({"X-Foo": "a\r\nb: c"}), "headers.X-Foo"),
        ("headers", json!({"X-Foo": "caf\u{e9}"}), "headers.X-Foo"),
        ("headers", json!({"X-Foo": ""}), "headers.X-Foo"),
        ("headers", json!({"X-Foo": "********"}), "headers.X-Foo"),
        ("headers", json!({"X-Foo": "v", "x-foo": "v"}), "headers.x-foo"),
        ("headers", json!({"X-Foo": "v".repeat(5_000)}), "headers"),
        ("headers", headers, "headers"),
        ("filters", json!([]), "filters"),
        ("filters", filters, "filters"),
        ("filters", json!({"min_duration": "long"}), "filters.min_duration"),
        ("filters", json!({"a": "\u{0}"}), "filters"),
        ("rate_limit", json!({}), "rate_limit.per_second"),
        ("rate_limit", json!({"per_second": 0}), "rate_limit.per_second"),
        ("rate_limit", json!({"per_second": 10001}), "rate_limit.per_second"),
        ("rate_limit", json!({"per_second": 1, "burst": 0}), "rate_limit.burst"),
        ("max_in_flight", json!(0), "max_in_flight"),
        ("max_in_flight", json!(257), "max_in_flight"),
        ("secret", json!("whsec_short"), "secret"),
        ("id", json!("wh_1"), "id"),
        ("colour", json!("red"), "colour"),
    ];
    for (name, value, field) in cases {
        let mut body = json!({ "url": URL });
        body[name] = value;
        let answer = world.post(&owner, "/v1/webhooks", body.clone()).await;
        assert_eq!(answer.problem(422, "validation_failed"), [field], "{body}");
    }
    assert_eq!(world.get(&owner, "/v1/webhooks").await.ok(200)["data"], json!([]));
}

async fn reserved_headers_are_refused_whatever_their_case(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for name in [
        "Host",
        "Connection",
        "Content-Type",
        "Content-Length",
        "Content-Anything",
        "Transfer-Encoding",
        "Expect",
        "Upgrade",
        "TE",
        "Trailer",
        "Proxy-Authorization",
        "Proxy-Anything",
        "Keep-Alive",
        "User-Agent",
        "Webhook-Id",
        "Webhook-Anything",
        "X-CallIntel-Signature",
        "X-CallIntel-Anything",
        "X-Acme-Signature",
    ] {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let body = json!({"url": URL, "headers": {&name: "v"}});
            let answer = world.post(&owner, "/v1/webhooks", body).await;
            assert_eq!(answer.problem(422, "validation_failed"), [format!("headers.{name}")]);
        }
    }
    let fine =
        json!({"url": URL, "headers": {"Authorization": "Bearer abc", "X-Acme": "1", "x-acmesignature": "2"}});
    world.post(&owner, "/v1/webhooks", fine).await.ok(201);
}

async fn a_url_is_refused_with_the_code_of_the_rule_that_it_breaks(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    for (url, code) in [
        (json!("http://example.com/hook"), "https_required"),
        (json!("https://127.0.0.1/"), "url_forbidden"),
        (json!("https://localhost/"), "url_forbidden"),
        (json!("https://0x7f.1/"), "url_forbidden"),
        (json!("https://[::1]/"), "url_forbidden"),
        (json!("https://user:pw@example.com/"), "url_forbidden"),
        (json!("https://example.com:22/"), "url_forbidden"),
        (json!("ftp://example.com/"), "url_forbidden"),
        (json!("example.com"), "validation_failed"),
        (json!(""), "validation_failed"),
        (json!(7), "validation_failed"),
        (json!(null), "validation_failed"),
        (json!("https://exa\nmple.com/"), "validation_failed"),
        (json!(" https://example.com/"), "validation_failed"),
        (json!(long), "validation_failed"),
    ] {
        let answer = world.post(&owner, "/v1/webhooks", json!({ "url": url })).await;
        assert_eq!(answer.problem(422, code), ["url"], "{url}");
    }
    assert_eq!(world.post(&owner, "/v1/webhooks", json!({})).await.problem(422, "validation_failed"), ["url"]);
    let path = world.webhook(&owner, json!({"url": URL})).await;
    world.patch(&owner, &path, json!({"url": "http://x.example/"})).await.problem(422, "https_required");
    // of several faults each is named, and the code is the general one
    let several = json!({"url": "http://x.example/", "timeout": 0, "events": ["no.such"], "x": 1});
    let fields = world.post(&owner, "/v1/webhooks", several).await.problem(422, "validation_failed");
    assert_eq!(fields, ["events[0]", "timeout", "url", "x"]);
}

async fn an_event_pattern_must_be_able_to_match(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for events in [json!(["*"]), json!(["call.*", "batch.failed"]), json!(["webhook.disabled", "*"]), json!([])] {
        let created = world.post(&owner, "/v1/webhooks", json!({"url": URL, "events": events})).await.ok(201);
        assert_eq!(created["events"], events);
    }
    for event in ["call.vanished", "invoice.*", "webhook.*"] {
        let answer = world.post(&owner, "/v1/webhooks", json!({"url": URL, "events": [event]})).await;
        assert_eq!(answer.problem(422, "unknown_event_type"), ["events[0]"], "{event}");
        assert!(answer.text.contains("call.completed"));
    }
}

async fn header_values_are_masked_and_the_mask_keeps_them(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": URL, "headers": {"X-Token": "hunter2"}})).await;
    let read = world.get(&owner, &path).await;
    assert!(!read.text.contains("hunter2"));
    let headers = read.ok(200)["headers"].clone();
    assert_eq!(headers, json!({"X-Token": "********"}));
    let mut more = headers;
    more["X-New"] = json!("v");
    let changed = world.patch(&owner, &path, json!({ "headers": more })).await.ok(200);
    assert_eq!(changed["headers"], json!({"X-Token": "********", "X-New": "********"}));
    let unknown = json!({"headers": {"X-Other": "********"}});
    assert_eq!(world.patch(&owner, &path, unknown).await.problem(422, "validation_failed"), ["headers.X-Other"]);
}

async fn a_secret_is_brought_rotated_and_read(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let created = world.post(&owner, "/v1/webhooks", json!({"url": URL, "secret": own})).await.ok(201);
    assert_eq!(created["secret"], own);
    let path = format!("/v1/webhooks/{}", created["id"].as_str().unwrap());
    let refused = world.patch(&owner, &path, json!({ "secret": own })).await;
    assert_eq!(refused.problem(422, "validation_failed"), ["secret"]);
    assert!(refused.text.contains("secret/rotate"));

    let rotated = world.call(&owner, "POST", &format!("{path}/secret/rotate"), "").await.ok(200);
    assert_ne!(rotated["secret"], own);
    assert_eq!(rotated["previous_secret_expires_at"], "2024-12-17T10:30:45.007Z");
    assert_eq!(rotated["previous_secrets"], json!([{"expires_at": "2024-12-17T10:30:45.007Z"}]));
    assert_eq!(world.get(&owner, &format!("{path}/secret")).await.ok(200), rotated);
    let at_once = json!({"secret": own, "overlap_seconds": 0});
    let rotated = world.post(&owner, &format!("{path}/secret/rotate"), at_once).await.ok(200);
    assert_eq!(rotated, json!({"secret": own, "previous_secret_expires_at": null, "previous_secrets": []}));
    for _ in 0..4 {
        world.call(&owner, "POST", &format!("{path}/secret/rotate"), "").await.ok(200);
    }
    let sixth = world.call(&owner, "POST", &format!("{path}/secret/rotate"), "").await;
    sixth.problem(409, "too_many_secrets");
    assert!(sixth.text.contains("2024-12-17T10:30:45.007Z"), "when the first ends: {}", sixth.text);
    let valid = world.get(&owner, &format!("{path}/secret")).await.ok(200);
    assert_eq!(valid["previous_secrets"].as_array().unwrap().len(), 4);
    let bad = json!({"secret": "x", "overlap_seconds": -1, "when": "now"});
    let fields = world.post(&owner, &format!("{path}/secret/rotate"), bad).await.problem(422, "validation_failed");
    assert_eq!(fields, ["overlap_seconds", "secret", "when"]);
}

async fn a_change_is_retried_a_few_times_when_others_change_the_webhook_first(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": URL})).await;
    world.store.conflicts.store(3, Ordering::SeqCst);
    assert_eq!(world.patch(&owner, &path, json!({"timeout": 7})).await.ok(200)["timeout"], 7);
    world.store.conflicts.store(100, Ordering::SeqCst);
    world.patch(&owner, &path, json!({"timeout": 8})).await.problem(409, "conflict");
    world.store.conflicts.store(0, Ordering::SeqCst);
    assert_eq!(world.get(&owner, &path).await.ok(200)["timeout"], 7);
}

async fn a_webhook_that_says_nothing_has_the_operators_defaults_and_null_restores_them(database: Database) {
    let policy = RetryPolicy { max_attempts: 9, ..RetryPolicy::default() };
    let defaults = EndpointDefaults {
        retry: RetrySchedule::Policy(policy),
        timeout: Duration::from_secs(25),
        max_in_flight: 3,
    };
    let world = World::configured(database, |options| options.defaults = defaults).await;
    let owner = world.owner().await;
    let names = ["retry", "retry_policy", "timeout", "max_in_flight"];
    let of = |webhook: &Value| names.map(|name| webhook[name].clone());
    let expected = [Value::Null, json!(policy), json!(25), json!(3)];
    let quiet = world.webhook(&owner, json!({"url": URL})).await;
    assert_eq!(of(&world.get(&owner, &quiet).await.ok(200)), expected);
    let outspoken = world.webhook(&owner, json!({"url": URL, "retry": 2, "timeout": 5, "max_in_flight": 7})).await;
    assert_eq!(of(&world.get(&owner, &outspoken).await.ok(200)), [json!(2), Value::Null, json!(5), json!(7)]);
    let nothing = json!({"retry": null, "timeout": null, "max_in_flight": null});
    assert_eq!(of(&world.patch(&owner, &outspoken, nothing).await.ok(200)), expected);
    // a policy replaces the other, whichever of them is the default
    let other = world.patch(&owner, &quiet, json!({"retry": 1})).await.ok(200);
    assert_eq!((&other["retry"], &other["retry_policy"]), (&json!(1), &Value::Null));
}
