//! The event types that can be published and subscribed to: built in, operational and the organization's own.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::components::{self, Complaints};
use super::error::PageError;
use super::event_type_form::{FIELDS, body_of, fields, with_position};
use super::form::{Form, can_be_corrected};
use super::layout::{self, Section};
use super::response::see_other;
use super::time;
use super::viewer::Viewer;
use crate::api::auth::Permission;
use crate::api::event_type_definitions::{self as definitions, Definer};
use crate::api::offered_types::{OfferedType, TypeOrigin, all_of};
use crate::api::problem::Problem;
use crate::api::{Api, webhooks};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::{EventType, OPERATIONAL, built_in};
use crate::domain::ids::OrganizationId;
use crate::domain::json_text::pretty;
use crate::domain::patterns::EventPattern;

const TITLE: &str = "Event types";
/// At most this many webhooks are read to count the subscriptions of each type, in pages of the second size. With
/// more webhooks no counts are shown.
const MAX_COUNTED: usize = 1_000;
const COUNTED_AT_ONCE: usize = 200;

/// `GET /event-types`.
pub(crate) async fn list(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let done = match query.text("done") {
        "added" => Some("The event type was added. It can now be published, and webhooks can subscribe to it."),
        "deleted" => Some("The event type was deleted."),
        _ => None,
    };
    let content = content(&viewer, &api, done, None, &Form::default()).await?;
    Ok(layout::page(&viewer, Section::EventTypes, TITLE, &content))
}

/// `POST /event-types`.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let (body, not_json) = body_of(&form, &[]);
    match definitions::create(&api, Definer::organization(viewer.organization_id()?, viewer.author()), body.into())
        .await
    {
        Ok(_) => Ok(see_other("/event-types?done=added")),
        Err(problem) if can_be_corrected(&problem) => {
            let problem = with_position(problem, &not_json);
            let content = content(&viewer, &api, None, Some(&problem), &form).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::EventTypes, TITLE, &content))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `POST /event-types/{event_type}/delete`.
pub(crate) async fn delete(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let name = request.match_info().get("event_type").unwrap_or_default().to_owned();
    definitions::remove(&api, Definer::organization(viewer.organization_id()?, viewer.author()), name).await?;
    Ok(see_other("/event-types?done=deleted"))
}

async fn content(
    viewer: &Viewer,
    api: &Api,
    done: Option<&str>,
    problem: Option<&Problem>,
    form: &Form,
) -> Result<Markup, PageError> {
    let organization_id = viewer.organization_id()?;
    let types = all_of(api, organization_id).await?;
    let (own, shared): (Vec<_>, Vec<_>) = types.into_iter().partition(|it| it.origin == TypeOrigin::Own);
    let endpoints = endpoints(api, organization_id).await?;
    let asking = |name: &str| endpoints.as_deref().map(|all| all.iter().filter(|it| asks(it, name)).count());
    let may_manage = viewer.may(Permission::Manage);
    Ok(html! {
        div.head {
            h1 { (TITLE) }
            @if may_manage { a.button.primary href="#add" { "Add event type" } }
        }
        @if let Some(done) = done { (components::done(done)) }
        (Complaints::of(problem).summary(FIELDS))
        // a form with errors comes first
        @if problem.is_some() { (add_card(&Complaints::of(problem), form)) }
        (own_card(viewer, &own, &asking))
        @for (title, types) in grouped(&shared) {
            section.card.flush {
                header { h2 { (title) } }
                ul.items { @for event_type in types { (shared_item(event_type, asking(&event_type.name))) } }
            }
        }
        section.card.flush {
            header {
                h2 { "Operational events" }
                p.dim.small { "Events about the webhooks themselves. A webhook gets them only if it subscribes to them by name." }
            }
            ul.items { @for event_type in OPERATIONAL { (ours(event_type, asking(event_type.name))) } }
        }
        @if may_manage && problem.is_none() { (add_card(&Complaints::of(problem), form)) }
    })
}

/// All webhooks of an organization; `None` above [`MAX_COUNTED`].
async fn endpoints(api: &Api, organization_id: OrganizationId) -> Result<Option<Vec<Endpoint>>, Problem> {
    let mut endpoints = Vec::new();
    let mut query = format!("limit={COUNTED_AT_ONCE}");
    while endpoints.len() < MAX_COUNTED {
        let page = webhooks::page(api, organization_id, &query).await?;
        endpoints.extend(page.data.into_iter().map(|row| row.endpoint));
        let Some(cursor) = page.next_cursor else { return Ok(Some(endpoints)) };
        query = format!("limit={COUNTED_AT_ONCE}&cursor={cursor}");
    }
    Ok(None)
}

fn asks(endpoint: &Endpoint, event_type: &str) -> bool {
    match endpoint.events.as_slice() {
        [] => EventPattern::All.matches(event_type),
        patterns => patterns.iter().any(|pattern| pattern.matches(event_type)),
    }
}

/// The types of all organizations under headings, in their order.
fn grouped(types: &[OfferedType]) -> Vec<(String, Vec<&OfferedType>)> {
    let mut groups: Vec<(String, Vec<&OfferedType>)> = Vec::new();
    for event_type in types {
        let title = heading(&event_type.name);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, types)) => types.push(event_type),
            None => groups.push((title, vec![event_type])),
        }
    }
    groups
}

/// For the built-in types those of the CallIntel documentation, for others what the name begins with.
fn heading(name: &str) -> String {
    let prefix = name.split('.').next().unwrap_or_default();
    if built_in(name).is_some() && prefix == "call" && (name.ends_with("_ready") || name.ends_with("_complete")) {
        return String::from("Data events");
    }
    let mut letters = prefix.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(" events".chars()).collect()
}

fn shared_item(event_type: &OfferedType, asking: Option<usize>) -> Markup {
    html! {
        li {
            (headline(&event_type.name, asking, &html! {}))
            @if !event_type.description.is_empty() { p { (event_type.description) } }
            (json_details("Sample data", event_type.sample.get()))
            @if let Some(schema) = &event_type.schema { (json_details("Data schema", schema.get())) }
        }
    }
}

fn ours(event_type: &EventType, asking: Option<usize>) -> Markup {
    html! {
        li {
            (headline(event_type.name, asking, &html! {}))
            p { (event_type.description) }
            (json_details("Sample data", event_type.sample))
        }
    }
}

fn headline(name: &str, asking: Option<usize>, actions: &Markup) -> Markup {
    html! {
        div.head {
            h3 { code { (name) } }
            div.actions {
                @match asking {
                    Some(0) => { span.dim.small { "no webhook subscribes" } }
                    Some(count) => { span.dim.small { (components::count(count as u64, "webhook subscribes", "webhooks subscribe")) } }
                    None => {}
                }
                (actions)
            }
        }
    }
}

pub(crate) fn json_details(title: &str, text: &str) -> Markup {
    html! { details.more { summary.small { (title) } pre { (pretty(text).as_deref().unwrap_or(text)) } } }
}

fn own_card(viewer: &Viewer, own: &[OfferedType], asking: &impl Fn(&str) -> Option<usize>) -> Markup {
    let may_manage = viewer.may(Permission::Manage);
    html! {
        section.card.flush {
            header { h2 { "Custom event types" } }
            @if own.is_empty() {
                (components::empty("No custom event types yet", &html! {
                    p {
                        "The types of the catalogue below are ready to publish. "
                        @if may_manage { "For anything else in your product, " a href="#add" { "add a type" } "." }
                        @else { "A manager or owner can add more." }
                    }
                }))
            }
            ul.items {
                @for event_type in own {
                    li {
                        (headline(&event_type.name, asking(&event_type.name), &delete_button(event_type, may_manage)))
                        @if !event_type.description.is_empty() { p { (event_type.description) } }
                        p.dim.small {
                            @if let Some(at) = event_type.created_at { "Added " (time::dated(at, viewer.zone())) }
                            @if event_type.archived { ", archived: accepted, and no longer offered" }
                        }
                        @match &event_type.schema {
                            Some(schema) => { (json_details("Data schema", schema.get())) }
                            None => { p.dim.small { "No schema: any data is accepted." } }
                        }
                    }
                }
            }
        }
    }
}

fn delete_button(event_type: &OfferedType, may_manage: bool) -> Markup {
    let id = format!("delete-{}", event_type.name);
    html! {
        @if may_manage {
            button.small.danger type="button" data-opens={ "[id='" (id) "']" } aria-label={ "Delete " (event_type.name) } { "Delete" }
            dialog id=(id) aria-labelledby={ (id) "-title" } {
                form.form method="post" action={ "/event-types/" (event_type.name) "/delete" } {
                    h2 id={ (id) "-title" } { "Delete " code { (event_type.name) } "?" }
                    p { "Events of this type can no longer be published. Published events stay, and webhooks keep their subscriptions to it." }
                    div.actions {
                        button.danger { "Delete event type" }
                        button type="button" data-closes autofocus { "Cancel" }
                    }
                }
            }
        }
    }
}

fn add_card(complaints: &Complaints<'_>, form: &Form) -> Markup {
    html! {
        section.card #add {
            h2 { "Add event type" }
            form.form method="post" action="/event-types" {
                (fields(form, complaints, true))
                div.actions { button.primary { "Add event type" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event_types::BUILT_IN;

    #[test]
    fn built_in_types_are_grouped_under_the_headings_of_the_contract() {
        let types = BUILT_IN.iter().map(|it| OfferedType::ours(it, TypeOrigin::BuiltIn)).collect::<Vec<_>>();
        let groups = grouped(&types).into_iter().map(|(title, types)| (title, types.len())).collect::<Vec<_>>();
        let expected = [("Call events", 6), ("Data events", 4), ("Batch events", 4)];
        assert_eq!(groups, expected.map(|(title, count)| (title.to_owned(), count)));
        assert_eq!(heading("invoice.paid"), "Invoice events");
    }
}
