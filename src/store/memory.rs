//! The reference: the same store in memory, as plain as it can be. Nothing is indexed and nothing survives;
//! the conformance suite holds the databases to what this one does, and tests of other parts run on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::detail::StoredAttempt;
use super::models::id_bound;
use super::{
    AcceptedEvent, AgendaRow, CommitReport, DeliveryDetail, DuePage, DueRequest, EndpointStart, EventCommit,
    IDEMPOTENCY_KEY_LIFETIME, NewEvent, PageRequest, Store, StoreError, StoreResult, WriteBatch,
};
use crate::domain::attempt::{AttemptRecord, NextStep, Outcome};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus, QueuedDelivery};
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event::Event;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::time::UnixMillis;

/// [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    organizations: BTreeMap<OrganizationId, Organization>,
    keys: BTreeMap<KeyId, ApiKey>,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    health: BTreeMap<EndpointId, EndpointHealth>,
    events: BTreeMap<EventId, (Arc<Event>, usize)>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    idempotency: HashMap<(OrganizationId, String), UsedKey>,
    /// Ids of what was deleted count for [`Store::largest_id`].
    largest_deleted: i64,
}

struct Delivery {
    record: DeliveryRecord,
    queued_at: UnixMillis,
    due_at: UnixMillis,
    attempts: Vec<AttemptRecord>,
}

struct UsedKey {
    request_hash: [u8; 32],
    event_id: EventId,
    created_at: UnixMillis,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest first, from before `before_id`, at most `limit`.
fn page_of<'a, T: 'a>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    id: impl Fn(&T) -> i64,
    page: PageRequest,
) -> Vec<&'a T> {
    items.rev().filter(|item| page.before_id.is_none_or(|before| id(item) < before)).take(page.limit).collect()
}

impl State {
    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id).filter(|endpoint| endpoint.organization_id == organization_id)
    }

    fn start(&self, endpoint: &Endpoint) -> EndpointStart {
        let healthy = EndpointHealth::healthy(endpoint.organization_id, endpoint.id);
        let health = self.health.get(&endpoint.id).copied().unwrap_or(healthy);
        EndpointStart { endpoint: endpoint.clone(), health }
    }

    fn cancel(&mut self, organization_id: OrganizationId, endpoint_id: EndpointId, now: UnixMillis) -> usize {
        let mut cancelled = 0;
        for delivery in self.deliveries.values_mut() {
            let record = &mut delivery.record;
            if record.organization_id == organization_id
                && record.endpoint_id == endpoint_id
                && record.status == DeliveryStatus::Pending
            {
                record.status = DeliveryStatus::Cancelled;
                record.finished_at = Some(now);
                record.next_attempt_at = None;
                cancelled += 1;
            }
        }
        cancelled
    }

    fn store_event(&mut self, new: &NewEvent, now: UnixMillis) -> EventCommit {
        let organization_id = new.event.organization_id;
        if let Some(idempotency) = &new.idempotency {
            let key = (organization_id, idempotency.key.clone());
            let used = self.idempotency.get(&key).filter(|used| used.created_at > now - IDEMPOTENCY_KEY_LIFETIME);
            if let Some(used) = used {
                let first = self.events.get(&used.event_id);
                return match first {
                    Some((event, deliveries)) if used.request_hash == idempotency.request_hash => {
                        EventCommit::Replayed(AcceptedEvent {
                            id: event.id,
                            event_type: event.event_type.clone(),
                            occurred_at: event.occurred_at,
                            deliveries: *deliveries,
                        })
                    }
                    _ => EventCommit::KeyReused,
                };
            }
            let used = UsedKey { request_hash: idempotency.request_hash, event_id: new.event.id, created_at: now };
            self.idempotency.insert(key, used);
        }
        self.events.insert(new.event.id, (Arc::clone(&new.event), new.deliveries.len()));
        for &(id, endpoint_id) in &new.deliveries {
            let accepted_at = new.event.accepted_at;
            let record = DeliveryRecord {
                id,
                organization_id,
                event_id: new.event.id,
                endpoint_id,
                event_type: new.event.event_type.clone(),
                status: DeliveryStatus::Pending,
                attempt_count: 0,
                response_code: None,
                error: None,
                created_at: accepted_at,
                finished_at: None,
                next_attempt_at: Some(accepted_at),
            };
            let delivery = Delivery { record, queued_at: accepted_at, due_at: accepted_at, attempts: Vec::new() };
            self.deliveries.insert(id, delivery);
        }
        EventCommit::Stored
    }

    fn record(&mut self, outcome: &Outcome) -> StoreResult<bool> {
        let Some(delivery) = self.deliveries.get_mut(&outcome.delivery_id) else { return Ok(false) };
        let record = &mut delivery.record;
        if record.organization_id != outcome.organization_id
            || record.status != DeliveryStatus::Pending
            || record.attempt_count >= outcome.number
        {
            return Ok(false);
        }
        let attempt = StoredAttempt::of(outcome);
        record.attempt_count = outcome.number;
        record.response_code = attempt.response_code;
        record.error = attempt.error.clone();
        match outcome.next {
            NextStep::RetryAt(at) => {
                delivery.due_at = at;
                if !outcome.ordered {
                    delivery.queued_at = at;
                }
                record.next_attempt_at = Some(at);
            }
            NextStep::Succeeded | NextStep::Failed => {
                let succeeded = outcome.next == NextStep::Succeeded;
                record.status = if succeeded { DeliveryStatus::Success } else { DeliveryStatus::Failed };
                record.finished_at = Some(outcome.finished_at);
                record.next_attempt_at = None;
            }
        }
        let attempt = attempt.into_record().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        delivery.attempts.push(attempt);
        Ok(true)
    }

    fn save_health(&mut self, health: &EndpointHealth) {
        if self.endpoint(health.organization_id, health.endpoint_id).is_none() {
            return;
        }
        if health.is_healthy() {
            self.health.remove(&health.endpoint_id);
        } else {
            self.health.insert(health.endpoint_id, *health);
        }
    }

    fn disable_gone(&mut self, gone: (OrganizationId, EndpointId), now: UnixMillis) -> Option<Endpoint> {
        let endpoint = self
            .endpoints
            .get_mut(&gone.1)
            .filter(|endpoint| endpoint.organization_id == gone.0 && endpoint.active)?;
        endpoint.active = false;
        endpoint.disabled_reason = Some(DisabledReason::Gone);
        endpoint.disabled_at = Some(now);
        endpoint.updated_at = now;
        endpoint.version += 1;
        Some(endpoint.clone())
    }

    /// An endpoint's pending deliveries in queue order.
    fn queue(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> Vec<&Delivery> {
        let mut queue: Vec<&Delivery> = self
            .deliveries
            .values()
            .filter(|delivery| {
                let record = &delivery.record;
                record.organization_id == organization_id
                    && record.endpoint_id == endpoint_id
                    && record.status == DeliveryStatus::Pending
            })
            .collect();
        queue.sort_by_key(|delivery| (delivery.queued_at, delivery.record.id));
        queue
    }
}

fn passes(filter: &DeliveryFilter, record: &DeliveryRecord) -> bool {
    filter.endpoint_id.is_none_or(|id| record.endpoint_id == id)
        && filter.event_type.as_ref().is_none_or(|event_type| record.event_type == *event_type)
        && filter.status.is_none_or(|status| record.status == status)
        && filter
            .response_code
            .is_none_or(|(low, high)| record.response_code.is_some_and(|code| low <= code && code <= high))
        && filter.from.is_none_or(|from| record.id.0 >= id_bound(from))
        && filter.to.is_none_or(|to| record.id.0 < id_bound(to))
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

    fn delete_organization(&self, id: OrganizationId) -> StoreResult<Option<Vec<EndpointId>>> {
        let mut state = self.state();
        if state.organizations.remove(&id).is_none() {
            return Ok(None);
        }
        let owned = state.endpoints.values().filter(|endpoint| endpoint.organization_id == id);
        let endpoints = owned.map(|endpoint| endpoint.id).collect();
        state.keys.retain(|_, key| key.organization_id != id);
        state.endpoints.retain(|_, endpoint| endpoint.organization_id != id);
        state.health.retain(|_, health| health.organization_id != id);
        state.events.retain(|_, (event, _)| event.organization_id != id);
        state.deliveries.retain(|_, delivery| delivery.record.organization_id != id);
        state.idempotency.retain(|(organization_id, _), _| *organization_id != id);
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
        state.largest_deleted = state.largest_deleted.max(id.0);
        Ok(Some(state.cancel(organization_id, id, now)))
    }

    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        let mut state = self.state();
        if batch.events.iter().any(|new| state.events.contains_key(&new.event.id)) {
            return Err(StoreError::Conflict);
        }
        let events = batch.events.iter().map(|new| state.store_event(new, now)).collect();
        let outcomes_recorded =
            batch.outcomes.iter().map(|outcome| state.record(outcome)).collect::<StoreResult<_>>()?;
        batch.health.iter().for_each(|health| state.save_health(health));
        let disabled = batch.gone.iter().filter_map(|&gone| state.disable_gone(gone, now)).collect();
        Ok(CommitReport { events, outcomes_recorded, disabled })
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
            let too_large = !page.deliveries.is_empty() && bytes.saturating_add(added) > request.max_bytes;
            if page.deliveries.len() >= request.max_deliveries || too_large {
                page.more = true;
                continue;
            }
            bytes += added;
            page.deliveries.push(QueuedDelivery {
                id: delivery.record.id,
                attempts_made: delivery.record.attempt_count,
                due_at: delivery.due_at,
                event: Arc::clone(event),
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

    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        let state = self.state();
        let own = state
            .deliveries
            .values()
            .map(|delivery| &delivery.record)
            .filter(|record| record.organization_id == organization_id && passes(filter, record));
        Ok(page_of(own, |record| record.id.0, page).into_iter().cloned().collect())
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
