//! The deployment's organizations, for its admin.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::json;

use super::components::{self, Complaints};
use super::error::PageError;
use super::form::{Form, can_be_corrected, cursor_query};
use super::layout::{self, Section};
use super::response::see_other;
use super::time;
use super::viewer::Viewer;
use crate::api::all_health::{self, OrganizationSummary};
use crate::api::problem::Problem;
use crate::api::{Api, organizations};
use crate::domain::health::EndpointState;
use crate::domain::time::UnixMillis;

/// `GET /organizations`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let content = content(&viewer, &api, &query, None, "").await?;
    Ok(layout::page(&viewer, Section::Organizations, "Organizations", &content))
}

/// `POST /organizations`.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let body = json!({ "name": form.text("name") }).to_string();
    match organizations::create_from(&api, &viewer.author(), body.as_bytes()).await {
        Ok(created) => Ok(see_other(&format!("/organizations/{}", created.id))),
        Err(problem) if can_be_corrected(&problem) => {
            let content = content(&viewer, &api, &Form::default(), Some(&problem), form.text("name")).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::Organizations, "Organizations", &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

async fn content(
    viewer: &Viewer,
    api: &Api,
    query: &Form,
    problem: Option<&Problem>,
    name: &str,
) -> Result<Markup, PageError> {
    let cursor = query.given("cursor");
    let list = all_health::of_query(api, &cursor_query(cursor)).await?;
    let complaints = Complaints::of(problem);
    Ok(html! {
        div.head { h1 { "Organizations" } }
        @if query.text("done") == "deleted" { (components::done("The organization and everything in it were deleted.")) }
        (complaints.summary(&["name"]))
        section.card {
            h2 { "Add organization" }
            form.filters method="post" action="/organizations" {
                (components::text_field("name", "Name", "", name, "text", &complaints))
                div.actions { button.primary { "Add" } }
            }
        }
        section.card.flush {
            @if list.data.is_empty() {
                (components::empty("No organizations yet", &html! { p { "Each is a tenant with its own webhooks, events, logs and keys. Add the first one above, then create a key for it." } }))
            } @else {
                div.wide { table.stack {
                    thead { tr { @for name in ["Name", "Webhooks", "Failing since", "Pending", "Last event"] { th scope="col" { (name) } } } }
                    tbody { @for row in &list.data { (summary(viewer, row)) } }
                } }
                (components::pager(&list, "/organizations", cursor.is_none()))
            }
        }
    })
}

fn summary(viewer: &Viewer, row: &OrganizationSummary) -> Markup {
    let ago = |at: UnixMillis| time::relative(at, viewer.now, viewer.zone());
    let states = [
        (row.webhooks.failing, EndpointState::Failing),
        (row.webhooks.paused, EndpointState::Paused),
        (row.webhooks.disabled, EndpointState::Disabled),
        (row.webhooks.healthy, EndpointState::Healthy),
    ];
    html! {
        tr id={ "organization-" (row.organization_id) } {
            td data-label="Name" {
                a href={ "/organizations/" (row.organization_id) } { (row.name) }
                @if let Some(uid) = &row.uid { " " code.dim { (uid) } }
            }
            td data-label="Webhooks" {
                @if states.iter().all(|(count, _)| *count == 0) { span.dim { "none" } }
                span.chips { @for (count, state) in states { @if count > 0 { span { (components::number(count)) " " (components::state(state)) } } } }
            }
            td data-label="Failing since" { @if let Some(at) = row.failing_since { (ago(at)) } @else { "–" } }
            td data-label="Pending" {
                @if row.backlog.pending == 0 { "–" } @else {
                    div {
                        (components::number(row.backlog.pending))
                        @if let Some(at) = row.backlog.oldest_pending_at { span.dim.small { ", oldest " (ago(at)) } }
                    }
                }
            }
            td data-label="Last event" { @if let Some(at) = row.last_event_at { (ago(at)) } @else { "–" } }
        }
    }
}
