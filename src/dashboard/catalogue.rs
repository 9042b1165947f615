//! The catalogue: the event types of all organizations, for the operator.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::json;

use super::components::{self, Complaints};
use super::error::PageError;
use super::event_type_form::{FIELDS, body_of, fields, with_position};
use super::event_types::json_details;
use super::form::{Form, can_be_corrected};
use super::layout::{self, Section};
use super::response::see_other;
use super::time;
use super::viewer::Viewer;
use crate::api::event_type_definitions::{self as definitions, Definer};
use crate::api::offered_types::{OfferedType, TypeOrigin};
use crate::api::problem::Problem;
use crate::api::{Api, catalogue};
use crate::domain::event_types::EventType;
use crate::domain::json_text::pretty;

const TITLE: &str = "Catalogue";

/// `GET /catalogue`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let done = match query.text("done") {
        "added" => Some("The event type was added. Every organization can publish it and subscribe to it."),
        "saved" => Some("The event type was changed."),
        "archived" => {
            Some("The event type was archived: it is still accepted and delivered, and no longer offered.")
        }
        "restored" => Some("The event type is offered again."),
        "removed" => Some("The event type was removed."),
        _ => None,
    };
    let content = content(&viewer, &api, done, None, &Form::default()).await?;
    Ok(layout::page(&viewer, Section::Catalogue, TITLE, &content))
}

/// `POST /catalogue`.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let (body, not_json) = body_of(&form, &[]);
    match definitions::create(&api, Definer::catalogue(), body.into()).await {
        Ok(_) => Ok(see_other("/catalogue?done=added")),
        Err(problem) if can_be_corrected(&problem) => {
            let problem = with_position(problem, &not_json);
            let content = content(&viewer, &api, None, Some(&problem), &form).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::Catalogue, TITLE, &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `GET /catalogue/{catalogue_type}`: the form to change it.
pub(crate) async fn edit(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let event_type = find(&request, &api).await?;
    Ok(form_page(&viewer, StatusCode::OK, &event_type.name, &filled(&event_type), None))
}

/// The form with what a type has.
fn filled(event_type: &OfferedType) -> Form {
    let text = |json: &str| pretty(json).unwrap_or_else(|| json.to_owned());
    Form::of(&[
        ("description", &event_type.description),
        ("schema", &event_type.schema.as_ref().map_or(String::new(), |schema| text(schema.get()))),
        ("sample", &text(event_type.sample.get())),
    ])
}

/// `POST /catalogue/{catalogue_type}`.
pub(crate) async fn save(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    // what was not touched is not written: a sample that is shown may be an example of the schema
    let before = filled(&find(&request, &api).await?);
    let is_same = |field: &str| form.text(field).replace("\r\n", "\n") == before.text(field);
    let without: Vec<&str> = FIELDS.iter().copied().filter(|field| *field == "name" || is_same(field)).collect();
    let (body, not_json) = body_of(&form, &without);
    match definitions::patch(&api, Definer::catalogue(), name_in(&request), body.into()).await {
        Ok(_) => Ok(see_other("/catalogue?done=saved")),
        Err(problem) if can_be_corrected(&problem) => {
            let problem = with_position(problem, &not_json);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(form_page(&viewer, status, &name_in(&request), &form, Some(&problem)))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `POST /catalogue/{catalogue_type}/archive`: archives it, or offers it again.
pub(crate) async fn archive(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let is_archived = Form::read(&request, payload).await?.text("archived") == "true";
    let body = json!({ "archived": is_archived }).to_string();
    definitions::patch(&api, Definer::catalogue(), name_in(&request), body.into()).await?;
    Ok(see_other(if is_archived { "/catalogue?done=archived" } else { "/catalogue?done=restored" }))
}

/// `POST /catalogue/{catalogue_type}/remove`.
pub(crate) async fn remove(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, PageError> {
    definitions::remove(&api, Definer::catalogue(), name_in(&request)).await?;
    Ok(see_other("/catalogue?done=removed"))
}

fn name_in(request: &HttpRequest) -> String {
    request.match_info().get("catalogue_type").unwrap_or_default().to_owned()
}

async fn find(request: &HttpRequest, api: &Api) -> Result<OfferedType, Problem> {
    let name = name_in(request);
    let found = catalogue::all(api).await?.into_iter().find(|event_type| event_type.name == name);
    found.ok_or_else(|| Problem::no_such("event type"))
}

fn form_page(
    viewer: &Viewer,
    status: StatusCode,
    name: &str,
    form: &Form,
    problem: Option<&Problem>,
) -> HttpResponse {
    let complaints = Complaints::of(problem);
    let content = html! {
        div.head { div { p.crumbs { a href="/catalogue" { (TITLE) } } h1 { (name) } } }
        (complaints.summary(FIELDS))
        section.card {
            p.dim { "What is left empty here is as in a new type; for a built-in type, an empty sample is its own one again." }
            form.form method="post" action={ "/catalogue/" (name) } {
                (fields(form, &complaints, false))
                div.actions { button.primary { "Save changes" } a.button href="/catalogue" { "Cancel" } }
            }
        }
    };
    layout::with_status(status, viewer, Section::Catalogue, name, &content)
}

async fn content(
    viewer: &Viewer,
    api: &Api,
    done: Option<&str>,
    problem: Option<&Problem>,
    form: &Form,
) -> Result<Markup, PageError> {
    let types = catalogue::all(api).await?;
    let built_in = api.engine().event_type_policy().built_in();
    let removed: Vec<&EventType> =
        built_in.iter().filter(|it| types.iter().all(|known| known.name != it.name)).collect();
    let (archived, active): (Vec<_>, Vec<_>) = types.into_iter().partition(|it| it.archived);
    let complaints = Complaints::of(problem);
    let add = add_card(&complaints, form);
    Ok(html! {
        div.head {
            div { h1 { (TITLE) } p.dim { "The event types that every organization can publish and subscribe to." } }
            a.button.primary href="#add" { "Add event type" }
        }
        @if let Some(done) = done { (components::done(done)) }
        (complaints.summary(FIELDS))
        // a form with errors comes first
        @if problem.is_some() { (add) }
        section.card.flush {
            header { h2 { "Offered" } span.dim { (components::count(active.len() as u64, "type", "types")) } }
            @if active.is_empty() { (components::empty("No event types", &html! { p { "Add one below: then organizations can publish it." } })) }
            ul.items { @for event_type in &active { (item(viewer, event_type)) } }
        }
        @if !archived.is_empty() {
            section.card.flush {
                header { h2 { "Archived" } span.dim { "accepted and delivered, and no longer offered" } }
                ul.items { @for event_type in &archived { (item(viewer, event_type)) } }
            }
        }
        @if !removed.is_empty() { (removed_card(&removed)) }
        @if problem.is_none() { (add) }
    })
}

fn add_card(complaints: &Complaints<'_>, form: &Form) -> Markup {
    html! {
        section.card #add {
            h2 { "Add event type" }
            form.form method="post" action="/catalogue" {
                (fields(form, complaints, true))
                div.actions { button.primary { "Add event type" } }
            }
        }
    }
}

fn item(viewer: &Viewer, event_type: &OfferedType) -> Markup {
    let address = format!("/catalogue/{}", event_type.name);
    let (verb, archived) = if event_type.archived { ("Restore", "false") } else { ("Archive", "true") };
    let origin = if event_type.origin == TypeOrigin::BuiltIn { "Built in" } else { "Added or changed here" };
    html! {
        li {
            div.head {
                h3 { code { (event_type.name) } }
                div.actions {
                    a.button.small href=(address) aria-label={ "Edit " (event_type.name) } { "Edit" }
                    form method="post" action={ (address) "/archive" } {
                        input type="hidden" name="archived" value=(archived);
                        button.small aria-label={ (verb) " " (event_type.name) } { (verb) }
                    }
                    (remove_button(event_type, &address))
                }
            }
            @if !event_type.description.is_empty() { p { (event_type.description) } }
            p.dim.small {
                (origin) @if let Some(at) = event_type.created_at { ", " (time::dated(at, viewer.zone())) }
                @if event_type.schema.is_none() { ". No schema: any data is accepted." }
            }
            (json_details("Sample data", event_type.sample.get()))
            @if let Some(schema) = &event_type.schema { (json_details("Data schema", schema.get())) }
        }
    }
}

fn remove_button(event_type: &OfferedType, address: &str) -> Markup {
    let id = format!("remove-{}", event_type.name);
    html! {
        button.small.danger type="button" data-opens={ "[id='" (id) "']" } aria-label={ "Remove " (event_type.name) } { "Remove" }
        dialog id=(id) aria-labelledby={ (id) "-title" } {
            form.form method="post" action={ (address) "/remove" } {
                h2 id={ (id) "-title" } { "Remove " code { (event_type.name) } "?" }
                p { "No organization can publish it any more: a publisher that still does is refused. Archive it instead to stop offering it only. Published events stay, and webhooks keep their subscriptions." }
                div.actions { button.danger { "Remove event type" } button type="button" data-closes autofocus { "Cancel" } }
            }
        }
    }
}

fn removed_card(removed: &[&EventType]) -> Markup {
    html! {
        section.card.flush {
            header { h2 { "Removed built-in types" } span.dim { "refused when they are published" } }
            ul.items { @for event_type in removed { li {
                div.head {
                    h3 { code { (event_type.name) } }
                    div.actions { form method="post" action="/catalogue" {
                        input type="hidden" name="name" value=(event_type.name);
                        input type="hidden" name="description" value=(event_type.description);
                        button.small aria-label={ "Restore " (event_type.name) } { "Restore" }
                    } }
                }
                p.dim { (event_type.description) }
            } } }
        }
    }
}
