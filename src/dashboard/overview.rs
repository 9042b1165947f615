//! `/`: an organization's health at a glance.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::activity::{Activity, ChartRange};
use super::attention::Attention;
use super::error::PageError;
use super::form::Form;
use super::layout::{self, Section};
use super::response::see_other;
use super::viewer::Viewer;
use super::{components, time};
use crate::actors::statistics::CurrentStatistics;
use crate::api::Api;
use crate::api::auth::Permission;
use crate::domain::health::{EndpointState, EndpointStates, PendingStats};
use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreResult};

/// `GET /?range=`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    if viewer.caller.is_admin() {
        return Ok(see_other("/organizations"));
    }
    let organization_id = viewer.organization_id()?;
    let chosen = ChartRange::parse(Form::parse(request.query_string().as_bytes()).text("range"));
    let (now, counted) = (viewer.now, api.engine().statistics());
    let health = api
        .read(organization_id, move |store| Health::read(store, &counted, organization_id, chosen, now))
        .await?;
    let range = health.range;
    let content = html! {
        div.head {
            h1 { "Overview" }
            nav.tabs aria-label="Range" {
                @for choice in ChartRange::ALL {
                    a href={ "/?range=" (choice.as_str()) } aria-current=[(choice == range).then_some("true")] { (choice.name()) }
                }
            }
        }
        @if health.states == EndpointStates::default() { (first_steps(&viewer)) }
        div.stack-live #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live" hx-swap="morph:outerHTML" hx-target="this" {
            @if health.attention.is_urgent() { (health.attention.show(&viewer)) }
            (health.tiles(&viewer, range))
            (health.charts(&viewer, range))
            @if !health.attention.is_urgent() { (health.attention.show(&viewer)) }
        }
    };
    Ok(layout::page(&viewer, Section::Overview, "Overview", &content))
}

fn first_steps(viewer: &Viewer) -> Markup {
    let help = html! {
        p { "Add a webhook to say where events go, send it a test event, then publish events with a publisher key." }
        @if viewer.may(Permission::Manage) { a.button.primary href="/webhooks/new" { "Add webhook" } }
    };
    html! { section.card { (components::empty("No webhooks yet", &help)) } }
}

struct Health {
    states: EndpointStates,
    backlog: PendingStats,
    range: ChartRange,
    activity: Activity,
    attention: Attention,
}

impl Health {
    fn read(
        store: &dyn Store,
        counted: &CurrentStatistics,
        organization_id: OrganizationId,
        chosen: Option<ChartRange>,
        now: UnixMillis,
    ) -> StoreResult<Self> {
        let longest = chosen.unwrap_or(ChartRange::Day);
        let statistics = counted.of_organization(store, organization_id, longest.since(now))?;
        let created = store.organization(organization_id)?.map_or(now, |organization| organization.created_at);
        let began = statistics.iter().map(|period| period.period_start).fold(created, UnixMillis::min);
        let range = chosen.unwrap_or_else(|| ChartRange::fitting(now.since(began)));
        let activity = Activity::of(range, &statistics, now);
        Ok(Self {
            states: store.endpoint_states(organization_id)?,
            backlog: store.pending(organization_id, None)?,
            range,
            activity: if chosen.is_some() { activity } else { activity.beginning(began) },
            attention: Attention::read(store, counted, organization_id, range.since(now), now)?,
        })
    }

    fn tiles(&self, viewer: &Viewer, range: ChartRange) -> Markup {
        let total = &self.activity.total;
        let latency = |percent| total.latency.percentile(percent).map_or("–".to_owned(), time::milliseconds);
        let tile = |id: &str, label: &str, value: &str, note: &Markup| {
            html! { div.tile id=(id) { div.label { (label) } div.value { (value) } div.note { (note) } } }
        };
        let oldest = html! {
            @match self.backlog.oldest_pending_at {
                Some(at) => { "oldest from " (time::relative(at, viewer.now, viewer.zone())) }
                None => { "nothing pending" }
            }
        };
        html! {
            div.tiles {
                (tile("tile-delivered", "Delivered", &components::number(total.succeeded), &html! { (range.name().to_lowercase()) }))
                (tile("tile-rate", "Success rate", &self.activity.rate(), &html! { (components::count(total.failed, "delivery", "deliveries")) " failed, " (components::count(total.failed_attempts(), "failed attempt", "failed attempts")) }))
                (tile("tile-latency", "Response time", &latency(50), &html! { "p95 " (latency(95)) ", p99 " (latency(99)) }))
                a.tile #tile-pending href="/logs?status=pending" {
                    div.label { "Pending" }
                    div.value { (components::number(self.backlog.pending)) }
                    div.note { (oldest) }
                }
                div.tile #tile-webhooks {
                    div.label { "Webhooks" }
                    (self.webhooks())
                }
            }
        }
    }

    fn webhooks(&self) -> Markup {
        let EndpointStates { healthy, failing, paused, disabled } = self.states;
        let states = [
            (healthy, EndpointState::Healthy),
            (failing, EndpointState::Failing),
            (paused, EndpointState::Paused),
            (disabled, EndpointState::Disabled),
        ];
        html! {
            div.value { a href="/webhooks" { (components::number(healthy + failing + paused + disabled)) } }
            div.note.states {
                @for (count, state) in states {
                    @let (class, name, meaning) = components::described(state);
                    @if count > 0 { a.badge.(class) href={ "/webhooks?state=" (name) } title=(meaning) { (components::number(count)) " " (name) } " " }
                }
            }
        }
    }

    fn charts(&self, viewer: &Viewer, range: ChartRange) -> Markup {
        let zone = viewer.zone();
        if let Some(nothing) = self.activity.nothing() {
            return html! { section.card { header { h2 { "Deliveries" } span.dim.small { (range.name()) } } (nothing) } };
        }
        html! {
            section.card {
                header { h2 { "Deliveries" } span.dim.small { (range.name()) } }
                (self.activity.deliveries(zone))
            }
            div.cols {
                section.card { header { h2 { "Success rate" } } (self.activity.success_rate(zone)) }
                section.card { header { h2 { "Response time" } } (self.activity.latency(zone)) }
            }
        }
    }
}
