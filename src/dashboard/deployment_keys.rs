//! The keys of the deployment, which act in every organization, for the operator.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::components::Complaints;
use super::error::PageError;
use super::form::{Form, can_be_corrected};
use super::keys::{self, KeyScope, SubmittedForm};
use super::layout::{self, Section};
use super::state::Dashboard;
use super::viewer::Viewer;
use crate::api::Api;

const TITLE: &str = "Deployment keys";

/// `GET /deployment-keys`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let content = content(&viewer, &request, &api, &dashboard, &SubmittedForm::default()).await?;
    Ok(layout::page(&viewer, Section::DeploymentKeys, TITLE, &content))
}

/// `POST /deployment-keys`: the only response that shows the key.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    match keys::create_from(&viewer, &api, &KeyScope::deployment(), &form).await {
        Ok(content) => Ok(layout::page(&viewer, Section::DeploymentKeys, "New deployment key", &content)),
        Err(problem) if can_be_corrected(&problem) => {
            let said = SubmittedForm { problem: Some(&problem), form };
            let content = content(&viewer, &request, &api, &dashboard, &said).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::DeploymentKeys, TITLE, &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `POST /deployment-keys/{key_id}/revoke`.
pub(crate) async fn revoke(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    keys::revoke_in(&viewer, &KeyScope::deployment(), &request, &api).await
}

async fn content(
    viewer: &Viewer,
    request: &HttpRequest,
    api: &Api,
    dashboard: &Dashboard,
    said: &SubmittedForm<'_>,
) -> Result<Markup, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let ring = KeyScope::deployment();
    let listed = keys::page(api, &ring, &query).await?;
    let signed_in_with = keys::signed_in_with(request, api, dashboard).await?;
    Ok(html! {
        div.head {
            div {
                h1 { (TITLE) }
                p.dim { "A key of the deployment acts in the organization that a call names with the header " code { "Ringback-Organization" } ": for a backend that serves all of them." }
            }
            a.button.primary href="#add" { "Create deployment key" }
        }
        (keys::done(&query))
        (Complaints::of(said.problem).summary(keys::FIELDS))
        @if said.problem.is_some() { (keys::add_card(viewer, &ring, said)) }
        (keys::table(viewer, &ring, &listed, &query, signed_in_with))
        @if said.problem.is_none() { (keys::add_card(viewer, &ring, said)) }
    })
}
