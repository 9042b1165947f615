//! The table of routes. It is also the registration: a route can't exist without its permission.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};

use super::auth::{Permission, authorize};
use super::middleware::catch_panic;
use super::problem::{ErrorCode, Problem};
pub use super::route_spec::RouteSpec;
use super::{
    Api, audit, catalogue, cluster, docs, erasure, event_batch, event_types, events, health, keys, logs, openapi,
    organizations, probes, sign_in_links, usage, webhook_actions, webhook_keys, webhooks,
};
use crate::actors::cluster::push::PUSH_PATH;

macro_rules! routes {
    ($($method:ident $path:literal $permission:ident $handler:path;)*) => {
        /// All calls. Of two patterns that match one path one without names counts, then the first.
        pub static ROUTES: &[RouteSpec] = &[$(RouteSpec {
            method: Method::$method,
            path: $path,
            permission: Permission::$permission,
            handler: || web::to($handler),
        }),*];
    };
}

routes! {
    POST   "/v1/organizations" Admin organizations::create;
    GET    "/v1/organizations" Admin organizations::list;
    GET    "/v1/organizations/{organization_id}" Admin organizations::read;
    PUT    "/v1/organizations/{organization_id}" Admin organizations::get_or_create;
    PATCH  "/v1/organizations/{organization_id}" Admin organizations::update;
    DELETE "/v1/organizations/{organization_id}" Admin organizations::delete;
    POST   "/v1/organizations/{organization_id}/keys" Keys keys::create;
    GET    "/v1/organizations/{organization_id}/keys" Keys keys::list;
    DELETE "/v1/organizations/{organization_id}/keys/{key_id}" Keys keys::revoke;

    POST   "/v1/organizations/{organization_id}/sign-in-links" Keys sign_in_links::create;

    POST   "/v1/keys" Admin keys::create_for_deployment;
    GET    "/v1/keys" Admin keys::list_of_deployment;
    DELETE "/v1/keys/{key_id}" Admin keys::revoke_of_deployment;

    GET    "/v1/catalogue/event-types" Admin catalogue::list;
    POST   "/v1/catalogue/event-types" Admin catalogue::create;
    GET    "/v1/catalogue/event-types/{event_type}" Admin catalogue::read;
    PUT    "/v1/catalogue/event-types/{event_type}" Admin catalogue::put;
    PATCH  "/v1/catalogue/event-types/{event_type}" Admin catalogue::patch;
    DELETE "/v1/catalogue/event-types/{event_type}" Admin catalogue::delete;

    GET    "/v1/usage" Admin usage::read;
    GET    "/v1/cluster" Admin cluster::read;

    GET    "/v1/webhooks/logs" Read logs::list;
    GET    "/v1/webhooks/logs/{delivery_id}" Read logs::read;
    POST   "/v1/webhooks/logs/{delivery_id}/retry" Manage logs::retry;
    DELETE "/v1/webhooks/logs/{delivery_id}/attempts/{number}/response" Manage erasure::response;

    POST   "/v1/webhooks" Manage webhooks::create;
    GET    "/v1/webhooks" Read webhooks::list;
    GET    "/v1/webhooks/{webhook_id}" Read webhooks::read;
    PUT    "/v1/webhooks/{webhook_id}" Manage webhooks::update;
    PATCH  "/v1/webhooks/{webhook_id}" Manage webhooks::update;
    DELETE "/v1/webhooks/{webhook_id}" Manage webhooks::delete;
    GET    "/v1/webhooks/{webhook_id}/secret" Manage webhooks::read_secret;
    POST   "/v1/webhooks/{webhook_id}/secret/rotate" Manage webhooks::rotate_secret;
    POST   "/v1/webhooks/{webhook_id}/test" Manage webhook_actions::test;
    POST   "/v1/webhooks/{webhook_id}/resume" Manage webhook_actions::resume;
    POST   "/v1/webhooks/{webhook_id}/recover" Manage webhook_actions::recover;
    GET    "/v1/webhooks/{webhook_id}/health" Read health::webhook;

    POST   "/v1/events" Publish events::publish;
    POST   "/v1/events/batch" Publish event_batch::publish;
    GET    "/v1/events" Read events::list;
    GET    "/v1/events/{event_id}" Read events::read;
    POST   "/v1/events/{event_id}/replay" Manage events::replay;
    DELETE "/v1/events/{event_id}/payload" Manage erasure::payload;
    GET    "/v1/event-types" Read event_types::list;
    POST   "/v1/event-types" Manage event_types::create;
    GET    "/v1/event-types/{event_type}" Read event_types::read;
    PUT    "/v1/event-types/{event_type}" Manage event_types::put;
    PATCH  "/v1/event-types/{event_type}" Manage event_types::patch;
    DELETE "/v1/event-types/{event_type}" Manage event_types::delete;

    GET    "/v1/health" ReadAny health::read;
    GET    "/v1/audit-log" Audit audit::list;

    GET    "/.well-known/webhook-keys/{webhook_id}" Open webhook_keys::of_webhook;

    GET    "/health/live" Open probes::live;
    GET    "/health/ready" Open probes::ready;
    GET    "/metrics" Open probes::metrics;
    GET    "/openapi.json" Open openapi_document;
    GET    "/docs" Open documentation_page;
}

/// `GET /openapi.json`.
async fn openapi_document(api: web::Data<Api>) -> HttpResponse {
    openapi::response(&api, ROUTES)
}

/// `GET /docs`.
async fn documentation_page(api: web::Data<Api>) -> HttpResponse {
    docs::response(&api, ROUTES)
}

/// Registers every route of the table, and the response to all other paths.
pub fn configure(config: &mut web::ServiceConfig) {
    let mut paths: Vec<&str> = Vec::new();
    for spec in ROUTES {
        if !paths.contains(&spec.path) {
            paths.push(spec.path);
        }
    }
    // patterns are tried one after the other, and those with placeholders are slow to compare: they come last
    paths.sort_by_key(|path| path.contains('{'));
    for path in paths {
        config.service(resource(path));
    }
    // between nodes: no part of the API
    config.route(PUSH_PATH, web::post().to(cluster::push));
    config.default_service(web::to(unknown_route));
}

fn resource(path: &'static str) -> Resource {
    let mut methods = Vec::new();
    let mut resource = web::resource(path);
    for spec in ROUTES.iter().filter(|spec| spec.path == path) {
        let permission = spec.permission;
        let method = spec.method.clone();
        methods.push(method.to_string());
        let route = (spec.handler)();
        let route = match method {
            Method::GET => route.guard(guard::Any(guard::Get()).or(guard::Head())),
            method => route.method(method),
        };
        let authorize = move |request: ServiceRequest, next: Next<BoxBody>| authorize(permission, request, next);
        resource = resource.route(route.wrap(from_fn(authorize)).wrap(from_fn(catch_panic)));
    }
    let allow = methods.join(", ");
    resource.default_service(web::to(move || {
        let problem = Problem::method_not_allowed(allow.clone());
        async move { problem.into_response() }
    }))
}

/// The response to an unknown path.
pub(crate) async fn unknown_route(request: HttpRequest) -> HttpResponse {
    no_such_route(request.path()).into_response()
}

/// The most frequent mistake is an extra slash: from a base address that ends with one, or a habit of other frameworks.
fn no_such_route(path: &str) -> Problem {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let meant = format!("/{}", parts.join("/"));
    let is_route = |spec: &RouteSpec| {
        let mut pattern = spec.path.split('/').skip(1);
        parts.iter().all(|part| pattern.next().is_some_and(|name| name == *part || name.starts_with('{')))
            && pattern.next().is_none()
    };
    let is_of_svix = parts.starts_with(&["api", "v1"]);
    // what begins as it must is answered by that API, where it is on
    let has_extra_slash = is_of_svix && !path.starts_with("/api/v1");
    let detail = match has_extra_slash || (meant != path && ROUTES.iter().any(is_route)) {
        true => format!("there is no such route; without the extra slash it is {meant}"),
        false if is_of_svix => String::from(
            "there is no such route: the Svix-compatible API is off, and the operator turns it on with RINGBACK_SVIX_JWT_SECRET",
        ),
        false if parts == [".well-known", "webhook-keys"] => String::from(
            "public keys are those of a webhook: add its id, as in /.well-known/webhook-keys/wh_01h8xgj5c2m4k",
        ),
        false => String::from("there is no such route; GET /docs lists them"),
    };
    Problem::new(ErrorCode::NotFound, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_extra_slash_names_the_right_path() {
        for (path, meant) in [
            ("/v1/webhooks/", "/v1/webhooks"),
            ("//v1/webhooks", "/v1/webhooks"),
            ("/v1//webhooks/wh_1//", "/v1/webhooks/wh_1"),
            ("/health/ready/", "/health/ready"),
        ] {
            let detail = no_such_route(path).detail().to_owned();
            assert!(detail.ends_with(&format!("it is {meant}")), "{path}: {detail}");
        }
        for path in ["/nosuch", "/nosuch/", "/", "//", "/v1/webhooks/wh_1/nosuch/", ""] {
            assert!(no_such_route(path).detail().contains("/docs"), "{path}");
        }
    }
}
