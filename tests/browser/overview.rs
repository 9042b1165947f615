//! The first page: an organization's health, which keeps itself up to date.

use serde_json::json;
use test_support::receiver::Receiver;

use crate::browser::{css, link};
use crate::browser_on;
use crate::seed::{Seed, settings};
use crate::site::Site;

#[test]
fn the_overview_shows_an_organizations_health() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    for state in ["1 healthy", "1 failing", "1 paused", "1 disabled"] {
        browser.reads(&css("#tile-webhooks"), state);
    }
    browser.reads(&css("#tile-latency"), "p99");
    let number = |tile: &str| {
        let text = browser.text(&css(format!("{tile} .value"))).replace(',', "");
        text.parse::<u64>().unwrap_or_else(|_| panic!("{tile} reads {text:?}"))
    };
    // what is counted is written a little later; the page follows by itself
    browser.eventually("the sum of deliveries", || Ok((number("#tile-delivered") > 200).then_some(())));
    assert!(number("#tile-pending") > 20);
    // of what is minutes old a chart would be one bar, but whoever asks for a day gets it
    browser.sees("Too early for a chart");
    browser.click(&link("Last 24 hours"));
    browser.arrive("/?range=24h");
    assert!(browser.count(&css("svg.chart")) >= 3, "charts are missing");
    browser.click(&css("#attention a[href^='/logs/']"));
    browser.arrive("/logs/dlv_");
    browser.open("/");
    browser.click(&link("1 paused"));
    browser.arrive("/webhooks?state=paused");
    assert_eq!(browser.count(&css("tbody tr")), 1);
    browser.open("/");
    browser.click(&link("Last 7 days"));
    browser.arrive("/?range=7d");
    browser.reads(&css("#tile-delivered"), "last 7 days");
    assert!(!seed.healthy.is_empty());
}

#[test]
fn the_overview_updates_without_reload() {
    let site = Site::new();
    let receiver = Receiver::holding(200);
    site.webhook(&json!({"url": receiver.url()}));
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.reads(&css("#tile-pending .value"), "0");
    browser.value("window.marker = 'not loaded again'");
    site.publish("call.completed", &json!({"id": "call_1"}));
    browser.reads(&css("#tile-pending .value"), "1");
    receiver.release();
    browser.reads(&css("#tile-pending"), "nothing pending");
    assert_eq!(browser.value("window.marker"), "not loaded again");
}

#[test]
fn a_page_says_that_it_is_out_of_date_while_the_engine_is_down() {
    let mut site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    browser.reads(&css("#tile-delivered .value"), "0");
    browser.expect("ERR_CONNECTION_REFUSED");
    // which htmx repeats
    browser.expect("htmx.min.js");
    site.stop();
    browser.sees("Out of date");
    site.start_again();
    browser.sees_no("Out of date");
    // the session goes on
    browser.reads(&css("#tile-delivered .value"), "0");
    assert_eq!(browser.path(), "/");
}
