//! What happens among the nodes of a database.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::log_throttle::LogThrottle;
use super::metrics::METRICS;
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
    /// With this one; 0 for "not looked at yet".
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
