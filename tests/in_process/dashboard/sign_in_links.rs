//! Links that sign in a customer once.

use std::time::Duration;

use ringback::config::PortalSettings;
use ringback::dashboard::{Dashboard, Portal};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    a_link_opens_the_dashboard_of_its_organization_once_with_its_role,
    a_link_that_is_over_or_of_an_organization_that_is_gone_opens_nothing,
);

struct Customer {
    id: String,
    links: String,
}

async fn customer(world: &World, uid: &str) -> Customer {
    let body = json!({"name": uid, "uid": uid});
    let made = world.post(ADMIN, "/v1/organizations", body).await.ok(201);
    let id = made["id"].as_str().unwrap().to_owned();
    Customer { links: format!("/v1/organizations/{uid}/sign-in-links"), id }
}

/// Its path and query: tests have no host.
fn address(link: &Value) -> String {
    let url = link["url"].as_str().unwrap();
    let (_, path) = url.split_once("/sign-in").unwrap();
    format!("/sign-in{path}")
}

async fn a_link_opens_the_dashboard_of_its_organization_once_with_its_role(database: Database) {
    let world = World::on(database).await;
    let (acme, _other) = (customer(&world, "acme").await, customer(&world, "other").await);
    let body =
        json!({"role": "viewer", "name": "Ada <b>", "return_url": "https://example.com/settings?a=1&b=\"2\""});
    let answer = world.post(ADMIN, &acme.links, body).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let link = answer.ok(201);
    assert_eq!(link["expires_at"], "2024-12-16T10:35:45.007Z", "five minutes");
    let browser = Browser::new(&world);
    let looked = browser.send("HEAD", &address(&link), &[], "").await;
    assert_eq!((looked.status, looked.header("set-cookie")), (200, None), "whoever only looks uses nothing up");
    let entered = browser.get(&address(&link)).await;
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.contains("SameSite=Lax") && cookie.contains("HttpOnly"), "{cookie}");
    assert_eq!(browser.get(entered.location()).await.location(), "/");
    let page = browser.get("/webhooks").await;
    assert!(page.text.contains("acme") && page.text.contains("Ada &lt;b&gt;"), "{}", page.text);
    assert!(page.text.contains("href=\"https://example.com/settings?a=1&amp;b=%222%22\""), "{}", page.text);
    assert!(!page.text.contains("API keys"), "a viewer manages no keys");
    assert_eq!(browser.get("/keys").await.status, 403);
    assert_eq!(browser.post("/webhooks", &[("url", "https://example.com/")]).await.status, 403);
    assert!(!page.text.contains("other"), "nothing of another organization");
    // the second time it opens nothing, and whoever is in stays so
    let second = Browser::new(&world);
    let refused = second.get(&address(&link)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("already used") && refused.header("set-cookie").is_none(), "{}", refused.text);
    assert_eq!(browser.get("/webhooks").await.status, 200);
    world.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(browser.get("/webhooks").await.status, 303, "a working day later it is over");
}

async fn a_link_that_is_over_or_of_an_organization_that_is_gone_opens_nothing(database: Database) {
    let world = World::on(database).await;
    let acme = customer(&world, "acme").await;
    let make = async |body: Value| world.post(ADMIN, &acme.links, body).await.ok(201);
    let short = make(json!({"expires_in_seconds": 10})).await;
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(Browser::new(&world).get(&address(&short)).await.status, 422);
    for nonsense in ["/sign-in?link=x", "/sign-in?link=%00"] {
        assert_eq!(Browser::new(&world).get(nonsense).await.status, 422, "{nonsense}");
    }
    let (used, unused) = (make(json!({})).await, make(json!({})).await);
    let browser = Browser::new(&world);
    browser.get(&address(&used)).await;
    assert_eq!(browser.get("/webhooks").await.status, 200);
    world.call(ADMIN, "DELETE", &format!("/v1/organizations/{}", acme.id), "").await.ok(204);
    assert_ne!(browser.get("/webhooks").await.status, 200);
    assert_eq!(Browser::new(&world).get(&address(&unused)).await.status, 422);
    world.post(ADMIN, &acme.links, json!({})).await.problem(404, "not_found");
}

#[actix_web::test]
async fn what_a_link_can_not_be_is_named_field_by_field() {
    let world = World::new().await;
    let acme = customer(&world, "acme").await;
    let bad = json!({"role": "publisher", "expires_in_seconds": 9, "return_url": "javascript:alert(1)", "name": "", "x": 1});
    let fields = world.post(ADMIN, &acme.links, bad).await.problem(422, "validation_failed");
    assert_eq!(fields, ["expires_in_seconds", "name", "return_url", "role", "x"]);
    for url in ["//example.com", "ftp://example.com", "https://", "/path", "data:text/html,x"] {
        let body = json!({ "return_url": url });
        assert_eq!(
            world.post(ADMIN, &acme.links, body).await.problem(422, "validation_failed"),
            ["return_url"],
            "{url}"
        );
    }
    for role in ["admin", "Owner"] {
        world.post(ADMIN, &acme.links, json!({ "role": role })).await.problem(422, "validation_failed");
    }
}

#[actix_web::test]
async fn the_dashboard_bears_the_products_name_for_whoever_comes_by_a_link_and_begins_at_its_public_address() {
    let look = PortalSettings { name: Some(String::from("Acme & Co")), ..PortalSettings::default() };
    let dashboard = Dashboard::new(true).of_product(Portal::new(&look));
    let public = |options: &mut ringback::api::ApiOptions| {
        options.public_url = Some(String::from("https://hooks.acme.example"))
    };
    let world = World::with_dashboard(Database::Memory, dashboard, public).await;
    let acme = customer(&world, "acme").await;
    let link = world.post(ADMIN, &acme.links, json!({"role": "owner"})).await.ok(201);
    assert!(link["url"].as_str().unwrap().starts_with("https://hooks.acme.example/sign-in?link="), "{link}");
    let browser = Browser::new(&world);
    browser.get(&address(&link)).await;
    let page = browser.get("/webhooks").await.text;
    assert!(
        page.contains("Webhooks · Acme &amp; Co</title>") && page.contains("href=\"/\">Acme &amp; Co</a>"),
        "{page}"
    );
    assert_eq!(browser.get("/keys").await.status, 200, "an owner manages keys");
    let own = Browser::signed_in(&world, &world.key(&acme.id, "owner").await).await;
    assert!(own.get("/webhooks").await.text.contains("Webhooks · Ringback</title>"));
}
