//! What a person asks to be sent again is sent again, and own event types are known after a restart.

use serde_json::{Value, json};
use test_support::engine::text;
use test_support::receiver::{Receiver, Seen, reply};
use test_support::world::{Database, World};

on_both_databases!(
    a_delivery_a_range_and_an_event_are_sent_again,
    own_event_types_and_their_schemas_survive_a_kill,
);

fn a_delivery_a_range_and_an_event_are_sent_again(database: Database) {
    let world = World::new(database);
    // the first three attempts are refused permanently
    let receiver = Receiver::answering(|number| reply(if number <= 3 { 400 } else { 200 }));
    let hook = world.webhook(&receiver, json!({"max_in_flight": 1}));
    let path = format!("/v1/webhooks/{}", text(&hook, "id"));
    let events: Vec<String> = (1..=3).map(|number| world.publish(number)).collect();
    world.eventually_idle();
    let failed = |row: &&Value| row["status"] == "failed";
    let rows = world.logs(&hook);
    assert_eq!(rows.iter().filter(failed).count(), 3);

    let retry = format!("/v1/webhooks/logs/{}/retry", text(&rows[0], "id"));
    let queued = world.api.post(&retry, &json!({})).expect(202).json();
    assert_eq!((&queued["id"], &queued["status"]), (&rows[0]["id"], &json!("pending")));
    world.eventually_idle();
    let recovered = world.api.post(&format!("{path}/recover"), &json!({"since": "2024-01-01T00:00:00Z"}));
    assert_eq!(recovered.expect(202).json(), json!({"deliveries": 2}));
    world.eventually_idle();
    assert!(world.logs(&hook).iter().all(|row| row["status"] == "success" && row["attempt_count"] == 2));
    let replay = format!("/v1/events/{}/replay", events[0]);
    assert_eq!(world.api.post(&replay, &json!({})).expect(202).json(), json!({"deliveries": 1}));
    world.eventually_idle();

    let seen = receiver.seen();
    let attempts = |event: &String| -> Vec<&Seen> { seen.iter().filter(|one| one.event_id() == *event).collect() };
    assert_eq!(events.iter().map(|event| attempts(event).len()).collect::<Vec<_>>(), [3, 2, 2]);
    for event in &events {
        let attempts = attempts(event);
        assert!(attempts.iter().all(|attempt| attempt.body == attempts[0].body));
    }
    let health = world.api.get(&format!("{path}/health")).expect(200).json();
    assert_eq!((&health["state"], &health["pending"]), (&json!("healthy"), &json!(0)));
    // each time that one ended counts
    assert_eq!(health["last_1h"]["deliveries"], 7);
    assert_eq!(health["last_1h"]["success_rate"], 4.0 / 7.0);
    let detail = world.api.get(&format!("/v1/events/{}", events[0])).expect(200).json();
    assert_eq!((&detail["payload"]["webhook_id"], &detail["delivery_count"]), (&json!(events[0]), &json!(1)));
}

fn own_event_types_and_their_schemas_survive_a_kill(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::ok();
    let own = json!({"name": "invoice.paid", "schema": {"required": ["id"], "examples": [{"id": 7}]}});
    world.api.post("/v1/event-types", &own).expect(201);
    let hook = world.webhook(&receiver, json!({"events": ["invoice.paid"]}));
    world.kill_and_restart();
    let test = format!("/v1/webhooks/{}/test", text(&hook, "id"));
    let sent = world.api.post(&test, &json!({"event_type": "invoice.paid"})).expect(200).json();
    assert_eq!((&sent["status"], &sent["response_code"]), (&json!("success"), &json!(200)));
    let batch = json!([
        {"event_type": "invoice.paid", "data": {}},
        {"event_type": "invoice.paid", "data": {"id": 8}},
    ]);
    let answers = world.api.post("/v1/events/batch", &batch).expect(202).json();
    assert_eq!(answers["data"][0]["error"]["code"], "schema_violation");
    assert_eq!(answers["data"][1]["deliveries"], 1);
    world.eventually_idle();
    assert_eq!(receiver.count(), 2);
}
