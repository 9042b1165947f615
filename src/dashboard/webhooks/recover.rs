//! Resends a range of a webhook's deliveries, after showing how many there are.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::json;

use super::save::complaint;
use super::{crumbs, webhook_id};
use crate::api::problem::Problem;
use crate::api::{Api, webhook_actions};
use crate::dashboard::components::{self, Complaints, count};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::response::see_other;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::ids::EndpointId;
use crate::domain::time::UnixMillis;

const FIELDS: [&str; 3] = ["since", "until", "status"];
const TITLE: &str = "Resend deliveries";
const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// A range as typed, in the viewer's zone.
pub(crate) struct RecoverRange {
    since: String,
    until: String,
    status: String,
}

impl RecoverRange {
    /// Deliveries that failed in the last hour.
    pub(crate) fn usual(viewer: &Viewer) -> Self {
        let since = time::input_value(viewer.now - HOUR, viewer.zone());
        Self { since, until: String::new(), status: "failed".to_owned() }
    }

    fn read(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let status = form.given("status").unwrap_or("failed").to_owned();
        Self { since: text("since"), until: text("until"), status }
    }

    /// Start and end; an empty end means now.
    fn instants(&self, viewer: &Viewer) -> Result<(UnixMillis, UnixMillis), Problem> {
        let read = |name: &str, text: &str| {
            let unreadable = || complaint(name, "give a date and a time, for example 2024-12-16 10:30".to_owned());
            time::parse_input(text, viewer.zone()).ok_or_else(unreadable)
        };
        let until = if self.until.is_empty() { viewer.now } else { read("until", &self.until)? };
        Ok((read("since", &self.since)?, until))
    }
}

pub(crate) fn form(id: EndpointId, viewer: &Viewer, range: &RecoverRange, complaints: &Complaints<'_>) -> Markup {
    let zone = &viewer.look.zone_name;
    let moment = |name: &str, label: &str, help: &str, value: &str| {
        components::field(
            name,
            label,
            help,
            complaints,
            &html! {
                input id=(name) name=(name) type="datetime-local" step="1" value=(value) aria-describedby={ (name) "-help" } aria-invalid=[complaints.is_wrong(name).then_some("true")];
            },
        )
    };
    html! {
        form.lines method="get" action={ "/webhooks/" (id) "/recover" } hx-get={ "/webhooks/" (id) "/recover" } hx-target="#recover" hx-select="#recover" hx-swap="outerHTML" {
            div.row {
            (moment("since", "Since", &format!("In {zone}."), &range.since))
            (moment("until", "Until", "Leave empty for now.", &range.until))
            (components::field("status", "Status", "The final status of the deliveries.", complaints, &html! {
                select id="status" name="status" aria-describedby="status-help" {
                    option value="failed" selected[range.status == "failed"] { "failed" }
                    option value="success" selected[range.status == "success"] { "success" }
                }
            }))
            }
            div.actions { button { "Count deliveries" } }
        }
    }
}

/// `GET /webhooks/{webhook_id}/recover`: counts the deliveries in a range.
pub(crate) async fn preview(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let id = webhook_id(&request)?;
    let endpoint = api.find_endpoint(organization_id, id).await?.endpoint;
    let range = RecoverRange::read(&Form::parse(request.query_string().as_bytes()));
    let counted = match range.instants(&viewer) {
        Ok((since, until)) => {
            let body = json!({ "since": since, "until": until, "status": range.status }).to_string();
            let counted = webhook_actions::count_recoverable(&api, organization_id, id, body.as_bytes()).await;
            counted.map(|many| (many as u64, since, until))
        }
        Err(problem) => Err(problem),
    };
    let complaints = Complaints::of(counted.as_ref().err());
    let content = html! {
        div.head { div { (crumbs(Some(&endpoint))) h1 { (TITLE) } p.dim.break { (endpoint.url) } } }
        section.card #recover {
            h2 { "Resend failed deliveries" }
            @if !FIELDS.iter().any(|field| complaints.is_wrong(field)) { (complaints.summary(&FIELDS)) }
            (form(id, &viewer, &range, &complaints))
            @if let Ok((many, since, until)) = &counted { div role="status" { (answer(id, &viewer, &range, *many, *since, *until)) } }
        }
    };
    let status = if counted.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(layout::with_status(status, &viewer, Section::Webhooks, TITLE, &content))
}

fn answer(
    id: EndpointId,
    viewer: &Viewer,
    range: &RecoverRange,
    many: u64,
    since: UnixMillis,
    until: UnixMillis,
) -> Markup {
    let which = if range.status == "failed" { "failed" } else { "succeeded" };
    html! {
        @if many == 0 {
            p.note-box.info { "No deliveries " (which) " in this range." }
        } @else {
            form.lines method="post" action={ "/webhooks/" (id) "/recover" } {
                @for (name, value) in [("since", since.to_string()), ("until", until.to_string()), ("status", range.status.clone())] {
                    input type="hidden" name=(name) value=(value);
                }
                @let is_more = many > webhook_actions::COUNTED_AT_MOST as u64;
                @let many = many.min(webhook_actions::COUNTED_AT_MOST as u64);
                p { @if is_more { "More than " } (count(many, "delivery", "deliveries")) " between " (time::instant(since, viewer.zone())) " and " (time::instant(until, viewer.zone()))
                    " " (which) ". Each is resent with a full retry schedule; receivers recognize it by the event’s ID." }
                div.actions { button.primary { "Resend " @if is_more { "all" } @else { (components::number(many)) } } }
            }
        }
    }
}

/// `POST /webhooks/{webhook_id}/recover`.
pub(crate) async fn send(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id = webhook_id(&request)?;
    let form = Form::read(&request, payload).await?;
    let body = json!({ "since": form.text("since"), "until": form.text("until"), "status": form.text("status") });
    let body = body.to_string();
    let many = webhook_actions::recover_from(&api, viewer.organization_id()?, id, body.as_bytes()).await?;
    Ok(see_other(&format!("/webhooks/{id}?done=recovered&count={many}")))
}
