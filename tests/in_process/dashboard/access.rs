//! Who may see which page: every registered page with every kind of reader.

use std::time::Duration;

use actix_web::http::Method;
use ringback::dashboard::{PAGES, PageSpec};
use serde_json::json;

use super::browser::{Browser, encoded};
use super::form_values::{body_for, missing};
use crate::tenant::Tenant;
use crate::world::{ADMIN, World};

const EVERYONE: &[&str] = &["open"];
const SIGNED_IN: &[&str] = &["viewer", "manager", "owner", "admin"];
const READERS: &[&str] = &["viewer", "manager", "owner"];
const MANAGERS: &[&str] = &["manager", "owner"];
const OWNERS: &[&str] = &["owner"];
const ADMINS: &[&str] = &["admin"];

/// What the contract says, page by page: who may see it or send its form.
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("GET", "/", SIGNED_IN),
    ("GET", "/sign-in", EVERYONE),
    ("POST", "/sign-in", EVERYONE),
    ("POST", "/sign-out", EVERYONE),
    ("GET", "/assets/{hash}/{name}", EVERYONE),
    ("GET", "/webhooks", READERS),
    ("POST", "/webhooks", MANAGERS),
    ("GET", "/webhooks/new", MANAGERS),
    ("GET", "/webhooks/preview/sample", MANAGERS),
    ("POST", "/webhooks/preview/filter", MANAGERS),
    ("POST", "/webhooks/preview/retry", MANAGERS),
    ("GET", "/webhooks/{webhook_id}", READERS),
    ("GET", "/webhooks/{webhook_id}/edit", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/edit", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/active", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/delete", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/secret", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/rotate", MANAGERS),
    ("GET", "/webhooks/{webhook_id}/test", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/test", MANAGERS),
    ("GET", "/webhooks/{webhook_id}/test/sample", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/resume", MANAGERS),
    ("GET", "/webhooks/{webhook_id}/recover", MANAGERS),
    ("POST", "/webhooks/{webhook_id}/recover", MANAGERS),
    ("GET", "/logs", READERS),
    ("POST", "/logs/retry", MANAGERS),
    ("GET", "/logs/{delivery_id}", READERS),
    ("GET", "/logs/{delivery_id}/payload", READERS),
    ("POST", "/logs/{delivery_id}/retry", MANAGERS),
    ("GET", "/events", READERS),
    ("POST", "/events", OWNERS),
    ("GET", "/events/new", OWNERS),
    ("GET", "/events/{event_id}", READERS),
    ("GET", "/events/{event_id}/payload", READERS),
    ("POST", "/events/{event_id}/replay", MANAGERS),
    ("GET", "/event-types", READERS),
    ("POST", "/event-types", MANAGERS),
    ("POST", "/event-types/{event_type}/delete", MANAGERS),
    ("GET", "/changes", &["owner", "admin"]),
    ("GET", "/keys", OWNERS),
    ("POST", "/keys", OWNERS),
    ("POST", "/keys/{key_id}/revoke", OWNERS),
    ("GET", "/search", READERS),
    ("GET", "/catalogue", ADMINS),
    ("POST", "/catalogue", ADMINS),
    ("GET", "/catalogue/{catalogue_type}", ADMINS),
    ("POST", "/catalogue/{catalogue_type}", ADMINS),
    ("POST", "/catalogue/{catalogue_type}/archive", ADMINS),
    ("POST", "/catalogue/{catalogue_type}/remove", ADMINS),
    ("GET", "/deployment-keys", ADMINS),
    ("POST", "/deployment-keys", ADMINS),
    ("POST", "/deployment-keys/{key_id}/revoke", ADMINS),
    ("GET", "/organizations", ADMINS),
    ("POST", "/organizations", ADMINS),
    ("GET", "/organizations/{organization_id}", ADMINS),
    ("POST", "/organizations/{organization_id}/keys", ADMINS),
    ("POST", "/organizations/{organization_id}/keys/{key_id}/revoke", ADMINS),
    ("POST", "/organizations/{organization_id}/delete", ADMINS),
    ("GET", "/usage", ADMINS),
    ("GET", "/cluster", ADMINS),
];

fn allowed(page: &PageSpec) -> &'static [&'static str] {
    let row = ALLOWED.iter().find(|(method, path, _)| *method == page.method.as_str() && *path == page.path);
    row.unwrap_or_else(|| panic!("{} {} is in no table of who may see it", page.method, page.path)).2
}

#[test]
fn the_table_of_access_lists_exactly_the_pages() {
    for page in PAGES {
        allowed(page);
    }
    assert_eq!(ALLOWED.len(), PAGES.len());
}

fn closed_pages() -> impl Iterator<Item = &'static PageSpec> {
    PAGES.iter().filter(|page| allowed(page) != EVERYONE)
}

async fn ask(browser: &Browser<'_>, page: &PageSpec, address: &str) -> crate::world::Answer {
    match page.method {
        Method::GET => browser.get(address).await,
        _ => browser.post(address, body_for(page.path)).await,
    }
}

#[actix_web::test]
async fn every_page_is_shown_only_to_those_who_may_see_it() {
    for page in closed_pages() {
        for role in ["viewer", "manager", "owner", "admin"] {
            let world = World::new().await;
            let tenant = Tenant::new(&world).await;
            let browser = Browser::signed_in(&world, tenant.key(role)).await;
            let answer = ask(&browser, page, &tenant.path(page.path)).await;
            let case = format!("{role}: {} {} → {} {}", page.method, page.path, answer.status, answer.text);
            if allowed(page).contains(&role) {
                // a form that is not filled in is complained about, but never refused
                assert!(matches!(answer.status, 200 | 303 | 422), "{case}");
                assert!(!answer.asks_to_sign_in(), "{case}");
            } else {
                assert_eq!(answer.status, 403, "{case}");
                assert!(answer.text.contains("<h1>This key can’t do that</h1>"), "{case}");
            }
        }
    }
}

#[actix_web::test]
async fn a_form_sent_without_permission_changes_nothing() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let before = tenant.everything(&world).await;
    for role in ["viewer", "manager", "owner", "admin"] {
        let browser = Browser::signed_in(&world, tenant.key(role)).await;
        for page in closed_pages().filter(|page| page.method != Method::GET && !allowed(page).contains(&role)) {
            ask(&browser, page, &tenant.path(page.path)).await;
        }
    }
    let nobody = Browser::new(&world);
    for page in closed_pages().filter(|page| page.method != Method::GET) {
        ask(&nobody, page, &tenant.path(page.path)).await;
    }
    assert_eq!(tenant.everything(&world).await, before);
}

#[actix_web::test]
async fn after_a_session_ends_a_sign_in_returns_to_the_page() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let nobody = Browser::new(&world);
    let expired = Browser::signed_in(&world, tenant.key("owner")).await;
    world.clock.advance(Duration::from_secs(12 * 3600));
    let keys = format!("/v1/organizations/{}/keys", tenant.organization);
    let doomed = world.post(ADMIN, &keys, json!({"name": "doomed", "role": "owner"})).await.ok(201);
    let revoked = Browser::signed_in(&world, doomed["key"].as_str().unwrap()).await;
    world.call(ADMIN, "DELETE", &format!("{keys}/{}", doomed["id"].as_str().unwrap()), "").await.ok(204);
    let ending = json!({"name": "ending", "role": "owner", "expires_at": "2024-12-16T23:00:00Z"});
    let ending = world.post(ADMIN, &keys, ending).await.ok(201)["key"].as_str().unwrap().to_owned();
    let ended = Browser::signed_in(&world, &ending).await;
    world.clock.advance(Duration::from_secs(3600));

    for page in closed_pages() {
        let address = tenant.path(page.path);
        for browser in [&nobody, &expired, &revoked, &ended] {
            let answer = ask(browser, page, &address).await;
            assert!(answer.asks_to_sign_in(), "{} {}: {}", page.method, page.path, answer.status);
            let next: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
            let comes_back = page.method == Method::GET && page.path != "/";
            assert_eq!(answer.location().contains(&format!("next={next}")), comes_back, "{}", answer.location());
        }
    }
    let answer = nobody.send("GET", "/keys", &[("hx-request", "true")], "").await;
    assert_eq!(answer.status, 204, "a part of a page is not replaced by the page for signing in");
    assert_eq!(answer.header("hx-redirect"), Some("/sign-in"));
}

#[actix_web::test]
async fn a_key_that_only_publishes_does_not_come_in() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::new(&world);
    let answer = browser.sign_in(tenant.key("publisher")).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("only publish"), "{}", answer.text);
    assert_eq!(answer.header("set-cookie"), None);
    for page in closed_pages() {
        assert!(ask(&browser, page, &tenant.path(page.path)).await.asks_to_sign_in(), "{}", page.path);
    }
}

#[actix_web::test]
async fn another_organizations_resources_appear_not_to_exist() {
    let world = World::new().await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    let before = tenant.everything(&world).await;
    let browser = Browser::signed_in(&world, stranger.key("owner")).await;
    for page in closed_pages().filter(|page| page.path.contains('{')) {
        let answer = ask(&browser, page, &tenant.path(page.path)).await;
        let case = format!("{} {} → {} {}", page.method, page.path, answer.status, answer.text);
        if allowed(page) == ADMINS {
            assert_eq!(answer.status, 403, "{case}");
            continue;
        }
        let of_missing = ask(&browser, page, &missing(page.path)).await;
        assert_eq!((of_missing.status, of_missing.text), (answer.status, answer.text.clone()), "{case}");
        assert_eq!(answer.status, 404, "{case}");
    }
    let own = tenant.everything(&world).await;
    assert_eq!(own, before);
}

#[actix_web::test]
async fn a_path_to_nothing_tells_the_admin_what_is_missing() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    for page in PAGES.iter().filter(|page| allowed(page) == ADMINS && page.path.contains('{')) {
        assert_eq!(ask(&browser, page, &missing(page.path)).await.status, 404, "{}", page.path);
    }
    // a key of one organization is not found under another's page
    let other = Tenant::new(&world).await;
    let mixed = page_of_key(&tenant, &other);
    assert_eq!(browser.send("POST", &mixed, super::browser::FROM_HERE, &encoded(&[])).await.status, 404);
}

fn page_of_key(of_path: &Tenant, of_key: &Tenant) -> String {
    let key = of_key.path("{key_id}");
    of_path.path("/organizations/{organization_id}/keys/KEY/revoke").replace("KEY", &key)
}

#[actix_web::test]
async fn a_role_is_not_offered_what_it_may_not_do() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let shown = async |role: &str, address: &str| {
        Browser::signed_in(&world, tenant.key(role)).await.get(address).await.text
    };
    let viewer = shown("viewer", "/event-types").await;
    assert!(!viewer.contains("action=\"/event-types") && !viewer.contains("href=\"/keys\""));
    let manager = shown("manager", "/event-types").await;
    assert!(manager.contains("action=\"/event-types\"") && manager.contains("/delete\""));
    assert!(!manager.contains("href=\"/keys\""));
    let owner = shown("owner", "/event-types").await;
    assert!(owner.contains("href=\"/keys\"") && !owner.contains("href=\"/organizations\""));
    let admin = shown("admin", "/organizations").await;
    assert!(admin.contains("href=\"/organizations\"") && !admin.contains("href=\"/keys\""));
}
