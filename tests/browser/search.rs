//! The search in the frame of every page.

use serde_json::json;

use crate::accessibility;
use crate::browser::{Browser, WIDTHS, css, link};
use crate::browser_on;
use crate::site::Site;

const ENTER: &str = "\u{e007}";

#[test]
fn a_slash_leads_to_the_search_and_the_search_to_webhooks_events_and_tags() {
    let site = Site::new();
    let webhook = site.webhook(&json!({"url": "https://hooks.example.com/customer", "active": false}));
    let event = site.publish("call.completed", &json!({}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    for width in WIDTHS {
        browser.resize(width);
        browser.open("/logs");
        browser.press("/");
        assert_eq!(browser.value("document.activeElement.id"), "search");
        assert_eq!(browser.value("document.activeElement.value"), "", "the slash itself is not typed");
        browser.type_in(&css("#search"), &format!("Example.com/cust{ENTER}"));
        browser.arrive("/search?q=Example.com");
        browser.reads(&css("#found"), "https://hooks.example.com/customer");
        browser.fits();
        accessibility::check(&browser, "what was found");
        assert!(browser.text(&css("#tagged")).contains("Deliveries with the tag Example.com/cust"));
        browser.click(&link("https://hooks.example.com/customer"));
        browser.arrive(&format!("/webhooks/{webhook}"));
        browser.type_in(&css("#search"), &format!("{event}{ENTER}"));
        browser.arrive(&format!("/events/{event}"));
        // where something is typed, a slash is a slash
        browser.open("/logs");
        browser.type_in(&css("#response_code"), "/");
        assert_eq!(browser.ask(&css("#response_code"), "it.value"), "/");
    }
}

#[test]
fn the_search_works_without_scripts() {
    let site = Site::new();
    let webhook = site.webhook(&json!({"url": "https://hooks.example.com/customer"}));
    let Some(browser) = Browser::without_scripts(&site) else { return };
    browser.sign_in(site.owner.key());
    browser.type_in(&css("#search"), &format!("{webhook}{ENTER}"));
    browser.arrive(&format!("/webhooks/{webhook}"));
}
