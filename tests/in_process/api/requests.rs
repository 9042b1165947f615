//! What every request has in common: its id, and how slips of many kinds are answered.

use actix_web::test::TestRequest;
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    every_response_has_a_request_id_and_every_problem_repeats_it,
    a_callers_own_request_id_is_kept_when_it_can_stand_in_a_log,
    a_path_that_is_not_there_is_a_page_for_people_and_a_problem_for_programs,
    the_error_for_an_extra_slash_names_the_right_path,
    the_error_for_a_key_in_another_form_shows_the_right_form,
    a_byte_order_mark_before_json_is_ignored,
    a_compressed_body_is_refused_with_what_to_send,
    the_error_for_invalid_json_names_line_and_column,
    the_last_instants_of_the_calendar_are_taken_everywhere,
    an_unencoded_plus_is_accepted_and_other_mistakes_are_named,
    the_error_for_an_unknown_event_type_suggests_the_nearest_ones,
);

fn request(id: &str, path: &str) -> TestRequest {
    TestRequest::get().uri(path).insert_header(("x-request-id", id))
}

async fn every_response_has_a_request_id_and_every_problem_repeats_it(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let mut seen = Vec::new();
    for (key, method, path, body) in [
        (owner.as_str(), "GET", "/v1/webhooks", ""),
        (&owner, "POST", "/v1/events", "{\"event_type\":\"call.completed\",\"data\":{}}"),
        (&owner, "POST", "/v1/events", "{"),
        (&owner, "POST", "/v1/webhooks", "{\"url\":7}"),
        (&owner, "GET", "/v1/webhooks?limit=0", ""),
        (&owner, "GET", "/v1/webhooks/wh_0000000000000", ""),
        (&owner, "DELETE", "/v1/webhooks", ""),
        ("", "GET", "/v1/webhooks", ""),
        (ADMIN, "GET", "/v1/webhooks", ""),
        ("", "GET", "/health/live", ""),
        ("", "GET", "/health/ready", ""),
        ("", "GET", "/metrics", ""),
        ("", "GET", "/openapi.json", ""),
        ("", "GET", "/docs", ""),
        ("", "GET", "/", ""),
        ("", "GET", "/sign-in", ""),
        ("", "POST", "/sign-in", "key=x"),
        ("", "GET", "/nosuch", ""),
        ("", "BREW", "/v1/events", ""),
    ] {
        let answer = world.call(key, method, path, body).await;
        let id = answer.header("x-request-id").unwrap_or_default().to_owned();
        assert!(!id.is_empty(), "{method} {path}");
        if answer.header("content-type") == Some("application/problem+json") {
            assert_eq!(answer.json()["request_id"], id, "{method} {path}");
            let length = answer.headers.get("content-length").map(|it| it.to_str().unwrap().to_owned());
            assert!(length.is_none_or(|length| length == answer.text.len().to_string()), "{method} {path}");
        } else {
            assert!(answer.status < 400 || path == "/sign-in", "{method} {path}: {}", answer.text);
        }
        seen.push(id);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "no id comes twice");
}

async fn a_callers_own_request_id_is_kept_when_it_can_stand_in_a_log(database: Database) {
    let world = World::on(database).await;
    let longest = "x".repeat(128);
    for id in ["order-17", "{\"a\":1}", longest.as_str()] {
        for path in ["/v1/webhooks", "/nosuch", "/health/live"] {
            let answer = world.send(request(id, path)).await;
            assert_eq!(answer.header("x-request-id"), Some(id), "{path}");
            if answer.status >= 400 {
                assert_eq!(answer.json()["request_id"], id, "{path}");
            }
        }
    }
    for id in ["", "a b", &"x".repeat(129)] {
        let answer = world.send(request(id, "/nosuch")).await;
        assert_ne!(answer.header("x-request-id"), Some(id));
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id").unwrap());
    }
}

async fn a_path_that_is_not_there_is_a_page_for_people_and_a_problem_for_programs(database: Database) {
    let world = World::on(database).await;
    let get = |path: &str, accept: &str| TestRequest::get().uri(path).insert_header(("accept", accept));
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/nosuch", "/webhookz/1", "/webhooks/wh_1/nosuch"] {
        let page = world.send(get(path, browser)).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
        assert!(
            page.text.contains("href=\"/\"") && page.text.contains("There is no page at this address"),
            "{}",
            page.text
        );
        assert!(page.header("content-security-policy").is_some() && page.header("x-request-id").is_some());
        for accept in ["*/*", "application/json"] {
            world.send(get(path, accept)).await.problem(404, "not_found");
        }
        world.send(TestRequest::post().uri(path)).await.problem(404, "not_found");
    }
    world.send(get("/v1/nosuch", browser)).await.problem(404, "not_found");
}

async fn the_error_for_an_extra_slash_names_the_right_path(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for path in ["/v1/webhooks/", "//v1/webhooks", "/v1//webhooks"] {
        let answer = world.get(&owner, path).await;
        answer.problem(404, "not_found");
        assert!(answer.text.contains("without the extra slash it is /v1/webhooks"), "{}", answer.text);
    }
}

async fn the_error_for_a_key_in_another_form_shows_the_right_form(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let with = |value: String| TestRequest::get().uri("/v1/webhooks").insert_header(("authorization", value));
    assert_eq!(world.send(with(format!("bearer {owner}"))).await.status, 200);
    for value in [owner.clone(), format!("Basic {owner}"), String::from("Bearer ")] {
        let answer = world.send(with(value)).await;
        answer.problem(401, "unauthorized");
        assert!(answer.text.contains("is not of the form Bearer"), "{}", answer.text);
        assert!(!answer.text.contains(&owner));
    }
}

async fn a_byte_order_mark_before_json_is_ignored(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let event = "{\"event_type\":\"call.completed\",\"data\":{\"n\":1}}";
    let marked = |text: &str| format!("\u{feff}{text}");
    world.call(&owner, "POST", "/v1/webhooks", marked("{\"url\":\"https://example.com/\"}")).await.ok(201);
    world.call(&owner, "POST", "/v1/events", marked(event)).await.ok(202);
    let batch = world.call(&owner, "POST", "/v1/events/batch", marked(&format!("[{event}]"))).await.ok(202);
    assert!(batch["data"][0]["id"].is_string(), "{batch}");
    let lines = TestRequest::post()
        .uri("/v1/events/batch")
        .insert_header(("authorization", format!("Bearer {owner}")))
        .insert_header(("content-type", "application/x-ndjson"))
        .set_payload(marked(&format!("{event}\n{event}\n")));
    let batch = world.send(lines).await.ok(202);
    assert!(batch["data"][0]["id"].is_string() && batch["data"][1]["id"].is_string(), "{batch}");
}

async fn a_compressed_body_is_refused_with_what_to_send(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let post = |encoding: &str| {
        TestRequest::post()
            .uri("/v1/events")
            .insert_header(("authorization", format!("Bearer {owner}")))
            .insert_header(("content-encoding", encoding))
            .set_payload("{\"event_type\":\"call.completed\",\"data\":{}}")
    };
    let answer = world.send(post("gzip")).await;
    answer.problem(415, "unsupported_encoding");
    assert!(answer.text.contains("without Content-Encoding"), "{}", answer.text);
    world.send(post("Identity")).await.ok(202);
}

async fn the_error_for_invalid_json_names_line_and_column(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for (body, place) in [
        ("{\"event_type\":\"call.completed\",\n\"data\":{\"a\":1,}}", "line 2 column 15"),
        ("{\"event_type\":\"call.completed\",}", "trailing comma at line 1 column 32"),
        ("{'event_type':'call.completed'}", "line 1 column 2"),
        ("", "the body is empty"),
        ("\u{feff}", "the body is empty"),
    ] {
        let answer = world.call(&owner, "POST", "/v1/events", body).await;
        answer.problem(400, "invalid_json");
        assert!(answer.text.contains(place), "{}", answer.text);
    }
}

async fn the_last_instants_of_the_calendar_are_taken_everywhere(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let last =
        ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z", "9999-12-31t23:59:60z", "9999-12-31T23:59:59+12:00"];
    for at in last {
        let keys = format!("/v1/organizations/{organization}/keys");
        let key = world.post(ADMIN, &keys, json!({"name": "k", "role": "viewer", "expires_at": at})).await.ok(201);
        assert!(key["expires_at"].as_str().unwrap().starts_with("9999-12-31T"), "{key}");
        world.get(key["key"].as_str().unwrap(), "/v1/webhooks").await.ok(200);
        world.get(ADMIN, &keys).await.ok(200);

        let event = json!({"event_type": "call.completed", "data": {}, "timestamp": at});
        let event = world.post(&owner, "/v1/events", event).await.ok(202);
        assert!(event["timestamp"].as_str().unwrap().starts_with("9999-12-31T"), "{event}");
        world.delivered(&owner).await;
        let sent = world.receivers.received.lock().unwrap().last().cloned().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&sent).unwrap();
        let timestamp = body["timestamp"].as_str().unwrap();
        assert!(timestamp.starts_with("9999-12-31T") && timestamp.ends_with('Z'), "{timestamp}");

        for path in ["/v1/webhooks/logs", "/v1/events"] {
            for (from, to, is_listed) in
                [("2020-01-01T00:00:00Z", at, true), (at, at, false), ("0000-01-01T00:00:00Z", at, true)]
            {
                let page = world.get(&owner, &format!("{path}?from={from}&to={to}")).await.ok(200);
                assert_eq!(!page["data"].as_array().unwrap().is_empty(), is_listed, "{path} {from} {to}");
            }
        }
        let range = json!({"since": "0000-01-01T00:00:00+14:00", "until": at, "status": "success"});
        world.post(&owner, &format!("{webhook}/recover"), range).await.ok(202);
        world.delivered(&owner).await;
        let range = json!({"since": at});
        world.post(&owner, &format!("{webhook}/recover"), range).await.problem(422, "validation_failed");
    }
}

async fn an_unencoded_plus_is_accepted_and_other_mistakes_are_named(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for path in ["/v1/webhooks/logs", "/v1/events"] {
        world.get(&owner, &format!("{path}?from=2026-01-01T00:00:00+02:00")).await.ok(200);
        let answer = world.get(&owner, &format!("{path}?from=2026-01-01T00:00:00")).await;
        assert_eq!(answer.problem(422, "validation_failed"), ["from"]);
        assert!(answer.text.contains("its offset is missing: end it with Z"), "{}", answer.text);
    }
}

async fn the_error_for_an_unknown_event_type_suggests_the_nearest_ones(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.post(&owner, "/v1/event-types", json!({"name": "invoice.paid"})).await.ok(201);
    for (path, body) in [
        ("/v1/events", json!({"event_type": "call.complete", "data": {}})),
        ("/v1/webhooks", json!({"url": "https://example.com/", "events": ["call.complete"]})),
        (&format!("{webhook}/test"), json!({"event_type": "call.complete"})),
    ] {
        let answer = world.post(&owner, path, body).await;
        answer.problem(422, "unknown_event_type");
        assert!(answer.text.contains("did you mean call.completed? POST /v1/event-types"), "{}", answer.text);
    }
    let event = json!({"event_type": "invoice.payed", "data": {}});
    let answer = world.post(&owner, "/v1/events", event).await;
    assert!(answer.text.contains("did you mean invoice.paid?"), "{}", answer.text);
    let batch = world
        .post(&owner, "/v1/events/batch", json!([{"event_type": "call.initiatd ", "data": {}}]))
        .await
        .ok(202);
    let detail = batch["data"][0]["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean call.initiated?"), "{detail}");
}
