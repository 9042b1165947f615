//! What whoever comes by a sign-in link sees: the product, and nothing of ours.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::{Method, header};
use bytes::Bytes;
use ringback::config::{AccentColor, Logo, PortalSettings};
use ringback::dashboard::{Dashboard, PAGES, Portal};
use serde_json::{Value, json};

use super::browser::Browser;
use super::form_values::{body_for, missing};
use super::html::tags;
use crate::database::Database;
use crate::tenant::Tenant;
use crate::world::{ADMIN, Answer, World};

const LOGO: &str = r#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
const BACK: &str = "https://app.acme.example/settings";
const FRAMED: &str = "frame-ancestors https://app.acme.example https://admin.acme.example:8443; base-uri 'none'";

fn settings() -> PortalSettings {
    PortalSettings {
        public_url: None,
        name: Some(String::from("Acme & Co")),
        logo: Some(Logo {
            path: "logo.svg".into(),
            content_type: "image/svg+xml",
            bytes: Bytes::from_static(LOGO.as_bytes()),
        }),
        accent_color: Some(AccentColor([0xff, 0xff, 0])),
        frame_ancestors: Vec::new(),
    }
}

fn with_frames() -> PortalSettings {
    let origins = ["https://app.acme.example", "https://admin.acme.example:8443"];
    PortalSettings { frame_ancestors: origins.map(String::from).to_vec(), ..settings() }
}

async fn world(settings: &PortalSettings) -> World {
    World::with_dashboard(Database::Memory, Dashboard::new(true).of_product(Portal::new(settings)), |_| {}).await
}

/// The path of a link for an organization.
async fn link(world: &World, organization: &str, link: Value) -> String {
    let made = world.post(ADMIN, &format!("/v1/organizations/{organization}/sign-in-links"), link).await.ok(201);
    let (_, path) = made["url"].as_str().unwrap().split_once("/sign-in").unwrap();
    format!("/sign-in{path}")
}

async fn visitor<'a>(world: &'a World, tenant: &Tenant, role: &str) -> Browser<'a> {
    let browser = Browser::new(world);
    let link = link(world, &tenant.organization, json!({"role": role, "return_url": BACK})).await;
    let answer = browser.get(&link).await;
    assert_eq!(browser.get(answer.location()).await.location(), "/");
    browser
}

fn cookies(answer: &Answer) -> Vec<Vec<&str>> {
    let all = answer.headers.get_all(header::SET_COOKIE);
    all.map(|cookie| cookie.to_str().unwrap().split("; ").collect()).collect()
}

fn policy(answer: &Answer) -> &str {
    answer.header("content-security-policy").unwrap()
}

fn is_framable(answer: &Answer) -> bool {
    let is_allowed = policy(answer).contains(FRAMED);
    assert!(is_allowed || policy(answer).contains("frame-ancestors 'none'"), "{}", policy(answer));
    assert_eq!(answer.header("x-frame-options"), (!is_allowed).then_some("DENY"));
    is_allowed
}

/// Words that are about us, our operator, or what only those have.
const NOT_FOR_CUSTOMERS: [&str; 9] = [
    "ringback",
    "/docs",
    "deployment",
    " operator ",
    "administrator",
    "allowed_networks",
    "limits.",
    "cluster",
    "--dev",
];

fn check_for_customers(answer: &Answer, case: &str) {
    let is_page = answer.text.starts_with("<!DOCTYPE");
    let mut text = answer.text.to_lowercase();
    // what is sent to a receiver is shown as it is sent
    text = text.replace("<td>ringback/test</td>", "");
    for word in NOT_FOR_CUSTOMERS {
        if let Some(at) = text.find(word) {
            let before = text[..at].rsplit('<').next().unwrap();
            panic!("{case}: {word} after {before:?}");
        }
    }
    assert!(!is_page || answer.text.contains("Acme &amp; Co</title>"), "{case}: {}", answer.text);
}

#[actix_web::test]
async fn no_page_that_a_visitor_can_open_speaks_of_us_or_of_who_runs_it() {
    for role in ["viewer", "manager", "owner"] {
        let world = world(&settings()).await;
        let tenant = Tenant::new(&world).await;
        let browser = visitor(&world, &tenant, role).await;
        for page in PAGES.iter().filter(|page| page.method == Method::GET && !page.path.starts_with("/assets")) {
            let case = format!("{role}: {}", page.path);
            check_for_customers(&browser.get(&tenant.path(page.path)).await, &case);
            check_for_customers(&browser.get(&missing(page.path)).await, &format!("{case}, of what is missing"));
        }
        let nowhere = browser.send("GET", "/nowhere", &[("accept", "text/html")], "").await;
        assert_eq!(nowhere.status, 404);
        check_for_customers(&nowhere, "nowhere");
        assert!(!nowhere.text.contains("other"), "nothing of another organization");
    }
    for page in PAGES.iter().filter(|page| page.method == Method::POST && !page.path.starts_with("/sign-")) {
        for role in ["viewer", "owner"] {
            let world = world(&settings()).await;
            let tenant = Tenant::new(&world).await;
            let browser = visitor(&world, &tenant, role).await;
            let case = format!("{role}: POST {}", page.path);
            let missing = missing(page.path);
            for (address, form) in [
                (&missing, body_for(page.path)),
                (&tenant.path(page.path), &[]),
                (&tenant.path(page.path), body_for(page.path)),
            ] {
                check_for_customers(&browser.post(address, form).await, &case);
            }
        }
    }
}

#[actix_web::test]
async fn without_data_pages_do_not_speak_of_us_either() {
    let world = world(&settings()).await;
    let organization = world.organization("acme").await;
    for role in ["viewer", "owner"] {
        let browser = Browser::new(&world);
        browser.get(&link(&world, &organization, json!({ "role": role })).await).await;
        for page in ["/", "/webhooks", "/logs", "/events", "/event-types"] {
            let answer = browser.get(page).await;
            assert_eq!(answer.status, 200);
            check_for_customers(&answer, page);
        }
    }
}

#[actix_web::test]
async fn a_visitor_sees_name_logo_and_colour_and_who_has_a_key_does_not() {
    let world = world(&settings()).await;
    let tenant = Tenant::new(&world).await;
    let page = visitor(&world, &tenant, "viewer").await.get("/webhooks").await.text;
    let named = |ending: &str| {
        let tags = tags(&page);
        let mut found = tags.iter().filter_map(|tag| tag.attribute("src").or(tag.attribute("href")));
        found
            .find(|address| address.ends_with(ending))
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{ending}: {page}"))
    };
    assert!(page.contains("Webhooks · Acme &amp; Co</title>"), "{page}");
    assert!(page.contains(&format!("href=\"{BACK}\" target=\"_top\">Back to Acme &amp; Co</a>")), "{page}");
    let nobody = Browser::new(&world);
    let style = nobody.get(&named("/accent.css")).await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(style.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(
        style.text.starts_with(":root{--accent:#")
            && !style.text.contains("--accent:#ffff00;--accent-fill:#ffff00;--accent-ink:#ffffff")
    );
    let logo = nobody.get(&named("/logo")).await;
    assert_eq!((logo.header("content-type"), logo.text.as_str()), (Some("image/svg+xml"), LOGO));
    // opened by itself it is a document of our host
    assert_eq!(policy(&logo), "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    assert_eq!(logo.header("x-content-type-options"), Some("nosniff"));
    assert!(page.contains("<img class=\"logo\""), "only as a picture, in which nothing runs: {page}");
    for key in [tenant.key("owner"), ADMIN] {
        let browser = Browser::signed_in(&world, key).await;
        for address in ["/", "/organizations", "/webhooks"] {
            let page = browser.get(address).await.text;
            assert!(
                !page.contains("Acme &amp;") && !page.contains("accent.css") && !page.contains("/logo"),
                "{page}"
            );
        }
    }
    assert!(nobody.get("/sign-in").await.text.contains("Ringback"));
}

#[actix_web::test]
async fn without_a_look_of_its_own_a_product_has_a_plain_one() {
    let world = world(&PortalSettings::default()).await;
    let tenant = Tenant::new(&world).await;
    let page = visitor(&world, &tenant, "viewer").await.get("/logs").await.text;
    assert!(page.contains("Logs · Webhooks</title>") && page.contains("/mark.svg\""), "{page}");
    assert!(page.contains("Back to where you came from") && !page.to_lowercase().contains("ringback"), "{page}");
}

#[actix_web::test]
async fn whoever_is_no_longer_signed_in_is_sent_back_to_the_product_and_not_asked_for_a_key() {
    let world = world(&settings()).await;
    let tenant = Tenant::new(&world).await;
    let browser = visitor(&world, &tenant, "manager").await;
    let check = |answer: Answer, status: u16, heading: &str| {
        assert_eq!(answer.status, status);
        assert!(answer.text.contains(&format!("<h1>{heading}</h1>")), "{}", answer.text);
        assert!(answer.text.contains(&format!("href=\"{BACK}\"")), "{}", answer.text);
        assert!(!answer.text.contains("<form"), "{}", answer.text);
        check_for_customers(&answer, heading);
    };
    let stolen = browser.stolen();
    let left = browser.post("/sign-out", &[]).await;
    check(browser.get(left.location()).await, 200, "You are signed out");
    assert_eq!(stolen.get("/webhooks").await.location(), "/sign-in?over=1", "the session is over on the server");
    check(browser.get(browser.get("/webhooks").await.location()).await, 200, "Your session is over");
    let part = browser.send("GET", "/", &[("hx-request", "true")], "").await;
    assert_eq!(part.header("hx-redirect"), Some("/sign-in?over=1"));

    let expiring = visitor(&world, &tenant, "viewer").await;
    world.clock.advance(Duration::from_secs(12 * 3600));
    check(expiring.get(expiring.get("/logs").await.location()).await, 200, "Your session is over");
    check(expiring.get("/sign-in?began=1&visit=1").await, 422, "The browser did not keep the sign-in");
    // another browser knows nothing but the link
    let used = link(&world, &tenant.organization, json!({"return_url": BACK})).await;
    Browser::new(&world).get(&used).await;
    check(Browser::new(&world).get(&used).await, 422, "This link opens nothing any more");

    // whoever asks for it finds the form for a key
    assert!(browser.get("/sign-in").await.text.contains("API key"));
    browser.sign_in(tenant.key("owner")).await;
    let out = browser.post("/sign-out", &[]).await;
    assert_eq!(out.location(), "/sign-in");
    assert_eq!(browser.get("/webhooks").await.location(), "/sign-in?next=%2Fwebhooks", "the visit is forgotten");
}

#[actix_web::test]
async fn a_link_that_can_not_be_looked_up_now_says_so_as_the_product() {
    let world = world(&with_frames()).await;
    let organization = world.organization("acme").await;
    let link = link(&world, &organization, json!({})).await;
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    let answer = Browser::new(&world).get(&link).await;
    assert_eq!(answer.status, 503);
    assert!(is_framable(&answer));
    check_for_customers(&answer, "unavailable");
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    assert_eq!(Browser::new(&world).get(&link).await.status, 303, "it was not used up");
}

#[actix_web::test]
async fn where_a_visitor_came_from_becomes_a_link_only_if_it_is_a_web_address() {
    let world = world(&settings()).await;
    for url in ["javascript:alert(1)", "data:text/html,x", "/here", "", "https://"] {
        let origin = data_encoding::BASE64URL_NOPAD.encode(url.as_bytes());
        let cookie = format!("__Host-ringback_origin={origin}");
        let page = Browser::new(&world).send("GET", "/sign-in?over=1", &[("cookie", &cookie)], "").await;
        assert!(!page.text.contains("Back to"), "{url}: {}", page.text);
    }
}

#[actix_web::test]
async fn a_visit_and_the_session_of_a_key_are_not_taken_for_each_other() {
    let world = world(&settings()).await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let entered = browser.get(&link(&world, &tenant.organization, json!({"role": "viewer"})).await).await;
    assert!(cookies(&entered).iter().all(|cookie| !cookie[0].contains("_session=")), "{:?}", cookies(&entered));
    assert!(browser.get("/webhooks").await.text.contains("Acme &amp; Co"), "the visit began later");
    assert_eq!(browser.get("/organizations").await.status, 403, "and has its own role");
    browser.sign_in(ADMIN).await;
    assert_eq!(browser.get("/organizations").await.status, 200);
    browser.get(&link(&world, &tenant.organization, json!({"role": "viewer"})).await).await;
    browser.post("/sign-out", &[]).await;
    assert!(browser.get("/organizations").await.asks_to_sign_in(), "signing out ends both");
}

#[actix_web::test]
async fn only_pages_of_visitors_may_be_framed_and_only_by_the_origins_of_the_settings() {
    let world = world(&with_frames()).await;
    let tenant = Tenant::new(&world).await;
    let browser = visitor(&world, &tenant, "manager").await;
    for address in ["/", "/webhooks", "/webhooks/new", "/logs", "/keys", "/organizations", "/webhooks/nothing"] {
        assert!(is_framable(&browser.get(address).await), "{address}");
    }
    assert!(is_framable(&browser.send("GET", "/nowhere", &[("accept", "text/html")], "").await));
    for address in ["/sign-in?left=1", "/sign-in?over=1", "/sign-in?link=x", "/sign-in?began=1&visit=1"] {
        assert!(is_framable(&Browser::new(&world).get(address).await), "{address}");
    }
    // also in a browser that was a visitor's
    let left = visitor(&world, &tenant, "manager").await;
    left.post("/sign-out", &[]).await;
    for browser in [&left, &Browser::new(&world)] {
        for address in ["/sign-in", "/sign-in?ticket=x", "/sign-in?began=1"] {
            assert!(!is_framable(&browser.get(address).await), "{address}");
        }
    }
    for key in ["owner", "admin"] {
        let browser = Browser::signed_in(&world, tenant.key(key)).await;
        for page in PAGES.iter().filter(|page| page.method == Method::GET && !page.path.starts_with("/assets")) {
            assert!(!is_framable(&browser.get(&tenant.path(page.path)).await), "{key}: {}", page.path);
        }
    }
    let unframed = world_without_frames().await;
    let tenant = Tenant::new(&unframed).await;
    assert!(!is_framable(&visitor(&unframed, &tenant, "manager").await.get("/webhooks").await));
}

async fn world_without_frames() -> World {
    world(&settings()).await
}

#[actix_web::test]
async fn the_cookie_of_a_visit_is_kept_in_frames_and_that_of_a_key_never_sent_from_one() {
    let framed = ["SameSite=None", "Secure", "Partitioned", "HttpOnly", "Path=/"];
    for (settings, secure, expected) in [
        (with_frames(), true, &framed[..]),
        // a browser takes no other from a frame; on localhost it takes it without HTTPS
        (with_frames(), false, &framed[..]),
        (settings(), true, &["SameSite=Lax", "Secure", "HttpOnly", "Path=/"]),
        (settings(), false, &["SameSite=Lax", "HttpOnly", "Path=/"]),
    ] {
        let dashboard = Dashboard::new(secure).of_product(Portal::new(&settings));
        let world = World::with_dashboard(Database::Memory, dashboard, |_| {}).await;
        let tenant = Tenant::new(&world).await;
        let browser = Browser::new(&world);
        let entered = browser.get(&link(&world, &tenant.organization, json!({})).await).await;
        let left = browser.post("/sign-out", &[]).await;
        let visit = |answer: &Answer| -> Vec<String> {
            let cookies = cookies(answer);
            let cookie = cookies.iter().find(|cookie| cookie[0].contains("ringback_visit=")).unwrap();
            cookie[1..].iter().map(|part| (*part).to_owned()).collect()
        };
        for answer in [&entered, &left] {
            let mut found = visit(answer);
            found.retain(|part| !part.starts_with("Max-Age"));
            found.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "a cookie goes only as it came");
        }
        let signed_in = Browser::new(&world).sign_in(tenant.key("owner")).await;
        let cookies = cookies(&signed_in);
        assert_eq!(cookies.len(), 1);
        assert!(cookies[0].contains(&"SameSite=Strict") && !cookies[0].contains(&"Partitioned"), "{cookies:?}");
    }
}

#[actix_web::test]
async fn forms_of_other_sites_are_refused_with_a_visit_that_frames_keep() {
    let world = world(&with_frames()).await;
    let tenant = Tenant::new(&world).await;
    let browser = visitor(&world, &tenant, "owner").await;
    let before = tenant.everything(&world).await;
    for page in PAGES.iter().filter(|page| page.method == Method::POST && page.path != "/sign-in") {
        for site in ["cross-site", "same-site", "none"] {
            let form = super::browser::encoded(body_for(page.path));
            let from = [("sec-fetch-site", site), ("origin", "https://app.acme.example")];
            let answer = browser.send("POST", &tenant.path(page.path), &from, &form).await;
            assert_eq!(answer.status, 403, "{site}: {}", page.path);
        }
    }
    assert_eq!(tenant.everything(&world).await, before);
    assert_eq!(browser.get("/webhooks").await.status, 200, "nobody signs them out either");
}
