//! The log of changes.

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    every_change_of_an_organization_is_in_its_log_with_who_made_it_and_what_it_was_before,
    a_recovery_is_in_the_log_once_if_it_sends_anything_again,
    what_changes_nothing_and_what_is_refused_leaves_no_entry,
    no_secret_is_in_the_log,
    changes_of_the_deployment_have_a_log_of_their_own,
    an_entry_is_there_exactly_if_its_change_is,
    a_long_value_is_in_the_log_by_its_length,
    the_log_comes_in_pages,
);

async fn log(world: &World, key: &str) -> Vec<Value> {
    world.get(key, "/v1/audit-log").await.ok(200)["data"].as_array().unwrap().clone()
}

fn id_in(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

async fn every_change_of_an_organization_is_in_its_log_with_who_made_it_and_what_it_was_before(
    database: Database,
) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/a"})).await;
    let webhook = path.rsplit('/').next().unwrap().to_owned();
    world.patch(&owner, &path, json!({"timeout": 20, "url": "https://example.com/b"})).await.ok(200);
    world.post(&owner, &format!("{path}/secret/rotate"), json!({})).await.ok(200);
    world.post(&owner, "/v1/event-types", json!({"name": "invoice.paid"})).await.ok(201);
    world.patch(&owner, "/v1/event-types/invoice.paid", json!({"archived": true})).await.ok(200);
    world.call(&owner, "DELETE", "/v1/event-types/invoice.paid", "").await.ok(204);
    world.post(&owner, &format!("{path}/resume"), json!({})).await.ok(202);
    let since = json!({"since": "2024-12-16T00:00:00Z"});
    world.post(&owner, &format!("{path}/recover"), since.clone()).await.ok(202);
    let deployment_key = world.deployment_key("manager").await;
    world.call_in(&deployment_key, &organization, "DELETE", &path, "").await.ok(204);
    world.patch(ADMIN, &format!("/v1/organizations/{organization}"), json!({"name": "Acme"})).await.ok(200);
    let mut entries = log(&world, &owner).await;
    entries.reverse();
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "organization.created",
            "key.created",
            "webhook.created",
            "webhook.changed",
            "webhook.secret_rotated",
            "event_type.created",
            "event_type.changed",
            "event_type.deleted",
            "webhook.resumed",
            "webhook.deleted",
            "organization.changed",
        ]
    );
    let entry = |action: &str| entries.iter().find(|entry| entry["action"] == action).unwrap();
    let owner_key = entry("key.created")["subject"].clone();
    let changed = entry("webhook.changed");
    assert_eq!(changed["subject"], webhook.as_str());
    assert_eq!(changed["actor"], json!({"type": "key", "key_id": owner_key, "name": "owner", "role": "owner"}));
    assert_eq!(changed["before"], json!({"timeout": 10, "url": "https://example.com/a"}));
    assert_eq!(changed["after"], json!({"timeout": 20, "url": "https://example.com/b"}));
    assert_eq!(changed["at"], "2024-12-16T10:30:45.007Z");
    let created = entry("webhook.created");
    assert_eq!((&created["before"], &created["after"]["url"]), (&Value::Null, &json!("https://example.com/a")));
    let deleted = entry("webhook.deleted");
    assert_eq!((&deleted["before"]["timeout"], &deleted["after"]), (&json!(20), &Value::Null));
    assert_eq!((&deleted["actor"]["type"], &deleted["actor"]["role"]), (&json!("key"), &json!("manager")));
    let admin = json!({"type": "admin_key", "key_id": null, "name": null, "role": "admin"});
    assert_eq!(entry("organization.changed")["actor"], admin);
    assert_eq!(entry("event_type.changed")["after"], json!({"archived": true}));
    let stranger = world.owner().await;
    let theirs = log(&world, &stranger).await;
    assert!(theirs.iter().all(|entry| entry["subject"] != webhook.as_str()) && theirs.len() == 2, "{theirs:?}");
}

async fn what_changes_nothing_and_what_is_refused_leaves_no_entry(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let described = json!({"description": "Paid", "schema": {"type": "object"}}).to_string();
    world.call(&owner, "PUT", "/v1/event-types/invoice.paid", described.as_str()).await.ok(201);
    let organization = log(&world, &owner).await.last().unwrap()["subject"].as_str().unwrap().to_owned();
    let before = log(&world, &owner).await;
    world.call(&owner, "PUT", "/v1/event-types/invoice.paid", described.as_str()).await.ok(200);
    world
        .patch(&owner, "/v1/event-types/invoice.paid", json!({"description": "Paid", "archived": false}))
        .await
        .ok(200);
    world
        .patch(ADMIN, &format!("/v1/organizations/{organization}"), json!({"name": "acme", "uid": null}))
        .await
        .ok(200);
    world.patch(ADMIN, "/v1/catalogue/event-types/call.missed", json!({"archived": false})).await.ok(200);
    assert_eq!(log(&world, ADMIN).await, [Value::Null; 0]);
    world.patch(&owner, &path, json!({"timeout": 10})).await.ok(200);
    world.patch(&owner, &path, json!({"timeout": 0})).await.problem(422, "validation_failed");
    world.call(&owner, "DELETE", "/v1/webhooks/wh_0000000000001", "").await.problem(404, "not_found");
    world.call(&owner, "DELETE", "/v1/event-types/no.such", "").await.problem(404, "not_found");
    world.post(&owner, "/v1/event-types", json!({"name": "call.completed"})).await.problem(409, "conflict");
    assert_eq!(log(&world, &owner).await, before);
}

async fn no_secret_is_in_the_log(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let headers = json!({"authorization": "Bearer hidden-value"});
    let webhook = json!({"url": "https://example.com/", "secret": secret, "headers": headers});
    let path = world.webhook(&owner, webhook).await;
    world.patch(&owner, &path, json!({"headers": {"authorization": "Bearer other-hidden"}})).await.ok(200);
    let rotated = world.post(&owner, &format!("{path}/secret/rotate"), json!({})).await.ok(200);
    world.call(&owner, "DELETE", &path, "").await.ok(204);
    let keys = format!("/v1/organizations/{organization}/keys");
    let key = world.post(&owner, &keys, json!({"name": "k", "role": "viewer"})).await.ok(201);
    let link =
        world.post(ADMIN, &format!("/v1/organizations/{organization}/sign-in-links"), json!({})).await.ok(201);
    let token = link["url"].as_str().unwrap().rsplit('=').next().unwrap().to_owned();
    let text = Value::from(log(&world, &owner).await).to_string();
    for hidden in [secret, "hidden", rotated["secret"].as_str().unwrap(), key["key"].as_str().unwrap(), &token] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
    let told = r#""after":{"headers":{"authorization":"******** (new)"}}"#;
    assert!(text.contains(told), "which header was changed is told: {text}");
}

async fn changes_of_the_deployment_have_a_log_of_their_own(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let owner = world.key(&organization, "owner").await;
    let type_of_all = json!({"name": "invoice.paid", "description": "Paid"});
    world.post(ADMIN, "/v1/catalogue/event-types", type_of_all).await.ok(201);
    let made = world.post(ADMIN, "/v1/keys", json!({"name": "backend", "role": "admin"})).await.ok(201);
    let by_key = made["key"].as_str().unwrap().to_owned();
    world.patch(&by_key, "/v1/catalogue/event-types/call.missed", json!({"archived": true})).await.ok(200);
    world.call(&by_key, "DELETE", &format!("/v1/organizations/{organization}"), "").await.ok(204);
    let entries = log(&world, ADMIN).await;
    let told: Vec<(&str, &str, &Value)> = entries
        .iter()
        .map(|entry| {
            (entry["action"].as_str().unwrap(), entry["subject"].as_str().unwrap(), &entry["actor"]["key_id"])
        })
        .collect();
    let (id, none) = (json!(id_in(&made)), Value::Null);
    let key = id.as_str().unwrap();
    assert_eq!(
        told,
        [
            ("organization.deleted", organization.as_str(), &id),
            ("event_type.changed", "call.missed", &id),
            ("key.created", key, &none),
            ("event_type.created", "invoice.paid", &none),
        ]
    );
    assert_eq!(entries[0]["before"]["name"], "acme");
    world.get(&owner, "/v1/audit-log").await.problem(401, "unauthorized");
    // who acts in an organization sees that one's
    let other = world.organization("other").await;
    let theirs = world.call_in(ADMIN, &other, "GET", "/v1/audit-log", "").await.ok(200);
    assert_eq!(theirs["data"][0]["action"], "organization.created");
    for role in ["viewer", "manager", "publisher"] {
        let key = world.key(&other, role).await;
        world.get(&key, "/v1/audit-log").await.problem(403, "forbidden");
        let key = world.deployment_key(role).await;
        world.get(&key, "/v1/audit-log").await.problem(400, "organization_required");
    }
}

async fn an_entry_is_there_exactly_if_its_change_is(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    // another change comes first once: the entry belongs to the one that counts
    world.store.conflicts.store(1, std::sync::atomic::Ordering::SeqCst);
    world.patch(&owner, &path, json!({"timeout": 20})).await.ok(200);
    *world.store.loses_answer_of.lock().unwrap() = "update_endpoint";
    world.patch(&owner, &path, json!({"timeout": 30})).await.problem(503, "unavailable");
    let timeout = world.get(&owner, &path).await.ok(200)["timeout"].clone();
    let entries = log(&world, &owner).await;
    assert_eq!(entries[0]["after"], json!({"timeout": timeout}));
    assert_eq!((&entries[1]["before"], &entries[1]["after"]), (&json!({"timeout": 10}), &json!({"timeout": 20})));
    assert_eq!(entries[2]["action"], "webhook.created");
}

async fn a_long_value_is_in_the_log_by_its_length(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let names: Vec<String> = (0..900).map(|number| format!("customer-{number}")).collect();
    let path = world.webhook(&owner, json!({"url": "https://example.com/", "filters": {"name": names}})).await;
    world.patch(&owner, &path, json!({"filters": {"name": "one"}})).await.ok(200);
    let entries = log(&world, &owner).await;
    assert!(entries[0]["before"]["filters"].as_str().unwrap().ends_with(" bytes)"), "{}", entries[0]);
    assert_eq!(entries[0]["after"]["filters"], json!({"name": "one"}));
}

async fn the_log_comes_in_pages(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for number in 0..5 {
        world.webhook(&owner, json!({"url": format!("https://example.com/{number}")})).await;
    }
    let all = log(&world, &owner).await;
    let (mut seen, mut path) = (Vec::new(), String::from("/v1/audit-log?limit=2"));
    loop {
        let page = world.get(&owner, &path).await.ok(200);
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/audit-log?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, all);
    assert_eq!(all.len(), 7);
    assert_eq!(world.get(&owner, "/v1/audit-log?since=1").await.problem(422, "validation_failed"), ["since"]);
}

async fn a_recovery_is_in_the_log_once_if_it_sends_anything_again(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = world.webhook(&owner, json!({"url": "https://example.com/", "retry": 0})).await;
    let recover = async || {
        let since = json!({"since": "2024-12-16T00:00:00Z", "status": "success"});
        world.post(&owner, &format!("{path}/recover"), since).await.ok(202)["deliveries"].clone()
    };
    assert_eq!(recover().await, 0);
    world.post(&owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
    world.delivered(&owner).await;
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(recover().await, 1);
    let entries = log(&world, &owner).await;
    let recovered: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == "webhook.recovered").collect();
    assert_eq!(recovered.len(), 1);
    let (since, until) = ("2024-12-16T00:00:00.000Z", "2024-12-16T10:30:46.007Z");
    let after = json!({"since": since, "until": until, "status": "success", "rounds": "schedule"});
    assert_eq!(recovered[0]["after"], after);
}
