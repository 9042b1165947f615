//! One key, one event: also for many at once, and after a kill.

use std::collections::HashSet;

use serde_json::{Value, json};
use test_support::engine::{Answer, eventually, text};
use test_support::receiver::Receiver;
use test_support::world::{Database, EVENT_TYPE, World};

on_both_databases!(
    a_hundred_requests_with_one_key_make_one_event_and_a_kill_does_not_forget_the_key,
    a_batch_that_a_kill_interrupts_is_completed_by_its_repetition_and_nothing_is_doubled,
);

const REQUESTS: usize = 100;
const KEY: (&str, &str) = ("idempotency-key", "call-42-completed");

fn a_hundred_requests_with_one_key_make_one_event_and_a_kill_does_not_forget_the_key(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    let body = json!({"event_type": EVENT_TYPE, "data": {"id": "call_42"}}).to_string();
    let publish = |api: &test_support::engine::Api| api.call_with_header("POST", "/v1/events", &body, KEY);

    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(|| publish(&world.api))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let replays = answers.iter().filter(|answer| is_replay(answer)).count();
    assert_eq!(replays, REQUESTS - 1);
    let bodies: HashSet<String> = answers.into_iter().map(|answer| answer.expect(202).text).collect();
    assert_eq!(bodies.len(), 1, "every answer is the first one again");

    world.kill_and_restart();
    let again = publish(&world.api);
    assert!(is_replay(&again));
    assert!(bodies.contains(&again.expect(202).text));
    let other = json!({"event_type": EVENT_TYPE, "data": {"id": "call_43"}}).to_string();
    let reused = world.api.call_with_header("POST", "/v1/events", &other, KEY).expect(422).json();
    assert_eq!(reused["code"], "idempotency_key_reused");

    world.eventually_idle();
    let events = world.api.get("/v1/events").expect(200).json();
    let events = events["data"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = events.iter().map(|event: &Value| text(event, "id")).collect();
    assert_eq!(ids.len(), 1);
    assert!(receiver.seen().iter().all(|seen| seen.event_id() == ids[0]));
}

const BATCH: usize = 1_000;
const WEBHOOKS: usize = 30;

fn a_batch_that_a_kill_interrupts_is_completed_by_its_repetition_and_nothing_is_doubled(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::ok();
    for _ in 0..WEBHOOKS {
        // next to nothing is sent: only what is stored counts here
        world.webhook(&receiver, json!({"rate_limit": {"per_second": 0.01, "burst": 1}}));
    }
    let items: Vec<Value> = (0..BATCH)
        .map(|number| match number {
            7 => json!({"event_type": EVENT_TYPE, "data": "not an object"}),
            _ => json!({"event_type": EVENT_TYPE, "data": {"number": number}}),
        })
        .collect();
    let body = Value::from(items).to_string();
    let key = ("idempotency-key", "the-nightly-batch");
    let stored = |world: &World| world.api.metric("ringback_deliveries_pending", "");
    for fraction in [0.01, 0.3] {
        std::thread::scope(|scope| {
            let (api, body) = (world.api.clone(), &body);
            // it fails when the engine is killed, unless that comes too late
            scope.spawn(move || api.try_call_with_header("POST", "/v1/events/batch", body, key));
            eventually("a part of it is stored", || {
                (stored(&world) > fraction * (BATCH * WEBHOOKS) as f64).then_some(())
            });
            world.kill_and_restart();
        });
    }
    let publish = |world: &World| world.api.call_with_header("POST", "/v1/events/batch", &body, key).expect(202);
    let first = publish(&world);
    let again = publish(&world);
    assert!(is_replay(&again));
    assert_eq!(first.text, again.text);
    let answers = first.json()["data"].as_array().cloned().unwrap_or_default();
    assert_eq!(answers.len(), BATCH);
    assert_eq!(answers[7]["error"]["code"], "validation_failed");
    let ids: HashSet<&str> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
    assert_eq!(ids.len(), BATCH - 1);

    let mut listed = 0;
    let mut path = String::from("/v1/events?limit=200");
    loop {
        let page = world.api.get(&path).expect(200).json();
        for event in page["data"].as_array().into_iter().flatten() {
            assert!(ids.contains(text(event, "id")), "an event that no answer names");
            assert_eq!(event["delivery_count"], WEBHOOKS);
            listed += 1;
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/events?limit=200&cursor={cursor}");
    }
    assert_eq!(listed, BATCH - 1);
    let other = world.api.call_with_header("POST", "/v1/events/batch", &body.replace("999", "998"), key);
    assert_eq!(other.expect(422).json()["code"], "idempotency_key_reused");
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replay").is_some_and(|value| value == "true")
}
