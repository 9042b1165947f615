//! What one organization can take from another through the API: nothing.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, Answer, World, eventually};

on_every_store!(
    a_slow_change_holds_up_those_of_its_organization_alone_and_in_their_order,
    long_work_of_an_organization_holds_up_no_change_and_no_other_organizations_work,
    reads_of_an_organization_wait_in_its_own_line_which_is_bounded,
    a_full_line_of_changes_is_refused_and_does_not_keep_the_admin_out,
    nothing_is_made_in_an_organization_that_is_deleted_while_its_callers_stand_in_line,
    a_flood_of_unknown_keys_does_not_hold_up_a_key_that_was_valid_a_moment_ago,
    test_events_of_an_organization_are_bounded_and_no_one_waits_for_them,
    the_admin_sees_who_uses_how_much_the_largest_user_first,
    what_can_be_asked_in_a_loop_has_a_bounded_cost,
);

/// Waits until this many calls of the store are held up.
async fn held(world: &World, calls: usize) {
    eventually("calls are held up", async || (world.store.held.inside() == calls).then_some(())).await;
}

/// Waits until this many changes of the only organization that uses anything stand in line.
async fn in_line(world: &World, changes: usize) {
    let usage = async || world.get(ADMIN, "/v1/usage").await.ok(200)["data"][0]["waiting_changes"].clone();
    eventually("changes wait", async || (usage().await == changes).then_some(())).await;
}

/// Lets the organization of this key use something, so that the admin sees how many of its changes wait.
async fn publish(world: &World, key: &str) {
    world.post(key, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
}

async fn add_webhook(world: &World, key: &str) -> Answer {
    world.post(key, "/v1/webhooks", json!({"url": "https://example.com/"})).await
}

async fn a_slow_change_holds_up_those_of_its_organization_alone_and_in_their_order(database: Database) {
    let world = World::on(database).await;
    let (slow, other) = (world.owner().await, world.owner().await);
    let path = world.webhook(&slow, json!({"url": "https://example.com/"})).await;
    world.store.held.hold("delete_endpoint", 1);
    let deletion = world.call(&slow, "DELETE", &path, "");
    // of the same webhook: it must not come before the deletion, or the engine would keep the webhook
    let later = async {
        held(&world, 1).await;
        world.patch(&slow, &path, json!({"timeout": 7})).await
    };
    let others = async {
        held(&world, 1).await;
        for _ in 0..20 {
            add_webhook(&world, &other).await.ok(201);
        }
        assert_eq!(world.store.held.inside(), 1);
        world.store.held.release();
    };
    let ((deleted, changed), ()) = join(join(deletion, later), others).await;
    deleted.ok(204);
    changed.problem(404, "not_found");
}

async fn long_work_of_an_organization_holds_up_no_change_and_no_other_organizations_work(database: Database) {
    let world = World::on(database).await;
    let (slow, other) = (world.owner().await, world.owner().await);
    let path = world.webhook(&slow, json!({"url": "https://example.com/"})).await;
    let of_other = world.webhook(&other, json!({"url": "https://example.com/"})).await;
    let range = json!({"since": "2024-12-16T10:00:00Z", "until": "2024-12-16T10:30:00Z"});
    world.store.held.hold("requeue_range", 1);
    let recover = format!("{path}/recover");
    let recovery = world.post(&slow, &recover, range.clone());
    let second = async {
        held(&world, 1).await;
        world.post(&slow, &recover, range.clone()).await
    };
    let others = async {
        held(&world, 1).await;
        world.patch(&slow, &path, json!({"timeout": 7})).await.ok(200);
        world.post(&other, &format!("{of_other}/recover"), range.clone()).await.ok(202);
        world.post(&other, &format!("{of_other}/resume"), json!({})).await.ok(202);
        assert_eq!(world.store.held.inside(), 1);
        world.store.held.release();
    };
    let ((first, second), ()) = join(join(recovery, second), others).await;
    assert_eq!((first.ok(202), second.ok(202)), (json!({"deliveries": 0}), json!({"deliveries": 0})));
}

async fn reads_of_an_organization_wait_in_its_own_line_which_is_bounded(database: Database) {
    let world = World::on(database).await;
    let (greedy, other) = (world.owner().await, world.owner().await);
    // half of the four connections
    world.store.held.hold("endpoints", 2);
    let many = join_all((0..80).map(|_| world.get(&greedy, "/v1/webhooks")));
    let others = async {
        held(&world, 2).await;
        for path in ["/v1/webhooks", "/v1/webhooks/logs", "/v1/events", "/v1/health"] {
            world.get(&other, path).await.ok(200);
        }
        world.get(ADMIN, "/v1/organizations").await.ok(200);
        assert_eq!(world.store.held.inside(), 2);
        world.store.held.release();
    };
    let (answers, ()) = join(many, others).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert_eq!(refused.len(), 80 - 2 - 64);
    for answer in refused {
        answer.problem(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

async fn a_full_line_of_changes_is_refused_and_does_not_keep_the_admin_out(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    publish(&world, &owner).await;
    world.store.held.hold("create_endpoint", 1);
    let many = join_all((0..80).map(|_| add_webhook(&world, &owner)));
    let deletion = async {
        held(&world, 1).await;
        world.call(ADMIN, "DELETE", &format!("/v1/organizations/{organization}"), "").await
    };
    let release = async {
        held(&world, 1).await;
        // all that fit, and the admin
        in_line(&world, 64 + 1).await;
        world.store.held.release();
    };
    let ((answers, deleted), ()) = join(join(many, deletion), release).await;
    deleted.ok(204);
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(429)), (1 + 64, 80 - 1 - 64));
}

async fn nothing_is_made_in_an_organization_that_is_deleted_while_its_callers_stand_in_line(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    let address = format!("/v1/organizations/{organization}");
    let keys = format!("{address}/keys");
    publish(&world, &owner).await;
    world.store.held.hold("delete_organization", 1);
    let deletion = world.call(ADMIN, "DELETE", &address, "");
    let late = async {
        held(&world, 1).await;
        let key = json!({"name": "k", "role": "owner"});
        let calls = [
            world.post(&owner, "/v1/webhooks", json!({"url": "https://example.com/"})),
            world.post(&owner, "/v1/event-types", json!({"name": "own.type"})),
            world.post(&owner, &keys, key.clone()),
            world.post(ADMIN, &keys, key),
        ];
        join_all(calls).await
    };
    let release = async {
        held(&world, 1).await;
        in_line(&world, 4).await;
        world.store.held.release();
    };
    let ((deleted, late), ()) = join(join(deletion, late), release).await;
    deleted.ok(204);
    late.iter().for_each(|answer| drop(answer.problem(404, "not_found")));
}

async fn a_flood_of_unknown_keys_does_not_hold_up_a_key_that_was_valid_a_moment_ago(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    world.get(&owner, "/v1/webhooks").await.ok(200);
    // no longer fresh: the store is asked again
    world.clock.advance(Duration::from_secs(2));
    world.store.held.hold("key_by_hash", 1);
    let keys: Vec<String> = (0..300).map(|number| format!("rbk_unknown_{number}")).collect();
    let flood = join_all(keys.iter().map(|key| world.get(key, "/v1/webhooks")));
    let known = async {
        held(&world, 1).await;
        world.get(&owner, "/v1/webhooks").await.ok(200);
        assert_eq!(world.store.held.inside(), 1);
        world.store.held.release();
    };
    let (answers, ()) = join(flood, known).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (1 + 256, 300 - 1 - 256));
    world.store.held.hold("key_by_hash", 1);
    world.get(&keys[0], "/v1/webhooks").await.problem(401, "unauthorized");
    assert_eq!(world.store.held.inside(), 0, "the store is not asked again at once");
    world.store.held.release();
}

async fn test_events_of_an_organization_are_bounded_and_no_one_waits_for_them(database: Database) {
    let world = World::on(database).await;
    let (greedy, other) = (world.owner().await, world.owner().await);
    let path = world.webhook(&greedy, json!({"url": "https://example.com/"})).await;
    world.receivers.status.store(2, Ordering::SeqCst);
    let test = format!("{path}/test");
    let answered = Cell::new(0);
    let send = async || {
        let answer = world.post(&greedy, &test, json!({})).await;
        answered.set(answered.get() + 1);
        answer
    };
    let many = join_all((0..20).map(|_| send()));
    let others = async {
        let hanging = || world.receivers.received.lock().unwrap().len();
        let is_full = async || (hanging() == 8 && answered.get() == 12).then_some(());
        eventually("8 hang and all others are refused", is_full).await;
        add_webhook(&world, &other).await.ok(201);
        world.receivers.status.store(200, Ordering::SeqCst);
    };
    let (answers, ()) = join(many, others).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert_eq!(refused.len(), 12);
    refused.iter().for_each(|answer| drop(answer.problem(429, "too_many_requests")));
    world.post(&greedy, &test, json!({})).await.ok(200);
}

async fn the_admin_sees_who_uses_how_much_the_largest_user_first(database: Database) {
    let world = World::on(database).await;
    let (small, large) = (world.organization("small").await, world.organization("large").await);
    let (reader, tester) = (world.key(&small, "viewer").await, world.key(&large, "owner").await);
    let path = world.webhook(&tester, json!({"url": "https://example.com/"})).await;
    for _ in 0..50 {
        world.get(&reader, "/v1/webhooks").await.ok(200);
    }
    world.receivers.status.store(2, Ordering::SeqCst);
    let test = format!("{path}/test");
    let tests = join_all((0..10).map(|_| world.post(&tester, &test, json!({}))));
    let look = async {
        let usage = eventually("tests are in flight", async || {
            let usage = world.get(ADMIN, "/v1/usage").await.ok(200);
            let is_all = usage["totals"]["attempts_in_flight"]["used"] == 8
                && usage["data"][0]["refused_per_minute"].as_f64().is_some_and(|rate| rate > 0.0);
            is_all.then_some(usage)
        })
        .await;
        world.receivers.status.store(200, Ordering::SeqCst);
        usage
    };
    let (_, usage) = join(tests, look).await;
    let rows = usage["data"].as_array().unwrap();
    assert_eq!([&rows[0]["name"], &rows[1]["name"]], ["large", "small"], "{usage}");
    assert_eq!((&rows[0]["organization_id"], &rows[0]["attempts_in_flight"]), (&json!(large), &json!(8)));
    assert!(rows[1]["reads_per_second"].as_f64().unwrap() >= 1.0, "{usage}");
    assert_eq!(usage["totals"]["organizations"], 2, "{usage}");
    assert!(usage["totals"]["supervisors"]["capacity"].as_u64().unwrap() > 0);
}

async fn what_can_be_asked_in_a_loop_has_a_bounded_cost(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    // a thousand typos do not look for a thousand suggestions
    let long = "x".repeat(120);
    for number in 0..40 {
        let own = json!({"name": format!("{long}.{number}")});
        world.post(&owner, "/v1/event-types", own).await.ok(201);
    }
    let typos: Vec<_> =
        (0..1_000).map(|number| json!({"event_type": format!("{long}_{number}"), "data": {}})).collect();
    let answer = world.post(&owner, "/v1/events/batch", json!(typos)).await.ok(202);
    let detail = |place: usize| answer["data"][place]["error"]["detail"].as_str().unwrap().to_owned();
    assert!(detail(0).contains("did you mean") && !detail(999).contains("did you mean"), "{}", detail(999));
    assert!(detail(999).contains("GET /v1/event-types"), "{}", detail(999));
    // schemas are in memory, and in one response
    let schema = json!({"description": "x".repeat(250 * 1024)});
    let mut made = 0;
    let refused = loop {
        let own = json!({"name": format!("own.n{made}"), "schema": schema});
        match world.post(&owner, "/v1/event-types", own).await {
            answer if answer.status == 201 => made += 1,
            answer => break answer,
        }
    };
    refused.problem(409, "limit_reached");
    assert_eq!(made, 32);
}
