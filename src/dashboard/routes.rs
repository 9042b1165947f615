//! The table of pages, each with the permission that its viewer needs.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Route, guard as method_guard, web};

use super::access::Access;
use super::guard::guard;
use super::{
    asset_files, catalogue, changes, cluster, deployment_keys, error, event_types, events, keys, logs,
    organization, organizations, overview, search, sign_in, usage, view_as, webhooks,
};
use crate::api::auth::Permission;
use crate::api::middleware::catch_panic;

/// A page, or the target of one of its forms.
pub struct PageSpec {
    /// `GET` also answers `HEAD`.
    pub method: Method,
    /// The pattern, as in the metrics.
    pub path: &'static str,
    /// The permission that is checked before the handler runs.
    pub access: Access,
    handler: fn() -> Route,
}

macro_rules! pages {
    ($($method:ident $path:literal ($access:expr) $handler:path;)*) => {
        /// All pages.
        pub static PAGES: &[PageSpec] = &[$(PageSpec {
            method: Method::$method,
            path: $path,
            access: $access,
            handler: || web::to($handler),
        }),*];
    };
}

const OPEN: Access = Access::Open;
const SIGNED_IN: Access = Access::SignedIn;
const READ: Access = Access::Needs(Permission::Read);
const PUBLISH: Access = Access::Needs(Permission::Publish);
const MANAGE: Access = Access::Needs(Permission::Manage);
const KEYS: Access = Access::Needs(Permission::Keys);
const AUDIT: Access = Access::Needs(Permission::Audit);
const ADMIN: Access = Access::Needs(Permission::Admin);

pages! {
    GET  "/" (SIGNED_IN) overview::read;
    GET  "/sign-in" (OPEN) sign_in::read;
    POST "/sign-in" (OPEN) sign_in::enter;
    POST "/sign-out" (OPEN) sign_in::leave;
    GET  "/assets/{hash}/{name}" (OPEN) asset_files::read;

    GET  "/event-types" (READ) event_types::list;
    POST "/event-types" (MANAGE) event_types::create;
    POST "/event-types/{event_type}/delete" (MANAGE) event_types::delete;

    GET  "/changes" (AUDIT) changes::list;
    GET  "/keys" (KEYS) keys::list;
    POST "/keys" (KEYS) keys::create;
    POST "/keys/{key_id}/revoke" (KEYS) keys::revoke;

    GET  "/webhooks" (READ) webhooks::list;
    POST "/webhooks" (MANAGE) webhooks::create;
    GET  "/webhooks/new" (MANAGE) webhooks::new;
    GET  "/webhooks/preview/sample" (MANAGE) webhooks::preview_sample;
    POST "/webhooks/preview/filter" (MANAGE) webhooks::preview_filter;
    POST "/webhooks/preview/retry" (MANAGE) webhooks::preview_retry;
    GET  "/webhooks/{webhook_id}" (READ) webhooks::read;
    GET  "/webhooks/{webhook_id}/edit" (MANAGE) webhooks::edit;
    POST "/webhooks/{webhook_id}/edit" (MANAGE) webhooks::update;
    POST "/webhooks/{webhook_id}/active" (MANAGE) webhooks::set_active;
    POST "/webhooks/{webhook_id}/delete" (MANAGE) webhooks::delete;
    POST "/webhooks/{webhook_id}/secret" (MANAGE) webhooks::reveal;
    POST "/webhooks/{webhook_id}/rotate" (MANAGE) webhooks::rotate;
    GET  "/webhooks/{webhook_id}/test" (MANAGE) webhooks::read_test;
    POST "/webhooks/{webhook_id}/test" (MANAGE) webhooks::send_test_event;
    GET  "/webhooks/{webhook_id}/test/sample" (MANAGE) webhooks::test_sample;
    POST "/webhooks/{webhook_id}/resume" (MANAGE) webhooks::resume;
    GET  "/webhooks/{webhook_id}/recover" (MANAGE) webhooks::recover_preview;
    POST "/webhooks/{webhook_id}/recover" (MANAGE) webhooks::recover_send;

    GET  "/logs" (READ) logs::list;
    POST "/logs/retry" (MANAGE) logs::retry_chosen;
    GET  "/logs/{delivery_id}" (READ) logs::read;
    GET  "/logs/{delivery_id}/payload" (READ) logs::payload;
    POST "/logs/{delivery_id}/retry" (MANAGE) logs::retry;

    GET  "/events" (READ) events::list;
    POST "/events" (PUBLISH) events::publish;
    GET  "/events/new" (PUBLISH) events::compose;
    GET  "/events/{event_id}" (READ) events::read;
    GET  "/events/{event_id}/payload" (READ) events::payload;
    POST "/events/{event_id}/replay" (MANAGE) events::replay;

    GET  "/search" (READ) search::read;

    GET  "/organizations" (ADMIN) organizations::list;
    POST "/organizations" (ADMIN) organizations::create;
    GET  "/organizations/{organization_id}" (ADMIN) organization::read;
    POST "/organizations/{organization_id}/keys" (ADMIN) organization::create_key;
    POST "/organizations/{organization_id}/keys/{key_id}/revoke" (ADMIN) organization::revoke_key;
    POST "/organizations/{organization_id}/delete" (ADMIN) organization::delete;

    GET  "/catalogue" (ADMIN) catalogue::list;
    POST "/catalogue" (ADMIN) catalogue::create;
    GET  "/catalogue/{catalogue_type}" (ADMIN) catalogue::edit;
    POST "/catalogue/{catalogue_type}" (ADMIN) catalogue::save;
    POST "/catalogue/{catalogue_type}/archive" (ADMIN) catalogue::archive;
    POST "/catalogue/{catalogue_type}/remove" (ADMIN) catalogue::remove;

    GET  "/deployment-keys" (ADMIN) deployment_keys::list;
    POST "/deployment-keys" (ADMIN) deployment_keys::create;
    POST "/deployment-keys/{key_id}/revoke" (ADMIN) deployment_keys::revoke;

    GET  "/usage" (ADMIN) usage::read;
    GET  "/cluster" (ADMIN) cluster::read;
}

/// Registers all pages, those of an organization also for the operator's view, and the fallback for other paths.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    for page in PAGES {
        config.route(page.path, route(page));
        if view_as::shows(page.access) {
            config.route(&view_as::pattern(page.path), route(page));
        }
    }
    config.default_service(web::to(error::nowhere));
}

fn route(page: &PageSpec) -> Route {
    let access = page.access;
    let route = (page.handler)();
    let route = match page.method.clone() {
        Method::GET => route.guard(method_guard::Any(method_guard::Get()).or(method_guard::Head())),
        method => route.method(method),
    };
    let guard = move |request: ServiceRequest, next: Next<BoxBody>| guard(access, request, next);
    // the inner one turns a panic into a response that the guard adds its headers to
    route.wrap(from_fn(catch_panic)).wrap(from_fn(guard)).wrap(from_fn(catch_panic))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_operators_view_has_every_page_of_an_organization_and_no_other() {
        let beginning = |page: &PageSpec| page.path.split('/').nth(1).unwrap_or_default();
        let (inside, outside): (Vec<&PageSpec>, Vec<&PageSpec>) =
            PAGES.iter().partition(|page| view_as::shows(page.access));
        let of_organization: BTreeSet<&str> = inside.into_iter().map(beginning).collect();
        assert_eq!(of_organization, BTreeSet::from(view_as::BEGINNINGS));
        assert!(outside.into_iter().all(|page| !of_organization.contains(beginning(page))));
    }
}
