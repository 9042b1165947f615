//! What the deployment's admin does.

use test_support::engine::ADMIN_KEY;

use crate::browser::{button, css, field, link};
use crate::browser_on;
use crate::site::Site;

#[test]
fn the_admin_adds_an_organization_creates_its_first_key_and_deletes_it() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    browser.reads(&css("h1"), "Organizations");
    browser.has(&link("dev"));
    assert_eq!(browser.count(&css("nav a[href='/webhooks']")), 0, "the admin has no webhooks");
    browser.click(&button("Add"));
    browser.has(&css("#name-error"));
    browser.fill(&field("Name"), "Hooli");
    browser.click(&button("Add"));
    browser.arrive("/organizations/org_");
    browser.reads(&css("h1"), "Hooli");

    browser.fill(&field("Name"), "the first");
    browser.click(&field("owner"));
    browser.click(&button("Create key"));
    let key = browser.text(&css("#new-key"));
    site.admin().with_key(&key).get("/v1/webhooks").expect(200);

    browser.click(&link("I have copied it"));
    browser.click(&css("summary"));
    browser.fill(&field("Type “Hooli” to confirm"), "Holy");
    browser.click(&button("Delete organization"));
    browser.reads(&css("#confirm-error"), "nothing was deleted");
    browser.fill(&field("Type “Hooli” to confirm"), "Hooli");
    browser.click(&button("Delete organization"));
    browser.arrive("/organizations?done=deleted");
    browser.sees_no("Hooli");
    site.admin().with_key(&key).get("/v1/webhooks").expect(401);
}
