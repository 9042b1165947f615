//! The page of one organization.

use serde_json::json;

use super::browser::Browser;
use crate::world::{ADMIN, World};

#[actix_web::test]
async fn an_organization_is_shown_with_the_publishers_own_id_and_metadata() {
    let world = World::new().await;
    let body = json!({"name": "acme", "uid": "customer-42", "metadata": {"plan": "<b>gold</b>"}});
    let id = world.post(ADMIN, "/v1/organizations", body).await.ok(201)["id"].as_str().unwrap().to_owned();
    let browser = Browser::signed_in(&world, ADMIN).await;
    let page = browser.get(&format!("/organizations/{id}")).await.text;
    assert!(page.contains("<code id=\"organization-uid\">customer-42</code>"), "{page}");
    assert!(page.contains("<code>plan</code>: &lt;b&gt;gold&lt;/b&gt;"), "{page}");
    let without = world.organization("other").await;
    let page = browser.get(&format!("/organizations/{without}")).await.text;
    assert!(!page.contains("Your ID") && !page.contains("Metadata"), "{page}");
}
