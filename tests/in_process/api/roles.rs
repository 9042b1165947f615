//! Who may call what: every registered route with every kind of key.

use ringback::api::auth::Permission;
use ringback::api::routes::{ROUTES, RouteSpec};
use ringback::domain::organization::Role;
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::tenant::Tenant;
use crate::world::{ADMIN, World};

on_every_store!(
    without_a_valid_key_only_open_routes_can_be_called,
    every_role_can_call_its_routes_and_no_other,
    another_organizations_resources_appear_not_to_exist,
    an_unknown_route_and_a_wrong_method_are_problems_too,
    the_engine_says_when_it_is_not_ready,
    metrics_that_are_served_elsewhere_are_not_found_here,
);

/// What the contract says, route by route, in words of its own: `admin` and the roles that may.
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("POST", "/v1/organizations", &["admin"]),
    ("GET", "/v1/organizations", &["admin"]),
    ("GET", "/v1/organizations/{organization_id}", &["admin"]),
    ("PUT", "/v1/organizations/{organization_id}", &["admin"]),
    ("PATCH", "/v1/organizations/{organization_id}", &["admin"]),
    ("DELETE", "/v1/organizations/{organization_id}", &["admin"]),
    ("POST", "/v1/organizations/{organization_id}/keys", &["admin", "owner"]),
    ("GET", "/v1/organizations/{organization_id}/keys", &["admin", "owner"]),
    ("DELETE", "/v1/organizations/{organization_id}/keys/{key_id}", &["admin", "owner"]),
    ("POST", "/v1/organizations/{organization_id}/sign-in-links", &["admin", "owner"]),
    ("POST", "/v1/keys", &["admin"]),
    ("GET", "/v1/keys", &["admin"]),
    ("DELETE", "/v1/keys/{key_id}", &["admin"]),
    ("GET", "/v1/catalogue/event-types", &["admin"]),
    ("POST", "/v1/catalogue/event-types", &["admin"]),
    ("GET", "/v1/catalogue/event-types/{event_type}", &["admin"]),
    ("PUT", "/v1/catalogue/event-types/{event_type}", &["admin"]),
    ("PATCH", "/v1/catalogue/event-types/{event_type}", &["admin"]),
    ("DELETE", "/v1/catalogue/event-types/{event_type}", &["admin"]),
    ("GET", "/v1/usage", &["admin"]),
    ("GET", "/v1/cluster", &["admin"]),
    ("GET", "/v1/webhooks/logs", &["viewer", "manager", "owner"]),
    ("GET", "/v1/webhooks/logs/{delivery_id}", &["viewer", "manager", "owner"]),
    ("POST", "/v1/webhooks/logs/{delivery_id}/retry", &["manager", "owner"]),
    ("DELETE", "/v1/webhooks/logs/{delivery_id}/attempts/{number}/response", &["manager", "owner"]),
    ("POST", "/v1/webhooks", &["manager", "owner"]),
    ("GET", "/v1/webhooks", &["viewer", "manager", "owner"]),
    ("GET", "/v1/webhooks/{webhook_id}", &["viewer", "manager", "owner"]),
    ("PUT", "/v1/webhooks/{webhook_id}", &["manager", "owner"]),
    ("PATCH", "/v1/webhooks/{webhook_id}", &["manager", "owner"]),
    ("DELETE", "/v1/webhooks/{webhook_id}", &["manager", "owner"]),
    ("GET", "/v1/webhooks/{webhook_id}/secret", &["manager", "owner"]),
    ("POST", "/v1/webhooks/{webhook_id}/secret/rotate", &["manager", "owner"]),
    ("POST", "/v1/webhooks/{webhook_id}/test", &["manager", "owner"]),
    ("POST", "/v1/webhooks/{webhook_id}/resume", &["manager", "owner"]),
    ("POST", "/v1/webhooks/{webhook_id}/recover", &["manager", "owner"]),
    ("GET", "/v1/webhooks/{webhook_id}/health", &["viewer", "manager", "owner"]),
    ("POST", "/v1/events", &["publisher", "owner"]),
    ("POST", "/v1/events/batch", &["publisher", "owner"]),
    ("GET", "/v1/events", &["viewer", "manager", "owner"]),
    ("GET", "/v1/events/{event_id}", &["viewer", "manager", "owner"]),
    ("POST", "/v1/events/{event_id}/replay", &["manager", "owner"]),
    ("DELETE", "/v1/events/{event_id}/payload", &["manager", "owner"]),
    ("GET", "/v1/event-types", &["viewer", "manager", "owner"]),
    ("POST", "/v1/event-types", &["manager", "owner"]),
    ("GET", "/v1/event-types/{event_type}", &["viewer", "manager", "owner"]),
    ("PUT", "/v1/event-types/{event_type}", &["manager", "owner"]),
    ("PATCH", "/v1/event-types/{event_type}", &["manager", "owner"]),
    ("DELETE", "/v1/event-types/{event_type}", &["manager", "owner"]),
    ("GET", "/v1/health", &["viewer", "manager", "owner"]),
    ("GET", "/v1/audit-log", &["admin", "owner"]),
    ("GET", "/.well-known/webhook-keys/{webhook_id}", &["open"]),
    ("GET", "/health/live", &["open"]),
    ("GET", "/health/ready", &["open"]),
    ("GET", "/metrics", &["open"]),
    ("GET", "/openapi.json", &["open"]),
    ("GET", "/docs", &["open"]),
];

fn allowed(route: &RouteSpec) -> &'static [&'static str] {
    let row = ALLOWED.iter().find(|(method, path, _)| *method == route.method.as_str() && *path == route.path);
    row.unwrap_or_else(|| panic!("{} {} is in no table of who may call it", route.method, route.path)).2
}

fn body_for(route: &RouteSpec) -> &'static str {
    match (route.method.as_str(), route.path) {
        ("POST", "/v1/organizations") => r#"{"name":"another"}"#,
        ("PUT" | "PATCH", "/v1/organizations/{organization_id}") => r#"{"name":"another"}"#,
        ("POST", "/v1/organizations/{organization_id}/keys" | "/v1/keys") => r#"{"name":"k","role":"viewer"}"#,
        ("POST", "/v1/webhooks") => r#"{"url":"https://example.com/"}"#,
        ("POST", "/v1/events") => r#"{"event_type":"call.completed","data":{}}"#,
        ("POST", "/v1/events/batch") => r#"[{"event_type":"call.completed","data":{}}]"#,
        ("PUT" | "PATCH", path) if path.contains("event-types") => r#"{"description":"x"}"#,
        ("POST", "/v1/event-types" | "/v1/catalogue/event-types") => r#"{"name":"invoice.sent"}"#,
        ("POST", "/v1/webhooks/{webhook_id}/recover") => r#"{"since":"2024-12-16T10:00:00Z"}"#,
        ("PUT" | "PATCH", _) => r#"{"timeout":7}"#,
        _ => "",
    }
}

#[actix_web::test]
async fn every_route_is_in_the_table_of_permissions() {
    assert_eq!(ROUTES.len(), ALLOWED.len());
    for route in ROUTES {
        let is_role = |who: &&str| Role::ALL.iter().any(|role| role.as_str() == *who);
        let roles: Vec<&str> = allowed(route).iter().copied().filter(is_role).collect();
        match route.permission {
            Permission::Open => assert_eq!(allowed(route), ["open"]),
            permission => {
                let expected: Vec<&str> = permission.roles().iter().map(|role| role.as_str()).collect();
                assert_eq!(roles, expected, "{} {}", route.method, route.path);
            }
        }
    }
}

async fn without_a_valid_key_only_open_routes_can_be_called(database: Database) {
    let world = World::on(database).await;
    let tenant = Tenant::new(&world).await;
    let expired = json!({"name": "k", "role": "owner", "expires_at": "2024-12-16T10:30:46Z"});
    let keys = format!("/v1/organizations/{}/keys", tenant.organization);
    let expired = world.post(ADMIN, &keys, expired).await.ok(201)["key"].as_str().unwrap().to_owned();
    let revoked = world.post(ADMIN, &keys, json!({"name": "k", "role": "owner"})).await.ok(201);
    let revoked_key = revoked["key"].as_str().unwrap();
    assert_eq!(world.get(revoked_key, "/v1/webhooks").await.status, 200);
    let revoked_path = format!("{keys}/{}", revoked["id"].as_str().unwrap());
    world.call(ADMIN, "DELETE", &revoked_path, "").await.ok(204);
    world.clock.advance(std::time::Duration::from_secs(1));

    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let nearly = format!("{}x", tenant.key("owner"));
        for key in ["", "rbk_unknown", &nearly, &expired, revoked_key] {
            let answer = world.call(key, route.method.as_str(), &tenant.path(route.path), body_for(route)).await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{} {}", route.method, route.path);
        }
    }
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(world.get("", path).await.status, 200, "{path}");
    }
}

async fn every_role_can_call_its_routes_and_no_other(database: Database) {
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        for who in ["admin", "publisher", "viewer", "manager", "owner"] {
            let world = World::on(database).await;
            let tenant = Tenant::new(&world).await;
            let role_key = tenant.keys.iter().find(|(role, _)| role.as_str() == who);
            let key = role_key.map_or(ADMIN, |(_, key)| key);
            let path = match route.path {
                "/v1/keys/{key_id}" => format!("/v1/keys/{}", world.spare_deployment_key().await),
                "/v1/catalogue/event-types/{event_type}" => route.path.replace("{event_type}", "call.missed"),
                path => tenant.path(path),
            };
            let answer = world.call(key, route.method.as_str(), &path, body_for(route)).await;
            let case = format!("{who}: {} {} → {} {}", route.method, route.path, answer.status, answer.text);
            if allowed(route).contains(&who) {
                assert!((200..300).contains(&answer.status), "{case}");
            } else if who == "admin" {
                answer.problem(400, "organization_required");
            } else {
                assert_eq!(answer.status, 403, "{case}");
                answer.problem(403, "forbidden");
            }
        }
    }
}

/// Whether a call was allowed, or how it was refused.
fn verdict(answer: &crate::world::Answer) -> &'static str {
    match answer.status {
        200..300 => "allowed",
        403 => "forbidden",
        400 => "organization_required",
        status => panic!("{status} {}", answer.text),
    }
}

/// With the header a key of the deployment may do in the organization what its role may do there, and an admin everything.
/// Without it only what concerns the deployment.
#[actix_web::test]
async fn a_key_of_the_deployment_does_what_its_role_may_in_the_organization_that_the_header_names() {
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        for who in ["admin key", "admin", "publisher", "viewer", "manager", "owner"] {
            for organization in ["", "id", "uid"] {
                let world = World::new().await;
                let tenant = Tenant::new(&world).await;
                let uid = json!({"uid": "customer-42"});
                world.patch(ADMIN, &format!("/v1/organizations/{}", tenant.organization), uid).await.ok(200);
                let key = match who {
                    "admin key" => ADMIN.to_owned(),
                    role => world.deployment_key(role).await,
                };
                let named = match organization {
                    "id" => tenant.organization.as_str(),
                    "uid" => "customer-42",
                    _ => "",
                };
                let path = match route.path {
                    "/v1/keys/{key_id}" => format!("/v1/keys/{}", world.spare_deployment_key().await),
                    "/v1/catalogue/event-types/{event_type}" => route.path.replace("{event_type}", "call.missed"),
                    path => tenant.path(path),
                };
                let answer = world.call_in(&key, named, route.method.as_str(), &path, body_for(route)).await;
                let is_admin = who.starts_with("admin");
                let expected = match route.permission {
                    _ if is_admin && (!named.is_empty() || allowed(route).contains(&"admin")) => "allowed",
                    Permission::Admin => "forbidden",
                    _ if named.is_empty() && route.permission != Permission::Keys => "organization_required",
                    _ if allowed(route).contains(&who) => "allowed",
                    _ => "forbidden",
                };
                let case = format!("{who} in {organization:?}: {} {}", route.method, route.path);
                assert_eq!(verdict(&answer), expected, "{case}: {}", answer.text);
            }
        }
    }
}

/// The header only narrows: it names another organization to nobody.
#[actix_web::test]
async fn a_key_of_an_organization_that_names_another_one_finds_nothing() {
    let world = World::new().await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    for (organization, uid) in [(&tenant.organization, "mine"), (&stranger.organization, "theirs")] {
        world.patch(ADMIN, &format!("/v1/organizations/{organization}"), json!({"uid": uid})).await.ok(200);
    }
    for route in ROUTES.iter().filter(|route| route.permission != Permission::Open) {
        let (method, body) = (route.method.as_str(), body_for(route));
        for (role, key) in &tenant.keys {
            for name in [&stranger.organization, "theirs", "nobody", "org_0000000000001", "org_x", "é", "a b"] {
                let answer = world.call_in(key, name, method, &tenant.path(route.path), body).await;
                assert_eq!(answer.problem(404, "not_found"), [""; 0], "{} {method} {}", role.as_str(), route.path);
            }
        }
    }
    for name in [&tenant.organization, "mine"] {
        let answer = world.call_in(tenant.key("viewer"), name, "GET", "/v1/webhooks", "").await;
        assert_eq!(answer.ok(200)["data"].as_array().unwrap().len(), 1, "{name}");
    }
}

async fn another_organizations_resources_appear_not_to_exist(database: Database) {
    let world = World::on(database).await;
    let (tenant, stranger) = (Tenant::new(&world).await, Tenant::new(&world).await);
    // under the name of a foreign event type an organization sets one of its own
    let sets_own = |route: &&RouteSpec| route.method == "PUT" && route.path == "/v1/event-types/{event_type}";
    for route in ROUTES.iter().filter(|route| route.path.contains('{') && !sets_own(route)) {
        let method = route.method.as_str();
        let answer = world.call(stranger.key("owner"), method, &tenant.path(route.path), body_for(route)).await;
        if route.permission == Permission::Admin {
            answer.problem(403, "forbidden");
            continue;
        }
        let missing = route
            .path
            .replace("{organization_id}", "org_0000000000001")
            .replace("{webhook_id}", "wh_0000000000001")
            .replace("{event_id}", "msg_0000000000001")
            .replace("{event_type}", "no.such_type")
            .replace("{delivery_id}", "dlv_0000000000001")
            .replace("{key_id}", "key_0000000000001");
        let of_missing = world.call(stranger.key("owner"), method, &missing, body_for(route)).await;
        answer.problem(404, "not_found");
        assert_eq!(without_request_id(&answer), without_request_id(&of_missing), "{method} {}", route.path);
    }
    // and nothing changed
    let owner = tenant.key("owner");
    assert_eq!(world.get(owner, &tenant.path("/v1/webhooks/{webhook_id}")).await.ok(200)["timeout"], 10);
    let logs = world.get(stranger.key("owner"), "/v1/webhooks/logs").await.ok(200);
    assert_eq!(logs["data"].as_array().unwrap().len(), 1);
    let filtered = tenant.path("/v1/webhooks/logs?webhook_id={webhook_id}");
    assert_eq!(world.get(stranger.key("owner"), &filtered).await.ok(200)["data"], json!([]));
}

async fn an_unknown_route_and_a_wrong_method_are_problems_too(database: Database) {
    let world = World::on(database).await;
    world.get("", "/v1/nothing").await.problem(404, "not_found");
    world.get("", "/nothing").await.problem(404, "not_found");
    let answer = world.call("", "PUT", "/v1/webhooks", "{}").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST, GET"));
    let answer = world.call("", "DELETE", "/v1/webhooks/logs", "").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(world.call("", "HEAD", "/health/live", "").await.status, 200);
}

async fn the_engine_says_when_it_is_not_ready(database: Database) {
    use std::sync::atomic::Ordering;
    let world = World::on(database).await;
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    let answer = world.get("", "/health/ready").await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = world.get("rbk_x", "/v1/webhooks").await;
    answer.problem(503, "unavailable");
    assert_eq!(world.get("", "/health/live").await.status, 200);
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    assert_eq!(world.get("", "/health/ready").await.status, 200);
    world.actors.stop().await;
    world.get("", "/health/ready").await.problem(503, "unavailable");
}

async fn metrics_that_are_served_elsewhere_are_not_found_here(database: Database) {
    let world = World::on(database).await;
    assert_eq!(world.get("", "/metrics").await.text, "ringback_up 1\n");
    let world = World::configured(database, |options| options.metrics = None).await;
    world.get("", "/metrics").await.problem(404, "not_found");
}

/// What is different in every answer.
fn without_request_id(answer: &crate::world::Answer) -> serde_json::Value {
    let mut problem = answer.json();
    problem["request_id"] = serde_json::Value::Null;
    problem
}
