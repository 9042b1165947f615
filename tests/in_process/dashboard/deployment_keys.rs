//! Keys of the deployment: made, shown once, revoked.

use serde_json::json;

use super::browser::Browser;
use crate::world::{ADMIN, World};

#[actix_web::test]
async fn a_deployment_key_is_shown_once_acts_in_every_organization_and_is_revoked() {
    let world = World::new().await;
    let organization = world.organization("acme").await;
    let browser = Browser::signed_in(&world, ADMIN).await;
    let made = browser.post("/deployment-keys", &[("name", "backend"), ("role", "publisher")]).await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    let key = made.text.split("<code id=\"new-key\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let event = json!({"event_type": "call.completed", "data": {}}).to_string();
    world.call_in(key, &organization, "POST", "/v1/events", event.clone()).await.ok(202);
    let list = browser.get("/deployment-keys").await.text;
    assert!(list.contains("backend") && list.contains(&key[..12]) && !list.contains(key), "{list}");
    let id = world.get(ADMIN, "/v1/keys").await.ok(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let revoked = browser.post(&format!("/deployment-keys/{id}/revoke"), &[]).await;
    assert_eq!(revoked.location(), "/deployment-keys?done=revoked");
    world.call_in(key, &organization, "POST", "/v1/events", event).await.problem(401, "unauthorized");
}

#[actix_web::test]
async fn whoever_signs_in_with_a_deployment_key_sees_which_one_it_is() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, &world.deployment_key("admin").await).await;
    let page = browser.get("/deployment-keys").await.text;
    assert!(page.contains("your current key"), "{page}");
    let refused = browser.post("/deployment-keys", &[("name", ""), ("role", "king")]).await;
    assert!(
        refused.status == 422 && refused.text.contains("id=\"role-error\"")
            || refused.text.contains("must be one of")
    );
}
