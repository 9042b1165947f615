//! One key, one event: also for many at once, and after a kill.

use std::collections::HashSet;

use serde_json::{Value, json};
use test_support::engine::{Answer, text};
use test_support::receiver::Receiver;
use test_support::world::{Database, EVENT_TYPE, World};

on_both_databases!(a_hundred_requests_with_one_key_make_one_event_and_a_kill_does_not_forget_the_key);

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

fn is_replay(answer: &Answer) -> bool {
    answer.headers.get("idempotent-replay").is_some_and(|value| value == "true")
}
