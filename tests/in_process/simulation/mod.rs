//! The real actors over days of simulated time.

mod cluster;
mod fairness;
mod later;
mod operating;
mod repairing;
mod retaining;
mod returning;
mod statistics;
mod world;

use std::time::Duration;

use ringback::actors::messages::RetireRequest;
use ringback::domain::attempt::AttemptError;
use ringback::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use ringback::domain::endpoint::RateLimit;
use ringback::domain::health::EndpointState;
use ringback::domain::ids::EndpointId;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::store::PageRequest;
use world::{BEGIN, ORGANIZATION, Seen, World, always, down_until, endpoint, pass};

const DAY: Duration = Duration::from_secs(86_400);
const DATA: &str = r#"{"id":"call_1","direction":"outbound"}"#;

fn deliveries(world: &World, id: i64) -> Vec<DeliveryRecord> {
    let filter = DeliveryFilter { endpoint_id: Some(EndpointId(id)), ..DeliveryFilter::default() };
    let page = PageRequest { before_id: None, limit: 100_000 };
    world.store.deliveries(ORGANIZATION, &filter, page).unwrap().rows
}

fn count(world: &World, id: i64, status: DeliveryStatus) -> usize {
    deliveries(world, id).iter().filter(|delivery| delivery.status == status).count()
}

/// Each delay between two attempts is the schedule's, or up to a tenth more.
fn assert_on_schedule(seen: &[Seen], schedule: RetrySchedule) {
    for (pair, retry) in seen.windows(2).zip(1..) {
        let base = schedule.base_delay(retry).as_secs_f64();
        let delay = pair[1].second() - pair[0].second();
        assert!(delay >= base && delay <= base * 1.1 + 0.1, "retry {retry} after {delay} s, expected {base} s");
    }
}

#[test]
fn an_endpoint_down_for_three_days_is_attempted_exactly_on_its_policy_across_breaker_and_restarts() {
    let back_at = BEGIN + 3 * DAY;
    let world = World::new();
    // the document's schedule, a custom one that lasts, and a storm that opens the breaker
    world.endpoint(1, down_until(back_at));
    let patient = RetrySchedule::Policy(RetryPolicy {
        max_attempts: 30,
        backoff_multiplier: 2.0,
        initial_delay_seconds: 60,
        max_delay_seconds: 6 * 3600,
    });
    let mut custom = endpoint(2);
    custom.retry = patient;
    world.store.create_endpoint(&custom).unwrap();
    world.script(2, down_until(back_at));
    let mut stormed = endpoint(3);
    stormed.retry = patient;
    world.store.create_endpoint(&stormed).unwrap();
    world.script(3, down_until(back_at));

    world.live(async |life| {
        for number in 0..100 {
            // endpoints 1 and 2 see one event, endpoint 3 a hundred
            if number == 1 {
                for id in [1, 2] {
                    let mut quiet = world.store.endpoint(ORGANIZATION, EndpointId(id)).unwrap().unwrap().endpoint;
                    quiet.events = vec![ringback::domain::patterns::EventPattern::Exact("call.missed".to_owned())];
                    quiet.version += 1;
                    world.store.update_endpoint(&quiet).unwrap();
                    life.engine().settings_changed();
                }
            }
            life.publish("call.completed", DATA).await;
        }
        life.until(BEGIN + Duration::from_secs(200)).await;
    });
    // killed in the middle of the schedules, and again every six hours
    for part in 1..=12u32 {
        world.live(async |life| life.until(BEGIN + part * (DAY / 4)).await);
    }
    let probes_while_down = world.seen(3);
    world.live(async |life| life.until(BEGIN + 5 * DAY).await);

    let document = world.seen(1);
    assert_eq!(document.len(), 4, "{document:?}");
    assert_on_schedule(&document, RetrySchedule::default());
    assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Failed);

    let patient_seen = world.seen(2);
    assert_on_schedule(&patient_seen, patient);
    let numbers: Vec<u32> = patient_seen.iter().map(|seen| seen.number).collect();
    assert_eq!(numbers, (1..=patient_seen.len() as u32).collect::<Vec<_>>());
    let last = patient_seen.last().unwrap();
    assert!(last.at >= back_at && last.at < back_at + Duration::from_secs(7 * 3600));
    assert_eq!(deliveries(&world, 2)[0].status, DeliveryStatus::Success);

    assert_probes(&probes_while_down);
    assert_eq!(count(&world, 3, DeliveryStatus::Pending), 0);
    assert!(count(&world, 3, DeliveryStatus::Success) >= 80);
}

/// After the storm only single probes, with pauses that double up to ten minutes.
fn assert_probes(seen: &[Seen]) {
    assert_probes_from(seen, 300);
}

/// The same, with so many probes at least.
fn assert_probes_from(seen: &[Seen], least: usize) {
    let storm = seen.iter().take_while(|seen| seen.second() < 4.0).count();
    assert!(storm <= 10, "{storm} requests before the breaker opened");
    let mut pause: f64 = 5.0;
    for pair in seen[storm - 1..].windows(2) {
        let delay = pair[1].second() - pair[0].second();
        assert!(delay >= pause && delay <= pause * 1.1 + 0.1, "a probe after {delay} s, expected {pause} s");
        pause = (pause * 2.0).min(600.0);
    }
    assert!(seen.len() > least, "{} probes", seen.len());
}

#[test]
fn an_event_is_delivered_within_a_moment_and_its_body_is_the_stored_one() {
    let world = World::new();
    world.endpoint(1, always(200));
    world.live(async |life| {
        let id = life.publish("call.completed", DATA).await;
        life.eventually("delivered", || count(&world, 1, DeliveryStatus::Success) == 1).await;
        let seen = world.seen(1);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].event_id, id.to_string());
        let detail = world.store.delivery(ORGANIZATION, deliveries(&world, 1)[0].id).unwrap().unwrap();
        assert_eq!(detail.body, seen[0].body);
        assert_eq!(detail.attempts.len(), 1);
        assert!(std::str::from_utf8(&detail.body).unwrap().ends_with(&format!(",\"data\":{DATA}}}")));
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_dies_at_any_moment() {
    let world = World::new();
    let slow = |_| (Duration::from_millis(40), Ok(200));
    world.endpoint(1, slow);
    let mut acknowledged = Vec::new();
    for life_number in 0..20u64 {
        world.live(async |life| {
            for _ in 0..10 {
                acknowledged.push(life.publish("call.completed", DATA).await.to_string());
            }
            pass(Duration::from_millis(7 * life_number)).await;
        });
    }
    world.live(async |life| {
        life.eventually("all delivered", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    let seen = world.seen(1);
    for id in &acknowledged {
        assert!(seen.iter().any(|seen| seen.event_id == *id), "{id} was lost");
    }
    let duplicates = seen.len() - acknowledged.len();
    assert!(duplicates <= 20 * 64, "{duplicates} duplicates");
}

#[test]
fn a_graceful_stop_leaves_no_duplicate_and_nothing_in_flight() {
    let world = World::new();
    world.endpoint(1, |_| (Duration::from_secs(2), Ok(200)));
    for _ in 0..5 {
        world.live(async |life| {
            for _ in 0..20 {
                life.publish("call.completed", DATA).await;
            }
            life.actors.stop().await;
        });
    }
    world.live(async |life| {
        life.eventually("all delivered", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    assert_eq!(world.seen(1).len(), 100);
}

#[test]
fn a_backlog_larger_than_memory_drains_completely_and_without_duplicates() {
    let world = World::new();
    world.endpoint(1, |_| (Duration::from_millis(5), Ok(200)));
    world.live(async |life| {
        for _ in 0..3_000 {
            life.publish("call.completed", DATA).await;
        }
        life.eventually("all delivered", || count(&world, 1, DeliveryStatus::Success) == 3_000).await;
    });
    assert_eq!(world.seen(1).len(), 3_000);
}

#[test]
fn more_endpoints_than_supervisors_all_get_their_turn() {
    let mut world = World::new();
    world.settings.max_active_endpoints = 3;
    for id in 1..=40 {
        world.endpoint(id, always(200));
    }
    world.live(async |life| {
        for _ in 0..5 {
            life.publish("call.completed", DATA).await;
        }
        let done = || (1..=40).all(|id| count(&world, id, DeliveryStatus::Success) == 5);
        life.eventually("every endpoint had its turn", done).await;
    });
}

#[test]
fn a_hanging_endpoint_does_not_delay_a_healthy_one() {
    let world = World::new();
    world.endpoint(1, |_| (Duration::from_secs(3600), Ok(200)));
    world.endpoint(2, always(200));
    world.live(async |life| {
        for _ in 0..200 {
            life.publish("call.completed", DATA).await;
            pass(Duration::from_millis(20)).await;
        }
    });
    let healthy = world.seen(2);
    assert_eq!(healthy.len(), 200);
    let late = healthy.windows(2).filter(|pair| pair[1].second() - pair[0].second() > 0.1).count();
    assert_eq!(late, 0);
    assert!(world.seen(1).len() <= 12, "{} requests to the hanging one", world.seen(1).len());
}

#[test]
fn a_rate_limit_holds_in_every_second_also_after_a_long_outage() {
    let world = World::new();
    let mut limited = endpoint(1);
    limited.rate_limit = Some(RateLimit { per_second: 50.0, burst: None });
    world.store.create_endpoint(&limited).unwrap();
    let back_at = BEGIN + Duration::from_secs(600);
    world.script(1, down_until(back_at));
    world.live(async |life| {
        for _ in 0..2_000 {
            life.publish("call.completed", DATA).await;
        }
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    assert_eq!(count(&world, 1, DeliveryStatus::Success), 2_000);
    let seen = world.seen(1);
    for (index, first) in seen.iter().enumerate() {
        let within = seen[index..].iter().take_while(|seen| seen.second() < first.second() + 1.0).count();
        assert!(within <= 55, "{within} requests in one second");
    }
}

#[test]
fn an_ordered_endpoint_gets_its_events_in_order_across_retries_and_restarts() {
    let world = World::new();
    let mut ordered = endpoint(1);
    ordered.ordered = true;
    ordered.retry = RetrySchedule::Policy(RetryPolicy { initial_delay_seconds: 2, ..RetryPolicy::default() });
    world.store.create_endpoint(&ordered).unwrap();
    // fails in every third second
    world.script(1, |now| {
        let fails = now.as_seconds() % 3 == 0;
        (Duration::from_millis(30), if fails { Err(AttemptError::ConnectionReset) } else { Ok(200) })
    });
    let mut published = Vec::new();
    for _ in 0..4 {
        world.live(async |life| {
            for _ in 0..60 {
                published.push(life.publish("call.completed", DATA).await.to_string());
            }
            pass(Duration::from_millis(2_700)).await;
        });
    }
    world.live(async |life| {
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    let mut firsts: Vec<String> = Vec::new();
    for seen in world.seen(1) {
        if !firsts.contains(&seen.event_id) {
            firsts.push(seen.event_id);
        }
    }
    assert_eq!(firsts, published);
}

#[test]
fn gone_disables_the_endpoint_and_later_events_do_not_wait_for_it() {
    let world = World::new();
    world.endpoint(1, always(410));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        let is_disabled = || {
            let start = world.store.endpoint(ORGANIZATION, EndpointId(1)).unwrap().unwrap();
            EndpointState::of(&start.endpoint, Some(&start.health)) == EndpointState::Disabled
        };
        life.eventually("disabled", is_disabled).await;
        life.publish("call.completed", DATA).await;
        pass(DAY).await;
    });
    assert_eq!(world.seen(1).len(), 1);
    assert_eq!(deliveries(&world, 1).len(), 1, "no delivery is made for a disabled webhook");
    assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Failed);
}

#[test]
fn deactivating_pauses_what_is_pending_and_activating_goes_on_with_it() {
    let world = World::new();
    let mut endpoint = world.endpoint(1, down_until(BEGIN + Duration::from_secs(30)));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        pass(Duration::from_secs(10)).await;
        let mut switch = |active: bool| {
            endpoint.active = active;
            endpoint.version += 1;
            world.store.update_endpoint(&endpoint).unwrap();
            life.engine().settings_changed();
        };
        switch(false);
        pass(DAY).await;
        assert_eq!(world.seen(1).len(), 1);
        switch(true);
        pass(Duration::from_secs(5)).await;
        assert_eq!(count(&world, 1, DeliveryStatus::Success), 1);
    });
}

#[test]
fn an_endpoint_that_changes_while_its_supervisor_begins_gets_each_event_once() {
    let world = World::new();
    let mut endpoint = world.endpoint(1, always(200));
    world.live(async |life| {
        for round in 1..=50 {
            life.publish("call.completed", DATA).await;
            for _ in 0..3 {
                endpoint.version += 1;
                world.store.update_endpoint(&endpoint).unwrap();
                life.engine().settings_changed();
            }
            // until the supervisor has retired
            pass(Duration::from_secs(20)).await;
            assert_eq!(world.seen(1).len(), round);
        }
    });
}

#[test]
fn a_deleted_endpoints_pending_deliveries_are_cancelled_and_never_sent() {
    let world = World::new();
    world.endpoint(1, always(503));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        pass(Duration::from_secs(10)).await;
        let cancelled = world.store.delete_endpoint(ORGANIZATION, EndpointId(1), life.now()).unwrap();
        assert_eq!(cancelled, Some(1));
        life.engine().settings_changed();
        pass(DAY).await;
    });
    assert_eq!(world.seen(1).len(), 1);
    assert_eq!(deliveries(&world, 1)[0].status, DeliveryStatus::Cancelled);
}

#[test]
fn a_change_while_a_supervisor_begins_is_in_force_when_it_has_begun() {
    let world = World::new();
    let mut endpoint = world.endpoint(1, always(200));
    world.script(9, always(200));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        endpoint.version += 1;
        endpoint.url = world::url(9);
        world.store.update_endpoint(&endpoint).unwrap();
        life.engine().settings_changed();
        life.publish("call.completed", DATA).await;
        pass(Duration::from_secs(1)).await;
        life.publish("call.completed", DATA).await;
        pass(Duration::from_secs(1)).await;
    });
    assert!(world.seen(9).len() >= 2, "{} at the new place", world.seen(9).len());
    assert_eq!(world.seen(9).len() + world.seen(1).len(), 3);
}

#[test]
fn a_batch_larger_than_a_mailbox_is_delivered_completely() {
    let mut world = World::new();
    world.settings.max_uncommitted_events = 10_000;
    world.endpoint(1, always(200));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.eventually("the supervisor is there", || count(&world, 1, DeliveryStatus::Success) == 1).await;
        let batch: Vec<_> = (0..2_000).map(|_| life.publication("call.completed", DATA)).collect();
        life.engine().publish_all(batch, None).await.unwrap();
        life.eventually("all delivered", || count(&world, 1, DeliveryStatus::Success) == 2_001).await;
    });
    assert_eq!(world.seen(1).len(), 2_001);
}

#[test]
fn a_supervisor_that_asks_to_retire_stays_when_more_was_sent_to_it_meanwhile() {
    let world = World::new();
    world.endpoint(1, |_| (Duration::from_secs(2), Ok(200)));
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        pass(Duration::from_secs(1)).await;
        // as if it had asked before the delivery reached it, and was heard after
        let stale = RetireRequest { endpoint_id: EndpointId(1), received: 0, due_at: None };
        life.actors.router().send(stale).await.unwrap();
        pass(Duration::from_secs(10)).await;
        assert_eq!(count(&world, 1, DeliveryStatus::Success), 1);
    });
    assert_eq!(world.seen(1).len(), 1);
}

#[test]
fn a_webhook_that_is_deleted_as_soon_as_it_is_created_leaves_nobody_looking_for_it() {
    let world = World::new();
    world.live(async |life| {
        for id in 1..=20 {
            let endpoint = world.endpoint(id, always(200));
            life.engine().settings_changed();
            assert_eq!(world.store.delete_endpoint(ORGANIZATION, endpoint.id, life.now()).unwrap(), Some(0));
            life.engine().settings_changed();
        }
        // never returns while a supervisor is started over and over: time stands still while there is work
        pass(DAY).await;
    });
}
