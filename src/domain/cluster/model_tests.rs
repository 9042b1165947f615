//! A model of several nodes and their database, run through all kinds of interleavings: two nodes never both may start an
//! attempt for an endpoint, and nothing is written with rights that have ended.
//!
//! Time passes for all nodes alike, and a frozen one notices nothing of it until it wakes; the database answers or does not,
//! for each node by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::assignment::moves;
use super::lease::{BEAT, Observer, trusted_until};
use super::tests::member;
use super::{Member, MemberState, Partition, PartitionMap, Slot};

const LEASE: Duration = Duration::from_secs(6);
const NODES: u8 = 3;
const BEAT_MS: u64 = 500;

#[derive(Debug, Clone)]
enum Step {
    /// So many milliseconds pass; then every node that can writes its beat, looks, and does what follows; but one may be late.
    Tick(u64, Option<u8>),
    /// The node's beat is written, and the answer comes later or never.
    LoseAnswer(u8),
    Freeze(u8),
    Wake(u8),
    CutOff(u8),
    Reconnect(u8),
    /// A node commits something.
    Commit(u8),
    /// A node hands over what is wanted by others.
    HandOver(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        40 => (1u64..900, prop::option::weighted(0.1, 0..NODES)).prop_map(|(pause, late)| Step::Tick(pause, late)),
        1 => node.clone().prop_map(Step::LoseAnswer),
        1 => node.clone().prop_map(Step::Freeze),
        1 => node.clone().prop_map(Step::Wake),
        1 => node.clone().prop_map(Step::CutOff),
        1 => node.clone().prop_map(Step::Reconnect),
        4 => node.clone().prop_map(Step::Commit),
        4 => node.prop_map(Step::HandOver),
    ]
}

/// What the rows say.
struct Rows {
    members: Vec<Member>,
    generations: BTreeMap<Slot, u64>,
    map: PartitionMap,
}

/// What a node believes.
struct Node {
    slot: Slot,
    generation: u64,
    incarnation: i64,
    trusted_until: Duration,
    observer: Observer,
    owns: Vec<bool>,
    is_frozen: bool,
    is_cut_off: bool,
}

struct World {
    now: Duration,
    rows: Rows,
    nodes: Vec<Node>,
    next_incarnation: i64,
}

impl World {
    fn new() -> Self {
        let members: Vec<Member> = (0..NODES).map(|slot| member(slot, MemberState::Live)).collect();
        let generations = members.iter().map(|member| (member.slot, 1)).collect();
        let node = |slot| Node {
            slot: Slot(slot),
            generation: 1,
            incarnation: 1,
            trusted_until: Duration::ZERO,
            observer: Observer::new(),
            owns: vec![false; super::PARTITIONS],
            is_frozen: false,
            is_cut_off: false,
        };
        let rows = Rows { members, generations, map: PartitionMap::default() };
        Self { now: Duration::from_secs(1_000), rows, nodes: (0..NODES).map(node).collect(), next_incarnation: 2 }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Tick(pause, late) => {
                self.now += Duration::from_millis(pause);
                self.check();
                for node in (0..NODES).filter(|node| late != Some(*node)) {
                    self.beat(usize::from(node), true);
                    self.check();
                }
            }
            Step::Freeze(node) => self.nodes[usize::from(node)].is_frozen = true,
            Step::Wake(node) => self.nodes[usize::from(node)].is_frozen = false,
            Step::CutOff(node) => self.nodes[usize::from(node)].is_cut_off = true,
            Step::Reconnect(node) => self.nodes[usize::from(node)].is_cut_off = false,
            Step::LoseAnswer(node) => self.beat(usize::from(node), false),
            Step::Commit(node) => self.commit(usize::from(node)),
            Step::HandOver(node) => self.hand_over(usize::from(node)),
        }
        self.check();
    }

    fn reaches(&self, node: usize) -> bool {
        !self.nodes[node].is_frozen && !self.nodes[node].is_cut_off
    }

    fn beat(&mut self, place: usize, is_answered: bool) {
        if !self.reaches(place) {
            return;
        }
        let (slot, incarnation) = (self.nodes[place].slot, self.nodes[place].incarnation);
        let row = self.rows.members.iter_mut().find(|member| member.slot == slot);
        let Some(row) = row.filter(|row| row.incarnation == incarnation && row.state.has_rights()) else {
            if is_answered {
                self.join_again(place);
            }
            return;
        };
        row.beat += 1;
        if !is_answered {
            return;
        }
        let now = self.now;
        let node = &mut self.nodes[place];
        node.trusted_until = trusted_until(now, LEASE);
        node.observer.observe(&self.rows.members, now);
        let living: Vec<Slot> = self
            .rows
            .members
            .iter()
            .filter(|member| member.state == MemberState::Live && !node.observer.is_dead(member, now))
            .map(|member| member.slot)
            .collect();
        let dead: Vec<Member> = node.observer.to_end(&self.rows.members, slot, now).into_iter().cloned().collect();
        for dead in dead {
            self.fence(&dead, &living);
        }
        let wanted = moves(&self.rows.map, &living);
        for (partition, to) in wanted {
            match self.rows.map.owner(partition) {
                None if living.first() == Some(&slot) => self.rows.map.set(partition, Some(to), None),
                Some(owner) if self.rows.map.owner(Partition::STEWARD) == Some(slot) => {
                    self.rows.map.set(partition, Some(owner), Some(to).filter(|to| *to != owner));
                }
                _ => {}
            }
        }
        self.read_map(place);
    }

    fn read_map(&mut self, place: usize) {
        let slot = self.nodes[place].slot;
        for partition in Partition::all() {
            self.nodes[place].owns[usize::from(partition.0)] = self.rows.map.owner(partition) == Some(slot);
        }
    }

    fn fence(&mut self, dead: &Member, living: &[Slot]) {
        let row = self.rows.members.iter_mut().find(|member| member.slot == dead.slot);
        let Some(row) = row.filter(|row| row.beat == dead.beat && row.incarnation == dead.incarnation) else {
            return;
        };
        row.state = MemberState::Fenced;
        *self.rows.generations.get_mut(&dead.slot).unwrap() += 1;
        let heirs = moves(&self.rows.map, living);
        for partition in Partition::all()
            .filter(|partition| self.rows.map.owner(*partition) == Some(dead.slot))
            .collect::<Vec<_>>()
        {
            let heir = heirs.iter().find(|(moved, _)| *moved == partition).map(|(_, slot)| *slot);
            self.rows.map.set(partition, heir, None);
        }
    }

    fn join_again(&mut self, place: usize) {
        let slot = self.nodes[place].slot;
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        let generation = self.rows.generations.get_mut(&slot).unwrap();
        *generation += 1;
        let generation = *generation;
        if let Some(row) = self.rows.members.iter_mut().find(|member| member.slot == slot) {
            (row.incarnation, row.beat, row.state) = (incarnation, 0, MemberState::Live);
        }
        let node = &mut self.nodes[place];
        (node.incarnation, node.generation, node.trusted_until) = (incarnation, generation, Duration::ZERO);
        node.owns.fill(false);
    }

    fn commit(&self, place: usize) {
        if !self.reaches(place) {
            return;
        }
        let node = &self.nodes[place];
        let may_write = self.rows.generations[&node.slot] == node.generation;
        let has_rights = self
            .rows
            .members
            .iter()
            .any(|row| row.slot == node.slot && row.incarnation == node.incarnation && row.state.has_rights());
        assert!(!may_write || has_rights, "a write with rights that have ended");
    }

    fn hand_over(&mut self, place: usize) {
        if !self.reaches(place) || self.rows.generations[&self.nodes[place].slot] != self.nodes[place].generation {
            return;
        }
        let slot = self.nodes[place].slot;
        for partition in Partition::all() {
            if let Some(to) =
                self.rows.map.wanted(partition).filter(|_| self.rows.map.owner(partition) == Some(slot))
            {
                // it has stopped to start anything before it writes this
                self.nodes[place].owns[usize::from(partition.0)] = false;
                self.rows.map.set(partition, Some(to), None);
            }
        }
    }

    /// A frozen node starts nothing; when it wakes, it looks at the time before it does.
    fn check(&self) {
        for partition in Partition::all() {
            let may_send = |node: &&Node| {
                !node.is_frozen && self.now < node.trusted_until && node.owns[usize::from(partition.0)]
            };
            let senders: Vec<Slot> = self.nodes.iter().filter(may_send).map(|node| node.slot).collect();
            assert!(senders.len() <= 1, "{partition:?} is sent to by {senders:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn two_nodes_never_both_may_send_and_nothing_is_written_after_a_fence(
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.apply(step));
        // undisturbed, every partition has an owner within a lease and two seconds
        for node in 0..NODES {
            world.apply(Step::Wake(node));
            world.apply(Step::Reconnect(node));
        }
        let mut left = LEASE + Duration::from_secs(2);
        while !left.is_zero() {
            world.apply(Step::Tick(BEAT_MS, None));
            (0..NODES).for_each(|node| world.apply(Step::HandOver(node)));
            left = left.saturating_sub(BEAT);
        }
        prop_assert!(Partition::all().all(|partition| world.rows.map.owner(partition).is_some()));
    }
}

#[test]
fn in_the_model_a_frozen_node_is_taken_over_within_a_lease_and_two_seconds_and_joins_again_when_it_wakes() {
    let mut world = World::new();
    let ticks = |world: &mut World, count: usize| {
        (0..count).for_each(|_| world.apply(Step::Tick(BEAT_MS, None)));
    };
    ticks(&mut world, 3);
    assert!(world.rows.map.of(Slot(0)).count() > 80);
    world.apply(Step::Freeze(0));
    ticks(&mut world, 11);
    assert!(world.rows.map.of(Slot(0)).count() > 80, "its lease has not ended");
    ticks(&mut world, 5);
    assert_eq!(world.rows.map.of(Slot(0)).count(), 0);
    assert_eq!(world.rows.members[0].state, MemberState::Fenced);
    world.apply(Step::Wake(0));
    assert_ne!(world.rows.generations[&Slot(0)], world.nodes[0].generation, "its commits are refused");
    ticks(&mut world, 2);
    assert_eq!(world.rows.members[0].state, MemberState::Live);
}
