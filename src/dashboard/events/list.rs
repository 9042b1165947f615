//! `/events`: the list with its filters.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::api::auth::Permission;
use crate::api::pagination::List;
use crate::api::{Api, events};
use crate::dashboard::choices::Choices;
use crate::dashboard::components::{self, Complaints};
use crate::dashboard::error::PageError;
use crate::dashboard::filters::{self, Filters, ParsedQuery};
use crate::dashboard::layout::{self, Section};
use crate::dashboard::response::see_other;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::event::EventRecord;

const PATH: &str = "/events";

/// `GET /events`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let filters = match Filters::read(request.query_string(), viewer.zone()) {
        ParsedQuery::Canonical(filters) => filters,
        ParsedQuery::Rewritten(filters) => return Ok(see_other(&filters::join(PATH, &filters.query()))),
    };
    let organization_id = viewer.organization_id()?;
    let choices = Choices::read(&api, organization_id).await?;
    let (status, problem, rows) = match events::page(&api, organization_id, &filters.query()).await {
        Ok(list) => (StatusCode::OK, None, Some(list)),
        Err(problem) if !problem.errors().is_empty() => (StatusCode::UNPROCESSABLE_ENTITY, Some(problem), None),
        Err(problem) => return Err(problem.into()),
    };
    let complaints = Complaints::of(problem.as_ref());
    let own = html! {
        (filters::event_type(&choices, &filters, &complaints))
        (filters::tag(&filters, &complaints))
    };
    let content = html! {
        div.head {
            h1 { "Events" }
            @if viewer.may(Permission::Publish) { div.actions { a.button href="/events/new" { "Publish sample event" } } }
        }
        (filters::form(&viewer, PATH, &filters, problem.as_ref(), &own))
        @if let Some(rows) = &rows { (live(&viewer, &choices, &filters, rows)) }
    };
    Ok(layout::with_status(status, &viewer, Section::Events, "Events", &content))
}

fn live(viewer: &Viewer, choices: &Choices, filters: &Filters, rows: &List<EventRecord>) -> Markup {
    let content = html! {
        @if rows.data.is_empty() { (nothing(viewer, choices, filters)) } @else {
            (table(viewer, &rows.data))
            (components::pager(rows, &filters.first_page(PATH), filters.is_first_page()))
        }
    };
    html! {
        @if filters.is_first_page() {
            section.card.flush #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live"
                hx-swap="morph:outerHTML" hx-target="this" aria-label="Events" { (content) }
        } @else {
            section.card.flush aria-label="Events" { (content) }
        }
    }
}

fn table(viewer: &Viewer, rows: &[EventRecord]) -> Markup {
    html! {
        div.wide { table.stack.rows {
            thead { tr { @for name in ["Event type and ID", "Deliveries", "Occurred"] { th scope="col" { (name) } } } }
            tbody { @for row in rows { tr id={ "row-" (row.id) } {
                td.subject {
                    div.type data-label="Event type" { (components::event_type(&row.event_type)) }
                    div.small data-label="ID" { a href={ "/events/" (row.id) } { code { (row.id) } } }
                }
                td.result { div data-label="Deliveries" { (components::count(row.deliveries as u64, "delivery", "deliveries")) } }
                td.when {
                    div data-label="Occurred" { (time::instant(row.occurred_at, viewer.zone())) }
                    div.dim.small data-label="Accepted" { "accepted " (time::instant(row.accepted_at, viewer.zone())) }
                }
            } } }
        } }
    }
}

fn nothing(viewer: &Viewer, choices: &Choices, filters: &Filters) -> Markup {
    if filters.is_filtered() {
        let help =
            html! { p { "Widen the time range or remove a filter." } a.button href=(PATH) { "Clear filters" } };
        return components::empty("No events match these filters", &help);
    }
    if !filters.is_first_page() {
        return components::empty("No older events", &html! { a.button href=(PATH) { "Go to newest" } });
    }
    let help = html! {
        @if viewer.door.is_some() { p { "Events appear here as soon as there are some." } } @else {
            p { "Publish with " code { "POST /v1/events" } " and a key that can publish; see the " a href="/docs" { "API reference" }
                ". From a shell, " code { "ringback trigger call.completed" } " publishes a sample." }
        }
        div.actions {
            @if viewer.may(Permission::Publish) { a.button.primary href="/events/new" { "Publish sample event" } }
            @if viewer.may(Permission::Manage) && choices.webhooks.is_empty() {
                a.button href="/webhooks/new" { "Add a webhook first" }
            }
        }
    };
    components::empty("No events yet", &help)
}
