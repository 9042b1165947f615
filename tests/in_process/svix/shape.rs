//! What is the same for all calls: the shape of errors, slashes, other origins.

use std::sync::atomic::Ordering;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use ringback::config::SvixSettings;
use ringback::svix::Permission;
use ringback::svix::routes::ROUTES;
use serde_json::json;

use super::{environment_token, settings, world};
use crate::database::Database;
use crate::world::World;

#[actix_web::test]
async fn without_a_secret_it_is_not_there() {
    let world = World::new().await;
    for route in ROUTES {
        let answer = world.call("", route.method.as_str(), &format!("/api/v1{}", route.path), "").await;
        answer.problem(404, "not_found");
    }
}

#[actix_web::test]
async fn a_slash_at_the_end_changes_nothing() {
    let world = world(Database::Memory).await;
    let new = json!({"name": "a", "description": "x"});
    world.svix(&environment_token(), "POST", "/event-type/", new).await.ok(201);
    world.svix(&environment_token(), "GET", "/event-type/a/", "").await.ok(200);
    world.svix(&environment_token(), "GET", "/event-type/?limit=1", "").await.ok(200);
    world.svix("", "GET", "/health/", "").await.ok(200);
    world.svix("", "GET", "/health/ping/", "").await.ok(204);
}

#[actix_web::test]
async fn unknown_routes_and_methods_are_errors_that_the_libraries_read() {
    let world = world(Database::Memory).await;
    for path in [
        "",
        "/",
        "/nosuch",
        "/app/x/endpoint/y/replay-missing/z",
        "/event-type/a/b",
        "/operational-webhook/endpoint/x/y/z",
    ] {
        for token in ["", &environment_token()] {
            world.svix(token, "GET", path, "").await.svix_error(404, "not_found");
        }
    }
    let answer = world.svix(&environment_token(), "DELETE", "/event-type", "").await;
    answer.svix_error(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    world.svix(&environment_token(), "POST", "/auth/logout", "").await.svix_error(501, "not_implemented");
    world.svix("", "POST", "/auth/logout", "").await.svix_error(401, "authentication_failed");
    // an address that ends with a slash, or with the path that the library adds
    for path in ["//api/v1/app", "/api//v1/app"] {
        let answer = world.call("", "GET", path, "").await;
        assert!(answer.text.contains("without the extra slash it is /api/v1/app"), "{}", answer.text);
    }
    let doubled = world.svix(&environment_token(), "GET", "/api/v1/app", "").await;
    doubled.svix_error(404, "not_found");
    assert!(doubled.text.contains("ends before /api/v1"), "{}", doubled.text);
    // the fields of a body have names, not places
    let listed = world.svix(&environment_token(), "POST", "/app", r#" ["App"]"#).await;
    assert_eq!(listed.svix_invalid(), ["body"]);
    // others keep theirs
    world.call("", "GET", "/v1/nosuch", "").await.problem(404, "not_found");
}

#[actix_web::test]
async fn too_much_and_what_can_t_be_read_are_errors_that_the_libraries_read() {
    let world = world(Database::Memory).await;
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    world.svix(&environment_token(), "POST", "/event-type", large).await.svix_error(413, "payload_too_large");
    let request = TestRequest::default().method(Method::POST).uri("/api/v1/event-type");
    let request = request.insert_header(("authorization", format!("Bearer {}", environment_token())));
    let answer = world.send(request.insert_header(("content-encoding", "gzip")).set_payload("x")).await;
    answer.has_svix_shape();
    assert_eq!(answer.status, 415);
}

#[actix_web::test]
async fn while_the_database_is_away_the_libraries_are_told_to_try_again() {
    let world = world(Database::Memory).await;
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    let answer = world.svix(&environment_token(), "GET", "/event-type", "").await;
    answer.svix_error(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let health = world.call("", "GET", "/api/v1/health", "").await.ok(500);
    assert_eq!(health["database"]["status"], "Error");
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    let health = world.svix("", "GET", "/health", "").await.ok(200);
    let ok = json!({"status": "Ok"});
    assert_eq!(health, json!({"database": ok, "queue": ok, "cache": ok}));
    assert_eq!(world.call("", "HEAD", "/api/v1/health", "").await.status, 200);
}

async fn from_origin(world: &World, method: Method, path: &str, origin: &str) -> crate::world::Answer {
    let request = TestRequest::default().method(method).uri(&format!("/api/v1{path}"));
    let request =
        request.insert_header(("origin", origin)).insert_header(("access-control-request-method", "POST"));
    let headers = "authorization,content-type,idempotency-key,svix-req-id";
    world.send(request.insert_header(("access-control-request-headers", headers))).await
}

#[actix_web::test]
async fn browsers_may_ask_without_a_token_whether_they_may_call() {
    let world = world(Database::Memory).await;
    for route in ROUTES {
        let answer = from_origin(&world, Method::OPTIONS, route.path, "https://app.example.com").await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{}", route.path);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        assert!(allowed.contains("authorization") && allowed.contains("svix-req-id"), "{allowed}");
        if route.permission != Permission::Open {
            let answer = from_origin(&world, route.method.clone(), route.path, "https://app.example.com").await;
            answer.svix_error(401, "authentication_failed");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "an error must be readable too");
        }
    }
}

#[actix_web::test]
async fn with_a_list_of_origins_only_those_are_told_that_they_may_call() {
    let origins = vec!["https://app.example.com".to_owned()];
    let settings = SvixSettings { cors_origins: origins, ..settings() };
    let world = World::with_svix(Database::Memory, &settings).await;
    let answer = from_origin(&world, Method::OPTIONS, "/event-type", "https://app.example.com").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    let answer = from_origin(&world, Method::OPTIONS, "/event-type", "https://other.example.com").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    // what is no browser sends none, or any
    let answer = from_origin(&world, Method::GET, "/health", "https://other.example.com").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}
