//! The path of an event in memory.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::{
    Checkpoint, CommitReport, DuePage, DueRequest, EndpointStart, EventCommit, MadeDue, NewEvent, QueuePosition,
    QueueStore, StoreError, StoreResult, WriteBatch,
};
use super::MemoryStore;
use super::state::{MemoryDelivery, MemoryState, RecordedOutcome};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

impl QueueStore for MemoryStore {
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let mut state = self.writing()?;
        let is_known = |new: &NewEvent| {
            state.events.contains_key(&new.event.id)
                || new.deliveries.iter().any(|(id, _)| state.deliveries.contains_key(id))
        };
        if batch.events.iter().any(is_known) {
            return Err(StoreError::Conflict);
        }
        let changes = batch.matched_at.into_iter().flat_map(|matched_at| state.changes_since(matched_at));
        let outdated: HashSet<OrganizationId> = changes.map(|change| change.organization_id).collect();
        let (mut disabled, mut withheld) = (Vec::new(), Vec::new());
        for disable in &batch.disable {
            match state.disable(disable, now) {
                Some(endpoint) => disabled.push(endpoint),
                None => withheld.extend(disable.announced_by),
            }
        }
        let mut store = |new: &NewEvent| match new.event.organization_id {
            _ if withheld.contains(&new.event.id) => EventCommit::Withheld,
            id if outdated.contains(&id) => EventCommit::Outdated,
            _ => state.store_event(new, now),
        };
        let events = batch.events.iter().map(&mut store).collect();
        let (mut outcomes_recorded, mut after_cancellation) = (Vec::new(), Vec::new());
        for (place, outcome) in batch.outcomes.iter().enumerate() {
            let recorded = state.record(outcome)?;
            outcomes_recorded.push(recorded == RecordedOutcome::Decided);
            after_cancellation.extend((recorded == RecordedOutcome::AfterCancellation).then_some(place));
        }
        batch.health.iter().for_each(|saved| state.save_health(saved));
        batch.statistics.iter().for_each(|delta| state.add_statistics(delta));
        batch.failures.iter().for_each(|failure| state.save_failure(failure));
        state.tell_commit(batch, &disabled, &outcomes_recorded);
        Ok(CommitReport { events, outcomes_recorded, after_cancellation, disabled })
    }

    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        Ok(Checkpoint::Done)
    }

    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>> {
        let state = self.state();
        Ok(state.endpoint(organization_id, id).map(|endpoint| state.start(endpoint)))
    }

    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage> {
        let state = self.state();
        let mut page = DuePage::default();
        let mut bytes = 0usize;
        for delivery in state.queue(organization_id, endpoint_id) {
            if delivery.queued_at > request.now {
                page.next_due_at = Some(delivery.queued_at);
                break;
            }
            let position = QueuePosition { queued_at: delivery.queued_at, id: delivery.record.id };
            let is_behind = request.after < Some(position);
            if page.more || !is_behind || request.known.contains(&delivery.record.id) {
                continue;
            }
            let Some((event, _)) = state.events.get(&delivery.record.event_id) else { continue };
            let shared = page.deliveries.iter().any(|queued| queued.event.id == event.id);
            let added = if shared { 0 } else { event.body.len() };
            let too_large = !request.has_room_for(page.deliveries.len(), bytes, added);
            if page.deliveries.len() >= request.max_deliveries || too_large {
                page.more = true;
                continue;
            }
            bytes += added;
            page.deliveries.push(QueuedDelivery {
                id: delivery.record.id,
                attempts_made: delivery.record.attempt_count,
                attempts_not_counted: delivery.attempts_before_round,
                queued_at: delivery.queued_at,
                due_at: delivery.due_at,
                event: Arc::clone(event),
                follow_up: None,
            });
        }
        page.end = request.end(&page.deliveries, page.more);
        Ok(page)
    }

    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        Ok(self.writing()?.cancel(organization_id, endpoint_id, now))
    }

    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()> {
        let mut state = self.writing()?;
        let health = state.health.get_mut(&endpoint_id);
        if let Some(health) = health.filter(|health| health.organization_id == organization_id) {
            health.probe_at = None;
            health.pauses = 0;
        }
        self.record(&mut state);
        Ok(())
    }

    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue> {
        Ok(self.writing()?.make_due(organization_id, endpoint_id, after, limit, now))
    }
}

impl MemoryState {
    fn make_due(
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
            let is_retry =
                |delivery: &&mut MemoryDelivery| delivery.due_at > now && delivery.record.attempt_count > 0;
            let Some(delivery) = self.deliveries.get_mut(id).filter(is_retry) else { continue };
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
}
