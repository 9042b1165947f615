//! The security headers of every page, and what no page contains.

use actix_web::http::Method;
use ringback::dashboard::PAGES;

use super::browser::Browser;
use super::form_values::{body_for, missing};
use super::html::{Tag, tags};
use crate::tenant::Tenant;
use crate::world::{ADMIN, Answer, World};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// With all that it brings along, uncompressed.
const FIRST_PAGE_LIMIT: usize = 150_000;

fn check(answer: &Answer, case: &str) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{case}: {name}");
    }
    if !case.contains("/assets/") {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
    }
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        let tags = tags(&answer.text);
        // a part of a page may be a text alone
        assert!(tags.len() > 10 || !answer.text.starts_with("<!DOCTYPE"), "{case}: {}", answer.text);
        let mut ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{case}: an id stands twice in {}", answer.text);
        tags.iter().for_each(|tag| check_tag(tag, case));
    }
}

/// Nothing inline, nothing from elsewhere.
fn check_tag(tag: &Tag, case: &str) {
    let case = format!("{case}: <{} {:?}>", tag.name, tag.attributes);
    assert!(!matches!(tag.name.as_str(), "style" | "iframe" | "object" | "embed" | "base"), "{case}");
    if tag.name == "script" {
        assert!(tag.attribute("src").is_some() && tag.text.is_empty(), "{case}");
    }
    for (name, value) in &tag.attributes {
        assert!(name != "style" && !name.starts_with("on") && !name.starts_with("hx-on"), "{case}");
        let is_address = matches!(
            name.as_str(),
            "src" | "href" | "action" | "formaction" | "poster" | "srcset" | "hx-get" | "hx-post"
        );
        let is_ours = (value.starts_with('/') && !value.starts_with("//")) || value.starts_with(['#', '?']);
        assert!(!is_address || is_ours, "{case}");
    }
}

#[actix_web::test]
async fn every_response_has_the_policy_and_no_page_violates_it() {
    for page in PAGES {
        for who in ["", "viewer", "owner", "admin"] {
            let world = World::new().await;
            let tenant = Tenant::new(&world).await;
            let browser = match who {
                "" => Browser::new(&world),
                who => Browser::signed_in(&world, tenant.key(who)).await,
            };
            let case = format!("{who}: {} {}", page.method, page.path);
            if page.method == Method::GET {
                check(&browser.get(&missing(page.path)).await, &format!("{case}, of what is missing"));
                check(&browser.get(&tenant.path(page.path)).await, &case);
                check(&browser.send("HEAD", &tenant.path(page.path), &[], "").await, &format!("{case}, its head"));
                let odd = format!("{}?cursor=%3Cscript%3E&done=%3Cscript%3E", tenant.path(page.path));
                check(&browser.get(&odd).await, &format!("{case}, with an odd query"));
                continue;
            }
            let address = tenant.path(page.path);
            check(&browser.send("POST", &address, &[], "").await, &format!("{case}, from elsewhere"));
            check(
                &browser.post(&missing(page.path), body_for(page.path)).await,
                &format!("{case}, of what is missing"),
            );
            let large = "x".repeat(2 << 20);
            check(&browser.post(&address, &[("name", &large)]).await, &format!("{case}, too large"));
            check(&browser.post(&address, &[]).await, &format!("{case}, empty"));
            check(&browser.post(&address, body_for(page.path)).await, &case);
        }
    }
}

#[actix_web::test]
async fn a_page_reports_an_unavailable_database_with_its_headers() {
    use std::sync::atomic::Ordering;
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let browser = Browser::signed_in(&world, tenant.key("owner")).await;
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    for address in ["/event-types", "/keys", "/"] {
        let answer = browser.get(address).await;
        assert_eq!(answer.status, 503, "{address}");
        assert!(answer.text.contains("Temporarily unavailable"), "{address}: {}", answer.text);
        check(&answer, address);
    }
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    assert_eq!(browser.get("/keys").await.status, 200, "the session was not ended for that");
}

#[actix_web::test]
async fn assets_are_cached_for_ever_under_their_hash_and_never_under_another() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    let page = browser.get("/sign-in").await.text;
    let style = tags(&page)
        .iter()
        .find_map(|tag| tag.attribute("href").filter(|it| it.ends_with("app.css")).map(str::to_owned));
    let style = style.unwrap();
    let kept = browser.get(&style).await;
    assert_eq!(kept.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(kept.header("content-type"), Some("text/css; charset=utf-8"));
    let old = browser.get("/assets/old/app.css").await;
    assert_eq!((old.status, old.header("cache-control")), (200, Some("no-store")));
    for nothing in ["/assets/x/nothing.js", "/assets/x/..%2fapp.css"] {
        assert_eq!(browser.get(nothing).await.status, 404, "{nothing}");
    }
}

#[actix_web::test]
async fn the_first_page_is_small_including_its_assets() {
    let world = World::new().await;
    let tenant = Tenant::new(&world).await;
    let (nobody, owner) = (Browser::new(&world), Browser::signed_in(&world, tenant.key("owner")).await);
    let (door, overview) = (nobody.get("/sign-in").await.text, owner.get("/").await.text);
    let mut files: Vec<String> = Vec::new();
    for tag in tags(&door).iter().chain(&tags(&overview)) {
        let addresses = ["src", "href"].into_iter().filter_map(|name| tag.attribute(name));
        files.extend(addresses.filter(|address| address.starts_with("/assets/")).map(str::to_owned));
    }
    files.sort_unstable();
    files.dedup();
    assert!(files.len() >= 4, "{files:?}");
    let mut sum = door.len() + overview.len();
    for file in &files {
        sum += nobody.get(file).await.text.len();
    }
    assert!(sum < FIRST_PAGE_LIMIT, "{sum} bytes");
}

#[actix_web::test]
async fn the_admin_starts_with_the_organizations() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let answer = browser.get("/").await;
    assert_eq!((answer.status, answer.location()), (303, "/organizations"));
    let empty = browser.get("/organizations").await.text;
    assert!(empty.contains("No organizations yet"), "{empty}");
}
