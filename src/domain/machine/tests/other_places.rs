//! Answers to attempts that were made at a URL that was replaced meanwhile, and what others say about the endpoint.

use super::*;
use crate::domain::rotation::{SecretId, SecretTerms};

const SECOND: Duration = Duration::from_secs(1);

fn elsewhere() -> MachineSettings {
    MachineSettings { url: "https://elsewhere.example/".to_owned(), ..settings() }
}

/// A world in which attempts are under way at a URL that is then replaced; the old one answers this, the new one 200.
fn moved(answer: Result<u16, AttemptError>, ordered: bool, retry: RetrySchedule) -> World {
    let moves_at = START + SECOND;
    let config = MachineSettings { ordered, retry, ..settings() };
    let receiver: Receiver = Box::new(move |now, _| if now < START + 4 * SECOND { answer } else { Ok(200) });
    let mut world = World::new(config.clone(), 1, receiver);
    world.max_latency_ms = 0;
    world.min_latency_ms = 3_000;
    world.publish(3, true);
    world.run_until(moves_at);
    world.min_latency_ms = 0;
    world.settings = MachineSettings { ordered, retry, ..elsewhere() };
    world.feed(Input::Reconfigured(world.settings.clone()));
    world
}

#[test]
fn responses_of_the_old_url_neither_count_for_the_new_one_nor_end_deliveries() {
    let schedule = RetrySchedule::Retries(0);
    for answer in
        [Ok(410), Ok(404), Ok(500), Ok(401), Err(AttemptError::Timeout), Err(AttemptError::BlockedAddress)]
    {
        for ordered in [false, true] {
            let mut world = moved(answer, ordered, schedule);
            world.run_until(START + 10 * SECOND);
            assert!(!world.was_gone && world.machine.settings.active, "{answer:?}");
            assert!(world.machine.health().is_blank() && world.announcements.is_empty(), "{answer:?}");
            let row = &world.rows[&DeliveryId(1)];
            assert_eq!((row.is_final, row.attempts, row.earlier), (None, 1, 1), "{answer:?}");
            world.run_until(START + DAY);
            let ends: Vec<_> = world.rows.values().map(|row| row.is_final).collect();
            assert_eq!(ends, [Some(NextStep::Succeeded); 3], "{answer:?}");
            let times = world.times_of(1);
            assert!(times[1] - times[0] >= 60, "the delay of the policy: {times:?}");
        }
    }
}

#[test]
fn a_delivery_that_the_old_url_accepted_has_succeeded() {
    let mut world = moved(Ok(200), false, RetrySchedule::default());
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 3);
    assert_eq!(world.pending(), 0);
}

/// The breaker is open, its probe is due, and much waits.
fn paused(answer: u16) -> World {
    let mut world = World::new(settings(), 3, always(answer));
    world.max_latency_ms = 0;
    world.publish(50, true);
    world.run_until(START + SECOND);
    assert!(world.machine.is_breaker_open());
    world
}

#[test]
fn a_probe_of_the_old_url_neither_opens_nor_closes_anything_at_the_new_one() {
    let mut world = paused(500);
    world.min_latency_ms = 2_000;
    let before = world.sent.len();
    world.run_until(START + 6 * SECOND);
    assert_eq!(world.sent.len(), before + 1, "the probe is out");
    world.settings = elsewhere();
    world.min_latency_ms = 0;
    world.receiver = always(200);
    world.feed(Input::Reconfigured(elsewhere()));
    // the probe still fails
    let probe = world.sent[before].0;
    let delivery = world.in_flight.remove(&probe).unwrap();
    let answer = Err(AttemptError::Timeout);
    world.feed(Input::AttemptFinished { delivery: &delivery, response: &answer });
    assert!(!world.machine.is_breaker_open());
    world.run_until(START + DAY);
    assert!(world.machine.health().is_blank());
}

#[test]
fn a_successful_test_event_closes_the_breaker_and_pending_deliveries_are_sent() {
    let mut world = paused(500);
    let failed = world.rows.values().filter(|row| row.attempts > 0).count();
    world.receiver = always(200);
    world.feed(Input::Tested { accepted_secret: None });
    assert!(!world.machine.is_breaker_open() && world.health.is_blank(), "written down as well");
    world.run_until(START + 3 * SECOND);
    assert_eq!(world.pending(), failed, "those that wait for their retry");
    let recovered =
        world.announcements.iter().any(|(_, announcement)| matches!(announcement, Announcement::Recovered { .. }));
    assert!(!recovered, "the result of the test event shows it");
}

#[test]
fn a_probe_in_flight_when_a_test_event_succeeds_counts_like_any_other_attempt() {
    let mut world = paused(500);
    world.min_latency_ms = 5_000;
    let before = world.sent.len();
    world.run_until(START + 6 * SECOND);
    assert_eq!(world.sent.len(), before + 1, "the probe is out");
    world.min_latency_ms = 0;
    world.feed(Input::Tested { accepted_secret: None });
    let probe = world.sent[before].0;
    let delivery = world.in_flight.remove(&probe).unwrap();
    let answer = Ok(Response::new(503, Vec::new(), Bytes::new()));
    world.feed(Input::AttemptFinished { delivery: &delivery, response: &answer });
    assert!(!world.machine.is_breaker_open(), "one failure opens nothing");
}

#[test]
fn a_test_event_shows_which_secret_the_receiver_has() {
    let secrets = SecretTerms::for_tests(&[(0, None), (1, Some(i64::MAX))]);
    let mut world = World::new(MachineSettings { secrets, ..settings() }, 1, always(200));
    world.feed(Input::Tested { accepted_secret: Some(SecretId(1)) });
    assert_eq!(world.health.accepted_secret, Some(SecretId(1)));
    world.publish(1, true);
    assert_eq!(world.signed, [(SecretId(1), false)]);
    world.feed(Input::Tested { accepted_secret: Some(SecretId(0)) });
    assert_eq!(world.health.accepted_secret, None);
}

#[test]
fn resuming_sends_pending_deliveries_at_once_and_the_next_failure_pauses_shortly() {
    for ordered in [false, true] {
        let mut world = World::new(MachineSettings { ordered, ..settings() }, 3, always(500));
        world.max_latency_ms = 0;
        world.publish(50, true);
        world.run_until(START + Duration::from_secs(700));
        let failing_since = world.machine.health().failing_since;
        assert!(failing_since.is_some());
        // as the database does it
        let now = world.now;
        for row in world.rows.values_mut().filter(|row| row.is_final.is_none()) {
            row.due_at = row.due_at.min(now);
            row.queued_at = row.queued_at.min(now);
        }
        world.receiver = always(200);
        world.feed(Input::Resumed);
        assert!(!world.machine.is_breaker_open());
        assert_eq!(world.machine.health().failing_since, failing_since, "nothing has succeeded yet");
        world.run_until(now + 2 * SECOND);
        assert_eq!(world.pending(), 0, "ordered: {ordered}");
        assert!(world.machine.health().is_blank());
    }
}
