//! The table of routes. It is also the registration: a route can't exist without its permission.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};

use super::BASE_PATH;
use super::access::authorize;
use super::error::SvixError;
use super::route_spec::{Permission, RouteSpec};
use super::{
    applications, attempts, bulk_expunge, endpoint_actions, endpoint_messages, endpoint_parts, endpoints,
    event_types, health, idempotency, messages, not_here, openapi, operational_webhooks, portal_access, precheck,
    task_list, tasks,
};
use crate::api::middleware::catch_panic;

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
    GET    "/app/{app}/msg" ApplicationRead messages::list;
    POST   "/app/{app}/msg" Environment messages::create;
    POST   "/app/{app}/msg/precheck/active" Environment precheck::active;
    POST   "/app/{app}/msg/bulk-expunge" Environment bulk_expunge::erase;
    GET    "/app/{app}/msg/{msg}" ApplicationRead messages::read;
    DELETE "/app/{app}/msg/{msg}/content" Environment messages::erase;
    GET    "/app/{app}/msg/{msg}/endpoint" ApplicationRead attempts::destinations;
    POST   "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend" Application attempts::resend;
    GET    "/app/{app}/msg/{msg}/endpoint/{endpoint}/attempt" ApplicationRead attempts::of_message_at_endpoint;
    GET    "/app/{app}/msg/{msg}/attempt" ApplicationRead attempts::of_message;
    GET    "/app/{app}/msg/{msg}/attempt/{attempt}" ApplicationRead attempts::read;
    DELETE "/app/{app}/msg/{msg}/attempt/{attempt}/content" Environment attempts::erase;
    GET    "/app/{app}/attempt/endpoint/{endpoint}" ApplicationRead attempts::of_endpoint;
    GET    "/app/{app}/attempt/msg/{msg}" ApplicationRead attempts::of_message;

    GET    "/app" Environment applications::list;
    POST   "/app" Environment applications::create;
    GET    "/app/{app}" ApplicationRead applications::read;
    PUT    "/app/{app}" Environment applications::put;
    PATCH  "/app/{app}" Environment applications::patch;
    DELETE "/app/{app}" Environment applications::delete;

    GET    "/app/{app}/endpoint" ApplicationRead endpoints::list;
    POST   "/app/{app}/endpoint" Application endpoints::create;
    GET    "/app/{app}/endpoint/{endpoint}" ApplicationRead endpoints::read;
    PUT    "/app/{app}/endpoint/{endpoint}" Application endpoints::put;
    PATCH  "/app/{app}/endpoint/{endpoint}" Application endpoints::patch;
    DELETE "/app/{app}/endpoint/{endpoint}" Application endpoints::delete;
    GET    "/app/{app}/endpoint/{endpoint}/secret" Application endpoint_parts::read_secret;
    POST   "/app/{app}/endpoint/{endpoint}/secret/rotate" Application endpoint_parts::rotate_secret;
    GET    "/app/{app}/endpoint/{endpoint}/headers" Application endpoint_parts::read_headers;
    PUT    "/app/{app}/endpoint/{endpoint}/headers" Application endpoint_parts::put_headers;
    PATCH  "/app/{app}/endpoint/{endpoint}/headers" Application endpoint_parts::patch_headers;
    GET    "/app/{app}/endpoint/{endpoint}/stats" ApplicationRead endpoint_actions::stats;
    POST   "/app/{app}/endpoint/{endpoint}/send-example" Environment endpoint_actions::send_example;
    POST   "/app/{app}/endpoint/{endpoint}/recover" Application tasks::recover;
    POST   "/app/{app}/endpoint/{endpoint}/replay-missing" Application tasks::replay_missing;
    POST   "/app/{app}/endpoint/{endpoint}/bulk-replay" Application tasks::bulk_replay;
    GET    "/app/{app}/endpoint/{endpoint}/msg" ApplicationRead endpoint_messages::list;

    GET    "/operational-webhook/endpoint" Environment endpoints::list;
    POST   "/operational-webhook/endpoint" Environment endpoints::create;
    GET    "/operational-webhook/endpoint/{endpoint}" Environment endpoints::read;
    PUT    "/operational-webhook/endpoint/{endpoint}" Environment endpoints::put;
    DELETE "/operational-webhook/endpoint/{endpoint}" Environment endpoints::delete;
    GET    "/operational-webhook/endpoint/{endpoint}/secret" Environment endpoint_parts::read_secret;
    POST   "/operational-webhook/endpoint/{endpoint}/secret/rotate" Environment endpoint_parts::rotate_secret;
    GET    "/operational-webhook/endpoint/{endpoint}/headers" Environment endpoint_parts::read_headers;
    PUT    "/operational-webhook/endpoint/{endpoint}/headers" Environment endpoint_parts::put_headers;

    GET    "/event-type" ApplicationRead event_types::list;
    POST   "/event-type" Environment event_types::create;
    GET    "/event-type/{event_type}" ApplicationRead event_types::read;
    PUT    "/event-type/{event_type}" Environment event_types::put;
    PATCH  "/event-type/{event_type}" Environment event_types::patch;
    DELETE "/event-type/{event_type}" Environment event_types::delete;
    POST   "/event-type/schema/generate-example" Environment not_here::generate_example;

    POST   "/auth/app-portal-access/{app}" Environment portal_access::create;
    POST   "/auth/dashboard-access/{app}" Environment portal_access::create_without_wishes;
    POST   "/auth/app/{app}/expire-all" Environment portal_access::expire_all;
    POST   "/auth/logout" ApplicationRead not_here::logout;

    GET    "/background-task" ApplicationRead task_list::list;
    GET    "/background-task/{task}" ApplicationRead task_list::read;

    GET    "/health" Open health::report;
    GET    "/health/ping" Open health::ping;
    GET    "/openapi.json" Open openapi_document;
}

/// Calls whose answers are not kept for a repetition with the same `idempotency-key`: the commit of a message finds it out itself,
/// and a precheck only looks.
const NOT_KEPT: &[&str] = &["/app/{app}/msg", "/app/{app}/msg/precheck/active"];

/// Registers every route of the table, and the response to all other paths.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let mut paths: Vec<&str> = Vec::new();
    for spec in ROUTES {
        if !paths.contains(&spec.path) {
            paths.push(spec.path);
        }
    }
    paths.sort_by_key(|path| path.contains('{'));
    for path in paths {
        config.service(resource(path));
    }
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
        let route = match method == Method::POST && !NOT_KEPT.contains(&path) {
            // inside: a panic must not keep the answer open
            true => route.wrap(from_fn(catch_panic)).wrap(from_fn(idempotency::once)),
            false => route,
        };
        let route = match operational_webhooks::without_application(&method, path) {
            Some(without) => route.wrap(from_fn(move |request: ServiceRequest, next: Next<BoxBody>| {
                operational_webhooks::for_application(without, request, next)
            })),
            None => route,
        };
        let route = match method {
            Method::GET => route.guard(guard::Any(guard::Get()).or(guard::Head())),
            method => route.method(method),
        };
        let authorize = move |request: ServiceRequest, next: Next<BoxBody>| authorize(permission, request, next);
        let route = route.wrap(from_fn(authorize)).wrap(from_fn(catch_panic));
        resource = resource.route(route);
    }
    let allow = methods.join(", ");
    resource.default_service(web::to(move || {
        let error = SvixError::method_not_allowed(allow.clone());
        async move { HttpResponse::from_error(error) }
    }))
}

/// `GET /api/v1/openapi.json`.
async fn openapi_document() -> HttpResponse {
    openapi::response(ROUTES)
}

async fn unknown_route(request: HttpRequest) -> HttpResponse {
    HttpResponse::from_error(match request.path().strip_prefix(BASE_PATH) {
        Some(rest) if rest.starts_with(BASE_PATH) => SvixError::doubled_base(),
        _ => SvixError::no_such_route(),
    })
}
