//! Serves the style sheets, the scripts and the pictures.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use super::assets;
use super::error::PageError;
use super::state::Dashboard;
use crate::api::problem::Problem;

/// Of a picture that somebody else drew: an SVG that is opened by itself is a document, which could bring scripts along.
const OF_A_PICTURE: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// `GET /assets/{hash}/{name}`: a page of another version may use an old hash; it gets the current file, uncached.
pub(crate) async fn read(
    request: HttpRequest,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let name = request.match_info().get("name").unwrap_or_default();
    let ours =
        assets::find(name).map(|asset| (asset.content_type, asset.path.as_str(), Bytes::from_static(asset.bytes)));
    let products = || {
        let file = dashboard.portal.find(name)?;
        Some((file.content_type, file.path.as_str(), file.bytes.clone()))
    };
    let (content_type, path, bytes) = ours.or_else(products).ok_or_else(|| Problem::no_such("file"))?;
    let caching = match request.path() == path {
        true => "public, max-age=31536000, immutable",
        false => "no-store",
    };
    let mut response = HttpResponse::Ok();
    if content_type.starts_with("image/") {
        response.insert_header((header::CONTENT_SECURITY_POLICY, OF_A_PICTURE));
    }
    Ok(response.content_type(content_type).insert_header((header::CACHE_CONTROL, caching)).body(bytes))
}
