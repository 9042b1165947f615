//! The nodes that share a memory: each has a handle of its own. A memory that is not shared has one node, which owns
//! everything.
//!
//! What is one transaction in PostgreSQL is one lock here, so nothing can be under way while a fence is moved.

use std::sync::MutexGuard;

use super::super::cluster::OnlyNode;
use super::super::{Beat, ChangeNumber, ClusterStore, ClusterView, Joining, Ownership, StoreError, StoreResult};
use super::MemoryStore;
use super::cluster_rows::{ClusterRows, Right};
use super::state::MemoryState;
use crate::domain::cluster::{Member, MemberState, Partition, Pin, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};

impl MemoryStore {
    /// The place that this handle has among those that share the memory, and which time it is that somebody has this place;
    /// `None` when it may not write.
    pub fn held_place(&self) -> Option<(Slot, i64)> {
        let right = *self.place.as_ref()?.right.lock();
        match right {
            Right::Under(fence) => self.state().cluster.is_held(fence).then_some((fence.slot, fence.generation)),
            Right::Unbound | Right::Ended => None,
        }
    }

    /// To change something: under the fence of a handle that has joined.
    pub(super) fn writing(&self) -> StoreResult<MutexGuard<'_, MemoryState>> {
        let state = self.state();
        match self.place.as_ref().map_or(Right::Unbound, |place| *place.right.lock()) {
            Right::Unbound => Ok(state),
            Right::Under(fence) if state.cluster.is_held(fence) => Ok(state),
            Right::Under(_) | Right::Ended => Err(StoreError::Fenced),
        }
    }

    /// The rows of a memory that is shared.
    fn shared_rows(&self, change: impl FnOnce(&mut ClusterRows)) {
        if self.place.is_some() {
            change(&mut self.state().cluster);
        }
    }
}

impl ClusterStore for MemoryStore {
    fn members(&self) -> StoreResult<Vec<Member>> {
        Ok(self.state().cluster.members.values().cloned().collect())
    }

    fn join(&self, joining: &Joining) -> StoreResult<Slot> {
        let Some(place) = &self.place else { return Ok(self.node.join(joining)) };
        let fence = self.state().cluster.join(joining)?;
        *place.right.lock() = Right::Under(fence);
        Ok(fence.slot)
    }

    fn beat(&self, beat: &Beat) -> StoreResult<ClusterView> {
        let mut state = self.state();
        let last_change = state.changes.last().map_or(ChangeNumber::default(), |line| line.number);
        let Some(place) = &self.place else { return self.node.beat(beat, last_change) };
        state.cluster.beat(place.fence()?, beat)?;
        Ok(ClusterView {
            members: state.cluster.members.values().cloned().collect(),
            clock: Some(place.clock.now()),
            last_change,
            map_version: state.cluster.version,
        })
    }

    fn ownership(&self) -> StoreResult<Ownership> {
        if self.place.is_none() {
            return Ok(OnlyNode::ownership());
        }
        let rows = &self.state().cluster;
        Ok(Ownership { version: rows.version, map: rows.map.clone(), pins: rows.pins.values().copied().collect() })
    }

    fn fence(&self, dead: &Member, moves: &[(Partition, Slot)]) -> StoreResult<bool> {
        Ok(self.place.is_some() && self.state().cluster.fence(dead, moves))
    }

    fn claim(&self, moves: &[(Partition, Slot)]) -> StoreResult<()> {
        self.shared_rows(|rows| {
            for (partition, to) in moves {
                if !rows.map.owner(*partition).is_some_and(|owner| rows.has_rights(owner)) {
                    rows.map.set(*partition, Some(*to), None);
                }
            }
            rows.version += 1;
        });
        Ok(())
    }

    fn order_moves(&self, moves: &[(Partition, Slot)]) -> StoreResult<()> {
        self.shared_rows(|rows| {
            for (partition, to) in moves {
                let owner = rows.map.owner(*partition);
                rows.map.set(*partition, owner, Some(*to).filter(|to| owner != Some(*to)));
            }
            rows.version += 1;
        });
        Ok(())
    }

    fn hand_over(
        &self,
        moves: &[(Partition, Option<Slot>)],
        busy: &[(EndpointId, OrganizationId)],
    ) -> StoreResult<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let rows = &mut self.writing()?.cluster;
        let slot = place.fence()?.slot;
        for &(endpoint_id, organization_id) in busy {
            rows.pins.entry(endpoint_id).or_insert(Pin { endpoint_id, organization_id, slot });
        }
        moves.iter().for_each(|(partition, to)| rows.give(*partition, *to, slot));
        rows.version += 1;
        Ok(())
    }

    fn unpin(&self, endpoints: &[EndpointId]) -> StoreResult<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let rows = &mut self.writing()?.cluster;
        let slot = place.fence()?.slot;
        rows.pins.retain(|id, pin| pin.slot != slot || !endpoints.contains(id));
        rows.version += 1;
        Ok(())
    }

    fn ask_to_look(&self, slots: &[Slot]) -> StoreResult<()> {
        self.shared_rows(|rows| {
            for slot in slots {
                if let Some(member) = rows.members.get_mut(slot) {
                    member.looks += 1;
                }
            }
        });
        Ok(())
    }

    fn leave(&self) -> StoreResult<()> {
        let Some(place) = &self.place else {
            self.node.leave();
            return Ok(());
        };
        let fence = match *place.right.lock() {
            Right::Under(fence) => fence,
            Right::Unbound | Right::Ended => return Ok(()),
        };
        let rows = &mut self.writing()?.cluster;
        if let Some(member) = rows.members.get_mut(&fence.slot) {
            member.state = MemberState::Gone;
        }
        rows.disown(fence.slot);
        rows.move_fence(fence.slot);
        *place.right.lock() = Right::Ended;
        Ok(())
    }
}
