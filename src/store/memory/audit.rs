//! The log of changes in memory.

use std::sync::Arc;

use super::super::{AuditStore, PageRequest, Store, StoreResult};
use super::MemoryStore;
use super::state::{MemoryState, page_of};
use crate::domain::audit::AuditEntry;
use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;

impl MemoryStore {
    pub(super) fn record(&self, state: &mut MemoryState) {
        state.audit_log.extend(self.entry.clone().map(|entry| (entry.id, entry)));
    }
}

impl AuditStore for MemoryStore {
    fn recording(&self, entry: AuditEntry) -> Arc<dyn Store> {
        let (state, node) = (Arc::clone(&self.state), Arc::clone(&self.node));
        Arc::new(Self { state, node, place: self.place.clone(), entry: Some(entry) })
    }

    fn audit_log(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<AuditEntry>> {
        let state = self.state();
        let own = state.audit_log.values().filter(|entry| entry.organization_id == owner);
        Ok(page_of(own, |entry| entry.id.0, page).into_iter().cloned().collect())
    }

    fn prune_audit_log(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let old = state.audit_log.values().filter(|entry| entry.at < before);
        let old: Vec<_> = old.map(|entry| entry.id).take(limit).collect();
        old.iter().for_each(|id| drop(state.audit_log.remove(id)));
        Ok(old.len() >= limit)
    }
}
