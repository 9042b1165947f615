//! A webhook's last failure and most recent deliveries.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::api::health::LastFailureView;
use crate::api::problem::Problem;
use crate::api::{Api, logs};
use crate::dashboard::logs::table::attempts;
use crate::dashboard::outcome_help;
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{components, invisible_characters, request_response, time};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::last_failure::EXCERPT_BYTES;
use crate::store::PageRequest;

const NEWEST: usize = 10;
/// Characters of a body's first line.
const FIRST_LINE: usize = 160;

pub(crate) struct RecentDeliveries {
    /// Attempted ones first, as they have something to show.
    rows: Vec<DeliveryRecord>,
    /// Whether the log still has the last failed delivery.
    has_failed: bool,
}

/// Reads the newest deliveries and the last one that failed. While a receiver fails, the newest are all waiting for
/// their first attempt.
pub(crate) async fn read(
    api: &Api,
    organization_id: OrganizationId,
    id: EndpointId,
    failed: Option<DeliveryId>,
) -> Result<RecentDeliveries, Problem> {
    let mut rows = logs::page(api, organization_id, &format!("webhook_id={id}&limit={NEWEST}")).await?.data;
    let mut has_failed = rows.iter().any(|row| Some(row.id) == failed);
    if let Some(failed) = failed.filter(|_| !has_failed) {
        let filter = DeliveryFilter { endpoint_id: Some(id), ..DeliveryFilter::default() };
        let page = PageRequest { before_id: failed.0.checked_add(1), limit: 1 };
        let found =
            api.read(organization_id, move |store| store.deliveries(organization_id, &filter, page)).await?.rows;
        let found = found.into_iter().find(|row| row.id == failed);
        has_failed = found.is_some();
        rows.extend(found);
    }
    rows.sort_by_key(|row| (row.attempt_count == 0, Reverse(row.id)));
    rows.truncate(NEWEST);
    Ok(RecentDeliveries { rows, has_failed })
}

/// The first line of a body that says something, shortened.
fn first_line(body: &str) -> Option<&str> {
    let line = body.lines().map(str::trim).find(|line| !line.is_empty())?;
    let end = line.char_indices().nth(FIRST_LINE).map_or(line.len(), |(end, _)| end);
    line.get(..end)
}

impl RecentDeliveries {
    /// The last failed attempt and its help.
    pub(crate) fn failure(&self, viewer: &Viewer, endpoint: &Endpoint, failure: &LastFailureView) -> Markup {
        let LastFailureView { at, delivery_id, response_code, error, response_excerpt } = failure;
        let meaning = outcome_help::of(*response_code, error.as_deref());
        let is_cut = response_excerpt.as_ref().is_some_and(|text| text.len() + 4 > EXCERPT_BYTES);
        html! {
            section.card #last-failure {
                header {
                    h2 { "Last failure: " (components::answer(*response_code, error.as_deref())) }
                    span.dim { (time::relative(*at, viewer.now, viewer.zone())) ", at " (time::instant(*at, viewer.zone())) }
                }
                p { (meaning.what) @if !meaning.help.is_empty() { " " (meaning.help) } }
                @if *at < endpoint.updated_at { p.dim { "The webhook has been changed since." } }
                @if let Some(body) = response_excerpt {
                    (request_response::body(body))
                    @if is_cut { p.dim.small { "This is the beginning of the body; the log has more." } }
                }
                p {
                    @if self.has_failed { a href={ "/logs/" (delivery_id) } { "View delivery" } }
                    @else { span.dim { "Its delivery (" code { (delivery_id) } ") is no longer in the log." } }
                }
            }
        }
    }

    /// The same for a webhook in trouble: what its receiver's first line says, and where the rest is.
    pub(crate) fn failure_in_short(
        &self,
        viewer: &Viewer,
        endpoint: &Endpoint,
        failure: &LastFailureView,
    ) -> Markup {
        let LastFailureView { at, delivery_id, response_code, error, response_excerpt } = failure;
        let meaning = outcome_help::of(*response_code, error.as_deref());
        let first_line = response_excerpt.as_deref().and_then(first_line);
        let attempt = self.rows.iter().find(|row| row.id == *delivery_id).map(|row| row.attempt_count);
        html! {
            div #last-failure {
                h3 { "Last failure: " (components::answer(*response_code, error.as_deref()))
                    " " span.dim.small { (time::relative(*at, viewer.now, viewer.zone())) } }
                p { (meaning.what) @if !meaning.help.is_empty() { " " (meaning.help) } }
                @if let Some(line) = first_line { p { "Its response begins with " code.raw { (invisible_characters::text(line)) } } }
                @if *at < endpoint.updated_at { p.dim { "The webhook has been changed since." } }
                p {
                    @match attempt.filter(|_| self.has_failed) {
                        Some(number) => { a href={ "/logs/" (delivery_id) "#attempt-" (number) } { "View this attempt" } }
                        None => { span.dim { "Its delivery (" code { (delivery_id) } ") is no longer in the log." } }
                    }
                }
            }
        }
    }

    pub(crate) fn table(&self, viewer: &Viewer, id: EndpointId, nothing: &Markup) -> Markup {
        html! {
            section.card.flush {
                header { h2 { "Recent deliveries" } @if !self.rows.is_empty() { a href={ "/logs?webhook_id=" (id) } { "View all" } } }
                @if self.rows.is_empty() { (components::empty("No deliveries yet", nothing)) } @else {
                    div.wide { table.stack.rows {
                        thead { tr { th scope="col" { "Status" } th scope="col" { "Event" } th scope="col" { "Response" } th scope="col" { "Created" } } }
                        tbody { @for row in &self.rows { tr {
                            td.state { (components::status(row.status)) }
                            td.subject { div.type { a href={ "/logs/" (row.id) } { (components::event_type(&row.event_type)) } } }
                            td.result {
                                div { (components::answer(row.response_code, row.error.as_deref())) }
                                (attempts(row))
                            }
                            td.when { div { (time::instant(row.created_at, viewer.zone())) } }
                        } } }
                    } }
                }
            }
        }
    }
}
