//! `/docs`: the description of the API as one page, rendered on the server. Its style is embedded, and it loads nothing
//! else: no script, nothing from another host.

mod fields;
mod page;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::route_spec::RouteSpec;
use super::{Api, openapi};

const STYLE: &str = include_str!("docs.css");

/// Allows this style sheet, by its hash, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The response to `GET /docs`.
pub(crate) fn response(api: &Api, routes: &'static [RouteSpec]) -> HttpResponse {
    let page = api.documentation.get_or_init(|| {
        let document = openapi::document(routes, api.signature_header_prefix());
        Bytes::from(page::render(routes, &document, STYLE).into_string())
    });
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page.clone())
}
