//! Operational webhooks: what the application of the management environment is told about the environment that it is named
//! after.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::time::Clock;
use ringback::store::NoticeStore;
use serde_json::{Value, json};

use super::{DEFAULT_ENVIRONMENT, app_id, environment_token, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{World, eventually};

on_every_store!(
    changes_of_endpoints_are_told_whoever_makes_them,
    an_exhausted_message_is_told_once_with_its_last_attempt,
    a_message_is_told_at_its_fourth_failure_and_when_it_succeeds_after_it,
    a_message_that_is_resent_after_it_was_exhausted_is_told_as_recovered,
    an_endpoint_that_the_engine_disables_is_told_with_the_reason,
    only_the_application_of_its_own_environment_is_told,
    nothing_is_told_without_an_application_and_about_the_management_environment,
    an_environment_manages_its_own_operational_endpoints,
    a_message_whose_commit_lost_its_answer_is_told_once,
    a_storm_of_one_application_does_not_hold_up_what_is_told_about_another,
    a_commit_waits_for_no_read_to_know_who_is_told,
);

const MANAGEMENT: &str = "org_00000000000SvixManagement00";
const URL: &str = "https://example.com/operations";

fn management() -> String {
    token(&json!({ "sub": MANAGEMENT }))
}

/// The application that is told about the default environment.
async fn listener(world: &World) -> String {
    let new = json!({"name": "Operations", "uid": DEFAULT_ENVIRONMENT});
    let made = world.svix(&management(), "POST", "/app", new).await.ok(201);
    assert_eq!(made["uid"], DEFAULT_ENVIRONMENT);
    made["id"].as_str().unwrap().replace("app_", "org_")
}

/// An application, and an owner key of it.
async fn application(world: &World, uid: &str) -> (String, String) {
    let made = world.svix(&environment_token(), "POST", "/app", json!({"name": uid, "uid": uid})).await.ok(201);
    let id = made["id"].as_str().unwrap().to_owned();
    let owner = world.key(&id.replace("app_", "org_"), "owner").await;
    (id, owner)
}

/// The messages of an application of the management environment: the oldest first.
async fn messages(world: &World, name: &str) -> Vec<Value> {
    let path = format!("/app/{name}/msg?limit=250&with_content=true");
    let list = world.svix(&management(), "GET", &path, "").await.ok(200);
    let mut found = list["data"].as_array().unwrap().clone();
    found.reverse();
    found.into_iter().map(|message| message["payload"].clone()).collect()
}

fn types(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

/// The messages about the default environment, once there are so many.
async fn told(world: &World, count: usize) -> Vec<Value> {
    let what = format!("{count} messages are told");
    eventually(&what, async || Some(messages(world, DEFAULT_ENVIRONMENT).await).filter(|told| told.len() >= count))
        .await
}

/// Tells something else, and waits for it: what was to be told before has been.
async fn settled(world: &World) -> Vec<Value> {
    let (id, _) = application(world, "settled").await;
    world.svix(&environment_token(), "POST", "/app/settled/endpoint", json!({"url": URL})).await.ok(201);
    let all = eventually("what comes last is told", async || {
        let told = messages(world, DEFAULT_ENVIRONMENT).await;
        told.iter().any(|message| message["data"]["appId"] == id).then_some(told)
    });
    all.await.into_iter().filter(|message| message["data"]["appId"] != id).collect()
}

async fn changes_of_endpoints_are_told_whoever_makes_them(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let operations = format!("/app/{DEFAULT_ENVIRONMENT}/endpoint");
    let wanted = json!({"url": URL, "filterTypes": ["endpoint.created", "endpoint.disabled", "endpoint.deleted"]});
    world.svix(&management(), "POST", &operations, wanted).await.ok(201);
    let (app, owner) = application(&world, "customer").await;
    let token = environment_token();
    let made =
        world.svix(&token, "POST", "/app/customer/endpoint", json!({"url": URL, "uid": "main"})).await.ok(201);
    let id = made["id"].as_str().unwrap();
    world.svix(&token, "PATCH", "/app/customer/endpoint/main", json!({"description": "x"})).await.ok(200);
    // nothing changes
    world.svix(&token, "PATCH", "/app/customer/endpoint/main", json!({"description": "x"})).await.ok(200);
    let native = format!("/v1/webhooks/{}", id.replace("ep_", "wh_"));
    world.patch(&owner, &native, json!({"active": false})).await.ok(200);
    world.patch(&owner, &native, json!({"active": true})).await.ok(200);
    world.call(&owner, "DELETE", &native, "").await.ok(204);
    let told = settled(&world).await;
    let expected = [
        "endpoint.created",
        "endpoint.updated",
        "endpoint.updated",
        "endpoint.disabled",
        "endpoint.updated",
        "endpoint.enabled",
        "endpoint.deleted",
    ];
    assert_eq!(types(&told), expected);
    for message in &told {
        let data = &message["data"];
        assert_eq!((&data["appId"], &data["appUid"]), (&json!(app), &json!("customer")), "{message}");
        assert_eq!((&data["endpointId"], &data["endpointUid"]), (&json!(id), &json!("main")), "{message}");
    }
    assert_eq!(told[3]["data"]["trigger"], "manual");
    // only what the endpoint asks for arrives there
    let arrived: Vec<Value> = eventually("all of them arrive", async || {
        let received = world.receivers.received.lock().unwrap();
        let bodies = received.iter().map(|body| serde_json::from_slice::<Value>(body).unwrap());
        let of_it: Vec<Value> = bodies.filter(|body| body["data"]["appId"] == app).collect();
        (of_it.len() >= 3).then_some(of_it)
    })
    .await;
    let mut kinds = types(&arrived);
    kinds.sort_unstable();
    assert_eq!(kinds, ["endpoint.created", "endpoint.deleted", "endpoint.disabled"]);
    let wrong = json!({"url": URL, "filterTypes": ["endpoint.moved"]});
    assert_eq!(world.svix(&management(), "POST", &operations, wrong).await.svix_invalid(), ["body.filterTypes"]);
}

/// A webhook whose failures are final at once.
async fn fragile_webhook(world: &World, owner: &str) -> String {
    world.receivers.status.store(400, Ordering::SeqCst);
    world.webhook(owner, json!({"url": "https://example.com/customer"})).await
}

async fn an_exhausted_message_is_told_once_with_its_last_attempt(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let (app, owner) = application(&world, "customer").await;
    let webhook = fragile_webhook(&world, &owner).await;
    let message = json!({"eventType": "a.b", "eventId": "evt_1", "payload": {}});
    let message = world.svix(&environment_token(), "POST", "/app/customer/msg", message).await.ok(202);
    told(&world, 2).await;
    let told = settled(&world).await;
    assert_eq!(types(&told), ["endpoint.created", "message.attempt.exhausted"]);
    let attempts = world.svix(&environment_token(), "GET", "/app/customer/attempt/msg/evt_1", "").await.ok(200);
    let attempt = &attempts["data"][0];
    let data = &told[1]["data"];
    assert_eq!((&data["appId"], &data["appUid"]), (&json!(app), &json!("customer")));
    assert_eq!((&data["msgId"], &data["msgEventId"]), (&message["id"], &json!("evt_1")));
    assert_eq!(data["endpointId"], webhook.replace("/v1/webhooks/wh_", "ep_"));
    assert_eq!(
        (&data["lastAttempt"]["id"], &data["lastAttempt"]["responseStatusCode"]),
        (&attempt["id"], &json!(400))
    );
    assert!(data["lastAttempt"]["timestamp"].as_str().unwrap().ends_with('Z'));
}

async fn a_message_is_told_at_its_fourth_failure_and_when_it_succeeds_after_it(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let (_, owner) = application(&world, "customer").await;
    world.receivers.status.store(500, Ordering::SeqCst);
    world.webhook(&owner, json!({"url": "https://example.com/customer", "retry_schedule": [1, 1, 1, 1, 1]})).await;
    let message = json!({"eventType": "a.b", "payload": {}});
    world.svix(&environment_token(), "POST", "/app/customer/msg", message).await.ok(202);
    for attempts in 1..=5 {
        eventually("another attempt is made", async || {
            let logs = world.get(&owner, "/v1/webhooks/logs").await.ok(200);
            (logs["data"][0]["attempt_count"] == attempts).then_some(())
        })
        .await;
        if attempts == 4 {
            assert_eq!(types(&told(&world, 2).await), ["endpoint.created", "message.attempt.failing"]);
            world.receivers.status.store(200, Ordering::SeqCst);
        }
        world.clock.advance(Duration::from_secs(2));
    }
    told(&world, 3).await;
    let told = settled(&world).await;
    assert_eq!(types(&told), ["endpoint.created", "message.attempt.failing", "message.attempt.recovered"]);
    assert_eq!(told[2]["data"]["lastAttempt"]["responseStatusCode"], 200);
}

async fn a_message_that_is_resent_after_it_was_exhausted_is_told_as_recovered(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let (_, owner) = application(&world, "customer").await;
    let webhook = fragile_webhook(&world, &owner).await.replace("/v1/webhooks/wh_", "ep_");
    let message = json!({"eventType": "a.b", "eventId": "evt_1", "payload": {}});
    world.svix(&environment_token(), "POST", "/app/customer/msg", message).await.ok(202);
    told(&world, 2).await;
    let resend = format!("/app/customer/msg/evt_1/endpoint/{webhook}/resend");
    for (status, attempts) in [(400, 2), (200, 3), (200, 4)] {
        world.receivers.status.store(status, Ordering::SeqCst);
        world.svix(&environment_token(), "POST", &resend, "").await.ok(202);
        eventually("it is resent", async || {
            let logs = world.get(&owner, "/v1/webhooks/logs").await.ok(200);
            let row = &logs["data"][0];
            (row["attempt_count"] == attempts && row["status"] != "pending").then_some(())
        })
        .await;
    }
    let told = settled(&world).await;
    let expected = ["endpoint.created", "message.attempt.exhausted", "message.attempt.recovered"];
    assert_eq!(
        types(&told),
        expected,
        "whoever resends learns that it fails, and a success after a success is none"
    );
}

async fn an_endpoint_that_the_engine_disables_is_told_with_the_reason(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let (_, owner) = application(&world, "customer").await;
    world.receivers.status.store(410, Ordering::SeqCst);
    world.webhook(&owner, json!({"url": "https://example.com/customer"})).await;
    let message = json!({"eventType": "a.b", "payload": {}});
    world.svix(&environment_token(), "POST", "/app/customer/msg", message).await.ok(202);
    told(&world, 3).await;
    let told = settled(&world).await;
    let mut kinds = types(&told);
    kinds.sort_unstable();
    assert_eq!(kinds, ["endpoint.created", "endpoint.disabled", "message.attempt.exhausted"]);
    let disabled = told.iter().find(|message| message["type"] == "endpoint.disabled").unwrap();
    assert_eq!(disabled["data"]["trigger"], "automatic");
    assert!(disabled["data"]["failSince"].as_str().unwrap().ends_with('Z'));
}

async fn only_the_application_of_its_own_environment_is_told(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    let other = token(&json!({"sub": "org_another"}));
    world.svix(&management(), "POST", "/app", json!({"name": "x", "uid": "org_another"})).await.ok(201);
    // neither is a name of an environment there
    world.svix(&other, "POST", "/app", json!({"name": "x", "uid": DEFAULT_ENVIRONMENT})).await.svix_invalid();
    world.svix(&environment_token(), "POST", "/app", json!({"name": "x", "uid": MANAGEMENT})).await.svix_invalid();
    let there = world.svix(&other, "POST", "/app", json!({"name": "x", "uid": "customer"})).await.ok(201);
    let (here, _) = application(&world, "customer").await;
    for token in [&other, &environment_token()] {
        world.svix(token, "POST", "/app/customer/endpoint", json!({"url": URL})).await.ok(201);
    }
    // of an organization outside of this API too, which is of the default environment
    let outside = world.organization("outside").await;
    let owner = world.key(&outside, "owner").await;
    world.webhook(&owner, json!({"url": URL})).await;
    let apps = |messages: &[Value]| -> Vec<String> {
        messages.iter().map(|message| message["data"]["appId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(apps(&settled(&world).await), [here, app_id(&outside)]);
    assert_eq!(apps(&messages(&world, "org_another").await), [there["id"].as_str().unwrap()]);
}

async fn nothing_is_told_without_an_application_and_about_the_management_environment(database: Database) {
    let world = world(database).await;
    application(&world, "early").await;
    world.svix(&environment_token(), "POST", "/app/early/endpoint", json!({"url": URL})).await.ok(201);
    listener(&world).await;
    // of itself: it would tell about what it tells
    let own = json!({"name": "x", "uid": MANAGEMENT});
    world.svix(&management(), "POST", "/app", own).await.ok(201);
    for name in [DEFAULT_ENVIRONMENT, MANAGEMENT] {
        let path = format!("/app/{name}/endpoint");
        world.svix(&management(), "POST", &path, json!({"url": URL})).await.ok(201);
    }
    assert!(settled(&world).await.is_empty());
    assert!(messages(&world, MANAGEMENT).await.is_empty());
    let path = format!("/app/{DEFAULT_ENVIRONMENT}");
    world.svix(&management(), "DELETE", &path, "").await.ok(204);
    world.svix(&environment_token(), "POST", "/app/early/endpoint", json!({"url": URL})).await.ok(201);
    assert!(world.store.notices(None, 1).unwrap().is_empty());
}

async fn an_environment_manages_its_own_operational_endpoints(database: Database) {
    let world = world(database).await;
    let (token, base) = (environment_token(), "/operational-webhook/endpoint");
    assert_eq!(world.svix(&token, "GET", base, "").await.ok(200)["data"], json!([]));
    world.svix(&token, "GET", &format!("{base}/ep_0000000000001"), "").await.svix_error(404, "not_found");
    let new = json!({"url": URL, "uid": "main", "eventTypes": ["endpoint.created"], "throttleRate": 7});
    let made = world.svix(&token, "POST", base, new).await.ok(201);
    assert_eq!((&made["eventTypes"], &made["throttleRate"]), (&json!(["endpoint.created"]), &json!(7)));
    let one = format!("{base}/main");
    world.svix(&token, "PUT", &one, json!({"url": URL, "uid": "main", "metadata": {"a": "b"}})).await.ok(200);
    assert_eq!(world.svix(&token, "GET", &one, "").await.ok(200)["metadata"], json!({"a": "b"}));
    let secret = world.svix(&token, "GET", &format!("{one}/secret"), "").await.ok(200);
    let rotated = world.svix(&token, "POST", &format!("{one}/secret/rotate"), "{}").await.ok(200);
    assert_ne!(secret["key"], rotated["key"]);
    world.svix(&token, "PUT", &format!("{one}/headers"), json!({"headers": {"x-a": "b"}})).await.ok(204);
    assert_eq!(
        world.svix(&token, "GET", &format!("{one}/headers"), "").await.ok(200)["headers"],
        json!({"x-a": "b"})
    );
    // the same endpoint by its other name, and no other environment's
    let path = format!("/app/{DEFAULT_ENVIRONMENT}/endpoint/main");
    assert_eq!(world.svix(&management(), "GET", &path, "").await.ok(200)["id"], made["id"]);
    let other = super::token(&json!({"sub": "org_another"}));
    assert_eq!(world.svix(&other, "GET", base, "").await.ok(200)["data"], json!([]));
    world.svix(&other, "GET", &one, "").await.svix_error(404, "not_found");
    world.svix(&management(), "GET", base, "").await.svix_error(403, "insufficient access");
    let (app, _) = application(&world, "customer").await;
    world.svix(&token, "POST", "/app/customer/endpoint", json!({"url": URL})).await.ok(201);
    assert_eq!(told(&world, 1).await[0]["data"]["appId"], app);
    world.svix(&token, "DELETE", &one, "").await.ok(204);
    assert_eq!(world.svix(&token, "GET", base, "").await.ok(200)["data"], json!([]));
}

async fn a_message_whose_commit_lost_its_answer_is_told_once(database: Database) {
    let world = world(database).await;
    listener(&world).await;
    application(&world, "customer").await;
    *world.store.loses_answer_of.lock().unwrap() = "commit of events";
    world.svix(&environment_token(), "POST", "/app/customer/endpoint", json!({"url": URL})).await.ok(201);
    told(&world, 1).await;
    assert_eq!(*world.store.loses_answer_of.lock().unwrap(), "", "it was lost");
    assert_eq!(types(&settled(&world).await), ["endpoint.created"]);
}

async fn a_storm_of_one_application_does_not_hold_up_what_is_told_about_another(database: Database) {
    const STORM: usize = 2_000;
    const A_TURN: usize = 16;
    const MAY_BE_DUE: usize = 64;
    let world = world(database).await;
    let listener = listener(&world).await;
    let operations = world.key(&listener, "owner").await;
    world.webhook(&operations, json!({"url": URL, "max_in_flight": 1})).await;
    let (stormy, owner) = application(&world, "stormy").await;
    let (calm, _) = application(&world, "calm").await;
    fragile_webhook(&world, &owner).await;
    told(&world, 1).await;
    // the storm is written while nothing is told
    world.store.held.hold("notices", 1);
    eventually("the teller is held", async || (world.store.held.inside() == 1).then_some(())).await;
    let event = json!({"event_type": "call.completed", "data": {}});
    for _ in 0..STORM / 500 {
        let batch = json!(vec![&event; 500]);
        world.post(&owner, "/v1/events/batch", batch).await.ok(202);
    }
    eventually("all of them are exhausted", async || {
        let health = world.get(&owner, "/v1/health").await.ok(200);
        (health["last_24h"]["attempts"] == STORM as u64).then_some(())
    })
    .await;
    // it is told to an endpoint that takes nothing
    world.receivers.status.store(2, Ordering::SeqCst);
    world.store.held.release();
    let id = listener.parse().unwrap();
    let due = || world.store.least_due(id, world.clock.now(), STORM).unwrap().unwrap();
    eventually("the endpoint has as much as it may have", async || (due() >= MAY_BE_DUE).then_some(())).await;
    // more turns than it takes to pass that
    for _ in 0..8 {
        world.store.held.hold("notices", 1);
        eventually("another turn begins", async || (world.store.held.inside() == 1).then_some(())).await;
        world.store.held.release();
    }
    world.svix(&environment_token(), "POST", "/app/calm/endpoint", json!({"url": URL})).await.ok(201);
    assert!(due() < MAY_BE_DUE + 2 * A_TURN, "{}", due());
    world.receivers.status.store(400, Ordering::SeqCst);
    let arrived = |app: &str| -> Vec<usize> {
        let received = world.receivers.received.lock().unwrap();
        let bodies = received.iter().map(|body| String::from_utf8_lossy(body));
        let told = bodies.filter(|body| body.contains("\"appId\""));
        told.enumerate().filter(|(_, body)| body.contains(app)).map(|(place, _)| place).collect()
    };
    let mut so_far = 0;
    while so_far <= STORM {
        so_far = eventually("more of the storm is told", async || {
            Some(arrived(&stormy).len()).filter(|count| *count > so_far)
        })
        .await;
    }
    assert_eq!(arrived(&stormy).len(), STORM + 1, "each once, and the webhook that was made");
    let places = arrived(&calm);
    assert!(places.len() == 1 && places[0] < MAY_BE_DUE + 3 * A_TURN, "{places:?}");
}

async fn a_commit_waits_for_no_read_to_know_who_is_told(database: Database) {
    const THERE: &str = "org_another";
    let world = world(database).await;
    let there = token(&json!({ "sub": THERE }));
    for uid in ["early", "neighbour"] {
        world.svix(&there, "POST", "/app", json!({"name": uid, "uid": uid})).await.ok(201);
    }
    world.svix(&management(), "POST", "/app", json!({"name": "x", "uid": THERE})).await.ok(201);
    let late = world.svix(&there, "POST", "/app", json!({"name": "x", "uid": "late"})).await.ok(201);
    let early = world.svix(&there, "GET", "/app/early", "").await.ok(200);
    for made in [&early, &late] {
        let owner = world.key(&made["id"].as_str().unwrap().replace("app_", "org_"), "owner").await;
        fragile_webhook(&world, &owner).await;
    }
    // what was known of all others is as good as before
    world.svix(&there, "PATCH", "/app/neighbour", json!({"uid": "renamed"})).await.ok(200);
    for method in ["is_told", "listening"] {
        world.store.held.hold(method, usize::MAX);
        for name in ["early", "late"] {
            let path = format!("/app/{name}/msg");
            world.svix(&there, "POST", &path, json!({"eventType": "a.b", "payload": {}})).await.ok(202);
        }
        let exhausted = async || {
            let told = messages(&world, THERE).await;
            let count = types(&told).iter().filter(|kind| **kind == "message.attempt.exhausted").count();
            (count == if method == "is_told" { 2 } else { 4 }).then_some(())
        };
        eventually("both are told", exhausted).await;
        assert_eq!(world.store.held.inside(), 0, "{method}");
        world.store.held.release();
    }
}
