//! What pages bring along beside their text: style and scripts, built into the program. Their addresses hold their
//! hash, so that a browser may keep them for ever and never has an old one.

use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::error::PageError;
use crate::api::problem::Problem;

/// One file.
pub(crate) struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// With its hash.
    pub path: LazyLock<String>,
}

macro_rules! asset {
    ($file:literal, $content_type:literal) => {
        Asset {
            name: $file,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $file)),
            path: LazyLock::new(|| address($file, include_bytes!(concat!("assets/", $file)))),
        }
    };
}

/// The style sheet.
pub(crate) static STYLE: Asset = asset!("app.css", "text/css; charset=utf-8");
/// Our own script.
pub(crate) static SCRIPT: Asset = asset!("app.js", "text/javascript; charset=utf-8");
/// htmx 2.0.11 (0BSD): parts of a page that ask the server by themselves.
pub(crate) static HTMX: Asset = asset!("htmx.min.js", "text/javascript; charset=utf-8");
/// idiomorph 0.8.0 (0BSD): exchanges only what changed, so that focus and selection stay.
pub(crate) static MORPH: Asset = asset!("idiomorph-ext.min.js", "text/javascript; charset=utf-8");
/// The sign in a browser's tab.
pub(crate) static ICON: Asset = asset!("icon.svg", "image/svg+xml");

static ALL: [&Asset; 5] = [&STYLE, &SCRIPT, &HTMX, &MORPH, &ICON];

fn address(name: &str, bytes: &[u8]) -> String {
    let hash = BASE64URL_NOPAD.encode(&Sha256::digest(bytes)[..9]);
    format!("/assets/{hash}/{name}")
}

/// `GET /assets/{hash}/{name}`: a page of another version may ask with an old hash, and gets what there is, unkept.
pub(crate) async fn read(request: HttpRequest) -> Result<HttpResponse, PageError> {
    let name = request.match_info().get("name").unwrap_or_default();
    let asset = ALL.iter().find(|asset| asset.name == name).ok_or_else(|| Problem::no_such("file"))?;
    let keep = match request.path() == asset.path.as_str() {
        true => "public, max-age=31536000, immutable",
        false => "no-store",
    };
    Ok(HttpResponse::Ok()
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, keep))
        .body(asset.bytes))
}
