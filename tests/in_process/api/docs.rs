//! The documentation that is served.

use data_encoding::BASE64;
use ringback::api::problem::ErrorCode;
use ringback::domain::event_types::{BUILT_IN, OPERATIONAL};
use sha2::{Digest, Sha256};

use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    the_description_is_open_to_all_and_is_openapi_3_1,
    the_documentation_names_the_headers_of_this_deployment_and_no_others,
    the_page_brings_everything_along_and_its_policy_allows_just_that,
    every_link_within_the_page_leads_somewhere,
);

async fn the_description_is_open_to_all_and_is_openapi_3_1(database: Database) {
    let world = World::on(database).await;
    let answer = world.get("", "/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.ok(200)["openapi"], "3.1.0");
}

async fn the_documentation_names_the_headers_of_this_deployment_and_no_others(database: Database) {
    let world = World::configured(database, |options| options.signature_header_prefix = "x-acme".to_owned()).await;
    for path in ["/openapi.json", "/docs"] {
        let text = world.get("", path).await.text;
        for name in ["signature", "signature-previous", "delivery", "attempt"] {
            assert!(text.contains(&format!("x-acme-{name}")), "{path}: {name}");
        }
        assert!(!text.to_lowercase().contains("x-callintel"), "{path}");
    }
    let other =
        World::configured(database, |options| options.signature_header_prefix = "x-other".to_owned()).await;
    assert!(other.get("", "/openapi.json").await.text.contains("x-other-signature"), "not what another one made");
}

async fn the_page_brings_everything_along_and_its_policy_allows_just_that(database: Database) {
    let world = World::on(database).await;
    let answer = world.get("", "/docs").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let (_, rest) = answer.text.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let policy = answer.header("content-security-policy").unwrap();
    let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
    assert!(policy.contains("default-src 'none'") && policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for forbidden in ["<script", "<link", "<img", " style=", "src="] {
        assert!(!answer.text.contains(forbidden), "{forbidden}");
    }
}

async fn every_link_within_the_page_leads_somewhere(database: Database) {
    let world = World::on(database).await;
    let page = world.get("", "/docs").await.text;
    let mut links = 0;
    for link in page.split("href=\"#").skip(1) {
        let (anchor, _) = link.split_once('"').unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "#{anchor}");
        links += 1;
    }
    assert!(links > 100, "{links}");
    for code in ErrorCode::ALL {
        assert!(page.contains(&format!("id=\"error-{}\"", code.as_str())), "{code:?}");
    }
    for event_type in BUILT_IN.iter().chain(OPERATIONAL) {
        assert!(page.contains(&format!("id=\"event-type-{}\"", event_type.name)), "{}", event_type.name);
    }
}
