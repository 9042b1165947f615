//! Event types: those of the document, the engine's, and the organization's own.

use ringback::domain::event_types::{BUILT_IN, OPERATIONAL};
use serde_json::json;

use super::browser::Browser;
use crate::world::World;

/// The page's part about one type.
fn item<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!("<h3><code>{name}</code></h3>")).unwrap_or_else(|| panic!("no {name}"));
    rest.split_once("</li>").unwrap().0
}

#[actix_web::test]
async fn every_type_is_shown_with_its_description_sample_and_number_of_subscriptions() {
    let world = World::new().await;
    let owner = world.owner().await;
    for events in [json!([]), json!(["call.*"]), json!(["call.completed", "webhook.disabled"])] {
        world.webhook(&owner, json!({"url": "https://example.com/", "events": events})).await;
    }
    let page = Browser::signed_in(&world, &owner).await.get("/event-types").await.text;
    for event_type in BUILT_IN.iter().chain(OPERATIONAL) {
        let item = item(&page, event_type.name);
        assert!(item.contains(event_type.description) && item.contains("<pre>{\n  &quot;"), "{item}");
    }
    for (name, asking) in [
        ("call.completed", "3 webhooks subscribe"),
        ("call.missed", "2 webhooks subscribe"),
        ("batch.failed", "1 webhook subscribes"),
        ("webhook.disabled", "1 webhook subscribes"),
        ("webhook.failing", "no webhook subscribes"),
    ] {
        assert!(item(&page, name).contains(asking), "{name}: {}", item(&page, name));
    }
    let headings = ["Custom event types", "Call events", "Data events", "Batch events", "Operational events"];
    let places: Vec<usize> =
        headings.iter().map(|heading| page.find(&format!("<h2>{heading}</h2>")).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[actix_web::test]
async fn a_type_is_added_with_its_schema_as_written_and_deleted() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, &owner).await;
    let schema = "{\r\n \"type\": \"object\", \"required\": [\"n\"], \"examples\": [{\"n\": 1.50, \"a\": 2}] }";
    let form = [("name", "invoice.paid"), ("description", "Somebody paid"), ("schema", schema)];
    let answer = browser.post("/event-types", &form).await;
    assert_eq!((answer.status, answer.location()), (303, "/event-types?done=added"));
    let page = browser.get(answer.location()).await.text;
    let own = item(&page, "invoice.paid");
    assert!(
        page.contains("The event type was added")
            && own.contains("Somebody paid")
            && own.contains("&quot;n&quot;: 1.50,\n"),
        "{own}"
    );
    let event = json!({"event_type": "invoice.paid", "data": {"m": 1}});
    world.post(&owner, "/v1/events", event).await.problem(422, "schema_violation");

    let again = browser.post("/event-types", &form).await;
    assert_eq!(again.status, 422);
    assert!(again.text.contains("there is an event type invoice.paid already"), "{}", again.text);
    assert!(again.text.contains("Somebody paid"), "what was typed in is kept");

    let answer = browser.post("/event-types/invoice.paid/delete", &[]).await;
    assert_eq!((answer.status, answer.location()), (303, "/event-types?done=deleted"));
    let page = browser.get(answer.location()).await.text;
    assert!(!page.contains("<h3><code>invoice.paid") && page.contains("No custom event types yet"));
    assert_eq!(browser.post("/event-types/invoice.paid/delete", &[]).await.status, 404);
    assert_eq!(browser.post("/event-types/call.completed/delete", &[]).await.status, 409);
}

#[actix_web::test]
async fn every_error_is_shown_at_its_field() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.owner().await).await;
    let complaint = async |name: &str, schema: &str| {
        let answer = browser.post("/event-types", &[("name", name), ("schema", schema)]).await;
        assert_eq!(answer.status, 422, "{name} {schema}");
        answer.text
    };
    let both = complaint("Not A Name", "{\n  \"type\": object\n}").await;
    assert!(both.contains("id=\"name-error\"") && both.contains("id=\"schema-error\""), "{both}");
    assert!(both.contains("is not JSON: ") && both.contains("line 2"), "{both}");
    assert!(both.contains("value=\"Not A Name\"") && both.contains("&quot;type&quot;: object"), "{both}");
    for schema in ["[]", "7", "{\"type\":\"banana\"}", "{\"$ref\":\"https://example.com/s.json\"}"] {
        let text = complaint("invoice.paid", schema).await;
        assert!(text.contains("id=\"schema-error\"") && !text.contains("id=\"name-error\""), "{schema}: {text}");
    }
    let (form, list) = (both.find("id=\"add\"").unwrap(), both.find("<h2>Custom event types</h2>").unwrap());
    assert!(form < list, "a form with errors comes first");
    assert_eq!(both.matches("id=\"add\"").count(), 1);
    let built_in = complaint("call.completed", "").await;
    assert!(built_in.contains("call.completed is in the catalogue"), "{built_in}");
    let reserved = complaint("webhook.failing", "").await;
    assert!(reserved.contains("id=\"name-error\""), "{reserved}");
}
