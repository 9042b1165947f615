//! A product with three customers, from nothing to a repaired webhook, with the commands of `docs/customers.md` and the page that
//! a customer sees inside of the product's own, on a phone and in both themes.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::json;
use test_support::engine::{ADMIN_KEY, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::requirements::missing;

use crate::accessibility;
use crate::browser::{Browser, THEMES, WIDTHS, button, css, link};
use crate::portal::Product;
use crate::seed::settings;
use crate::site::Site;

const IN_CUSTOMER_2: (&str, &str) = ("ringback-organization", "customer-2");

/// What a reader of the page types; `None` without a shell or curl.
fn follow_the_documentation(site: &Site) -> Option<String> {
    let page = include_str!("../../docs/customers.md");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: String = blocks.collect();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &format!("{commands}\necho \" key=$KEY\"")]).stdin(Stdio::null());
    shell.env("ENGINE", site.address()).env("RINGBACK_ADMIN_KEY", ADMIN_KEY);
    let output = shell.output().ok()?;
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complaints.contains("curl: not found") {
        return None;
    }
    assert!(output.status.success(), "{said}\n{complaints}");
    said.rsplit_once("key=").map(|(_, key)| key.trim().to_owned())
}

#[test]
fn a_customer_of_a_product_finds_and_repairs_a_broken_webhook_inside_of_the_products_page() {
    let product = Product::new();
    let origin = product.origin();
    let site = Site::with(|serve| {
        settings(serve).set("RINGBACK_PORTAL_NAME", "Acme").set("RINGBACK_PORTAL_FRAME_ANCESTORS", &origin)
    });
    let Some(browser) = Browser::without_cookies_of_other_sites(&site) else { return };
    let Some(key) = follow_the_documentation(&site) else { return missing("sh and curl") };
    let backend = site.admin().with_key(&key);
    let status = Arc::new(AtomicU16::new(500));
    let answered = Arc::clone(&status);
    let receiver = Receiver::answering(move |_| reply(answered.load(Ordering::SeqCst)).body("out of order"));
    let send = |path: &str, body: String| backend.call_with_header("POST", path, &body, IN_CUSTOMER_2);
    let webhook = json!({"url": receiver.url(), "events": ["invoice.*"], "retry": 8});
    let webhook = text(&send("/v1/webhooks", webhook.to_string()).expect(201).json(), "id").to_owned();
    for number in 0..12 {
        let event = json!({"event_type": "invoice.paid", "data": {"number": number}, "tags": ["monthly"]});
        send("/v1/events", event.to_string()).expect(202);
    }
    let health = format!("/v1/webhooks/{webhook}/health");
    let is_open = |state: &str| {
        let health = backend.call_with_header("GET", &health, "", IN_CUSTOMER_2).expect(200).json();
        (health["breaker"]["state"] == state).then_some(())
    };
    eventually("the breaker opens", || is_open("open"));
    let all = backend.get("/v1/health?all=true").expect(200).json();
    let uids: Vec<_> = all["data"].as_array().unwrap().iter().map(|row| row["uid"].clone()).collect();
    assert!(uids.iter().take(2).any(|uid| uid == "customer-2"), "{all}");

    let door = json!({"role": "manager", "name": "Ada", "return_url": origin});
    let door = backend.post("/v1/organizations/customer-2/sign-in-links", &door).expect(201).json();
    browser.resize(WIDTHS[1]);
    browser.open(&product.showing(text(&door, "url")));
    browser.enter_frame(&css("#frame"));
    for theme in THEMES {
        browser.choose_theme(theme);
        browser.click(&link("Overview"));
        browser.reads(&css("#attention"), "answers 500 since");
        accessibility::check(&browser, "a customer's overview with trouble");
    }
    browser.click(&css("#attention .url"));
    browser.reads(&css("#last-failure"), "out of order");
    status.store(200, Ordering::SeqCst);
    browser.click(&button("Resume now"));
    browser.reads(&css("#done"), "The webhook is resumed.");
    eventually("the breaker closes", || is_open("closed"));
    eventually("all is delivered", || {
        let path = "/v1/webhooks/logs?tag=monthly&status=success";
        let found = backend.call_with_header("GET", path, "", IN_CUSTOMER_2).expect(200).json();
        (found["data"].as_array().unwrap().len() == 12).then_some(())
    });
    // nothing of the other customers
    for path in ["/v1/events", "/v1/webhooks/logs"] {
        let theirs = ("ringback-organization", "customer-3");
        let found = backend.call_with_header("GET", path, "", theirs).expect(200).json();
        assert_eq!(found["data"], json!([]), "{path}");
    }
}
