//! Applications and endpoints that were brought over from Svix's server keep the ids that they had there.

use serde_json::{Value, json};

use super::{DEFAULT_ENVIRONMENT, environment_token, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    what_is_put_under_an_id_of_svix_keeps_it_in_every_path_and_response,
    a_token_that_svix_s_server_made_for_an_application_goes_on,
    an_id_of_svix_is_free_again_when_what_had_it_is_deleted,
    an_id_of_svix_belongs_to_one_environment_and_one_application,
);

const APP: &str = "app_2LBxFYmgXDq3bNSJG8zTvVeYj1A";
const ENDPOINT: &str = "ep_2LBxGqWm0hTnE5cUoRr7sKdLw9Z";
const URL: &str = "https://example.com/hook";

async fn bring(world: &World, token: &str) -> Value {
    let made = world.svix(token, "PUT", &format!("/app/{APP}"), json!({"name": "App"})).await.ok(201);
    let endpoint = json!({"url": URL, "uid": "main"});
    world.svix(token, "PUT", &format!("/app/{APP}/endpoint/{ENDPOINT}"), endpoint).await.ok(201);
    made
}

async fn what_is_put_under_an_id_of_svix_keeps_it_in_every_path_and_response(database: Database) {
    let world = world(database).await;
    let token = environment_token();
    assert_eq!(bring(&world, &token).await["id"], APP);
    let get = async |path: String| world.svix(&token, "GET", &path, "").await.ok(200);
    let again = world.svix(&token, "PUT", &format!("/app/{APP}"), json!({"name": "Other"})).await.ok(200);
    assert_eq!((&again["id"], &again["name"]), (&json!(APP), &json!("Other")));
    assert_eq!(get("/app".to_owned()).await["data"][0]["id"], APP);
    for name in [ENDPOINT, "main"] {
        assert_eq!(get(format!("/app/{APP}/endpoint/{name}")).await["id"], ENDPOINT);
    }
    assert_eq!(get(format!("/app/{APP}/endpoint")).await["data"][0]["id"], ENDPOINT);
    let organizations = world.get(ADMIN, "/v1/organizations").await.ok(200);
    let ours = organizations["data"][0]["id"].as_str().unwrap().replace("org_", "app_");
    assert_eq!(get(format!("/app/{ours}")).await["id"], APP, "ours names it as well");

    let message = json!({"eventType": "a.b", "eventId": "evt_1", "payload": {}});
    world.svix(&token, "POST", &format!("/app/{APP}/msg"), message).await.ok(202);
    let attempts = eventually("it is delivered", async || {
        let found =
            world.svix(&token, "GET", &format!("/app/{APP}/attempt/endpoint/{ENDPOINT}"), "").await.ok(200);
        (!found["data"].as_array().unwrap().is_empty()).then_some(found)
    });
    let attempt = attempts.await["data"][0].clone();
    assert_eq!(attempt["endpointId"], ENDPOINT);
    let id = attempt["id"].as_str().unwrap();
    assert_eq!(get(format!("/app/{APP}/msg/evt_1/attempt/{id}")).await["endpointId"], ENDPOINT);
    let of_endpoint = format!("/app/{APP}/attempt/msg/evt_1?endpoint_id={ENDPOINT}");
    assert_eq!(get(of_endpoint).await["data"][0]["endpointId"], ENDPOINT);
    assert_eq!(get(format!("/app/{APP}/msg/evt_1/endpoint")).await["data"][0]["id"], ENDPOINT);
}

async fn a_token_that_svix_s_server_made_for_an_application_goes_on(database: Database) {
    let world = world(database).await;
    bring(&world, &environment_token()).await;
    let own = token(&json!({"org": DEFAULT_ENVIRONMENT, "sub": APP}));
    let listed = world.svix(&own, "GET", &format!("/app/{APP}/endpoint"), "").await.ok(200);
    assert_eq!(listed["data"][0]["id"], ENDPOINT);
    world.svix(&own, "GET", "/app", "").await.svix_error(403, "insufficient access");
    let unknown = token(&json!({"org": DEFAULT_ENVIRONMENT, "sub": APP.replace('2', "3")}));
    world.svix(&unknown, "GET", "/event-type", "").await.svix_error(404, "not_found");
    let uid = token(&json!({"org": DEFAULT_ENVIRONMENT, "sub": "acme"}));
    world.svix(&uid, "GET", "/event-type", "").await.svix_error(400, "bad token");
}

async fn an_id_of_svix_is_free_again_when_what_had_it_is_deleted(database: Database) {
    let world = world(database).await;
    let token = environment_token();
    bring(&world, &token).await;
    let endpoint = format!("/app/{APP}/endpoint/{ENDPOINT}");
    world.svix(&token, "DELETE", &endpoint, "").await.ok(204);
    world.svix(&token, "GET", &endpoint, "").await.svix_error(404, "not_found");
    assert_eq!(world.svix(&token, "PUT", &endpoint, json!({"url": URL})).await.ok(201)["id"], ENDPOINT);
    world.svix(&token, "DELETE", &format!("/app/{APP}"), "").await.ok(204);
    world.svix(&token, "GET", &format!("/app/{APP}"), "").await.svix_error(404, "not_found");
    bring(&world, &token).await;
}

async fn an_id_of_svix_belongs_to_one_environment_and_one_application(database: Database) {
    let world = world(database).await;
    let (token, other) = (environment_token(), token(&json!({"sub": "org_another"})));
    bring(&world, &token).await;
    world.svix(&other, "GET", &format!("/app/{APP}"), "").await.svix_error(404, "not_found");
    bring(&world, &other).await;
    world.svix(&token, "POST", "/app", json!({"name": "Neighbour", "uid": "neighbour"})).await.ok(201);
    let there = format!("/app/neighbour/endpoint/{ENDPOINT}");
    world.svix(&token, "GET", &there, "").await.svix_error(404, "not_found");
    assert_eq!(world.svix(&token, "PUT", &there, json!({"url": URL})).await.ok(201)["id"], ENDPOINT);
}
