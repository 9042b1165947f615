//! What organizations, and endpoints of one of them, notice of each other.

use std::time::Duration;

use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::endpoint::Endpoint;

use super::world::{OTHER_ORGANIZATION, World, always, endpoint, pass};
use super::{DATA, count};

/// An endpoint of another organization than that of all others here.
fn foreign_endpoint(world: &World, id: i64) {
    world.script(id, always(200));
    world.store.create_endpoint(&Endpoint { organization_id: OTHER_ORGANIZATION, ..endpoint(id) }).unwrap();
}

#[test]
fn an_event_of_another_organization_begins_at_once_while_slow_endpoints_wait_for_every_place() {
    let mut world = World::new();
    world.settings.max_active_endpoints = 64;
    world.settings.crowded_attempts = 64;
    for id in 1..=300 {
        world.endpoint(id, |_| (Duration::from_secs(8), Ok(200)));
    }
    foreign_endpoint(&world, 1_000);
    world.live(async |life| {
        for _ in 0..6 {
            life.publish("call.completed", DATA).await;
        }
        pass(Duration::from_secs(20)).await;
        let mut published = Vec::new();
        for _ in 0..20 {
            life.publish_for(OTHER_ORGANIZATION, "call.completed", DATA).await;
            published.push(life.now());
            pass(Duration::from_millis(700)).await;
        }
        let begun = world.seen(1_000);
        assert_eq!(begun.len(), 20);
        for (seen, published) in begun.iter().zip(published) {
            let waited = seen.at.since(published);
            assert!(waited < Duration::from_millis(100), "{waited:?}");
        }
    });
}

#[test]
fn endpoints_with_a_long_backlog_give_their_places_to_those_that_wait() {
    let mut world = World::new();
    world.settings.max_active_endpoints = 8;
    for id in 1..=60 {
        world.endpoint(id, |_| (Duration::from_secs(4), Ok(200)));
    }
    world.live(async |life| {
        life.publish_many(200, "call.completed", DATA).await;
        // 60 endpoints with places for 8: eight turns of a few seconds each, and the attempts that end them
        pass(Duration::from_secs(120)).await;
        let waiting: Vec<i64> = (1..=60).filter(|&id| world.seen(id).is_empty()).collect();
        assert!(waiting.is_empty(), "had no turn in two minutes: {waiting:?}");
        let done = || (1..=60).all(|id| count(&world, id, DeliveryStatus::Success) == 200);
        life.eventually("nothing is lost between turns", done).await;
        assert!((1..=60).all(|id| world.seen(id).len() == 200), "and nothing is sent twice");
    });
}

#[test]
fn an_organization_with_a_long_batch_does_not_keep_the_event_of_another_waiting_for_all_of_it() {
    let world = World::new();
    for id in 1..=100 {
        world.endpoint(id, always(200));
    }
    foreign_endpoint(&world, 1_000);
    world.live(async |life| {
        // the other one is known to publish
        life.publish_for(OTHER_ORGANIZATION, "call.completed", DATA).await;
        let many = (0..1_000).map(|_| life.publication("call.completed", DATA)).collect();
        let engine = life.engine().clone();
        let mut batch = Box::pin(async move { engine.publish_all(many, None).await.unwrap() });
        let mut single = Box::pin(life.publish_for(OTHER_ORGANIZATION, "call.completed", DATA));
        // both wait for the same commits; the batch was there before
        let is_first = tokio::select! {
            biased;
            results = &mut batch => results.is_empty(),
            _ = &mut single => true,
        };
        assert!(is_first, "a batch of 100,000 deliveries was stored before a single event");
        assert_eq!(batch.await.len(), 1_000);
    });
}
