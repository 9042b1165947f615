//! Changes and commits that were made although their answer was lost: memory equals the rows before the next event.

use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    a_deletion_whose_answer_was_lost_is_in_force_for_the_next_event,
    a_webhook_whose_creation_was_not_answered_gets_the_next_event,
    a_change_whose_answer_was_lost_is_in_force_for_the_next_delivery,
    an_organization_whose_deletion_was_not_answered_is_gone,
    a_key_whose_revocation_was_not_answered_is_refused,
    an_outcome_whose_commit_was_not_answered_is_announced_once,
    an_ordered_webhook_gets_an_event_whose_commit_was_not_answered_before_later_ones,
    a_resend_whose_answer_was_lost_is_sent,
    an_event_meets_a_webhook_that_was_created_while_it_was_being_stored,
    an_announcement_meets_a_webhook_that_was_created_while_it_was_being_stored,
    an_event_whose_type_is_deleted_while_it_is_being_stored_is_refused,
    an_event_whose_commit_was_not_answered_is_delivered_without_another_commit,
    a_type_that_may_have_been_created_is_not_called_unknown,
    a_doubt_ends_when_the_settings_that_a_commit_could_not_read_are_read,
);

const EVENT: &str = r#"{"event_type":"call.completed","data":{"n":1}}"#;

impl World {
    fn lose(&self, method: &'static str) {
        *self.store.loses_answer_of.lock().unwrap() = method;
    }

    async fn published(&self, key: &str) -> Value {
        self.call(key, "POST", "/v1/events", EVENT).await.ok(202)
    }
}

async fn a_deletion_whose_answer_was_lost_is_in_force_for_the_next_event(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.lose("delete_endpoint");
    world.call(&owner, "DELETE", &path, "").await.problem(503, "unavailable");
    assert_eq!(world.published(&owner).await["deliveries"], 0);
    world.call(&owner, "DELETE", &path, "").await.problem(404, "not_found");
}

async fn a_webhook_whose_creation_was_not_answered_gets_the_next_event(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.lose("create_endpoint");
    world.post(&owner, "/v1/webhooks", json!({"url": "https://example.com/"})).await.problem(503, "unavailable");
    assert_eq!(world.published(&owner).await["deliveries"], 1);
    world.delivered(&owner).await;
}

async fn a_change_whose_answer_was_lost_is_in_force_for_the_next_delivery(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.published(&owner).await;
    world.delivered(&owner).await;
    // its supervisor is still there
    world.lose("update_endpoint");
    let change = json!({"url": "https://example.com/", "headers": {"x-new": "1"}});
    world.patch(&owner, &path, change).await.problem(503, "unavailable");
    world.published(&owner).await;
    let id = world.delivered(&owner).await;
    let delivery = world.get(&owner, &format!("/v1/webhooks/logs/{id}")).await.ok(200);
    assert_eq!(delivery["attempts"][0]["request_headers"]["x-new"], "********", "{delivery}");
}

async fn an_organization_whose_deletion_was_not_answered_is_gone(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    world.published(&owner).await;
    world.lose("delete_organization");
    let path = format!("/v1/organizations/{organization}");
    world.call(ADMIN, "DELETE", &path, "").await.problem(503, "unavailable");
    world.call(&owner, "POST", "/v1/events", EVENT).await.problem(401, "unauthorized");
    world
        .post(ADMIN, &format!("{path}/keys"), json!({"name": "k", "role": "owner"}))
        .await
        .problem(404, "not_found");
}

async fn a_key_whose_revocation_was_not_answered_is_refused(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let path = format!("/v1/organizations/{organization}/keys");
    let made = world.post(ADMIN, &path, json!({"name": "k", "role": "owner"})).await.ok(201);
    let key = made["key"].as_str().unwrap();
    world.get(key, "/v1/webhooks").await.ok(200);
    world.lose("revoke_key");
    let path = format!("{path}/{}", made["id"].as_str().unwrap());
    world.call(ADMIN, "DELETE", &path, "").await.problem(503, "unavailable");
    world.get(key, "/v1/webhooks").await.problem(401, "unauthorized");
}

async fn an_outcome_whose_commit_was_not_answered_is_announced_once(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let events = json!(["delivery.exhausted", "webhook.disabled"]);
    world.webhook(&owner, json!({"url": "https://example.com/watch", "events": events})).await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.receivers.status.store(410, Ordering::SeqCst);
    // its supervisor does not begin before the answer of the next commit will be lost: that of the outcome, with both
    // announcements
    world.store.held.hold("endpoint", 1);
    world.published(&owner).await;
    world.lose("commit of events");
    world.store.held.release();
    eventually("it is disabled", async || {
        let webhook = world.get(&owner, &path).await.ok(200);
        (webhook["active"] == false).then_some(())
    })
    .await;
    world.receivers.status.store(200, Ordering::SeqCst);
    world.actors.stop().await;
    let announced = async |name: &str| {
        let events = world.get(&owner, &format!("/v1/events?event_type={name}")).await.ok(200);
        events["data"].as_array().unwrap().len()
    };
    assert_eq!(announced("webhook.disabled").await, 1);
    assert_eq!(announced("delivery.exhausted").await, 1);
}

async fn an_ordered_webhook_gets_an_event_whose_commit_was_not_answered_before_later_ones(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/", "ordered": true})).await;
    world.published(&owner).await;
    world.delivered(&owner).await;
    for round in 0..5 {
        world.lose("commit of events");
        let event = |n: i64| json!({"event_type": "call.completed", "data": {"n": n}});
        world.post(&owner, "/v1/events", event(10 * round)).await.problem(503, "unavailable");
        let later = join_all((1..=8).map(|n| world.post(&owner, "/v1/events", event(10 * round + n)))).await;
        later.iter().for_each(|answer| drop(answer.ok(202)));
    }
    let bodies = eventually("all of them arrive", async || {
        let received = world.receivers.received.lock().unwrap();
        (received.len() >= 46).then(|| received.clone())
    })
    .await;
    let numbers: Vec<i64> = bodies[1..]
        .iter()
        .map(|body| serde_json::from_slice::<Value>(body).unwrap()["data"]["n"].as_i64().unwrap())
        .collect();
    for round in numbers.chunks(9) {
        assert_eq!(round[0] % 10, 0, "the one in doubt is first: {numbers:?}");
    }
}

async fn a_resend_whose_answer_was_lost_is_sent(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/", "retry": 0})).await;
    world.receivers.status.store(500, Ordering::SeqCst);
    world.published(&owner).await;
    let id = world.delivered(&owner).await;
    world.receivers.status.store(200, Ordering::SeqCst);
    world.lose("requeue_delivery");
    let path = format!("/v1/webhooks/logs/{id}");
    world.call(&owner, "POST", &format!("{path}/retry"), "").await.problem(503, "unavailable");
    eventually("it is sent", async || {
        let delivery = world.get(&owner, &path).await.ok(200);
        (delivery["status"] == "success").then_some(())
    })
    .await;
}

/// Creates a webhook while a commit that was put together before is under way.
async fn create_meanwhile(world: &World, key: &str, webhook: Value) {
    eventually("a commit is under way", async || (world.store.held.inside() == 1).then_some(())).await;
    world.webhook(key, webhook).await;
    world.store.held.release();
}

async fn an_event_meets_a_webhook_that_was_created_while_it_was_being_stored(database: Database) {
    let world = World::on(database).await;
    let (owner, other) = (world.owner().await, world.owner().await);
    world.store.held.hold("commit", 1);
    let creation = create_meanwhile(&world, &owner, json!({"url": "https://example.com/"}));
    let (published, ()) = join(world.published(&owner), creation).await;
    assert_eq!(published["deliveries"], 1);
    let path = format!("/v1/events/{}", published["id"].as_str().unwrap());
    assert_eq!(world.get(&owner, &path).await.ok(200)["payload"]["data"], json!({"n": 1}));
    world.delivered(&owner).await;
    // a batch with a key
    world.store.held.hold("commit", 1);
    let batch = world.call(&owner, "POST", "/v1/events/batch", format!("[{EVENT},{EVENT}]"));
    let creation = create_meanwhile(&world, &owner, json!({"url": "https://example.com/"}));
    let (answer, ()) = join(batch, creation).await;
    let answer = answer.ok(202);
    assert_eq!((&answer["data"][0]["deliveries"], &answer["data"][1]["deliveries"]), (&json!(2), &json!(2)));
    assert_eq!(world.published(&other).await["deliveries"], 0);
}

async fn an_announcement_meets_a_webhook_that_was_created_while_it_was_being_stored(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let watcher = json!({"url": "https://example.com/watch", "events": ["delivery.exhausted"]});
    world.webhook(&owner, watcher.clone()).await;
    let broken =
        world.post(&owner, "/v1/webhooks", json!({"url": "https://example.com/", "retry": 0})).await.ok(201);
    world.receivers.status.store(2, Ordering::SeqCst);
    world.published(&owner).await;
    eventually("it is sent", async || (!world.receivers.received.lock().unwrap().is_empty()).then_some(())).await;
    world.store.held.hold("commit", 1);
    world.receivers.status.store(0, Ordering::SeqCst);
    create_meanwhile(&world, &owner, watcher).await;
    let announced = eventually("it is announced", async || {
        let events = world.get(&owner, "/v1/events?event_type=delivery.exhausted").await.ok(200);
        events["data"].as_array().filter(|events| !events.is_empty()).cloned()
    })
    .await;
    assert_eq!(announced.len(), 1);
    let path = format!("/v1/events/{}", announced[0]["id"].as_str().unwrap());
    let event = world.get(&owner, &path).await.ok(200);
    assert_eq!(event["deliveries"].as_array().unwrap().len(), 2, "{event}");
    assert_eq!(event["payload"]["data"]["webhook_id"], broken["id"], "{event}");
}

async fn an_event_whose_type_is_deleted_while_it_is_being_stored_is_refused(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let event = json!({"event_type": "own.type", "data": {}});
    for is_batch in [false, true] {
        world.post(&owner, "/v1/event-types", json!({"name": "own.type"})).await.ok(201);
        world.store.held.hold("commit", 1);
        let publish = match is_batch {
            false => world.post(&owner, "/v1/events", event.clone()),
            true => world.post(&owner, "/v1/events/batch", json!([event])),
        };
        let deletion = async {
            eventually("a commit is under way", async || (world.store.held.inside() == 1).then_some(())).await;
            world.call(&owner, "DELETE", "/v1/event-types/own.type", "").await.ok(204);
            world.store.held.release();
        };
        let (answer, ()) = join(publish, deletion).await;
        match is_batch {
            false => drop(answer.problem(422, "unknown_event_type")),
            true => assert_eq!(answer.ok(202)["data"][0]["error"]["code"], "unknown_event_type"),
        }
    }
    let events = world.get(&owner, "/v1/events").await.ok(200);
    assert_eq!(events["data"], json!([]));
}

async fn an_event_whose_commit_was_not_answered_is_delivered_without_another_commit(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.lose("commit of events");
    world.call(&owner, "POST", "/v1/events", EVENT).await.problem(503, "unavailable");
    world.delivered(&owner).await;
}

async fn a_type_that_may_have_been_created_is_not_called_unknown(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let event = || world.post(&owner, "/v1/events", json!({"event_type": "own.type", "data": {}}));
    event().await.problem(422, "unknown_event_type");
    // what was changed can't be read yet
    world.store.held.hold("wait_until_decided", 1);
    world.lose("create_event_type");
    world.post(&owner, "/v1/event-types", json!({"name": "own.type"})).await.problem(503, "unavailable");
    eventually("it is asked for", async || (world.store.held.inside() == 1).then_some(())).await;
    event().await.problem(503, "unavailable");
    let batch = json!([{"event_type": "own.type", "data": {}}]);
    world.post(&owner, "/v1/events/batch", batch).await.problem(503, "unavailable");
    world.store.held.release();
    let answer =
        eventually("it is known", async || Some(event().await).filter(|answer| answer.status != 503)).await;
    answer.ok(202);
}

async fn a_doubt_ends_when_the_settings_that_a_commit_could_not_read_are_read(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.receivers.status.store(410, Ordering::SeqCst);
    // its supervisor does not begin before the read behind the commit that disables the webhook will fail
    world.store.held.hold("endpoint", 1);
    world.published(&owner).await;
    world.lose("changes_since");
    world.store.held.release();
    eventually("it is disabled", async || {
        let webhook = world.get(&owner, &path).await.ok(200);
        (webhook["active"] == false).then_some(())
    })
    .await;
    eventually("the read has failed", async || {
        world.store.loses_answer_of.lock().unwrap().is_empty().then_some(())
    })
    .await;
    let unknown = json!({"event_type": "own.type", "data": {}});
    let answer = eventually("nothing is in doubt", async || {
        let answer = world.post(&owner, "/v1/events", unknown.clone()).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    answer.problem(422, "unknown_event_type");
    assert_eq!(world.published(&owner).await["deliveries"], 0);
}
