//! Events: publishing by hand, what is shown, and sending again.

use serde_json::json;

use super::browser::Browser;
use super::html::tags;
use crate::world::World;

#[actix_web::test]
async fn a_sample_is_published_as_it_was_typed_and_its_page_is_shown() {
    let world = World::new().await;
    let owner = world.owner().await;
    world.webhook(&owner, json!({"url": "https://example.com/hook"})).await;
    let browser = Browser::signed_in(&world, &owner).await;
    assert!(browser.get("/events").await.text.contains("No events yet"));
    let page = browser.get("/events/new?event_type=call.missed").await.text;
    assert!(
        page.contains("<option value=\"call.missed\" selected>")
            && page.contains("  &quot;id&quot;: &quot;call_123456791&quot;,")
    );
    assert!(!page.contains("value=\"webhook.failing\""), "what nobody can publish is not offered");

    let data = "{\"n\": 1e400,\r\n \"m\": 1234567890123456789012345678901234567890}";
    let answer = browser.post("/events", &[("event_type", "call.missed"), ("data", data)]).await;
    assert_eq!(answer.status, 303);
    let (path, done) = answer.location().split_once('?').unwrap();
    assert_eq!(done, "done=published");
    world.delivered(&owner).await;
    let page = browser.get(answer.location()).await.text;
    assert!(page.contains("Published. The event is stored") && page.contains("&quot;n&quot;: 1e400,\n"), "{page}");
    assert!(page.contains(">example.com/hook</a>"), "{page}");
    let whole = browser.get(&format!("{path}/payload")).await.text;
    assert!(whole.ends_with(&format!(",\"data\":{data}}}")), "{whole}");
    assert!(browser.get("/events?event_type=call.missed").await.text.contains(&format!("href=\"{path}\"")));
    assert!(browser.get("/events?event_type=call.failed").await.text.contains("No events match these filters"));
}

#[actix_web::test]
async fn invalid_data_is_reported_at_its_field_and_kept() {
    let world = World::new().await;
    let owner = world.owner().await;
    let schema = json!({"type": "object", "required": ["amount"]});
    world.post(&owner, "/v1/event-types", json!({"name": "invoice.paid", "schema": schema})).await.ok(201);
    let browser = Browser::signed_in(&world, &owner).await;
    for (event_type, data, field) in [
        ("call.missed", "{\"a\":1,}", "data-error"),
        ("call.missed", "[\"a\"]", "data-error"),
        ("call.missed", "", "data-error"),
        ("call.missed", "{},\"timestamp\":\"2024-12-16T10:30:45Z\"", "data-error"),
        ("invoice.paid", "{\"a\":1}", "data-error"),
        ("no.such_type", "{\"a\":1}", "event_type-error"),
        ("webhook.failing", "{\"a\":1}", "event_type-error"),
    ] {
        let answer = browser.post("/events", &[("event_type", event_type), ("data", data)]).await;
        assert_eq!(answer.status, 422, "{data}");
        assert!(answer.text.contains(&format!("<div id=\"{field}\">")), "{data}: {}", answer.text);
        assert!(
            answer.text.contains(&format!("\n{}</textarea>", data.replace('"', "&quot;"))),
            "{data}: {}",
            answer.text
        );
    }
    assert_eq!(world.get(&owner, "/v1/events").await.ok(200)["data"], json!([]));
}

#[actix_web::test]
async fn an_event_is_resent_to_all_or_to_a_chosen_webhook() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    for path in ["a", "b"] {
        world.webhook(&owner, json!({"url": format!("https://example.com/{path}")})).await;
    }
    let event = world.post(&owner, "/v1/events", json!({"event_type": "call.missed", "data": {}})).await.ok(202);
    let page = format!("/events/{}", event["id"].as_str().unwrap());
    world.delivered(&owner).await;
    let added = world.webhook(&owner, json!({"url": "https://example.com/added"})).await;
    let added = added.rsplit_once('/').unwrap().1;
    assert!(browser.get(&page).await.text.contains("All 2 webhooks it was sent to"));

    let replay = format!("{page}/replay");
    let answer = browser.post(&replay, &[("webhook_id", "")]).await;
    assert_eq!((answer.status, answer.location()), (303, format!("{page}?queued=2").as_str()));
    assert!(browser.get(answer.location()).await.text.contains("2 deliveries are pending now."));
    let answer = browser.post(&replay, &[("webhook_id", added)]).await;
    assert_eq!(answer.location(), format!("{page}?queued=1"));
    assert!(browser.get(&page).await.text.contains("All 3 webhooks it was sent to"));
    for wrong in ["wh_0000000000001", "msg_0000000000001", "<script>"] {
        let answer = browser.post(&replay, &[("webhook_id", wrong)]).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.text.contains("Nothing was resent."), "{}", answer.text);
    }
}

#[actix_web::test]
async fn an_event_without_deliveries_offers_no_resend_to_all() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let event = world.post(&owner, "/v1/events", json!({"event_type": "call.missed", "data": {}})).await.ok(202);
    let address = format!("/events/{}", event["id"].as_str().unwrap());
    let dialogs = |page: &str| tags(page).iter().filter(|tag| tag.name == "dialog").count();
    let page = browser.get(&address).await.text;
    assert!(page.contains("Not sent to any webhook"), "{page}");
    assert!(!tags(&page).iter().any(|tag| tag.attribute("data-live").is_some()), "nothing is on its way");
    assert_eq!(dialogs(&page), 0, "there is no webhook that it could be sent to");
    world.webhook(&owner, json!({"url": "https://example.com/late"})).await;
    let page = browser.get(&address).await.text;
    assert!(
        dialogs(&page) == 1 && page.contains("https://example.com/late") && !page.contains("it was sent to"),
        "{page}"
    );
}
