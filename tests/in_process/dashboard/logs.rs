//! The delivery log: what is listed, what is shown of a delivery, and what is sent again.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::browser::Browser;
use super::html::tags;
use crate::world::World;

const TIMES_OUT: u16 = 0;

/// An owner's browser and key, with a webhook that asks for everything.
async fn begin(world: &World) -> (Browser<'_>, String, String) {
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/hook"})).await;
    (Browser::signed_in(world, &owner).await, owner, webhook)
}

/// Publishes, and waits until the newest delivery is finished.
async fn deliver(world: &World, owner: &str, data: &str) -> String {
    let body = format!("{{\"event_type\":\"call.completed\",\"data\":{data}}}");
    world.call(owner, "POST", "/v1/events", body).await.ok(202);
    world.delivered(owner).await
}

/// Publishes an event whose receiver does not answer: it stays pending.
async fn leave_pending(world: &World, owner: &str) -> String {
    world.receivers.status.store(TIMES_OUT, Ordering::SeqCst);
    world.post(owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
    let logs = world.get(owner, "/v1/webhooks/logs?limit=1").await.ok(200);
    logs["data"][0]["id"].as_str().unwrap().to_owned()
}

fn ids(page: &str) -> Vec<String> {
    let boxes = tags(page).into_iter().filter(|tag| tag.name == "input" && tag.attribute("name") == Some("id"));
    boxes.map(|tag| tag.attribute("value").unwrap().to_owned()).collect()
}

fn is_live(page: &str) -> bool {
    tags(page).iter().any(|tag| tag.attribute("data-live").is_some())
}

#[actix_web::test]
async fn filters_become_an_address_that_means_the_same_in_every_time_zone() {
    let world = World::new().await;
    let (browser, owner, webhook) = begin(&world).await;
    let id = deliver(&world, &owner, "{}").await;
    let sent = "/logs?status=success&event_type=&webhook_id=&response_code=2xx&from=2024-12-16T10:00&to=";
    let answer = browser.get(sent).await;
    let expected = "/logs?status=success&response_code=2xx&from=2024-12-16T10%3A00%3A00.000Z";
    assert_eq!((answer.status, answer.location()), (303, expected));
    let page = browser.get(answer.location()).await;
    assert_eq!((page.status, ids(&page.text)), (200, vec![id]));
    assert!(page.text.contains("value=\"2024-12-16T10:00:00\""), "the form shows it in the reader's zone");
    assert!(is_live(&page.text));
    for none in ["/logs?status=failed", "/logs?response_code=5xx", "/logs?to=2024-12-16T10:00:00Z"] {
        assert!(browser.get(none).await.text.contains("No deliveries match these filters"), "{none}");
    }
    let webhook = webhook.rsplit_once('/').unwrap().1;
    let page = browser.get(&format!("/logs?webhook_id={webhook}")).await.text;
    assert!(page.contains(&format!("href=\"/webhooks/{webhook}#recover\"")), "{page}");
}

#[actix_web::test]
async fn an_invalid_filter_is_reported_at_its_field() {
    let world = World::new().await;
    let (browser, ..) = begin(&world).await;
    let answer = browser.get("/logs?status=done&response_code=9xx&from=x&colour=%3Cscript%3E&cursor=!").await;
    assert_eq!(answer.status, 422);
    for field in ["status-error", "response_code-error", "from-error"] {
        assert!(answer.text.contains(&format!("<div id=\"{field}\">")), "{field}: {}", answer.text);
    }
    assert!(answer.text.contains("<code>colour</code>") && answer.text.contains("<code>cursor</code>"));
    assert!(ids(&answer.text).is_empty() && !is_live(&answer.text));
}

#[actix_web::test]
async fn the_newest_page_is_live_and_paging_keeps_the_filters() {
    let world = World::new().await;
    let (browser, owner, _) = begin(&world).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.insert(0, deliver(&world, &owner, "{}").await);
    }
    let page = browser.get("/logs?limit=2&status=success").await.text;
    assert_eq!(ids(&page), all[..2]);
    let next = tags(&page)
        .iter()
        .find(|tag| tag.attribute("rel") == Some("next"))
        .unwrap()
        .attribute("href")
        .unwrap()
        .replace("&amp;", "&");
    let older = browser.get(&next).await.text;
    assert_eq!(ids(&older), all[2..]);
    assert!(is_live(&page) && !is_live(&older));
    assert!(older.contains("href=\"/logs?limit=2&amp;status=success\""), "{older}");
}

#[actix_web::test]
async fn an_empty_log_shows_the_next_step() {
    let world = World::new().await;
    let organization = world.organization("acme").await;
    for (role, offers) in [("owner", true), ("viewer", false)] {
        let browser = Browser::signed_in(&world, &world.key(&organization, role).await).await;
        let page = browser.get("/logs").await.text;
        assert!(page.contains("No deliveries yet") && page.contains("ringback trigger call.completed"));
        assert_eq!(page.contains("href=\"/webhooks/new\""), offers, "{role}");
        assert_eq!(page.contains("action=\"/logs/retry\""), offers, "{role}");
    }
}

#[actix_web::test]
async fn selected_deliveries_are_resent_and_the_others_counted() {
    let world = World::new().await;
    let (browser, owner, _) = begin(&world).await;
    let done = deliver(&world, &owner, "{}").await;
    let second = world.webhook(&owner, json!({"url": "https://example.com/second"})).await;
    deliver(&world, &owner, "{}").await;
    let rows = world.get(&owner, "/v1/webhooks/logs").await.ok(200);
    let of_second =
        rows["data"].as_array().unwrap().iter().find(|row| second.ends_with(row["webhook_id"].as_str().unwrap()));
    let gone = of_second.unwrap()["id"].as_str().unwrap().to_owned();
    world.call(&owner, "DELETE", &second, "").await.ok(204);
    let pending = leave_pending(&world, &owner).await;

    let form = [
        ("query", "limit=5&done=x"),
        ("id", &done),
        ("id", &done),
        ("id", &gone),
        ("id", &pending),
        ("id", "dlv_0000000000001"),
        ("id", "nonsense"),
    ];
    let answer = browser.post("/logs/retry", &form).await;
    assert_eq!((answer.status, answer.location()), (303, "/logs?limit=5&queued=1&pending=1&gone=1&failed=1"));
    let page = browser.get(answer.location()).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("1 delivery was queued. 1 delivery is still pending."), "{}", page.text);
    let row = world.get(&owner, &format!("/v1/webhooks/logs/{done}")).await.ok(200);
    assert_eq!(row["status"], "pending");
}

#[actix_web::test]
async fn pages_say_what_was_erased_and_send_none_of_it_again() {
    let world = World::new().await;
    let (browser, owner, _) = begin(&world).await;
    let id = deliver(&world, &owner, r#"{"name":"unforgettable"}"#).await;
    let row = world.get(&owner, &format!("/v1/webhooks/logs/{id}")).await.ok(200);
    let event = row["event_id"].as_str().unwrap();
    for erased in [format!("events/{event}/payload"), format!("webhooks/logs/{id}/attempts/1/response")] {
        world.call(&owner, "DELETE", &format!("/v1/{erased}"), "").await.ok(204);
    }
    for page in [format!("/events/{event}"), format!("/logs/{id}")] {
        let shown = browser.get(&page).await;
        assert_eq!(shown.status, 200, "{page}");
        assert!(shown.text.contains("Erased on request") && !shown.text.contains("unforgettable"), "{page}");
        assert_eq!(browser.get(&format!("{page}/payload")).await.status, 404, "{page}");
    }
    let delivery = browser.get(&format!("/logs/{id}")).await.text;
    assert!(delivery.contains("can’t be resent") && delivery.contains("were erased on request"), "{delivery}");
    let answer = browser.post(&format!("/logs/{id}/retry"), &[]).await;
    assert_eq!((answer.status, answer.location()), (303, format!("/logs/{id}?done=refused").as_str()));
    let answer = browser.post("/logs/retry", &[("id", &id)]).await;
    assert_eq!((answer.status, answer.location()), (303, "/logs?erased=1"));
    assert!(browser.get("/logs?erased=1").await.text.contains("because its payload was erased"));
    let answer = browser.post(&format!("/events/{event}/replay"), &[]).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("Nothing was resent."), "{}", answer.text);
}

#[actix_web::test]
async fn a_delivery_shows_its_payload_verbatim() {
    let data =
        r#"{"n":1e400,"big":1234567890123456789012345678901234567890,"s":"</pre><script>alert(1)</script>"}"#;
    let world = World::new().await;
    let (browser, owner, webhook) = begin(&world).await;
    let id = deliver(&world, &owner, data).await;
    let page = browser.get(&format!("/logs/{id}")).await;
    assert_eq!(page.status, 200);
    for shown in [
        "    &quot;n&quot;: 1e400,\n",
        ": 1234567890123456789012345678901234567890,\n",
        "&lt;script&gt;",
        "https://example.com/hook",
        "x-acme-signature",
        "Response body",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(page.text.contains(&webhook.replace("/v1", "")) && !is_live(&page.text));
    let whole = browser.get(&format!("/logs/{id}/payload")).await;
    assert_eq!(whole.text.as_bytes(), world.receivers.received.lock().unwrap()[0]);
    assert_eq!(whole.header("content-type"), Some("application/json"));
    assert_eq!(whole.header("content-disposition"), Some(format!("attachment; filename=\"{id}.json\"").as_str()));
}

#[actix_web::test]
async fn a_delivery_is_resent_unless_it_is_pending_and_its_page_is_live() {
    let world = World::new().await;
    let (browser, owner, webhook) = begin(&world).await;
    let id = deliver(&world, &owner, "{}").await;
    world.receivers.status.store(TIMES_OUT, Ordering::SeqCst);
    let is_offered = |page: &str| {
        let buttons = tags(page).into_iter().filter(|tag| tag.name == "button" && tag.text == "Resend");
        buttons.map(|tag| tag.attribute("disabled").is_none()).collect::<Vec<_>>()
    };
    assert_eq!(is_offered(&browser.get(&format!("/logs/{id}")).await.text), [true]);
    let answer = browser.post(&format!("/logs/{id}/retry"), &[]).await;
    assert_eq!((answer.status, answer.location()), (303, format!("/logs/{id}?done=queued").as_str()));
    let page = browser.get(answer.location()).await.text;
    assert!(page.contains("Queued to be resent") && is_live(&page));
    assert_eq!(is_offered(&page), [false]);
    let answer = browser.post(&format!("/logs/{id}/retry"), &[]).await;
    assert!(browser.get(answer.location()).await.text.contains("Not resent: "));
    world.call(&owner, "DELETE", &webhook, "").await.ok(204);
    let page = browser.get(&format!("/logs/{id}")).await.text;
    assert!(page.contains("Its webhook was deleted") && !is_live(&page));
    assert_eq!(is_offered(&page), [false]);
}
