//! Sending again, events, conditions and pruning in memory.

use std::sync::Arc;

use super::super::{
    EventDetail, MadeDue, PageRequest, PruneReport, QueuePosition, ReplayTargets, RequeueOutcome, RequeueRange,
};
use super::state::{MemoryDelivery, MemoryState, page_of};
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::event::{Event, EventFilter, EventRecord};
use crate::domain::health::{EndpointHealth, EndpointState, EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

impl MemoryState {
    // ---- sending again

    pub(super) fn requeue_delivery(
        &mut self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> RequeueOutcome {
        let found = self.deliveries.get(&id).map(|delivery| &delivery.record);
        let Some(record) = found.filter(|record| record.organization_id == organization_id) else {
            return RequeueOutcome::NotFound;
        };
        let (endpoint_id, status) = (record.endpoint_id, record.status);
        if self.endpoint(organization_id, endpoint_id).is_none() {
            return RequeueOutcome::WebhookGone;
        }
        if status == DeliveryStatus::Pending {
            return RequeueOutcome::StillPending;
        }
        self.requeue(id, now);
        RequeueOutcome::Requeued { endpoint_id }
    }

    /// A new round for a delivery in a final status.
    pub(super) fn requeue(&mut self, id: DeliveryId, now: UnixMillis) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.record.status = DeliveryStatus::Pending;
        delivery.record.finished_at = None;
        delivery.record.next_attempt_at = Some(now);
        delivery.queued_at = now;
        delivery.due_at = now;
        delivery.attempts_before_round = delivery.record.attempt_count;
    }

    pub(super) fn make_due(
        &mut self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> MadeDue {
        let queue = self.queue(organization_id, endpoint_id);
        let places = queue.iter().map(|delivery| (delivery.queued_at, delivery.record.id));
        let page: Vec<(UnixMillis, DeliveryId)> = match after {
            None => places.filter(|(queued_at, _)| *queued_at <= now).take(limit).collect(),
            Some(after) => places.filter(|place| *place > (after.queued_at, after.id)).take(limit).collect(),
        };
        let mut deliveries = 0;
        for (_, id) in &page {
            let Some(delivery) = self.deliveries.get_mut(id).filter(|delivery| delivery.due_at > now) else {
                continue;
            };
            delivery.due_at = now;
            delivery.queued_at = delivery.queued_at.min(now);
            delivery.record.next_attempt_at = Some(now);
            deliveries += 1;
        }
        let last = page.last().filter(|_| page.len() == limit);
        let next = match after {
            None => Some(QueuePosition { queued_at: now, id: DeliveryId(i64::MAX) }),
            Some(_) => last.map(|&(queued_at, id)| QueuePosition { queued_at, id }),
        };
        MadeDue { deliveries, next }
    }

    /// The deliveries of a range, oldest first.
    pub(super) fn in_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
    ) -> Vec<DeliveryId> {
        if self.endpoint(organization_id, endpoint_id).is_none() || !range.is_final() {
            return Vec::new();
        }
        let records = self.deliveries.values().map(|delivery| &delivery.record);
        records
            .filter(|record| record.organization_id == organization_id && record.endpoint_id == endpoint_id)
            .filter(|record| record.status == range.status && after.is_none_or(|after| record.id > after))
            .filter(|record| record.created_at >= range.since && record.created_at < range.until)
            .map(|record| record.id)
            .collect()
    }

    pub(super) fn replay_event(
        &mut self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> Option<Vec<EndpointId>> {
        let (event, _) = self.events.get(&id).filter(|(event, _)| event.organization_id == organization_id)?;
        let event = Arc::clone(event);
        let mut endpoints = match targets {
            ReplayTargets::Endpoints(endpoints) => endpoints.clone(),
            ReplayTargets::Delivered => self.of_event(&event).map(|record| record.endpoint_id).collect(),
        };
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints.retain(|endpoint_id| self.endpoint(organization_id, *endpoint_id).is_some());
        for &endpoint_id in &endpoints {
            self.replay_to(&event, endpoint_id, next_id, now);
        }
        Some(endpoints)
    }

    fn replay_to(
        &mut self,
        event: &Event,
        endpoint_id: EndpointId,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) {
        let existing: Vec<(DeliveryId, DeliveryStatus)> = self
            .of_event(event)
            .filter(|record| record.endpoint_id == endpoint_id)
            .map(|record| (record.id, record.status))
            .collect();
        if existing.iter().any(|(_, status)| *status == DeliveryStatus::Pending) {
            return;
        }
        if let Some(&(id, _)) = existing.first() {
            self.requeue(id, now);
            return;
        }
        let id = DeliveryId(next_id());
        let delivery = MemoryDelivery { replayed: true, ..MemoryDelivery::new(event, id, endpoint_id, now) };
        self.deliveries.insert(id, delivery);
    }

    fn of_event(&self, event: &Event) -> impl Iterator<Item = &DeliveryRecord> {
        let id = event.id;
        self.deliveries.values().map(|delivery| &delivery.record).filter(move |record| record.event_id == id)
    }

    // ---- events

    fn event_record(&self, event: &Event, deliveries: usize) -> EventRecord {
        let of_replays = self.deliveries.values().filter(|delivery| delivery.replayed);
        let replayed = of_replays.filter(|delivery| delivery.record.event_id == event.id).count();
        EventRecord {
            id: event.id,
            event_type: event.event_type.clone(),
            occurred_at: event.occurred_at,
            accepted_at: event.accepted_at,
            deliveries: deliveries + replayed,
        }
    }

    pub(super) fn list_events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Vec<EventRecord> {
        let own = self.events.values().filter(|(event, _)| {
            event.organization_id == organization_id
                && filter.event_type.as_ref().is_none_or(|event_type| event.event_type == *event_type)
                && filter.from.is_none_or(|from| event.accepted_at >= from)
                && filter.to.is_none_or(|to| event.accepted_at < to)
        });
        let page = page_of(own, |(event, _)| event.id.0, page);
        page.into_iter().map(|(event, deliveries)| self.event_record(event, *deliveries)).collect()
    }

    pub(super) fn event_detail(&self, organization_id: OrganizationId, id: EventId) -> Option<EventDetail> {
        let (event, deliveries) = self.events.get(&id)?;
        (event.organization_id == organization_id).then(|| EventDetail {
            record: self.event_record(event, *deliveries),
            body: event.body.clone(),
            deliveries: self.of_event(event).cloned().collect(),
        })
    }

    // ---- conditions

    fn of(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> impl DoubleEndedIterator<Item = &MemoryDelivery> {
        self.deliveries.values().filter(move |delivery| {
            delivery.record.organization_id == organization_id
                && endpoint_id.is_none_or(|id| delivery.record.endpoint_id == id)
        })
    }

    pub(super) fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> PendingStats {
        let pending = || {
            let records = self.of(organization_id, endpoint_id).map(|delivery| &delivery.record);
            records.filter(|record| record.status == DeliveryStatus::Pending)
        };
        PendingStats {
            pending: pending().count() as u64,
            oldest_pending_at: pending().next().map(|record| record.created_at),
        }
    }

    pub(super) fn recent(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> Vec<FinishedDelivery> {
        let recent = self.of(organization_id, endpoint_id).rev();
        let recent = recent.filter(|delivery| delivery.record.created_at >= since);
        let finished = recent.filter_map(|delivery| {
            let record = &delivery.record;
            let counts = matches!(record.status, DeliveryStatus::Success | DeliveryStatus::Failed);
            Some(FinishedDelivery {
                id: record.id,
                status: record.status,
                created_at: record.created_at,
                finished_at: record.finished_at.filter(|_| counts)?,
                last_duration_ms: delivery.attempts.last().map_or(0, |attempt| attempt.duration_ms),
            })
        });
        finished.take(limit).collect()
    }

    pub(super) fn endpoint_states(&self, organization_id: OrganizationId) -> EndpointStates {
        let mut states = EndpointStates::default();
        for endpoint in self.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id) {
            states.count(EndpointState::of(endpoint, self.health.get(&endpoint.id)));
        }
        states
    }

    pub(super) fn failing_before(&self, instant: UnixMillis, limit: usize) -> Vec<EndpointHealth> {
        let is_active = |id| self.endpoints.get(id).is_some_and(|endpoint| endpoint.active);
        let mut failing: Vec<EndpointHealth> = self
            .health
            .values()
            .filter(|health| health.failing_since.is_some_and(|since| since <= instant))
            .filter(|health| is_active(&health.endpoint_id))
            .copied()
            .collect();
        failing.sort_by_key(|health| (health.failing_since, health.endpoint_id));
        failing.truncate(limit);
        failing
    }

    // ---- pruning

    pub(super) fn prune(&mut self, before: UnixMillis, after: Option<EventId>, limit: usize) -> PruneReport {
        if after.is_none() {
            let mut old: Vec<_> =
                self.failures.values().map(|failure| (failure.at, failure.endpoint_id)).collect();
            old.retain(|(at, _)| *at < before);
            old.sort_unstable();
            old.iter().take(limit).for_each(|(_, id)| drop(self.failures.remove(id)));
        }
        let old = self.events.values().filter(|(event, _)| event.accepted_at < before);
        let old = old.map(|(event, _)| event.id).filter(|id| after.is_none_or(|after| *id > after));
        let page: Vec<EventId> = old.take(limit).collect();
        let next = page.last().copied().filter(|_| page.len() == limit);
        let mut report = PruneReport { next, ..PruneReport::default() };
        for id in page {
            let mut of_event = self.deliveries.values().filter(|delivery| delivery.record.event_id == id);
            if of_event.any(|delivery| delivery.record.status == DeliveryStatus::Pending) {
                continue;
            }
            self.events.remove(&id);
            report.events += 1;
            let before = self.deliveries.len();
            self.deliveries.retain(|_, delivery| delivery.record.event_id != id);
            report.deliveries += before - self.deliveries.len();
        }
        report
    }

    pub(super) fn prune_idempotency_keys(&mut self, before: UnixMillis, limit: usize) -> usize {
        let mut old: Vec<_> = self
            .idempotency
            .iter()
            .filter(|(_, used)| used.created_at < before)
            .map(|((organization_id, key), used)| (used.created_at, *organization_id, key.clone()))
            .collect();
        old.sort();
        old.truncate(limit);
        for (_, organization_id, key) in &old {
            self.idempotency.remove(&(*organization_id, key.clone()));
        }
        old.len()
    }
}
