//! What a receiver's answer leads to.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::receiver::{Receiver, Seen, reply};
use test_support::world::{Database, World};

on_both_databases!(an_answer_decides_whether_and_when_the_next_attempt_comes);

fn delays(seen: &[Seen]) -> Vec<Duration> {
    seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

fn an_answer_decides_whether_and_when_the_next_attempt_comes(database: Database) {
    let world = World::new(database);
    let flaky = Receiver::answering(|number| reply(if number < 3 { 503 } else { 200 }));
    let asking = Receiver::answering(|number| match number {
        1 => reply(503).with("retry-after", "3"),
        _ => reply(200),
    });
    let dead = Receiver::answering(|_| reply(500));
    let refusing = Receiver::answering(|_| reply(400));
    let elsewhere = Receiver::ok();
    let target: &'static str = elsewhere.url().leak();
    let moved = Receiver::answering(move |_| reply(302).with("location", target));
    let gone = Receiver::answering(|_| reply(410));
    let policy = json!({"max_attempts": 3, "initial_delay_seconds": 1, "backoff_multiplier": 2});
    let webhook = |receiver: &Receiver| world.webhook(receiver, json!({"retry_policy": policy}));
    let hooks = [&flaky, &asking, &dead, &refusing, &moved, &gone].map(webhook);
    let [flaky_hook, asking_hook, dead_hook, refusing_hook, moved_hook, gone_hook] = &hooks;
    world.publish(1);
    world.eventually_idle();

    let outcome = |hook: &Value| {
        let rows = world.logs(hook);
        assert_eq!(rows.len(), 1);
        assert!(rows[0]["next_attempt_at"].is_null() && rows[0]["finished_at"].is_string(), "{}", rows[0]);
        let code = rows[0]["response_code"].as_u64().unwrap();
        (rows[0]["status"].as_str().unwrap().to_owned(), rows[0]["attempt_count"].as_u64().unwrap(), code)
    };
    let expected = |status: &str, attempts, code| (status.to_owned(), attempts, code);
    assert_eq!(outcome(flaky_hook), expected("success", 3, 200));
    assert_eq!(outcome(asking_hook), expected("success", 2, 200));
    assert_eq!(outcome(dead_hook), expected("failed", 3, 500));
    assert_eq!(outcome(refusing_hook), expected("failed", 1, 400));
    assert_eq!(outcome(moved_hook), expected("failed", 1, 302));
    assert_eq!(outcome(gone_hook), expected("failed", 1, 410));

    let seen = flaky.seen();
    assert_eq!(seen.iter().map(Seen::attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(seen.iter().all(|attempt| attempt.body == seen[0].body && attempt.event_id() == seen[0].event_id()));
    let flaky_delays = delays(&seen);
    assert!(flaky_delays[0] >= Duration::from_secs(1), "{flaky_delays:?}");
    assert!(flaky_delays[1] >= Duration::from_secs(2), "{flaky_delays:?}");
    let asking_delays = delays(&asking.seen());
    assert!(asking_delays[0] >= Duration::from_secs(3), "Retry-After asked for 3 s: {asking_delays:?}");
    let counts = [&flaky, &asking, &dead, &refusing, &moved, &gone, &elsewhere].map(Receiver::count);
    assert_eq!(counts, [3, 2, 3, 1, 1, 1, 0]);

    let disabled = world.read_webhook(gone_hook);
    assert_eq!(disabled["active"], false);
    assert_eq!(disabled["disabled_reason"], "gone");
    assert_eq!(disabled["state"], "disabled");
    assert!(disabled["disabled_at"].is_string());
    world.publish(2);
    world.eventually_delivery(flaky_hook, "the next event is delivered", |it| {
        it["status"] == "success" && it["attempt_count"] == 1
    });
    assert_eq!(world.logs(gone_hook).len(), 1, "a disabled webhook gets no new deliveries");
}
