//! A webhook's page and the overview: what just happened is there at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::Browser;
use super::html::tags;
use crate::world::{World, eventually};

const TIMES_OUT: u16 = 0;

pub(super) async fn publish(world: &World, owner: &str, times: usize) {
    for _ in 0..times {
        world.post(owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
    }
}

/// Asks until the webhook's health is as wanted.
pub(super) async fn health(
    world: &World,
    owner: &str,
    webhook: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("{webhook}/health");
    eventually("the webhook's health is as wanted", async || {
        Some(world.get(owner, &path).await.ok(200)).filter(|health| is_wanted(health))
    })
    .await
}

fn page_of(webhook: &str) -> String {
    webhook.replace("/v1", "")
}

#[actix_web::test]
async fn the_first_delivery_is_counted_on_the_overview_and_in_the_list_at_once() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/hook"})).await;
    assert!(browser.get("/").await.text.contains("No attempts in this period"));
    publish(&world, &owner, 1).await;
    world.delivered(&owner).await;
    health(&world, &owner, &webhook, |health| health["last_1h"]["attempts"] == 1).await;
    for range in ["1h", "24h", "7d"] {
        let overview = browser.get(&format!("/?range={range}")).await.text;
        assert!(!overview.contains("No attempts in this period"), "{range}");
        assert!(
            overview.contains("<div class=\"label\">Delivered</div><div class=\"value\">1</div>"),
            "{overview}"
        );
    }
    let list = browser.get("/webhooks").await.text;
    assert!(list.contains("100 %") && !list.contains(">none<"), "{list}");
    // a stranger sees nothing of it
    let stranger = Browser::signed_in(&world, &world.owner().await).await;
    assert!(stranger.get("/").await.text.contains("No attempts in this period"));
}

#[actix_web::test]
async fn a_failing_webhook_shows_why_while_its_deliveries_wait() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/hook", "max_in_flight": 1})).await;
    world.receivers.status.store(500, Ordering::SeqCst);
    for _ in 0..30 {
        publish(&world, &owner, 1).await;
    }
    let seen = health(&world, &owner, &webhook, |health| health["breaker"]["state"] == "open").await;
    assert_eq!(seen["pending"], 30, "{seen}");
    let delivery = seen["last_failure"]["delivery_id"].as_str().unwrap().to_owned();
    let page = browser.get(&page_of(&webhook)).await.text;
    assert!(page.contains("Last failure: <code>500</code>"), "{page}");
    assert!(page.contains("The receiver reports that it failed."), "{page}");
    assert!(page.contains(&format!("href=\"/logs/{delivery}\"")), "{page}");
    assert!(page.contains("8 attempts, 8 failed"), "{page}");
    assert!(!page.contains("no attempts"), "{page}");
    // what was attempted stands before what was not
    let first = page.find("<tbody>").map(|at| &page[at..]).unwrap();
    let first_link = tags(first).into_iter().find_map(|tag| tag.attribute("href").map(str::to_owned));
    assert_eq!(first_link, Some(format!("/logs/{delivery}")));
    let overview = browser.get("/").await.text;
    assert!(overview.contains("8 failed attempts"), "{overview}");
    assert!(!overview.contains("No attempts in this period"));
}

#[actix_web::test]
async fn an_attempt_without_a_response_shows_its_error_in_words_even_for_a_test_event() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/hook"})).await;
    let page = page_of(&webhook);
    assert!(!browser.get(&page).await.text.contains("Last failure"));
    world.receivers.status.store(TIMES_OUT, Ordering::SeqCst);
    let tested = world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("Last failure: <span class=\"break\">timeout</span>"), "{shown}");
    assert!(shown.contains("No response within the webhook's timeout."), "{shown}");
    let delivery = tested["delivery_id"].as_str().unwrap();
    let log = browser.get(&format!("/logs/{delivery}")).await.text;
    assert!(log.contains("retries are exhausted, or it was a test event"), "{log}");
    assert!(!log.contains("last attempt"), "{log}");
    // a success does not hide what failed before
    world.receivers.status.store(200, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(1));
    world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    assert!(browser.get(&page).await.text.contains("Last failure"));
    let list = browser.get("/webhooks").await.text;
    assert!(list.contains("50.0 %"), "{list}");
}

#[actix_web::test]
async fn a_rotated_secret_stays_valid_for_the_chosen_overlap() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let webhook = page_of(&world.webhook(&owner, json!({"url": "https://example.com/hook"})).await);
    for (chosen, expected) in [("86400", "in 24 h"), ("3600", "in 1 h"), ("604800", "in 7 d")] {
        browser.post(&format!("{webhook}/rotate"), &[("overlap", chosen)]).await;
        world.clock.advance(Duration::from_millis(1_300));
        let shown = browser.get(&webhook).await.text;
        assert!(shown.contains(&format!(">{expected}<")), "{expected}");
    }
}

#[actix_web::test]
async fn a_webhook_can_be_made_with_a_private_key_and_shows_the_public_one_to_whoever_manages_it() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let form = browser.get("/webhooks/new").await.text;
    assert!(form.contains("name=\"signature\""), "{form}");
    let fields = [("url", "https://example.com/hook"), ("active", "on"), ("signature", "ed25519")];
    let made = browser.post("/webhooks", &fields).await;
    let page = browser.get(made.location()).await.text;
    let listed = world.get(&owner, "/v1/webhooks").await.ok(200)["data"][0].clone();
    let (id, public) = (listed["id"].as_str().unwrap(), listed["public_key"].as_str().unwrap());
    assert!(page.contains(public) && page.contains(&format!("/.well-known/webhook-keys/{id}")), "{page}");
    assert!(!page.contains("whsk_") && !page.contains("whsec_"), "{page}");

    browser.post(&format!("/webhooks/{id}/rotate"), &[("overlap", "3600"), ("signature", "hmac")]).await;
    let changed = world.get(&owner, &format!("/v1/webhooks/{id}")).await.ok(200);
    assert_eq!((&changed["signature"], &changed["public_key"]), (&json!("hmac"), &Value::Null));

    let both = [
        ("url", "https://example.com/hook"),
        ("signature", "ed25519"),
        ("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    let refused = browser.post("/webhooks", &both).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("not together with the signature ed25519"), "{}", refused.text);
}
