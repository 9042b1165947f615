//! `/events/{event_id}`: one event, its deliveries and its resending.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::api::auth::Permission;
use crate::api::body::response_body;
use crate::api::problem::{ErrorCode, InputError, Problem};
use crate::api::{Api, events, path_id};
use crate::dashboard::choices::Webhooks;
use crate::dashboard::components::{self, Complaints};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::logs::{download, table::table};
use crate::dashboard::payload;
use crate::dashboard::response::see_other;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::event::EventRecord;
use crate::domain::filter::FieldError;
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::round::Rounds;
use crate::store::EventDetail;

/// `GET /events/{event_id}`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let said = match query.text("done") {
        "published" => {
            components::done("Published. The event is stored and will be delivered to every subscribed webhook.")
        }
        _ => match query.text("queued").parse::<u64>() {
            Ok(count) => components::done(&format!(
                "{} pending now.",
                components::count(count, "delivery is", "deliveries are")
            )),
            Err(_) => html! {},
        },
    };
    let content = content(&viewer, &api, id(&request)?, &said, None).await?;
    Ok(layout::page(&viewer, Section::Events, "Event", &content))
}

fn id(request: &HttpRequest) -> Result<EventId, Problem> {
    path_id(request, "event_id", "event")
}

async fn content(
    viewer: &Viewer,
    api: &Api,
    id: EventId,
    said: &Markup,
    problem: Option<&Problem>,
) -> Result<Markup, PageError> {
    let organization_id = viewer.organization_id()?;
    let EventDetail { record, body, deliveries } = events::detail(api, organization_id, id).await?;
    let mut webhooks = Webhooks::read(api, organization_id).await?;
    webhooks.add(api, organization_id, deliveries.iter().map(|row| row.endpoint_id)).await?;
    let may_replay = viewer.may(Permission::Manage) && !webhooks.is_empty() && !body.is_empty();
    Ok(html! {
        div.head {
            div {
                p.crumbs { a href="/events" { "Events" } " / " code { (record.id) } }
                h1 { (record.event_type) }
            }
            @if may_replay { div.actions { button.primary type="button" data-opens="#replay" { "Resend…" } } }
        }
        (said)
        @if let Some(problem) = problem {
            div.note-box.bad role="alert" {
                "Nothing was resent. "
                @if problem.errors().is_empty() { (problem.detail()) }
                @for error in problem.errors() { (error.message) }
            }
        }
        (facts(viewer, &record))
        (sent(viewer, &deliveries, &webhooks))
        (payload::card(&body, &format!("/events/{id}/payload")))
        @if may_replay { (dialog(&record, &deliveries, &webhooks, problem)) }
    })
}

fn facts(viewer: &Viewer, record: &EventRecord) -> Markup {
    let zone = viewer.zone();
    html! {
        section.card aria-label="About this event" { dl.facts {
            dt { "ID" }
            dd { (components::copyable("event-id", &record.id.to_string())) p.dim.small { "Receivers get it as " code { "webhook_id" } ", the same for every webhook and attempt." } }
            dt { "Occurred" }
            dd { (time::instant(record.occurred_at, zone)) " (" (time::relative(record.occurred_at, viewer.now, zone)) ")" }
            dt { "Accepted" }
            dd { (time::instant(record.accepted_at, zone)) " (" (time::relative(record.accepted_at, viewer.now, zone)) ")" }
            @if !record.labels.channels.is_empty() {
                dt { "Channels" } dd { span.chips { @for channel in &record.labels.channels { code.chip { (channel) } } } }
            }
            @if !record.labels.tags.is_empty() {
                dt { "Tags" }
                dd { span.chips { @for tag in &record.labels.tags { a.chip href=(tagged(tag)) { (tag) } } } }
            }
        } }
    }
}

/// Other events with the same tag.
fn tagged(tag: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("tag", tag).finish();
    format!("/events?{query}")
}

/// Refreshes while a delivery is pending.
fn sent(viewer: &Viewer, deliveries: &[DeliveryRecord], webhooks: &Webhooks) -> Markup {
    let is_pending = deliveries.iter().any(|row| row.status == DeliveryStatus::Pending);
    html! {
        section.card.flush #live data-live[is_pending] hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live"
            hx-swap="morph:outerHTML" hx-target="this" aria-labelledby="deliveries-title" {
            header { h2 #deliveries-title { "Deliveries " span.dim { "(" (components::number(deliveries.len() as u64)) ")" } } }
            @if deliveries.is_empty() {
                (components::empty("Not sent to any webhook", &html! { p { "When it was accepted, no active webhook matched its type and data. You can still send it to a webhook of your choice." } }))
            } @else { (table(viewer, deliveries, webhooks, None)) }
        }
    }
}

/// Confirms a resend, and says to how many webhooks.
fn dialog(
    record: &EventRecord,
    deliveries: &[DeliveryRecord],
    webhooks: &Webhooks,
    problem: Option<&Problem>,
) -> Markup {
    let live: BTreeSet<EndpointId> =
        deliveries.iter().map(|row| row.endpoint_id).filter(|id| webhooks.exists(*id)).collect();
    let complaints = Complaints::of(problem);
    let any = match live.len() as u64 {
        0 => None,
        1 => Some("The webhook it was sent to".to_owned()),
        count => Some(format!("All {} webhooks it was sent to", components::number(count))),
    };
    html! {
        dialog #replay aria-labelledby="replay-title" {
            form.form method="post" action={ "/events/" (record.id) "/replay" } {
                h2 #replay-title { "Resend this event" }
                p { "It is sent with the same " code { "webhook_id" } ", so receivers that deduplicate drop it. Pending deliveries are left unchanged." }
                (components::field("webhook_id", "To", "", &complaints, &webhooks.control("webhook_id", "", any.as_deref())))
                div.actions {
                    button.primary { "Resend" }
                    button type="button" data-closes { "Cancel" }
                }
            }
        }
    }
}

/// `POST /events/{event_id}/replay`.
pub(crate) async fn replay(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = id(&request)?;
    let form = Form::read(&request, payload).await?;
    let result = match form.given("webhook_id").map(str::parse::<EndpointId>).transpose() {
        Ok(webhook_id) => {
            let rounds = Rounds::Schedule;
            events::send_again(&api, viewer.organization_id()?, id, webhook_id, rounds).await
        }
        Err(error) => Err(no_webhook(error.to_string())),
    };
    match result {
        Ok(deliveries) => Ok(see_other(&format!("/events/{id}?queued={deliveries}"))),
        Err(problem) if [ErrorCode::ValidationFailed, ErrorCode::PayloadErased].contains(&problem.code()) => {
            let viewer = Viewer { address: format!("/events/{id}"), ..viewer };
            let content = content(&viewer, &api, id, &html! {}, Some(&problem)).await?;
            Ok(layout::with_status(problem.code().status(), &viewer, Section::Events, "Event", &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

fn no_webhook(message: String) -> Problem {
    let error = FieldError { field: "webhook_id".to_owned(), message };
    Problem::input(vec![InputError { code: ErrorCode::ValidationFailed, error }])
}

/// `GET /events/{event_id}/payload`: the body that receivers get, byte for byte.
pub(crate) async fn payload(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let detail = events::detail(&api, organization_id, id(&request)?).await?;
    if detail.body.is_empty() {
        return Err(Problem::no_such("payload").into());
    }
    Ok(download(&detail.record.id.to_string(), response_body(&api, organization_id, detail.body)?))
}
