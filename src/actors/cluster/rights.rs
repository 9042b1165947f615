//! What this node may do, at every moment: read by everyone, changed by the membership alone.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::domain::cluster::{Member, PARTITIONS, Partition, PartitionMap, Pin, Slot};
use crate::domain::ids::EndpointId;
use crate::domain::time::{Clock, UnixMillis};

/// Stands for rights that nobody can end.
const FOR_EVER: u64 = u64::MAX;
/// A node that has not looked at the others for so long may have company. Smaller: ordered webhooks are read from the database
/// for nothing. Larger: an event that another node has just accepted could be overtaken.
const LOOK_IS_FRESH_FOR: Duration = Duration::from_secs(1);

/// A partition as this node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Holding {
    /// Another node's, or nobody's.
    None,
    /// This node delivers.
    Owned,
    /// Nothing is started any more; what is in flight ends.
    HandingOver,
}

impl Holding {
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Owned,
            2 => Self::HandingOver,
            _ => Self::None,
        }
    }
}

/// The cluster as this node has seen it last.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSeen {
    /// With how long each one's beat had stood still.
    pub members: Vec<(Member, Duration)>,
    pub map: PartitionMap,
    /// This node.
    pub me: Option<Slot>,
    /// The database's clock minus this machine's.
    pub clock_offset_ms: i64,
}

/// See the module.
pub struct Rights {
    clock: Arc<dyn Clock>,
    /// By [`Clock::uptime`], in milliseconds.
    trusted_until: AtomicU64,
    looked_at: AtomicU64,
    has_company: AtomicBool,
    partitions: [AtomicU8; PARTITIONS],
    acquired_at: [AtomicI64; PARTITIONS],
    /// Endpoints of own partitions that another node still has.
    kept_elsewhere: RwLock<HashSet<EndpointId>>,
    keeps_elsewhere: AtomicBool,
    seen: RwLock<Arc<ClusterSeen>>,
}

impl Rights {
    /// Of the only engine of a database: everything, for ever.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let rights = Self::none(clock);
        rights.trusted_until.store(FOR_EVER, Ordering::Release);
        rights.looked_at.store(FOR_EVER, Ordering::Release);
        Partition::all().for_each(|partition| rights.hold(partition, Holding::Owned, now));
        rights
    }

    /// Of a node that has not joined.
    pub fn none(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            trusted_until: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            has_company: AtomicBool::new(false),
            partitions: [const { AtomicU8::new(0) }; PARTITIONS],
            acquired_at: [const { AtomicI64::new(0) }; PARTITIONS],
            kept_elsewhere: RwLock::default(),
            keeps_elsewhere: AtomicBool::new(false),
            seen: RwLock::default(),
        }
    }

    /// Whether an attempt may be started, and an event accepted, now.
    pub fn may_act(&self) -> bool {
        let until = self.trusted_until.load(Ordering::Acquire);
        until == FOR_EVER || self.uptime() < until
    }

    /// Whether this node delivers to an endpoint.
    pub(crate) fn owns(&self, endpoint_id: EndpointId) -> bool {
        self.holding(Partition::of(endpoint_id)) == Holding::Owned && !self.is_kept_elsewhere(endpoint_id)
    }

    /// Whether an endpoint is in a partition of this node, also one that it hands over.
    pub(crate) fn has(&self, endpoint_id: EndpointId) -> bool {
        self.holding(Partition::of(endpoint_id)) != Holding::None
    }

    pub(crate) fn holding(&self, partition: Partition) -> Holding {
        Holding::from_code(self.partitions[usize::from(partition.0)].load(Ordering::Acquire))
    }

    /// Whether this node does what only one may do.
    pub(crate) fn is_steward(&self) -> bool {
        self.may_act() && self.holding(Partition::STEWARD) == Holding::Owned
    }

    /// Whether other nodes were seen.
    pub(crate) fn has_company(&self) -> bool {
        self.has_company.load(Ordering::Acquire)
    }

    /// Whether other nodes may have committed something, so that the order of this node's commits says nothing.
    pub(crate) fn may_have_company(&self) -> bool {
        let fresh_until = self.looked_at.load(Ordering::Acquire).saturating_add(millis(LOOK_IS_FRESH_FOR));
        self.has_company() || fresh_until != FOR_EVER && self.uptime() > fresh_until
    }

    /// How long ago this node looked at the others; of the only one of a database it is always now.
    pub(crate) fn looked_before(&self) -> Duration {
        let at = self.looked_at.load(Ordering::Acquire);
        Duration::from_millis(self.uptime().saturating_sub(at))
    }

    /// Since when this node knows what was sent to an endpoint.
    pub(crate) fn acquired_at(&self, endpoint_id: EndpointId) -> UnixMillis {
        UnixMillis(self.acquired_at[usize::from(Partition::of(endpoint_id).0)].load(Ordering::Acquire))
    }

    pub(crate) fn seen(&self) -> Arc<ClusterSeen> {
        Arc::clone(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_kept_elsewhere(&self, endpoint_id: EndpointId) -> bool {
        if !self.keeps_elsewhere.load(Ordering::Acquire) {
            return false;
        }
        let kept = self.kept_elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        kept.contains(&endpoint_id)
    }

    fn uptime(&self) -> u64 {
        millis(self.clock.uptime())
    }

    // ---- for the membership

    pub(crate) fn trust(&self, until: Duration, looked_at: Duration) {
        self.trusted_until.store(millis(until), Ordering::Release);
        self.looked_at.store(millis(looked_at), Ordering::Release);
    }

    /// All rights have ended.
    pub(crate) fn end(&self) {
        self.trusted_until.store(0, Ordering::Release);
        self.partitions.iter().for_each(|holding| holding.store(Holding::None as u8, Ordering::Release));
    }

    pub(crate) fn hold(&self, partition: Partition, holding: Holding, now: UnixMillis) {
        let place = usize::from(partition.0);
        if holding == Holding::Owned {
            self.acquired_at[place].store(now.0, Ordering::Release);
        }
        self.partitions[place].store(holding as u8, Ordering::Release);
    }

    /// Returns the endpoints that are no longer kept by others.
    pub(crate) fn set_kept_elsewhere(&self, pins: &[Pin], me: Slot) -> Vec<EndpointId> {
        let now: HashSet<EndpointId> =
            pins.iter().filter(|pin| pin.slot != me).map(|pin| pin.endpoint_id).collect();
        let mut kept = self.kept_elsewhere.write().unwrap_or_else(PoisonError::into_inner);
        let released = kept.difference(&now).copied().collect();
        self.keeps_elsewhere.store(!now.is_empty(), Ordering::Release);
        *kept = now;
        released
    }

    pub(crate) fn set_seen(&self, seen: ClusterSeen, has_company: bool) {
        self.has_company.store(has_company, Ordering::Release);
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
