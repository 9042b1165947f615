//! From a broken webhook to a recovered one: what the overview and the webhook's page say at each step.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::browser::Browser;
use super::webhooks::{health, publish};
use crate::world::World;

/// The page without its tags.
fn words(page: &str) -> String {
    let mut text = String::new();
    for (place, part) in page.split('<').enumerate() {
        text.push_str(if place == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) });
    }
    text
}

#[actix_web::test]
async fn a_broken_webhook_is_named_with_its_reason_what_waits_and_what_failed_until_it_is_recovered() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    assert!(browser.get("/").await.text.contains("Nothing needs attention"));
    let settings = json!({"url": "https://example.com/hook", "max_in_flight": 1, "retry": 0});
    let webhook = world.webhook(&owner, settings).await;
    let page = webhook.replace("/v1", "");
    world.receivers.status.store(500, Ordering::SeqCst);
    publish(&world, &owner, 20).await;
    health(&world, &owner, &webhook, |it| it["breaker"]["state"] == "open" && it["pending"] == 12).await;
    world.clock.advance(Duration::from_secs(1));

    let overview = browser.get("/").await.text;
    let said = words(&overview);
    assert!(said.contains("https://example.com/hookpaused"), "{said}");
    assert!(said.contains("answers 500 since 10:30 · 12 waiting until 10:30 · 8 failed"), "{said}");
    assert!(overview.contains("href=\"/webhooks?state=paused\""), "{overview}");
    let list = browser.get("/webhooks?state=paused").await.text;
    assert!(list.contains("https://example.com/hook") && list.contains("Show all webhooks"), "{list}");
    assert!(browser.get("/webhooks?state=healthy").await.text.contains("No webhook is in this state now."));

    let shown = browser.get(&page).await.text;
    let said = words(&shown);
    assert!(said.contains("This webhook answers 500 since 10:30"), "{said}");
    assert!(
        said.contains("Its response begins with ok") && said.contains("12 deliveries wait until 10:30"),
        "{said}"
    );
    assert!(said.contains("8 deliveries failed for good since it broke."), "{said}");
    assert!(said.contains("Recover what failed since it broke") && said.contains("Resend 8"), "{said}");
    let first = ["id=\"condition\"", "id=\"last-failure\"", "class=\"tiles\"", "id=\"recover\""];
    assert!(first.map(|part| shown.find(part).unwrap_or_else(|| panic!("no {part}"))).is_sorted());

    // repaired: a test says so, and leads on
    world.receivers.status.store(200, Ordering::SeqCst);
    let form = [("event_type", "call.completed"), ("data", "{}")];
    let tested = browser.post(&format!("{page}/test"), &form).await.text;
    assert!(tested.contains("The receiver works again") && tested.contains("Recover what failed…"), "{tested}");
    let recover =
        tested.split(&format!("href=\"{page}/recover?")).nth(1).and_then(|it| it.split('"').next()).unwrap();
    health(&world, &owner, &webhook, |it| it["state"] == "healthy" && it["pending"] == 0).await;
    let counted = browser.get(&format!("{page}/recover?{}", recover.replace("&amp;", "&"))).await.text;
    assert!(words(&counted).contains("8 deliveries between"), "{counted}");
    // and so does its page, although it works again
    let after = words(&browser.get(&page).await.text);
    assert!(after.contains("Recover what failed since it broke") && after.contains("Resend 8"), "{after}");
    assert!(words(&browser.get("/").await.text).contains("answered 500 · 8 failed"));
    // until it is done
    let range = [("since", "2024-12-16T10:00:00Z"), ("until", "2024-12-16T11:00:00Z"), ("status", "failed")];
    let sent = browser.post(&format!("{page}/recover"), &range).await;
    assert!(sent.location().ends_with("?done=recovered&count=8"), "{}", sent.location());
    health(&world, &owner, &webhook, |it| it["pending"] == 0 && it["last_1h"]["attempts"] == 29).await;
    assert!(browser.get("/").await.text.contains("Nothing needs attention"));
    assert!(!browser.get(&page).await.text.contains("Recover what failed since it broke"));
}

#[actix_web::test]
async fn a_webhook_that_waits_for_its_own_rate_limit_is_behind_and_not_failing() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let limit = json!({"per_second": 0.5, "burst": 1});
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/slow", "rate_limit": limit})).await;
    publish(&world, &owner, 40).await;
    health(&world, &owner, &webhook, |it| it["pending"] == 40).await;
    world.clock.advance(Duration::from_secs(1));
    let overview = words(&browser.get("/").await.text);
    let expected = "Waits for its own rate limit · 40 deliveries waiting, the oldest from";
    assert!(overview.contains(expected) && overview.contains("done in about 1 min 20 s"), "{overview}");
    let page = words(&browser.get(&webhook.replace("/v1", "")).await.text);
    assert!(
        page.contains("It works, and waits for its own rate limit of 0.5 per second: 40 deliveries pending"),
        "{page}"
    );
    assert!(page.contains("done in about 1 min 20 s") && !page.contains("failing"), "{page}");
}

#[actix_web::test]
async fn failed_deliveries_of_webhooks_that_work_are_told_by_webhook_and_reason() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/hook"})).await;
    for status in [404, 404, 400, 200] {
        world.receivers.status.store(status, Ordering::SeqCst);
        publish(&world, &owner, 1).await;
        health(&world, &owner, &webhook, |it| it["pending"] == 0).await;
    }
    health(&world, &owner, &webhook, |it| it["state"] == "healthy").await;
    let overview = browser.get("/").await.text;
    let said = words(&overview);
    assert!(said.contains("answered 404 · 2 failed") && said.contains("answered 400 · 1 failed"), "{said}");
    let id = webhook.rsplit_once('/').unwrap().1;
    let query = format!("href=\"/logs?status=failed&amp;webhook_id={id}&amp;from=");
    assert!(overview.contains(&query), "{overview}");
}
