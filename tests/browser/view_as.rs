//! The operator sees an organization's pages as its people do.

use serde_json::json;
use test_support::engine::ADMIN_KEY;

use crate::accessibility;
use crate::browser::{WIDTHS, button, css, field, link};
use crate::browser_on;
use crate::site::Site;

#[test]
fn the_operator_views_an_organization_changes_something_in_it_and_leaves() {
    let site = Site::with(|serve| serve.argument("--dev").set("RINGBACK_LOG", "info"));
    let webhook = site.webhook(&json!({"url": "https://hooks.example.com/customer"}));
    let organization = site.organization();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    browser.open(&format!("/organizations/{organization}"));
    browser.click(&link("View as customer"));
    browser.arrive(&format!("/as/{organization}/"));
    browser.reads(&css(".viewing"), "You view the pages of dev as operator.");
    browser.click(&link("Webhooks"));
    browser.arrive(&format!("/as/{organization}/webhooks"));
    browser.click(&link("https://hooks.example.com/customer"));
    browser.arrive(&format!("/as/{organization}/webhooks/{webhook}"));
    browser.click(&button("Disable"));
    browser.reads(&css("#done"), "The webhook is disabled.");
    browser.arrive(&format!("/as/{organization}/webhooks/{webhook}"));
    let changed = site.owner.get(&format!("/v1/webhooks/{webhook}")).expect(200).json();
    assert_eq!(changed["active"], false);
    // what scripts load comes from the view too
    browser.click(&link("Edit"));
    browser.click(&css("#advanced > summary"));
    browser.fill(&field("Retries"), "1");
    browser.reads(&css("#retry-preview"), "2 attempts");
    for width in WIDTHS {
        browser.resize(width);
        browser.open(&format!("/as/{organization}/"));
        browser.fits();
        accessibility::check(&browser, "an organization as the operator sees it");
    }
    browser.click(&link("Leave this view"));
    browser.arrive(&format!("/organizations/{organization}"));
    browser.sees_no("as operator");
    let log = site.log();
    let noted: Vec<&str> = log.lines().filter(|line| line.contains("an operator views an organization")).collect();
    let who = format!("organization={organization} by=\"admin key\" address=127.0.0.1");
    assert!(!noted.is_empty() && noted.iter().all(|line| line.contains(&who)), "{noted:#?}");
    let disabled = format!("method=POST path=\"/as/{organization}/webhooks/{webhook}/active\"");
    assert!(noted.iter().any(|line| line.contains(&disabled)), "{noted:#?}");
}
