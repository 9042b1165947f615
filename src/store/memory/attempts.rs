//! Lists of attempts and of deliveries with their events in memory.

use super::super::attempts::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, EdgePage, EventListFilter, EventPageRequest, ListFilter,
    ListedAttempt, ListedEvent, Message, MessagePageRequest, PageEdge, is_manual, is_success,
};
use super::state::{MemoryDelivery, MemoryState};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;

/// Cuts a page out of all rows, which are oldest first.
fn page_at<T, P: Copy + Ord>(
    rows: Vec<T>,
    at: impl Fn(&T) -> P,
    edge: PageEdge<P>,
    limit: usize,
) -> EdgePage<T, P> {
    let mut rows: Vec<T> = match edge {
        PageEdge::Newest => rows.into_iter().rev().collect(),
        PageEdge::OlderThan(edge) => rows.into_iter().rev().filter(|row| at(row) < edge).collect(),
        PageEdge::NewerThan(edge) => rows.into_iter().filter(|row| at(row) > edge).collect(),
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(at).filter(|_| has_more);
    if !edge.is_backwards() {
        rows.reverse();
    }
    EdgePage { rows, next }
}

impl MemoryState {
    pub(super) fn select_events(
        &self,
        organization_id: OrganizationId,
        filter: &EventListFilter,
        page: EventPageRequest,
    ) -> EdgePage<ListedEvent, EventId> {
        let mut all = Vec::new();
        for (event, _) in self.events.values().filter(|(event, _)| event.organization_id == organization_id) {
            let labels = self.labels.get(&event.id).map(|labels| EventLabels::clone(labels)).unwrap_or_default();
            let is_in_time = filter.from.is_none_or(|from| event.accepted_at >= from)
                && filter.to.is_none_or(|to| event.accepted_at < to);
            if is_in_time && filter.selects(&event.event_type, &labels) {
                all.push(ListedEvent {
                    id: event.id,
                    event_type: event.event_type.clone(),
                    accepted_at: event.accepted_at,
                    labels,
                    body: page.with_body.then(|| event.body.clone()),
                });
            }
        }
        page_at(all, |event| event.id, page.edge, page.limit)
    }

    /// The deliveries that a filter selects, oldest first.
    fn listed(
        &self,
        organization_id: OrganizationId,
        filter: &ListFilter,
    ) -> impl Iterator<Item = &MemoryDelivery> {
        self.deliveries.values().filter(move |delivery| {
            let record = &delivery.record;
            let has_channel = |channel: &String| {
                self.labels.get(&record.event_id).is_some_and(|labels| labels.channels.contains(channel))
            };
            record.organization_id == organization_id
                && filter.of.endpoint_id().is_none_or(|id| record.endpoint_id == id)
                && filter.of.event_id().is_none_or(|id| record.event_id == id)
                && filter.has_type(&record.event_type)
                && filter.channel.as_ref().is_none_or(has_channel)
                && filter.from.is_none_or(|from| record.created_at >= from)
                && filter.to.is_none_or(|to| record.created_at < to)
        })
    }

    pub(super) fn list_attempts(
        &self,
        organization_id: OrganizationId,
        filter: &AttemptFilter,
        page: AttemptPageRequest,
    ) -> EdgePage<ListedAttempt, AttemptPosition> {
        let mut all = Vec::new();
        for delivery in self.listed(organization_id, &filter.deliveries) {
            let record = &delivery.record;
            let url = self.endpoint(organization_id, record.endpoint_id).map(|endpoint| endpoint.url.to_string());
            all.extend(delivery.attempts.iter().filter(|attempt| filter.has_code(attempt.response_code)).map(
                |attempt| ListedAttempt {
                    at: AttemptPosition { delivery_id: record.id, number: attempt.number },
                    event_id: record.event_id,
                    endpoint_id: record.endpoint_id,
                    url: url.clone(),
                    event_type: record.event_type.clone(),
                    is_manual: is_manual(attempt.number, delivery.attempts_before_round),
                    started_at: attempt.started_at,
                    duration_ms: attempt.duration_ms,
                    response_code: attempt.response_code,
                    error: attempt.error.clone(),
                    response_body: attempt.response_body.clone().filter(|_| page.with_response),
                },
            ));
        }
        page_at(all, |attempt| attempt.at, page.edge, page.limit)
    }

    pub(super) fn list_messages(
        &self,
        organization_id: OrganizationId,
        filter: &ListFilter,
        page: &MessagePageRequest,
    ) -> EdgePage<Message, DeliveryId> {
        let wanted = |delivery: &&MemoryDelivery| {
            let succeeded = delivery.record.status == DeliveryStatus::Success
                || delivery.attempts.iter().any(|attempt| is_success(attempt.response_code));
            (page.statuses.is_empty() || page.statuses.contains(&delivery.record.status))
                && page.succeeded.is_none_or(|wanted| wanted == succeeded)
        };
        let all = self.listed(organization_id, filter).filter(wanted).filter_map(|delivery| {
            let (event, _) = self.events.get(&delivery.record.event_id)?;
            let labels = self.labels.get(&event.id);
            Some(Message {
                delivery: delivery.record.clone(),
                occurred_at: event.occurred_at,
                accepted_at: event.accepted_at,
                labels: labels.map(|labels| EventLabels::clone(labels)).unwrap_or_default(),
                body: page.with_body.then(|| event.body.clone()),
            })
        });
        page_at(all.collect(), |message| message.delivery.id, page.edge, page.limit)
    }
}
