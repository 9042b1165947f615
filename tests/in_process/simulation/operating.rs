//! What an operator sees and does: operational events, sending again, tests, retention.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::ids::EndpointId;
use ringback::domain::patterns::EventPattern;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::round::Rounds;
use ringback::store::MadeDeliveryDue;

use super::world::{BEGIN, ORGANIZATION, World, always, down_until, endpoint, pass};
use super::{DATA, DAY, assert_on_schedule, count, deliveries};
use crate::faulty_store::FaultyStore;

fn asking_for(id: i64, event_types: &[&str]) -> Endpoint {
    let mut endpoint = endpoint(id);
    endpoint.events = event_types.iter().map(|name| EventPattern::parse(name).unwrap()).collect();
    endpoint
}

fn operational_events(world: &World, id: i64) -> Vec<serde_json::Value> {
    let mut events: Vec<serde_json::Value> =
        world.seen(id).iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    events.dedup_by_key(|event| event["webhook_id"].clone());
    events
}

#[test]
fn an_organization_is_told_of_a_failing_webhook_by_one_that_asks_and_nothing_loops() {
    let world = World::new();
    let all = ["webhook.failing", "webhook.recovered", "webhook.disabled", "delivery.exhausted"];
    // asks for everything, the operational events about itself included, and fails
    let mut failing = asking_for(1, &all);
    failing.events.push(EventPattern::parse("call.*").unwrap());
    world.store.create_endpoint(&failing).unwrap();
    world.script(1, down_until(BEGIN + DAY));
    world.store.create_endpoint(&asking_for(2, &all)).unwrap();
    world.script(2, always(200));
    // asks for all by default, and by pattern: gets none of them
    world.store.create_endpoint(&asking_for(3, &["*", "webhook.*"])).unwrap();
    world.script(3, always(200));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(4 * 3600)).await;
        let kinds: Vec<_> =
            operational_events(&world, 2).iter().map(|event| event["event_type"].clone()).collect();
        assert_eq!(kinds, ["delivery.exhausted", "webhook.failing"]);
        life.until(BEGIN + DAY).await;
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + 2 * DAY).await;
    });
    let events = operational_events(&world, 2);
    let last = events.last().unwrap();
    assert_eq!(last["event_type"], "webhook.recovered");
    assert_eq!(last["data"]["webhook_id"], EndpointId(1).to_string());
    assert_eq!(events.len(), 3);
    let numbers = world.seen(1).iter().filter(|seen| seen.number == 1).count();
    assert_eq!(numbers, 2, "no event about a webhook goes to it");
    assert_eq!(operational_events(&world, 3).len(), 2, "only the two calls");
}

#[test]
fn two_failing_webhooks_do_not_report_each_other_for_ever() {
    let world = World::new();
    for id in [1, 2] {
        let asked = ["call.*", "webhook.failing", "delivery.exhausted"];
        world.store.create_endpoint(&asking_for(id, &asked)).unwrap();
        world.script(id, down_until(BEGIN + 100 * DAY));
    }
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + 3 * DAY).await;
    });
    let events = deliveries(&world, 1).len() + deliveries(&world, 2).len();
    assert!(events <= 6, "{events} deliveries of one event");
}

#[test]
fn a_webhook_that_fails_for_five_days_is_disabled_and_its_organization_told() {
    let world = World::new();
    let mut dead = asking_for(1, &["call.*"]);
    dead.retry = RetrySchedule::Policy(RetryPolicy { max_attempts: 50, ..RetryPolicy::default() });
    world.store.create_endpoint(&dead).unwrap();
    world.script(1, down_until(BEGIN + 100 * DAY));
    world.store.create_endpoint(&asking_for(2, &["webhook.disabled"])).unwrap();
    world.script(2, always(200));
    for day in 0..7u32 {
        world.live(async |life| {
            life.publish("call.completed", DATA).await;
            life.until(BEGIN + (day + 1) * DAY).await;
        });
    }
    let events = operational_events(&world, 2);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["data"]["disabled_reason"], "failing");
    let endpoint = world.store.endpoint(ORGANIZATION, EndpointId(1)).unwrap().unwrap().endpoint;
    assert!(!endpoint.active);
    let last = world.seen(1).last().unwrap().at;
    assert!(last >= BEGIN + 5 * DAY && last < BEGIN + 6 * DAY);
}

#[test]
fn what_is_sent_again_gets_its_whole_schedule_and_its_numbers_go_on() {
    let world = World::new();
    world.endpoint(1, always(500));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + DAY).await;
        let id = deliveries(&world, 1)[0].id;
        world.store.requeue_delivery(ORGANIZATION, id, Rounds::Schedule, life.now()).unwrap();
        life.engine().work_added(ORGANIZATION, vec![EndpointId(1)]);
        life.until(BEGIN + 2 * DAY).await;
    });
    let seen = world.seen(1);
    let numbers: Vec<u32> = seen.iter().map(|seen| seen.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_on_schedule(&seen[4..], RetrySchedule::default());
    assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Failed);
}

#[test]
fn what_is_sent_again_once_gets_one_attempt_and_what_waits_for_a_retry_can_be_attempted_before_it() {
    let world = World::new();
    world.endpoint(1, always(500));
    let in_an_hour = BEGIN + Duration::from_secs(3_600);
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(in_an_hour).await;
        let id = deliveries(&world, 1)[0].id;
        world.store.requeue_delivery(ORGANIZATION, id, Rounds::Once, life.now()).unwrap();
        life.engine().work_added(ORGANIZATION, vec![EndpointId(1)]);
        life.until(BEGIN + DAY).await;
        assert_eq!(world.seen(1).len(), 5);
        assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Failed);

        life.publish("call.completed", DATA).await;
        life.until(BEGIN + DAY + Duration::from_secs(5)).await;
        let waiting = deliveries(&world, 1).iter().map(|row| row.id).max().unwrap();
        let made_due = world.store.make_delivery_due(ORGANIZATION, waiting, life.now()).unwrap();
        assert_eq!(made_due, MadeDeliveryDue::MadeDue { endpoint_id: EndpointId(1) });
        life.engine().work_added(ORGANIZATION, vec![EndpointId(1)]);
        life.until(BEGIN + 2 * DAY).await;
    });
    let seen = world.seen(1);
    let numbers: Vec<u32> = seen.iter().map(|seen| seen.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    assert!(seen[6].at.since(seen[5].at) < Duration::from_secs(10), "before its retry");
    // its schedule goes on as if the attempt in between had not been made
    assert_on_schedule(&seen[6..], RetrySchedule::default());
    assert!(deliveries(&world, 1).iter().all(|row| row.status == DeliveryStatus::Failed));
}

#[test]
fn a_test_is_sent_at_once_to_a_disabled_webhook_and_is_in_the_log() {
    let world = World::new();
    let mut endpoint = world.endpoint(1, always(418));
    let start = |endpoint: &Endpoint| world.store.endpoint(ORGANIZATION, endpoint.id).unwrap().unwrap();
    endpoint.active = false;
    endpoint.version += 1;
    world.store.update_endpoint(&endpoint).unwrap();
    world.live(async |life| {
        let publication = life.publication("call.completed", DATA);
        let test = life.engine().send_test(&start(&endpoint), &publication).await.unwrap();
        assert!(!test.is_success);
        assert_eq!(test.result.response.unwrap().status, 418);
        pass(DAY).await;
        assert_eq!(deliveries(&world, 1)[0].id, test.delivery_id);
    });
    assert_eq!(world.seen(1).len(), 1);
    assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Failed);
    assert_eq!(deliveries(&world, 1)[0].attempt_count, 1);
}

#[test]
fn events_older_than_they_are_kept_are_removed_and_pending_ones_stay() {
    let world = World::new();
    world.endpoint(1, always(200));
    let mut off = endpoint(2);
    world.store.create_endpoint(&off).unwrap();
    world.script(2, always(200));
    world.live(async |life| {
        for _ in 0..1_200 {
            life.publish("call.completed", DATA).await;
        }
        off.active = false;
        off.version += 1;
        world.store.update_endpoint(&off).unwrap();
        life.engine().settings_changed();
        life.until(BEGIN + 29 * DAY).await;
        assert_eq!(deliveries(&world, 1).len(), 1_200);
        life.until(BEGIN + 31 * DAY).await;
    });
    let pending = count(&world, 2, DeliveryStatus::Pending);
    let kept = deliveries(&world, 1).len();
    assert_eq!(kept, pending, "an event is kept as long as one of its deliveries is pending");
    assert!(kept < 1_200);
}

#[test]
fn when_little_happens_an_outcome_is_written_with_the_next_event_and_without_one_a_moment_later() {
    const EVENTS: usize = 50;
    let mut world = World::new();
    world.endpoint(1, always(200));
    let store = Arc::new(FaultyStore::over(world.store.clone()));
    world.store = store.clone();
    let commits = || store.commits.load(Ordering::SeqCst);
    world.live(async |life| {
        for _ in 0..EVENTS {
            life.publish("call.completed", DATA).await;
            pass(Duration::from_millis(10)).await;
        }
        pass(Duration::from_millis(100)).await;
        assert_eq!(count(&world, 1, DeliveryStatus::Success), EVENTS, "nothing waits for ever");
        // the last outcome's, and those of counts
        assert!((EVENTS..EVENTS + 5).contains(&commits()), "{} commits", commits());
    });
}
