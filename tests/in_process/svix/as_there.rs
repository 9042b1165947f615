//! What Svix's open-source server decides about inputs, codes and repetitions, and this API after it.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use ringback::config::SvixSettings;
use ringback::domain::time::UnixMillis;
use serde_json::{Map, Value, json};

use super::{DEFAULT_ENVIRONMENT, NOW, SECRET, environment_token, of_application, settings, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, Answer, World};

on_every_store!(
    whoever_repeats_a_key_with_another_message_gets_the_first_answer_and_publishes_nothing,
    a_repeated_key_leaves_the_own_id_of_the_second_message_free,
    a_key_counts_for_its_token_and_for_the_whole_url,
    credentials_in_headers_are_named_and_not_shown,
    headers_of_those_who_pass_requests_on_can_t_be_set_and_long_or_blank_ones_can,
    a_url_is_shown_as_browsers_write_it,
    channels_have_the_length_of_names_and_a_message_without_any_has_null,
    metadata_is_bounded_by_its_bytes_alone,
    the_longest_periods_are_taken_from_clocks_that_are_wrong_by_minutes,
    statistics_of_impossible_periods_are_refused_with_a_code,
    an_example_is_sent_by_the_environment_alone_and_its_answer_has_no_payload,
    an_application_that_is_described_wrongly_is_refused_also_when_it_exists,
    tokens_are_refused_with_what_is_wrong_with_them,
    nobody_reads_of_organizations_and_webhooks,
);

const URL: &str = "https://example.com/hook";
const ENDPOINT: &str = "/app/app/endpoint/main";

/// A world with the application `app`, and its endpoint `main`.
async fn with_endpoint(database: Database) -> World {
    let world = world(database).await;
    call(&world, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    call(&world, "POST", "/app/app/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    world
}

async fn call(world: &World, method: &str, path: &str, body: impl ToString) -> Answer {
    world.svix(&environment_token(), method, path, body).await
}

async fn publish_once(world: &World, key: &str, event_id: Value, number: u32) -> Answer {
    let message = json!({"eventType": "a.b", "eventId": event_id, "payload": {"n": number}});
    world.svix_once(&environment_token(), key, "/app/app/msg", &message).await
}

async fn messages(world: &World) -> usize {
    let listed = call(world, "GET", "/app/app/msg", "").await.ok(200);
    listed["data"].as_array().unwrap().len()
}

fn instant(seconds: i64) -> String {
    UnixMillis(NOW * 1_000 + 7 + seconds * 1_000).to_string()
}

async fn whoever_repeats_a_key_with_another_message_gets_the_first_answer_and_publishes_nothing(
    database: Database,
) {
    let world = with_endpoint(database).await;
    for (key, first, others) in [
        ("k1", json!(null), [json!(null), json!("other")]),
        ("k2", json!("mine"), [json!(null), json!("another")]),
        ("k3", json!("again"), [json!("again"), json!("mine")]),
    ] {
        let before = messages(&world).await;
        let made = publish_once(&world, key, first, 1).await;
        assert_eq!((made.status, made.header("idempotent-replay")), (202, None), "{key}");
        for other in others {
            let again = publish_once(&world, key, other, 2).await;
            assert_eq!((again.status, again.json()), (202, made.json()), "{key}");
            assert_eq!(again.header("idempotent-replay"), Some("true"));
        }
        assert_eq!(messages(&world).await, before + 1, "{key}");
    }
}

async fn a_repeated_key_leaves_the_own_id_of_the_second_message_free(database: Database) {
    let world = with_endpoint(database).await;
    publish_once(&world, "k1", json!("one"), 1).await.ok(202);
    publish_once(&world, "k1", json!("two"), 2).await.ok(202);
    publish_once(&world, "k2", json!("one"), 3).await.svix_error(409, "conflict");
    let named = json!({"eventType": "a.b", "eventId": "one", "payload": {}});
    call(&world, "POST", "/app/app/msg", named).await.svix_error(409, "conflict");
    assert_eq!(publish_once(&world, "k2", json!("two"), 4).await.ok(202)["payload"], json!({"n": 4}));
    // a refused one leaves its key free
    assert_eq!(publish_once(&world, "k3", json!("two"), 5).await.status, 409);
    assert_eq!(publish_once(&world, "k3", json!("three"), 6).await.ok(202)["eventId"], "three");
    assert_eq!(messages(&world).await, 3);
}

async fn a_key_counts_for_its_token_and_for_the_whole_url(database: Database) {
    let world = with_endpoint(database).await;
    let message = json!({"eventType": "a.b", "payload": {}});
    let later = token(&json!({"sub": DEFAULT_ENVIRONMENT, "iat": NOW}));
    let mut ids = Vec::new();
    for (token, path) in [
        (environment_token(), "/app/app/msg"),
        (later, "/app/app/msg"),
        (environment_token(), "/app/app/msg?with_content=false"),
    ] {
        let made = world.svix_once(&token, "k", path, &message).await.ok(202);
        assert_eq!(world.svix_once(&token, "k", path, &message).await.ok(202), made);
        assert!(!ids.contains(&made["id"]));
        ids.push(made["id"].clone());
    }
}

async fn credentials_in_headers_are_named_and_not_shown(database: Database) {
    let world = with_endpoint(database).await;
    let path = format!("{ENDPOINT}/headers");
    let names = ["X-Api-Key", "Authorization", "x-auth-token"];
    let headers: Map<String, Value> = names.iter().map(|name| (name.to_string(), json!("secret"))).collect();
    call(&world, "PUT", &path, json!({"headers": headers})).await.ok(204);
    call(&world, "PATCH", &path, json!({"headers": {"x-a": "shown"}})).await.ok(204);
    let shown = call(&world, "GET", &path, "").await.ok(200);
    assert_eq!(shown["headers"], json!({"x-a": "shown"}));
    let mut sensitive: Vec<&str> =
        shown["sensitive"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    sensitive.sort_by_key(|name| name.to_ascii_lowercase());
    assert_eq!(sensitive, ["Authorization", "X-Api-Key", "x-auth-token"]);
}

async fn headers_of_those_who_pass_requests_on_can_t_be_set_and_long_or_blank_ones_can(database: Database) {
    let world = with_endpoint(database).await;
    let path = format!("{ENDPOINT}/headers");
    let put = async |headers: Value| call(&world, "PUT", &path, json!({ "headers": headers })).await;
    for name in [
        "x-svix-a",
        "X-Amz-Date",
        "x-amzn-trace-id",
        "x-googleid",
        "x-goog-a",
        "x-gfe-a",
        "x-azure-a",
        "x-fd-a",
        "Age",
        "cache-control",
        "clear-site-data",
        "expires",
        "pragma",
        "warning",
        "trailers",
        "svix-id",
        "user-agent",
    ] {
        assert_eq!(put(json!({name: "x"})).await.status, 422, "{name}");
        let patched = call(&world, "PATCH", &path, json!({"headers": {name: "x"}})).await;
        assert_eq!(patched.status, 422, "{name}");
    }
    put(json!({"x-empty": "", "x-tab": "a\tb", "x-long": "v".repeat(4_096)})).await.ok(204);
    assert_eq!(put(json!({"x-long": "v".repeat(4_097)})).await.status, 422);
    assert_eq!(put(json!({"x-line": "a\nb"})).await.status, 422);
    let many =
        |count: usize| json!((0..count).map(|number| (format!("x-{number}"), json!("v"))).collect::<Map<_, _>>());
    put(many(50)).await.ok(204);
    assert_eq!(put(many(51)).await.status, 422);
    let full: Map<_, _> = (0..8).map(|number| (format!("x-{number}"), json!("v".repeat(4_096)))).collect();
    assert_eq!(put(json!(full)).await.status, 422, "all of them have a bound too");
}

async fn a_url_is_shown_as_browsers_write_it(database: Database) {
    let world = with_endpoint(database).await;
    for (url, shown) in [
        ("https://example.com", "https://example.com/"),
        ("https://ExAmple.com:443/A", "https://example.com/A"),
        ("https://example.com/a b", "https://example.com/a%20b"),
    ] {
        let made = call(&world, "POST", "/app/app/endpoint", json!({ "url": url })).await.ok(201);
        assert_eq!(made["url"], shown);
        let changed = call(&world, "PATCH", ENDPOINT, json!({ "url": url })).await.ok(200);
        assert_eq!(changed["url"], shown);
    }
    for url in ["", "example.com", "https://"] {
        let refused = call(&world, "PATCH", ENDPOINT, json!({ "url": url })).await;
        assert_eq!(refused.svix_invalid(), ["body.url"], "{url}");
    }
}

async fn channels_have_the_length_of_names_and_a_message_without_any_has_null(database: Database) {
    let world = with_endpoint(database).await;
    let longest = "c".repeat(256);
    call(&world, "PATCH", ENDPOINT, json!({"channels": [longest]})).await.ok(200);
    let message = |channels: Value| json!({"eventType": "a.b", "payload": {}, "channels": channels});
    let made = call(&world, "POST", "/app/app/msg", message(json!([longest]))).await.ok(202);
    let path = format!("/app/app/msg/{}/endpoint", made["id"].as_str().unwrap());
    assert_eq!(call(&world, "GET", &path, "").await.ok(200)["data"].as_array().unwrap().len(), 1);
    let listed = call(&world, "GET", &format!("/app/app/msg?channel={longest}"), "").await.ok(200);
    assert_eq!(listed["data"][0]["id"], made["id"]);
    let replay = json!({"since": instant(-60), "channel": longest});
    call(&world, "POST", &format!("{ENDPOINT}/bulk-replay"), replay).await.ok(202);
    let refused = async |channels| call(&world, "POST", "/app/app/msg", message(channels)).await.svix_invalid();
    assert_eq!(refused(json!(["c".repeat(257)])).await, ["body.channels"]);
    assert_eq!(refused(json!([])).await, ["body.channels"]);
    call(&world, "POST", "/app/app/msg", message(json!(null))).await.ok(202);
}

async fn metadata_is_bounded_by_its_bytes_alone(database: Database) {
    let world = with_endpoint(database).await;
    let pairs = |count: usize| json!((0..count).map(|n| (n.to_string(), json!("v"))).collect::<Map<_, _>>());
    // {"a":"…"} around the value
    let of_bytes = |bytes: usize| json!({"a": "v".repeat(bytes - 8)});
    for path in ["/app/app", ENDPOINT] {
        for (metadata, status) in [(pairs(60), 200), (of_bytes(4_096), 200), (of_bytes(4_097), 422)] {
            let changed = call(&world, "PATCH", path, json!({ "metadata": metadata })).await;
            assert_eq!(changed.status, status, "{path}");
            if status == 200 {
                assert_eq!(call(&world, "GET", path, "").await.ok(200)["metadata"], metadata);
            }
        }
    }
}

async fn the_longest_periods_are_taken_from_clocks_that_are_wrong_by_minutes(database: Database) {
    let world = with_endpoint(database).await;
    let days = |days: i64| -days * 86_400;
    let recover = async |seconds| {
        call(&world, "POST", &format!("{ENDPOINT}/recover"), json!({"since": instant(seconds)})).await
    };
    recover(days(14) - 299).await.ok(202);
    assert_eq!(recover(days(14) - 301).await.svix_invalid(), ["body.since"]);
    let stats =
        async |seconds| call(&world, "GET", &format!("{ENDPOINT}/stats?since={}", instant(seconds)), "").await;
    stats(days(28) - 299).await.ok(200);
    stats(days(28) - 301).await.svix_error(400, "invalid_range");
}

async fn statistics_of_impossible_periods_are_refused_with_a_code(database: Database) {
    let world = with_endpoint(database).await;
    let stats = async |query: String| call(&world, "GET", &format!("{ENDPOINT}/stats?{query}"), "").await;
    stats(String::new()).await.ok(200);
    stats(format!("until={}", instant(60))).await.svix_error(400, "invalid_range");
    stats(String::from("since=yesterday")).await.svix_error(400, "generic_error");
    stats(format!("since={}&until={}", instant(-86_400 * 40), instant(-86_400 * 13))).await.ok(200);
}

async fn an_example_is_sent_by_the_environment_alone_and_its_answer_has_no_payload(database: Database) {
    let world = with_endpoint(database).await;
    let path = format!("{ENDPOINT}/send-example");
    let send = async |name: &str| call(&world, "POST", &path, json!({"eventType": name})).await;
    let sent = send("svix.ping").await.ok(200);
    assert_eq!((&sent["payload"], &sent["eventType"]), (&json!({}), &json!("svix.ping")));
    let stored = call(&world, "GET", &format!("/app/app/msg/{}", sent["id"].as_str().unwrap()), "").await.ok(200);
    assert_eq!(stored["payload"], json!({"success": true}));
    call(&world, "POST", "/event-type", json!({"name": "bare", "description": ""})).await.ok(201);
    send("bare").await.svix_error(400, "invalid_scheme");
    send("unknown").await.svix_error(404, "not_found");
    assert_eq!(send("no name").await.svix_invalid(), ["body.eventType"]);
    let organization = world.get(ADMIN, "/v1/organizations/app").await.ok(200);
    let of_app = token(&of_application(organization["id"].as_str().unwrap()));
    let refused = world.svix(&of_app, "POST", &path, json!({"eventType": "svix.ping"})).await;
    refused.svix_error(403, "insufficient access");
}

async fn an_application_that_is_described_wrongly_is_refused_also_when_it_exists(database: Database) {
    let world = with_endpoint(database).await;
    let publish = async |path: &str, application: Value| {
        let message = json!({"eventType": "a.b", "payload": {}, "application": application});
        call(&world, "POST", &format!("/app/{path}/msg"), message).await
    };
    publish("app", json!({"name": "App", "uid": "app"})).await.ok(202);
    assert_eq!(publish("app", json!({"name": ""})).await.svix_invalid().len(), 1);
    for (application, rule) in [
        (json!({"name": "New"}), "application_uid_missing"),
        (json!({"name": "New", "uid": "other"}), "application_uid_mismatch"),
    ] {
        let refused = publish("new", application).await;
        assert_eq!(refused.svix_invalid(), ["body.application.uid"]);
        assert_eq!(refused.json()["detail"][0]["type"], rule);
    }
}

async fn tokens_are_refused_with_what_is_wrong_with_them(database: Database) {
    let world = with_endpoint(database).await;
    let detail = async |token: &str| {
        let answer = world.svix(token, "POST", "/app", json!({"name": "New"})).await;
        answer.svix_error(401, "authentication_failed");
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let (of_nonsense, of_secret) = (detail("some-nonsense-key").await, detail(SECRET).await);
    assert!(of_secret.contains("secret") && !of_secret.contains(SECRET), "{of_secret}");
    assert_ne!(of_nonsense, of_secret);
    for (claims, code) in [
        (json!({"sub": "acme"}), "bad_token"),
        (json!({"sub": "app_0000000000001", "org": "acme"}), "bad token"),
        (json!({"sub": "acme", "org": DEFAULT_ENVIRONMENT}), "bad token"),
    ] {
        world.svix(&token(&claims), "GET", "/app/app", "").await.svix_error(400, code);
    }
    let organization = world.get(ADMIN, "/v1/organizations/app").await.ok(200);
    let of_app = token(&of_application(organization["id"].as_str().unwrap()));
    world.svix(&of_app, "GET", "/app/app", "").await.ok(200);
    call(&world, "DELETE", "/app/app", "").await.ok(204);
    world.svix(&of_app, "GET", "/app/app", "").await.svix_error(404, "not_found");
}

async fn nobody_reads_of_organizations_and_webhooks(database: Database) {
    let world = with_endpoint(database).await;
    let many = json!({"url": "https://example.com/", "uid": "main"});
    let answers = [
        call(&world, "POST", "/app", json!({"name": "App", "uid": "app"})).await,
        call(&world, "POST", "/app/app/endpoint", many).await,
        call(&world, "PATCH", ENDPOINT, json!({"url": "http://10.0.0.1/"})).await,
        call(&world, "PUT", &format!("{ENDPOINT}/headers"), json!({"headers": {"host": "x"}})).await,
        call(&world, "GET", "/app/app/msg/msg_0000000000001", "").await,
        call(&world, "POST", "/app/none/msg", json!({"eventType": "a.b", "payload": {}})).await,
    ];
    for answer in answers {
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        let text = answer.text.to_lowercase();
        for word in ["organization", "webhook", "/v1/"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

#[actix_web::test]
async fn without_an_origin_too_every_page_may_call_and_anybody_may_ask() {
    let world = world(Database::Memory).await;
    let send = async |world: &World, method: Method| {
        let request = TestRequest::default().method(method).uri("/api/v1/event-type");
        world.send(request).await
    };
    let asked = send(&world, Method::OPTIONS).await;
    assert_eq!((asked.status, asked.text.as_str()), (200, ""));
    assert_eq!(asked.header("access-control-allow-origin"), Some("*"));
    let refused = send(&world, Method::GET).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("*")));
    let origins = vec!["https://app.example.com".to_owned()];
    let few = World::with_svix(Database::Memory, &SvixSettings { cors_origins: origins, ..settings() }).await;
    let asked = send(&few, Method::OPTIONS).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, None));
}

#[actix_web::test]
async fn an_empty_schedule_means_one_attempt() {
    let settings = SvixSettings { retry_schedule: Vec::new(), ..settings() };
    let world = World::with_svix(Database::Memory, &settings).await;
    let made = call(&world, "POST", "/app", json!({"name": "App", "uid": "app"})).await.ok(201);
    call(&world, "POST", "/app/app/endpoint", json!({ "url": URL })).await.ok(201);
    let owner = world.key(&made["id"].as_str().unwrap().replace("app_", "org_"), "owner").await;
    let webhooks = world.get(&owner, "/v1/webhooks").await.ok(200);
    let webhook = &webhooks["data"][0];
    assert_eq!((&webhook["retry"], &webhook["retry_schedule"]), (&json!(0), &Value::Null));
}
