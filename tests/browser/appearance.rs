//! Colours and times, as their reader has them.

use serde_json::json;

use crate::browser::{THEMES, button, css};
use crate::browser_on;
use crate::site::Site;

const BACKGROUND: &str = "getComputedStyle(document.body).backgroundColor";

#[test]
fn a_chosen_theme_is_kept_and_the_systems_is_the_default() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.sign_in(site.owner.key());
    let prefer = |scheme: &str| {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", features);
    };
    let by_system = THEMES.map(|theme| {
        prefer(theme);
        browser.value(BACKGROUND)
    });
    assert_ne!(by_system[0], by_system[1]);
    for (index, theme) in THEMES.iter().enumerate() {
        prefer(THEMES[1 - index]);
        browser.choose_theme(theme);
        assert_eq!(browser.value(BACKGROUND), by_system[index], "{theme} at once");
        browser.open("/");
        assert_eq!(browser.value(BACKGROUND), by_system[index], "{theme} on the next page");
    }
    browser.choose_theme("system");
    browser.open("/");
    assert_eq!(browser.value(BACKGROUND), by_system[0], "the system's again");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "Sign in");
}

#[test]
fn times_are_shown_in_the_viewers_zone_with_the_exact_utc() {
    let site = Site::new();
    let browser = browser_on!(site);
    browser.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Tokyo"}));
    site.webhook(&json!({"url": "https://hooks.example.com/"}));
    browser.sign_in(site.owner.key());
    browser.open("/changes");
    let time = css("main time");
    let iso = browser.ask(&time, "it.dateTime");
    let expected = "new Date(arguments[0]).toLocaleTimeString('en-GB', { timeZone: 'Asia/Tokyo' })";
    let expected = browser.script(&format!("return {expected}"), &json!([iso]));
    browser.reads(&time, expected.as_str().unwrap());
    let utc = iso.as_str().unwrap().replace('T', " ").replace('Z', " UTC");
    assert_eq!(browser.ask(&time, "it.title"), utc);
}
