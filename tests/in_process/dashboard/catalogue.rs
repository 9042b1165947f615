//! The catalogue: the operator adds, changes, archives and removes what all organizations can publish.

use serde_json::{Value, json};

use super::browser::Browser;
use crate::world::{ADMIN, World};

async fn known(world: &World, name: &str) -> Option<Value> {
    let list = world.get(ADMIN, "/v1/catalogue/event-types").await.ok(200);
    list["data"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned()
}

#[actix_web::test]
async fn a_type_is_added_changed_archived_restored_and_removed() {
    let world = World::new().await;
    let owner = world.owner().await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let form = [
        ("name", "invoice.paid"),
        ("description", "Somebody paid"),
        ("schema", "{\"type\": \"object\", \"required\": [\"n\"], \"examples\": [{\"n\": 1}]}"),
    ];
    assert_eq!(browser.post("/catalogue", &form).await.location(), "/catalogue?done=added");
    let event = json!({"event_type": "invoice.paid", "data": {"n": 1}});
    world.post(&owner, "/v1/events", event.clone()).await.ok(202);
    // what is shown and not touched stays as it is: the sample is an example of the schema
    let page = browser.get("/catalogue/invoice.paid").await.text;
    assert!(page.contains("Somebody paid") && page.contains("&quot;required&quot;"), "{page}");
    let shown = "{\r\n  \"n\": 1\r\n}";
    let changed = [("description", "An invoice was paid"), ("schema", ""), ("sample", shown)];
    assert_eq!(browser.post("/catalogue/invoice.paid", &changed).await.location(), "/catalogue?done=saved");
    let now = known(&world, "invoice.paid").await.unwrap();
    assert_eq!((&now["description"], &now["schema"]), (&json!("An invoice was paid"), &Value::Null));
    assert_eq!(now["sample"], json!({}), "the sample was one of the schema");
    for (archived, done) in [("true", "archived"), ("false", "restored")] {
        let answer = browser.post("/catalogue/invoice.paid/archive", &[("archived", archived)]).await;
        assert_eq!(answer.location(), format!("/catalogue?done={done}"));
        assert_eq!(known(&world, "invoice.paid").await.unwrap()["archived"], archived == "true");
    }
    assert_eq!(browser.post("/catalogue/invoice.paid/remove", &[]).await.location(), "/catalogue?done=removed");
    assert_eq!(known(&world, "invoice.paid").await, None);
    world.post(&owner, "/v1/events", event).await.problem(422, "unknown_event_type");
}

#[actix_web::test]
async fn a_removed_built_in_type_can_be_restored() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    browser.post("/catalogue/call.failed/remove", &[]).await;
    assert_eq!(known(&world, "call.failed").await, None);
    let page = browser.get("/catalogue").await.text;
    assert!(page.contains("aria-label=\"Restore call.failed\""), "{page}");
    browser.post("/catalogue", &[("name", "call.failed"), ("description", "Call failed")]).await;
    let restored = known(&world, "call.failed").await.unwrap();
    assert!(restored["sample"]["id"].is_string(), "{restored}");
}

#[actix_web::test]
async fn every_error_is_shown_at_its_field_and_no_input_is_lost() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let form = [("name", "Not a name"), ("schema", "{\n\nx"), ("sample", "[]")];
    let answer = browser.post("/catalogue", &form).await;
    assert_eq!(answer.status, 422);
    for part in
        ["id=\"name-error\"", "id=\"schema-error\"", "is not JSON", "line 3", "id=\"sample-error\"", "Not a name"]
    {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    let answer = browser.post("/catalogue/call.failed", &[("sample", "{")]).await;
    assert!(answer.status == 422 && answer.text.contains("is not JSON"), "{}", answer.text);
}
