//! The operator's catalogue and deployment keys.

use serde_json::json;
use test_support::engine::ADMIN_KEY;

use crate::accessibility;
use crate::browser::{WIDTHS, button, css, field, link};
use crate::browser_on;
use crate::site::Site;

#[test]
fn the_operator_adds_changes_archives_and_removes_an_event_type_of_all_organizations() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    browser.click(&link("Catalogue"));
    browser.fill(&field("Name"), "parcel.sent");
    browser.fill(&field("Description"), "A parcel left");
    browser.fill(&field("Schema"), "{\"type\": ");
    browser.click(&css("#add button.primary"));
    browser.reads(&css("#schema-error"), "is not JSON");
    browser.fill(&field("Schema"), "{\"type\": \"object\", \"required\": [\"n\"]}");
    browser.fill(&field("Sample data"), "{\"n\": 1}");
    browser.click(&css("#add button.primary"));
    browser.reads(&css("#done"), "The event type was added.");
    site.publish("parcel.sent", &json!({"n": 2}));
    browser.click(&css("[aria-label='Edit parcel.sent']"));
    browser.fill(&field("Description"), "A parcel was sent");
    browser.click(&button("Save changes"));
    browser.reads(&css("#done"), "The event type was changed.");
    browser.sees("A parcel was sent");
    browser.click(&button("Archive parcel.sent"));
    browser.reads(&css("#done"), "was archived");
    browser.click(&button("Restore parcel.sent"));
    browser.reads(&css("#done"), "offered again");
    browser.click(&button("Remove parcel.sent"));
    accessibility::check(&browser, "the question before a removal");
    browser.click(&button("Remove event type"));
    browser.reads(&css("#done"), "The event type was removed.");
    browser.sees_no("parcel.sent");
    for width in WIDTHS {
        browser.resize(width);
        browser.fits();
    }
}

#[test]
fn a_deployment_key_is_made_and_revoked() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    browser.click(&link("Deployment keys"));
    browser.fill(&field("Name"), "backend");
    browser.click(&css("input[value=admin]"));
    browser.click(&button("Create key"));
    let key = browser.text(&css("#new-key"));
    browser.click(&link("I have copied it"));
    browser.sees("backend");
    site.admin().with_key(&key).get("/v1/organizations").expect(200);
    browser.click(&button("Revoke backend"));
    browser.click(&button("Revoke key"));
    browser.reads(&css("#done"), "The key was revoked.");
}
