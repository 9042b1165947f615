//! Event types: the built-in ones, and an organization's own.

use serde_json::json;

use crate::browser::{button, css, field, link};
use crate::browser_on;
use crate::site::Site;

#[test]
fn an_own_type_is_added_with_a_schema_published_and_deleted() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.click(&link("Event types"));
    browser.sees("call.completed");
    browser.fill(&field("Name"), "Not A Name");
    browser.fill(&field("Schema"), "{\n  \"type\":\n");
    browser.click(&button("Add event type"));
    browser.has(&css("#name-error"));
    browser.reads(&css("#schema-error"), "is not JSON");
    assert_eq!(browser.ask(&field("Name"), "it.value"), "Not A Name", "what was typed is lost");
    browser.fill(&field("Name"), "invoice.paid");
    browser.fill(&field("Schema"), "{\"required\": [\"number\"], \"examples\": [{\"number\": \"2026-1\"}]}");
    browser.click(&button("Add event type"));
    browser.reads(&css("#done"), "The event type was added.");
    let event = |data| json!({"event_type": "invoice.paid", "data": data});
    site.owner.post("/v1/events", &event(json!({}))).expect(422);
    site.owner.post("/v1/events", &event(json!({"number": "2026-2"}))).expect(202);
    browser.click(&button("Delete invoice.paid"));
    browser.click(&button("Delete event type"));
    browser.reads(&css("#done"), "The event type was deleted.");
    site.owner.post("/v1/events", &event(json!({"number": "2026-3"}))).expect(422);
}
