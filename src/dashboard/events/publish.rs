//! `/events/new`: publishes a sample event.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::offered_types::sample;
use crate::api::problem::{ErrorCode, InputError, Problem};
use crate::api::{Api, events};
use crate::dashboard::choices::Choices;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::response::see_other;

use crate::dashboard::components::{self, Complaints};
use crate::dashboard::layout::{self, Section};
use crate::dashboard::viewer::Viewer;
use crate::domain::filter::FieldError;
use crate::domain::json_text::indent;

const DEFAULT_TYPE: &str = "call.completed";

/// `GET /events/new?event_type=`.
pub(crate) async fn compose(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    let event_type = query.given("event_type").unwrap_or(DEFAULT_TYPE);
    let sample = sample(&api, viewer.organization_id()?, event_type).await?;
    let data = sample.map(|sample| indent(sample.get(), usize::MAX).text);
    let content = content(&viewer, &api, event_type, data.as_deref().unwrap_or("{}"), None).await?;
    Ok(layout::page(&viewer, Section::Events, "Publish sample event", &content))
}

/// `POST /events`.
pub(crate) async fn publish(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let (event_type, data) = (form.text("event_type"), form.text("data"));
    let published = match body(event_type, data) {
        Ok(body) => events::publish_from(&api, viewer.organization_id()?, body).await,
        Err(problem) => Err(problem),
    };
    match published {
        Ok(published) => Ok(see_other(&format!("/events/{}?done=published", published.event.id))),
        Err(problem) => {
            let content = content(&viewer, &api, event_type, data, Some(&problem)).await?;
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(layout::with_status(status, &viewer, Section::Events, "Publish sample event", &content))
        }
    }
}

/// The body of the API call, with `data` verbatim.
fn body(event_type: &str, data: &str) -> Result<Bytes, Problem> {
    #[derive(Serialize)]
    struct Event<'a> {
        event_type: &'a str,
        data: &'a RawValue,
    }
    let body = serde_json::from_str(data).and_then(|data| serde_json::to_vec(&Event { event_type, data }));
    body.map(Bytes::from).map_err(|error| {
        let error = FieldError { field: "data".to_owned(), message: format!("this is not valid JSON: {error}") };
        Problem::input(vec![InputError { code: ErrorCode::ValidationFailed, error }])
    })
}

async fn content(
    viewer: &Viewer,
    api: &Api,
    event_type: &str,
    data: &str,
    problem: Option<&Problem>,
) -> Result<Markup, PageError> {
    let choices = Choices::read(api, viewer.organization_id()?).await?;
    let complaints = Complaints::of(problem);
    let types = html! {
        select #event_type name="event_type" data-submits autocomplete="off" aria-describedby="event_type-help event_type-error" {
            @for (group, names) in choices.publishable() { optgroup label=(group) {
                @for name in names { option value=(name) selected[name == event_type] { (name) } }
            } }
        }
    };
    let text = html! {
        textarea #data name="data" rows="20" spellcheck="false" autocomplete="off" aria-describedby="data-help data-error"
            aria-invalid=[complaints.is_wrong("data").then_some("true")] { "\n" (data) }
    };
    Ok(html! {
        div.head { div { p.crumbs { a href="/events" { "Events" } " / new" } h1 { "Publish sample event" } } }
        (complaints.summary(&["event_type", "data"]))
        section.card.form {
            p { "This is a real event: it is stored, signed and delivered to every subscribed webhook. To try a single webhook, send a test event from its page." }
            form.filters method="get" action="/events/new" {
                (components::field("event_type", "Event type", "Choosing a type loads its sample below.", &complaints, &types))
                noscript { div.actions { button { "Load sample" } } }
            }
            form.form method="post" action="/events" {
                input type="hidden" name="event_type" value=(event_type);
                (components::field("data", "Data", "A JSON object, delivered exactly as written here.", &complaints, &text))
                div.actions {
                    button.primary { "Publish " (event_type) }
                    a.button href="/events" { "Cancel" }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_data_is_published_verbatim_and_can_not_add_other_fields() {
        let made =
            body("call.completed", "{\"n\": 1e400,\n \"m\": 1234567890123456789012345678901234567890}").unwrap();
        let expected = "{\"event_type\":\"call.completed\",\"data\":{\"n\": 1e400,\n \"m\": 1234567890123456789012345678901234567890}}";
        assert_eq!(made, expected);
        for typed in ["", "{", "{},\"timestamp\":\"2024-12-16T10:30:45Z\"", "{} {}"] {
            let problem = body("call.completed", typed).unwrap_err();
            assert_eq!(problem.errors()[0].field, "data", "{typed}");
        }
    }
}
