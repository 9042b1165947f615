//! The fence: what a store writes whose rights have ended.

use std::sync::Arc;
use std::time::Duration;

use ringback::domain::attempt::NextStep;
use ringback::domain::cluster::{MemberState, Partition, Slot};
use ringback::domain::ids::EndpointId;
use ringback::domain::statistics::StatisticsDelta;
use ringback::domain::time::{Clock, UnixMillis};
use ringback::store::memory::MemoryStore;
use ringback::store::{Beat, EventCommit, Joining, Store, StoreError, WriteBatch, open};
use test_support::postgres;

use crate::fixture::{Fixture, at, cipher, outcome, plain_endpoint};

fn joining(name: &str, incarnation: i64) -> Joining {
    Joining {
        lease: Duration::from_secs(6),
        incarnation,
        name: name.to_owned(),
        process: String::new(),
        advertise: None,
        version: String::from("test"),
        started_at: at(0),
    }
}

fn live() -> Beat {
    Beat { state: MemberState::Live, report: String::new() }
}

fn is_fenced<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced))
}

struct StandingStill;

impl Clock for StandingStill {
    fn now(&self) -> UnixMillis {
        at(0)
    }
}

/// Two stores over the same rows, which have joined with these slots: in memory, and on PostgreSQL where it is installed.
fn pairs() -> Vec<(Fixture, Fixture, Slot, Slot)> {
    let memory = MemoryStore::shared(Arc::new(StandingStill));
    let mut pairs: Vec<[Arc<dyn Store>; 2]> = vec![[Arc::new(memory.of_another_node()), Arc::new(memory)]];
    if let Some(server) = postgres::shared() {
        let url = server.create_database();
        pairs.push([(); 2].map(|()| open(&url, cipher()).unwrap_or_else(|error| panic!("{error}"))));
    }
    let joined = pairs.into_iter().map(|[first, second]| {
        let first = Fixture::over(first);
        // as nodes, they never make the same id
        let second = Fixture::over(second).going_on_above(first.id_at(at(1_000)));
        let [one, other] = [&first, &second].map(|f| f.store.join(&joining("node", 1)).unwrap());
        (first, second, one, other)
    });
    joined.collect()
}

fn end_rights(of: Slot, by: &dyn Store) {
    let members = by.members().unwrap();
    let dead = members.iter().find(|member| member.slot == of).unwrap();
    assert!(by.fence(dead, &[]).unwrap());
}

#[test]
fn a_store_whose_rights_have_ended_writes_nothing_until_it_has_joined_again() {
    for (first, second, slot, _) in pairs() {
        let organization_id = first.organization();
        let endpoint_id = first.endpoint(organization_id);
        let delivery = first.publish(organization_id, &[endpoint_id], at(0))[0];
        let done = outcome(organization_id, endpoint_id, delivery, 1, 200, NextStep::Succeeded);
        end_rights(slot, second.store.as_ref());

        // an event, an outcome, and a change: in one statement, and in transactions
        let new = first.new_event(organization_id, &[endpoint_id], at(1));
        let batch = WriteBatch { events: vec![new], outcomes: vec![done.clone()], ..WriteBatch::default() };
        assert!(is_fenced(&first.store.commit(&batch, at(1))));
        assert!(is_fenced(
            &first.store.create_endpoint(&plain_endpoint(EndpointId(first.id_at(at(1))), organization_id))
        ));
        assert!(is_fenced(&first.store.delete_endpoint(organization_id, endpoint_id, at(1))));
        assert!(is_fenced(&first.store.beat(&live())));
        assert_eq!(second.due(organization_id, endpoint_id, at(2)), [delivery], "nothing was written");

        assert_eq!(first.store.join(&joining("node", 2)).unwrap(), slot, "its own place is free");
        assert_eq!(first.store.commit(&batch, at(1)).unwrap().events, [EventCommit::Stored]);
        first.store.beat(&live()).unwrap();
    }
}

#[test]
fn a_member_that_has_given_another_sign_of_life_keeps_its_rights() {
    for (first, second, slot, _) in pairs() {
        first.store.beat(&live()).unwrap();
        let members = second.store.members().unwrap();
        let seen = members.iter().find(|member| member.slot == slot).unwrap();
        first.store.beat(&live()).unwrap();
        assert!(!second.store.fence(seen, &[]).unwrap());
        let organization_id = first.organization();
        first.publish(organization_id, &[], at(0));
    }
}

#[test]
fn the_partitions_of_a_dead_member_go_where_they_are_given_and_others_stay() {
    for (first, second, one, two) in pairs() {
        let all: Vec<(Partition, Slot)> =
            Partition::all().map(|it| (it, if it.0 < 200 { one } else { two })).collect();
        first.store.claim(&all).unwrap();
        let dead = first.store.members().unwrap().into_iter().find(|member| member.slot == one).unwrap();
        let heirs: Vec<(Partition, Slot)> = Partition::all().filter(|it| it.0 < 150).map(|it| (it, two)).collect();
        assert!(second.store.fence(&dead, &heirs).unwrap());
        let owned = second.store.ownership().unwrap();
        for partition in Partition::all() {
            let expected = (partition.0 < 150 || partition.0 >= 200).then_some(two);
            assert_eq!(owned.map.owner(partition), expected, "{partition:?}");
        }
        let before = owned.version;
        second.store.beat(&live()).unwrap();
        assert_eq!(second.store.beat(&live()).unwrap().map_version, before);
    }
}

#[test]
fn partitions_that_were_given_to_a_node_that_has_just_left_are_free_and_those_of_a_living_one_are_not() {
    for (first, second, one, two) in pairs() {
        let all = |slot| Partition::all().map(|it| (it, slot)).collect::<Vec<_>>();
        first.store.claim(&all(one)).unwrap();
        second.store.claim(&all(two)).unwrap();
        assert_eq!(second.store.ownership().unwrap().map.of(one).count(), 256);
        second.store.leave().unwrap();
        let moves: Vec<(Partition, Option<Slot>)> = Partition::all().map(|it| (it, Some(two))).collect();
        first.store.hand_over(&moves, &[]).unwrap();
        first.store.claim(&all(one)).unwrap();
        assert_eq!(first.store.ownership().unwrap().map.of(one).count(), 256);
    }
}

#[test]
fn a_hand_over_pins_busy_endpoints_until_their_attempts_have_ended() {
    for (first, second, one, two) in pairs() {
        let organization_id = first.organization();
        let endpoint_id = first.endpoint(organization_id);
        first.store.claim(&Partition::all().map(|it| (it, one)).collect::<Vec<_>>()).unwrap();
        let moves = [(Partition::of(endpoint_id), Some(two))];
        first.store.hand_over(&moves, &[(endpoint_id, organization_id)]).unwrap();
        let owned = second.store.ownership().unwrap();
        assert_eq!(owned.map.owner(Partition::of(endpoint_id)), Some(two));
        assert_eq!((owned.pins[0].endpoint_id, owned.pins[0].slot), (endpoint_id, one));
        first.store.unpin(&[endpoint_id]).unwrap();
        assert!(second.store.ownership().unwrap().pins.is_empty());
        first.store.hand_over(&moves, &[(endpoint_id, organization_id)]).unwrap();
        first.store.leave().unwrap();
        let owned = second.store.ownership().unwrap();
        assert!(
            owned.pins.is_empty() && owned.map.of(one).next().is_none(),
            "nothing is left of one that has left"
        );
        assert!(is_fenced(&first.store.commit(
            &WriteBatch { events: vec![first.new_event(organization_id, &[], at(1))], ..WriteBatch::default() },
            at(1)
        )));
    }
}

#[test]
fn two_nodes_add_to_counts_of_their_own_and_readers_see_the_sum() {
    for (first, second, ..) in pairs() {
        let organization_id = first.organization();
        let endpoint_id = first.endpoint(organization_id);
        for f in [&first, &second, &first] {
            let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
            let done = outcome(organization_id, endpoint_id, id, 1, 200, NextStep::Succeeded);
            let statistics = vec![StatisticsDelta::of(&done)];
            let batch = WriteBatch { outcomes: vec![done], statistics, ..WriteBatch::default() };
            f.store.commit(&batch, at(0)).unwrap();
        }
        let sums = second.store.organization_statistics(organization_id, at(-600)).unwrap();
        assert_eq!(sums.iter().map(|sum| sum.counts.succeeded).sum::<u64>(), 3);
        assert_eq!(sums.len(), 1, "one for the period");
    }
}
