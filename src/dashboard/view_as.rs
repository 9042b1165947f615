//! The operator's view: the pages of an organization as its people see them, for whoever has the admin key.
//!
//! The organization is in the path, below [`ROOT`]: two tabs can show two organizations, an address can be passed on, and no
//! form acts in another organization than its page shows. The pages know nothing of it: their own addresses become those of
//! the view on the way out.

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, Uri};

use super::access::Access;
use super::response::wants_fragment;
use crate::api::auth::Permission;
use crate::api::caller::{Caller, address};
use crate::api::problem::Problem;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;

const ROOT: &str = "/as";
/// The organization in the patterns of the view.
const VIEWED: &str = "viewed";
/// Attributes that hold addresses of pages. In what a page shows, a quotation mark is always escaped: these are attributes
/// wherever they occur.
const ATTRIBUTES: [&str; 5] = [" href=\"", " action=\"", " formaction=\"", " hx-get=\"", " hx-post=\""];

/// What the paths of an organization's pages begin with; a test of the routes compares them.
pub(super) const BEGINNINGS: [&str; 8] =
    ["", "changes", "event-types", "events", "keys", "logs", "search", "webhooks"];

/// Whether a page is one of an organization.
pub(super) fn shows(access: Access) -> bool {
    match access {
        Access::Open => false,
        Access::SignedIn => true,
        Access::Needs(permission) => !matches!(permission, Permission::Open | Permission::Admin),
    }
}

/// The pattern of an organization's page in the view.
pub(super) fn pattern(path: &str) -> String {
    format!("{ROOT}/{{{VIEWED}}}{path}")
}

/// The address of the view of an organization.
pub(super) fn entrance(organization_id: OrganizationId) -> String {
    format!("{ROOT}/{organization_id}/")
}

/// What addresses of the view that a request is in begin with.
pub(super) fn prefix(request: &HttpRequest) -> Option<String> {
    request.match_info().get(VIEWED).map(|viewed| format!("{ROOT}/{viewed}"))
}

/// Who acts in the view: the operator, as somebody of the organization who may do everything. `None` outside of the view.
pub(super) fn enter(request: &HttpRequest, caller: &Caller) -> Result<Option<Caller>, Problem> {
    let Some(viewed) = request.match_info().get(VIEWED) else { return Ok(None) };
    // first: others must not learn which organizations exist
    Permission::Admin.check(caller, None)?;
    let organization_id = viewed.parse().map_err(|_| Problem::no_such("organization"))?;
    Ok(Some(Caller::Key { organization_id, key_id: caller.key_id(), role: Role::Admin }))
}

/// Writes down who views which organization: each page once, not each of its updates, and every change.
pub(super) fn note(request: &HttpRequest, caller: &Caller) {
    if *request.method() == Method::GET && wants_fragment(request) {
        return;
    }
    let Some(organization) = caller.organization_id() else { return };
    let by = caller.key_id().map_or_else(|| "admin key".to_owned(), |id| id.to_string());
    let address = address(request);
    tracing::info!(%organization, by, %address, method = %request.method(), path = request.path(), "an operator views an organization");
}

/// Leads from the pages and redirects of a response to the same view.
pub(super) fn keep_inside(prefix: &str, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let (request, mut response) = response.into_parts();
    let location = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
    let inside =
        location.filter(|it| is_of_organization(it)).map(|it| HeaderValue::from_str(&format!("{prefix}{it}")));
    if let Some(Ok(inside)) = inside {
        response.headers_mut().insert(header::LOCATION, inside);
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("text/html")) {
        return ServiceResponse::new(request, response);
    }
    let (head, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(page) => BoxBody::new(rewritten(prefix, &String::from_utf8_lossy(&page))),
        Err(body) => body,
    };
    ServiceResponse::new(request, head.set_body(body))
}

/// A page whose links and forms stay in the view.
fn rewritten(prefix: &str, page: &str) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some((before, attribute)) = next_attribute(rest) {
        let (passed, address) = rest.split_at(before + attribute.len());
        out.push_str(passed);
        if is_of_organization(address.split('"').next().unwrap_or_default()) {
            out.push_str(prefix);
        }
        rest = address;
    }
    out.push_str(rest);
    out
}

fn next_attribute(page: &str) -> Option<(usize, &'static str)> {
    let found = ATTRIBUTES.into_iter().filter_map(|attribute| page.find(attribute).map(|at| (at, attribute)));
    found.min_by_key(|(at, _)| *at)
}

/// Whether an address is of a page that the view has: those of the operator and those that are open are not.
fn is_of_organization(address: &str) -> bool {
    if address.starts_with("//") {
        return false;
    }
    let Ok(address) = address.split('#').next().unwrap_or_default().parse::<Uri>() else { return false };
    let beginning = address.path().strip_prefix('/').and_then(|path| path.split('/').next());
    address.host().is_none() && beginning.is_some_and(|beginning| BEGINNINGS.contains(&beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_forms_of_an_organizations_pages_stay_in_the_view_and_others_do_not() {
        let page = r##"<a class="x" href="/">a</a><a href="/?range=1h">b</a><form method="post" action="/webhooks/wh_1/edit">
            <a href="/logs?q=1#row">c</a><a href="#add">d</a><a href="/docs">e</a><a href="/organizations/org_1">f</a>
            <form action="/sign-out"><link href="/assets/x/app.css"><a href="https://example.com/webhooks">g</a>
            <div hx-get="/as/org_1/webhooks?state=failing" hx-post="/webhooks/preview/retry"> href=/keys &quot; href=&quot;/keys"##;
        let expected = page
            .replace("href=\"/\"", "href=\"/as/org_1/\"")
            .replace("\"/?range", "\"/as/org_1/?range")
            .replace("\"/webhooks", "\"/as/org_1/webhooks")
            .replace("\"/logs", "\"/as/org_1/logs");
        assert_eq!(rewritten("/as/org_1", page), expected);
        for foreign in ["//example.com/webhooks", "https://example.com/keys", "/\\example.com", "", "keys"] {
            assert!(!is_of_organization(foreign), "{foreign}");
        }
    }
}
