//! The log of deliveries, and the events.

use serde_json::{Value, json};
use test_support::receiver::{Receiver, reply};

use crate::accessibility;
use crate::browser::{Browser, button, css, field, link};
use crate::browser_on;
use crate::seed::{HOSTILE, Seed, settings};
use crate::site::Site;

const ROWS: &str = "[...document.querySelectorAll('tbody tr')]";

fn rows(browser: &Browser, what: &str) -> Vec<String> {
    let rows = browser.value(&format!("{ROWS}.map(row => {what})"));
    rows.as_array().unwrap().iter().map(|it| it.as_str().unwrap().trim().to_owned()).collect()
}

/// A cell of each row.
fn column(browser: &Browser, label: &str) -> Vec<String> {
    rows(browser, &format!("row.querySelector('[data-label=\"{label}\"]').innerText"))
}

#[test]
fn each_filter_is_in_the_address_and_leaves_only_matches() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    let filtered = |query: &str, label: &str, expected: &str| {
        browser.click(&button("Filter"));
        browser.arrive(&format!("/logs?{query}"));
        let cells = column(&browser, label);
        assert!(!cells.is_empty() && cells.iter().all(|cell| cell.contains(expected)), "{query}: {cells:?}");
        // the form shows what the address says
        browser.open(&browser.path());
        assert_eq!(column(&browser, label), cells, "{query}");
        browser.click(&link("Clear"));
        browser.arrive("/logs");
    };
    browser.click(&link("Logs"));
    for status in ["success", "failed", "pending", "cancelled"] {
        browser.type_in(&field("Status"), status);
        filtered(&format!("status={status}"), "Status", status);
    }
    browser.type_in(&field("Event type"), "invoice.paid");
    filtered("event_type=invoice.paid", "Event type", "invoice.paid");
    browser.fill(&field("Response code"), "4xx");
    filtered("response_code=4xx", "Response", "4");
    let url = site.owner.get(&format!("/v1/webhooks/{}", seed.failing)).expect(200).json();
    let url = url["url"].as_str().unwrap();
    browser.type_in(&field("Webhook"), url);
    filtered(&format!("webhook_id={}", seed.failing), "Webhook", url.trim_start_matches("http://"));

    browser.click(&link("Last hour"));
    browser.arrive("/logs?from=20");
    assert!(!rows(&browser, "row.id").is_empty());
    for end in ["from", "to"] {
        browser.ask(&css(format!("#{end}")), "it.value = '2020-01-01T00:00:00'");
    }
    browser.click(&button("Filter"));
    browser.sees("No deliveries match these filters");
    browser.open("/logs?response_code=abc");
    browser.has(&css("#response_code-error"));
}

#[test]
fn new_deliveries_appear_first_without_reload_and_checkboxes_stay_checked() {
    let site = Site::new();
    let receiver = Receiver::ok();
    site.webhook(&json!({"url": receiver.url()}));
    for number in 0..3 {
        site.publish("call.completed", &json!({"number": number}));
    }
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.open("/logs");
    let before = rows(&browser, "row.id");
    assert_eq!(before.len(), 3);
    browser.click(&css("tbody tr:nth-child(2) input[type=checkbox]"));
    browser.has(&button("Resend 1"));
    browser.value("window.marker = 'not loaded again'");
    browser.value("document.activeElement.blur()");
    site.publish("call.missed", &json!({"number": 4}));
    browser.reads(&css("tbody tr:first-child"), "call.missed");
    assert_eq!(rows(&browser, "row.id")[1..], before);
    let ticked = browser.value("document.querySelector('input[name=id]:checked').value");
    assert!(before[1].ends_with(ticked.as_str().unwrap()), "{ticked} {before:?}");
    assert_eq!(browser.value("window.marker"), "not loaded again");
}

#[test]
fn a_delivery_shows_its_payload_and_attempts_and_runs_nothing_a_receiver_sent() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    browser.open(&format!("/logs/{}", seed.failed));
    browser.reads(&css("h1"), "failed");
    browser.reads(&css("#attempt-1"), "404");
    browser.reads(&css("#attempt-1 pre"), HOSTILE);
    browser.click(&css("#response-1 summary"));
    browser.reads(&css("#response-1"), HOSTILE);
    browser.click(&css("#request-1 summary"));
    for header in ["webhook-signature", "x-callintel-delivery", "x-tenant"] {
        browser.reads(&css("#request-1"), header);
    }
    assert_eq!(browser.value("typeof window.hacked"), "undefined");
    browser.reads(&css("main"), "\"event_type\"");
    accessibility::check(&browser, "a delivery that is open in full");
    browser.open(&format!("/logs/{}", seed.pending));
    browser.reads(&css("#attempt-1"), "503");
    browser.reads(&css(".facts"), "Next attempt");
    browser.reads(&css("#attempt-next"), "in ");
    browser.reads(&css(".facts"), "failing");
}

#[test]
fn a_failed_delivery_is_resent_and_its_page_shows_the_outcome() {
    let site = Site::new();
    let receiver = Receiver::answering(|number| reply(if number <= 3 { 404 } else { 200 }));
    site.webhook(&json!({"url": receiver.url()}));
    for number in 0..3 {
        site.publish("call.completed", &json!({"number": number}));
    }
    let failed = || site.owner.get("/v1/webhooks/logs?status=failed").expect(200).json();
    let browser = browser_on!(site);
    let all: Vec<Value> = browser.eventually("three failures", || {
        let all = failed()["data"].as_array().unwrap().clone();
        Ok((all.len() == 3).then_some(all))
    });
    browser.sign_in(site.owner.key());
    browser.open(&format!("/logs/{}", all[0]["id"].as_str().unwrap()));
    browser.click(&button("Resend"));
    browser.reads(&css("#done"), "Queued to be resent");
    browser.reads(&css("h1"), "success");
    browser.reads(&css("#attempt-2"), "200");

    browser.open("/logs?status=failed");
    assert_eq!(rows(&browser, "row.id").len(), 2);
    browser.click(&css("input[data-all]"));
    browser.click(&button("Resend 2"));
    browser.reads(&css("#done"), "2 deliveries were queued.");
    browser.sees("No deliveries match these filters");
    assert_eq!(failed()["data"], json!([]));
}

#[test]
fn an_event_is_published_by_hand_shows_where_it_went_and_is_sent_again() {
    let site = Site::new();
    let receiver = Receiver::ok();
    site.webhook(&json!({"url": receiver.url()}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.click(&link("Events"));
    browser.sees("No events yet");
    browser.click(&link("Publish sample event"));
    browser.type_in(&field("Event type"), "call.missed");
    browser.arrive("/events/new?event_type=call.missed");
    browser.fill(&field("Data"), "{\"by\": \"hand\"}");
    browser.click(&button("Publish call.missed"));
    browser.arrive("/events/msg_");
    browser.reads(&css("#done"), "Published");
    browser.reads(&css("tbody .badge"), "success");
    browser.sees("\"hand\"");
    browser.click(&button("Resend…"));
    accessibility::check(&browser, "the question to whom an event is sent again");
    browser.click(&button("Resend"));
    browser.reads(&css("#done"), "1 delivery is pending now.");
    browser.eventually("the second request", || Ok((receiver.count() == 2).then_some(())));
    browser.open("/events?event_type=call.missed");
    assert_eq!(column(&browser, "Event type"), ["call.missed"]);
}
