//! What holds on every page, with data and without.

use crate::accessibility;
use crate::browser::{Browser, WIDTHS};
use crate::browser_on;
use crate::engine::ADMIN_KEY;
use crate::seed::{Seed, settings};
use crate::site::Site;

/// Opens each page at both widths, and looks at it in both themes.
fn check(browser: &Browser, pages: &[String]) {
    for page in pages {
        browser.open(page);
        for width in WIDTHS {
            browser.resize(width);
            browser.does_not_scroll_sideways();
            accessibility::check(browser, &format!("{page}, {width} px"));
        }
        browser.has_no_complaints();
    }
}

#[test]
fn without_data_every_page_is_readable_for_all_and_fits() {
    let site = Site::new();
    let browser = browser_on!(site);
    check(&browser, &["/sign-in".to_owned(), "/sign-in?ticket=used".to_owned()]);
    browser.sign_in(site.owner.key());
    check(&browser, &OF_AN_ORGANIZATION.map(str::to_owned));
}

#[test]
fn with_data_every_page_is_readable_for_all_and_fits() {
    let site = Site::with(settings);
    let browser = browser_on!(site);
    let seed = Seed::plant(&site);
    browser.sign_in(site.owner.key());
    check(&browser, &with_data(&seed));
}

#[test]
fn every_page_of_the_admin_is_readable_for_all_and_fits() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(ADMIN_KEY);
    check(&browser, &["/organizations".to_owned(), format!("/organizations/{}", site.organization())]);
}

const OF_AN_ORGANIZATION: [&str; 8] =
    ["/", "/webhooks", "/webhooks/new", "/logs", "/events", "/events/new", "/event-types", "/keys"];

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
