//! The nodes that share a database: their rows, the fence that every write takes, and who owns which partition.
//!
//! A store that has joined writes under its fence, `(slot, generation)`: a transaction share-locks that row, so whoever
//! ends the node's rights waits for the one transaction under way, and every later one finds another generation and writes
//! nothing ([`StoreError::Fenced`]). A lost connection is replaced under a new generation, so that
//! what it had begun is decided by then.
//!
//! SQLite has one node, which owns everything; so has a memory that is not shared.

use std::time::Duration;

use parking_lot::Mutex;

use super::{ChangeNumber, StoreError, StoreResult};
use crate::domain::cluster::{Member, MemberState, Partition, PartitionMap, Pin, Slot};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Of what nodes tell each other. Those of two neighbouring versions understand each other.
pub const PROTOCOL: i16 = 1;

/// A node that wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Random.
    pub incarnation: i64,
    /// For people.
    pub name: String,
    /// Which process on which machine it is.
    pub process: String,
    /// Where other nodes reach its API.
    pub advertise: Option<String>,
    /// Of the program.
    pub version: String,
    /// By its own clock.
    pub started_at: UnixMillis,
    /// How long its beat may stand still before others may end its rights.
    pub lease: Duration,
}

impl Joining {
    /// The row of a node that has just joined.
    pub(super) fn member(&self, slot: Slot) -> Member {
        Member {
            slot,
            incarnation: self.incarnation,
            beat: 0,
            state: MemberState::Joining,
            name: self.name.clone(),
            process: self.process.clone(),
            advertise: self.advertise.clone(),
            version: self.version.clone(),
            protocol: PROTOCOL,
            started_at: self.started_at,
            lease: self.lease,
            looks: 0,
            report: String::new(),
        }
    }
}

/// What a node writes with its beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// What it does.
    pub state: MemberState,
    /// What it says of itself, for people: JSON.
    pub report: String,
}

/// What a node sees with its beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// All rows but those of nodes that left long ago.
    pub members: Vec<Member>,
    /// Of the database; `None` where it is this machine's.
    pub clock: Option<UnixMillis>,
    /// The newest change of settings.
    pub last_change: ChangeNumber,
    /// Changes with every change of [`Ownership`].
    pub map_version: i64,
}

/// Who owns the endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ownership {
    /// Changes with every change.
    pub version: i64,
    /// The owners of partitions.
    pub map: PartitionMap,
    /// Endpoints that an earlier owner still has.
    pub pins: Vec<Pin>,
}

/// The nodes that share the database.
pub trait ClusterStore: Send + Sync + 'static {
    /// The members, for a node that has not joined.
    fn members(&self) -> StoreResult<Vec<Member>>;
    /// Takes a free slot. From now on this store writes under its fence.
    fn join(&self, joining: &Joining) -> StoreResult<Slot>;
    /// Says that this node lives, over a connection that nothing else uses. [`StoreError::Fenced`]:
    /// its rights were ended.
    fn beat(&self, beat: &Beat) -> StoreResult<ClusterView>;
    /// Reads who owns what.
    fn ownership(&self) -> StoreResult<Ownership>;
    /// Ends the rights of a dead member, if its beat is still this one, and gives its partitions to others. `false`: it lives.
    fn fence(&self, dead: &Member, moves: &[(Partition, Slot)]) -> StoreResult<bool>;
    /// Takes partitions that nobody with rights owns.
    fn claim(&self, moves: &[(Partition, Slot)]) -> StoreResult<()>;
    /// Asks owners to hand over partitions.
    fn order_moves(&self, moves: &[(Partition, Slot)]) -> StoreResult<()>;
    /// Hands over own partitions; `None` to nobody. Of `busy` endpoints attempts are still in flight here: nobody else sends to
    /// them before [`ClusterStore::unpin`].
    fn hand_over(
        &self,
        moves: &[(Partition, Option<Slot>)],
        busy: &[(EndpointId, OrganizationId)],
    ) -> StoreResult<()>;
    /// Attempts of these endpoints have ended here.
    fn unpin(&self, endpoints: &[EndpointId]) -> StoreResult<()>;
    /// Has nodes look for what they could not be told.
    fn ask_to_look(&self, slots: &[Slot]) -> StoreResult<()>;
    /// Gives the slot back. The store writes nothing any more.
    fn leave(&self) -> StoreResult<()>;
}

/// The one node of a store that can't have several.
#[derive(Default)]
pub(super) struct OnlyNode {
    member: Mutex<Option<Member>>,
}

impl OnlyNode {
    const SLOT: Slot = Slot(0);

    pub(super) fn join(&self, joining: &Joining) -> Slot {
        *self.member.lock() = Some(joining.member(Self::SLOT));
        Self::SLOT
    }

    pub(super) fn beat(&self, beat: &Beat, last_change: ChangeNumber) -> StoreResult<ClusterView> {
        let mut member = self.member.lock();
        let member = member.as_mut().ok_or(StoreError::Fenced)?;
        (member.state, member.report, member.beat) = (beat.state, beat.report.clone(), member.beat + 1);
        Ok(ClusterView { members: vec![member.clone()], clock: None, last_change, map_version: 0 })
    }

    /// It owns everything.
    pub(super) fn ownership() -> Ownership {
        Ownership { version: 0, map: PartitionMap::owned_by(Self::SLOT), pins: Vec::new() }
    }

    pub(super) fn leave(&self) {
        *self.member.lock() = None;
    }
}
