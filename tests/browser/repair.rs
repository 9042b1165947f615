//! From broken to recovered, as whoever is called at night walks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use test_support::engine::eventually;
use test_support::receiver::{Receiver, reply};

use crate::accessibility;
use crate::browser::{WIDTHS, button, css, link};
use crate::browser_on;
use crate::seed::settings;
use crate::site::Site;

const DOWN: &str = "{\"error\": \"the database is down\"}\nmore of it";

/// A receiver that answers with this status until it is changed.
fn receiver() -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(500));
    let answered = status.clone();
    (Receiver::answering(move |_| reply(answered.load(Ordering::SeqCst)).body(DOWN)), status)
}

fn health(site: &Site, webhook: &str, is_wanted: impl Fn(&Value) -> bool) {
    eventually("the webhook's health is as wanted", || {
        let health = site.owner.get(&format!("/v1/webhooks/{webhook}/health")).expect(200).json();
        is_wanted(&health).then_some(())
    });
}

#[test]
fn a_broken_webhook_is_found_understood_repaired_and_recovered() {
    for width in WIDTHS {
        let site = Site::with(settings);
        let (receiver, status) = receiver();
        let url = format!("{}/of/a/customer/whose/path/is/long/enough/to/be/cut?token=0123456789", receiver.url());
        let webhook = site.webhook(&json!({"url": url, "max_in_flight": 1, "retry": 0}));
        for number in 0..20 {
            site.publish("call.completed", &json!({"number": number}));
        }
        health(&site, &webhook, |health| health["breaker"]["state"] == "open" && health["pending"] == 12);
        let browser = browser_on!(site);
        browser.resize(width);
        browser.sign_in(site.owner.key());
        browser.reads(&css("#attention"), "answers 500 since");
        browser.reads(&css("#attention"), "12 waiting until");
        browser.reads(&css("#attention"), "8 failed");
        // what is cut is still there for whoever copies it
        assert_eq!(browser.ask(&css("#attention .url"), "it.textContent"), url.as_str());
        assert!(browser.ask(&css("#attention .cut"), "it.getBoundingClientRect().width").as_f64() < Some(40.0));
        accessibility::check(&browser, "an overview with trouble");
        browser.fits();
        browser.click(&css("#attention .url"));
        browser.arrive(&format!("/webhooks/{webhook}"));
        browser.reads(&css("#condition"), "This webhook answers 500 since");
        browser.reads(&css("#last-failure"), "The receiver reports that it failed.");
        browser.reads(&css("#last-failure"), "the database is down");
        browser.reads(&css("#condition"), "12 deliveries wait until");
        browser.reads(&css("#condition"), "8 deliveries failed for good since it broke.");
        browser.reads(&css("#recoverable"), "8 deliveries between");
        accessibility::check(&browser, "a broken webhook");
        browser.fits();
        browser.click(&link("View this attempt"));
        browser.arrive("/logs/dlv_");
        browser.reads(&css("#attempt-1"), "Attempt 1: 500");

        status.store(200, Ordering::SeqCst);
        browser.open(&format!("/webhooks/{webhook}/test"));
        browser.click(&button("Send test event"));
        browser.reads(&css("#works-again"), "The receiver works again");
        health(&site, &webhook, |health| health["state"] == "healthy" && health["pending"] == 0);
        browser.click(&link("Recover what failed…"));
        browser.reads(&css("#recover"), "8 deliveries between");
        accessibility::check(&browser, "what is to be recovered");
        browser.click(&button("Resend 8"));
        browser.reads(&css("#done"), "8 deliveries are queued to be resent.");
        browser.eventually("nothing is failed", || {
            let failed = site.owner.get("/v1/webhooks/logs?status=failed").expect(200).json();
            Ok(failed["data"].as_array().unwrap().is_empty().then_some(()))
        });
        browser.open("/");
        browser.reads(&css("#attention"), "Nothing needs attention");
    }
}

#[test]
fn resuming_sends_at_once_what_waits() {
    let site = Site::with(settings);
    let (receiver, status) = receiver();
    let webhook = site.webhook(&json!({"url": receiver.url(), "retry": 8}));
    for number in 0..12 {
        site.publish("call.completed", &json!({"number": number}));
    }
    health(&site, &webhook, |health| health["breaker"]["state"] == "open");
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/webhooks/{webhook}"));
    status.store(200, Ordering::SeqCst);
    browser.click(&button("Resume now"));
    browser.reads(&css("#done"), "The webhook is resumed.");
    health(&site, &webhook, |health| health["state"] == "healthy" && health["pending"] == 0);
    browser.reads(&css("#condition"), "healthy");
}

#[test]
fn on_a_phone_a_delivery_takes_three_lines() {
    let site = Site::new();
    let receiver = Receiver::answering(|_| reply(404));
    site.webhook(&json!({"url": receiver.url()}));
    site.publish("call.completed", &json!({}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.resize(WIDTHS[1]);
    browser.open("/logs");
    browser.reads(&css("tbody"), "404");
    let line = browser.value("parseFloat(getComputedStyle(document.body).lineHeight)").as_f64().unwrap();
    let row = browser.ask(&css("tbody tr"), "it.getBoundingClientRect().height").as_f64().unwrap();
    assert!(row < line * 4.5, "{row} px, lines of {line} px");
}
