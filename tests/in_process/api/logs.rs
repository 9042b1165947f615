//! The delivery log, and lists in pages.

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    every_list_pages_from_the_newest_to_the_oldest_without_gap_or_repetition,
    bad_parameters_are_refused_all_at_once,
    a_delivery_is_shown_with_its_body_as_it_is_sent_and_its_attempts,
);

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Follows `next_cursor` to the end.
async fn all_pages(world: &World, key: &str, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(key, &format!("{path}?limit=2{cursor}")).await.ok(200);
        pages.push(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

async fn every_list_pages_from_the_newest_to_the_oldest_without_gap_or_repetition(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for number in 0..5 {
        world.webhook(&owner, json!({"url": format!("https://example.com/{number}")})).await;
    }
    let event = json!({"event_type": "call.completed", "data": {}});
    world.post(&owner, "/v1/events", event).await.ok(202);
    for path in ["/v1/webhooks", "/v1/webhooks/logs"] {
        let pages = all_pages(&world, &owner, path).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "{path}");
        let mut sorted = pages.concat();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted.dedup();
        assert_eq!(pages.concat(), sorted, "{path}");
    }
    let page = world.get(&owner, "/v1/webhooks/logs?limit=5").await.ok(200);
    assert_eq!(page["next_cursor"], Value::Null);
}

async fn bad_parameters_are_refused_all_at_once(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path =
        "/v1/webhooks/logs?status=done&response_code=9xx&from=x&to=y&limit=201&cursor=%21&webhook_id=dlv_1&page=2";
    let fields = world.get(&owner, path).await.problem(422, "validation_failed");
    assert_eq!(fields, ["cursor", "from", "limit", "page", "response_code", "status", "to", "webhook_id"]);
    for path in ["/v1/webhooks?limit=0", "/v1/webhooks?offset=1", "/v1/event-types?limit=5"] {
        world.get(&owner, path).await.problem(422, "validation_failed");
    }
    world.get(&owner, "/v1/webhooks?cursor=abc").await.problem(422, "invalid_cursor");
}

async fn a_delivery_is_shown_with_its_body_as_it_is_sent_and_its_attempts(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let data = r#"{"z":1e400,  "a":12345678901234567890123456789012345678901234567890,"s":"\ud800\u00e9\/"}"#;
    let body =
        format!(r#"{{"event_type":"call.completed","timestamp":"2024-12-16T12:30:45+02:00","data": {data} }}"#);
    let published = world.call(&owner, "POST", "/v1/events", body).await.ok(202);
    let row = world.get(&owner, "/v1/webhooks/logs?event_type=call.completed").await.ok(200)["data"][0].clone();
    assert_eq!(row["event_id"], published["id"]);
    assert_eq!(format!("/v1/webhooks/{}", row["webhook_id"].as_str().unwrap()), webhook);
    let path = format!("/v1/webhooks/logs/{}", row["id"].as_str().unwrap());
    let succeeded = "/v1/webhooks/logs?status=success&response_code=2xx";
    let is_listed = async || world.get(&owner, succeeded).await.text.contains("dlv_").then_some(());
    eventually("the delivery succeeds", is_listed).await;
    let detail = world.get(&owner, &path).await;
    let expected = format!(
        r#""payload":{{"event_type":"call.completed","timestamp":"2024-12-16T10:30:45Z","webhook_id":{},"data":{data}}}"#,
        published["id"]
    );
    assert!(detail.text.contains(&expected), "{}", detail.text);
    assert_eq!(detail.header("content-type"), Some("application/json"));
    assert!(
        detail.text.contains(r#""status":"success""#) && detail.text.contains(r#""number":1"#),
        "{}",
        detail.text
    );
    assert_eq!(world.get(&owner, "/v1/webhooks/logs?status=failed").await.ok(200)["data"], json!([]));
}
