//! Actions with a single button.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::webhook_id;
use crate::api::{Api, webhook_actions, webhooks};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::response::see_other;
use crate::dashboard::viewer::Viewer;

/// `POST /webhooks/{webhook_id}/active`.
pub(crate) async fn set_active(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = webhook_id(&request)?;
    let form = Form::read(&request, payload).await?;
    let active = form.text("active") == "true";
    let body = json!({ "active": active }).to_string();
    webhooks::update_from(&api, &viewer.author(), viewer.organization_id()?, id, body.as_bytes()).await?;
    let done = if active { "enabled" } else { "disabled" };
    Ok(match form.text("from") {
        "list" => see_other(&format!("/webhooks?done={done}")),
        _ => see_other(&format!("/webhooks/{id}?done={done}")),
    })
}

/// `POST /webhooks/{webhook_id}/resume`.
pub(crate) async fn resume(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = webhook_id(&request)?;
    let due = webhook_actions::resume_webhook(&api, &viewer.author(), viewer.organization_id()?, id).await?;
    Ok(see_other(&format!("/webhooks/{id}?done=resumed&count={due}")))
}

/// `POST /webhooks/{webhook_id}/delete`.
pub(crate) async fn delete(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    webhooks::remove(&api, &viewer.author(), viewer.organization_id()?, webhook_id(&request)?).await?;
    Ok(see_other("/webhooks?done=deleted"))
}
