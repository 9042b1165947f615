//! What stands before every page: who signed in, what they may see, where a form came from, and what a browser is
//! told about the page.

use actix_web::body::BoxBody;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};

use super::Dashboard;
use super::error::PageError;
use super::routes::Access;
use super::session::LIFETIME;
use super::viewer::{Preferences, Viewer};
use crate::api::auth::{Caller, Permission, caller_of};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::{Api, organizations};

/// Nothing but our own files; nothing inline; nobody frames a page; forms go nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
/// Asks htmx to go to another page instead of showing this answer in the place of a part.
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const HX_REQUEST: &str = "hx-request";

/// The middleware around a page.
pub(crate) async fn guard(
    access: Access,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match admit(access, request.request()).await {
        Ok(()) => match next.call(request).await {
            Ok(response) => response,
            Err(error) => return Err(error),
        },
        Err(refusal) => request.into_response(refusal),
    };
    protect(response.headers_mut());
    Ok(response)
}

/// Tells a browser what it may do with a page.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        // pages hold what only their reader may see
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

async fn admit(access: Access, request: &HttpRequest) -> Result<(), HttpResponse> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_from_here(request.headers()) {
        let detail =
            "this form was not sent from the dashboard itself; open the page again and send it from there";
        return Err(refuse(Problem::new(ErrorCode::Forbidden, detail)));
    }
    if access == Access::Open {
        return Ok(());
    }
    let shared = || request.app_data::<web::Data<Api>>().zip(request.app_data::<web::Data<Dashboard>>());
    let (api, dashboard) =
        shared().ok_or_else(|| refuse(Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())))?;
    let caller = match caller(api, dashboard, request).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return Err(to_sign_in(request)),
        Err(problem) => return Err(refuse(problem)),
    };
    let (own, organization) = match caller {
        Caller::Admin => (None, None),
        Caller::Key { organization_id, .. } => {
            let found = organizations::find(api, organization_id).await.map_err(refuse)?;
            (Some(organization_id), Some(found.name))
        }
    };
    if let Access::Needs(permission) = access {
        if caller == Caller::Admin && permission == Permission::Keys {
            let detail = "the admin key belongs to no organization; choose one under Organizations";
            return Err(refuse(Problem::new(ErrorCode::Forbidden, detail)));
        }
        permission.check(&caller, own).map_err(refuse)?;
    }
    let address = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let viewer = Viewer { caller, organization, look: Preferences::of(request), address, now: api.engine().now() };
    // for the access log
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(viewer);
    Ok(())
}

/// Who signed in with this browser; `None` when nobody did, or the key was revoked since.
pub(crate) async fn caller(
    api: &Api,
    dashboard: &Dashboard,
    request: &HttpRequest,
) -> Result<Option<Caller>, Problem> {
    let Some(key_hash) = key_hash(api, dashboard, request) else { return Ok(None) };
    match caller_of(api, key_hash).await {
        Ok(caller) => Ok(Some(caller)),
        Err(problem) if problem.code() == ErrorCode::Unauthorized => {
            token(dashboard, request).inspect(|token| dashboard.sessions.end(token));
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// The hash of the key that this browser signed in with.
pub(crate) fn key_hash(api: &Api, dashboard: &Dashboard, request: &HttpRequest) -> Option<[u8; 32]> {
    dashboard.sessions.key_hash(&token(dashboard, request)?, api.engine().now())
}

/// Whether a key opens any page at all: one that only publishes does not.
pub(crate) fn may_enter(caller: &Caller) -> bool {
    match caller {
        Caller::Admin => true,
        Caller::Key { organization_id, .. } => Permission::Read.check(caller, Some(*organization_id)).is_ok(),
    }
}

/// A browser says where a request comes from; one that says nothing is too old to be trusted with a session.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(header::HOST) == Some(host))
}

fn refuse(problem: Problem) -> HttpResponse {
    PageError(problem).error_response()
}

fn to_sign_in(request: &HttpRequest) -> HttpResponse {
    let here = match *request.method() {
        Method::GET => request.uri().path_and_query().map_or("/", |address| address.as_str()),
        _ => "/",
    };
    let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish();
    let address = if here == "/" { "/sign-in".to_owned() } else { format!("/sign-in?{query}") };
    if wants_fragment(request) {
        return HttpResponse::NoContent().insert_header((HX_REDIRECT, "/sign-in")).finish();
    }
    see_other(&address)
}

/// Whether a part of a page asks, and not a person for a whole one.
pub(crate) fn wants_fragment(request: &HttpRequest) -> bool {
    request.headers().contains_key(HX_REQUEST)
}

/// Goes on to another page after a form was sent.
pub(crate) fn see_other(address: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::SEE_OTHER).insert_header((header::LOCATION, address)).finish()
}

fn cookie_name(dashboard: &Dashboard) -> &'static str {
    // the prefix makes browsers insist on HTTPS and on this very host
    if dashboard.secure { "__Host-ringback_session" } else { "ringback_session" }
}

/// The token that a browser sends.
pub(crate) fn token(dashboard: &Dashboard, request: &HttpRequest) -> Option<String> {
    request.cookie(cookie_name(dashboard)).map(|cookie| cookie.value().to_owned())
}

/// The cookie with a session's token; without one it ends what the browser has.
pub(crate) fn session_cookie(dashboard: &Dashboard, token: Option<String>) -> Cookie<'static> {
    let lifetime = if token.is_some() { LIFETIME.as_secs() as i64 } else { 0 };
    Cookie::build(cookie_name(dashboard), token.unwrap_or_default())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(dashboard.secure)
        .max_age(actix_web::cookie::time::Duration::seconds(lifetime))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_from_here(&map)
    }

    #[test]
    fn a_form_of_another_site_is_refused_and_so_is_one_that_hides_where_it_is_from() {
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
