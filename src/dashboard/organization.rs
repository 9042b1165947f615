//! One organization, for the deployment's admin: its keys and its deletion.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::components::{self, Complaints};
use super::error::PageError;
use super::form::{Form, can_be_corrected};
use super::invisible_characters;
use super::keys::{self, KeyScope, SubmittedForm};
use super::layout::{self, Section};
use super::response::see_other;
use super::time;
use super::view_as;
use super::viewer::Viewer;
use crate::api::line::Line;
use crate::api::problem::{ErrorCode, InputError, Problem};
use crate::api::{Api, organizations, path_id};
use crate::domain::filter::FieldError;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{BodyShape, Organization};

/// The field that must repeat the name before an organization is deleted.
const CONFIRM: &str = "confirm";

/// `GET /organizations/{organization_id}`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization = named(&request, &api).await?;
    let content = content(&viewer, &request, &api, &organization, &SubmittedForm::default()).await?;
    Ok(layout::page(&viewer, Section::Organizations, &organization.name, &content))
}

/// `POST /organizations/{organization_id}/keys`: the only response that shows the key.
pub(crate) async fn create_key(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization = named(&request, &api).await?;
    let form = Form::read(&request, payload).await?;
    match keys::create_from(&viewer, &api, &ring(organization.id), &form).await {
        Ok(content) => Ok(layout::page(&viewer, Section::Organizations, "New API key", &content)),
        Err(problem) => correct(&viewer, &request, &api, &organization, problem, form).await,
    }
}

/// `POST /organizations/{organization_id}/keys/{key_id}/revoke`.
pub(crate) async fn revoke_key(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id: OrganizationId = path_id(&request, "organization_id", "organization")?;
    keys::revoke_in(&viewer, &ring(organization_id), &request, &api).await
}

/// `POST /organizations/{organization_id}/delete`, confirmed by its name.
pub(crate) async fn delete(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization = named(&request, &api).await?;
    let form = Form::read(&request, payload).await?;
    if form.text(CONFIRM) != organization.name.trim() {
        let message = "does not match the organization's name; nothing was deleted";
        let error = FieldError { field: CONFIRM.to_owned(), message: message.to_owned() };
        let problem = Problem::input(vec![InputError { code: ErrorCode::ValidationFailed, error }]);
        return correct(&viewer, &request, &api, &organization, problem, form).await;
    }
    organizations::remove(&api, &viewer.author(), organization.id).await?;
    Ok(see_other("/organizations?done=deleted"))
}

async fn named(request: &HttpRequest, api: &Api) -> Result<Organization, Problem> {
    organizations::find(api, Line::Admin, path_id(request, "organization_id", "organization")?).await
}

fn ring(organization_id: OrganizationId) -> KeyScope {
    let page = format!("/organizations/{organization_id}");
    KeyScope { owner: Some(organization_id), by: Line::Admin, address: format!("{page}/keys"), page }
}

async fn correct(
    viewer: &Viewer,
    request: &HttpRequest,
    api: &Api,
    organization: &Organization,
    problem: Problem,
    form: Form,
) -> Result<HttpResponse, PageError> {
    if !can_be_corrected(&problem) {
        return Err(problem.into());
    }
    let said = SubmittedForm { problem: Some(&problem), form };
    let content = content(viewer, request, api, organization, &said).await?;
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(layout::with_status(status, viewer, Section::Organizations, &organization.name, &content))
}

async fn content(
    viewer: &Viewer,
    request: &HttpRequest,
    api: &Api,
    organization: &Organization,
    said: &SubmittedForm<'_>,
) -> Result<Markup, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let ring = ring(organization.id);
    let keys = keys::page(api, &ring, &query).await?;
    let complaints = Complaints::of(said.problem);
    // a form with errors comes first
    let is_deletion_wrong = complaints.is_wrong(CONFIRM);
    let known: Vec<&str> = keys::FIELDS.iter().copied().chain([CONFIRM]).collect();
    Ok(html! {
        div.head {
            div {
                p.crumbs { a href="/organizations" { "Organizations" } }
                h1 { (organization.name) }
            }
            div.actions {
                a.button href=(view_as::entrance(organization.id)) { "View as customer" }
                a.button.primary href="#add" { "Create API key" }
            }
        }
        (keys::done(&query))
        (complaints.summary(&known))
        @if is_deletion_wrong { (delete_card(organization, &complaints)) }
        @else if said.problem.is_some() { (keys::add_card(viewer, &ring, said)) }
        section.card {
            (facts(viewer, organization))
            p.dim { "“View as customer” opens its webhooks, events and logs as its people see them, with everything that an owner can do. Each page that you open there is noted in the engine's log." }
        }
        (keys::table(viewer, &ring, &keys, &query, None))
        @if said.problem.is_none() || is_deletion_wrong { (keys::add_card(viewer, &ring, said)) }
        @if !is_deletion_wrong { (delete_card(organization, &complaints)) }
    })
}

fn facts(viewer: &Viewer, organization: &Organization) -> Markup {
    html! {
        dl.facts {
            dt { "ID" } dd { (components::copyable("organization-id", &organization.id.to_string())) }
            @if let Some(uid) = &organization.uid {
                dt { "Your ID" } dd { (components::copyable("organization-uid", uid.as_str())) }
            }
            dt { "Created" } dd { (time::dated(organization.created_at, viewer.zone())) }
            @if organization.body == BodyShape::Verbatim {
                dt { "Bodies" } dd { "What was published, without the envelope" }
            }
            @if !organization.environment.is_default() {
                dt { "Svix environment" } dd { code { (organization.environment.to_string()) } }
            }
            @if !organization.metadata.is_empty() {
                dt { "Metadata" }
                dd {
                    @for (name, value) in organization.metadata.pairs() {
                        div { code { (invisible_characters::text(name)) } ": " (invisible_characters::text(value)) }
                    }
                }
            }
        }
    }
}

fn delete_card(organization: &Organization, complaints: &Complaints<'_>) -> Markup {
    let confirm = html! {
        input id=(CONFIRM) name=(CONFIRM) required autocomplete="off" spellcheck="false"
            aria-describedby={ (CONFIRM) "-error" }
            aria-invalid=[complaints.is_wrong(CONFIRM).then_some("true")];
    };
    html! {
        section.card {
            details.more open[complaints.is_wrong(CONFIRM)] {
                summary { "Delete this organization" }
                form.form method="post" action={ "/organizations/" (organization.id) "/delete" } {
                    p { "Its webhooks, events, logs and keys are deleted too, and pending deliveries are not sent. This can't be undone." }
                    (components::field(CONFIRM, &format!("Type “{}” to confirm", organization.name), "", complaints, &confirm))
                    div.actions { button.danger { "Delete organization" } }
                }
            }
        }
    }
}
