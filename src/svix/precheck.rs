//! `/api/v1/app/{app}/msg/precheck/active`: whether a message would reach anybody, before it is made.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::endpoint_input::check_channels;
use super::error::SvixError;
use super::input::{Invalid, read_json};
use crate::api::Api;
use crate::domain::labels::MAX_EVENT_CHANNELS;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrecheckIn {
    event_type: String,
    channels: Option<Vec<String>>,
}

#[derive(Serialize)]
struct PrecheckOut {
    active: bool,
}

/// `POST /api/v1/app/{app}/msg/precheck/active`: as far as type and channels decide. Of a webhook with a filter it is assumed that
/// the filter holds.
pub(super) async fn active(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let owner = access.application()?.id;
    let PrecheckIn { event_type, channels } = read_json(&request, payload).await?;
    let channels = channels.unwrap_or_default();
    let mut invalid = Invalid::of_body();
    invalid.check_name("eventType", &event_type);
    if !channels.is_empty() {
        check_channels(&channels, MAX_EVENT_CHANNELS, &mut invalid);
    }
    invalid.into_result()?;
    let engine = api.engine().clone();
    // as it is decided when a message is published: from memory, which other nodes may have to be asked for first
    let found = api.read(access.line, move |_| engine.has_subscriber(owner, &event_type, &channels));
    Ok(HttpResponse::Ok().json(PrecheckOut { active: found.await? }))
}
