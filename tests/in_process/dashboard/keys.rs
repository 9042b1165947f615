//! API keys: made, shown once, revoked; the same for an owner and for the admin.

use ringback::domain::organization::Role;
use serde_json::Value;

use super::browser::Browser;
use crate::tenant::Tenant;
use crate::world::{ADMIN, World};

/// The key that a page shows.
fn shown_key(page: &str) -> &str {
    let (_, rest) = page.split_once("<code id=\"new-key\">").unwrap_or_else(|| panic!("no key in {page}"));
    rest.split_once('<').unwrap().0
}

async fn keys(world: &World, tenant: &Tenant) -> Vec<Value> {
    let path = format!("/v1/organizations/{}/keys", tenant.organization);
    world.get(ADMIN, &path).await.ok(200)["data"].as_array().unwrap().clone()
}

/// The place of an owner and of the admin: their page, and where its form goes.
fn places(tenant: &Tenant) -> [(&str, String, String); 2] {
    let page = tenant.path("/organizations/{organization_id}");
    [("owner", "/keys".to_owned(), "/keys".to_owned()), ("admin", page.clone(), format!("{page}/keys"))]
}

#[actix_web::test]
async fn a_new_key_works_is_shown_once_and_is_never_cached() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    for (who, page, form) in places(&tenant) {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        let answer =
            browser.post(&form, &[("name", "billing"), ("role", "publisher"), ("expires_in", "30")]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let key = shown_key(&answer.text);
        let event = serde_json::json!({"event_type": "call.completed", "data": {}});
        world.post(key, "/v1/events", event).await.ok(202);
        let list = browser.get(&page).await;
        assert!(list.text.contains(&key[..12]) && !list.text.contains(key), "{}", list.text);
        assert_eq!(keys(&world, &tenant).await[0]["expires_at"], "2025-01-15T10:30:45.007Z");
        assert!(list.text.contains("Jan 15, 2025, 10:30"), "{}", list.text);
    }
}

#[actix_web::test]
async fn the_page_describes_each_role_and_preselects_none() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    for (who, page, _) in places(&tenant) {
        let text = Browser::signed_in(&world, tenant.key(who)).await.get(&page).await.text;
        for role in Role::ALL {
            let choice = format!("value=\"{}\" required>", role.as_str());
            assert!(text.contains(&choice), "{}: {text}", role.as_str());
        }
        assert!(!text.contains(" checked"), "none is chosen for the reader");
    }
}

#[actix_web::test]
async fn an_invalid_key_is_reported_at_its_fields_and_input_is_kept() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let before = keys(&world, &tenant).await;
    for (who, _, form) in places(&tenant) {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        let answer =
            browser.post(&form, &[("name", ""), ("expires_on", "2024-12-15"), ("expires_in", "90")]).await;
        assert_eq!(answer.status, 422);
        for part in [
            "id=\"name-error\"",
            "id=\"role-error\"",
            "id=\"expires_at-error\"",
            "must be in the future",
            "value=\"2024-12-15\"",
            "<option value=\"90\" selected>",
        ] {
            assert!(answer.text.contains(part), "{who}: {part} is not in {}", answer.text);
        }
        for lifetime in ["7", "forever", "-30"] {
            let answer = browser.post(&form, &[("name", "x"), ("role", "owner"), ("expires_in", lifetime)]).await;
            assert_eq!(answer.status, 422, "{lifetime}");
        }
    }
    assert_eq!(keys(&world, &tenant).await, before);
}

#[actix_web::test]
async fn a_revoked_key_disappears_and_is_refused() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    for (who, page, form) in places(&tenant) {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        let answer = browser.post(&form, &[("name", "doomed"), ("role", "viewer")]).await;
        let key = shown_key(&answer.text).to_owned();
        assert_eq!(world.get(&key, "/v1/webhooks").await.status, 200);
        let id = keys(&world, &tenant).await[0]["id"].as_str().unwrap().to_owned();
        let revoke = format!("{form}/{id}/revoke");
        assert!(browser.get(&page).await.text.contains(&format!("action=\"{revoke}\"")));
        let answer = browser.post(&revoke, &[]).await;
        assert_eq!((answer.status, answer.location()), (303, format!("{page}?done=revoked").as_str()));
        let list = browser.get(answer.location()).await.text;
        assert!(list.contains("The key was revoked") && !list.contains(&id), "{list}");
        world.get(&key, "/v1/webhooks").await.problem(401, "unauthorized");
        assert_eq!(browser.post(&revoke, &[]).await.status, 404);
    }
}

#[actix_web::test]
async fn an_owner_is_warned_before_the_key_of_the_session_is_revoked() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, tenant.key("owner")).await;
    let page = browser.get("/keys").await.text;
    assert_eq!(page.matches("your current key").count(), 1);
    let warning = page.find("You are signed in with this key").unwrap();
    let form = page[..warning].rfind("action=\"").unwrap();
    let revoke = page[form + 8..].split('"').next().unwrap().to_owned();
    let row = page[..form].rfind("<tr>").unwrap();
    assert!(page[row..form].contains(&tenant.key("owner")[..12]), "it stands at the right key");
    let answer = browser.post(&revoke, &[]).await;
    assert!(browser.get(answer.location()).await.asks_to_sign_in());
    let admin = Browser::signed_in(&world, ADMIN).await;
    let page = admin.get(&tenant.path("/organizations/{organization_id}")).await.text;
    assert!(!page.contains("You are signed in with"), "{page}");
}

#[actix_web::test]
async fn many_keys_are_paged() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    for _ in 0..60 {
        world.key(&tenant.organization, "viewer").await;
    }
    for (who, page, _) in places(&tenant) {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        let first = browser.get(&page).await.text;
        let (_, rest) = first.split_once("rel=\"next\" href=\"").unwrap();
        let second = browser.get(rest.split_once('"').unwrap().0).await;
        assert_eq!(second.status, 200);
        let rows = |text: &str| text.matches("/revoke\"").count();
        assert_eq!((rows(&first), rows(&second.text)), (50, 65 - 50), "{who}");
        assert!(second.text.contains(&format!("href=\"{page}\">← Newest")), "{}", second.text);
    }
}
