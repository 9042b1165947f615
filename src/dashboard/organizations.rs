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
use crate::api::problem::Problem;
use crate::api::{Api, organizations};

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
    let list = organizations::page(api, &cursor_query(cursor)).await?;
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
                    thead { tr { th scope="col" { "Name" } th scope="col" { "ID" } th scope="col" { "Created" } } }
                    tbody { @for row in &list.data { tr {
                        td data-label="Name" { a href={ "/organizations/" (row.id) } { (row.name) } }
                        td data-label="ID" { code { (row.id) } }
                        td data-label="Created" { (time::instant(row.created_at, viewer.zone())) }
                    } } }
                } }
                (components::pager(&list, "/organizations", cursor.is_none()))
            }
        }
    })
}
