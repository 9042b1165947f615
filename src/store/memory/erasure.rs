//! Erasure of payloads and responses in memory.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{CANCELLED_AT_ONCE, Changed, ErasureStep, ErasureStore, ExpiryStep, StoreResult};
use super::MemoryStore;
use super::state::MemoryState;
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

impl ErasureStore for MemoryStore {
    fn erase_payload(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        now: UnixMillis,
    ) -> StoreResult<Option<ErasureStep>> {
        let mut state = self.writing()?;
        match state.events.get(&id) {
            Some((event, _)) if event.organization_id != organization_id => return Ok(None),
            Some((event, _)) if event.body.is_empty() => {
                return Ok(Some(ErasureStep { cancelled: Vec::new(), is_done: true }));
            }
            Some(_) => {}
            None => return Ok(None),
        }
        let cancelled = state.cancel_pending_of(id, CANCELLED_AT_ONCE, now);
        let is_done = cancelled.len() < CANCELLED_AT_ONCE;
        if is_done {
            state.forget_body(id);
            self.record(&mut state);
            state.changed(organization_id, Changed::PayloadErased(id));
        }
        Ok(Some(ErasureStep { cancelled, is_done }))
    }

    fn erase_response(&self, organization_id: OrganizationId, id: DeliveryId, number: u32) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let found = state.deliveries.get_mut(&id).filter(|it| it.record.organization_id == organization_id);
        let Some(delivery) = found else { return Ok(false) };
        let endpoint_id = delivery.record.endpoint_id;
        let Some(attempt) = delivery.attempts.iter_mut().find(|it| it.number == number) else { return Ok(false) };
        let (headers, body) = (attempt.response_headers.take(), attempt.response_body.take());
        let mut changed = headers.is_some() || body.is_some();
        if let Some(failure) = state.failures.get_mut(&endpoint_id).filter(|failure| failure.delivery_id == id) {
            changed |= failure.excerpt.take().is_some();
        }
        if changed {
            self.record(&mut state);
        }
        Ok(true)
    }

    fn erase_expired_payloads(&self, now: UnixMillis, limit: usize) -> StoreResult<ExpiryStep> {
        let mut state = self.writing()?;
        let mut due: Vec<(UnixMillis, EventId)> = state
            .labels
            .iter()
            .filter_map(|(id, labels)| labels.erase_at.filter(|at| *at <= now).map(|at| (at, *id)))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        let mut step = ExpiryStep { has_more: due.len() == limit, ..ExpiryStep::default() };
        // as the databases do: locks are taken in the order of ids
        due.sort_unstable_by_key(|(_, id)| *id);
        for (_, id) in due {
            if !state.is_erased(id) {
                let room = CANCELLED_AT_ONCE - step.cancelled.len();
                let cancelled = state.cancel_pending_of(id, room, now);
                let owner = state.events.get(&id).map_or(OrganizationId(0), |(event, _)| event.organization_id);
                if !cancelled.is_empty() {
                    state.changed(owner, Changed::PayloadErased(id));
                }
                step.cancelled.extend(cancelled.into_iter().map(|endpoint_id| (owner, endpoint_id)));
                if step.cancelled.len() == CANCELLED_AT_ONCE {
                    step.has_more = true;
                    break;
                }
                state.forget_body(id);
                step.erased += 1;
            }
            if let Some(labels) = state.labels.get_mut(&id) {
                Arc::make_mut(labels).erase_at = None;
            }
        }
        Ok(step)
    }
}

impl MemoryState {
    /// Cancels pending deliveries of an event, at most `most`; returns their endpoints.
    fn cancel_pending_of(&mut self, id: EventId, most: usize, now: UnixMillis) -> Vec<EndpointId> {
        let of_event = self.deliveries.values_mut().map(|delivery| &mut delivery.record);
        let pending = of_event.filter(|record| record.event_id == id && record.status == DeliveryStatus::Pending);
        let cancel = |record: &mut DeliveryRecord| {
            record.status = DeliveryStatus::Cancelled;
            record.finished_at = Some(now);
            record.next_attempt_at = None;
            record.endpoint_id
        };
        pending.take(most).map(cancel).collect()
    }

    fn forget_body(&mut self, id: EventId) {
        let Some((event, _)) = self.events.get_mut(&id) else { return };
        let Event { organization_id, occurred_at, accepted_at, .. } = **event;
        let event_type = event.event_type.clone();
        *event = Arc::new(Event {
            id,
            organization_id,
            event_type,
            occurred_at,
            accepted_at,
            body: Bytes::new(),
            trace: None,
        });
    }

    /// Whether an event can't be sent any more.
    pub(super) fn is_erased(&self, id: EventId) -> bool {
        self.events.get(&id).is_some_and(|(event, _)| event.body.is_empty())
    }
}
