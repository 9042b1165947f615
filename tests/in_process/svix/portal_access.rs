//! `/api/v1/auth/app-portal-access/{app}`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{DEFAULT_ENVIRONMENT, NOW, app_id, environment_token, of_application, token, world};
use crate::dashboard::browser::Browser;
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    an_application_gets_a_token_and_a_link_to_its_dashboard,
    an_application_is_found_by_its_uid_too,
    fewer_capabilities_are_a_token_that_only_reads,
    all_tokens_of_an_application_end_and_with_them_what_came_in_by_its_links,
    tokens_end_later_when_that_is_asked_for,
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

/// Ends all tokens of an application; afterwards it is the next second.
async fn expire_all(world: &World, application: &str, body: Value) {
    let path = format!("/auth/app/{application}/expire-all");
    world.svix(&environment_token(), "POST", &path, body).await.ok(204);
    world.clock.advance(Duration::from_secs(1));
}

async fn is_valid(world: &World, token: &str) -> bool {
    let answer = world.svix(token, "GET", "/event-type", "").await;
    assert!([200, 401].contains(&answer.status), "{}", answer.text);
    answer.status == 200
}

fn sign_in(access: &Value) -> String {
    let (_, path) = access["url"].as_str().unwrap().split_once("/sign-in").unwrap();
    format!("/sign-in{path}")
}

async fn all_tokens_of_an_application_end_and_with_them_what_came_in_by_its_links(database: Database) {
    let world = world(database).await;
    let (own, other) = (world.organization("own").await, world.organization("other").await);
    let (name, of_other) = (app_id(&own), app_id(&other));
    let (used, unused) = (portal(&world, &name, json!({})).await, portal(&world, &name, json!({})).await);
    let (visitor, guest) = (Browser::new(&world), Browser::new(&world));
    visitor.get(&sign_in(&used)).await;
    guest.get(&sign_in(&portal(&world, &of_other, json!({})).await)).await;
    let owner = Browser::signed_in(&world, &world.key(&own, "owner").await).await;
    for browser in [&visitor, &guest, &owner] {
        assert_eq!(browser.get("/webhooks").await.status, 200);
    }
    let of_own = |more: Value| {
        let mut claims = of_application(&own);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        token(&claims)
    };
    let made = used["token"].as_str().unwrap().to_owned();
    // one that does not say when it was made may be as old as any
    let before = [made, of_own(json!({})), of_own(json!({"iat": NOW})), of_own(json!({"iat": NOW - 60}))];
    let foreign = token(&of_application(&other));
    for token in before.iter().chain([&foreign]) {
        assert!(is_valid(&world, token).await);
    }
    expire_all(&world, &name, json!({})).await;
    for token in &before {
        assert!(!is_valid(&world, token).await, "{token}");
    }
    for token in
        [&foreign, &of_own(json!({"iat": NOW + 1})), &environment_token(), &world.key(&own, "owner").await]
    {
        assert!(is_valid(&world, token).await, "{token}");
    }
    let after = portal(&world, &name, json!({})).await;
    assert!(is_valid(&world, after["token"].as_str().unwrap()).await);
    assert_ne!(visitor.get("/webhooks").await.status, 200);
    assert_eq!((guest.get("/webhooks").await.status, owner.get("/webhooks").await.status), (200, 200));
    assert_eq!(Browser::new(&world).get(&sign_in(&unused)).await.status, 422);
    let path = format!("/auth/app/{name}/expire-all");
    for (body, place) in [(json!({"expiry": 604_801}), "expiry"), (json!({"sessionIds": ["a"]}), "sessionIds")] {
        let places = world.svix(&environment_token(), "POST", &path, body).await.svix_invalid();
        assert_eq!(places, [format!("body.{place}")]);
    }
    let elsewhere = token(&json!({"sub": "org_another"}));
    world.svix(&elsewhere, "POST", &path, "{}").await.svix_error(404, "not_found");
    let unknown = token(&json!({"sub": DEFAULT_ENVIRONMENT}));
    world.svix(&unknown, "POST", "/auth/app/nobody/expire-all", "{}").await.svix_error(404, "not_found");
}

async fn tokens_end_later_when_that_is_asked_for(database: Database) {
    let world = world(database).await;
    let own = world.organization("own").await;
    let name = app_id(&own);
    let old = portal(&world, &name, json!({})).await;
    let visitor = Browser::new(&world);
    visitor.get(&sign_in(&old)).await;
    let old = old["token"].as_str().unwrap();
    expire_all(&world, &name, json!({"expiry": 60, "sessionIds": []})).await;
    let new = portal(&world, &name, json!({})).await;
    let new = new["token"].as_str().unwrap();
    world.clock.advance(Duration::from_secs(58));
    assert!(is_valid(&world, old).await && is_valid(&world, new).await);
    assert_eq!(visitor.get("/webhooks").await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert!(!is_valid(&world, old).await && is_valid(&world, new).await);
    assert_ne!(visitor.get("/webhooks").await.status, 200);
}
