//! Tests, retries, recoveries and replays.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::attempt::TlsFault;
use ringback::store::RESENT_AT_ONCE;
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    a_test_event_is_sent_once_at_once_and_its_outcome_returned,
    the_test_event_and_the_log_show_details_of_tls_errors,
    a_test_of_an_own_type_sends_its_example_and_an_unknown_type_is_refused,
    retrying_a_failed_delivery_sends_the_same_event,
    a_recovery_resends_the_failed_deliveries_of_its_range,
    a_recovery_names_everything_that_is_wrong_with_it,
    a_recovery_keeps_its_finished_transactions_when_a_later_one_fails,
    once_is_one_attempt_without_retries_however_a_delivery_is_sent_again,
    an_event_is_replayed_where_it_was_delivered_or_to_one_webhook,
);

/// A webhook whose deliveries fail at once, and one failed delivery.
async fn failed(world: &World, owner: &str) -> (String, Value) {
    let webhook = world.webhook(owner, json!({"url": "https://example.com/"})).await;
    world.receivers.status.store(404, Ordering::SeqCst);
    let event = json!({"event_type": "call.completed", "data": {"n": 1}});
    world.post(owner, "/v1/events", event).await.ok(202);
    let id = world.delivered(owner).await;
    let row = world.get(owner, &format!("/v1/webhooks/logs/{id}")).await.ok(200);
    assert_eq!(row["status"], "failed");
    (webhook, row)
}

/// The row, once it is no longer pending.
async fn finished(world: &World, owner: &str, id: &Value) -> Value {
    let path = format!("/v1/webhooks/logs/{}", id.as_str().unwrap());
    eventually("the delivery ends", async || {
        let row = world.get(owner, &path).await.ok(200);
        (row["status"] != "pending").then_some(row)
    })
    .await
}

async fn a_test_event_is_sent_once_at_once_and_its_outcome_returned(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "active": false})).await;
    let test = format!("{webhook}/test");
    let sent = world.call(&owner, "POST", &test, "").await.ok(200);
    let id = sent["delivery_id"].clone();
    let expected = json!({
        "status": "success", "response_code": 200, "duration_ms": 3, "response_body": "ok", "error": null,
        "error_detail": null, "delivery_id": id
    });
    assert_eq!(sent, expected);
    let row = world.get(&owner, &format!("/v1/webhooks/logs/{}", id.as_str().unwrap())).await.ok(200);
    assert_eq!((&row["status"], &row["event_type"]), (&json!("success"), &json!("call.completed")));
    assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
    assert!(row["attempts"][0]["request_headers"]["webhook-signature"].is_string());
    let body: Value = serde_json::from_slice(&world.receivers.received.lock().unwrap()[0]).unwrap();
    assert_eq!((&body["webhook_id"], &body["data"]["status"]), (&row["event_id"], &json!("completed")));

    world.receivers.status.store(503, Ordering::SeqCst);
    let sent = world.post(&owner, &test, json!({"event_type": "webhook.failing"})).await.ok(200);
    assert_eq!(
        (&sent["status"], &sent["response_code"], &sent["error"]),
        (&json!("failed"), &json!(503), &Value::Null)
    );
    world.receivers.status.store(0, Ordering::SeqCst);
    let sent = world.post(&owner, &test, json!({})).await.ok(200);
    assert_eq!(
        (&sent["status"], &sent["response_code"], &sent["error"]),
        (&json!("failed"), &Value::Null, &json!("timeout"))
    );
    assert_eq!(sent["response_body"], Value::Null);
    // once each: nothing waits for a second attempt
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.get(&owner, &format!("{webhook}/health")).await.ok(200)["pending"], 0);
    assert_eq!(world.receivers.received.lock().unwrap().len(), 3);
}

async fn the_test_event_and_the_log_show_details_of_tls_errors(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.receivers.status.store(1, Ordering::SeqCst);
    let sent = world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    let detail = TlsFault::WrongName.to_string();
    assert_eq!((&sent["error"], &sent["error_detail"]), (&json!("tls_failure"), &json!(detail)));
    let row = format!("/v1/webhooks/logs/{}", sent["delivery_id"].as_str().unwrap());
    let attempt = world.get(&owner, &row).await.ok(200)["attempts"][0].clone();
    assert_eq!((&attempt["error"], &attempt["error_detail"]), (&json!("tls_failure"), &json!(detail)));
    assert_eq!((&attempt["response_headers"], &attempt["response_body"]), (&Value::Null, &Value::Null));
    world.receivers.status.store(0, Ordering::SeqCst);
    let sent = world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    assert_eq!((&sent["error"], &sent["error_detail"]), (&json!("timeout"), &Value::Null));
}

async fn a_test_of_an_own_type_sends_its_example_and_an_unknown_type_is_refused(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let test = format!("{}/test", world.webhook(&owner, json!({"url": "https://example.com/"})).await);
    let own = json!({"name": "invoice.paid", "schema": {"examples": [{"amount": 5}]}});
    world.post(&owner, "/v1/event-types", own).await.ok(201);
    world.post(&owner, "/v1/event-types", json!({"name": "invoice.sent"})).await.ok(201);
    for (name, data) in [("invoice.paid", json!({"amount": 5})), ("invoice.sent", json!({}))] {
        world.post(&owner, &test, json!({"event_type": name})).await.ok(200);
        let body = world.receivers.received.lock().unwrap().last().unwrap().clone();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["data"], data);
    }
    let unknown = world.post(&owner, &test, json!({"event_type": "invoice.lost"})).await;
    assert_eq!(unknown.problem(422, "unknown_event_type"), ["event_type"]);
    assert!(unknown.text.contains("invoice.paid"));
    let all = world.post(&owner, &test, json!({"event_type": 7, "data": {}})).await;
    assert_eq!(all.problem(422, "validation_failed"), ["data", "event_type"]);
    world.call(&owner, "POST", &test, "{").await.problem(400, "invalid_json");
}

async fn retrying_a_failed_delivery_sends_the_same_event(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (webhook, row) = failed(&world, &owner).await;
    let retry = format!("/v1/webhooks/logs/{}/retry", row["id"].as_str().unwrap());
    world.receivers.status.store(200, Ordering::SeqCst);
    let queued = world.call(&owner, "POST", &retry, "").await.ok(202);
    assert_eq!((&queued["id"], &queued["status"]), (&row["id"], &json!("pending")));
    assert_eq!(queued["next_attempt_at"], "2024-12-16T10:30:45.007Z");
    let again = finished(&world, &owner, &row["id"]).await;
    assert_eq!((&again["status"], &again["attempt_count"]), (&json!("success"), &json!(2)));
    let received = world.receivers.received.lock().unwrap().clone();
    assert_eq!(received[0], received[1]);

    // switched off, it waits; what waits is not sent twice
    world.patch(&owner, &webhook, json!({"active": false})).await.ok(200);
    world.call(&owner, "POST", &retry, "").await.ok(202);
    let refused = world.call(&owner, "POST", &retry, "").await;
    refused.problem(409, "conflict");
    assert!(refused.json()["detail"].as_str().unwrap().contains("pending"));
    world.call(&owner, "DELETE", &webhook, "").await.ok(204);
    let refused = world.call(&owner, "POST", &retry, "").await;
    refused.problem(409, "conflict");
    assert!(refused.json()["detail"].as_str().unwrap().contains("deleted"));
    world.call(&owner, "POST", "/v1/webhooks/logs/wh_x/retry", "").await.problem(404, "not_found");
}

async fn a_recovery_resends_the_failed_deliveries_of_its_range(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (webhook, early) = failed(&world, &owner).await;
    world.clock.advance(Duration::from_secs(60));
    let event = json!({"event_type": "call.completed", "data": {"n": 2}});
    world.post(&owner, "/v1/events", event.clone()).await.ok(202);
    let late = Value::from(world.delivered(&owner).await);
    world.clock.advance(Duration::from_secs(60));
    world.receivers.status.store(200, Ordering::SeqCst);
    let recover = format!("{webhook}/recover");
    let ask = async |body: Value| world.post(&owner, &recover, body).await.ok(202)["deliveries"].clone();

    assert_eq!(ask(json!({"since": "2024-12-16T10:00:00Z", "until": "2024-12-16T10:20:00Z"})).await, 0);
    assert_eq!(ask(json!({"since": "2024-12-16T10:00:00Z", "status": "success"})).await, 0);
    assert_eq!(ask(json!({"since": "2024-12-16T10:31:00Z"})).await, 1);
    assert_eq!(finished(&world, &owner, &late).await["status"], "success");
    assert_eq!(finished(&world, &owner, &early["id"]).await["status"], "failed");
    assert_eq!(ask(json!({"since": "2024-12-16T12:00:00+02:00", "status": "failed"})).await, 1);
    assert_eq!(finished(&world, &owner, &early["id"]).await["status"], "success");
    assert_eq!(ask(json!({"since": "2024-12-16T10:00:00Z", "status": "success", "until": null})).await, 2);
}

async fn a_recovery_names_everything_that_is_wrong_with_it(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let recover = format!("{}/recover", world.webhook(&owner, json!({"url": "https://example.com/"})).await);
    let all = json!({"since": "yesterday", "until": 7, "status": "pending", "dry_run": true});
    let fields = world.post(&owner, &recover, all).await.problem(422, "validation_failed");
    assert_eq!(fields, ["dry_run", "since", "status", "until"]);
    for body in [
        json!({}),
        json!({"since": "2024-12-16T10:30:46Z"}),
        json!({"since": "2024-12-16T10:00:00Z", "until": "2024-12-16T10:00:00Z"}),
    ] {
        assert_eq!(world.post(&owner, &recover, body).await.problem(422, "validation_failed"), ["since"]);
    }
    world.call(&owner, "POST", &recover, "").await.problem(400, "invalid_json");
}

async fn a_recovery_keeps_its_finished_transactions_when_a_later_one_fails(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let events: Vec<Value> = (0..700).map(|n| json!({"event_type": "call.missed", "data": {"n": n}})).collect();
    for _ in 0..3 {
        world.post(&owner, "/v1/events/batch", json!(events)).await.ok(202);
    }
    let idle = async || {
        let path = format!("{webhook}/health");
        let pending = async || world.get(&owner, &path).await.ok(200)["pending"].clone();
        eventually("nothing is pending", async || (pending().await == 0).then_some(())).await;
        world.receivers.received.lock().unwrap().len()
    };
    assert_eq!(idle().await, 2_100);
    world.clock.advance(Duration::from_secs(1));
    let recover = format!("{webhook}/recover");
    let body = json!({"since": "2024-12-16T10:00:00Z", "status": "success"});
    world.store.failing_step.store(2, Ordering::SeqCst);
    let broken = world.post(&owner, &recover, body.clone()).await;
    broken.problem(503, "unavailable");
    let detail = broken.json()["detail"].as_str().unwrap().to_owned();
    let first_step = detail.split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap();
    assert!((1..=RESENT_AT_ONCE).contains(&first_step) && detail.contains("deliveries are queued"), "{detail}");
    assert_eq!(idle().await, 2_100 + first_step);
    assert_eq!(world.post(&owner, &recover, body).await.ok(202)["deliveries"], 2_100);
    assert_eq!(idle().await, 4_200 + first_step);
}

async fn once_is_one_attempt_without_retries_however_a_delivery_is_sent_again(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let (webhook, row) = failed(&world, &owner).await;
    // with a response that is retried
    world.receivers.status.store(503, Ordering::SeqCst);
    let retry = format!("/v1/webhooks/logs/{}/retry", row["id"].as_str().unwrap());
    let replay = format!("/v1/events/{}/replay", row["event_id"].as_str().unwrap());
    let recover = format!("{webhook}/recover");
    let since = "2024-12-16T10:00:00Z";
    let ways = [
        (&retry, json!({"rounds": "once"})),
        (&replay, json!({"rounds": "once"})),
        (&recover, json!({"since": since, "rounds": "once"})),
    ];
    for (attempts, (path, body)) in (2..).zip(ways) {
        // a recovery is of deliveries before now
        world.clock.advance(Duration::from_secs(1));
        world.post(&owner, path, body).await.ok(202);
        let row = finished(&world, &owner, &row["id"]).await;
        assert_eq!((&row["status"], &row["attempt_count"]), (&json!("failed"), &json!(attempts)), "{path}");
    }
    let body = |rounds: Value| json!({"rounds": rounds, "since": since, "since2": 1});
    for (path, fields) in [
        (&retry, &["rounds", "since", "since2"][..]),
        (&replay, &["rounds", "since", "since2"]),
        (&recover, &["rounds", "since2"]),
    ] {
        for bad in [json!("twice"), json!(1)] {
            assert_eq!(world.post(&owner, path, body(bad)).await.problem(422, "validation_failed"), fields);
        }
    }
    let queued = world.post(&owner, &retry, json!({"rounds": "schedule"})).await.ok(202);
    assert_eq!(queued["status"], "pending");
    eventually("it waits for a retry", async || {
        let row = world.get(&owner, retry.trim_end_matches("/retry")).await.ok(200);
        (row["attempt_count"] == 5 && row["status"] == "pending").then_some(())
    })
    .await;
}

async fn an_event_is_replayed_where_it_was_delivered_or_to_one_webhook(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let gone = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let event = json!({"event_type": "call.completed", "data": {}});
    let event = world.post(&owner, "/v1/events", event).await.ok(202);
    world.delivered(&owner).await;
    let new = world.webhook(&owner, json!({"url": "https://example.com/", "events": ["call.missed"]})).await;
    let new = new.rsplit_once('/').unwrap().1;
    let theirs = world.webhook(&stranger, json!({"url": "https://example.com/"})).await;
    let theirs = theirs.rsplit_once('/').unwrap().1;
    let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
    let replay = format!("{path}/replay");

    assert_eq!(world.call(&owner, "POST", &replay, "").await.ok(202), json!({"deliveries": 2}));
    world.call(&owner, "DELETE", &gone, "").await.ok(204);
    assert_eq!(world.post(&owner, &replay, json!({})).await.ok(202), json!({"deliveries": 1}));
    // asked for by name, what the webhook wants does not matter
    let one = world.post(&owner, &replay, json!({"webhook_id": new})).await.ok(202);
    assert_eq!(one, json!({"deliveries": 1}));
    let detail = world.get(&owner, &path).await.ok(200);
    assert_eq!((&detail["delivery_count"], detail["deliveries"].as_array().unwrap().len()), (&json!(3), 3));

    for webhook in [theirs, "wh_0000000000001", gone.rsplit_once('/').unwrap().1] {
        let answer = world.post(&owner, &replay, json!({"webhook_id": webhook})).await;
        assert_eq!(answer.problem(422, "validation_failed"), ["webhook_id"]);
    }
    let all = world.post(&owner, &replay, json!({"webhook_id": "dlv_1", "since": 1})).await;
    assert_eq!(all.problem(422, "validation_failed"), ["since", "webhook_id"]);
}
