//! `/logs/{delivery_id}`: one delivery with its attempts and payload.

use actix_web::body::BoxBody;
use actix_web::http::header::{self, ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpRequest, HttpResponse, web};

use maud::{Markup, html};

use super::attempts;
use crate::api::auth::Permission;
use crate::api::body::response_body;
use crate::api::problem::{ErrorCode, Problem};
use crate::api::{Api, logs, path_id};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::payload;
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{components, time};
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::health::EndpointState;
use crate::domain::ids::DeliveryId;
use crate::store::{DeliveryDetail, EndpointStart};

/// `GET /logs/{delivery_id}`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let DeliveryDetail { record, body, attempts } = logs::detail(&api, organization_id, id(&request)?).await?;
    let webhook = match api.find_endpoint(organization_id, record.endpoint_id).await {
        Ok(found) => Some(found),
        Err(problem) if problem.code() == ErrorCode::NotFound => None,
        Err(problem) => return Err(problem.into()),
    };
    let query = Form::parse(request.query_string().as_bytes());
    let all = query.text(attempts::ALL) == "all";
    let state = webhook.as_ref().map(|it| EndpointState::of(&it.endpoint, Some(&it.health)));
    let content = html! {
        @match query.text("done") {
            "queued" => (components::done("Queued to be resent, with a full retry schedule.")),
            "refused" => { p.note-box.warn role="status" #done { "Not resent: it is still pending, its webhook was deleted, or its payload was erased." } }
            _ => {}
        }
        div.stack-live #live data-live[record.status == DeliveryStatus::Pending] hx-get=(viewer.address) hx-trigger="refresh"
            hx-select="#live" hx-swap="morph:outerHTML" hx-target="this" {
            (head(&viewer, &record, webhook.is_some(), body.is_empty()))
            (facts(&viewer, &record, webhook.as_ref().zip(state)))
            section.card aria-labelledby="attempts-title" {
                h2 #attempts-title { "Attempts" }
                (attempts::timeline(&viewer, &record, state, &attempts, all))
            }
        }
        (payload::card(&body, &format!("/logs/{}/payload", record.id)))
    };
    let title = format!("{} · Delivery", record.event_type);
    Ok(layout::page(&viewer, Section::Logs, &title, &content))
}

fn id(request: &HttpRequest) -> Result<DeliveryId, Problem> {
    path_id(request, "delivery_id", "delivery")
}

fn head(viewer: &Viewer, record: &DeliveryRecord, has_webhook: bool, is_erased: bool) -> Markup {
    let reason = match (record.status, has_webhook) {
        _ if is_erased => Some("Its payload was erased, so it can’t be resent."),
        (DeliveryStatus::Pending, _) => Some("Still pending: it is sent automatically."),
        (_, false) => Some("Its webhook was deleted. You can resend the event to another one."),
        _ => None,
    };
    html! {
        div.head {
            div {
                p.crumbs { a href="/logs" { "Logs" } " / " code { (record.id) } }
                h1 { (record.event_type) " " (components::status(record.status)) }
            }
            @if viewer.may(Permission::Manage) {
                div.actions {
                    @if let Some(reason) = reason { span.dim.small #resend-reason { (reason) } }
                    form method="post" action={ "/logs/" (record.id) "/retry" } {
                        button.primary disabled[reason.is_some()] aria-describedby=[reason.map(|_| "resend-reason")] { "Resend" }
                    }
                }
            }
        }
    }
}

fn facts(viewer: &Viewer, record: &DeliveryRecord, webhook: Option<(&EndpointStart, EndpointState)>) -> Markup {
    let zone = viewer.zone();
    html! {
        section.card aria-label="About this delivery" { dl.facts {
            dt { "Webhook" }
            dd { @match webhook {
                Some((it, state)) => { a.break href={ "/webhooks/" (it.endpoint.id) } { (it.endpoint.url) } " " (components::state(state)) }
                None => { span.dim { "deleted (" (record.endpoint_id) ")" } }
            } }
            dt { "Event" }
            dd { a href={ "/events/" (record.event_id) } { code { (record.event_id) } } }
            dt { "Created" }
            dd { (time::instant(record.created_at, zone)) " (" (time::relative(record.created_at, viewer.now, zone)) ")" }
            @if let Some(at) = record.finished_at {
                dt { "Finished" }
                dd { (time::instant(at, zone)) " (" (time::relative(at, viewer.now, zone)) ")" }
            }
            @if let Some(at) = record.next_attempt_at {
                dt { "Next attempt" }
                dd {
                    @if !time::is_due(at, viewer.now) { (time::relative(at, viewer.now, zone)) ", at " (time::instant(at, zone)) } @else { "Due now" }
                    @match webhook.map(|(_, state)| state) {
                        Some(EndpointState::Disabled) => { p.dim { "On hold: the webhook is disabled. It is sent once the webhook is enabled." } }
                        Some(EndpointState::Paused) => { p.dim { "On hold: the webhook is paused. One probe at a time is sent until one succeeds." } }
                        _ => {}
                    }
                }
            }
            dt { "Attempts" }
            dd { (components::number(u64::from(record.attempt_count))) }
        } }
    }
}

/// `GET /logs/{delivery_id}/payload`: the body that the receiver gets, byte for byte.
pub(crate) async fn payload(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let detail = logs::detail(&api, organization_id, id(&request)?).await?;
    if detail.body.is_empty() {
        return Err(Problem::no_such("payload").into());
    }
    Ok(download(&detail.record.id.to_string(), response_body(&api, organization_id, detail.body)?))
}

/// A payload as a download, so that browsers never render it as a page of ours.
pub(crate) fn download(name: &str, body: BoxBody) -> HttpResponse {
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(format!("{name}.json"))],
    };
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .body(body)
}
