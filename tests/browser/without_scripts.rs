//! What matters works without scripts.

use serde_json::json;
use test_support::receiver::{Receiver, reply};

use crate::browser::{Browser, button, css, field, link};
use crate::site::Site;

#[test]
fn without_scripts_signing_in_adding_and_testing_a_webhook_and_reading_the_log_work() {
    let site = Site::new();
    let receiver = Receiver::answering(|number| reply(if number == 1 { 200 } else { 404 }));
    let Some(browser) = Browser::without_scripts(&site) else { return };
    browser.sign_in(site.owner.key());
    browser.reads(&css("h1"), "Overview");
    assert_eq!(browser.value("typeof htmx"), "undefined", "scripts ran");
    browser.click(&link("Webhooks"));
    browser.click(&link("Add webhook"));
    browser.fill(&field("URL"), &receiver.url());
    browser.fill(&css("#filter-lines .line:first-child [name=filter_field]"), "number");
    browser.fill(&css("#filter-lines .line:first-child [name=filter_value]"), "1");
    browser.click(&button("Add webhook"));
    browser.reads(&css("#done"), "Webhook added.");
    browser.click(&link("Send test event"));
    browser.click(&button("Send test event"));
    browser.reads(&css("#result"), "Response 200.");
    site.publish("call.missed", &json!({"number": 1}));
    site.publish("call.missed", &json!({"number": 2}));
    browser.open("/logs");
    browser.type_in(&field("Status"), "failed");
    browser.eventually("the failure", || {
        browser.click(&button("Filter"));
        Ok((browser.count(&css("tbody tr")) == 1).then_some(()))
    });
    browser.reads(&css("tbody"), "call.missed");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
}
