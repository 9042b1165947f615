//! The rows of a cluster in memory, and the right of each node to write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::{Beat, Joining, StoreError, StoreResult};
use crate::domain::cluster::{Member, MemberState, Partition, PartitionMap, Pin, Slot};
use crate::domain::ids::EndpointId;
use crate::domain::time::Clock;

/// The rows of the cluster.
#[derive(Default)]
pub(super) struct ClusterRows {
    pub(super) members: BTreeMap<Slot, Member>,
    /// The fences.
    generations: HashMap<Slot, i64>,
    pub(super) map: PartitionMap,
    pub(super) pins: BTreeMap<EndpointId, Pin>,
    /// Changes with every change of partitions or pins.
    pub(super) version: i64,
}

/// The right of one handle to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// It has not joined: it writes as a program beside the nodes does.
    Unbound,
    Under(Fence),
    /// It has left.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) slot: Slot,
    incarnation: i64,
    pub(super) generation: i64,
}

/// The place of one handle among those that share a memory.
pub(super) struct Place {
    /// The one clock that all of them have.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) right: Mutex<Right>,
}

impl Place {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, right: Mutex::new(Right::Unbound) })
    }

    pub(super) fn of_another(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.clock))
    }

    pub(super) fn fence(&self) -> StoreResult<Fence> {
        match *self.right.lock() {
            Right::Under(fence) => Ok(fence),
            Right::Unbound | Right::Ended => Err(StoreError::Fenced),
        }
    }
}

impl ClusterRows {
    pub(super) fn is_held(&self, fence: Fence) -> bool {
        self.generations.get(&fence.slot) == Some(&fence.generation)
    }

    pub(super) fn has_rights(&self, slot: Slot) -> bool {
        self.members.get(&slot).is_some_and(|member| member.state.has_rights())
    }

    /// Nothing is written any more under the fence as it was.
    pub(super) fn move_fence(&mut self, slot: Slot) -> i64 {
        let generation = self.generations.entry(slot).or_default();
        *generation += 1;
        *generation
    }

    /// Leaves the partitions and pins of a slot to nobody.
    pub(super) fn disown(&mut self, slot: Slot) {
        self.pins.retain(|_, pin| pin.slot != slot);
        for partition in Partition::all() {
            let (owner, wanted) = (self.map.owner(partition), self.map.wanted(partition));
            match owner == Some(slot) {
                true => self.map.set(partition, None, None),
                false => self.map.set(partition, owner, wanted.filter(|wanted| *wanted != slot)),
            }
        }
        self.version += 1;
    }

    pub(super) fn give(&mut self, partition: Partition, to: Option<Slot>, if_owned_by: Slot) {
        if self.map.owner(partition) == Some(if_owned_by) {
            self.map.set(partition, to, None);
        }
    }

    pub(super) fn join(&mut self, joining: &Joining) -> StoreResult<Fence> {
        let is_own = |member: &Member| !joining.process.is_empty() && member.process == joining.process;
        let may_take = |member: &&Member| !member.state.has_rights() || is_own(member);
        let of_same_name = self.members.values().find(|member| member.name == joining.name && may_take(member));
        let free = || (0..=u8::MAX).map(Slot).find(|slot| !self.has_rights(*slot));
        let Some(slot) = of_same_name.map(|member| member.slot).or_else(free) else {
            return Err(StoreError::Refused(String::from("256 nodes share this memory, which is as many as can")));
        };
        let looks = self.members.get(&slot).map_or(0, |former| former.looks);
        let member = Member { looks, ..joining.member(slot) };
        self.members.insert(slot, member);
        let generation = self.move_fence(slot);
        // of a predecessor that left without handing over
        self.disown(slot);
        Ok(Fence { slot, incarnation: joining.incarnation, generation })
    }

    pub(super) fn beat(&mut self, fence: Fence, beat: &Beat) -> StoreResult<()> {
        let member = self.members.get_mut(&fence.slot);
        let member = member.filter(|it| it.incarnation == fence.incarnation && it.state.has_rights());
        let Some(member) = member else { return Err(StoreError::Fenced) };
        (member.state, member.report, member.beat) = (beat.state, beat.report.clone(), member.beat + 1);
        Ok(())
    }

    pub(super) fn fence(&mut self, dead: &Member, moves: &[(Partition, Slot)]) -> bool {
        let member = self.members.get_mut(&dead.slot);
        let is_still =
            |it: &&mut Member| it.incarnation == dead.incarnation && it.beat == dead.beat && it.state.has_rights();
        let Some(member) = member.filter(is_still) else { return false };
        member.state = MemberState::Fenced;
        self.move_fence(dead.slot);
        moves.iter().for_each(|(partition, to)| self.give(*partition, Some(*to), dead.slot));
        self.disown(dead.slot);
        true
    }
}
