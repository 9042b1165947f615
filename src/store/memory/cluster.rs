//! The memory has one node, which owns everything.

use super::super::cluster::OnlyNode;
use super::super::{Beat, ChangeStore, ClusterStore, ClusterView, Joining, Ownership, StoreResult};
use super::MemoryStore;
use crate::domain::cluster::{Member, Partition, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};

impl ClusterStore for MemoryStore {
    fn members(&self) -> StoreResult<Vec<Member>> {
        Ok(Vec::new())
    }

    fn join(&self, joining: &Joining) -> StoreResult<Slot> {
        Ok(self.node.join(joining))
    }

    fn beat(&self, beat: &Beat) -> StoreResult<ClusterView> {
        self.node.beat(beat, self.last_change()?)
    }

    fn ownership(&self) -> StoreResult<Ownership> {
        Ok(OnlyNode::ownership())
    }

    fn fence(&self, _: &Member, _: &[(Partition, Slot)]) -> StoreResult<bool> {
        Ok(false)
    }

    fn claim(&self, _: &[(Partition, Slot)]) -> StoreResult<()> {
        Ok(())
    }

    fn order_moves(&self, _: &[(Partition, Slot)]) -> StoreResult<()> {
        Ok(())
    }

    fn hand_over(&self, _: &[(Partition, Option<Slot>)], _: &[(EndpointId, OrganizationId)]) -> StoreResult<()> {
        Ok(())
    }

    fn unpin(&self, _: &[EndpointId]) -> StoreResult<()> {
        Ok(())
    }

    fn ask_to_look(&self, _: &[Slot]) -> StoreResult<()> {
        Ok(())
    }

    fn leave(&self) -> StoreResult<()> {
        self.node.leave();
        Ok(())
    }
}
