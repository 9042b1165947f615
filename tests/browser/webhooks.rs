//! Webhooks: what is set, and what is done to them.

use serde_json::{Value, json};
use test_support::receiver::{Receiver, reply};

use crate::accessibility;
use crate::browser::{Browser, By, button, css, field, link};
use crate::browser_on;
use crate::site::Site;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn settings(site: &Site, webhook: &str) -> Value {
    site.owner.get(&format!("/v1/webhooks/{webhook}")).expect(200).json()
}

fn line(list: &str, name: &str) -> By {
    css(format!("{list} .line:first-child [name={name}]"))
}

/// The webhook of the page that is open.
fn opened(browser: &Browser) -> String {
    browser.arrive("/webhooks/wh_");
    browser.path().split(['/', '?', '#']).nth(2).unwrap().to_owned()
}

#[test]
fn a_webhook_is_added_with_every_setting_and_changed() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.click(&link("Webhooks"));
    browser.sees("No webhooks yet");
    browser.click(&link("Add webhook"));
    browser.fill(&field("URL"), "http://127.0.0.1:9999/hook");
    browser.fill(&field("Description"), "Every setting");
    browser.click(&field("Selected events"));
    browser.click(&field("call.completed"));
    browser.fill(&field("Patterns"), "batch.*");
    browser.fill(&line("#filter-lines", "filter_field"), "duration");
    browser.type_in(&line("#filter-lines", "filter_operator"), "is at least");
    browser.fill(&line("#filter-lines", "filter_value"), "60");
    browser.click(&css("#advanced > summary"));
    browser.click(&field("Custom schedule"));
    browser.fill(&field("Attempts"), "7");
    browser.fill(&field("First delay"), "2");
    browser.fill(&field("Grows by"), "1.5");
    browser.fill(&field("Longest delay"), "90");
    browser.click(&field("Other 4xx"));
    browser.fill(&field("Timeout"), "20");
    browser.fill(&field("Rate limit, per second"), "5");
    browser.fill(&field("Burst"), "10");
    browser.fill(&field("Max concurrency"), "4");
    browser.click(&field("In order"));
    browser.fill(&line("#header-lines", "header_name"), "Authorization");
    browser.fill(&line("#header-lines", "header_value"), "Bearer open-sesame");
    browser.fill(&field("Custom secret"), SECRET);
    browser.click(&button("Add webhook"));
    browser.reads(&css("#done"), "Webhook added.");
    assert_eq!(browser.text(&css("#secret-text")), SECRET);
    let webhook = opened(&browser);
    let all = settings(&site, &webhook);
    let expected = json!({
        "url": "http://127.0.0.1:9999/hook",
        "description": "Every setting",
        "active": true,
        "events": ["call.completed", "batch.*"],
        "filters": {"min_duration": 60},
        "retry_policy":
            {"max_attempts": 7, "initial_delay_seconds": 2, "backoff_multiplier": 1.5, "max_delay_seconds": 90},
        "retry_on": ["4xx"],
        "timeout": 20,
        "max_in_flight": 4,
        "ordered": true,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&all[name], value, "{name}");
    }
    assert_eq!(all["rate_limit"]["per_second"].as_f64(), Some(5.0));
    assert_eq!(all["rate_limit"]["burst"], 10);
    assert!(all["headers"].to_string().to_lowercase().contains("authorization"), "{all}");
    browser.sees_no("open-sesame");

    browser.click(&link("Edit"));
    browser.fill(&field("Description"), "Changed");
    browser.click(&field("All events"));
    browser.click(&button("Save changes"));
    browser.reads(&css("#done"), "Changes saved.");
    let changed = settings(&site, &webhook);
    assert_eq!((&changed["description"], &changed["retry_policy"]), (&json!("Changed"), &all["retry_policy"]));
    assert_eq!(changed["events"], json!([]), "all events");
    assert_eq!(changed["filters"], all["filters"]);
}

#[test]
fn errors_are_shown_at_their_fields_and_no_input_is_lost() {
    let site = Site::with(|serve| serve.set("RINGBACK_ALLOW_HTTP", "false"));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open("/webhooks/new");
    browser.fill(&field("URL"), "http://receiver.example.com/");
    browser.click(&field("Selected events"));
    browser.fill(&field("Patterns"), "call.unheard_of");
    browser.click(&field("JSON"));
    browser.fill(&css("#filter_json"), "{\"direction\": {\"like\": 1}}");
    browser.click(&css("#advanced > summary"));
    browser.fill(&field("Retries"), "99");
    browser.click(&button("Add webhook"));
    browser.reads(&css("#url-error"), "https");
    browser.reads(&css(".error"), "");
    browser.reads(&css("main"), "call.unheard_of: ");
    browser.reads(&css("#filters-error"), "filters.direction.like");
    browser.has(&css("#retry-error"));
    assert_eq!(browser.ask(&field("URL"), "it.value"), "http://receiver.example.com/");
    assert_eq!(browser.ask(&field("URL"), "it.getAttribute('aria-invalid')"), "true");
    accessibility::check(&browser, "a form with complaints");
    browser.fill(&field("URL"), "https://receiver.example.com/");
    browser.fill(&field("Patterns"), "call.*");
    browser.fill(&css("#filter_json"), "{\"direction\": \"outbound\"}");
    browser.fill(&field("Retries"), "9");
    browser.click(&button("Add webhook"));
    let webhook = opened(&browser);
    assert_eq!(settings(&site, &webhook)["filters"], json!({"direction": "outbound"}));
}

#[test]
fn the_filter_and_the_retry_schedule_are_previewed_while_typing() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open("/webhooks/new");
    browser.value("window.marker = 'not loaded again'");
    browser.fill(&line("#filter-lines", "filter_field"), "duration");
    browser.type_in(&line("#filter-lines", "filter_operator"), "is at least");
    browser.fill(&line("#filter-lines", "filter_value"), "60");
    browser.click(&css("#filter summary"));
    browser.reads(&css("#filter-preview"), "Would match this sample.");
    browser.fill(&line("#filter-lines", "filter_value"), "100000");
    browser.reads(&css("#filter-preview"), "Would not match this sample.");
    // another sample, and then one of one's own
    browser.type_in(&field("Sample event type"), "batch.completed");
    browser.eventually("the sample", || {
        let sample = browser.ask(&css("#sample"), "it.value");
        Ok(sample.as_str().unwrap().contains("successfully_called").then_some(()))
    });
    browser.fill(&css("#sample"), "{\"duration\": 100001}");
    browser.reads(&css("#filter-preview"), "Would match this sample.");

    browser.click(&css("#advanced > summary"));
    browser.reads(&css("#retry-preview"), "4 attempts: immediately, then 1 min, 5 min and 15 min later");
    browser.fill(&field("Retries"), "1");
    browser.reads(&css("#retry-preview"), "2 attempts: immediately, then 1 min later");
    browser.click(&field("Custom schedule"));
    browser.fill(&field("Attempts"), "3");
    browser.fill(&field("First delay"), "30");
    browser.fill(&field("Grows by"), "2");
    browser.fill(&field("Longest delay"), "45");
    browser.reads(&css("#retry-preview"), "3 attempts: immediately, then 30 s and 45 s later");
    browser.click(&field("List of delays"));
    browser.fill(&field("Delays, seconds"), "5, 300");
    browser.reads(&css("#retry-preview"), "3 attempts: immediately, then 5 s and 5 min later");
    assert_eq!(browser.value("window.marker"), "not loaded again");
    accessibility::check(&browser, "a form with previews");
}

#[test]
fn a_secret_is_hidden_until_revealed_and_can_be_copied_and_rotated() {
    let site = Site::new();
    let webhook = site.webhook(&json!({"url": "http://127.0.0.1:9999/hook"}));
    let secret = || site.owner.get(&format!("/v1/webhooks/{webhook}/secret")).expect(200).json()["secret"].clone();
    let first = secret().as_str().unwrap().to_owned();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{webhook}"));
    assert!(!browser.value("document.documentElement.outerHTML").as_str().unwrap().contains(&first));
    browser.click(&button("Reveal"));
    browser.reads(&css("#secret-text"), &first);
    browser.allow_the_clipboard();
    browser.click(&button(&format!("Copy {first}")));
    browser.has(&button("Copied"));
    assert_eq!(browser.value("navigator.clipboard.readText()"), first.as_str());
    browser.click(&button("Rotate…"));
    accessibility::check(&browser, "the question before a rotation");
    browser.click(&button("Rotate secret"));
    browser.reads(&css("#done"), "Secret rotated.");
    browser.sees("The previous secret is still valid");
    let second = secret();
    assert_ne!(second, first.as_str());
    assert_eq!(browser.text(&css("#secret-text")), second);
}

#[test]
fn a_webhook_is_disabled_enabled_and_deleted_after_confirmation() {
    let site = Site::new();
    let webhook = site.webhook(&json!({"url": "http://127.0.0.1:9999/hook"}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open("/webhooks");
    browser.click(&button("Disable http://127.0.0.1:9999/hook"));
    browser.reads(&css("#done"), "The webhook is disabled.");
    browser.reads(&css("td .badge"), "disabled");
    assert_eq!(settings(&site, &webhook)["active"], false);
    browser.click(&link("http://127.0.0.1:9999/hook"));
    browser.click(&button("Enable"));
    browser.reads(&css("#done"), "The webhook is enabled.");
    assert_eq!(settings(&site, &webhook)["active"], true);
    browser.click(&button("Delete…"));
    accessibility::check(&browser, "the question before a deletion");
    browser.click(&button("Cancel"));
    assert_eq!(settings(&site, &webhook)["active"], true);
    browser.click(&button("Delete…"));
    browser.click(&button("Delete webhook"));
    browser.reads(&css("#done"), "The webhook was deleted");
    browser.sees("No webhooks yet");
    site.owner.get(&format!("/v1/webhooks/{webhook}")).expect(404);
}

#[test]
fn the_code_samples_use_the_webhooks_own_data() {
    let site = Site::new();
    let webhook = site.webhook(&json!({"url": "http://127.0.0.1:9999/own/path"}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{webhook}"));
    browser.value("window.marker = 'not loaded again'");
    for (language, text) in [
        ("Node", "createHmac"),
        ("Rust", "Hmac"),
        ("curl (send a sample)", "http://127.0.0.1:9999/own/path"),
        ("Python", "hmac"),
    ] {
        browser.click(&link(language));
        browser.reads(&css("#snippet"), text);
    }
    assert_eq!(browser.value("window.marker"), "not loaded again");
}

#[test]
fn a_test_event_shows_the_response_without_reload() {
    let site = Site::new();
    let receiver = Receiver::answering(|_| reply(201).with("x-receipt", "no. 7").body("{\"taken\":true}"));
    let webhook = site.webhook(&json!({"url": receiver.url(), "events": ["call.missed"]}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{webhook}"));
    browser.click(&link("Send test event"));
    browser.value("window.marker = 'not loaded again'");
    browser.type_in(&field("Event type"), "batch.completed");
    browser.eventually("the sample of the type", || {
        let sample = browser.ask(&css("#data"), "it.value");
        Ok(sample.as_str().unwrap().contains("successfully_called").then_some(()))
    });
    browser.fill(&field("Data"), "{\"number\": ");
    browser.click(&button("Send test event"));
    browser.reads(&css("#data-error"), "is not JSON");
    assert_eq!(receiver.count(), 0);
    browser.fill(&field("Data"), "{\"number\": 1e400}");
    browser.click(&button("Send test event"));
    browser.reads(&css("#result"), "Response 201.");
    for text in ["x-receipt", "no. 7", "{\"taken\":true}", " ms; the webhook's timeout is 10 s"] {
        browser.reads(&css("#result"), text);
    }
    accessibility::check(&browser, "the result of a test event");
    assert_eq!(browser.value("window.marker"), "not loaded again");
    let body = String::from_utf8(receiver.seen()[0].body.to_vec()).unwrap();
    assert!(body.contains("\"event_type\":\"batch.completed\"") && body.contains("{\"number\": 1e400}"), "{body}");
    browser.click(&css("#result a[href^='/logs/dlv_']"));
    browser.reads(&css("h1"), "batch.completed");
}

#[test]
fn a_failed_test_event_explains_why() {
    let site = Site::new();
    let nobody = Receiver::ok();
    let url = nobody.url();
    drop(nobody);
    let refusing = site.webhook(&json!({"url": url}));
    let broken = Receiver::answering(|_| reply(500).body("<script>window.hacked=1</script>"));
    let failing = site.webhook(&json!({"url": broken.url()}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{failing}/test"));
    browser.click(&button("Send test event"));
    browser.reads(&css("#result"), "The receiver reports that it failed.");
    browser.reads(&css("#result"), "<script>window.hacked=1</script>");
    assert_eq!(browser.value("typeof window.hacked"), "undefined");
    browser.open(&format!("/webhooks/{refusing}/test"));
    browser.eventually("a refused connection", || {
        browser.click(&button("Send test event"));
        Ok(browser.text(&css("#result")).contains("nothing listens at this host and port").then_some(()))
    });
}

#[test]
fn after_an_outage_failed_deliveries_are_counted_and_resent() {
    let site = Site::new();
    let receiver = Receiver::answering(|number| reply(if number <= 3 { 404 } else { 200 }));
    let webhook = site.webhook(&json!({"url": receiver.url()}));
    for number in 0..3 {
        site.publish("call.completed", &json!({"number": number}));
    }
    let path = format!("/v1/webhooks/logs?webhook_id={webhook}&status=failed");
    let failed = || site.owner.get(&path).expect(200).json()["data"].as_array().unwrap().len();
    let browser = browser_on!(site);
    browser.eventually("three failures", || Ok((failed() == 3).then_some(())));
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{webhook}"));
    browser.click(&button("Count deliveries"));
    browser.reads(&css("#recover"), "3 deliveries between");
    browser.click(&button("Resend 3"));
    browser.reads(&css("#done"), "3 deliveries are queued to be resent.");
    browser.eventually("no failures", || Ok((failed() == 0).then_some(())));
    // and the page sees it by itself
    browser.eventually("the successes", || Ok((browser.count(&css("#live tbody .badge.ok")) == 3).then_some(())));
}
