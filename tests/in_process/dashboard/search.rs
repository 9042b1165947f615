//! The search: ids lead to their pages, parts of URLs to webhooks, other text to tags.

use serde_json::json;

use super::browser::Browser;
use super::html::tags;
use crate::tenant::Tenant;
use crate::world::World;

#[actix_web::test]
async fn an_id_leads_to_its_page_and_one_of_another_organization_to_nothing() {
    let world = World::new().await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    for role in ["viewer", "manager", "owner"] {
        let browser = Browser::signed_in(&world, tenant.key(role)).await;
        for page in ["/events/{event_id}", "/logs/{delivery_id}", "/webhooks/{webhook_id}"] {
            let id = |of: &Tenant| of.path(page).rsplit_once('/').unwrap().1.to_owned();
            let found = browser.get(&format!("/search?q=+{}", id(&tenant).to_uppercase())).await;
            assert_eq!((found.status, found.location()), (303, tenant.path(page).as_str()), "{}", found.text);
            let foreign = browser.get(&format!("/search?q={}", id(&stranger))).await;
            assert!(foreign.status == 200 && foreign.text.contains("Not found"), "{}", foreign.text);
        }
    }
}

#[actix_web::test]
async fn a_part_of_a_url_finds_the_organizations_webhooks_and_any_text_offers_its_tag() {
    let world = World::new().await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    for (key, url) in [
        (&owner, "https://Hooks.example.com/one_100%25"),
        (&owner, "https://other.example.com/two"),
        (&stranger, "https://hooks.example.com/theirs"),
    ] {
        world.webhook(key, json!({"url": url})).await;
    }
    let browser = Browser::signed_in(&world, &owner).await;
    let found = async |text: &str| -> Vec<String> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", text).finish();
        let page = browser.get(&format!("/search?{query}")).await;
        assert_eq!(page.status, 200, "{text}");
        let (_, list) = page.text.split_once("id=\"found\"").unwrap_or_default();
        let links = tags(list).into_iter().filter(|tag| tag.attribute("class") == Some("url"));
        links.map(|tag| tag.attribute("title").unwrap().to_owned()).collect()
    };
    assert_eq!(found("HOOKS.example").await.len(), 1);
    assert_eq!(found("example.com").await.len(), 2);
    assert_eq!(found("one_100%").await.len(), 1);
    assert_eq!(found("%").await.len(), 1, "it is in one of the URLs");
    for nothing in ["one-100", "_00", "theirs", "!", "example_com"] {
        assert!(found(nothing).await.is_empty(), "{nothing}");
    }
    let page = browser.get("/search?q=vip%26%22").await.text;
    assert!(
        page.contains("href=\"/events?tag=vip%26%22\"") && page.contains("href=\"/logs?tag=vip%26%22\""),
        "{page}"
    );
    assert!(browser.get("/search").await.text.contains("by part of its URL"));
}
