//! What holds on every page, with data and without.

use serde_json::json;
use test_support::engine::{ADMIN_KEY, eventually, text};
use test_support::receiver::{Receiver, reply};

use crate::accessibility;
use crate::browser::{ALL_WIDTHS, Browser, WIDTHS, button};
use crate::browser_on;
use crate::seed::{Seed, settings};
use crate::site::Site;

/// Opens each page at all widths, and looks at it in both themes at the widest and the narrowest.
fn check(browser: &Browser, pages: &[String]) {
    for page in pages {
        browser.open(page);
        for width in ALL_WIDTHS {
            browser.resize(width);
            browser.fits();
            if WIDTHS.contains(&width) {
                accessibility::check(browser, &format!("{page}, {width} px"));
            }
        }
        browser.has_no_complaints();
    }
}

/// Opens each page at all widths.
fn fit(browser: &Browser, pages: &[String]) {
    for page in pages {
        browser.open(page);
        for width in ALL_WIDTHS {
            browser.resize(width);
            browser.fits();
        }
        browser.has_no_complaints();
    }
}

#[test]
fn without_data_every_page_is_accessible_and_fits() {
    let site = Site::new();
    let browser = browser_on!(site);
    check(&browser, &["/sign-in".to_owned(), "/sign-in?ticket=used".to_owned()]);
    browser.sign_in(site.owner.key());
    check(&browser, &OF_AN_ORGANIZATION.map(str::to_owned));
}

#[test]
fn with_data_every_page_is_accessible_and_fits() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    check(&browser, &with_data(&seed));
}

#[test]
fn every_admin_page_is_accessible_and_fits() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    let mut pages = OF_THE_OPERATOR.map(str::to_owned).to_vec();
    pages.push(format!("/organizations/{}", site.organization()));
    pages.extend(["", "webhooks", "keys"].map(|page| format!("/as/{}/{page}", site.organization())));
    check(&browser, &pages);
}

const OF_THE_OPERATOR: [&str; 6] =
    ["/organizations", "/catalogue", "/catalogue/call.completed", "/deployment-keys", "/usage", "/cluster"];

/// Characters of a name of an organization or a key.
const MAX_NAME: usize = 200;

const OF_AN_ORGANIZATION: [&str; 11] = [
    "/",
    "/webhooks",
    "/webhooks?state=troubled",
    "/webhooks/new",
    "/logs",
    "/events",
    "/events/new",
    "/event-types",
    "/keys",
    "/changes",
    "/search?q=127.0.0.1",
];

fn with_data(seed: &Seed) -> Vec<String> {
    let mut pages: Vec<String> = OF_AN_ORGANIZATION.map(str::to_owned).to_vec();
    for webhook in [&seed.healthy, &seed.failing, &seed.broken, &seed.disabled] {
        pages.push(format!("/webhooks/{webhook}"));
    }
    for action in ["edit", "test", "recover"] {
        pages.push(format!("/webhooks/{}/{action}", seed.broken));
    }
    for delivery in [&seed.success, &seed.failed, &seed.pending, &seed.cancelled] {
        pages.push(format!("/logs/{delivery}"));
    }
    pages.extend([format!("/events/{}", seed.event), "/logs?response_code=wrong".to_owned()]);
    pages
}

/// As long as they may be, and without a place to break.
struct Long {
    url: String,
    description: String,
    event_type: String,
}

impl Long {
    fn under(url: &str) -> Self {
        Self {
            url: format!("{url}{}", "x".repeat(2_048 - url.len())),
            description: "d".repeat(500),
            event_type: format!("call.{}", "y".repeat(123)),
        }
    }
}

#[test]
fn with_the_longest_values_every_page_fits() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let receiver = Receiver::answering(|number| match number % 3 {
        0 => reply(404).body("no-such-page-".repeat(40).leak()).with("x-long", "v".repeat(300).leak()),
        1 => reply(200),
        _ => reply(503),
    });
    let long = Long::under(&receiver.url());
    let name = "o".repeat(MAX_NAME);
    let admin = site.admin();
    let metadata = json!({"k".repeat(90): "v".repeat(900)});
    let organization = json!({"name": name, "uid": "u".repeat(256), "metadata": metadata});
    let made = admin.post("/v1/organizations", &organization).expect(201).json();
    let (organization, keys) = (text(&made, "id"), format!("/v1/organizations/{}/keys", text(&made, "id")));
    let key = admin.post(&keys, &json!({"name": "k".repeat(MAX_NAME), "role": "owner"})).expect(201).json();
    let owner = admin.with_key(text(&key, "key"));
    let own = json!({"name": long.event_type, "description": long.description});
    owner.post("/v1/event-types", &own).expect(201);
    let settings = json!({
        "url": long.url, "description": long.description,
        "events": [long.event_type, "call.analysis_complete", "call.completed", "batch.completed"],
        "filters": {"custom_metadata.campaign_identifier_of_the_customer": {"prefix": "z".repeat(200)}},
        "headers": {"x-long-header-name-of-a-customer": "h".repeat(200)}, "retry": 20,
    });
    let webhook = owner.post("/v1/webhooks", &settings).expect(201).json();
    let plain = json!({"url": "https://hooks.example.com/in", "events": ["call.analysis_complete", "call.*"], "active": false});
    owner.post("/v1/webhooks", &plain).expect(201);
    let webhook = text(&webhook, "id");
    for number in 0..9 {
        let event_type = if number % 2 == 0 { long.event_type.as_str() } else { "call.analysis_complete" };
        let data =
            json!({"custom_metadata": {"campaign_identifier_of_the_customer": "z".repeat(300)}, "number": number});
        owner.post("/v1/events", &json!({"event_type": event_type, "data": data})).expect(202);
    }
    let rows = |query: &str| owner.get(&format!("/v1/webhooks/logs?{query}")).expect(200).json()["data"].clone();
    let [failed, pending] = ["status=failed", "response_code=503"].map(|query| {
        let found = eventually(query, || rows(query).as_array().unwrap().first().cloned());
        text(&found, "id").to_owned()
    });
    let event = text(&rows("limit=1")[0], "event_id").to_owned();
    browser.sign_in(owner.key());
    let mut pages: Vec<String> = OF_AN_ORGANIZATION.map(str::to_owned).to_vec();
    pages.extend(["", "/edit", "/test", "/recover"].map(|action| format!("/webhooks/{webhook}{action}")));
    pages.extend([format!("/logs/{failed}"), format!("/logs/{pending}"), format!("/events/{event}")]);
    pages.push(format!("/logs?event_type={}&webhook_id={webhook}", long.event_type));
    fit(&browser, &pages);
    browser.open(&format!("/webhooks/{webhook}"));
    browser.click(&button("Delete…"));
    for width in ALL_WIDTHS {
        browser.resize(width);
        browser.fits();
    }
    browser.click(&button("Cancel"));
    browser.open("/");
    browser.click(&button("Sign out"));
    browser.sign_in(ADMIN_KEY);
    let mut pages = OF_THE_OPERATOR.map(str::to_owned).to_vec();
    pages.push(format!("/organizations/{organization}"));
    pages.extend(["", "webhooks", "logs"].map(|page| format!("/as/{organization}/{page}")));
    fit(&browser, &pages);
}

#[test]
fn a_tablet_shows_webhooks_as_a_table_and_a_phone_as_cards() {
    let site = Site::new();
    let browser = browser_on!(site);
    let events = json!(["call.analysis_complete", "call.completed", "call.missed"]);
    site.webhook(&json!({"url": "https://hooks.example.com/services/customer/incoming", "events": events}));
    browser.sign_in(site.owner.key());
    browser.open("/webhooks");
    for width in ALL_WIDTHS {
        browser.resize(width);
        let is_table =
            browser.value("getComputedStyle(document.querySelector('tbody tr')).display") == "table-row";
        assert_eq!(is_table, width >= 800, "{width}");
        browser.fits();
    }
}
