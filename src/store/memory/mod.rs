//! The reference: the same store in memory, as plain as it can be. Nothing is indexed and nothing survives;
//! the conformance suite holds the databases to what this one does, and tests of other parts run on it.

mod state;
mod statistics;
mod verbs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::{MemoryState, RecordedOutcome, page_of, passes};
use super::{
    AgendaRow, Checkpoint, CommitReport, DeliveryDetail, DuePage, DueRequest, EndpointStart, EventCommit,
    EventDetail, LogPage, MadeDue, NewEvent, PageRequest, PruneReport, QueuePosition, ReplayTargets,
    RequeueOutcome, RequeueRange, RequeuedPage, Store, StoreError, StoreResult, WriteBatch,
};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus, QueuedDelivery};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::event_types::OwnEventType;
use crate::domain::health::{EndpointHealth, EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

/// [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<MemoryState>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        let mut state = self.state();
        if state.organizations.contains_key(&organization.id) {
            return Err(StoreError::Conflict);
        }
        state.organizations.insert(organization.id, organization.clone());
        Ok(())
    }

    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        let state = self.state();
        Ok(page_of(state.organizations.values(), |item| item.id.0, page).into_iter().cloned().collect())
    }

    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        Ok(self.state().organizations.get(&id).cloned())
    }

    fn delete_organization(&self, id: OrganizationId, _now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>> {
        let mut state = self.state();
        if state.organizations.remove(&id).is_none() {
            return Ok(None);
        }
        let owned = state.endpoints.values().filter(|endpoint| endpoint.organization_id == id);
        let endpoints = owned.map(|endpoint| endpoint.id).collect();
        state.keys.retain(|_, key| key.organization_id != id);
        state.endpoints.retain(|_, endpoint| endpoint.organization_id != id);
        state.health.retain(|_, health| health.organization_id != id);
        state.failures.retain(|_, failure| failure.organization_id != id);
        state.events.retain(|_, (event, _)| event.organization_id != id);
        state.deliveries.retain(|_, delivery| delivery.record.organization_id != id);
        state.event_types.retain(|(organization_id, _), _| *organization_id != id);
        state.idempotency.retain(|(organization_id, _), _| *organization_id != id);
        state.statistics.retain(|(_, organization_id, _), _| *organization_id != id);
        Ok(Some(endpoints))
    }

    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        let mut state = self.state();
        if state.keys.values().any(|other| other.id == key.id || other.hash == key.hash) {
            return Err(StoreError::Conflict);
        }
        state.keys.insert(key.id, key.clone());
        Ok(())
    }

    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        let state = self.state();
        let own = state.keys.values().filter(|key| key.organization_id == organization_id);
        Ok(page_of(own, |key| key.id.0, page).into_iter().cloned().collect())
    }

    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        let mut state = self.state();
        if state.keys.get(&id).is_none_or(|key| key.organization_id != organization_id) {
            return Ok(None);
        }
        Ok(state.keys.remove(&id).map(|key| key.hash))
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        Ok(self.state().keys.values().find(|key| key.hash == *hash).cloned())
    }

    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        let mut state = self.state();
        if state.endpoints.contains_key(&endpoint.id) {
            return Err(StoreError::Conflict);
        }
        state.endpoints.insert(endpoint.id, endpoint.clone());
        Ok(())
    }

    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>> {
        let state = self.state();
        let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        let page = page_of(own, |endpoint| endpoint.id.0, page);
        Ok(page.into_iter().map(|endpoint| state.start(endpoint)).collect())
    }

    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>> {
        let state = self.state();
        Ok(state.endpoint(organization_id, id).map(|endpoint| state.start(endpoint)))
    }

    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        let mut state = self.state();
        let read = state.endpoint(endpoint.organization_id, endpoint.id);
        let Some(read) = read.filter(|read| read.version == endpoint.version - 1) else {
            return Err(StoreError::Conflict);
        };
        if read.url != endpoint.url || (endpoint.active && !read.active) {
            state.health.remove(&endpoint.id);
        }
        state.endpoints.insert(endpoint.id, endpoint.clone());
        Ok(())
    }

    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        let mut state = self.state();
        if state.endpoint(organization_id, id).is_none() {
            return Ok(None);
        }
        state.endpoints.remove(&id);
        state.health.remove(&id);
        state.failures.remove(&id);
        state.largest_deleted = state.largest_deleted.max(id.0);
        Ok(Some(state.cancel(organization_id, id, now)))
    }

    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let mut state = self.state();
        let is_known = |new: &NewEvent| {
            state.events.contains_key(&new.event.id)
                || new.deliveries.iter().any(|(id, _)| state.deliveries.contains_key(id))
        };
        if batch.events.iter().any(is_known) {
            return Err(StoreError::Conflict);
        }
        let (mut disabled, mut withheld) = (Vec::new(), Vec::new());
        for disable in &batch.disable {
            match state.disable(disable, now) {
                Some(endpoint) => disabled.push(endpoint),
                None => withheld.extend(disable.announced_by),
            }
        }
        let mut store = |new: &NewEvent| match withheld.contains(&new.event.id) {
            true => EventCommit::Withheld,
            false => state.store_event(new, now),
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
        Ok(CommitReport { events, outcomes_recorded, after_cancellation, disabled })
    }

    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        Ok(Checkpoint::Done)
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
            if page.more || request.known.contains(&delivery.record.id) {
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
                due_at: delivery.due_at,
                event: Arc::clone(event),
                follow_up: None,
            });
        }
        Ok(page)
    }

    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        Ok(self.state().cancel(organization_id, endpoint_id, now))
    }

    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()> {
        let mut state = self.state();
        let health = state.health.get_mut(&endpoint_id);
        if let Some(health) = health.filter(|health| health.organization_id == organization_id) {
            health.probe_at = None;
            health.pauses = 0;
        }
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
        Ok(self.state().make_due(organization_id, endpoint_id, after, limit, now))
    }

    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage> {
        let state = self.state();
        let own = state
            .deliveries
            .values()
            .map(|delivery| &delivery.record)
            .filter(|record| record.organization_id == organization_id && passes(filter, record));
        let rows = page_of(own, |record| record.id.0, page).into_iter().cloned().collect();
        Ok(LogPage { rows, next_before: None })
    }

    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        let state = self.state();
        let found = state.deliveries.get(&id).filter(|found| found.record.organization_id == organization_id);
        Ok(found.and_then(|delivery| {
            let (event, _) = state.events.get(&delivery.record.event_id)?;
            Some(DeliveryDetail {
                record: delivery.record.clone(),
                body: event.body.clone(),
                attempts: delivery.attempts.clone(),
            })
        }))
    }

    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        Ok(self.state().requeue_delivery(organization_id, id, now))
    }

    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage> {
        let mut state = self.state();
        let mut found = state.in_range(organization_id, endpoint_id, range, after);
        found.truncate(limit);
        found.iter().for_each(|id| state.requeue(*id, now));
        let next = found.last().copied().filter(|_| found.len() == limit);
        Ok(RequeuedPage { deliveries: found.len(), next })
    }

    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
    ) -> StoreResult<usize> {
        Ok(self.state().in_range(organization_id, endpoint_id, range, None).len())
    }

    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        Ok(self.state().replay_event(organization_id, id, targets, next_id, now))
    }

    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>> {
        Ok(self.state().list_events(organization_id, filter, page))
    }

    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>> {
        Ok(self.state().event_detail(organization_id, id))
    }

    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()> {
        let mut state = self.state();
        let key = (event_type.organization_id, event_type.name.clone());
        if state.event_types.contains_key(&key) {
            return Err(StoreError::Conflict);
        }
        state.event_types.insert(key, event_type.clone());
        Ok(())
    }

    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>> {
        let state = self.state();
        let own = state.event_types.values().filter(|own| own.organization_id == organization_id);
        Ok(own.cloned().collect())
    }

    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        Ok(self.state().event_types.remove(&(organization_id, name.to_owned())).is_some())
    }

    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        Ok(self.state().pending(organization_id, endpoint_id))
    }

    fn recent_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> StoreResult<Vec<FinishedDelivery>> {
        Ok(self.state().recent(organization_id, endpoint_id, since, limit))
    }

    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates> {
        Ok(self.state().endpoint_states(organization_id))
    }

    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        let state = self.state();
        let found = state.failures.get(&endpoint_id);
        Ok(found.filter(|failure| failure.organization_id == organization_id).cloned())
    }

    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        Ok(self.state().organization_statistics(organization_id, since))
    }

    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        Ok(self.state().endpoint_statistics(organization_id, endpoint_ids, since))
    }

    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        Ok(self.state().prune(before, after, limit))
    }

    fn prune_endpoints(
        &self,
        _settled_before: UnixMillis,
        _after: Option<EndpointId>,
        _limit: usize,
    ) -> StoreResult<Option<EndpointId>> {
        // here nothing is left of one that was deleted
        Ok(None)
    }

    fn purge_organizations(&self, _settled_before: UnixMillis, _limit: usize) -> StoreResult<bool> {
        // here a deletion costs nobody anything, and takes everything with it
        Ok(false)
    }

    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        Ok(self.state().prune_idempotency_keys(before, limit))
    }

    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        Ok(self.state().prune_statistics(before, limit))
    }

    fn failing_before(&self, instant: UnixMillis, limit: usize) -> StoreResult<Vec<EndpointHealth>> {
        Ok(self.state().failing_before(instant, limit))
    }

    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<OwnEventType>> {
        let state = self.state();
        let following = state
            .event_types
            .values()
            .filter(|own| after.is_none_or(|a| (own.organization_id, own.name.as_str()) > a));
        Ok(following.take(limit).cloned().collect())
    }

    fn largest_id(&self) -> StoreResult<i64> {
        let state = self.state();
        let largest = [
            state.organizations.keys().next_back().map(|id| id.0),
            state.keys.keys().next_back().map(|id| id.0),
            state.endpoints.keys().next_back().map(|id| id.0),
            state.events.keys().next_back().map(|id| id.0),
            state.deliveries.keys().next_back().map(|id| id.0),
            Some(state.largest_deleted),
        ];
        Ok(largest.into_iter().flatten().max().unwrap_or(0))
    }

    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        let state = self.state();
        let following = state.endpoints.values().filter(|endpoint| after.is_none_or(|after| endpoint.id > after));
        Ok(following.take(limit).cloned().collect())
    }

    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>> {
        let state = self.state();
        let mut agenda: BTreeMap<EndpointId, AgendaRow> = BTreeMap::new();
        for delivery in state.deliveries.values() {
            let record = &delivery.record;
            if record.status != DeliveryStatus::Pending || after.is_some_and(|after| record.endpoint_id <= after) {
                continue;
            }
            let (endpoint_id, organization_id) = (record.endpoint_id, record.organization_id);
            let row = AgendaRow { endpoint_id, organization_id, due_at: delivery.queued_at };
            let earliest = agenda.entry(endpoint_id).or_insert(row);
            earliest.due_at = earliest.due_at.min(delivery.queued_at);
        }
        Ok(agenda.into_values().take(limit).collect())
    }

    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>> {
        Ok(self.state().health.values().filter(|health| health.probe_at.is_some()).copied().collect())
    }

    fn count_pending(&self) -> StoreResult<u64> {
        let state = self.state();
        let pending =
            state.deliveries.values().filter(|delivery| delivery.record.status == DeliveryStatus::Pending);
        Ok(pending.count() as u64)
    }

    fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}
