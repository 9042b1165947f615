//! Who may call what: every registered route with every kind of token.

use ringback::domain::organization::Role;
use ringback::svix::Permission;
use ringback::svix::routes::ROUTES;
use serde_json::{Value, json};

use super::{NOW, SECRET, app_id, environment_token, of_application, signed, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    without_a_valid_token_only_open_routes_can_be_called,
    a_token_of_the_environment_reaches_every_route,
    another_environment_has_none_of_the_applications_of_this_one,
    a_token_of_an_application_reaches_its_own_routes_and_no_others,
    a_token_of_a_deleted_application_reaches_nothing,
    a_token_that_only_reads_changes_nothing,
    our_own_keys_are_tokens_too,
);

/// A path with the ids of what is there.
fn path(pattern: &str, application: &str) -> String {
    pattern.replace("{app}", application).replace("{event_type}", "user.signup")
}

fn body(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("POST", "/event-type") => r#"{"name":"user.deleted","description":"x"}"#,
        ("PUT", "/event-type/{event_type}") => r#"{"description":"x"}"#,
        _ => "{}",
    }
}

async fn call(world: &World, token: &str, route: &ringback::svix::RouteSpec, application: &str) -> (u16, String) {
    let method = route.method.as_str();
    let answer = world.svix(token, method, &path(route.path, application), body(method, route.path)).await;
    (answer.status, format!("{method} {}: {} {}", route.path, answer.status, answer.text))
}

/// A world with an event type and two applications.
async fn with_applications(database: Database) -> (World, String, String) {
    let world = world(database).await;
    let new = json!({"name": "user.signup", "description": "x"});
    world.svix(&environment_token(), "POST", "/event-type", new).await.ok(201);
    let (one, other) = (world.organization("one").await, world.organization("other").await);
    (world, one, other)
}

async fn without_a_valid_token_only_open_routes_can_be_called(database: Database) {
    let (world, one, _) = with_applications(database).await;
    let subject = super::DEFAULT_ENVIRONMENT;
    let good = environment_token();
    let cut = good[..good.len() - 1].to_owned();
    let bad = [
        String::new(),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        "rbk_unknown".to_owned(),
        SECRET.to_owned(),
        cut,
        token(&json!({"sub": subject, "exp": NOW - 3_600})),
        token(&json!({"sub": subject, "nbf": NOW + 3_600})),
        token(&json!({"sub": subject, "iat": NOW + 3_600})),
        token(&json!({"exp": NOW + 3_600})),
        signed("none", &json!({ "sub": subject })),
        signed("HS384", &json!({ "sub": subject })),
        signed("HS512", &json!({ "sub": subject })),
        signed("RS256", &json!({ "sub": subject })),
    ];
    for route in ROUTES {
        for token in &bad {
            let (status, case) = call(&world, token, route, &app_id(&one)).await;
            match route.permission {
                Permission::Open => assert!((200..300).contains(&status), "{case}"),
                _ => assert_eq!(status, 401, "{token} {case}"),
            }
        }
        // signed, and impossible
        for claims in
            [json!({"sub": "acme"}), json!({"sub": "app_x", "org": subject}), json!({"sub": app_id(&one)})]
        {
            let (status, case) = call(&world, &token(&claims), route, &app_id(&one)).await;
            assert_eq!(status == 400, route.permission != Permission::Open, "{claims} {case}");
        }
    }
}

fn is_admitted(status: u16) -> bool {
    (200..300).contains(&status) || status == 501
}

async fn a_token_of_the_environment_reaches_every_route(database: Database) {
    for route in ROUTES {
        let (world, one, _) = with_applications(database).await;
        let (status, case) = call(&world, &environment_token(), route, &app_id(&one)).await;
        assert!(is_admitted(status), "{case}");
    }
}

async fn another_environment_has_none_of_the_applications_of_this_one(database: Database) {
    let (world, one, _) = with_applications(database).await;
    let other = token(&json!({"sub": "org_another"}));
    let of_one_there = token(&json!({"org": "org_another", "sub": app_id(&one)}));
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&world, &of_one_there, route, &app_id(&one)).await;
        assert_eq!(status, 401, "{case}");
        let (status, case) = call(&world, &other, route, &app_id(&one)).await;
        match route.path.contains("{app}") {
            true => assert_eq!(status, 404, "{case}"),
            false => assert_ne!(status, 401, "{case}"),
        }
    }
    world.svix(&environment_token(), "GET", "/event-type/user.signup", "").await.ok(200);
    world.svix(&other, "GET", "/event-type/user.deleted", "").await.ok(200);
    world.svix(&environment_token(), "GET", "/event-type/user.deleted", "").await.svix_error(404, "not_found");
}

async fn a_token_of_an_application_reaches_its_own_routes_and_no_others(database: Database) {
    let (world, one, other) = with_applications(database).await;
    let token = token(&of_application(&one));
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&world, &token, route, &app_id(&one)).await;
        let foreign = match route.permission {
            Permission::Environment => {
                assert_eq!(status, 403, "{case}");
                403
            }
            _ => {
                assert!(is_admitted(status), "{case}");
                404
            }
        };
        if route.path.contains("{app}") {
            let (status, case) = call(&world, &token, route, &app_id(&other)).await;
            assert_eq!(status, foreign, "{case}");
            let (unknown, case) = call(&world, &token, route, "app_0000000000001").await;
            assert_eq!(unknown, foreign, "of another application as of none: {case}");
        }
    }
}

async fn a_token_of_a_deleted_application_reaches_nothing(database: Database) {
    let (world, one, _) = with_applications(database).await;
    let token = token(&of_application(&one));
    world.svix(&token, "GET", "/event-type", "").await.ok(200);
    world.call(ADMIN, "DELETE", &format!("/v1/organizations/{one}"), "").await.ok(204);
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&world, &token, route, &app_id(&one)).await;
        assert_eq!(status, 401, "{case}");
    }
}

async fn a_token_that_only_reads_changes_nothing(database: Database) {
    let (world, one, _) = with_applications(database).await;
    let mut claims = of_application(&one);
    claims["read_only"] = Value::Bool(true);
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&world, &token(&claims), route, &app_id(&one)).await;
        match route.permission {
            Permission::ApplicationRead => assert!(is_admitted(status), "{case}"),
            _ => assert_eq!(status, 403, "{case}"),
        }
    }
}

async fn our_own_keys_are_tokens_too(database: Database) {
    let (world, one, _) = with_applications(database).await;
    for route in ROUTES.iter().filter(|route| route.permission == Permission::ApplicationRead) {
        let owner = world.key(&one, "owner").await;
        let (status, case) = call(&world, &owner, route, &app_id(&one)).await;
        assert!(is_admitted(status), "{case}");
    }
    let owner = world.key(&one, "owner").await;
    world.svix(&owner, "POST", "/event-type", "{}").await.svix_error(403, "insufficient access");
    for role in Role::ALL.iter().filter(|role| **role != Role::Owner) {
        let key = world.key(&one, role.as_str()).await;
        world.svix(&key, "GET", "/event-type", "").await.svix_error(403, "insufficient access");
    }
    let listed = world.svix(ADMIN, "GET", "/event-type", "").await.ok(200);
    assert_eq!(listed["data"][0]["name"], "user.signup", "the admin key has the default environment");
}
