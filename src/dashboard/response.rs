//! Responses that every page uses: the security headers, redirects and fragments for htmx.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use maud::Markup;

/// Only our own files, nothing inline, no framing, and forms that post only to us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
const HX_REQUEST: &str = "hx-request";
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// The policy of pages that these origins may show in a frame; `None` without any.
pub(super) fn policy_in_frames_of(origins: &[String]) -> Option<HeaderValue> {
    let frames = format!("frame-ancestors {}", origins.join(" "));
    let policy = POLICY.replace("frame-ancestors 'none'", &frames);
    HeaderValue::from_str(&policy).ok().filter(|_| !origins.is_empty())
}

/// Adds the security headers, and forbids caching unless the page allowed it. With a policy for frames, the page may be shown in
/// those.
pub(super) fn protect(headers: &mut HeaderMap, in_frames: Option<&HeaderValue>) {
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    match in_frames {
        Some(policy) => {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        None => {
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            // a picture has its own
            if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
                headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            }
        }
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
