//! Batches of events.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{Answer, World};

on_every_store!(
    bad_items_do_not_spoil_good_ones_and_the_order_stays,
    a_line_that_is_not_json_is_refused_alone,
    a_batch_without_a_single_valid_event_gets_a_result_per_item,
    a_batch_of_the_wrong_size_or_shape_is_refused_as_a_whole,
    an_error_that_prevents_one_event_prevents_the_batch,
    an_item_with_an_idempotency_key_is_stored_once_alone_and_beside_others,
    a_repeated_batch_gets_the_same_answers_and_stores_nothing,
    a_key_belongs_to_one_event_or_batch_however_it_is_sent,
    schemas_hold_in_batches_too,
    a_batch_that_is_too_much_at_once_is_refused_as_a_whole,
);

async fn post(world: &World, key: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = actix_web::test::TestRequest::post().uri("/v1/events/batch");
    let request = request.insert_header(("authorization", format!("Bearer {key}")));
    let request = request.insert_header(("content-type", content_type));
    world.send(request.set_payload(body.into())).await
}

async fn count_events(world: &World, key: &str) -> usize {
    world.get(key, "/v1/events?limit=200").await.ok(200)["data"].as_array().unwrap().len()
}

fn event(number: u32) -> Value {
    json!({"event_type": "call.completed", "data": {"n": number}})
}

async fn bad_items_do_not_spoil_good_ones_and_the_order_stays(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let deep = format!(r#"{{"event_type":"call.missed","data":{{"a":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    let items = [
        event(0).to_string(),
        r#"{"event_type":"no.such","data":{}}"#.to_owned(),
        "7".to_owned(),
        deep,
        r#"{"event_type":7,"data":[],"colour":"red"}"#.to_owned(),
        event(5).to_string(),
    ];
    for (content_type, body) in [
        ("application/json", format!(" [{}]\n", items.join(","))),
        ("text/plain", format!("[{}]", items.join(" , "))),
        ("application/x-ndjson; charset=utf-8", format!("\n{}\r\n \n", items.join("\r\n"))),
    ] {
        let before = count_events(&world, &owner).await;
        let answer = post(&world, &owner, content_type, body).await.ok(202);
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), items.len(), "{answer}");
        for good in [0, 5] {
            assert!(data[good]["id"].as_str().unwrap().starts_with("msg_"), "{answer}");
            assert_eq!(data[good]["deliveries"], 1);
            assert_eq!(data[good]["timestamp"], "2024-12-16T10:30:45.007Z");
        }
        let codes: Vec<&str> = data[1..5].iter().map(|item| item["error"]["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["unknown_event_type", "validation_failed", "json_too_deep", "validation_failed"]);
        let fields = data[4]["error"]["errors"].as_array().unwrap().iter();
        let fields: Vec<&str> = fields.map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["event_type", "data", "colour"]);
        assert_eq!(data[3]["error"]["errors"], json!([]));
        assert_eq!(data[2]["error"]["detail"], "the body must be an object, not a number");
        let id = data[0]["id"].as_str().unwrap();
        let stored = world.get(&owner, &format!("/v1/events/{id}")).await.ok(200);
        assert_eq!(stored["payload"]["data"], json!({"n": 0}));
        assert_eq!(count_events(&world, &owner).await, before + 2);
    }
}

async fn a_line_that_is_not_json_is_refused_alone(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let mut body = b"{\"event_type\":\n\xff\n".to_vec();
    body.extend_from_slice(event(1).to_string().as_bytes());
    let answer = post(&world, &owner, "application/x-ndjson", body).await.ok(202);
    assert_eq!(answer["data"][0]["error"]["code"], "invalid_json");
    assert_eq!(answer["data"][1]["error"]["code"], "invalid_json");
    assert_eq!(answer["data"][2]["event_type"], "call.completed");
    let answer = post(&world, &owner, "application/json", r#"[{"event_type":"call.missed","data":{}},]"#).await;
    answer.problem(400, "invalid_json");
    assert_eq!(count_events(&world, &owner).await, 1);
}

async fn a_batch_without_a_single_valid_event_gets_a_result_per_item(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let answer = post(&world, &owner, "application/json", "[1,null]").await.ok(202);
    assert!(answer["data"].as_array().unwrap().iter().all(|item| item["error"]["code"] == "validation_failed"));
}

async fn a_batch_of_the_wrong_size_or_shape_is_refused_as_a_whole(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let batch = |size: u32| json!((0..size).map(event).collect::<Vec<_>>()).to_string();
    let lines = |size: u32| (0..size).map(|number| format!("{}\n", event(number))).collect::<String>();
    for (content_type, body) in [
        ("application/json", "[]".to_owned()),
        ("application/json", batch(1_001)),
        ("application/json", event(1).to_string()),
        ("application/json", lines(2)),
        ("application/json", "null".to_owned()),
        ("application/x-ndjson", " \n\r\n".to_owned()),
        ("application/x-ndjson", String::new()),
        ("application/x-ndjson", lines(1_001)),
    ] {
        assert_eq!(post(&world, &owner, content_type, body).await.problem(422, "validation_failed"), [""]);
    }
    for body in ["", "[", "{", "nonsense"] {
        post(&world, &owner, "application/json", body).await.problem(400, "invalid_json");
    }
    let large = vec![b' '; 10 * 1024 * 1024 + 1];
    post(&world, &owner, "application/json", large).await.problem(413, "payload_too_large");
    let request = actix_web::test::TestRequest::post().uri("/v1/events/batch");
    let request = request.insert_header(("authorization", format!("Bearer {owner}")));
    let request = request.insert_header(("idempotency-key", "x".repeat(256))).set_payload(batch(1));
    assert_eq!(world.send(request).await.problem(422, "validation_failed"), ["Idempotency-Key"]);
    assert_eq!(count_events(&world, &owner).await, 0);

    let answer = post(&world, &owner, "application/json", batch(1_000)).await.ok(202);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1_000);
    let answer = post(&world, &owner, "application/x-ndjson", lines(1_000)).await.ok(202);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1_000);
}

async fn an_error_that_prevents_one_event_prevents_the_batch(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    count_events(&world, &owner).await;
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    let answer = post(&world, &owner, "application/json", json!([event(1), 7]).to_string()).await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    assert_eq!(count_events(&world, &owner).await, 0);
    world.actors.stop().await;
    let answer = post(&world, &owner, "application/json", json!([event(1)]).to_string()).await;
    answer.problem(503, "unavailable");
}

async fn an_item_with_an_idempotency_key_is_stored_once_alone_and_beside_others(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let item = |number: u32, key: &str| {
        format!(r#"{{"event_type":"call.completed","data":{{"n":{number}}},"idempotency_key":{key}}}"#)
    };
    let first = format!("[{}, {}]", item(1, r#""order 1""#), event(2));
    let first = post(&world, &owner, "application/json", first).await.ok(202);
    // in the other form, in another place, and another body with its key
    let long = format!(r#""{}""#, "x".repeat(256));
    let lines = [item(3, r#""order 3""#), item(1, r#""order 1""#), item(4, r#""order 3""#), item(5, &long)];
    let more = [r#""""#, "7", r#""a\u0001b""#, r#""é""#, "null"].map(|key| item(6, key));
    let body = [lines.as_slice(), more.as_slice()].concat().join("\r\n");
    let again = post(&world, &owner, "application/x-ndjson", body).await.ok(202);
    assert_eq!(again["data"][1], first["data"][0]);
    assert!(again["data"][0]["id"].is_string() && again["data"][8]["id"].is_string(), "{again}");
    assert_eq!(again["data"][2]["error"]["code"], "idempotency_key_reused");
    for bad in 3..8 {
        let error = &again["data"][bad]["error"];
        assert_eq!(error["code"], "validation_failed", "{error}");
        assert_eq!(error["errors"][0]["field"], "idempotency_key", "{error}");
    }
    assert_eq!(count_events(&world, &owner).await, 4);
    // a single event has it in the header
    let single = world.call(&owner, "POST", "/v1/events", item(1, r#""order 1""#)).await;
    assert_eq!(single.problem(422, "validation_failed"), ["idempotency_key"]);
}

async fn a_key_belongs_to_one_event_or_batch_however_it_is_sent(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let send = async |path: &str, key: &str, body: &Value| {
        let request = actix_web::test::TestRequest::post().uri(path);
        let request = request.insert_header(("authorization", format!("Bearer {owner}")));
        world.send(request.insert_header(("idempotency-key", key)).set_payload(body.to_string())).await
    };
    let item = |number: u32, key: &str| {
        let mut item = event(number);
        item["idempotency_key"] = json!(key);
        item
    };
    // alone, then in a batch
    let alone = send("/v1/events", "a", &event(1)).await.ok(202);
    let batch = json!([item(1, "a"), item(2, "b"), item(3, "a")]);
    let answers = send("/v1/events/batch", "whole", &batch).await.ok(202);
    assert_eq!(answers["data"][0], alone);
    assert_eq!(answers["data"][2]["error"]["code"], "idempotency_key_reused");
    // in a batch, then alone
    assert_eq!(send("/v1/events", "b", &event(2)).await.ok(202), answers["data"][1]);
    // a batch's key is no event's, and the other way round
    send("/v1/events", "whole", &event(1)).await.problem(422, "idempotency_key_reused");
    send("/v1/events/batch", "a", &json!([event(1)])).await.problem(422, "idempotency_key_reused");
    let line = event(7).to_string();
    send("/v1/events", "line", &event(7)).await.ok(202);
    let lines =
        actix_web::test::TestRequest::post().uri("/v1/events/batch").insert_header(("idempotency-key", "line"));
    let lines = lines.insert_header(("authorization", format!("Bearer {owner}")));
    let lines = lines.insert_header(("content-type", "application/x-ndjson")).set_payload(line);
    world.send(lines).await.problem(422, "idempotency_key_reused");
    assert_eq!(count_events(&world, &owner).await, 3);
}

async fn a_repeated_batch_gets_the_same_answers_and_stores_nothing(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let send = async |key: &str, body: &Value| {
        let request = actix_web::test::TestRequest::post().uri("/v1/events/batch");
        let request = request.insert_header(("authorization", format!("Bearer {owner}")));
        let request = request.insert_header(("idempotency-key", key));
        world.send(request.set_payload(body.to_string())).await
    };
    let body = json!([event(1), 7, event(1), {"event_type": "no.such", "data": {}}, event(4)]);
    let first = send("nightly", &body).await;
    assert_eq!((first.status, first.header("idempotent-replay")), (202, None), "{}", first.text);
    assert_ne!(first.json()["data"][0]["id"], first.json()["data"][2]["id"], "two items, not one");
    let again = send("nightly", &body).await;
    assert_eq!((again.status, again.header("idempotent-replay")), (202, Some("true")));
    assert_eq!(again.text, first.text);
    // also with the key of an item that was stored before
    let mut keyed = json!([event(1), event(2)]);
    keyed[1]["idempotency_key"] = json!("one");
    send("weekly", &json!([keyed[1]])).await.ok(202);
    let partly = send("monthly", &keyed).await;
    assert_eq!((partly.status, partly.header("idempotent-replay")), (202, None), "one of them is new");
    send("nightly", &json!([event(1)])).await.problem(422, "idempotency_key_reused");
    assert_eq!(count_events(&world, &owner).await, 3 + 2);
}

async fn schemas_hold_in_batches_too(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let own = json!({"name": "invoice.paid", "schema": {"required": ["id"]}});
    world.post(&owner, "/v1/event-types", own).await.ok(201);
    let items = json!([
        {"event_type": "invoice.paid", "data": {}},
        {"event_type": "invoice.paid", "data": {"id": 1}},
    ]);
    let answer = post(&world, &owner, "application/json", items.to_string()).await.ok(202);
    assert_eq!(answer["data"][0]["error"]["code"], "schema_violation");
    assert_eq!(answer["data"][1]["event_type"], "invoice.paid");
}

async fn a_batch_that_is_too_much_at_once_is_refused_as_a_whole(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    count_events(&world, &owner).await;
    let batch = json!((0..1_000).map(event).collect::<Vec<_>>()).to_string();
    // the first holds all that its organization may have uncommitted
    let both = [post(&world, &owner, "", batch.clone()), post(&world, &owner, "", batch)];
    let [first, second] = <[Answer; 2]>::try_from(futures_util::future::join_all(both).await).ok().unwrap();
    first.ok(202);
    second.problem(429, "too_many_requests");
    assert!(second.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1));
}
