//! The page of one webhook: its health, settings and actions.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::condition::Condition;
use super::list::switch;
use super::recover::{self, Missed};
use super::{credentials, crumbs, recent_deliveries, secret_card, settings, snippets, webhook_id};
use crate::api::Api;
use crate::api::auth::Permission;
use crate::api::health::{self, LatencyView, PeriodView, WebhookHealthView};
use crate::dashboard::components::{self, count, number};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::long_url;
use crate::dashboard::outage;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::EndpointId;

const HOUR: Duration = Duration::from_secs(3_600);

/// `GET /webhooks/{webhook_id}`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    page(&viewer, &api, webhook_id(&request)?, &query, false).await
}

/// The page, with the secret revealed or hidden.
pub(super) async fn page(
    viewer: &Viewer,
    api: &Api,
    id: EndpointId,
    query: &Form,
    is_revealed: bool,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let found = api.find_endpoint(organization_id, id).await?;
    let health = health::of_webhook(api, organization_id, id).await?;
    let failed = health.last_failure.as_ref().map(|failure| failure.delivery_id);
    let newest = recent_deliveries::read(api, organization_id, id, failed).await?;
    let missed = Missed::read(api, &found, health.last_failure.is_some(), viewer.now).await?;
    let endpoint = found.endpoint;
    let may_manage = viewer.may(Permission::Manage);
    let is_new =
        matches!(query.text("done"), "created" | "rotated") && secret_card::is_fresh(&endpoint, viewer.now);
    let address = format!("/webhooks/{id}");
    let condition = Condition {
        viewer,
        endpoint: &endpoint,
        health: &health,
        newest: &newest,
        missed: missed.as_ref(),
        address: may_manage.then_some(&address),
    };
    let is_broken = outage::is_in_trouble(health.state, &endpoint);
    let content = html! {
        (head(&endpoint, may_manage, &address))
        (done(query, &address))
        @if is_new && may_manage { (secret_card::card(viewer, &endpoint, true)) }
        div.part #live data-live hx-get=(address) hx-trigger="refresh" hx-select="#live" hx-select-oob="#switch,#doomed"
            hx-swap="morph:outerHTML" hx-target="this" {
            (condition.show())
            (credentials::notice(&endpoint, viewer.now))
            @if let Some(failure) = &health.last_failure {
                @if !is_broken { (newest.failure(viewer, &endpoint, failure)) }
            }
            (tiles(viewer, &endpoint, &health))
            (newest.table(viewer, id, &nothing(&address, may_manage)))
        }
        div.cols {
            section.card { header { h2 { "Settings" } @if may_manage { a href={ (address) "/edit" } { "Edit" } } } (settings::facts(&endpoint, viewer.now, &about(viewer, &endpoint))) }
            @if may_manage && !is_new { (secret_card::card(viewer, &endpoint, is_revealed)) }
        }
        @if may_manage {
            (recover::card(id, viewer, missed.as_ref(), is_broken))
        }
        (snippets::card(&endpoint, api.signature_header_prefix(), query.text("snippet")))
        @if may_manage { (deletion(&endpoint, health.pending, &address)) }
    };
    Ok(layout::page(viewer, Section::Webhooks, &endpoint.url, &content))
}

fn head(endpoint: &Endpoint, may_manage: bool, address: &str) -> Markup {
    html! {
        div.head {
            div {
                (crumbs(None))
                h1.long title=(endpoint.url) { (long_url::shortened(&endpoint.url)) }
                @if let Some(description) = &endpoint.description { p.dim.break { (description) } }
            }
            @if may_manage {
                div.actions {
                    a.button.primary href={ (address) "/test" } { "Send test event" }
                    a.button href={ (address) "/edit" } { "Edit" }
                    span #switch { (switch(address, endpoint.active, &endpoint.url, "page")) }
                    button.danger type="button" data-opens="#delete" { "Delete…" }
                }
            }
        }
    }
}

fn done(query: &Form, address: &str) -> Markup {
    let recovered = query.text("count").parse().unwrap_or(0);
    html! {
        @match query.text("done") {
            "created" => {
                div.note-box.ok role="status" #done {
                    strong { "Webhook added." } " Next steps:"
                    ol {
                        li { "Give the receiver the " a href="#secret" { "signing secret" } "." }
                        li { "Make the receiver " a href="#verify" { "verify signatures" } "." }
                        li { a href={ (address) "/test" } { "Send a test event" } " and check the response." }
                    }
                }
            }
            "saved" => { (components::done("Changes saved. They apply to every attempt from now on.")) }
            "enabled" => { (components::done("The webhook is enabled. Its pending deliveries are sent now.")) }
            "disabled" => { (components::done("The webhook is disabled. Pending deliveries wait, and new events are not sent to it.")) }
            "rotated" => { (components::done("Secret rotated. Give the new one, below, to every receiver before the old one expires.")) }
            "resumed" => { (components::done(&match recovered {
                0 => "The webhook is resumed. Its pending deliveries are sent now.".to_owned(),
                due => format!("The webhook is resumed. {} for a retry, and all other pending deliveries are sent now too.", count(due, "delivery no longer waits", "deliveries no longer wait")),
            })) }
            "recovered" => { (components::done(&format!("{} queued to be resent.", count(recovered, "delivery is", "deliveries are")))) }
            _ => {}
        }
    }
}

fn tiles(viewer: &Viewer, endpoint: &Endpoint, health: &WebhookHealthView) -> Markup {
    // the day of a new webhook is its hour
    let has_a_day = viewer.now.since(endpoint.created_at) > HOUR;
    html! {
        dl.tiles {
            div.tile {
                dt { "Pending" } dd.value { (number(health.pending)) }
                dd.note { @match health.oldest_pending_at {
                    Some(at) => { "oldest from " (time::relative(at, viewer.now, viewer.zone())) }
                    None => { "nothing pending" }
                } }
            }
            (period("Last hour", &health.last_1h))
            @if has_a_day { (period("Last 24 hours", &health.last_24h)) }
            (latency("Response time, 1 h", &health.last_1h))
            @if has_a_day { (latency("Response time, 24 h", &health.last_24h)) }
        }
    }
}

fn period(name: &str, period: &PeriodView) -> Markup {
    let rate = period.success_rate.map_or("–".to_owned(), |rate| {
        let good = (rate * period.deliveries as f64).round() as u64;
        components::percent(good, period.deliveries)
    });
    html! {
        div.tile {
            dt { (name) } dd.value { (rate) }
            dd.note {
                @if period.deliveries == 0 { "no finished deliveries" } @else { "of " (count(period.deliveries, "delivery", "deliveries")) " succeeded" }
                "; " (attempts(period))
            }
        }
    }
}

fn attempts(period: &PeriodView) -> String {
    match (period.attempts, period.failed_attempts) {
        (0, _) => "no attempts".to_owned(),
        (all, 0) => format!("{}, none failed", count(all, "attempt", "attempts")),
        (all, failed) => format!("{}, {} failed", count(all, "attempt", "attempts"), number(failed)),
    }
}

fn latency(name: &str, period: &PeriodView) -> Markup {
    let LatencyView { p50, p95, p99 } = period.latency_ms;
    let latency = |value: Option<u64>| value.map_or("–".to_owned(), time::milliseconds);
    html! {
        div.tile {
            dt { (name) } dd.value { (latency(p50)) }
            dd.note {
                @if period.attempts == 0 { "no attempts" }
                @else { "median; p95 " (latency(p95)) ", p99 " (latency(p99)) }
            }
        }
    }
}

fn nothing(address: &str, may_manage: bool) -> Markup {
    html! {
        p { "Events that this webhook subscribes to are sent as soon as they are published." }
        @if may_manage { a.button href={ (address) "/test" } { "Send test event" } }
    }
}

fn about(viewer: &Viewer, endpoint: &Endpoint) -> Markup {
    html! {
            dt { "ID" } dd { (components::copyable("webhook-id", &endpoint.id.to_string())) }
            dt { "Created" } dd { (time::instant(endpoint.created_at, viewer.zone())) }
            dt { "Updated" } dd { (time::instant(endpoint.updated_at, viewer.zone())) }
    }
}

fn deletion(endpoint: &Endpoint, pending: u64, address: &str) -> Markup {
    html! {
        dialog #delete aria-labelledby="delete-title" {
            form.lines method="post" action={ (address) "/delete" } {
                h2 #delete-title { "Delete this webhook?" }
                p.break { (endpoint.url) }
                p #doomed {
                    @if pending == 0 { "It has no pending deliveries." }
                    @else { strong { (count(pending, "pending delivery", "pending deliveries")) } " will be cancelled and never sent." }
                    " Its log is kept. To stop it temporarily, disable it instead."
                }
                div.actions { button.danger { "Delete webhook" } button type="button" data-closes autofocus { "Cancel" } }
            }
        }
    }
}
