//! Serves the style sheet, the scripts and the icon.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::assets;
use super::error::PageError;
use crate::api::problem::Problem;

/// `GET /assets/{hash}/{name}`: a page of another version may use an old hash; it gets the current file, uncached.
pub(crate) async fn read(request: HttpRequest) -> Result<HttpResponse, PageError> {
    let name = request.match_info().get("name").unwrap_or_default();
    let asset = assets::find(name).ok_or_else(|| Problem::no_such("file"))?;
    let caching = match request.path() == asset.path.as_str() {
        true => "public, max-age=31536000, immutable",
        false => "no-store",
    };
    Ok(HttpResponse::Ok()
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, caching))
        .body(asset.bytes))
}
