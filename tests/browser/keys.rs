//! An organization's API keys.

use crate::browser::{button, css, field, link};
use crate::browser_on;
use crate::site::Site;

#[test]
fn a_key_is_shown_once_works_and_ends_its_sessions_when_it_is_revoked() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.click(&link("API keys"));
    browser.fill(&field("Name"), "of a colleague");
    browser.click(&field("owner"));
    browser.click(&button("Create key"));
    let shown = browser.text(&css("#new-key"));
    let theirs = site.owner.with_key(&shown);
    theirs.get("/v1/webhooks").expect(200);
    browser.allow_the_clipboard();
    browser.click(&button(&format!("Copy {shown}")));
    browser.has(&button("Copied"));
    assert_eq!(browser.value("navigator.clipboard.readText()"), shown);
    browser.click(&link("I have copied it"));
    browser.has(&css("td"));
    browser.sees_no(&shown);

    browser.click(&button("Sign out"));
    browser.sign_in(&shown);
    browser.reads(&css("h1"), "Overview");
    let keys = site.owner.get(&format!("/v1/organizations/{}/keys", site.organization())).expect(200).json();
    let named = keys["data"].as_array().unwrap().iter().find(|it| it["name"] == "of a colleague").unwrap();
    let path = format!("/v1/organizations/{}/keys/{}", site.organization(), named["id"].as_str().unwrap());
    site.owner.try_call("DELETE", &path, None).unwrap().expect(204);
    // the page that is open is asked for again by itself, and leads to the door
    browser.arrive("/sign-in");
}

#[test]
fn a_key_is_revoked_only_after_confirmation() {
    let site = Site::new();
    let key = site.key("viewer");
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.click(&link("API keys"));
    browser.click(&button("Revoke the viewer"));
    browser.has(&css("dialog[open]"));
    browser.click(&button("Cancel"));
    browser.eventually("the dialog closes", || Ok((browser.count(&css("dialog[open]")) == 0).then_some(())));
    site.owner.with_key(&key).get("/v1/webhooks").expect(200);
    browser.click(&button("Revoke the viewer"));
    browser.click(&button("Revoke key"));
    browser.reads(&css("[role=status]#done"), "The key was revoked.");
    site.owner.with_key(&key).get("/v1/webhooks").expect(401);
    browser.sees_no("the viewer");
}

#[test]
fn a_viewer_is_offered_no_changes() {
    let site = Site::new();
    let key = site.key("viewer");
    let browser = browser_on!(site);
    browser.sign_in(&key);
    browser.reads(&css(".who"), "signed in as viewer");
    browser.reads(&css("nav"), "Webhooks");
    assert_eq!(browser.count(&css("nav a[href='/keys']")), 0);
    browser.open("/event-types");
    assert_eq!(browser.count(&css("main form")), 0, "a viewer is offered a form");
    browser.expect("status of 403");
    browser.open("/keys");
    browser.sees_no("Create key");
}
