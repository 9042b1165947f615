//! The middleware in front of every page: requires a session and its permission, refuses forms from other sites, and
//! adds the security headers.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, web};

use super::access::Access;
use super::error::{PageError, for_visitor};
use super::layout::OfProduct;
use super::portal::Portal;
use super::response::{protect, redirect_htmx, see_other, wants_fragment};
use super::session_cookie::{SignedIn, came_by_link, signed_in};
use super::state::Dashboard;
use super::view_as;
use super::viewer::{Door, Preferences, Viewer};
use super::visitor::portal_of;
use crate::api::auth::Permission;
use crate::api::problem::{ErrorCode, Problem};
use crate::api::{Api, organizations};

pub(crate) async fn guard(
    access: Access,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let view = view_as::prefix(request.request());
    let response = match admit(access, request.request()).await {
        Ok(()) => match (next.call(request).await?, view) {
            (response, Some(view)) => view_as::keep_inside(&view, response),
            (response, None) => response,
        },
        // with its error, which `into_response` forgets
        Err(refusal) => ServiceResponse::new(request.into_parts().0, refusal),
    };
    let portal = portal_of(response.request());
    let mut response = match &portal {
        Some(portal) => with_products_errors(response, portal),
        None => response,
    };
    let is_of_product = response.response().extensions().get::<OfProduct>().is_some();
    let frames = dashboard_of(response.request()).filter(|_| is_of_product);
    let frames = frames.and_then(|dashboard| dashboard.portal.frames().cloned());
    protect(response.headers_mut(), frames.as_ref());
    Ok(response)
}

/// A page for an error is made without a look at who asks; a visitor gets the product's.
fn with_products_errors(response: ServiceResponse<BoxBody>, portal: &Portal) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<PageError>());
    let Some(PageError(problem)) = problem else { return response };
    let page = for_visitor(problem, portal, response.request());
    response.into_response(page)
}

fn dashboard_of(request: &HttpRequest) -> Option<&web::Data<Dashboard>> {
    request.app_data::<web::Data<Dashboard>>()
}

async fn admit(access: Access, request: &HttpRequest) -> Result<(), HttpResponse> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_same_origin(request.headers()) {
        let detail = "this form was not sent from the dashboard; open the page again and submit it there";
        return Err(refuse(Problem::new(ErrorCode::Forbidden, detail)));
    }
    if access == Access::Open {
        return Ok(());
    }
    let shared = || request.app_data::<web::Data<Api>>().zip(dashboard_of(request));
    let (api, dashboard) =
        shared().ok_or_else(|| refuse(Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())))?;
    let SignedIn { caller, visitor } = match signed_in(api, dashboard, request).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return Err(to_sign_in(dashboard, request)),
        Err(problem) => return Err(refuse(problem)),
    };
    let entered = view_as::enter(request, &caller).map_err(refuse)?;
    let is_operator = entered.is_some();
    let caller = entered.unwrap_or(caller);
    let own = caller.organization_id();
    let organization = match own {
        None => None,
        Some(id) => Some(organizations::find(api, id.into(), id).await.map_err(refuse)?.name),
    };
    let address = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let is_visitor = visitor.is_some();
    let door = visitor.map(|visitor| Door { visitor, portal: Arc::clone(&dashboard.portal) });
    let viewer = Viewer {
        caller,
        organization,
        is_operator,
        door,
        look: Preferences::of(request),
        address,
        now: api.engine().now(),
    };
    // also for the page that refuses
    request.extensions_mut().insert(viewer);
    if let Access::Needs(permission) = access {
        if own.is_none() && !matches!(permission, Permission::Open | Permission::Admin | Permission::Audit) {
            let detail = "an admin key belongs to no organization; open one under Organizations to manage its keys, and to view its pages";
            return Err(refuse(Problem::new(ErrorCode::Forbidden, detail)));
        }
        permission.check(&caller, own).map_err(|problem| match is_visitor {
            // who has a role instead of a key
            true => refuse(Problem::new(ErrorCode::Forbidden, "your role here does not include this page")),
            false => refuse(problem),
        })?;
    }
    if is_operator {
        view_as::note(request, &caller);
    }
    // for the access log
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Browsers send where a request comes from. One that sends neither header is too old to be trusted with a session.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
}

fn refuse(problem: Problem) -> HttpResponse {
    HttpResponse::from_error(PageError(problem))
}

fn to_sign_in(dashboard: &Dashboard, request: &HttpRequest) -> HttpResponse {
    // whoever came by a link has no key to sign in with
    let is_visit_over = came_by_link(dashboard, request).is_some();
    let page = if is_visit_over { "/sign-in?over=1" } else { "/sign-in" };
    if wants_fragment(request) {
        return redirect_htmx(page);
    }
    if is_visit_over {
        return see_other(page);
    }
    let next = match *request.method() {
        Method::GET => request.uri().path_and_query().map_or("/", |address| address.as_str()),
        _ => "/",
    };
    if next == "/" {
        return see_other("/sign-in");
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    see_other(&format!("/sign-in?{query}"))
}

impl FromRequest for Viewer {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // missing only if a page registered as open asks for its viewer
        let missing = || PageError(Problem::new(ErrorCode::Internal, ErrorCode::Internal.help()));
        ready(request.extensions().get::<Self>().cloned().ok_or_else(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn is_accepted(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_same_origin(&map)
    }

    #[test]
    fn a_form_from_another_site_or_of_unknown_origin_is_refused() {
        assert!(is_accepted(&[("sec-fetch-site", "same-origin")]));
        assert!(is_accepted(&[("origin", "https://hooks.example.com"), ("host", "hooks.example.com")]));
        for headers in [
            &[][..],
            &[("host", "hooks.example.com")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://a.example.com"), ("host", "a.example.com")],
            &[("origin", "https://evil.example"), ("host", "hooks.example.com")],
            &[("origin", "null"), ("host", "hooks.example.com")],
        ] {
            assert!(!is_accepted(headers), "{headers:?}");
        }
    }
}
