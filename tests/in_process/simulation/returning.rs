//! Receivers that come back, and everything that waits for them: no storm, no herd, nobody starved.

use std::sync::Arc;
use std::time::Duration;

use ringback::domain::attempt::AttemptError;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::endpoint::RateLimit;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::time::UnixMillis;

use super::world::{BEGIN, Seen, World, always, down_until, endpoint, pass};
use super::{DATA, assert_probes_from, count};

const SECOND: Duration = Duration::from_secs(1);

fn limit(per_second: f64) -> Option<RateLimit> {
    Some(RateLimit { per_second, burst: None })
}

/// Fails when any second, wherever it begins, saw more than 1.1 times the highest limit that was in force in it.
/// `limits`: since when which limit was in force; the first since ever. Returns the worst second's share.
fn assert_limited(seen: &[Seen], limits: &[(UnixMillis, f64)]) -> f64 {
    let mut worst: f64 = 0.0;
    let mut end = 0;
    for (begin, first) in seen.iter().enumerate() {
        end = end.max(begin);
        while end < seen.len() && seen[end].at < first.at + SECOND {
            end += 1;
        }
        let in_force = limits.iter().enumerate().filter(|(index, (since, _))| {
            let until = limits.get(index + 1).map(|(at, _)| *at);
            *since < first.at + SECOND && until.is_none_or(|until| until >= first.at)
        });
        let highest = in_force.map(|(_, (_, limit))| *limit).fold(0.0, f64::max);
        let share = (end - begin) as f64 / highest;
        assert!(share <= 1.1, "{} in the second from {}, limited to {highest}", end - begin, first.second());
        worst = worst.max(share);
    }
    worst
}

#[test]
fn twenty_thousand_that_wait_for_a_receiver_come_within_its_rate_limit_across_kills_and_changes_of_the_limit() {
    let mut world = World::new();
    world.settings.max_uncommitted_events = 10_000;
    let back_at = BEGIN + Duration::from_secs(600);
    let mut limited = endpoint(1);
    limited.rate_limit = limit(200.0);
    world.store.create_endpoint(&limited).unwrap();
    world.script(1, down_until(back_at));
    world.live(async |life| {
        life.publish_many(20_000, "call.completed", DATA).await;
        life.until(back_at).await;
        life.eventually("it is found back", || count(&world, 1, DeliveryStatus::Success) > 100).await;
    });
    let mut limits = vec![(BEGIN, 200.0)];
    // killed soon after it began to drain, in the middle of seconds, and after pauses shorter than one
    for round in 0..24u64 {
        world.live(async |life| {
            pass(Duration::from_millis(130 + 217 * (round % 7))).await;
            if round % 3 == 0 {
                // back and forth within a second: no burst for each change
                for per_second in [100.0, 200.0, 400.0, 200.0] {
                    life.change(&world, &mut limited, |endpoint| endpoint.rate_limit = limit(per_second));
                    limits.push((life.now(), per_second));
                    pass(Duration::from_millis(60)).await;
                }
            }
        });
    }
    world.live(async |life| {
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    let seen: Vec<Seen> = world.seen(1).into_iter().filter(|seen| seen.at >= back_at).collect();
    let worst = assert_limited(&seen, &limits);
    // and it is used: whatever was lost to kills, the rest came at the full rate
    let took = seen.last().unwrap().at.since(seen[0].at).as_secs_f64();
    println!("measured: the worst second had {worst:.3} of the limit; 20,000 drained in {took:.0} s at 200/s");
    assert!(took < 20_000.0 / 200.0 * 1.5, "{took} s");
}

#[test]
fn a_slow_rate_limit_holds_when_the_endpoint_rests_between_events_and_when_the_process_is_killed() {
    let world = World::new();
    let mut slow = endpoint(1);
    slow.rate_limit = limit(0.1);
    world.store.create_endpoint(&slow).unwrap();
    world.script(1, always(200));
    let mut bursting = endpoint(2);
    // an hour fills it
    bursting.rate_limit = Some(RateLimit { per_second: 0.01, burst: Some(36) });
    world.store.create_endpoint(&bursting).unwrap();
    world.script(2, always(200));
    for _ in 0..10 {
        world.live(async |life| {
            for _ in 0..5 {
                life.publish("call.completed", DATA).await;
                // longer than an idle supervisor stays
                pass(Duration::from_secs(7)).await;
            }
        });
    }
    let hours = 2;
    world.live(async |life| {
        // each rests for longer than a supervisor stays, and comes back
        for _ in 0..hours * 60 {
            life.publish("call.completed", DATA).await;
            pass(Duration::from_secs(60)).await;
        }
    });
    for pair in world.seen(1).windows(2) {
        let pause = pair[1].at.since(pair[0].at);
        assert!(pause >= Duration::from_millis(9_999), "{pause:?} at {}", pair[1].second());
    }
    let sent = world.seen(2).len();
    let most = 36 + (hours * 3_600 + 10 * 35) / 100;
    assert!(sent <= most as usize, "{sent} sent, at most {most} allowed");
    assert!(sent >= hours as usize * 3_600 / 100 - 1, "{sent} sent: the limit is used");
}

#[test]
fn a_dead_endpoint_with_a_thousand_queued_gets_ten_requests_then_single_probes_and_later_drains_in_its_limit() {
    let mut world = World::new();
    world.settings.max_uncommitted_events = 10_000;
    let back_at = BEGIN + Duration::from_secs(2 * 3_600);
    let mut dead = endpoint(1);
    dead.rate_limit = limit(20.0);
    world.store.create_endpoint(&dead).unwrap();
    world.script(1, down_until(back_at));
    let mut published = Vec::new();
    world.live(async |life| {
        life.publish_many(1_000, "call.completed", DATA).await;
        life.until(back_at).await;
        let probes = world.seen(1);
        assert_probes_from(&probes, 10);
        assert_eq!(life.context.payload.held(), 0, "what waits for a dead receiver does not wait in memory");
        // its next probe finds it back
        let before = probes.len();
        life.eventually("it is found back", || world.seen(1).len() > before + 1).await;
        for _ in 0..15 {
            pass(Duration::from_secs(2)).await;
            let id = life.publish("call.completed", DATA).await;
            published.push((id.to_string(), life.now()));
        }
        assert!(count(&world, 1, DeliveryStatus::Pending) > 200, "the backlog is still there");
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    let seen = world.seen(1);
    assert_limited(&seen[seen.len() - 1_000..], &[(BEGIN, 20.0)]);
    for (id, at) in published {
        let arrived = seen.iter().find(|seen| seen.event_id == id).unwrap().at;
        let waited = arrived.since(at);
        // its turn is the next but one at the latest
        assert!(waited <= Duration::from_millis(150), "a new event waited for {waited:?}");
    }
}

#[test]
fn a_burst_that_is_larger_than_memory_does_not_hold_up_what_is_published_after_it() {
    let mut world = World::new();
    world.settings.max_uncommitted_events = 10_000;
    let mut limited = endpoint(1);
    limited.rate_limit = limit(20.0);
    world.store.create_endpoint(&limited).unwrap();
    world.script(1, always(200));
    let mut published = Vec::new();
    world.live(async |life| {
        life.publish_many(3_000, "call.completed", DATA).await;
        for _ in 0..20 {
            pass(Duration::from_secs(3)).await;
            published.push((life.publish("call.completed", DATA).await.to_string(), life.now()));
        }
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
    });
    let seen = world.seen(1);
    assert_eq!(seen.len(), 3_020, "each once");
    for (id, at) in published {
        let waited = seen.iter().find(|seen| seen.event_id == id).unwrap().at.since(at);
        assert!(waited <= Duration::from_millis(150), "a new event waited for {waited:?}");
    }
}

#[test]
fn an_ordered_endpoint_gets_its_backlog_before_what_is_new() {
    let world = World::new();
    let mut ordered = endpoint(1);
    ordered.ordered = true;
    ordered.rate_limit = limit(20.0);
    world.store.create_endpoint(&ordered).unwrap();
    world.script(1, down_until(BEGIN + Duration::from_secs(60)));
    world.live(async |life| {
        for _ in 0..300 {
            life.publish("call.completed", DATA).await;
        }
        life.eventually("it is back", || count(&world, 1, DeliveryStatus::Success) > 10).await;
        let new = life.publish("call.completed", DATA).await.to_string();
        life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
        assert_eq!(world.seen(1).last().unwrap().event_id, new);
    });
}

/// How many requests came in the fullest of the seconds, and how many on average over `seconds`.
fn fullest_second(seen: &[Seen], seconds: f64) -> (usize, f64) {
    let mut times: Vec<UnixMillis> = seen.iter().map(|seen| seen.at).collect();
    times.sort_unstable();
    let within = |first: &UnixMillis| times.iter().filter(|at| *at >= first && **at < *first + SECOND).count();
    (times.iter().map(within).max().unwrap_or(0), times.len() as f64 / seconds)
}

#[test]
fn a_thousand_deliveries_that_fail_at_once_come_back_spread() {
    let mut world = World::new();
    world.settings.max_active_endpoints = 2_000;
    // its breaker does not hide it
    world.settings.limits.breaker.failure_threshold = 1_000_000;
    // to a thousand receivers
    for id in 1..=1_000 {
        world.endpoint(id, down_until(BEGIN + Duration::from_secs(30)));
    }
    world.live(async |life| {
        life.publish("call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(120)).await;
    });
    let seen: Vec<Seen> = (1..=1_000).filter_map(|id| world.seen(id).get(1).cloned()).collect();
    assert_eq!(seen.len(), 1_000);
    // the first retry comes after 60 to 66 s
    let (most, mean) = fullest_second(&seen, 6.0);
    println!("measured: to a thousand receivers: {most} retries in the fullest second, {mean:.0} on average");
    assert!((most as f64) < 2.0 * mean, "{most} in one second, {mean} on average");
}

#[test]
fn a_thousand_deliveries_of_one_receiver_that_fail_at_once_come_back_spread() {
    let mut world = World::new();
    world.settings.limits.breaker.failure_threshold = 1_000_000;
    let mut wide = endpoint(1);
    wide.max_in_flight = 256;
    world.store.create_endpoint(&wide).unwrap();
    world.script(1, |now| match now < BEGIN + Duration::from_secs(30) {
        true => (Duration::ZERO, Err(AttemptError::ConnectionRefused)),
        false => (Duration::ZERO, Ok(200)),
    });
    world.live(async |life| {
        life.publish_many(1_000, "call.completed", DATA).await;
        life.until(BEGIN + Duration::from_secs(120)).await;
    });
    let seen: Vec<Seen> = world.seen(1).into_iter().filter(|seen| seen.number == 2).collect();
    assert_eq!(seen.len(), 1_000);
    let (most, mean) = fullest_second(&seen, 6.0);
    println!("measured: to one receiver: {most} retries in the fullest second, {mean:.0} on average");
    assert!((most as f64) < 2.0 * mean, "{most} in one second, {mean} on average");
}

#[test]
fn a_receiver_without_a_rate_limit_that_comes_back_is_asked_by_few_first_and_by_twice_as_many_each_round() {
    const ROUND: Duration = Duration::from_secs(1);
    let back_at = BEGIN + Duration::from_secs(600);
    for is_killed in [false, true] {
        let mut world = World::new();
        world.settings.max_uncommitted_events = 10_000;
        let mut wide = endpoint(1);
        wide.max_in_flight = 256;
        world.store.create_endpoint(&wide).unwrap();
        world.script(1, move |now| match now < back_at {
            true => (Duration::from_millis(3), Err(AttemptError::ConnectionRefused)),
            false => (ROUND, Ok(200)),
        });
        world.live(async |life| {
            life.publish_many(3_000, "call.completed", DATA).await;
            life.until(BEGIN + Duration::from_secs(550)).await;
            if !is_killed {
                life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
            }
        });
        world.live(async |life| {
            life.eventually("drained", || count(&world, 1, DeliveryStatus::Pending) == 0).await;
        });
        let seen: Vec<Seen> = world.seen(1).into_iter().filter(|seen| seen.at >= back_at).collect();
        let first = seen[0].at;
        let in_round = |round: u32| {
            let (from, to) = (first + ROUND * round, first + ROUND * (round + 1));
            seen.iter().filter(|seen| seen.at >= from && seen.at < to).count()
        };
        let rounds: Vec<usize> = (0..8).map(in_round).collect();
        println!("measured: requests in each round after it is back: {rounds:?}");
        assert_eq!(rounds[0], 1, "the probe alone: {rounds:?}");
        assert!(rounds[1] <= 5, "{rounds:?}");
        for pair in rounds[1..].windows(2) {
            assert!(pair[1] <= 2 * pair[0] + 1, "{rounds:?}");
        }
        assert!(rounds.iter().any(|&round| round > 100), "in the end it is used fully: {rounds:?}");
    }
}

#[test]
fn an_hour_of_failing_endpoints_leaves_nothing_behind_in_memory() {
    let world = World::new();
    let failing_until = BEGIN + Duration::from_secs(3_600);
    for id in 1..=40 {
        let mut failing = endpoint(id);
        let policy = RetryPolicy { initial_delay_seconds: 5, max_attempts: 50, ..RetryPolicy::default() };
        failing.retry = RetrySchedule::Policy(policy);
        failing.rate_limit = limit(if id % 2 == 0 { 0.5 } else { 50.0 });
        failing.ordered = id % 5 == 0;
        world.store.create_endpoint(&failing).unwrap();
        world.script(id, move |now| match now < failing_until {
            true if id % 3 == 0 => (Duration::from_secs(60), Ok(200)),
            true if id % 3 == 1 => (Duration::from_millis(3), Err(AttemptError::ConnectionReset)),
            true => (Duration::from_millis(30), Ok(503)),
            false => (Duration::from_millis(3), Ok(200)),
        });
    }
    world.live(async |life| {
        pass(SECOND).await;
        let at_rest = Arc::strong_count(&life.context);
        for _ in 0..120 {
            life.publish("call.completed", DATA).await;
            pass(Duration::from_secs(30)).await;
        }
        // all are down: what waits for a probe in ten minutes is not in memory
        assert!(life.context.payload.held() < 40 * 8 * DATA.len() * 4, "{}", life.context.payload.held());
        let all_done = || (1..=40).all(|id| count(&world, id, DeliveryStatus::Pending) == 0);
        life.eventually("all delivered", all_done).await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(Arc::strong_count(&life.context), at_rest, "an actor, an attempt or a read is left");
        assert_eq!(life.context.payload.held(), 0);
    });
}
