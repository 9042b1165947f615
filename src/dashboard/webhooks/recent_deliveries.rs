//! What a webhook did last: its newest failure, and its newest deliveries.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::api::health::LastFailureView;
use crate::api::problem::Problem;
use crate::api::{Api, logs};
use crate::dashboard::outcome_help;
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{components, request_response, time};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::last_failure::EXCERPT_BYTES;
use crate::store::PageRequest;

/// Deliveries that the page shows.
const NEWEST: usize = 10;

/// The deliveries that a webhook's page shows.
pub(crate) struct RecentDeliveries {
    /// Those that were attempted first, as there is something to see of them.
    rows: Vec<DeliveryRecord>,
    /// Whether the log still has the delivery that failed last.
    has_failed: bool,
}

/// Reads the newest deliveries and the one that failed last. While a receiver fails, the newest were all not attempted yet.
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
        let found = api.store(move |store| store.deliveries(organization_id, &filter, page)).await?.rows;
        let found = found.into_iter().find(|row| row.id == failed);
        has_failed = found.is_some();
        rows.extend(found);
    }
    rows.sort_by_key(|row| (row.attempt_count == 0, Reverse(row.id)));
    rows.truncate(NEWEST);
    Ok(RecentDeliveries { rows, has_failed })
}

impl RecentDeliveries {
    /// The newest failed attempt, with what it means.
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
                @if *at < endpoint.updated_at { p.dim { "The webhook was changed since then." } }
                @if let Some(body) = response_excerpt {
                    (request_response::body(body))
                    @if is_cut { p.dim.small { "This is how the body began; the log has more of it." } }
                }
                p {
                    @if self.has_failed { a href={ "/logs/" (delivery_id) } { "The delivery, with all its attempts" } }
                    @else { span.dim { "The log no longer has its delivery (" code { (delivery_id) } ")." } }
                }
            }
        }
    }

    /// The rows.
    pub(crate) fn table(&self, viewer: &Viewer, id: EndpointId, nothing: &Markup) -> Markup {
        html! {
            section.card.flush {
                header { h2 { "Newest deliveries" } @if !self.rows.is_empty() { a href={ "/logs?webhook_id=" (id) } { "All of them" } } }
                @if self.rows.is_empty() { (components::empty("Nothing was sent yet", nothing)) } @else {
                    div.wide { table.stack {
                        thead { tr { th scope="col" { "Event" } th scope="col" { "Status" } th scope="col" { "Answer" } th.num scope="col" { "Attempts" } th scope="col" { "Created" } } }
                        tbody { @for row in &self.rows { tr {
                            td.type data-label="Event" { a href={ "/logs/" (row.id) } { (components::event_type(&row.event_type)) } }
                            td data-label="Status" { (components::status(row.status)) }
                            td data-label="Answer" { (components::answer(row.response_code, row.error.as_deref())) }
                            td.num data-label="Attempts" { (row.attempt_count) }
                            td data-label="Created" { (time::instant(row.created_at, viewer.zone())) }
                        } } }
                    } }
                }
            }
        }
    }
}
