//! The lease of a node, counted in its beats.
//!
//! As in Kinesis' lease table: an observer compares a counter for change, by its own clock. The clocks of two machines are
//! never compared, so they may differ by any amount. Instants are the time since the machine started, which goes on
//! while it is suspended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Member, Slot};

/// How often a node writes its beat and looks at the others. Smaller: more statements on the database, which is at rest otherwise.
/// Larger: others' changes are noticed later.
pub const BEAT: Duration = Duration::from_millis(500);
/// A node stops so much before others may take it for dead: it covers the time of a beat's way, and of a request that is
/// being written. Smaller: two nodes could send at once. Larger: a database that is slow for a moment stops delivery.
pub const TRUST_MARGIN: Duration = Duration::from_millis(1_500);
/// Each further node waits so much longer before it ends a dead one's rights, so that one does it. Smaller: several try.
/// Larger: it takes longer when the first is dead too.
const TURN: Duration = Duration::from_millis(300);
/// A member that is seen for less counts as absent when partitions are assigned: one that starts and stops at once moves nothing.
/// Larger: a new node gets its share later.
pub const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Until when a node may act that has asked for its beat at `asked_at` and had it written.
pub fn trusted_until(asked_at: Duration, lease: Duration) -> Duration {
    asked_at + lease.saturating_sub(TRUST_MARGIN)
}

/// Between two looks of a node that runs. Smaller: a busy machine does not notice for longer that another node is dead. Larger: after
/// an outage of the database nodes take each other for dead.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// What a node has seen of the others.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    seen: BTreeMap<Slot, Seen>,
    /// When it looked last.
    looked_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    incarnation: i64,
    beat: i64,
    /// Since when the beat is this one.
    since: Duration,
    first: Duration,
}

impl Observer {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what the rows show at `now`.
    ///
    /// A time in which this node did not look, because it was frozen or the database was away, says nothing about the others:
    /// they may have been as well.
    pub fn observe(&mut self, members: &[Member], now: Duration) {
        let blind_for = self.looked_at.replace(now).map_or(Duration::ZERO, |before| now.saturating_sub(before));
        if blind_for > LONGEST_LOOK {
            self.seen.values_mut().for_each(|seen| seen.since += blind_for);
        }
        self.seen.retain(|slot, _| members.iter().any(|member| member.slot == *slot));
        for Member { slot, incarnation, beat, .. } in members {
            let new = Seen { incarnation: *incarnation, beat: *beat, since: now, first: now };
            let seen = self.seen.entry(*slot).or_insert(new);
            if seen.incarnation != *incarnation {
                *seen = new;
            } else if seen.beat != *beat {
                (seen.beat, seen.since) = (*beat, now);
            }
        }
    }

    /// For how long a member's beat has stood still.
    pub fn silent_for(&self, member: &Member, now: Duration) -> Duration {
        let seen = self
            .seen
            .get(&member.slot)
            .filter(|seen| seen.incarnation == member.incarnation && seen.beat == member.beat);
        seen.map_or(Duration::ZERO, |seen| now.saturating_sub(seen.since))
    }

    /// Whether a member has rights that may be ended. By its own lease, whatever this node's is: that is what it goes by.
    pub fn is_dead(&self, member: &Member, now: Duration) -> bool {
        member.state.has_rights() && self.silent_for(member, now) >= member.lease
    }

    /// Whether a member has been there for long enough to own something.
    pub fn is_settled(&self, member: &Member, now: Duration) -> bool {
        let seen = self.seen.get(&member.slot).filter(|seen| seen.incarnation == member.incarnation);
        seen.is_some_and(|seen| now.saturating_sub(seen.first) >= SETTLED_AFTER)
    }

    /// The dead whose rights this node should end now: the first of the living does it at once, each further one later.
    pub fn to_end<'a>(&self, members: &'a [Member], me: Slot, now: Duration) -> Vec<&'a Member> {
        let is_living = |member: &&Member| member.state.has_rights() && !self.is_dead(member, now);
        let rank = members.iter().filter(is_living).filter(|member| member.slot < me).count();
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let dead = members.iter().filter(|member| member.slot != me && self.is_dead(member, now));
        dead.filter(|member| self.silent_for(member, now) >= member.lease + TURN * rank).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemberState;
    use super::super::tests::member;
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_member_with_a_longer_lease_is_given_the_longer_time_whatever_the_others_have() {
        let mut observer = Observer::new();
        let members = [
            Member { lease: LEASE * 2, ..member(0, MemberState::Live) },
            Member { lease: LEASE, ..member(1, MemberState::Live) },
        ];
        (100..=112).for_each(|second| observer.observe(&members, at(second)));
        let dead = |now: Duration| members.iter().map(|member| observer.is_dead(member, now)).collect::<Vec<_>>();
        assert_eq!(dead(at(111)), [false, true]);
        assert_eq!(dead(at(112)), [true, true]);
    }

    #[test]
    fn a_member_is_dead_when_its_beat_stood_still_for_a_lease_whatever_the_beat_says() {
        let mut observer = Observer::new();
        let mut other = member(1, MemberState::Live);
        let look = |observer: &mut Observer, other: &Member, seconds: std::ops::RangeInclusive<u64>| {
            seconds.for_each(|second| observer.observe(std::slice::from_ref(other), at(second)));
        };
        look(&mut observer, &other, 100..=106);
        assert!(!observer.is_dead(&other, at(105)));
        assert!(observer.is_dead(&other, at(106)));
        other.beat = -5;
        look(&mut observer, &other, 107..=112);
        assert!(!observer.is_dead(&other, at(112)), "it changed");
        other.incarnation = 9;
        look(&mut observer, &other, 113..=131);
        assert!(!observer.is_dead(&other, at(113)), "another one has the slot");
        other.state = MemberState::Gone;
        look(&mut observer, &other, 132..=132);
        assert!(!observer.is_dead(&other, at(200)), "it has no rights to end");
    }

    #[test]
    fn after_an_outage_of_the_database_or_a_freeze_of_its_own_a_node_takes_nobody_for_dead() {
        let mut observer = Observer::new();
        let mut other = member(1, MemberState::Live);
        observer.observe(std::slice::from_ref(&other), at(100));
        observer.observe(std::slice::from_ref(&other), at(130));
        assert!(!observer.is_dead(&other, at(130)), "nobody could write a beat meanwhile");
        for second in 131..136 {
            observer.observe(std::slice::from_ref(&other), at(second));
            assert!(!observer.is_dead(&other, at(second)));
        }
        observer.observe(std::slice::from_ref(&other), at(136));
        assert!(observer.is_dead(&other, at(136)), "now it has been seen to be silent for a lease");
        other.beat += 1;
        observer.observe(std::slice::from_ref(&other), at(137));
        assert!(!observer.is_dead(&other, at(137)));
    }

    #[test]
    fn a_node_stops_before_any_other_may_end_its_rights() {
        // the beat is written between the request and the answer; an observer sees it then at the earliest
        let asked_at = at(50);
        assert!(trusted_until(asked_at, LEASE) + TRUST_MARGIN <= asked_at + LEASE);
    }

    #[test]
    fn the_first_of_the_living_ends_the_rights_of_the_dead_and_the_next_later() {
        let mut observer = Observer::new();
        let mut members: Vec<Member> = (0..4).map(|slot| member(slot, MemberState::Live)).collect();
        for second in 0..=6 {
            observer.observe(&members, at(second));
            members[1..].iter_mut().for_each(|member| member.beat += 1);
        }
        members[1..].iter_mut().for_each(|member| member.beat -= 1);
        let ends = |me: u8, now| !observer.to_end(&members, Slot(me), now).is_empty();
        assert!(ends(1, at(6)) && !ends(2, at(6)) && !ends(3, at(6)));
        assert!(ends(2, at(6) + TURN) && !ends(3, at(6) + TURN));
        assert!(ends(3, at(6) + 2 * TURN));
        assert!(!ends(0, at(9)), "not its own");
    }
}
