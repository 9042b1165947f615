//! `/api/v1/auth/app-portal-access/{app}`.

use serde_json::json;

use super::{app_id, environment_token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    an_application_gets_a_token_and_a_link_to_its_dashboard,
    an_application_is_found_by_its_uid_too,
    fewer_capabilities_are_a_token_that_only_reads,
);

async fn portal(world: &World, application: &str, body: serde_json::Value) -> serde_json::Value {
    let path = format!("/auth/app-portal-access/{application}");
    world.svix(&environment_token(), "POST", &path, body).await.ok(200)
}

async fn an_application_gets_a_token_and_a_link_to_its_dashboard(database: Database) {
    let world = world(database).await;
    let own = world.organization("own").await;
    let access = portal(&world, &app_id(&own), json!({"featureFlags": ["beta"]})).await;
    let new = json!({"name": "a", "description": "x", "featureFlags": ["beta"]});
    world.svix(&environment_token(), "POST", "/event-type", new).await.ok(201);
    let token = access["token"].as_str().unwrap();
    world.svix(token, "GET", "/event-type/a", "").await.ok(200);
    world.svix(token, "POST", "/event-type", "{}").await.svix_error(403, "insufficient access");
    let url = access["url"].as_str().unwrap();
    let (_, path) = url.split_once("/sign-in").unwrap();
    assert!(path.starts_with("?link="), "{url}");
    world.svix(token, "POST", "/auth/app-portal-access/x", "{}").await.svix_error(403, "insufficient access");
    let old = format!("/auth/dashboard-access/{}", app_id(&own));
    assert!(world.svix(&environment_token(), "POST", &old, "").await.ok(200)["token"].is_string());
    let places = world
        .svix(
            &environment_token(),
            "POST",
            &format!("/auth/app-portal-access/{}", app_id(&own)),
            json!({"expiry": 5}),
        )
        .await
        .svix_invalid();
    assert_eq!(places, ["body.expiry"]);
}

async fn an_application_is_found_by_its_uid_too(database: Database) {
    let world = world(database).await;
    world.post(ADMIN, "/v1/organizations", json!({"name": "acme", "uid": "customer-7"})).await.ok(201);
    portal(&world, "customer-7", json!({"application": null, "readOnly": null})).await;
    for unknown in ["customer-8", "app_0000000000001", "app_x", "org_0000000000001", "a%20b"] {
        let path = format!("/auth/app-portal-access/{unknown}");
        world.svix(&environment_token(), "POST", &path, "{}").await.svix_error(404, "not_found");
    }
}

async fn fewer_capabilities_are_a_token_that_only_reads(database: Database) {
    let world = world(database).await;
    let own = world.organization("own").await;
    for (wishes, only_reads) in [
        (json!({"readOnly": true}), true),
        (json!({"capabilities": ["ViewBase"]}), true),
        (json!({"capabilities": ["ViewBase", "ManageEndpoint"]}), false),
        (json!({"capabilities": null, "readOnly": false}), false),
    ] {
        let access = portal(&world, &app_id(&own), wishes.clone()).await;
        let claims = access["token"].as_str().unwrap().split('.').nth(1).unwrap().as_bytes();
        let claims = data_encoding::BASE64URL_NOPAD.decode(claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["read_only"] == true, only_reads, "{wishes}");
    }
}
