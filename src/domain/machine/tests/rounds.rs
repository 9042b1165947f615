//! Manual rounds, and attempts that are made now instead of later.

use super::*;
use crate::domain::round::Rounds;

const SECOND: Duration = Duration::from_secs(1);

/// A world with one delivery that was attempted three times, in a manual round that begins now.
fn manual(config: MachineSettings, receiver: Receiver) -> World {
    let mut world = World::new(config, 7, receiver);
    let (queued_at, due_at, earlier) = (START, START, 3 - Rounds::Once.begins_at());
    world.rows.insert(DeliveryId(1), Row { queued_at, due_at, attempts: 3, earlier, is_final: None, finals: 0 });
    world.feed(Input::MoreInStore { since: None });
    world
}

#[test]
fn a_manual_round_is_one_attempt_whatever_the_schedule() {
    let policy = RetryPolicy { max_attempts: 50, ..RetryPolicy::default() };
    for retry in [RetrySchedule::Retries(0), RetrySchedule::Retries(20), RetrySchedule::Policy(policy)] {
        for ordered in [false, true] {
            let config = MachineSettings { retry, ordered, ..settings() };
            let mut world = manual(config, always(503));
            world.run_until(START + 30 * DAY);
            let numbers: Vec<u32> = world.sent.iter().map(|(_, number, _)| *number).collect();
            assert_eq!(numbers, [4], "{retry:?}");
            assert_eq!(world.rows[&DeliveryId(1)].is_final, Some(NextStep::Failed));
            let exhausted =
                |(_, announcement): &&(UnixMillis, Announcement)| *announcement == Announcement::Exhausted;
            assert_eq!(world.announcements.iter().filter(exhausted).count(), 1);
            let mut world = manual(MachineSettings { retry, ordered, ..settings() }, always(200));
            world.run_until(START + DAY);
            assert_eq!(world.rows[&DeliveryId(1)].is_final, Some(NextStep::Succeeded));
        }
    }
}

#[test]
fn a_closed_connection_and_a_crash_after_it_do_not_use_up_the_attempt_of_a_manual_round() {
    let receiver: Receiver =
        Box::new(|_, number| if number == 1 { Err(AttemptError::IdleConnectionClosed) } else { Ok(503) });
    let mut world = manual(settings(), receiver);
    world.min_latency_ms = 1_000;
    let crash_at = START + Duration::from_millis(1_500);
    world.at(crash_at, WorldEvent::Crash);
    world.run_until(START + 30 * DAY);
    let numbers: Vec<u32> = world.sent.iter().map(|(_, number, _)| *number).collect();
    assert_eq!((numbers[0], *numbers.last().unwrap()), (4, 5), "{numbers:?}");
    let row = &world.rows[&DeliveryId(1)];
    assert_eq!((row.is_final, row.attempts), (Some(NextStep::Failed), 5));
}

#[test]
fn a_manual_attempt_that_went_to_a_replaced_url_is_repeated_after_the_first_delay() {
    let receiver: Receiver = Box::new(|now, _| Ok(if now < START + 4 * SECOND { 500 } else { 200 }));
    let policy = RetryPolicy { max_delay_seconds: 604_800, ..RetryPolicy::default() };
    let config = MachineSettings { retry: RetrySchedule::Policy(policy), ..settings() };
    let mut world = World::new(config.clone(), 1, receiver);
    world.max_latency_ms = 0;
    world.min_latency_ms = 3_000;
    let (queued_at, due_at, earlier) = (START, START, 3 - Rounds::Once.begins_at());
    world.rows.insert(DeliveryId(1), Row { queued_at, due_at, attempts: 3, earlier, is_final: None, finals: 0 });
    world.feed(Input::MoreInStore { since: None });
    world.run_until(START + SECOND);
    world.settings = MachineSettings { url: "https://elsewhere.example/".to_owned(), ..config };
    world.feed(Input::Reconfigured(world.settings.clone()));
    world.run_until(START + DAY);
    let times = world.times_of(1);
    assert!(times.len() == 2 && (60..=70).contains(&(times[1] - times[0])), "{times:?}");
    assert_eq!(world.rows[&DeliveryId(1)].is_final, Some(NextStep::Succeeded));
}

#[test]
fn the_first_delivery_of_an_ordered_queue_is_attempted_when_it_is_made_due() {
    for ordered in [false, true] {
        let config = MachineSettings { ordered, ..settings() };
        let mut world = World::new(config, 5, always(500));
        // one that fails alone opens no breaker; the second one waits behind it
        world.publish(if ordered { 2 } else { 1 }, true);
        world.run_until(START + 10 * SECOND);
        let id = DeliveryId(1);
        assert_eq!(world.times_of(1).len(), 1);
        let now = world.now;
        let row = world.rows.get_mut(&id).unwrap();
        row.due_at = now;
        row.queued_at = row.queued_at.min(now);
        row.earlier += 1;
        world.feed(Input::MoreInStore { since: None });
        world.run_until(START + 4 * 3_600 * SECOND);
        let times = world.times_of(1);
        assert!(times[1] <= 11, "{times:?}");
        let delays: Vec<u64> = times[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(times.len(), 5, "one more than the schedule has: {times:?}");
        // reading a page may fail, and is tried again a second later
        let is_on_schedule = |(delay, base): (&u64, u64)| (base..=base + base / 10 + 10).contains(delay);
        assert!(delays.iter().zip([60, 300, 900]).all(is_on_schedule), "{times:?}");
    }
}
