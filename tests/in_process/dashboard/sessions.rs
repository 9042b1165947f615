//! Signing in and out: what the cookie is, and when a session ends.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use ringback::api::key_text::hash_key;
use ringback::dashboard::Dashboard;
use ringback::domain::ids::{KeyId, OrganizationId};
use ringback::domain::time::Clock;
use ringback::store::TenantStore;
use serde_json::json;

use super::browser::Browser;
use crate::database::Database;
use crate::tenant::Tenant;
use crate::world::{ADMIN, World};

fn parts(cookie: &str) -> Vec<&str> {
    cookie.split("; ").collect()
}

#[actix_web::test]
async fn the_cookie_is_limited_to_this_host_and_https_and_hidden_from_scripts() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::new(&world);
    let answer = browser.sign_in(&owner).await;
    let cookie = answer.header("set-cookie").unwrap();
    let (name, token) = parts(cookie)[0].split_once('=').unwrap();
    assert_eq!(name, "__Host-ringback_session");
    assert_eq!(token.len(), 43, "256 bits");
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=43200"] {
        assert!(parts(cookie).contains(&part), "{part} is not in {cookie}");
    }
    assert!(!cookie.contains("Domain") && !cookie.contains(&owner));
    let left = browser.post("/sign-out", &[]).await;
    let gone = left.header("set-cookie").unwrap();
    for part in ["__Host-ringback_session=", "Max-Age=0", "Secure", "Path=/"] {
        assert!(parts(gone).contains(&part), "{part} is not in {gone}");
    }
}

#[actix_web::test]
async fn the_cookie_of_development_mode_works_without_https() {
    let world = World::with_dashboard(Database::Memory, Dashboard::new(false), |_| {}).await;
    let owner = world.owner().await;
    let browser = Browser::new(&world);
    assert!(browser.get("/sign-in").await.text.contains("--dev"));
    let answer = browser.sign_in(&owner).await;
    let cookie = parts(answer.header("set-cookie").unwrap());
    assert!(cookie[0].starts_with("ringback_session=") && !cookie.contains(&"Secure"), "{cookie:?}");
    assert!(cookie.contains(&"HttpOnly") && cookie.contains(&"SameSite=Strict"), "{cookie:?}");
    assert_eq!(browser.get("/keys").await.status, 200);
    let world = World::new().await;
    assert!(!Browser::new(&world).get("/sign-in").await.text.contains("--dev"));
}

#[actix_web::test]
async fn signing_in_leads_to_the_requested_page_and_to_no_other_host() {
    let world = World::new().await;
    let owner = world.owner().await;
    for (next, expected) in [("/keys", "/keys"), ("https://evil.example/", "/"), ("//evil.example", "/")] {
        let browser = Browser::new(&world);
        let answer = browser.post("/sign-in", &[("key", &owner), ("next", next)]).await;
        assert_eq!(browser.get(answer.location()).await.location(), expected, "{next}");
    }
    // without cookies the page says so, instead of redirecting in a circle
    let answer = Browser::new(&world).get("/sign-in?began=1&next=%2Fkeys").await;
    assert!(answer.text.contains("did not store the session cookie"), "{}", answer.text);
}

#[actix_web::test]
async fn wrong_revoked_and_expired_keys_are_refused_alike() {
    let world = World::new().await;
    let organization = world.organization("acme").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let revoked = world.post(ADMIN, &keys, json!({"name": "k", "role": "owner"})).await.ok(201);
    world.call(ADMIN, "DELETE", &format!("{keys}/{}", revoked["id"].as_str().unwrap()), "").await.ok(204);
    let expired = json!({"name": "k", "role": "owner", "expires_at": "2024-12-16T10:30:46Z"});
    let expired = world.post(ADMIN, &keys, expired).await.ok(201);
    world.clock.advance(Duration::from_secs(1));
    let mut answers = Vec::new();
    let texts = ["", "rbk_unknown", "<script>alert(1)</script>"];
    for key in texts.into_iter().chain([revoked["key"].as_str().unwrap(), expired["key"].as_str().unwrap()]) {
        let answer = Browser::new(&world).sign_in(key).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (422, None));
        assert!(answer.text.contains("This key is unknown, expired or revoked"), "{}", answer.text);
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[actix_web::test]
async fn signing_out_ends_the_session_on_the_server() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.owner().await).await;
    let thief = browser.stolen();
    assert_eq!(thief.get("/keys").await.status, 200);
    let answer = browser.post("/sign-out", &[]).await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in"));
    assert!(thief.get("/keys").await.asks_to_sign_in());
    assert!(browser.get("/keys").await.asks_to_sign_in());
}

#[actix_web::test]
async fn a_session_lasts_twelve_hours() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.owner().await).await;
    world.clock.advance(Duration::from_secs(12 * 3600 - 1));
    assert_eq!(browser.get("/keys").await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert!(browser.get("/keys").await.asks_to_sign_in());
}

#[actix_web::test]
async fn revoking_a_key_ends_its_sessions_at_once_and_within_a_second_from_another_node() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let (owner, path) = (tenant.key("owner"), format!("/v1/organizations/{}/keys", tenant.organization));
    let new_key = async || world.post(owner, &path, json!({"name": "k", "role": "viewer"})).await.ok(201);

    let here = new_key().await;
    let browser = Browser::signed_in(&world, here["key"].as_str().unwrap()).await;
    assert_eq!(browser.get("/event-types").await.status, 200);
    let by = Browser::signed_in(&world, owner).await;
    by.post(&format!("/keys/{}/revoke", here["id"].as_str().unwrap()), &[]).await;
    assert!(browser.get("/event-types").await.asks_to_sign_in());

    let elsewhere = new_key().await;
    let browser = Browser::signed_in(&world, elsewhere["key"].as_str().unwrap()).await;
    assert_eq!(browser.get("/event-types").await.status, 200);
    let organization: OrganizationId = tenant.organization.parse().unwrap();
    let id: KeyId = elsewhere["id"].as_str().unwrap().parse().unwrap();
    world.store.revoke_key(Some(organization), id).unwrap().unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert!(browser.get("/event-types").await.asks_to_sign_in());
}

#[actix_web::test]
async fn the_sessions_of_an_organization_end_with_it() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, tenant.key("owner")).await;
    let admin = Browser::signed_in(&world, ADMIN).await;
    admin.post(&tenant.path("/organizations/{organization_id}/delete"), &[("confirm", "acme")]).await;
    assert!(browser.get("/event-types").await.asks_to_sign_in());
}

#[actix_web::test]
async fn a_sign_in_link_works_once() {
    let world = World::new().await;
    let owner = world.owner().await;
    let (mut rng, now) = (SmallRng::seed_from_u64(1), world.clock.now());
    let link = world.dashboard.sign_in_once(hash_key(&owner), &mut rng, now);
    let first = Browser::new(&world);
    let answer = first.get(&link).await;
    assert_eq!(answer.status, 303);
    assert_eq!(first.get("/keys").await.status, 200);
    let second = Browser::new(&world);
    let answer = second.get(&link).await;
    assert!(answer.text.contains("was already used"), "{}", answer.text);
    assert!(second.get("/keys").await.asks_to_sign_in());
    // a link of a key that is gone signs nobody in
    let link = world.dashboard.sign_in_once(hash_key("rbk_gone"), &mut rng, now);
    let third = Browser::new(&world);
    third.get(&link).await;
    assert!(third.get("/keys").await.asks_to_sign_in());
}
