//! What is deleted is gone at once, however much it was.

use serde_json::{Value, json};
use test_support::engine::{ADMIN_KEY, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, EVENT_TYPE, World};

on_both_databases!(
    what_a_deleted_organization_published_is_removed_from_the_database,
    a_deleted_webhook_leaves_nothing_pending_however_long_its_queue_was,
);

/// What has rows of an organization's events.
const TABLES: [&str; 6] =
    ["events", "deliveries", "attempts", "idempotency_keys", "delivery_statistics", "endpoint_failures"];

fn what_a_deleted_organization_published_is_removed_from_the_database(database: Database) {
    let world = World::new(database);
    let (fine, broken) = (Receiver::ok(), Receiver::answering(|_| reply(503)));
    let [_, hook] = [&fine, &broken].map(|receiver| world.webhook(receiver, json!({})));
    let event = json!({"event_type": EVENT_TYPE, "data": {}}).to_string();
    world.api.call_with_header("POST", "/v1/events", &event, ("Idempotency-Key", "k")).expect(202);
    world.eventually_delivery(&hook, "one waits for its second attempt", |row| row["attempt_count"] == 1);
    eventually("it is counted", || (world.database.rows("delivery_statistics") > 0).then_some(()));
    assert!(TABLES.iter().all(|table| world.database.rows(table) > 0));

    let admin = world.engine.api(ADMIN_KEY);
    let organizations = admin.get("/v1/organizations").expect(200).json();
    let path = format!("/v1/organizations/{}", text(&organizations["data"][0], "id"));
    admin.try_call("DELETE", &path, None).unwrap().expect(204);
    world.api.get("/v1/webhooks/logs").expect(401);
    for table in TABLES {
        eventually(table, || (world.database.rows(table) == 0).then_some(()));
    }
}

fn a_deleted_webhook_leaves_nothing_pending_however_long_its_queue_was(database: Database) {
    let world = World::new(database);
    let broken = Receiver::answering(|_| reply(503));
    let hook = world.webhook(&broken, json!({"max_in_flight": 1}));
    let batch = Value::Array(vec![json!({"event_type": EVENT_TYPE, "data": {}}); 100]);
    // more than one transaction cancels
    for _ in 0..25 {
        world.api.post("/v1/events/batch", &batch).expect(202);
    }
    let path = format!("/v1/webhooks/{}", text(&hook, "id"));
    world.api.try_call("DELETE", &path, None).unwrap().expect(204);
    assert!(world.is_idle());
    let cancelled = world.api.metric("ringback_deliveries_total", "outcome=\"cancelled\"");
    assert_eq!(cancelled, 2500.0);
}
