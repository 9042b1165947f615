//! Which node should own which partition: as many each as possible, moving as few as possible.

use std::collections::BTreeMap;

use super::{PARTITIONS, Partition, PartitionMap, Slot};

/// Partitions that change hands at once. Smaller: a new node gets its share later. Larger: more endpoints pause at once for
/// the moment that a move takes.
pub const MOVES_AT_ONCE: usize = 32;

/// The partitions that should get another owner, with the new one. `nodes`: those that may own some.
///
/// Everyone keeps what it has up to its share; only what is above a share moves, and what nobody has who may.
pub fn moves(map: &PartitionMap, nodes: &[Slot]) -> Vec<(Partition, Slot)> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let mut held: BTreeMap<Slot, Vec<Partition>> = nodes.iter().map(|slot| (*slot, Vec::new())).collect();
    let mut free = Vec::new();
    for partition in Partition::all() {
        match map.next_owner(partition).and_then(|owner| held.get_mut(&owner)) {
            Some(of_owner) => of_owner.push(partition),
            None => free.push(partition),
        }
    }
    // those with the most keep the larger shares
    let mut by_size: Vec<(Slot, usize)> = held.iter().map(|(slot, of_it)| (*slot, of_it.len())).collect();
    by_size.sort_by_key(|(slot, size)| (std::cmp::Reverse(*size), *slot));
    let (share, larger) = (PARTITIONS / held.len(), PARTITIONS % held.len());
    let shares: BTreeMap<Slot, usize> = by_size
        .iter()
        .enumerate()
        .map(|(place, (slot, _))| (*slot, share + usize::from(place < larger)))
        .collect();
    for (slot, of_it) in &mut held {
        // the steward's duties stay where they are
        while of_it.len() > shares[slot] {
            free.extend(of_it.pop());
        }
    }
    let mut moves = Vec::with_capacity(free.len());
    for (slot, of_it) in &held {
        let missing = shares[slot].saturating_sub(of_it.len());
        let given = free.split_off(free.len().saturating_sub(missing));
        moves.extend(given.into_iter().map(|partition| (partition, *slot)));
    }
    moves
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(map: &mut PartitionMap, moves: &[(Partition, Slot)]) {
        moves.iter().for_each(|(partition, slot)| map.set(*partition, Some(*slot), None));
    }

    fn sizes(map: &PartitionMap, nodes: &[Slot]) -> Vec<usize> {
        nodes.iter().map(|slot| map.of(*slot).count()).collect()
    }

    proptest! {
        #[test]
        fn every_partition_gets_an_owner_shares_are_even_and_nothing_moves_twice(
            owners in prop::collection::vec(prop::option::of(0u8..8), PARTITIONS),
            nodes in prop::collection::btree_set(0u8..8, 1..8),
        ) {
            let mut map = PartitionMap::default();
            for (partition, owner) in Partition::all().zip(&owners) {
                map.set(partition, owner.map(Slot), None);
            }
            let nodes: Vec<Slot> = nodes.into_iter().map(Slot).collect();
            let before = map.clone();
            let first = moves(&map, &nodes);
            apply(&mut map, &first);
            let sizes = sizes(&map, &nodes);
            prop_assert_eq!(sizes.iter().sum::<usize>(), PARTITIONS);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert!(moves(&map, &nodes).is_empty(), "it converges in one step");
            // as few as possible: what was without an owner, and what was above the larger share
            let ceiling = PARTITIONS.div_ceil(nodes.len());
            let homeless = Partition::all()
                .filter(|partition| before.owner(*partition).is_none_or(|owner| !nodes.contains(&owner)))
                .count();
            let floor = PARTITIONS / nodes.len();
            let above: usize = nodes.iter().map(|slot| before.of(*slot).count().saturating_sub(floor)).sum();
            prop_assert!(first.len() <= homeless + above);
            let kept = nodes.iter().map(|slot| before.of(*slot).count().min(floor)).sum::<usize>();
            prop_assert!(first.len() + kept <= PARTITIONS);
            prop_assert!(ceiling >= floor);
        }
    }

    #[test]
    fn a_node_that_joins_takes_only_its_share_and_one_that_leaves_gives_only_its_own() {
        let mut map = PartitionMap::owned_by(Slot(3));
        let joined = moves(&map, &[Slot(3), Slot(4)]);
        assert_eq!(joined.len(), PARTITIONS / 2);
        apply(&mut map, &joined);
        assert_eq!(map.owner(Partition::STEWARD), Some(Slot(3)), "the steward stays");
        let third = moves(&map, &[Slot(3), Slot(4), Slot(9)]);
        assert!(third.iter().all(|(_, slot)| *slot == Slot(9)));
        apply(&mut map, &third);
        let left = moves(&map, &[Slot(3), Slot(9)]);
        assert_eq!(left.len(), map.of(Slot(4)).count());
        assert!(left.iter().all(|(partition, _)| map.owner(*partition) == Some(Slot(4))));
    }

    #[test]
    fn a_move_under_way_is_not_ordered_again() {
        let mut map = PartitionMap::owned_by(Slot(0));
        for (partition, slot) in moves(&map, &[Slot(0), Slot(1)]) {
            map.set(partition, Some(Slot(0)), Some(slot));
        }
        assert!(moves(&map, &[Slot(0), Slot(1)]).is_empty());
    }
}
