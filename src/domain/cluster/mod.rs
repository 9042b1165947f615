//! Several nodes on one database: who is there, who may act, and who owns which part of the endpoints. Pure: time and rows
//! are passed in, and the decisions are returned.
//!
//! No clock decides. A node is taken for dead when its beat stood still for a whole lease by the observer's own clock, and
//! stops by itself before that ([`lease`]). What makes a late node harmless is not time but its fence, which every write
//! takes (`store::cluster`).

pub mod assignment;
pub mod lease;
#[cfg(test)]
mod model_tests;
pub(crate) mod neighbours;

use std::fmt;

use serde::{Deserialize, Serialize};

use std::time::Duration;

use super::ids::{EndpointId, OrganizationId};
use super::time::UnixMillis;

/// Into so many parts the endpoints are divided ([`EndpointId::partition`]).
pub const PARTITIONS: usize = 256;

/// A node's place in the cluster, and the node bits of the ids that it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u8);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of the endpoints, below [`PARTITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u8);

impl Partition {
    /// The one whose owner also does what only one node may do: it assigns partitions, and removes what is old.
    pub const STEWARD: Self = Self(0);

    /// Of an endpoint.
    pub fn of(endpoint_id: EndpointId) -> Self {
        // 0 to 255
        Self(endpoint_id.partition() as u8)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// It has a slot, and owns nothing yet.
    Joining,
    /// It delivers.
    Live,
    /// It was asked to stop, and hands over.
    Leaving,
    /// Its rights were ended by another node.
    Fenced,
    /// It has left.
    Gone,
}

impl MemberState {
    /// In responses, and as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Live => "live",
            Self::Leaving => "leaving",
            Self::Fenced => "fenced",
            Self::Gone => "gone",
        }
    }

    /// Whether it has rights.
    pub fn has_rights(self) -> bool {
        matches!(self, Self::Joining | Self::Live | Self::Leaving)
    }
}

/// A node as its row shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place.
    pub slot: Slot,
    /// Tells it from others that had the slot before.
    pub incarnation: i64,
    /// Changes with every beat.
    pub beat: i64,
    /// What it does.
    pub state: MemberState,
    /// For people.
    pub name: String,
    /// Which process on which machine it is.
    pub process: String,
    /// Where other nodes reach its API.
    pub advertise: Option<String>,
    /// Of the program.
    pub version: String,
    /// Of what nodes tell each other.
    pub protocol: i16,
    /// By its own clock.
    pub started_at: UnixMillis,
    /// How long its beat may stand still before its rights may be ended: it stops by itself before that.
    pub lease: Duration,
    /// Changes when another node could not tell it something: it must look itself.
    pub looks: i64,
    /// What it says of itself, for people.
    pub report: String,
}

/// Who owns the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMap {
    owners: Box<[Option<Slot>]>,
    wanted: Box<[Option<Slot>]>,
}

impl Default for PartitionMap {
    fn default() -> Self {
        Self { owners: vec![None; PARTITIONS].into(), wanted: vec![None; PARTITIONS].into() }
    }
}

impl PartitionMap {
    /// All are this node's.
    pub fn owned_by(slot: Slot) -> Self {
        Self { owners: vec![Some(slot); PARTITIONS].into(), ..Self::default() }
    }

    /// Who delivers to the endpoints of a partition.
    pub fn owner(&self, partition: Partition) -> Option<Slot> {
        self.owners[usize::from(partition.0)]
    }

    /// Who is to be its next owner.
    pub fn wanted(&self, partition: Partition) -> Option<Slot> {
        self.wanted[usize::from(partition.0)]
    }

    /// Changes an owner.
    pub fn set(&mut self, partition: Partition, owner: Option<Slot>, wanted: Option<Slot>) {
        self.owners[usize::from(partition.0)] = owner;
        self.wanted[usize::from(partition.0)] = wanted;
    }

    /// Those of a node.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = Partition> + '_ {
        Partition::all().filter(move |partition| self.owner(*partition) == Some(slot))
    }

    /// Who will own a partition when what is under way has happened.
    pub fn next_owner(&self, partition: Partition) -> Option<Slot> {
        self.wanted(partition).or(self.owner(partition))
    }
}

/// An endpoint with an attempt in flight at a node that no longer owns its partition: the new owner waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin {
    /// Which endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner.
    pub organization_id: OrganizationId,
    /// The node that still has it.
    pub slot: Slot,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn member(slot: u8, state: MemberState) -> Member {
        Member {
            slot: Slot(slot),
            incarnation: 1,
            beat: 1,
            state,
            name: format!("node-{slot}"),
            process: String::new(),
            advertise: None,
            version: String::from("0"),
            protocol: 1,
            started_at: UnixMillis(0),
            lease: Duration::from_secs(6),
            looks: 0,
            report: String::new(),
        }
    }
}
