//! Keeps the lease of this node, and does what the rules decide. Blocks: runs on a blocking thread, once each beat.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::clock::DatabaseClock;
use super::rights::Rights;
use crate::domain::cluster::assignment::{self, MOVES_AT_ONCE};
use crate::domain::cluster::lease::{Observer, trusted_until};
use crate::domain::cluster::{Member, MemberState, Partition, PartitionMap, Slot};
use crate::domain::target::PeerAddresses;
use crate::domain::time::Clock;
use crate::store::{Beat, ClusterView, Ownership, Store, StoreError, StoreResult};
use crate::telemetry;

/// What the keeper works with.
pub(crate) struct KeeperParts {
    pub store: Arc<dyn Store>,
    pub rights: Arc<Rights>,
    pub clock: Arc<DatabaseClock>,
    pub lease: Duration,
    pub me: Slot,
    pub addresses: PeerAddresses,
}

/// What was seen and done with a beat.
pub(crate) struct Round {
    pub view: ClusterView,
    pub ownership: Ownership,
    /// The members, with how long each one's beat has stood still.
    pub silences: Vec<Duration>,
    /// Others' rights that this node has ended.
    pub ended: usize,
}

/// The lease of a node from its joining until its rights end.
pub(crate) struct Keeper {
    parts: KeeperParts,
    observer: Observer,
    ownership: Option<Ownership>,
    /// As they were looked up last, by what their nodes say.
    addresses: HashMap<String, Vec<SocketAddr>>,
}

impl Keeper {
    pub(crate) fn new(parts: KeeperParts) -> Self {
        let observer = Observer::new();
        Self { parts, observer, ownership: None, addresses: HashMap::new() }
    }

    pub(crate) fn me(&self) -> Slot {
        self.parts.me
    }

    /// One beat, and what follows from what is seen with it.
    pub(crate) fn round(&mut self, beat: &Beat) -> StoreResult<Round> {
        let KeeperParts { store, rights, clock, lease, .. } = &self.parts;
        let asked_at = clock.uptime();
        let view = store.beat(beat)?;
        let answered_at = clock.uptime();
        match view.clock {
            Some(database) => {
                rights.trust(trusted_until(asked_at, *lease), asked_at);
                clock.follow(database, answered_at.saturating_sub(asked_at));
            }
            // of a database that can't have several: nobody ends its rights
            None => rights.trust(Duration::MAX, Duration::MAX),
        }
        self.observer.observe(&view.members, answered_at);
        self.note_addresses(&view);
        let mut ownership = self.read_ownership(&view)?;
        let ended = self.end_rights_of_dead(&view, &ownership.map, answered_at)?;
        if ended > 0 {
            ownership = self.parts.store.ownership()?;
        }
        if beat.state != MemberState::Leaving && self.assign(&view, &ownership.map, answered_at)? {
            ownership = self.parts.store.ownership()?;
        }
        self.ownership = Some(ownership.clone());
        let silences = view.members.iter().map(|member| self.observer.silent_for(member, answered_at)).collect();
        Ok(Round { view, ownership, silences, ended })
    }

    /// No webhook may point to a node.
    fn note_addresses(&mut self, view: &ClusterView) {
        let others =
            view.members.iter().filter(|member| member.slot != self.parts.me && member.state.has_rights());
        let urls: HashSet<&String> = others.filter_map(|member| member.advertise.as_ref()).collect();
        if urls.len() == self.addresses.len() && urls.iter().all(|url| self.addresses.contains_key(*url)) {
            return;
        }
        let look_up = |url: &String| {
            let address = url.strip_prefix("http://").unwrap_or(url);
            address.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
        };
        self.addresses = urls.into_iter().map(|url| (url.clone(), look_up(url))).collect();
        self.parts.addresses.set(self.addresses.values().flatten().copied().collect());
    }

    fn read_ownership(&self, view: &ClusterView) -> StoreResult<Ownership> {
        match &self.ownership {
            Some(known) if known.version == view.map_version => Ok(known.clone()),
            _ => self.parts.store.ownership(),
        }
    }

    /// The nodes that can take over something: this one, and those that live and stay.
    fn living(&self, view: &ClusterView, now: Duration) -> Vec<Slot> {
        let stays = |member: &&Member| {
            matches!(member.state, MemberState::Joining | MemberState::Live) && !self.observer.is_dead(member, now)
        };
        view.members.iter().filter(stays).map(|member| member.slot).collect()
    }

    fn end_rights_of_dead(&self, view: &ClusterView, map: &PartitionMap, now: Duration) -> StoreResult<usize> {
        let mut ended = 0;
        for dead in self.observer.to_end(&view.members, self.parts.me, now) {
            let heirs = self.living(view, now);
            let moves = assignment::moves(map, &heirs);
            let moves: Vec<(Partition, Slot)> =
                moves.into_iter().filter(|(partition, _)| map.owner(*partition) == Some(dead.slot)).collect();
            match self.parts.store.fence(dead, &moves) {
                Ok(true) => {
                    let silence = self.observer.silent_for(dead, now);
                    telemetry::RightsEnded { member: dead, silence, partitions: moves.len() }.emit();
                    ended += 1;
                }
                Ok(false) => {}
                // its last commit is under way, or another node does it: with the next beat
                Err(StoreError::Unavailable(error)) => {
                    tracing::debug!(%error, node = dead.slot.0, "the rights of a dead node can't be ended yet");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Gives partitions to those who should have them. Returns whether something was changed.
    fn assign(&self, view: &ClusterView, map: &PartitionMap, now: Duration) -> StoreResult<bool> {
        let me = self.parts.me;
        let living = self.living(view, now);
        let moves = assignment::moves(map, &self.settled(view, map, &living, now));
        if living.first() == Some(&me) {
            // also what was given to a node that had just left
            let has_rights =
                |slot| view.members.iter().any(|member| member.slot == slot && member.state.has_rights());
            let is_unowned = |partition| !map.owner(partition).is_some_and(has_rights);
            let unowned: Vec<(Partition, Slot)> =
                moves.iter().copied().filter(|(partition, _)| is_unowned(*partition)).collect();
            if !unowned.is_empty() {
                self.parts.store.claim(&unowned)?;
                return Ok(true);
            }
        }
        if map.owner(Partition::STEWARD) != Some(me) {
            return Ok(false);
        }
        let under_way = Partition::all().filter(|partition| map.wanted(*partition).is_some()).count();
        let ordered: Vec<(Partition, Slot)> = moves
            .into_iter()
            // a node that leaves hands over by itself
            .filter(|(partition, _)| map.owner(*partition).is_some_and(|owner| living.contains(&owner)))
            .take(MOVES_AT_ONCE.saturating_sub(under_way))
            .collect();
        if ordered.is_empty() {
            return Ok(false);
        }
        self.parts.store.order_moves(&ordered)?;
        Ok(true)
    }

    /// Those of the living that own something or have been there for a while; all of them when that is nobody.
    fn settled(&self, view: &ClusterView, map: &PartitionMap, living: &[Slot], now: Duration) -> Vec<Slot> {
        let is_settled = |slot: &&Slot| {
            let member = view.members.iter().find(|member| member.slot == **slot);
            map.of(**slot).next().is_some() || member.is_some_and(|member| self.observer.is_settled(member, now))
        };
        let settled: Vec<Slot> = living.iter().filter(is_settled).copied().collect();
        if settled.is_empty() { living.to_vec() } else { settled }
    }

    /// To whom this node's partitions go when it leaves.
    pub(crate) fn heirs(&self, round: &Round) -> Vec<(Partition, Option<Slot>)> {
        let (me, now) = (self.parts.me, self.parts.clock.uptime());
        let map = &round.ownership.map;
        let others: Vec<Slot> = self.living(&round.view, now).into_iter().filter(|slot| *slot != me).collect();
        if others.is_empty() {
            return map.of(me).map(|partition| (partition, None)).collect();
        }
        let moves = assignment::moves(map, &others);
        moves
            .into_iter()
            .filter(|(partition, _)| map.owner(*partition) == Some(me))
            .map(|(partition, slot)| (partition, Some(slot)))
            .collect()
    }
}
