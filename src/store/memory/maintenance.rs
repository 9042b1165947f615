//! What the engine does for all organizations, in memory.

use std::collections::BTreeMap;

use super::super::{AgendaRow, DatabaseSize, MaintenanceStore, PruneReport, StoreResult};
use super::MemoryStore;
use super::state::MemoryState;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::DefinedEventType;
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

impl MaintenanceStore for MemoryStore {
    fn largest_id(&self) -> StoreResult<i64> {
        let state = self.state();
        let largest = [
            state.organizations.keys().next_back().map(|id| id.0),
            state.keys.keys().next_back().map(|id| id.0),
            state.endpoints.keys().next_back().map(|id| id.0),
            state.events.keys().next_back().map(|id| id.0),
            state.deliveries.keys().next_back().map(|id| id.0),
            state.audit_log.keys().next_back().map(|id| id.0),
            Some(state.largest_deleted),
        ];
        Ok(largest.into_iter().flatten().max().unwrap_or(0))
    }

    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        let state = self.state();
        let following = state.endpoints.values().filter(|endpoint| after.is_none_or(|after| endpoint.id > after));
        Ok(following.take(limit).cloned().collect())
    }

    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<DefinedEventType>> {
        let state = self.state();
        let following = state
            .event_types
            .values()
            .filter(|own| after.is_none_or(|a| (own.organization_id, own.name.as_str()) > a));
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

    fn count_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<u64> {
        let state = self.state();
        let pending = state.deliveries.values().filter(|delivery| {
            delivery.record.status == DeliveryStatus::Pending && is_counted(delivery.record.endpoint_id)
        });
        Ok(pending.count() as u64)
    }

    fn oldest_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<Option<UnixMillis>> {
        let state = self.state();
        let records = state.deliveries.values().map(|delivery| &delivery.record);
        let pending = records.filter(|record| record.status == DeliveryStatus::Pending);
        // the first in the order of the ids
        Ok(pending.filter(|record| is_counted(record.endpoint_id)).map(|record| record.created_at).next())
    }

    fn scan_states(
        &self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Vec<(EndpointId, EndpointState)>> {
        let state = self.state();
        let following = state.endpoints.values().filter(|endpoint| after.is_none_or(|after| endpoint.id > after));
        let of = |endpoint: &Endpoint| (endpoint.id, EndpointState::of(endpoint, state.health.get(&endpoint.id)));
        Ok(following.take(limit).map(of).collect())
    }

    fn size(&self) -> StoreResult<DatabaseSize> {
        Ok(DatabaseSize::default())
    }

    fn ping(&self) -> StoreResult<()> {
        Ok(())
    }

    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        Ok(self.writing()?.prune(before, after, limit))
    }

    fn prune_endpoints(
        &self,
        _settled_before: UnixMillis,
        _after: Option<EndpointId>,
        _limit: usize,
    ) -> StoreResult<Option<EndpointId>> {
        // nothing is left of a deleted endpoint here
        Ok(None)
    }

    fn purge_organizations(&self, _settled_before: UnixMillis, _limit: usize) -> StoreResult<bool> {
        // a deletion removes everything at once here: nobody waits for it
        Ok(false)
    }

    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        Ok(self.writing()?.prune_idempotency_keys(before, limit))
    }

    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        Ok(self.writing()?.prune_statistics(before, limit))
    }
}

impl MemoryState {
    fn prune(&mut self, before: UnixMillis, after: Option<EventId>, limit: usize) -> PruneReport {
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
        let reached = page.last().map(|last| self.events[last].0.accepted_at);
        let mut report = PruneReport { reached, next, ..PruneReport::default() };
        for id in page {
            let mut of_event = self.deliveries.values().filter(|delivery| delivery.record.event_id == id);
            if of_event.any(|delivery| delivery.record.status == DeliveryStatus::Pending) {
                continue;
            }
            self.events.remove(&id);
            self.labels.remove(&id);
            report.events += 1;
            let before = self.deliveries.len();
            self.deliveries.retain(|_, delivery| delivery.record.event_id != id);
            report.deliveries += before - self.deliveries.len();
        }
        report
    }

    fn prune_idempotency_keys(&mut self, before: UnixMillis, limit: usize) -> usize {
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
