//! What needs attention on the overview: webhooks in trouble with their reasons, webhooks that fall behind, and failed
//! deliveries of the others, by webhook and reason.

use std::collections::{HashMap, HashSet};

use maud::{Markup, html};

use super::components::{self, count, number};
use super::outage::{self, Reason};
use super::viewer::Viewer;
use super::{long_url, time};
use crate::actors::statistics::CurrentStatistics;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::health::{EndpointState, PendingStats};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::time::UnixMillis;
use crate::store::{EndpointSearch, EndpointStart, PageRequest, Store, StoreResult};

/// Webhooks in trouble that are shown; the list of webhooks has all. Larger: the page reads for longer, every few seconds.
const MOST_TROUBLED: usize = 12;
/// Webhooks with a rate limit that are looked at.
const MOST_LIMITED: usize = 50;
/// Failed deliveries that are counted one by one for each webhook.
const COUNTED: usize = 1_000;
/// The newest failed deliveries, which are put into groups.
const NEWEST_FAILURES: usize = 100;

pub(super) struct Attention {
    troubled: Vec<Troubled>,
    has_more: bool,
    behind: Vec<(EndpointStart, PendingStats)>,
    /// By webhook and reason, the newest first.
    failures: Vec<FailureGroup>,
    since: UnixMillis,
    /// Without those deleted since.
    urls: HashMap<EndpointId, String>,
}

struct Troubled {
    webhook: EndpointStart,
    state: EndpointState,
    last_failure: Option<LastFailure>,
    pending: u64,
    /// At most [`COUNTED`] + 1.
    failed: usize,
}

/// Failed deliveries of one webhook for one reason.
struct FailureGroup {
    newest: DeliveryRecord,
    deliveries: u64,
}

impl Attention {
    /// Reads what needs attention now, and what failed since an instant.
    pub(super) fn read(
        store: &dyn Store,
        counted: &CurrentStatistics,
        organization_id: OrganizationId,
        since: UnixMillis,
        now: UnixMillis,
    ) -> StoreResult<Self> {
        let search = |search, limit| {
            store.search_endpoints(organization_id, &search, PageRequest { before_id: None, limit })
        };
        let mut found = search(EndpointSearch::Troubled, MOST_TROUBLED + 1)?;
        let has_more = found.len() > MOST_TROUBLED;
        found.truncate(MOST_TROUBLED);
        let mut troubled = Vec::new();
        for webhook in found {
            troubled.push(Troubled::read(store, counted, webhook, now)?);
        }
        // whose events wait for longest
        troubled.sort_by_key(|it| outage::began(&it.webhook).unwrap_or(now));
        let mut behind = Vec::new();
        for webhook in search(EndpointSearch::RateLimited, MOST_LIMITED)? {
            let pending = store.pending(organization_id, Some(webhook.endpoint.id))?;
            if outage::is_behind(&webhook, &pending) {
                behind.push((webhook, pending));
            }
        }
        let filter =
            DeliveryFilter { status: Some(DeliveryStatus::Failed), from: Some(since), ..Default::default() };
        let page = PageRequest { before_id: None, limit: NEWEST_FAILURES };
        let failed = store.deliveries(organization_id, &filter, page)?.rows;
        let shown: HashSet<EndpointId> = troubled.iter().map(|it| it.webhook.endpoint.id).collect();
        let failures = grouped(failed.into_iter().filter(|row| !shown.contains(&row.endpoint_id)));
        let mut urls = HashMap::new();
        for id in failures.iter().map(|group| group.newest.endpoint_id) {
            if !urls.contains_key(&id)
                && let Some(found) = store.find_endpoint(organization_id, id)?
            {
                urls.insert(id, found.endpoint.url);
            }
        }
        Ok(Self { troubled, has_more, behind, failures, since, urls })
    }

    /// Whether a webhook does not deliver: then it comes before everything else.
    pub(super) fn is_urgent(&self) -> bool {
        !self.troubled.is_empty()
    }

    pub(super) fn show(&self, viewer: &Viewer) -> Markup {
        let is_quiet = self.troubled.is_empty() && self.behind.is_empty() && self.failures.is_empty();
        html! {
            section.card.flush #attention {
                header { h2 { "Needs attention" } a href="/logs?status=failed" { "All failed deliveries" } }
                @if is_quiet {
                    (components::empty("Nothing needs attention", &html! { p { "Webhooks that fail, are paused or fall behind appear here with the reason, and deliveries that failed for good." } }))
                }
                ul.items {
                    @for it in &self.troubled { (it.show(viewer)) }
                    @if self.has_more { li { a href="/webhooks?state=troubled" { "More webhooks fail, are paused, or were disabled" } } }
                    @for (webhook, pending) in &self.behind { (behind(viewer, webhook, pending)) }
                    @for group in &self.failures { (self.failed(viewer, group)) }
                }
            }
        }
    }

    /// Deliveries that failed although their webhook works.
    fn failed(&self, viewer: &Viewer, FailureGroup { newest, deliveries }: &FailureGroup) -> Markup {
        let reason = Reason::of(newest.response_code, newest.error.as_deref());
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("status", "failed")
            .append_pair("webhook_id", &newest.endpoint_id.to_string())
            .append_pair("from", &self.since.to_string())
            .extend_pairs(newest.response_code.map(|code| ("response_code", code.to_string())))
            .finish();
        html! {
            li {
                div.what {
                    @match self.urls.get(&newest.endpoint_id) {
                        Some(url) => { (long_url::link(&format!("/webhooks/{}", newest.endpoint_id), url)) }
                        None => { span { code { (newest.endpoint_id) } " " span.dim { "deleted" } } }
                    }
                }
                p { a href={ "/logs/" (newest.id) } { (reason.past()) } " · "
                    a href={ "/logs?" (query) } { (number(*deliveries)) " failed" }
                    " · last " (time::relative(newest.finished_at.unwrap_or(newest.created_at), viewer.now, viewer.zone()))
                }
            }
        }
    }
}

/// In the order in which they come.
fn grouped(failed: impl Iterator<Item = DeliveryRecord>) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    for row in failed {
        let is_same = |group: &&mut FailureGroup| {
            let FailureGroup { newest, .. } = group;
            newest.endpoint_id == row.endpoint_id
                && newest.response_code == row.response_code
                && newest.error == row.error
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.deliveries += 1,
            None => groups.push(FailureGroup { newest: row, deliveries: 1 }),
        }
    }
    groups
}

impl Troubled {
    fn read(
        store: &dyn Store,
        counted: &CurrentStatistics,
        webhook: EndpointStart,
        now: UnixMillis,
    ) -> StoreResult<Self> {
        let (organization_id, id) = (webhook.endpoint.organization_id, webhook.endpoint.id);
        let failed = match outage::failed_range(&webhook, now) {
            Some(range) => store.count_range(organization_id, id, &range, COUNTED + 1)?,
            None => 0,
        };
        Ok(Self {
            state: EndpointState::of(&webhook.endpoint, Some(&webhook.health)),
            last_failure: counted.last_failure(store, organization_id, id)?,
            pending: store.pending(organization_id, Some(id))?.pending,
            failed,
            webhook,
        })
    }

    fn show(&self, viewer: &Viewer) -> Markup {
        let EndpointStart { endpoint, health } = &self.webhook;
        let address = format!("/webhooks/{}", endpoint.id);
        let reason = self.last_failure.as_ref().map(|it| (it, Reason::of(it.response_code, it.error.as_deref())));
        let until = health.probe_at.filter(|at| !time::is_due(*at, viewer.now));
        html! {
            li {
                div.what { (long_url::link(&address, &endpoint.url)) (components::state_link(self.state)) }
                p {
                    @match reason {
                        Some((failure, reason)) => { a href={ "/logs/" (failure.delivery_id) } { (reason.now()) } }
                        None => { a href=(address) { "fails" } }
                    }
                    @if let Some(since) = outage::began(&self.webhook) { " since " (time::clock(since, viewer.now, viewer.zone())) }
                    @if self.pending > 0 {
                        " · " a href={ "/logs?status=pending&webhook_id=" (endpoint.id) } { (number(self.pending)) " waiting" }
                        @match (self.state, until) {
                            (EndpointState::Disabled, _) => { " until it is enabled" }
                            (EndpointState::Paused, Some(at)) => { " until " (time::clock(at, viewer.now, viewer.zone())) }
                            _ => {}
                        }
                    }
                    @if self.failed > 0 {
                        " · " a href={ (address) "#recover" } {
                            @if self.failed > COUNTED { "over " (number(COUNTED as u64)) } @else { (number(self.failed as u64)) }
                            " failed"
                        }
                    }
                }
            }
        }
    }
}

fn behind(viewer: &Viewer, webhook: &EndpointStart, pending: &PendingStats) -> Markup {
    let endpoint = &webhook.endpoint;
    html! {
        li {
            div.what { (long_url::link(&format!("/webhooks/{}", endpoint.id), &endpoint.url)) span.badge.info { "behind" } }
            p {
                "Waits for its own rate limit · "
                a href={ "/logs?status=pending&webhook_id=" (endpoint.id) } { (count(pending.pending, "delivery", "deliveries")) " waiting" }
                @if let Some(at) = pending.oldest_pending_at { ", the oldest from " (time::relative(at, viewer.now, viewer.zone())) }
                @if let Some(rest) = outage::time_to_catch_up(endpoint, pending.pending) { " · done in about " (time::span(rest)) " at this rate" }
            }
        }
    }
}
