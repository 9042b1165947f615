//! Responses that every page uses: the security headers, redirects and fragments for htmx.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use maud::Markup;

/// Only our own files, nothing inline, no framing, and forms that post only to us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
const HX_REQUEST: &str = "hx-request";
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// Adds the security headers, and forbids caching unless the page allowed it.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        // pages show what only this viewer may see
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Redirects after a form was sent.
pub(crate) fn see_other(address: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::SEE_OTHER).insert_header((header::LOCATION, address)).finish()
}

/// Makes htmx open another page instead of swapping the response into the current one.
pub(crate) fn redirect_htmx(address: &'static str) -> HttpResponse {
    HttpResponse::NoContent().insert_header((HX_REDIRECT, address)).finish()
}

/// Whether htmx requests a fragment, rather than a browser a whole page.
pub(crate) fn wants_fragment(request: &HttpRequest) -> bool {
    request.headers().contains_key(HX_REQUEST)
}

/// A fragment of a page, for htmx to swap in.
pub(crate) fn fragment(markup: &Markup) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(markup.0.clone())
}
