//! `/logs`: the list with its filters.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::resend::{self, FORM};
use super::table::table;
use crate::api::auth::Permission;
use crate::api::pagination::List;
use crate::api::problem::Problem;
use crate::api::{Api, logs};
use crate::dashboard::choices::Choices;
use crate::dashboard::components::{self, Complaints};
use crate::dashboard::error::PageError;
use crate::dashboard::filters::{self, Filters, ParsedQuery};
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::response::see_other;
use crate::dashboard::viewer::Viewer;
use crate::domain::delivery::DeliveryRecord;
use crate::domain::ids::EndpointId;

const PATH: &str = "/logs";

/// `GET /logs`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = request.query_string();
    let filters = match Filters::read(query, viewer.zone()) {
        ParsedQuery::Canonical(filters) => filters,
        ParsedQuery::Rewritten(filters) => return Ok(see_other(&filters::join(PATH, &filters.query()))),
    };
    let organization_id = viewer.organization_id()?;
    let mut choices = Choices::read(&api, organization_id).await?;
    let (status, problem, rows) = match logs::page(&api, organization_id, &filters.query()).await {
        Ok(list) => {
            let shown = list.data.iter().map(|row| row.endpoint_id);
            choices.webhooks.add(&api, organization_id, shown).await?;
            (StatusCode::OK, None, Some(list))
        }
        Err(problem) if !problem.errors().is_empty() => (StatusCode::UNPROCESSABLE_ENTITY, Some(problem), None),
        Err(problem) => return Err(problem.into()),
    };
    let content = html! {
        div.head.stuck {
            div { h1 { "Logs" } }
            @if viewer.may(Permission::Manage) { (resend::form(&filters)) }
        }
        (resend::report(&Form::parse(query.as_bytes())))
        (filter_form(&viewer, &choices, &filters, problem.as_ref()))
        @if let Some(rows) = &rows { (live(&viewer, &choices, &filters, rows)) }
    };
    Ok(layout::with_status(status, &viewer, Section::Logs, "Logs", &content))
}

fn filter_form(viewer: &Viewer, choices: &Choices, filters: &Filters, problem: Option<&Problem>) -> Markup {
    let complaints = Complaints::of(problem);
    let webhook = choices.webhooks.control("webhook_id", filters.get("webhook_id"), Some("All"));
    let code = html! {
        input #response_code name="response_code" value=(filters.get("response_code")) placeholder="503 or 5xx"
            maxlength="3" autocomplete="off" aria-describedby="response_code-error"
            aria-invalid=[complaints.is_wrong("response_code").then_some("true")];
    };
    let own = html! {
        (filters::status(filters, &complaints))
        (filters::event_type(choices, filters, &complaints))
        (components::field("webhook_id", "Webhook", "", &complaints, &webhook))
        (components::field("response_code", "Response code", "", &complaints, &code))
        (filters::tag(filters, &complaints))
        @if !filters.get("event_id").is_empty() { (event(filters, &complaints)) }
    };
    filters::form(viewer, PATH, filters, problem, &own)
}

/// Only where a link asked for one event: people look at an event's own page.
fn event(filters: &Filters, complaints: &Complaints<'_>) -> Markup {
    let control = html! {
        input #event_id name="event_id" value=(filters.get("event_id")) autocomplete="off" spellcheck="false"
            aria-describedby="event_id-error" aria-invalid=[complaints.is_wrong("event_id").then_some("true")];
    };
    components::field("event_id", "Event", "", complaints, &control)
}

/// The rows; the newest page refreshes itself.
fn live(viewer: &Viewer, choices: &Choices, filters: &Filters, rows: &List<DeliveryRecord>) -> Markup {
    let form = viewer.may(Permission::Manage).then_some(FORM);
    let chosen = filters.get("webhook_id").parse().ok();
    let webhook: Option<EndpointId> = chosen.filter(|id| form.is_some() && choices.webhooks.exists(*id));
    let content = html! {
        @if rows.data.is_empty() && rows.next_cursor.is_none() { (nothing(viewer, filters)) } @else {
            @if rows.data.is_empty() {
                (components::empty("No matches so far", &html! { p { "Each page searches only part of the log. “Older” searches further back." } }))
            } @else { (table(viewer, &rows.data, &choices.webhooks, form)) }
            (components::pager(rows, &filters.first_page(PATH), filters.is_first_page()))
        }
    };
    html! {
        @if let Some(webhook) = webhook {
            p.dim { "To resend everything that failed at this webhook in a time range, "
                a href={ "/webhooks/" (webhook) "#recover" } { "recover it" } "." }
        }
        @if filters.is_first_page() {
            section.card.flush #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live"
                hx-swap="morph:outerHTML" hx-target="this" aria-label="Deliveries" { (content) }
        } @else {
            section.card.flush aria-label="Deliveries" { (content) }
        }
    }
}

fn nothing(viewer: &Viewer, filters: &Filters) -> Markup {
    if filters.is_filtered() {
        let help =
            html! { p { "Widen the time range or remove a filter." } a.button href=(PATH) { "Clear filters" } };
        return components::empty("No deliveries match these filters", &help);
    }
    if !filters.is_first_page() {
        return components::empty("No older deliveries", &html! { a.button href=(PATH) { "Go to newest" } });
    }
    let help = html! {
        p {
            "A delivery is one event on its way to one webhook. Add a webhook, publish an event, and its outcome appears here."
            @if viewer.door.is_none() { " From a shell, " code { "ringback trigger call.completed" } " publishes a sample." }
        }
        div.actions {
            @if viewer.may(Permission::Manage) { a.button.primary href="/webhooks/new" { "Add webhook" } }
            @if viewer.may(Permission::Publish) { a.button href="/events/new" { "Publish sample event" } }
        }
    };
    components::empty("No deliveries yet", &help)
}
