//! Sends a test event to a webhook and shows the result at once.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event_type_options::EventTypeOptions;
use super::form::type_choice;
use super::recover::Missed;
use super::save::complaint;
use super::{crumbs, is_too_deep, pretty_sample, webhook_id};
use crate::actors::publication::TestResult;
use crate::api::problem::Problem;
use crate::api::{Api, offered_types, webhook_actions};
use crate::dashboard::components::{self, Complaints};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::outage;
use crate::dashboard::outcome_help::{of_code, of_error};
use crate::dashboard::request_response;
use crate::dashboard::response::{fragment, wants_fragment};
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointState;

const FIELDS: [&str; 2] = ["event_type", "data"];
const TITLE: &str = "Send a test event";
const USUAL: &str = "call.completed";

/// `GET /webhooks/{webhook_id}/test`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let endpoint = api.find_endpoint(organization_id, webhook_id(&request)?).await?.endpoint;
    let types = EventTypeOptions::of(&api, organization_id).await?;
    let query = Form::parse(request.query_string().as_bytes());
    let event_type = query.given("event_type").filter(|name| types.names().contains(name));
    let event_type = event_type.unwrap_or_else(|| first_subscribed(&endpoint, &types));
    let data = pretty_sample(&api, organization_id, event_type).await?.unwrap_or_default();
    let content = content(&endpoint, &types, event_type, &data, &Complaints::of(None), &html! {});
    Ok(layout::page(&viewer, Section::Webhooks, TITLE, &content))
}

/// `GET /webhooks/{webhook_id}/test/sample`: sample data of the chosen type.
pub(crate) async fn sample(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    api.find_endpoint(organization_id, webhook_id(&request)?).await?;
    let query = Form::parse(request.query_string().as_bytes());
    let sample = pretty_sample(&api, organization_id, query.text("event_type")).await?;
    Ok(fragment(&data_field(&sample.unwrap_or_default(), &Complaints::of(None))))
}

/// `POST /webhooks/{webhook_id}/test`.
pub(crate) async fn send(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let before = api.find_endpoint(organization_id, webhook_id(&request)?).await?;
    let was_broken =
        outage::is_in_trouble(EndpointState::of(&before.endpoint, Some(&before.health)), &before.endpoint);
    let missed = match was_broken {
        true => Missed::read(&api, &before, true, viewer.now).await?,
        false => None,
    };
    let endpoint = before.endpoint;
    let form = Form::read(&request, payload).await?;
    let (event_type, data) = (form.text("event_type"), form.text("data"));
    let sent = match check(&api, &endpoint, event_type, data).await {
        Ok(data) => {
            webhook_actions::send_test(&api, organization_id, endpoint.id, event_type.to_owned(), data).await
        }
        Err(problem) => Err(problem),
    };
    let complaints = Complaints::of(sent.as_ref().err());
    let result = sent.as_ref().map_or_else(
        |_| html! {},
        |sent| {
            html! {
                (result(sent, &endpoint))
                @if was_broken && sent.is_success { (works_again(&viewer, &endpoint, missed.as_ref())) }
            }
        },
    );
    let status = match &sent {
        Ok(_) => StatusCode::OK,
        Err(problem) if problem.code().status().is_server_error() => problem.code().status(),
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let types = EventTypeOptions::of(&api, organization_id).await?;
    if wants_fragment(&request) {
        // the input stays as typed: only its errors and the result are swapped in
        let markup = trial(&endpoint, &types, event_type, data, &complaints, &result);
        return Ok(HttpResponse::build(StatusCode::OK).content_type("text/html; charset=utf-8").body(markup.0));
    }
    let content = content(&endpoint, &types, event_type, data, &complaints, &result);
    Ok(layout::with_status(status, &viewer, Section::Webhooks, TITLE, &content))
}

/// The first type that the webhook subscribes to.
fn first_subscribed<'a>(endpoint: &Endpoint, types: &'a EventTypeOptions) -> &'a str {
    let is_asked = |name: &str| endpoint.events.iter().any(|pattern| pattern.matches(name));
    let names = types.names();
    let first = names.iter().copied().find(|name| is_asked(name));
    let usual =
        names.iter().copied().find(|name| *name == USUAL && (endpoint.events.is_empty() || is_asked(USUAL)));
    usual.or(first).or(names.first().copied()).unwrap_or(USUAL)
}

async fn check(api: &Api, endpoint: &Endpoint, event_type: &str, data: &str) -> Result<Box<RawValue>, Problem> {
    if offered_types::sample(api, endpoint.organization_id, event_type).await?.is_none() {
        return Err(complaint("event_type", "this event type no longer exists; choose another".to_owned()));
    }
    read_data(data).map_err(|message| complaint("data", message))
}

/// Receivers are promised that `data` is an object.
fn read_data(text: &str) -> Result<Box<RawValue>, String> {
    if is_too_deep(text) {
        return Err("is nested too deeply".to_owned());
    }
    let data: Box<RawValue> = serde_json::from_str(text).map_err(|fault| format!("is not JSON: {fault}"))?;
    if data.get().starts_with('{') { Ok(data) } else { Err("must be an object: { … }".to_owned()) }
}

fn content(
    endpoint: &Endpoint,
    types: &EventTypeOptions,
    event_type: &str,
    data: &str,
    complaints: &Complaints<'_>,
    result: &Markup,
) -> Markup {
    html! {
        div.head { div { (crumbs(Some(endpoint))) h1 { (TITLE) } p.dim.break { "to " (endpoint.url) } } }
        (trial(endpoint, types, event_type, data, complaints, result))
    }
}

fn trial(
    endpoint: &Endpoint,
    types: &EventTypeOptions,
    event_type: &str,
    data: &str,
    complaints: &Complaints<'_>,
    result: &Markup,
) -> Markup {
    let address = format!("/webhooks/{}/test", endpoint.id);
    let choice = type_choice("event_type", types, event_type, &format!("{address}/sample"), "#data-box");
    html! {
        div.cols #trial {
            section.card {
                @if !FIELDS.iter().any(|field| complaints.is_wrong(field)) { (complaints.summary(&FIELDS)) }
                p.dim { "Sends one real, signed event right away, regardless of the webhook's subscriptions and filters, and even while it is disabled." }
                form.lines method="post" action=(address) hx-post=(address) hx-target="#trial" hx-swap="outerHTML" hx-disabled-elt="#send-test" {
                    (components::field("event_type", "Event type", "", complaints, &choice))
                    div.actions.noscript { button.small formmethod="get" formaction=(address) { "Load sample" } }
                    div #data-box { (data_field(data, complaints)) }
                    div.actions { button.primary #send-test { span.when-idle { "Send test event" } span.when-busy { "Sending…" } } }
                }
            }
            div #result aria-live="polite" { (result) }
        }
    }
}

fn data_field(data: &str, complaints: &Complaints<'_>) -> Markup {
    components::field(
        "data",
        "Data",
        "JSON. Edit the sample as you like.",
        complaints,
        &html! {
            textarea id="data" name="data" rows="18" spellcheck="false" aria-describedby="data-help" aria-invalid=[complaints.is_wrong("data").then_some("true")] { (data) }
        },
    )
}

/// The response or error, and what to do about it.
fn result(sent: &TestResult, endpoint: &Endpoint) -> Markup {
    let TestResult { delivery_id, is_success, result } = sent;
    let status = if *is_success { DeliveryStatus::Success } else { DeliveryStatus::Failed };
    let class = if *is_success { "ok" } else { "bad" };
    html! {
        section.card {
            header { h2 { "Result" } (components::status(status)) }
            @match &result.response {
                Ok(response) => {
                    p.note-box.(class) role="status" { strong { "Response " (response.status) "." } " " (of_code(response.status).what) " " (of_code(response.status).help) }
                }
                Err(error) => {
                    @let meaning = of_error(error.as_str());
                    p.note-box.bad role="status" {
                        strong { (meaning.what) } " "
                        @match error.detail() { Some(detail) => { "More exactly: " (detail) "." } None => (meaning.help) }
                    }
                }
            }
            dl.facts {
                dt { "Response time" } dd { (time::milliseconds(result.duration.as_millis() as u64)) "; the webhook's timeout is " (time::span(endpoint.timeout)) }
                @if let Err(error) = &result.response { dt { "Error" } dd { code { (error.as_str()) } } }
                dt { "Delivery" } dd { a href={ "/logs/" (delivery_id) } { (delivery_id) } }
            }
            @if let Ok(response) = &result.response {
                @let headers = response.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
                (request_response::headers("response-headers", "Response headers", &headers, true))
                h3 { "Response body" }
                (request_response::body(&String::from_utf8_lossy(&response.body)))
            }
        }
    }
}

/// What is left to do after the repair of a receiver.
fn works_again(viewer: &Viewer, endpoint: &Endpoint, missed: Option<&Missed>) -> Markup {
    let address = format!("/webhooks/{}", endpoint.id);
    html! {
        section.card #works-again {
            h2 { "The receiver works again" }
            @if endpoint.active {
                p { "Deliveries go out again, those attempted before at their next retry. To send these at once too:" }
                div.actions { form method="post" action={ (address) "/resume" } { button { "Resume now" } } }
            } @else {
                p { "The webhook is still disabled. Enable it, and its pending deliveries are sent." }
                div.actions { form method="post" action={ (address) "/active" } {
                    input type="hidden" name="active" value="true";
                    button { "Enable" }
                } }
            }
            @if let Some(missed) = missed { @if missed.deliveries > 0 {
                p { "What failed for good meanwhile is not sent by itself:" }
                div.actions { (missed.link(endpoint.id, viewer)) }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_must_be_an_object_and_invalid_json_is_reported_with_its_line() {
        assert!(read_data(r#"{"n":1e400}"#).is_ok());
        assert!(read_data("{\n\"a\": }").unwrap_err().contains("line 2"));
        assert!(read_data("[]").unwrap_err().contains("object"));
        assert!(read_data(&"[".repeat(5_000)).unwrap_err().contains("deep"));
    }
}
