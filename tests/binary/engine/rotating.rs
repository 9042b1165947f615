//! Secrets that are exchanged while events come.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use standardwebhooks::Webhook;
use test_support::engine::text;
use test_support::receiver::{Receiver, Reply, Seen, reply};
use test_support::world::{Database, World};

on_both_databases!(
    nothing_is_lost_while_a_receiver_that_knows_one_secret_is_switched_over,
    three_rotations_within_an_overlap_leave_four_secrets_that_verify,
);

fn hex(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// The document's receiver: it has one secret, and looks at one header.
fn flask(secret: &Arc<Mutex<String>>) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    let secret = secret.clone();
    move |seen| {
        let expected = hex(&secret.lock().unwrap(), &seen.body);
        reply(if seen.header("x-callintel-signature") == expected { 200 } else { 401 })
    }
}

fn secret_path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}/secret", text(webhook, "id"))
}

fn rotate(world: &World, webhook: &Value, to: Value) -> String {
    let rotated = world.api.post(&format!("{}/rotate", secret_path(webhook)), &to).expect(200).json();
    text(&rotated, "secret").to_owned()
}

/// Fifty a second, for this long.
fn publish_for(world: &World, duration: Duration) -> usize {
    let (begin, mut sent) = (Instant::now(), 0);
    while begin.elapsed() < duration {
        world.publish(sent);
        sent += 1;
        std::thread::sleep(Duration::from_millis(20 * sent as u64).saturating_sub(begin.elapsed()));
    }
    sent
}

fn nothing_is_lost_while_a_receiver_that_knows_one_secret_is_switched_over(database: Database) {
    const A_WHILE: Duration = Duration::from_millis(700);
    let world = World::new(database);
    let secret = Arc::new(Mutex::new(String::new()));
    let receiver = Receiver::judging(flask(&secret));
    let webhook = world.webhook(&receiver, json!({"retry": 0}));
    *secret.lock().unwrap() = text(&webhook, "secret").to_owned();
    let mut events = publish_for(&world, A_WHILE);
    // the engine first
    let second = rotate(&world, &webhook, json!({}));
    events += publish_for(&world, A_WHILE);
    *secret.lock().unwrap() = second;
    events += publish_for(&world, A_WHILE);
    // the receiver first: what comes in between has only the old one, and is refused
    world.eventually_idle();
    let before = receiver.count();
    let third = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    *secret.lock().unwrap() = third.to_owned();
    rotate(&world, &webhook, json!({"secret": third}));
    events += publish_for(&world, A_WHILE);
    world.eventually_idle();

    let logs: Vec<Value> = log(&world, &webhook);
    assert_eq!(logs.len(), events);
    assert!(logs.iter().all(|delivery| delivery["status"] == "success"), "0 of {events} failed");
    let most = logs.iter().map(|delivery| delivery["attempt_count"].as_u64().unwrap()).max();
    assert_eq!(most, Some(2));
    // once after the rotation, once after the switch; as many more as were under way
    let extra = receiver.count() - events;
    println!(
        "measured: {extra} extra attempts for {events} events, {} of the last part",
        receiver.count() - before
    );
    assert!((2..=8).contains(&extra), "{extra} extra attempts");
}

fn log(world: &World, webhook: &Value) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/webhooks/logs?limit=200&webhook_id={}{cursor}", text(webhook, "id"));
        let page = world.api.get(&path).expect(200).json();
        rows.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn three_rotations_within_an_overlap_leave_four_secrets_that_verify(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::ok();
    let webhook = world.webhook(&receiver, json!({}));
    let mut secrets = vec![text(&webhook, "secret").to_owned()];
    for hours in [3, 2, 1] {
        secrets.insert(0, rotate(&world, &webhook, json!({"overlap_seconds": 3_600 * hours})));
    }
    world.publish(1);
    world.eventually_delivery(&webhook, "delivered", |delivery| delivery["status"] == "success");
    let seen = receiver.seen()[0].clone();
    for secret in &secrets {
        Webhook::new(secret).unwrap().verify(&seen.body, &seen.headers).unwrap();
    }
    assert_eq!(seen.header("webhook-signature").split(' ').count(), 4);
    assert_eq!(seen.header("x-callintel-signature"), hex(&secrets[0], &seen.body), "the newest");
    assert_eq!(seen.header("x-callintel-signature-previous"), hex(&secrets[1], &seen.body));

    let answer = world.api.get(&secret_path(&webhook)).expect(200).json();
    let ends: Vec<&str> =
        answer["previous_secrets"].as_array().unwrap().iter().map(|one| text(one, "expires_at")).collect();
    assert!(ends.len() == 3 && ends.is_sorted() && answer["previous_secret_expires_at"] == ends[0], "{answer}");
    rotate(&world, &webhook, json!({}));
    let refused = world.api.post(&format!("{}/rotate", secret_path(&webhook)), &json!({})).expect(409).json();
    assert_eq!(refused["code"], "too_many_secrets");
    assert!(text(&refused, "detail").contains(ends[0]), "it says when the first ends: {refused}");

    // after a kill all of them are still there
    world.kill_and_restart();
    world.publish(2);
    test_support::engine::eventually("delivered", || (receiver.count() == 2).then_some(()));
    let seen = receiver.seen()[1].clone();
    for secret in &secrets {
        Webhook::new(secret).unwrap().verify(&seen.body, &seen.headers).unwrap();
    }
}
