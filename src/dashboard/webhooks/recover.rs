//! Resends a range of a webhook's deliveries, after showing how many there are.

use std::time::Duration;

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
use crate::dashboard::outage;
use crate::dashboard::response::see_other;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::EndpointId;
use crate::domain::round::Rounds;
use crate::domain::time::UnixMillis;
use crate::store::{EndpointStart, RequeueRange, Store};

const FIELDS: [&str; 3] = ["since", "until", "status"];
const TITLE: &str = "Resend deliveries";
const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

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

    /// Deliveries that failed since then.
    fn since(viewer: &Viewer, since: UnixMillis) -> Self {
        Self { since: time::input_value(since, viewer.zone()), ..Self::usual(viewer) }
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

/// What failed since a webhook broke, or when it was broken last.
pub(crate) struct Missed {
    /// When it broke.
    began: UnixMillis,
    /// From where on deliveries failed because of that.
    since: UnixMillis,
    /// At most one more than [`webhook_actions::COUNTED_AT_MOST`].
    pub deliveries: u64,
}

impl Missed {
    /// `None` when it did not break within a week, as far as known.
    pub(crate) async fn read(
        api: &Api,
        webhook: &EndpointStart,
        has_failed: bool,
        now: UnixMillis,
    ) -> Result<Option<Self>, Problem> {
        let (organization_id, id) = (webhook.endpoint.organization_id, webhook.endpoint.id);
        let (began, timeout) = (outage::began(webhook), webhook.endpoint.timeout);
        if began.is_none() && !has_failed {
            return Ok(None);
        }
        let counted = api.engine().statistics();
        let read = move |store: &dyn Store| {
            let began = match began {
                Some(began) => Some(began),
                None => {
                    let periods = counted.of_endpoints(store, organization_id, &[id], now - WEEK)?;
                    outage::last_outage(periods.into_iter().map(|(_, period)| period).collect())
                }
            };
            let Some(began) = began else { return Ok(None) };
            let since = outage::first_failed(began, timeout);
            let range =
                RequeueRange { since, until: now, status: DeliveryStatus::Failed, rounds: Rounds::Schedule };
            let most = webhook_actions::COUNTED_AT_MOST + 1;
            let deliveries = store.count_range(organization_id, id, &range, most)? as u64;
            Ok(Some(Self { began, since, deliveries }))
        };
        api.read(organization_id, read).await
    }
}

/// The card of a webhook's page: filled in with what it missed.
pub(crate) fn card(id: EndpointId, viewer: &Viewer, missed: Option<&Missed>, is_broken: bool) -> Markup {
    html! {
        section.card #recover {
            @match missed.filter(|missed| missed.deliveries > 0) {
                Some(Missed { began, since, deliveries }) => {
                    @let range = RecoverRange::since(viewer, *since);
                    h2 { "Recover what failed since it broke" }
                    p.dim {
                        "It broke at " (time::clock(*began, viewer.now, viewer.zone())) ". "
                        @if is_broken { "Repair the receiver first: what is resent while it fails, fails again." }
                        @else { "Check the range, then resend what failed in it." }
                    }
                    (form(id, viewer, &range, &Complaints::of(None)))
                    div #recoverable { (answer(id, viewer, &range, *deliveries, *since, viewer.now)) }
                }
                None => {
                    h2 { "Resend failed deliveries" }
                    p.dim { "After an outage, choose its time range, check how many deliveries failed, then resend them." }
                    (form(id, viewer, &RecoverRange::usual(viewer), &Complaints::of(None)))
                }
            }
        }
    }
}

/// The address of the page that counts what failed since then, to be confirmed.
pub(crate) fn address(id: EndpointId, viewer: &Viewer, since: UnixMillis) -> String {
    let since = time::input_value(since, viewer.zone());
    let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("since", &since).finish();
    format!("/webhooks/{id}/recover?{query}")
}

impl Missed {
    /// What follows the repair of a webhook: the way to what failed meanwhile.
    pub(crate) fn link(&self, id: EndpointId, viewer: &Viewer) -> Markup {
        html! { a.button href=(address(id, viewer, self.since)) { "Recover what failed…" } }
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
    let many =
        webhook_actions::recover_from(&api, &viewer.author(), viewer.organization_id()?, id, body.as_bytes())
            .await?;
    Ok(see_other(&format!("/webhooks/{id}?done=recovered&count={many}")))
}
