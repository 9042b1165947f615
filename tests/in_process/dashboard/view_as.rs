//! The operator's view: the same pages as an organization's people see, and nothing of another organization.

use actix_web::http::Method;
use ringback::api::auth::Permission;
use ringback::dashboard::{Access, PAGES, PageSpec};
use serde_json::json;

use super::browser::Browser;
use super::form_values::body_for;
use super::html::tags;
use crate::tenant::Tenant;
use crate::world::{ADMIN, Answer, World};

/// The pages that the view has.
fn pages() -> impl Iterator<Item = &'static PageSpec> {
    PAGES
        .iter()
        .filter(|page| !matches!(page.access, Access::Open | Access::Needs(Permission::Admin | Permission::Open)))
}

fn view_of(tenant: &Tenant, page: &PageSpec) -> String {
    format!("/as/{}{}", tenant.organization, tenant.path(page.path))
}

async fn ask(browser: &Browser<'_>, page: &PageSpec, address: &str) -> Answer {
    match page.method {
        Method::GET => browser.get(address).await,
        _ => browser.post(address, body_for(page.path)).await,
    }
}

/// Checks that everything on a page leads to the view, to what is open to all, or back to the operator's pages.
fn stays_inside(answer: &Answer, tenant: &Tenant, case: &str) {
    let view = format!("/as/{}/", tenant.organization);
    let outside = ["/assets/", "/docs", "/sign-out", "/organizations/"];
    let is_fine = |address: &str| {
        address.starts_with('#') || address.starts_with(&view) || outside.iter().any(|it| address.starts_with(it))
    };
    if !answer.location().is_empty() {
        assert!(answer.location().starts_with(&view), "{case}: {}", answer.location());
    }
    if answer.header("content-type").is_none_or(|kind| !kind.starts_with("text/html")) {
        return;
    }
    for tag in tags(&answer.text) {
        for name in ["href", "action", "formaction", "hx-get", "hx-post"] {
            if let Some(address) = tag.attribute(name) {
                assert!(is_fine(address), "{case}: <{} {name}={address}>", tag.name);
            }
        }
    }
}

#[actix_web::test]
async fn every_page_of_an_organization_opens_for_the_operator_and_leads_only_inside() {
    for page in pages() {
        let world = World::new().await;
        let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
        let before = stranger.everything(&world).await;
        let browser = Browser::signed_in(&world, ADMIN).await;
        let answer = ask(&browser, page, &view_of(&tenant, page)).await;
        let case = format!("{} {} → {} {}", page.method, page.path, answer.status, answer.text);
        assert!(matches!(answer.status, 200 | 303 | 422), "{case}");
        assert!(!answer.asks_to_sign_in(), "{case}");
        stays_inside(&answer, &tenant, &case);
        for foreign in [&stranger.organization, &stranger.webhook] {
            assert!(!answer.text.contains(foreign.as_str()), "{case}");
        }
        if answer.text.starts_with("<!DOCTYPE") {
            assert!(answer.text.contains("class=\"viewing\""), "{case}");
        }
        // every change is one of the organization that is viewed
        let all = ["/v1/webhooks", "/v1/events", "/v1/webhooks/logs", "/v1/event-types"];
        let mut of_stranger = String::new();
        for path in all {
            of_stranger.push_str(&world.get(stranger.key("owner"), path).await.ok(200).to_string());
        }
        assert!(before.starts_with(&of_stranger), "{case}");
    }
}

#[actix_web::test]
async fn what_another_organization_has_is_not_in_the_view() {
    let world = World::new().await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    let before = stranger.everything(&world).await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    for page in pages().filter(|page| page.path.contains('{')) {
        let address = format!("/as/{}{}", tenant.organization, stranger.path(page.path));
        let answer = ask(&browser, page, &address).await;
        assert_eq!(answer.status, 404, "{} {}: {}", page.method, page.path, answer.text);
    }
    assert_eq!(stranger.everything(&world).await, before);
    for nothing in ["/as/org_0000000000001/", "/as/x/webhooks", "/as/org_0000000000001/keys"] {
        assert_eq!(browser.get(nothing).await.status, 404, "{nothing}");
    }
}

#[actix_web::test]
async fn nobody_but_an_operator_has_the_view_and_nobody_learns_which_organizations_there_are() {
    let world = World::new().await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    let before = tenant.everything(&world).await;
    for role in ["viewer", "manager", "owner"] {
        for of in [&tenant, &stranger] {
            let browser = Browser::signed_in(&world, of.key(role)).await;
            for page in pages() {
                let answer = ask(&browser, page, &view_of(&tenant, page)).await;
                assert_eq!(answer.status, 403, "{role}: {} {}", page.method, page.path);
                let nowhere = view_of(&tenant, page).replace(&tenant.organization, "org_0000000000001");
                let of_nothing = ask(&browser, page, &nowhere).await;
                assert_eq!((of_nothing.status, of_nothing.text), (403, answer.text), "{role}: {}", page.path);
            }
        }
    }
    let nobody = Browser::new(&world);
    for page in pages() {
        assert!(ask(&nobody, page, &view_of(&tenant, page)).await.asks_to_sign_in(), "{}", page.path);
    }
    assert_eq!(tenant.everything(&world).await, before);
}

#[actix_web::test]
async fn a_deployment_key_with_the_role_admin_has_the_view_too() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, &world.deployment_key("admin").await).await;
    let view = format!("/as/{}", tenant.organization);
    let page = browser.get(&format!("{view}/webhooks")).await;
    assert!(page.text.contains(&tenant.webhook), "{}", page.text);
    let form = [("url", "https://example.com/another")];
    let added = browser.post(&format!("{view}/webhooks"), &form).await;
    assert!(added.location().starts_with(&format!("{view}/webhooks/wh_")), "{} {}", added.status, added.text);
    let webhooks = world.get(tenant.key("owner"), "/v1/webhooks").await.ok(200);
    assert_eq!(webhooks["data"].as_array().map(Vec::len), Some(2), "{webhooks}");
    // from another site nothing is changed, as everywhere
    let foreign = [("sec-fetch-site", "cross-site")];
    let refused = browser.send("POST", &format!("{view}/event-types"), &foreign, "name=a.b").await;
    assert_eq!(refused.status, 403);
}

#[actix_web::test]
async fn the_view_begins_and_ends_at_the_page_of_the_organization() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let page = tenant.path("/organizations/{organization_id}");
    let shown = browser.get(&page).await.text;
    assert!(!shown.contains("class=\"viewing\""), "{shown}");
    let entrance = format!("/as/{}/", tenant.organization);
    assert!(shown.contains(&format!("href=\"{entrance}\"")), "{shown}");
    let overview = browser.get(&entrance).await.text;
    let bar = overview.split("class=\"viewing\"").nth(1).and_then(|rest| rest.split("</aside>").next()).unwrap();
    assert!(bar.contains("acme") && bar.contains(&format!("href=\"{page}\"")), "{bar}");
    // what a person typed never becomes a link
    let owner = tenant.key("owner");
    let hostile = json!({"url": "https://example.com/", "description": "\" href=\"/keys\" x=\""});
    world.webhook(owner, hostile).await;
    let list = browser.get(&format!("{entrance}webhooks")).await.text;
    assert!(list.contains("&quot; href=&quot;/keys&quot; x=&quot;"), "{list}");
}
