//! What forms do, whoever sends them from wherever.

use actix_web::http::Method;
use ringback::dashboard::PAGES;
use serde_json::json;

use super::browser::{Browser, encoded};
use super::form_values::body_for;
use crate::tenant::Tenant;
use crate::world::{ADMIN, World, eventually};

const FROM_ELSEWHERE: &[&[(&str, &str)]] = &[
    &[],
    &[("host", "hooks.example.com")],
    &[("origin", "https://evil.example"), ("host", "hooks.example.com")],
    &[("origin", "null"), ("host", "hooks.example.com")],
    &[("referer", "https://hooks.example.com/"), ("host", "hooks.example.com")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "cross-site"), ("origin", "https://hooks.example.com"), ("host", "hooks.example.com")],
];

#[actix_web::test]
async fn a_form_that_was_not_sent_from_the_dashboard_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let before = tenant.everything(&world).await;
    for who in ["owner", "admin"] {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        for page in PAGES.iter().filter(|page| page.method != Method::GET) {
            for headers in FROM_ELSEWHERE {
                let body = encoded(body_for(page.path));
                let answer = browser.send("POST", &tenant.path(page.path), headers, &body).await;
                assert_eq!(answer.status, 403, "{} {headers:?}", page.path);
                assert!(answer.text.contains("was not sent from the dashboard"), "{}", answer.text);
                assert_eq!(answer.header("set-cookie"), None);
            }
        }
        assert!(!browser.get("/").await.asks_to_sign_in(), "and nobody was signed out");
    }
    assert_eq!(tenant.everything(&world).await, before);
}

#[actix_web::test]
async fn an_old_browser_that_sends_only_the_origin_can_send_forms() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, tenant.key("owner")).await;
    let headers = &[("origin", "https://hooks.example.com"), ("host", "hooks.example.com")];
    let answer = browser.send("POST", "/event-types", headers, &encoded(&[("name", "invoice.sent")])).await;
    assert_eq!((answer.status, answer.location()), (303, "/event-types?done=added"));
}

#[actix_web::test]
async fn a_session_gives_no_access_to_the_api() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    browser.get("/v1/organizations").await.problem(401, "unauthorized");
}

#[actix_web::test]
async fn user_input_is_escaped() {
    const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let world = World::new().await;
    let organization = world.organization(SCRIPT).await;
    let owner = world.key(&organization, "owner").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    world.post(ADMIN, &keys, json!({"name": SCRIPT, "role": "viewer"})).await.ok(201);
    let schema = json!({"type": "object", "description": SCRIPT, "examples": [{"x": SCRIPT}]});
    let event_type = json!({"name": "invoice.paid", "description": SCRIPT, "schema": schema});
    world.post(&owner, "/v1/event-types", event_type).await.ok(201);
    let webhook = json!({"url": "https://example.com/?<script>alert(1)</script>", "description": SCRIPT,
        "headers": {"x-a": SCRIPT}, "filters": {"data.x": SCRIPT}});
    world.webhook(&owner, webhook).await;
    let event = json!({"event_type": "invoice.paid", "data": {"x": SCRIPT}});
    world.post(&owner, "/v1/events", event).await.ok(202);

    let (owner, admin) = (Browser::signed_in(&world, &owner).await, Browser::signed_in(&world, ADMIN).await);
    let own = format!("/organizations/{organization}");
    let mut pages = Vec::new();
    for page in PAGES.iter().filter(|page| page.method == Method::GET && !page.path.contains('{')) {
        pages.push(owner.get(page.path).await);
        pages.push(admin.get(page.path).await);
    }
    let shown = pages.len();
    pages.push(admin.get(&own).await);
    pages.push(owner.post("/keys", &[("name", SCRIPT), ("role", "viewer")]).await);
    pages.push(
        owner
            .post("/keys", &[("name", SCRIPT), ("role", SCRIPT), ("expires_on", SCRIPT), ("expires_in", SCRIPT)])
            .await,
    );
    pages.push(owner.post("/event-types", &[("name", SCRIPT), ("description", SCRIPT), ("schema", SCRIPT)]).await);
    pages.push(admin.post(&format!("{own}/delete"), &[("confirm", SCRIPT)]).await);
    pages.push(admin.post(&format!("{own}/delete"), &[("confirm", "no")]).await);
    pages.push(admin.post("/organizations", &[("name", &format!("{SCRIPT}\u{1}"))]).await);
    pages.push(owner.get("/sign-in?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&ticket=%3Cscript%3E").await);
    pages.push(Browser::new(&world).get("/sign-in?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await);
    for page in &pages {
        assert!(!page.text.contains("<script>"), "{}", page.text);
        assert!(!page.text.contains("<img"), "{}", page.text);
    }
    let escaped = pages.iter().filter(|page| page.text.contains("&lt;script&gt;alert(1)")).count();
    assert!(escaped >= 8, "the texts were shown on {escaped} of {} pages and {shown} lists", pages.len());
}

#[actix_web::test]
async fn the_name_of_an_organization_is_typed_before_it_is_deleted() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let admin = Browser::signed_in(&world, ADMIN).await;
    let page = tenant.path("/organizations/{organization_id}");
    for wrong in [&[][..], &[("confirm", "")], &[("confirm", "Acme")], &[("confirm", "acme2")]] {
        let answer = admin.post(&format!("{page}/delete"), wrong).await;
        assert_eq!(answer.status, 422);
        assert!(
            answer.text.contains("does not match the organization's name")
                && answer.text.contains("<details class=\"more\" open>")
        );
    }
    assert_eq!(admin.get(&page).await.status, 200);
    let answer = admin.post(&format!("{page}/delete"), &[("confirm", " acme ")]).await;
    assert_eq!((answer.status, answer.location()), (303, "/organizations?done=deleted"));
    assert!(
        admin.get(answer.location()).await.text.contains("The organization and everything in it were deleted.")
    );
    assert_eq!(admin.get(&page).await.status, 404);
}

#[actix_web::test]
async fn an_added_organization_can_be_opened_and_a_refused_one_says_why() {
    let world = World::new().await;
    let admin = Browser::signed_in(&world, ADMIN).await;
    let answer = admin.post("/organizations", &[("name", "Acme & Söhne")]).await;
    assert_eq!(answer.status, 303);
    let page = admin.get(answer.location()).await;
    assert!(
        page.text.contains("<h1>Acme &amp; Söhne</h1>") && page.text.contains("No API keys yet"),
        "{}",
        page.text
    );
    let answer = admin.post("/organizations", &[("name", " ")]).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("id=\"name-error\""), "{}", answer.text);
}

#[actix_web::test]
async fn metrics_label_pages_by_pattern_not_by_path() {
    let render = ringback::telemetry::metrics::install_metrics();
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    for who in ["owner", "admin"] {
        let browser = Browser::signed_in(&world, tenant.key(who)).await;
        for page in PAGES {
            browser.send(page.method.as_str(), &tenant.path(page.path), &[], "").await;
        }
    }
    let metrics = render();
    let lines = metrics.lines().filter(|line| line.starts_with("ringback_http_requests_total"));
    let lines: Vec<&str> = lines.collect();
    for page in PAGES {
        let label = format!("route=\"{}\"", page.path);
        assert!(lines.iter().any(|line| line.contains(&label)), "{label} is not in {lines:#?}");
    }
    for id in ["{organization_id}", "{webhook_id}", "{event_id}", "{delivery_id}", "{key_id}", "{event_type}"] {
        let id = tenant.path(id);
        assert!(!lines.iter().any(|line| line.contains(&id)), "{id} is in {lines:#?}");
    }
}

#[actix_web::test]
async fn a_failing_webhook_can_be_resumed_by_those_who_may() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let (manager, viewer) = (
        Browser::signed_in(&world, tenant.key("manager")).await,
        Browser::signed_in(&world, tenant.key("viewer")).await,
    );
    let page = tenant.path("/webhooks/{webhook_id}");
    let button = format!("action=\"{page}/resume\"");
    assert!(!manager.get(&page).await.text.contains(&button), "it works");
    world.receivers.status.store(503, std::sync::atomic::Ordering::SeqCst);
    world
        .post(tenant.key("owner"), "/v1/events", json!({"event_type": "call.completed", "data": {}}))
        .await
        .ok(202);
    let is_offered = async || manager.get(&page).await.text.contains(&button).then_some(());
    eventually("the webhook fails", is_offered).await;
    assert!(!viewer.get(&page).await.text.contains(&button));
    world.receivers.status.store(200, std::sync::atomic::Ordering::SeqCst);
    let answer = manager.post(&format!("{page}/resume"), &[]).await;
    assert_eq!((answer.status, answer.location()), (303, format!("{page}?done=resumed&count=1").as_str()));
    let shown = manager.get(answer.location()).await.text;
    assert!(shown.contains("1 delivery no longer waits"), "{shown}");
}

#[actix_web::test]
async fn the_secret_card_lists_when_each_previous_secret_expires() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, tenant.key("manager")).await;
    let page = tenant.path("/webhooks/{webhook_id}");
    for overlap in ["86400", "3600"] {
        browser.post(&format!("{page}/rotate"), &[("overlap", overlap)]).await;
    }
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("Previous secrets are still valid"), "{shown}");
    assert!(shown.contains("in 1 h") && shown.matches("<li>until").count() == 2, "{shown}");
}
