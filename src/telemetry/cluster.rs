//! What happens among the nodes of a database.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::log_throttle::LogThrottle;
use super::metrics::METRICS;
use crate::domain::cluster::neighbours::Finding;
use crate::domain::cluster::{Member, MemberState, PartitionMap, Slot};
use crate::domain::time::UnixMillis;

const CLUSTER: &str = "ringback::cluster";

/// A clock that differs by more is reported: the signatures' times are the database's, and receivers compare them with
/// theirs.
const MUCH: i64 = 1_000;

/// This node has a place.
pub(crate) struct NodeJoined<'a> {
    pub slot: Slot,
    pub name: &'a str,
    /// With this one.
    pub members: usize,
}

impl NodeJoined<'_> {
    pub(crate) fn emit(&self) {
        // a node that is alone is no news
        match self.members {
            1 => debug!(target: CLUSTER, node = self.slot.0, name = self.name, "joined"),
            members => info!(target: CLUSTER, node = self.slot.0, name = self.name, members, "joined the cluster"),
        }
    }
}

/// This node has a place again after it had lost its rights.
pub(crate) struct NodeJoinedAgain<'a> {
    pub slot: Slot,
    pub name: &'a str,
}

impl NodeJoinedAgain<'_> {
    pub(crate) fn emit(&self) {
        info!(target: CLUSTER, node = self.slot.0, name = self.name, "joined the cluster again");
    }
}

/// Something that an operator should know of another node.
pub(crate) struct NeighbourFound<'a>(pub &'a Finding);

impl NeighbourFound<'_> {
    pub(crate) fn emit(&self) {
        match self.0 {
            Finding::Joined { name } => info!(target: CLUSTER, name, "another node has joined"),
            Finding::Left { name } => info!(target: CLUSTER, name, "another node has left"),
            Finding::OtherSetting { name, setting, here, there } => warn!(
                target: CLUSTER, name, setting, here, there,
                "another node has another value of a setting that should be the same on all nodes: what happens to an event \
                 depends on which of them handles it"
            ),
            Finding::NoAddress => warn!(
                target: CLUSTER,
                "this node listens on a wildcard address, and the others don't know where to reach it: what they accept for its webhooks waits for up \
                 to a second, and webhooks can point to it; set cluster.advertise"
            ),
            Finding::SameName { name } => {
                warn!(target: CLUSTER, name, "another node has the same name; set cluster.name, so that people can tell them apart");
            }
            Finding::SameAddress { name, address } => warn!(
                target: CLUSTER, name, address,
                "another node says that it is reached at the same address as this one; set cluster.advertise to an address at which \
                 the other nodes reach this one, or events wait for up to a second"
            ),
        }
    }
}

/// Of a process on this machine that has ended without leaving, which this one need not wait for.
pub(crate) struct FormerProcessEnded<'a> {
    pub member: &'a Member,
}

impl FormerProcessEnded<'_> {
    pub(crate) fn emit(&self) {
        let Member { slot, name, .. } = self.member;
        warn!(target: CLUSTER, node = slot.0, name, "a process of this machine has ended without handing over its webhooks; they go on at once");
    }
}

/// This node has left.
pub(crate) struct NodeLeft {
    pub slot: Slot,
    pub is_given_back: bool,
}

impl NodeLeft {
    pub(crate) fn emit(&self) {
        let Self { slot, is_given_back } = self;
        debug!(target: CLUSTER, node = slot.0, is_given_back, "left");
    }
}

/// This node has ended the rights of another one.
pub(crate) struct RightsEnded<'a> {
    pub member: &'a Member,
    /// For how long it had been silent.
    pub silence: Duration,
    pub partitions: usize,
}

impl RightsEnded<'_> {
    pub(crate) fn emit(&self) {
        METRICS.cluster_takeover.record(self.silence.as_secs_f64());
        METRICS.cluster_moves.get("death").increment(self.partitions as u64);
        let Member { slot, name, .. } = self.member;
        warn!(
            target: CLUSTER, node = slot.0, name, silent_ms = self.silence.as_millis() as u64,
            partitions = self.partitions, "a node is dead; its webhooks go on elsewhere"
        );
    }
}

/// The rights of this node were ended.
pub(crate) struct RightsLost {
    pub slot: Slot,
}

impl RightsLost {
    pub(crate) fn emit(&self) {
        METRICS.cluster_fenced.increment(1);
        warn!(
            target: CLUSTER, node = self.slot.0,
            "this node has lost its rights; it drops what it holds and joins again"
        );
    }
}

/// This node has handed over partitions.
pub(crate) struct PartitionsMoved {
    pub count: usize,
    /// Endpoints with an attempt in flight, which stay until it ends.
    pub busy: usize,
    pub reason: &'static str,
}

impl PartitionsMoved {
    pub(crate) fn emit(&self) {
        METRICS.cluster_moves.get(self.reason).increment(self.count as u64);
        info!(
            target: CLUSTER, partitions = self.count, busy_webhooks = self.busy, reason = self.reason,
            "handed over partitions"
        );
    }
}

/// What was seen with a beat.
pub(crate) struct ClusterSeen<'a> {
    pub members: &'a [Member],
    pub map: &'a PartitionMap,
    pub me: Slot,
}

impl ClusterSeen<'_> {
    pub(crate) fn emit(&self) {
        for state in [MemberState::Joining, MemberState::Live, MemberState::Leaving, MemberState::Fenced] {
            let count = self.members.iter().filter(|member| member.state == state).count();
            METRICS.cluster_nodes.set(state.as_str(), count);
        }
        METRICS.cluster_partitions.set(self.map.of(self.me).count() as f64);
    }
}

/// How far this machine's clock is from the database's, in milliseconds.
pub(crate) struct ClockOffset(pub i64);

impl ClockOffset {
    pub(crate) fn emit(&self, now: UnixMillis) {
        static THROTTLE: LogThrottle = LogThrottle::new();
        METRICS.cluster_clock_offset.set(self.0 as f64 / 1_000.0);
        if self.0.abs() > MUCH && THROTTLE.allow(now).is_some() {
            warn!(
                target: CLUSTER, offset_ms = self.0,
                "this machine's clock differs from the database's, whose time is used; set it right"
            );
        }
    }
}

/// Another node was told something, or could not be.
pub(crate) struct PushEnded {
    pub is_delivered: bool,
}

impl PushEnded {
    pub(crate) fn emit(&self) {
        METRICS.cluster_pushes.get(if self.is_delivered { "delivered" } else { "failed" }).increment(1);
    }
}
