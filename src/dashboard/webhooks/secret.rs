//! Reveals and rotates a webhook's signing secret.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::secret_card::{DEFAULT_OVERLAP_SECONDS, card};
use super::{detail, webhook_id};
use crate::api::{Api, webhooks};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::response::{fragment, see_other, wants_fragment};
use crate::dashboard::viewer::Viewer;

/// `POST /webhooks/{webhook_id}/secret`: shows it.
pub(crate) async fn reveal(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = webhook_id(&request)?;
    if wants_fragment(&request) {
        let endpoint = api.find_endpoint(viewer.organization_id()?, id).await?.endpoint;
        return Ok(fragment(&card(&viewer, &endpoint, true)));
    }
    detail::page(&viewer, &api, id, &Form::default(), true).await
}

/// `POST /webhooks/{webhook_id}/rotate`.
pub(crate) async fn rotate(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = webhook_id(&request)?;
    let form = Form::read(&request, payload).await?;
    let overlap = form.given("overlap").unwrap_or(DEFAULT_OVERLAP_SECONDS).parse::<u64>().unwrap_or_default();
    let body = match form.given("signature") {
        Some(signature) => json!({ "overlap_seconds": overlap, "signature": signature }).to_string(),
        None => json!({ "overlap_seconds": overlap }).to_string(),
    };
    webhooks::rotate_from(&api, &viewer.author(), viewer.organization_id()?, id, body.as_bytes()).await?;
    Ok(see_other(&format!("/webhooks/{id}?done=rotated")))
}
