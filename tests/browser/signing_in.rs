//! Who gets in, and out again.

use test_support::next_addresses::{HOSTILE, OWN};

use crate::browser::{button, css, field};
use crate::browser_on;
use crate::site::Site;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[test]
fn a_key_signs_in_and_a_wrong_one_does_not() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.open("/");
    browser.arrive("/sign-in");
    browser.fill(&field("API key"), "rbk_not_a_key");
    browser.click(&button("Sign in"));
    browser.reads(&css("[role=alert]"), "This key is unknown, expired or revoked.");
    browser.fill(&field("API key"), site.owner.key());
    browser.click(&button("Sign in"));
    browser.reads(&css("h1"), "Overview");
    browser.reads(&css(".who"), "signed in as owner");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
    browser.open("/");
    browser.arrive("/sign-in");
}

#[test]
fn the_development_link_signs_in_once() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.open(&site.link());
    browser.reads(&css("h1"), "Overview");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
    browser.open(&site.link());
    browser.reads(&css("[role=alert]"), "This link was already used");
}

#[test]
fn a_sign_in_by_keyboard_leads_to_the_requested_page() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.open("/?range=7d");
    browser.arrive("/sign-in?next=");
    // the cursor is in the field
    for letter in site.owner.key().chars() {
        browser.press(&letter.to_string());
    }
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.innerText"), "Sign in");
    browser.press(ENTER);
    browser.arrive("/?range=7d");
    // the first stop of a page leads past the navigation
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.innerText"), "Skip to content");
    browser.press(ENTER);
    browser.eventually("the focus in the content", || {
        Ok((browser.value("document.activeElement.id") == "content").then_some(()))
    });
}

#[test]
fn a_key_that_only_publishes_is_told_why_it_does_not_get_in() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.open("/sign-in");
    browser.fill(&field("API key"), &site.key("publisher"));
    browser.click(&button("Sign in"));
    browser.reads(&css("[role=alert]"), "This key can only publish events.");
}

#[test]
fn outside_development_a_session_needs_https_or_localhost() {
    let site = Site::with(|serve| serve);
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.reads(&css("h1"), "Overview");
    assert_eq!(browser.value("document.cookie.includes('session')"), false, "a script can read the session");
}

#[test]
fn a_link_to_the_sign_in_never_leads_to_another_host() {
    let site = Site::new();
    let browser = browser_on!(site);
    // an address of our own can still be one that has no page
    browser.expect("status of 404");
    browser.expect("status of 400");
    let origin = || browser.value("location.origin");
    let link = |next: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        format!("/sign-in?{query}")
    };
    for next in HOSTILE.iter().step_by(9) {
        browser.open(&link(next));
        browser.fill(&field("API key"), site.owner.key());
        browser.click(&button("Sign in"));
        browser.eventually("a page behind the sign-in", || {
            Ok((!browser.path().starts_with("/sign-in")).then_some(()))
        });
        assert_eq!(origin(), site.address(), "{next:?}");
        browser.open("/");
        browser.click(&button("Sign out"));
        browser.reads(&css("h1"), "Sign in");
    }
    browser.sign_in(site.owner.key());
    for next in HOSTILE {
        browser.open(&link(next));
        assert_eq!(origin(), site.address(), "{next:?}");
    }
    for (next, expected) in OWN {
        browser.open(&link(next));
        assert_eq!(browser.path(), *expected, "{next:?}");
    }
}
