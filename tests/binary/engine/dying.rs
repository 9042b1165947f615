//! `kill -9`: what was promised before holds after.

use std::collections::HashMap;

use serde_json::json;
use test_support::engine::eventually;
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, Publishers, World};

on_both_databases!(
    nothing_acknowledged_to_eight_publishers_is_missing_after_several_kills,
    a_due_retry_goes_on_after_a_kill_at_its_time_and_with_its_number,
    an_open_breaker_survives_a_kill,
);

const PUBLISHERS: usize = 8;
const KILLS: usize = 4;
const ACKNOWLEDGED_PER_LIFE: usize = 120;
const MAX_IN_FLIGHT: usize = 32;

fn nothing_acknowledged_to_eight_publishers_is_missing_after_several_kills(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({"max_in_flight": MAX_IN_FLIGHT}));
    let publishers = Publishers::start(PUBLISHERS, &world.api);
    for _ in 0..KILLS {
        publishers.eventually_more(ACKNOWLEDGED_PER_LIFE);
        world.kill_and_restart();
    }
    publishers.eventually_more(ACKNOWLEDGED_PER_LIFE);
    let heard = publishers.stop();
    world.eventually_idle();

    let mut requests: HashMap<String, usize> = HashMap::new();
    for seen in receiver.seen() {
        *requests.entry(seen.event_id()).or_default() += 1;
    }
    let lost: Vec<_> = heard.acknowledged.iter().filter(|id| !requests.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are lost: {lost:?}", lost.len(), heard.acknowledged.len());
    let duplicates: usize = requests.values().map(|count| count - 1).sum();
    assert!(duplicates <= KILLS * 2 * MAX_IN_FLIGHT, "{duplicates} duplicates");
    assert!(heard.refused.is_empty(), "{:?}", heard.refused);

    world.engine.kill();
    world.database.check_integrity();
}

fn a_due_retry_goes_on_after_a_kill_at_its_time_and_with_its_number(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::answering(|number| reply(if number == 1 { 503 } else { 200 }));
    let policy = json!({"max_attempts": 3, "initial_delay_seconds": 2});
    let webhook = world.webhook(&receiver, json!({"retry_policy": policy}));
    world.publish(1);
    let failed = world.eventually_delivery(&webhook, "the failure is in the log", |it| it["attempt_count"] == 1);
    assert_eq!(failed["status"], "pending");
    assert_eq!(failed["response_code"], 503);
    assert!(failed["next_attempt_at"].is_string(), "{failed}");
    world.kill_and_restart();

    world.eventually_delivery(&webhook, "the retry is in the log", |it| it["status"] == "success");
    let seen = receiver.seen();
    let numbers: Vec<u32> = seen.iter().map(|seen| seen.attempt()).collect();
    assert_eq!(numbers, [1, 2]);
    let delay = seen[1].at - seen[0].at;
    assert!(delay.as_millis() >= 2_000, "the second attempt came after {delay:?}");
    assert_eq!(seen[0].body, seen[1].body);
}

fn an_open_breaker_survives_a_kill(database: Database) {
    let serve = database
        .serve()
        .set("RINGBACK_DELIVERY_BREAKER_FAILURE_THRESHOLD", "3")
        .set("RINGBACK_DELIVERY_BREAKER_INITIAL_PAUSE_SECONDS", "3600")
        .set("RINGBACK_DELIVERY_BREAKER_MAX_PAUSE_SECONDS", "3600");
    let mut world = World::start(database, serve);
    let (broken, sound) = (Receiver::answering(|_| reply(500)), Receiver::ok());
    let webhook = world.webhook(&broken, json!({}));
    world.webhook(&sound, json!({}));
    let state = |world: &World| world.read_webhook(&webhook)["state"].as_str().unwrap().to_owned();
    for number in 1.. {
        world.publish(number);
        eventually("the event is at the sound receiver", || (sound.count() >= number).then_some(()));
        if state(&world) == "paused" {
            break;
        }
        assert!(number < 1_000, "the breaker does not open; {} failures", broken.count());
    }
    eventually("no attempt is in flight", || {
        (world.api.metric("ringback_attempts_in_flight", "") == 0.0).then_some(())
    });
    let (before, sound_before) = (broken.count(), sound.count());
    world.kill_and_restart();

    assert_eq!(state(&world), "paused");
    assert_eq!(world.api.metric("ringback_breakers_open", ""), 1.0);
    for number in 1..=10 {
        world.publish(number);
        eventually("new events reach the sound receiver", || {
            (sound.count() >= sound_before + number).then_some(())
        });
    }
    assert_eq!(broken.count(), before, "a request in spite of the open breaker");
    assert_eq!(state(&world), "paused");
}
