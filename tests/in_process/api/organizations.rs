//! Organizations and keys.

use std::time::Duration;

use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    an_organization_is_made_listed_read_and_deleted_with_everything_it_has,
    a_key_is_shown_once_and_stops_at_its_end,
    a_revoked_key_stops_at_once_and_is_gone_from_the_list,
    bad_input_is_refused_field_by_field,
);

async fn an_organization_is_made_listed_read_and_deleted_with_everything_it_has(database: Database) {
    let world = World::on(database).await;
    let answer = world.post(ADMIN, "/v1/organizations", json!({"name": "acme"})).await;
    let created = answer.ok(201);
    let path = format!("/v1/organizations/{}", created["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(created["created_at"], "2024-12-16T10:30:45.007Z");
    assert_eq!(world.get(ADMIN, &path).await.ok(200), created);
    assert_eq!(world.get(ADMIN, "/v1/organizations").await.ok(200)["data"], json!([created]));

    let key = world.key(created["id"].as_str().unwrap(), "owner").await;
    assert_eq!(world.get(&key, "/v1/webhooks").await.status, 200);
    world.call(ADMIN, "DELETE", &path, "").await.ok(204);
    world.get(&key, "/v1/webhooks").await.problem(401, "unauthorized");
    for method in ["GET", "DELETE"] {
        world.call(ADMIN, method, &path, "").await.problem(404, "not_found");
    }
    world.get(ADMIN, "/v1/organizations/acme").await.problem(404, "not_found");
}

async fn a_key_is_shown_once_and_stops_at_its_end(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let path = format!("/v1/organizations/{organization}/keys");
    let body = json!({"name": "ci", "role": "owner", "expires_at": "2024-12-16T11:31:45+01:00"});
    let created = world.post(ADMIN, &path, body).await.ok(201);
    let key = created["key"].as_str().unwrap();
    assert!(key.starts_with("rbk_") && key.len() == 47);
    assert_eq!(created["prefix"], key[..12]);
    assert_eq!(created["expires_at"], "2024-12-16T10:31:45.000Z");

    let listed = world.get(key, &path).await;
    assert!(!listed.text.contains(key));
    assert_eq!(listed.ok(200)["data"][0]["id"], created["id"]);
    world.clock.advance(Duration::from_secs(60));
    world.get(key, &path).await.problem(401, "unauthorized");
}

async fn a_revoked_key_stops_at_once_and_is_gone_from_the_list(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let (owner, path) =
        (world.key(&organization, "owner").await, format!("/v1/organizations/{organization}/keys"));
    let victim = world.post(&owner, &path, json!({"name": "x", "role": "viewer"})).await.ok(201);
    let key = victim["key"].as_str().unwrap();
    assert_eq!(world.get(key, "/v1/webhooks").await.status, 200);
    let victim_path = format!("{path}/{}", victim["id"].as_str().unwrap());
    world.call(&owner, "DELETE", &victim_path, "").await.ok(204);
    world.get(key, "/v1/webhooks").await.problem(401, "unauthorized");
    world.call(&owner, "DELETE", &victim_path, "").await.problem(404, "not_found");
    assert_eq!(world.get(&owner, &path).await.ok(200)["data"].as_array().unwrap().len(), 1);
}

async fn bad_input_is_refused_field_by_field(database: Database) {
    let world = World::on(database).await;
    for name in
        [json!(""), json!("  "), json!("a\nb"), json!(7), json!(null), json!("x".repeat(201)), json!("a\u{0}")]
    {
        let fields = world.post(ADMIN, "/v1/organizations", json!({ "name": name })).await;
        assert_eq!(fields.problem(422, "validation_failed"), ["name"], "{name}");
    }
    assert_eq!(
        world.post(ADMIN, "/v1/organizations", json!({"title": "x"})).await.problem(422, "validation_failed"),
        ["name", "title"]
    );
    let path = format!("/v1/organizations/{}/keys", world.organization("acme").await);
    let body = json!({"name": [], "role": "admin", "expires_at": "2024-12-16T10:30:45Z", "scope": 1});
    let fields = world.post(ADMIN, &path, body).await.problem(422, "validation_failed");
    assert_eq!(fields, ["expires_at", "name", "role", "scope"]);
    assert_eq!(world.post(ADMIN, &path, json!({})).await.problem(422, "validation_failed"), ["name", "role"]);
    let missing = "/v1/organizations/org_0000000000001/keys";
    let body = json!({"name": "k", "role": "owner"});
    world.post(ADMIN, missing, body).await.problem(404, "not_found");
    world.get(ADMIN, missing).await.problem(404, "not_found");
}
