//! When old events go.

use std::time::Duration;

use ringback::domain::event::EventFilter;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::store::PageRequest;

use super::DATA;
use super::world::{BEGIN, ORGANIZATION, World, always, down_until};

const MINUTE: Duration = Duration::from_secs(60);

fn events(world: &World) -> usize {
    let page = PageRequest { before_id: None, limit: 100_000 };
    world.store.events(ORGANIZATION, &EventFilter::default(), page).unwrap().len()
}

#[test]
fn events_go_within_two_minutes_of_their_time_and_those_that_had_to_stay_within_an_hour_of_their_end() {
    let mut world = World::new();
    world.settings.retention = 60 * MINUTE;
    world.endpoint(1, always(200));
    world.live(async |life| {
        // more than one step takes, and accepted between two whole runs
        life.until(BEGIN + 30 * MINUTE).await;
        life.publish_many(1_200, "call.completed", DATA).await;
        let mut down = world.endpoint(2, down_until(BEGIN + 100 * MINUTE));
        let patient = RetryPolicy { max_attempts: 50, ..RetryPolicy::default() };
        life.change(&world, &mut down, |endpoint| endpoint.retry = RetrySchedule::Policy(patient));
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + 89 * MINUTE).await;
        assert_eq!(events(&world), 1_201);
        life.until(BEGIN + 93 * MINUTE).await;
        assert_eq!(events(&world), 1, "it has a delivery that is pending");
        life.until(BEGIN + 180 * MINUTE).await;
        assert_eq!(events(&world), 0);
    });
}
