//! Where answers lead to: never to another host, whatever a request asks for.

use ringback::dashboard::PAGES;
use test_support::next_addresses::{HOSTILE, OWN};
use url::Url;

use super::browser::{Browser, encoded};
use super::form_values::body_for;
use crate::tenant::Tenant;
use crate::world::{Answer, World};

const HERE: &str = "https://hooks.example.com/sign-in";

/// Where a browser goes on to. Fails when that is elsewhere.
fn followed(answer: &Answer, case: &str) -> Url {
    assert_eq!(answer.status, 303, "{case}: {}", answer.text);
    let location = answer.headers.get("location").unwrap().as_bytes();
    assert!(location.iter().all(|byte| byte.is_ascii_graphic()), "{case}: {location:?}");
    assert_eq!(answer.headers.get_all("location").count(), 1, "{case}");
    let here = Url::parse(HERE).unwrap();
    let there = here.join(answer.location()).unwrap();
    assert_eq!(there.origin(), here.origin(), "{case} → {}", answer.location());
    assert_eq!((there.username(), there.password()), ("", None), "{case}");
    there
}

#[actix_web::test]
async fn a_sign_in_never_redirects_to_another_host() {
    assert!(HOSTILE.len() >= 40);
    let world = World::new().await;
    let owner = world.owner().await;
    let long = [format!("/{}", "a".repeat(60_000)), format!("/{}/evil.example", "/".repeat(3_000))];
    for next in HOSTILE.iter().copied().chain(long.iter().map(String::as_str)) {
        let case = format!("{:.80}", format!("{next:?}"));
        let browser = Browser::new(&world);
        let query = encoded(&[("next", next)]);
        let asked = browser.get(&format!("/sign-in?{query}")).await;
        assert_eq!(asked.status, 200, "{case}");
        let entered = browser.post("/sign-in", &[("key", &owner), ("next", next)]).await;
        assert_eq!(followed(&entered, &case).path(), "/sign-in", "{case}");
        followed(&browser.get(entered.location()).await, &case);
        // also for who is signed in already
        followed(&browser.get(&format!("/sign-in?{query}")).await, &case);
    }
}

#[actix_web::test]
async fn a_sign_in_continues_to_the_requested_page() {
    let world = World::new().await;
    let owner = world.owner().await;
    for (next, expected) in OWN {
        let browser = Browser::new(&world);
        let entered = browser.post("/sign-in", &[("key", &owner), ("next", next)]).await;
        assert_eq!(browser.get(entered.location()).await.location(), *expected, "{next:?}");
    }
}

#[actix_web::test]
async fn raw_characters_in_an_address_lead_to_no_other_host() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.owner().await).await;
    for query in [
        "next=/%09/evil.example",
        "next=/%0A/evil.example",
        "next=/%0D%0A/evil.example",
        "next=/%00/evil.example",
        "next=/%5Cevil.example",
        "next=%2F%2Fevil.example",
        "next=%2f%09%2fevil.example",
        "next=//evil.example",
        "next=/%E2%80%8B/evil.example",
        "next=/%FF/evil.example",
        "next=/keys&next=//evil.example",
        "next=//evil.example&next=/keys",
        "next[]=//evil.example",
        "next=/%",
        "next=/%zz",
        "next",
        "=//evil.example",
    ] {
        followed(&browser.get(&format!("/sign-in?{query}")).await, query);
    }
}

/// Every form, with each field that could name a page holding each hostile address.
#[actix_web::test]
async fn no_form_redirects_to_another_host_or_fails() {
    for next in HOSTILE {
        let world = World::new().await;
        let tenant = Tenant::new(&world).await;
        let browser = Browser::signed_in(&world, tenant.key("owner")).await;
        let names = ["next", "from", "query", "return", "return_url", "back", "url", "webhook_id", "active", "id"];
        for page in PAGES.iter().filter(|page| page.method == "POST" && page.path != "/sign-out") {
            let known = body_for(page.path);
            let kept = names.iter().filter(|name| known.iter().all(|(it, _)| it != *name));
            let form: Vec<(&str, &str)> = known.iter().copied().chain(kept.map(|name| (*name, *next))).collect();
            let referer = ("referer", "https://evil.example/");
            let headers = [referer, ("sec-fetch-site", "same-origin")];
            let answer = browser.send("POST", &tenant.path(page.path), &headers, &encoded(&form)).await;
            let case = format!("{next:?} to {}", page.path);
            assert!(answer.status < 500, "{case}: {}", answer.text);
            assert_eq!(answer.header("refresh"), None, "{case}");
            if answer.status == 303 {
                followed(&answer, &case);
            }
            for header in ["hx-redirect", "hx-location", "hx-push-url", "hx-replace-url"] {
                assert!(answer.header(header).is_none_or(|to| to == "/sign-in"), "{case}: {header}");
            }
        }
    }
}
