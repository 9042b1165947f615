//! The dashboard in a browser: headless Chromium, driven over WebDriver, on the real binary.
//!
//! Needs `chromium` and `chromedriver`; without them the tests say so and pass, and with RINGBACK_REQUIRE_BROWSER=1
//! they fail. `README.md` beside this file says more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests run in the machine's time")]

mod accessibility;
mod appearance;
mod browser;
mod catalogue;
mod event_types;
mod every_page;
mod keys;
mod logs;
mod organizations;
mod overview;
mod portal;
mod product;
mod repair;
mod screenshots;
mod search;
mod seed;
mod signing_in;
mod site;
mod view_as;
mod webdriver;
mod webhooks;
mod without_scripts;

/// A browser on a site, or the end of the test where there is none.
macro_rules! browser_on {
    ($site:expr) => {
        match crate::browser::Browser::on(&$site) {
            Some(browser) => browser,
            None => return,
        }
    };
}
use browser_on;
