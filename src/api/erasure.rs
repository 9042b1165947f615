//! Erasure: forgetting an event's payload, or the response to an attempt, for good.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::audit::Author;
use super::caller::Tenant;
use super::problem::Problem;
use super::{Api, path_id};
use crate::domain::audit::AuditAction;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::store::Store;

/// `DELETE /v1/events/{id}/payload`: its pending deliveries are cancelled, and it can't be sent any more.
pub(crate) async fn payload(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EventId = path_id(&request, "event_id", "event")?;
    erase_payload(&api, &author, organization_id, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Erases the payload of an event, step by step: it can have thousands of pending deliveries.
pub(crate) async fn erase_payload(
    api: &Api,
    by: &Author,
    organization_id: OrganizationId,
    id: EventId,
) -> Result<(), Problem> {
    let now = api.engine.now();
    let entry = by.entry(api, Some(organization_id), AuditAction::EventPayloadErased, id, [None, None]);
    loop {
        let (entry, engine) = (entry.clone(), api.engine.clone());
        // all of it happens even if the client disconnects meanwhile
        let step = move |store: &dyn Store| {
            let Some(step) = store.recording(entry).erase_payload(organization_id, id, now)? else {
                return Ok(None);
            };
            if step.is_done {
                // supervisors forget it, here and on other nodes
                engine.settings_changed();
            }
            if !step.cancelled.is_empty() {
                engine.deliveries_cancelled(step.cancelled.len());
                // what waited behind them in an ordered queue is due
                engine.work_added(organization_id, step.cancelled);
            }
            Ok(Some(step.is_done))
        };
        match api.step(organization_id, step).await? {
            None => return Err(Problem::no_such("event")),
            Some(true) => return Ok(()),
            Some(false) => {}
        }
    }
}

/// `DELETE /v1/webhooks/logs/{id}/attempts/{number}/response`: status, times and error stay.
pub(crate) async fn response(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: DeliveryId = path_id(&request, "delivery_id", "delivery")?;
    let number: u32 = path_id(&request, "number", "attempt")?;
    erase_response(&api, &author, organization_id, id, number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Erases the response to an attempt of a delivery.
pub(crate) async fn erase_response(
    api: &Api,
    author: &Author,
    organization_id: OrganizationId,
    id: DeliveryId,
    number: u32,
) -> Result<(), Problem> {
    let which = Some(json!({"attempt": number}));
    let entry = author.entry(api, Some(organization_id), AuditAction::AttemptResponseErased, id, [None, which]);
    let statistics = api.engine.statistics();
    let erased = api.step(organization_id, move |store| {
        statistics.forget_excerpt(organization_id, id);
        store.recording(entry).erase_response(organization_id, id, number)
    });
    match erased.await? {
        true => Ok(()),
        false => Err(Problem::no_such("attempt")),
    }
}
