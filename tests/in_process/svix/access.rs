//! Who may call what: every registered route with every kind of token.

use ringback::domain::organization::Role;
use ringback::svix::Permission;
use ringback::svix::routes::ROUTES;
use serde_json::{Value, json};

use super::{DEFAULT_ENVIRONMENT, NOW, SECRET, app_id, environment_token, of_application, signed, token, world};
use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    without_a_valid_token_only_open_routes_can_be_called,
    a_token_of_the_environment_reaches_every_route,
    another_environment_has_none_of_the_applications_of_this_one,
    a_token_of_an_application_reaches_its_own_routes_and_no_others,
    a_token_of_a_deleted_application_reaches_nothing,
    a_token_that_only_reads_changes_nothing,
    our_own_keys_are_tokens_too,
);

/// A path with the names of what is there.
fn path(pattern: &str, application: &str, Scene { attempt, task, .. }: &Scene) -> String {
    let pattern = pattern.replace("{task}", task);
    let named = pattern.replace("{app}", application).replace("{event_type}", "user.signup");
    named.replace("{endpoint}", "main").replace("{msg}", "evt_1").replace("{attempt}", attempt)
}

pub(super) fn body(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("POST", "/event-type") => r#"{"name":"user.deleted","description":"x"}"#,
        ("PUT", "/event-type/{event_type}") => r#"{"description":"x"}"#,
        ("POST", "/app") => r#"{"name":"new"}"#,
        ("PUT", "/app/{app}") => r#"{"name":"renamed"}"#,
        ("POST", "/app/{app}/endpoint") => r#"{"url":"https://example.com/new"}"#,
        ("PUT", "/app/{app}/endpoint/{endpoint}") => r#"{"url":"https://example.com/changed","uid":"main"}"#,
        ("POST", "/operational-webhook/endpoint") => r#"{"url":"https://example.com/new"}"#,
        ("PUT", "/operational-webhook/endpoint/{endpoint}") => {
            r#"{"url":"https://example.com/changed","uid":"main"}"#
        }
        ("PUT", "/operational-webhook/endpoint/{endpoint}/headers") => r#"{"headers":{"x-a":"b"}}"#,
        ("PUT" | "PATCH", "/app/{app}/endpoint/{endpoint}/headers") => r#"{"headers":{"x-a":"b"}}"#,
        ("POST", "/app/{app}/endpoint/{endpoint}/send-example") => r#"{"eventType":"svix.ping"}"#,
        (
            "POST",
            "/app/{app}/endpoint/{endpoint}/recover"
            | "/app/{app}/endpoint/{endpoint}/replay-missing"
            | "/app/{app}/endpoint/{endpoint}/bulk-replay",
        ) => r#"{"since":"2024-12-16T00:00:00Z"}"#,
        ("POST", "/app/{app}/msg/precheck/active") => r#"{"eventType":"user.signup"}"#,
        ("POST", "/app/{app}/msg/bulk-expunge") => r#"{"ids":["missing"]}"#,
        ("POST", "/app/{app}/msg") => r#"{"eventType":"user.signup","payload":{}}"#,
        _ => "{}",
    }
}

pub(super) async fn call(
    scene: &Scene,
    token: &str,
    route: &ringback::svix::RouteSpec,
    application: &str,
) -> (u16, String) {
    let method = route.method.as_str();
    let path = path(route.path, application, scene);
    let answer = scene.world.svix(token, method, &path, body(method, route.path)).await;
    (answer.status, format!("{method} {}: {} {}", route.path, answer.status, answer.text))
}

/// A world with an event type and two applications, one with an endpoint and a message that was delivered to it.
pub(super) struct Scene {
    world: World,
    pub(super) one: String,
    other: String,
    /// Of that message.
    attempt: String,
    /// Of that endpoint.
    task: String,
}

pub(super) async fn with_applications(database: Database) -> Scene {
    let world = world(database).await;
    let token = environment_token();
    let new = json!({"name": "user.signup", "description": "x"});
    world.svix(&token, "POST", "/event-type", new).await.ok(201);
    let (one, other) = (world.organization("one").await, world.organization("other").await);
    let of_one = |path: &str| format!("/app/{}/{path}", app_id(&one));
    let endpoint = json!({"url": "https://example.com/hook", "uid": "main"});
    world.svix(&token, "POST", &of_one("endpoint"), endpoint).await.ok(201);
    let operations = json!({"url": "https://example.com/operations", "uid": "main"});
    world.svix(&token, "POST", "/operational-webhook/endpoint", operations).await.ok(201);
    let message = json!({"eventType": "user.signup", "eventId": "evt_1", "payload": {}});
    world.svix(&token, "POST", &of_one("msg"), message).await.ok(202);
    let attempts = of_one("attempt/msg/evt_1");
    let attempt = eventually("the message is delivered", async || {
        let attempts = world.svix(&token, "GET", &attempts, "").await.ok(200);
        attempts["data"][0]["id"].as_str().map(str::to_owned)
    });
    let attempt = attempt.await;
    let missing = json!({"since": "2024-12-16T00:00:00Z"});
    let task = world.svix(&token, "POST", &of_one("endpoint/main/replay-missing"), missing).await.ok(202);
    let task = task["id"].as_str().unwrap().to_owned();
    Scene { world, one, other, attempt, task }
}

async fn without_a_valid_token_only_open_routes_can_be_called(database: Database) {
    let scene = with_applications(database).await;
    let one = &scene.one;
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
            let (status, case) = call(&scene, token, route, &app_id(one)).await;
            match route.permission {
                Permission::Open => assert!((200..300).contains(&status), "{case}"),
                _ => assert_eq!(status, 401, "{token} {case}"),
            }
        }
        // signed, and impossible
        for claims in
            [json!({"sub": "acme"}), json!({"sub": "app_x", "org": subject}), json!({"sub": app_id(one)})]
        {
            let (status, case) = call(&scene, &token(&claims), route, &app_id(one)).await;
            assert_eq!(status == 400, route.permission != Permission::Open, "{claims} {case}");
        }
    }
}

fn is_admitted(status: u16) -> bool {
    (200..300).contains(&status) || status == 501
}

async fn a_token_of_the_environment_reaches_every_route(database: Database) {
    for route in ROUTES {
        let scene = with_applications(database).await;
        let one = &scene.one;
        let (status, case) = call(&scene, &environment_token(), route, &app_id(one)).await;
        assert!(is_admitted(status), "{case}");
    }
}

async fn another_environment_has_none_of_the_applications_of_this_one(database: Database) {
    let scene = with_applications(database).await;
    let Scene { world, one, .. } = &scene;
    let other = token(&json!({"sub": "org_another"}));
    let of_one_there = token(&json!({"org": "org_another", "sub": app_id(one)}));
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&scene, &of_one_there, route, &app_id(one)).await;
        assert_eq!(status, 404, "{case}");
        let (status, case) = call(&scene, &other, route, &app_id(one)).await;
        match route.path.contains("{app}") {
            // it makes one of that name in its own environment, and this name can't be one
            true => {
                assert!(status == 404 || (route.permission == Permission::Environment && status < 500), "{case}")
            }
            false => assert_ne!(status, 401, "{case}"),
        }
    }
    world.svix(&environment_token(), "GET", "/event-type/user.signup", "").await.ok(200);
    world.svix(&other, "GET", "/event-type/user.deleted", "").await.ok(200);
    world.svix(&environment_token(), "GET", "/event-type/user.deleted", "").await.svix_error(404, "not_found");
}

async fn a_token_of_an_application_reaches_its_own_routes_and_no_others(database: Database) {
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        // some of them remove what others need
        let scene = with_applications(database).await;
        let (one, other) = (&scene.one, &scene.other);
        let token = token(&of_application(one));
        let (status, case) = call(&scene, &token, route, &app_id(one)).await;
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
            let (status, case) = call(&scene, &token, route, &app_id(other)).await;
            assert_eq!(status, foreign, "{case}");
            let (unknown, case) = call(&scene, &token, route, "app_0000000000001").await;
            assert_eq!(unknown, foreign, "of another application as of none: {case}");
        }
    }
}

async fn a_token_of_a_deleted_application_reaches_nothing(database: Database) {
    let scene = with_applications(database).await;
    let Scene { world, one, .. } = &scene;
    let token = token(&of_application(one));
    world.svix(&token, "GET", "/event-type", "").await.ok(200);
    world.call(ADMIN, "DELETE", &format!("/v1/organizations/{one}"), "").await.ok(204);
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&scene, &token, route, &app_id(one)).await;
        assert_eq!(status, 404, "{case}");
    }
}

async fn a_token_that_only_reads_changes_nothing(database: Database) {
    let scene = with_applications(database).await;
    let one = &scene.one;
    let mut claims = of_application(one);
    claims["read_only"] = Value::Bool(true);
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&scene, &token(&claims), route, &app_id(one)).await;
        match route.permission {
            Permission::ApplicationRead => assert!(is_admitted(status), "{case}"),
            _ => assert_eq!(status, 403, "{case}"),
        }
    }
    // one of the environment sees every application, and changes nothing either
    let of_environment = token(&json!({"sub": DEFAULT_ENVIRONMENT, "read_only": true}));
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (status, case) = call(&scene, &of_environment, route, &app_id(one)).await;
        match route.permission {
            Permission::ApplicationRead => assert!(is_admitted(status), "{case}"),
            _ => assert_eq!(status, 403, "{case}"),
        }
    }
}

async fn our_own_keys_are_tokens_too(database: Database) {
    let scene = with_applications(database).await;
    let Scene { world, one, .. } = &scene;
    for route in ROUTES.iter().filter(|route| route.permission == Permission::ApplicationRead) {
        let owner = world.key(one, "owner").await;
        let (status, case) = call(&scene, &owner, route, &app_id(one)).await;
        assert!(is_admitted(status), "{case}");
    }
    let owner = world.key(one, "owner").await;
    world.svix(&owner, "POST", "/event-type", "{}").await.svix_error(403, "insufficient access");
    for role in Role::ALL.iter().filter(|role| **role != Role::Owner) {
        let key = world.key(one, role.as_str()).await;
        world.svix(&key, "GET", "/event-type", "").await.svix_error(403, "insufficient access");
    }
    let listed = world.svix(ADMIN, "GET", "/event-type", "").await.ok(200);
    assert_eq!(listed["data"][0]["name"], "user.signup", "the admin key has the default environment");
}
