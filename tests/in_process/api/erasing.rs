//! Payloads and responses that are erased.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    an_erased_payload_reads_as_null_and_its_pending_deliveries_are_cancelled,
    an_erased_event_is_not_sent_again_and_a_recovery_passes_over_it,
    what_waits_behind_an_erased_event_in_an_ordered_queue_is_sent_at_once,
    an_erased_response_reads_as_null_and_what_happened_stays,
    an_erasure_is_in_the_audit_log_once_and_without_content,
    what_does_not_exist_or_is_anothers_can_not_be_erased,
);

const SECRET: &str = "unforgettable";

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

/// An event of which one delivery has this status after its first attempt: paths of both.
async fn published(world: &World, owner: &str, status: u16) -> (String, String) {
    world.receivers.status.store(status, Ordering::SeqCst);
    let event = json!({"event_type": "call.completed", "data": {"name": SECRET}});
    let event = world.post(owner, "/v1/events", event).await.ok(202);
    let event = format!("/v1/events/{}", id(&event));
    let delivery = eventually("the first attempt", async || {
        let deliveries = world.get(owner, &event).await.ok(200)["deliveries"].clone();
        let row = deliveries.as_array().unwrap().iter().find(|row| row["attempt_count"] == 1)?.clone();
        Some(format!("/v1/webhooks/logs/{}", id(&row)))
    });
    let delivery = delivery.await;
    (event, delivery)
}

async fn erase(world: &World, key: &str, path: &str) {
    assert_eq!(world.call(key, "DELETE", path, "").await.status, 204, "{path}");
}

async fn an_erased_payload_reads_as_null_and_its_pending_deliveries_are_cancelled(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let (event, delivery) = published(&world, &owner, 503).await;
    let before = world.get(&owner, &event).await.ok(200);
    assert_eq!((&before["payload"]["data"]["name"], &before["payload_erased"]), (&json!(SECRET), &json!(false)));
    erase(&world, &owner, &format!("{event}/payload")).await;
    for path in [&event, &delivery] {
        let after = world.get(&owner, path).await;
        assert!(!after.text.contains(SECRET), "{}", after.text);
        let after = after.ok(200);
        assert_eq!((&after["payload"], &after["payload_erased"]), (&Value::Null, &json!(true)), "{path}");
    }
    let row = world.get(&owner, &delivery).await.ok(200);
    assert_eq!(
        (&row["status"], &row["attempt_count"], &row["next_attempt_at"]),
        (&json!("cancelled"), &json!(1), &Value::Null)
    );
    assert_eq!(world.get(&owner, &format!("{webhook}/health")).await.ok(200)["pending"], 0);
    erase(&world, &owner, &format!("{event}/payload")).await;
    // its retry would be due
    world.clock.advance(std::time::Duration::from_secs(3_600));
    let (_, of_next) = published(&world, &owner, 200).await;
    assert_eq!(world.get(&owner, &of_next).await.ok(200)["status"], "success");
    assert_eq!(world.get(&owner, &delivery).await.ok(200)["attempt_count"], 1);
}

async fn an_erased_event_is_not_sent_again_and_a_recovery_passes_over_it(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let (event, delivery) = published(&world, &owner, 404).await;
    let (_, kept) = published(&world, &owner, 404).await;
    erase(&world, &owner, &format!("{event}/payload")).await;
    for path in [format!("{delivery}/retry"), format!("{event}/replay")] {
        world.call(&owner, "POST", &path, "").await.problem(409, "payload_erased");
    }
    let since = json!({"since": "2024-12-16T00:00:00Z", "until": "2024-12-17T00:00:00Z"});
    assert_eq!(world.post(&owner, &format!("{webhook}/recover"), since).await.ok(202)["deliveries"], 1);
    eventually("the other one is sent again", async || {
        (world.get(&owner, &kept).await.ok(200)["attempt_count"] == 2).then_some(())
    })
    .await;
    assert_eq!(world.get(&owner, &delivery).await.ok(200)["attempt_count"], 1);
}

async fn what_waits_behind_an_erased_event_in_an_ordered_queue_is_sent_at_once(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/", "ordered": true})).await;
    let (event, delivery) = published(&world, &owner, 503).await;
    world.receivers.status.store(200, Ordering::SeqCst);
    let behind = json!({"event_type": "call.completed", "data": {}});
    let behind = world.post(&owner, "/v1/events", behind).await.ok(202);
    let behind = format!("/v1/events/{}", id(&behind));
    assert_eq!(world.get(&owner, &behind).await.ok(200)["deliveries"][0]["status"], "pending");
    erase(&world, &owner, &format!("{event}/payload")).await;
    eventually("the next one is sent", async || {
        (world.get(&owner, &behind).await.ok(200)["deliveries"][0]["status"] == "success").then_some(())
    })
    .await;
    assert_eq!(world.get(&owner, &delivery).await.ok(200)["status"], "cancelled");
}

async fn an_erased_response_reads_as_null_and_what_happened_stays(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let (event, delivery) = published(&world, &owner, 404).await;
    let health = format!("{webhook}/health");
    let before = world.get(&owner, &delivery).await.ok(200);
    assert!(before["attempts"][0]["response_body"].is_string());
    assert!(world.get(&owner, &health).await.ok(200)["last_failure"]["response_excerpt"].is_string());
    for _ in 0..2 {
        erase(&world, &owner, &format!("{delivery}/attempts/1/response")).await;
        let mut expected = before.clone();
        expected["attempts"][0]["response_headers"] = Value::Null;
        expected["attempts"][0]["response_body"] = Value::Null;
        assert_eq!(world.get(&owner, &delivery).await.ok(200), expected);
        let failure = world.get(&owner, &health).await.ok(200)["last_failure"].clone();
        assert_eq!((&failure["response_code"], &failure["response_excerpt"]), (&json!(404), &Value::Null));
    }
    assert_eq!(world.get(&owner, &event).await.ok(200)["payload_erased"], false);
}

async fn an_erasure_is_in_the_audit_log_once_and_without_content(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let (event, delivery) = published(&world, &owner, 404).await;
    for path in [format!("{event}/payload"), format!("{delivery}/attempts/1/response")] {
        erase(&world, &owner, &path).await;
        erase(&world, &owner, &path).await;
    }
    let log = world.get(&owner, "/v1/audit-log").await;
    assert!(!log.text.contains(SECRET), "{}", log.text);
    let log = log.ok(200);
    let entries = log["data"].as_array().unwrap().iter();
    let erased: Vec<_> = entries.filter(|entry| entry["action"].as_str().unwrap().ends_with("_erased")).collect();
    let short = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    assert_eq!(erased.len(), 2, "{log}");
    assert_eq!(
        (&erased[0]["action"], &erased[0]["subject"]),
        (&json!("attempt.response_erased"), &json!(short(&delivery)))
    );
    assert_eq!(erased[0]["after"], json!({"attempt": 1}));
    assert_eq!(
        (&erased[1]["action"], &erased[1]["subject"]),
        (&json!("event.payload_erased"), &json!(short(&event)))
    );
    assert_eq!((&erased[1]["before"], &erased[1]["after"]), (&Value::Null, &Value::Null));
}

async fn what_does_not_exist_or_is_anothers_can_not_be_erased(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let (event, delivery) = published(&world, &owner, 404).await;
    for (key, path) in [
        (&stranger, format!("{event}/payload")),
        (&stranger, format!("{delivery}/attempts/1/response")),
        (&owner, "/v1/events/msg_0000000000001/payload".to_owned()),
        (&owner, "/v1/events/x/payload".to_owned()),
        (&owner, "/v1/webhooks/logs/dlv_0000000000001/attempts/1/response".to_owned()),
        (&owner, format!("{delivery}/attempts/2/response")),
        (&owner, format!("{delivery}/attempts/0/response")),
        (&owner, format!("{delivery}/attempts/x/response")),
        (&owner, format!("{delivery}/attempts/4294967296/response")),
    ] {
        world.call(key, "DELETE", &path, "").await.problem(404, "not_found");
    }
    let row = world.get(&owner, &delivery).await.ok(200);
    assert_eq!(row["payload"]["data"]["name"], SECRET);
    assert!(row["attempts"][0]["response_body"].is_string());
}
