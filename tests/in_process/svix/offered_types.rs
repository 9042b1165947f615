//! The event types of an environment, as our own API offers and takes them.

use serde_json::{Value, json};

use super::{environment_token, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    an_application_is_offered_the_types_of_its_environment_and_may_use_them_in_our_own_api,
    other_organizations_know_nothing_of_the_types_of_an_environment,
);

const URL: &str = "https://example.com/hook";

async fn add_type(world: &World, token: &str, event_type: Value) {
    world.svix(token, "POST", "/event-type", event_type).await.ok(201);
}

async fn application(world: &World, token: &str) -> String {
    let made = world.svix(token, "POST", "/app", json!({"name": "App"})).await.ok(201);
    world.key(&made["id"].as_str().unwrap().replace("app_", "org_"), "owner").await
}

async fn offered(world: &World, key: &str) -> Vec<String> {
    let list = world.get(key, "/v1/event-types").await.ok(200);
    list["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

async fn an_application_is_offered_the_types_of_its_environment_and_may_use_them_in_our_own_api(
    database: Database,
) {
    let (world, token) = (world(database).await, environment_token());
    let key = application(&world, &token).await;
    assert!(offered(&world, &key).await.contains(&String::from("call.completed")), "there are none yet");
    let schemas = json!({"1": {"examples": [{"old": 1}]}, "2": {"examples": [{"n": 1}]}});
    add_type(&world, &token, json!({"name": "User.SignUp", "description": "x", "schemas": schemas})).await;
    add_type(&world, &token, json!({"name": "flagged", "description": "x", "featureFlags": ["beta"]})).await;
    add_type(&world, &token, json!({"name": "gone", "description": "x", "archived": true})).await;
    world.post(&key, "/v1/event-types", json!({"name": "invoice.paid"})).await.ok(201);
    assert_eq!(offered(&world, &key).await, ["User.SignUp", "invoice.paid"]);
    let shown = world.get(&key, "/v1/event-types/User.SignUp").await.ok(200);
    assert_eq!((&shown["sample"], &shown["schema"]), (&json!({"n": 1}), &schemas["2"]));

    // also one that was made a moment ago, those with flags and archived ones
    for name in ["User.SignUp", "flagged", "gone", "invoice.paid"] {
        let webhook = world.webhook(&key, json!({"url": URL, "events": [name]})).await;
        let event = json!({"event_type": name, "data": {"a": 1}});
        let published = world.post(&key, "/v1/events", event.clone()).await.ok(202);
        assert_eq!(published["deliveries"], 1, "{name}");
        let batch = world.post(&key, "/v1/events/batch", json!([event])).await.ok(202);
        assert_eq!(batch["data"][0]["deliveries"], 1, "{name}: {batch}");
        let change = json!({"events": [name]});
        let changed = world.call(&key, "PUT", &webhook, change.to_string()).await.ok(200);
        assert_eq!(changed["events"], json!([name]));
    }
    add_type(&world, &token, json!({"name": "made.now", "description": "x"})).await;
    world.webhook(&key, json!({"url": URL, "events": ["made.*"]})).await;
    world.svix(&token, "DELETE", "/event-type/made.now?expunge=true", "").await.ok(204);
    let refused = world.post(&key, "/v1/events", json!({"event_type": "made.now", "data": {}})).await;
    assert_eq!(refused.problem(422, "unknown_event_type"), ["event_type"]);
    let typo = world.post(&key, "/v1/webhooks", json!({"url": URL, "events": ["User.Signup"]})).await;
    assert!(typo.text.contains("lower case"), "{}", typo.text);
}

async fn other_organizations_know_nothing_of_the_types_of_an_environment(database: Database) {
    let (world, of_default) = (world(database).await, environment_token());
    let other = token(&json!({"sub": "org_other"}));
    add_type(&world, &other, json!({"name": "secret.plan", "description": "x"})).await;
    add_type(&world, &of_default, json!({"name": "public.plan", "description": "x"})).await;
    let (native, here) = (world.organization("native").await, application(&world, &of_default).await);
    let there = application(&world, &other).await;
    let native = world.key(&native, "owner").await;
    let publish = async |key: &str, name: &str| {
        world.post(key, "/v1/events", json!({"event_type": name, "data": {}})).await.status
    };
    for (key, knows) in [(&native, [false, false]), (&here, [true, false]), (&there, [false, true])] {
        for (name, knows) in ["public.plan", "secret.plan"].into_iter().zip(knows) {
            assert_eq!(publish(key, name).await, if knows { 202 } else { 422 }, "{name}");
            assert_eq!(offered(&world, key).await.contains(&name.to_owned()), knows, "{name}");
            let shown = world.get(key, &format!("/v1/event-types/{name}")).await;
            assert_eq!(shown.status, if knows { 200 } else { 404 }, "{name}");
        }
    }
    let catalogue = world.get(ADMIN, "/v1/catalogue/event-types").await;
    assert!(!catalogue.text.contains(".plan"), "{}", catalogue.text);
}
