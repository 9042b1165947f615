//! `/docs`: the description of the API as one page, made on the server. It brings its style along and nothing
//! else: no script, nothing from another host.

mod fields;
mod page;

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::{Api, openapi};

const STYLE: &str = include_str!("docs.css");

/// Allows this very style sheet, by its hash, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// `GET /docs`.
pub(crate) async fn read(api: web::Data<Api>) -> HttpResponse {
    let page = api.documentation.get_or_init(|| {
        let document = openapi::document(api.signature_header_prefix());
        Bytes::from(page::render(&document, STYLE).into_string())
    });
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page.clone())
}
