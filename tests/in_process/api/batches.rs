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
    let request = request.insert_header(("idempotency-key", "k")).set_payload(batch(1));
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
    // the first holds all that may be uncommitted
    let both = [post(&world, &owner, "", batch.clone()), post(&world, &owner, "", batch)];
    let [first, second] = <[Answer; 2]>::try_from(futures_util::future::join_all(both).await).ok().unwrap();
    first.ok(202);
    second.problem(503, "overloaded");
    assert_eq!(second.header("retry-after"), Some("1"));
}
