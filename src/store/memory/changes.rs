//! The log of changed settings in memory.

use super::super::{ChangeNumber, ChangeStore, ChangesSince, StoreResult, TenantStore};
use super::MemoryStore;
use crate::domain::event_types::DefinedEventType;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::BodyShape;

impl ChangeStore for MemoryStore {
    fn wait_until_decided(&self) -> StoreResult<()> {
        Ok(())
    }

    fn last_change(&self) -> StoreResult<ChangeNumber> {
        Ok(self.state().changes.last().map_or(ChangeNumber::default(), |line| line.number))
    }

    fn changes_since(&self, after: ChangeNumber, limit: usize) -> StoreResult<ChangesSince> {
        let state = self.state();
        let lines = state.changes_since(after);
        Ok(ChangesSince::Lines(lines[..lines.len().min(limit)].to_vec()))
    }

    fn verbatim_organizations(&self) -> StoreResult<Vec<OrganizationId>> {
        let state = self.state();
        let verbatim = state.organizations.values().filter(|known| known.body == BodyShape::Verbatim);
        Ok(verbatim.map(|organization| organization.id).collect())
    }

    fn is_verbatim(&self, organization_id: OrganizationId) -> StoreResult<bool> {
        let found = self.organization(organization_id)?;
        Ok(found.is_some_and(|organization| organization.body == BodyShape::Verbatim))
    }

    fn event_types_now(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>> {
        self.own_event_types(organization_id)
    }
}
