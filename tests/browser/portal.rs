//! Customers who come by a sign-in link: how a product's dashboard looks, and how it does inside of the product's pages.

use serde_json::{Value, json};
use test_support::engine::{ADMIN_KEY, text};
use test_support::receiver::{Receiver, reply};

use crate::accessibility;
use crate::browser::{ALL_WIDTHS, Browser, THEMES, WIDTHS, button, css, field, link};
use crate::browser_on;
use crate::site::Site;

/// Shows in a frame what stands behind the # of its own address.
const PRODUCT: &str = "<!doctype html><html lang=en><title>Product</title><h1>Product</h1>\
                       <iframe id=frame title=Webhooks width=1000 height=700></iframe>\
                       <script>if (location.hash) document.getElementById('frame').src = location.hash.slice(1)</script>";
const LOGO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard/assets/icon.svg");
/// On the light ground, on the dark one, on both: they can't be read, each in its own way.
const NASTY: [&str; 4] = ["#ffffff", "#000000", "#ffff00", "#777777"];
const PAGES: [&str; 8] =
    ["/", "/webhooks", "/webhooks/new", "/logs", "/events", "/events/new", "/event-types", "/keys"];

/// A product's own server, on another site than the dashboard: cookies tell `localhost` from `127.0.0.1`.
pub(crate) struct Product {
    server: Receiver,
}

impl Product {
    pub(crate) fn new() -> Self {
        let page = || reply(200).with("content-type", "text/html; charset=utf-8").body(PRODUCT);
        Self { server: Receiver::answering(move |_| page()) }
    }

    pub(crate) fn origin(&self) -> String {
        let url = url::Url::parse(&self.server.url()).unwrap();
        format!("http://localhost:{}", url.port().unwrap())
    }

    /// Its page with this in the frame.
    pub(crate) fn showing(&self, address: &str) -> String {
        format!("{}/#{address}", self.origin())
    }
}

/// Outside of `--dev`, as it is for customers.
fn site_in(product: &Product) -> Site {
    let origin = product.origin();
    let origins = format!("{origin},{}", origin.replace("localhost", "127.0.0.1"));
    Site::with(|serve| serve.set("RINGBACK_PORTAL_NAME", "Acme").set("RINGBACK_PORTAL_FRAME_ANCESTORS", &origins))
}

fn sign_in_link(site: &Site, link: &Value) -> String {
    let links = format!("/v1/organizations/{}/sign-in-links", site.organization());
    text(&site.admin().post(&links, link).expect(201).json(), "url").to_owned()
}

/// A browser that keeps cookies of a frame for that frame alone, as browsers do more and more.
macro_rules! strict_browser_on {
    ($site:expr) => {
        match Browser::without_cookies_of_other_sites(&$site) {
            Some(browser) => browser,
            None => return,
        }
    };
}

#[test]
fn inside_of_a_products_page_a_customer_signs_in_and_works() {
    let product = Product::new();
    let site = site_in(&product);
    let browser = strict_browser_on!(site);
    let door = sign_in_link(&site, &json!({"role": "manager", "name": "Ada", "return_url": product.origin()}));
    browser.open(&product.showing(&door));
    browser.enter_frame(&css("#frame"));
    browser.reads(&css("h1"), "Overview");
    browser.reads(&css(".brand"), "Acme");
    assert_eq!(
        browser.value("document.cookie.includes('ringback_visit')"),
        false,
        "a script can read the session"
    );
    // a form of ours, from a frame of theirs
    browser.click(&link("Webhooks"));
    browser.click(&link("Add webhook"));
    browser.fill(&field("URL"), "https://hooks.example.com/from-the-frame");
    browser.click(&button("Add webhook"));
    browser.reads(&css("#done"), "Webhook added.");
    let webhooks = site.owner.get("/v1/webhooks").expect(200).json();
    assert_eq!(text(&webhooks["data"][0], "url"), "https://hooks.example.com/from-the-frame");
    // what a script asks for, and what it remembers
    browser.click(&link("Webhooks"));
    browser.click(&css("main a[href^='/webhooks/wh_']"));
    browser.click(&button("Reveal"));
    browser.has(&css("#secret-text"));
    for theme in THEMES {
        browser.choose_theme(theme);
        browser.click(&link("Logs"));
        browser.reads(&css("h1"), "Logs");
        assert_eq!(browser.value("document.documentElement.dataset.theme"), theme);
    }
    // a second visit, in the same frame of the same page
    browser.open("about:blank");
    browser.open(&product.showing(&site.address()));
    browser.enter_frame(&css("#frame"));
    browser.reads(&css("h1"), "Overview");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "You are signed out");
    browser.click(&link("Back to Acme"));
    browser.leave_frame();
    browser.reads(&css("h1"), "Product");
    browser.eventually("the product, not inside of itself", || {
        Ok((browser.value("location.hash") == "").then_some(()))
    });
}

/// What stands in the frame is the browser's own page about a refusal.
fn shows_nothing(browser: &Browser, address: &str) {
    browser.open(address);
    browser.enter_frame(&css("#frame"));
    browser.eventually("a refusal", || {
        Ok((browser.value("location.href").as_str() == Some("chrome-error://chromewebdata/")).then_some(()))
    });
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(["Overview", "Acme", "API key"].iter().all(|it| !text.contains(it)), "{address}: {text}");
    browser.leave_frame();
}

#[test]
fn pages_of_other_origins_show_nothing_and_nobody_shows_what_a_key_opens() {
    let (product, other) = (Product::new(), Product::new());
    let site = site_in(&product);
    let browser = browser_on!(site);
    browser.expect("frame-ancestors");
    browser.expect("X-Frame-Options");
    browser.expect("to deny");
    // the form for a key
    let sign_in = format!("{}/sign-in", site.address());
    shows_nothing(&browser, &product.showing(&sign_in));
    browser.sign_in(ADMIN_KEY);
    // a page of the site that the dashboard itself is of sends the cookie of a key along
    let from_here = product.showing(&site.address()).replace("localhost", "127.0.0.1");
    shows_nothing(&browser, &from_here);
    shows_nothing(&browser, &product.showing(&site.address()));
    let door = sign_in_link(&site, &json!({}));
    shows_nothing(&browser, &other.showing(&door));
}

/// As the settings make it, with one of the colours.
fn site_with(color: &str) -> Site {
    Site::with(|serve| {
        serve
            .argument("--dev")
            .set("RINGBACK_PORTAL_NAME", "Acme Telephony")
            .set("RINGBACK_PORTAL_LOGO", LOGO)
            .set("RINGBACK_PORTAL_ACCENT_COLOR", color)
    })
}

#[test]
fn a_customer_sees_the_products_name_logo_and_colour_and_who_has_a_key_sees_ours() {
    let site = site_with("#0a6c5a");
    let browser = browser_on!(site);
    browser.open(&sign_in_link(&site, &json!({"name": "Ada", "return_url": "https://app.acme.example/"})));
    browser.reads(&css(".brand"), "Acme Telephony");
    browser.reads(&css(".who"), "signed in as Ada");
    browser.has(&link("Back to Acme Telephony"));
    browser.choose_theme("light");
    let drawn = "document.querySelector('.brand img').naturalWidth > 0";
    browser.eventually("the logo", || Ok((browser.value(drawn) == true).then_some(())));
    browser.open("/webhooks");
    assert_eq!(browser.ask(&css(".button.primary"), "getComputedStyle(it).backgroundColor"), "rgb(10, 108, 90)");
    assert_eq!(browser.value("document.title"), "Webhooks · Acme Telephony");
    browser.click(&button("Sign out"));
    browser.reads(&css("h1"), "You are signed out");
    browser.reads(&css(".brand"), "Acme Telephony");
    browser.sign_in(site.owner.key());
    browser.reads(&css(".brand"), "Ringback");
    browser.open("/webhooks");
    assert_eq!(browser.ask(&css(".button.primary"), "getComputedStyle(it).backgroundColor"), "rgb(59, 71, 196)");
}

#[test]
fn whatever_colour_a_product_has_every_page_is_accessible_and_fits() {
    for (index, color) in NASTY.into_iter().enumerate() {
        let site = site_with(color);
        let browser = browser_on!(site);
        site.webhook(&json!({"url": "http://127.0.0.1:9999/", "description": "CRM"}));
        browser.open(&sign_in_link(&site, &json!({"role": "owner", "return_url": "https://app.acme.example/"})));
        browser.reads(&css("h1"), "Overview");
        // all of them for one; for the others those with every kind of control
        for page in if index == 0 { &PAGES[..] } else { &PAGES[..3] } {
            look_at(&browser, page, color);
        }
        browser.open("/");
        browser.click(&button("Sign out"));
        browser.reads(&css("h1"), "You are signed out");
        look_at(&browser, "/sign-in?left=1", color);
    }
}

fn look_at(browser: &Browser, page: &str, color: &str) {
    browser.open(page);
    for width in ALL_WIDTHS {
        browser.resize(width);
        browser.fits();
        if WIDTHS.contains(&width) {
            accessibility::check(browser, &format!("{color}: {page}, {width} px"));
        }
    }
    browser.has_no_complaints();
}
