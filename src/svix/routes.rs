//! The table of routes. It is also the registration: a route can't exist without its permission.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpResponse, Resource, guard, web};

use super::access::authorize;
use super::error::SvixError;
use super::route_spec::{Permission, RouteSpec};
use super::{event_types, health, idempotency, not_here, portal_access};
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
    GET    "/event-type" ApplicationRead event_types::list;
    POST   "/event-type" Environment event_types::create;
    GET    "/event-type/{event_type}" ApplicationRead event_types::read;
    PUT    "/event-type/{event_type}" Environment event_types::put;
    PATCH  "/event-type/{event_type}" Environment event_types::patch;
    DELETE "/event-type/{event_type}" Environment event_types::delete;
    POST   "/event-type/schema/generate-example" Environment not_here::generate_example;

    POST   "/auth/app-portal-access/{app}" Environment portal_access::create;
    POST   "/auth/dashboard-access/{app}" Environment portal_access::create_without_wishes;
    POST   "/auth/logout" ApplicationRead not_here::logout;

    GET    "/health" Open health::report;
    GET    "/health/ping" Open health::ping;
}

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
        let is_post = method == Method::POST;
        let route = (spec.handler)().wrap(from_fn(catch_panic));
        let route = match method {
            Method::GET => route.guard(guard::Any(guard::Get()).or(guard::Head())),
            method => route.method(method),
        };
        let once = move |request: ServiceRequest, next: Next<BoxBody>| async move {
            if is_post { idempotency::once(request, next).await } else { next.call(request).await }
        };
        let authorize = move |request: ServiceRequest, next: Next<BoxBody>| authorize(permission, request, next);
        let route = route.wrap(from_fn(once)).wrap(from_fn(authorize)).wrap(from_fn(catch_panic));
        resource = resource.route(route);
    }
    let allow = methods.join(", ");
    resource.default_service(web::to(move || {
        let error = SvixError::method_not_allowed(allow.clone());
        async move { HttpResponse::from_error(error) }
    }))
}

async fn unknown_route() -> HttpResponse {
    HttpResponse::from_error(SvixError::no_such_route())
}
