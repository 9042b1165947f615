//! Follow-up attempts, outside the retry schedule.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::domain::endpoint::RateLimit;
use crate::domain::rotation::{SecretId, SecretTerms};

const SECOND: Duration = Duration::from_secs(1);

fn no_retries() -> MachineSettings {
    MachineSettings { retry: RetrySchedule::Retries(0), ..settings() }
}

/// The newest, and as many others as that, valid for ever.
fn secrets(previous: i64) -> SecretTerms {
    let previous = (1..=previous).map(|id| (id, Some(i64::MAX)));
    SecretTerms::for_tests(&std::iter::once((0, None)).chain(previous).collect::<Vec<_>>())
}

fn rotated(previous: i64) -> MachineSettings {
    MachineSettings { secrets: secrets(previous), ..settings() }
}

/// A world whose receiver knows one secret, and refuses the others with this status.
struct ReceiverWithOneSecret {
    world: World,
    knows: Rc<RefCell<i64>>,
}

impl ReceiverWithOneSecret {
    fn new(settings: MachineSettings, knows: i64, status: u16) -> Self {
        let knows = Rc::new(RefCell::new(knows));
        let mut world = World::new(settings, 1, always(200));
        let known = knows.clone();
        world.answer = Some(Box::new(move |secret| if secret.0 == *known.borrow() { 200 } else { status }));
        world.max_latency_ms = 0;
        Self { world, knows }
    }

    /// How many attempts a delivery took, and how they were signed.
    fn deliver(&mut self) -> Vec<i64> {
        let before = self.world.signed.len();
        self.world.publish(1, true);
        let now = self.world.now;
        self.world.run_until(now + SECOND);
        self.world.signed[before..].iter().map(|(secret, _)| secret.0).collect()
    }
}

fn statuses(world: &World) -> Vec<Option<NextStep>> {
    world.rows.values().map(|row| row.is_final).collect()
}

#[test]
fn a_closed_reused_connection_is_followed_by_another_attempt_on_a_fresh_one() {
    for ordered in [false, true] {
        let receiver: Receiver =
            Box::new(|_, number| if number == 1 { Err(AttemptError::IdleConnectionClosed) } else { Ok(200) });
        let mut world = World::new(MachineSettings { ordered, ..no_retries() }, 1, receiver);
        world.publish(3, true);
        world.run_until(START + SECOND);
        let numbers: Vec<(i64, u32)> = world.sent.iter().map(|(id, number, _)| (id.0, *number)).collect();
        if ordered {
            assert_eq!(numbers, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
        }
        assert_eq!(numbers.len(), 6);
        let fresh =
            world.sent.iter().zip(&world.signed).all(|((_, number, _), (_, fresh))| *fresh == (*number == 2));
        assert!(fresh, "the second on a fresh connection");
        assert_eq!(statuses(&world), [Some(NextStep::Succeeded); 3]);
        assert!(world.rows.values().all(|row| row.attempts == 2 && row.earlier == 1));
        assert!(world.machine.health().is_blank() && world.announcements.is_empty());
    }
}

#[test]
fn without_retries_a_receiver_that_closes_every_connection_gets_two_requests() {
    let mut world = World::new(no_retries(), 1, Box::new(|_, _| Err(AttemptError::IdleConnectionClosed)));
    world.publish(1, true);
    world.run_until(START + DAY);
    assert_eq!(world.sent.len(), 2);
    assert_eq!(statuses(&world), [Some(NextStep::Failed)]);
}

#[test]
fn a_follow_up_attempt_uses_up_no_retry() {
    let receiver: Receiver =
        Box::new(|_, number| if number % 2 == 1 { Err(AttemptError::IdleConnectionClosed) } else { Ok(503) });
    let mut world = World::new(settings(), 1, receiver);
    world.max_latency_ms = 0;
    world.publish(1, true);
    world.run_until(START + DAY);
    let numbers: Vec<u32> = world.sent.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>(), "two for each of the four");
    let times = world.times_of(1);
    for (pair, base) in times.chunks(2).collect::<Vec<_>>().windows(2).zip([60, 300, 900]) {
        let delay = pair[1][0] - pair[0][1];
        assert!((base..=base + base / 10 + 1).contains(&delay), "{delay} for {base}");
    }
}

#[test]
fn a_kill_between_the_two_attempts_loses_nothing_and_repeats_a_number_only_if_it_was_not_recorded() {
    for kill_after_ms in 0..12 {
        let receiver: Receiver =
            Box::new(|_, number| if number == 1 { Err(AttemptError::IdleConnectionClosed) } else { Ok(200) });
        let mut world = World::new(no_retries(), kill_after_ms, receiver);
        world.max_latency_ms = 4;
        world.publish(1, true);
        world.at(UnixMillis(START.0 + kill_after_ms as i64), WorldEvent::Crash);
        world.run_until(START + DAY);
        assert_eq!(statuses(&world), [Some(NextStep::Succeeded)]);
        let row = &world.rows[&DeliveryId(1)];
        assert!(world.sent.iter().filter(|(_, number, _)| *number == 1).count() <= 2, "{row:?}");
    }
}

#[test]
fn a_receiver_with_an_old_secret_costs_one_attempt_and_is_remembered_until_it_has_another() {
    for status in [401, 403] {
        let mut receiver = ReceiverWithOneSecret::new(rotated(1), 1, status);
        assert_eq!(receiver.deliver(), [0, 1]);
        assert_eq!(receiver.deliver(), [1], "remembered");
        assert_eq!(receiver.world.health.accepted_secret, Some(SecretId(1)), "and written down");
        receiver.world.crash();
        assert_eq!(receiver.deliver(), [1], "over a restart");
        *receiver.knows.borrow_mut() = 0;
        assert_eq!(receiver.deliver(), [1, 0]);
        assert_eq!(receiver.deliver(), [0]);
        assert_eq!(receiver.world.health.accepted_secret, None);
        assert!(statuses(&receiver.world).iter().all(|status| *status == Some(NextStep::Succeeded)));
        assert!(receiver.world.machine.health().is_blank() && receiver.world.announcements.is_empty());
    }
}

#[test]
fn each_valid_secret_is_tried_once_and_then_the_refusal_counts() {
    let mut receiver = ReceiverWithOneSecret::new(rotated(4), 99, 401);
    assert_eq!(receiver.deliver(), [0, 1, 2, 3, 4]);
    assert_eq!(statuses(&receiver.world), [Some(NextStep::Failed)]);
    let announced = &receiver.world.announcements;
    assert!(matches!(announced.as_slice(), [(_, Announcement::Exhausted)]), "once: {announced:?}");
    assert_eq!(receiver.world.health.failing_since, None, "a refusal shows life");
}

#[test]
fn a_refusal_that_is_retried_goes_through_the_secrets_at_each_attempt_of_the_schedule() {
    let retry_on = crate::domain::attempt::RetryOn { client_errors: true, redirects: false };
    let mut receiver = ReceiverWithOneSecret::new(MachineSettings { retry_on, ..rotated(1) }, 99, 401);
    receiver.world.publish(1, true);
    receiver.world.run_until(START + DAY);
    let signed: Vec<i64> = receiver.world.signed.iter().map(|(secret, _)| secret.0).collect();
    assert_eq!(signed, [0, 1, 0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_secret_that_has_ended_is_neither_tried_nor_remembered() {
    let ends = START + 10 * SECOND;
    let terms = SecretTerms::for_tests(&[(0, None), (1, Some(ends.0))]);
    let mut receiver = ReceiverWithOneSecret::new(MachineSettings { secrets: terms, ..settings() }, 1, 401);
    assert_eq!(receiver.deliver(), [0, 1]);
    receiver.world.run_until(ends);
    assert_eq!(receiver.deliver(), [0]);
    assert_eq!(receiver.world.machine.health().accepted_secret, None);
}

#[test]
fn the_attempts_of_a_rotation_come_before_the_next_delivery_of_an_ordered_endpoint() {
    let mut receiver = ReceiverWithOneSecret::new(MachineSettings { ordered: true, ..rotated(2) }, 2, 401);
    receiver.world.publish(3, true);
    receiver.world.run_until(START + SECOND);
    let sent: Vec<(i64, u32)> = receiver.world.sent.iter().map(|(id, number, _)| (id.0, *number)).collect();
    assert_eq!(sent, [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]);
}

#[test]
fn follow_up_attempts_stay_within_the_rate_limit_and_continue_afterwards() {
    let rate_limit = Some(RateLimit { per_second: 1.0, burst: Some(1) });
    for ordered in [false, true] {
        let mut receiver =
            ReceiverWithOneSecret::new(MachineSettings { rate_limit, ordered, ..rotated(4) }, 4, 401);
        receiver.world.publish(2, true);
        receiver.world.run_until(START + 60 * SECOND);
        let times: Vec<UnixMillis> = receiver.world.sent.iter().map(|(_, _, at)| *at).collect();
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_millis(999)), "{times:?}");
        assert_eq!(statuses(&receiver.world), [Some(NextStep::Succeeded); 2]);
        for delivery in [1, 2] {
            let attempts = receiver.world.sent.iter().zip(&receiver.world.signed);
            let own = attempts.filter(|((id, ..), _)| id.0 == delivery).map(|(_, (secret, _))| secret.0);
            let signed: Vec<i64> = own.collect();
            let distinct: std::collections::BTreeSet<&i64> = signed.iter().collect();
            assert_eq!(distinct.len(), signed.len(), "each secret once, ordered {ordered}: {signed:?}");
        }
    }
}

#[test]
fn a_follow_up_of_the_probe_is_the_probe_and_no_other_attempt_is_made() {
    let mut world = World::new(rotated(1), 1, always(200));
    world.max_latency_ms = 0;
    world.answer = Some(Box::new(|_| 500));
    world.publish(20, true);
    world.run_until(START + SECOND);
    assert!(world.machine.is_breaker_open());
    world.answer = Some(Box::new(|secret| if secret.0 == 1 { 200 } else { 401 }));
    let before = world.sent.len();
    world.run_until(START + 10 * SECOND);
    let (first, second) = (world.sent[before], world.sent[before + 1]);
    assert_eq!((first.0, second.0), (first.0, first.0), "one delivery, twice");
    assert!(!world.machine.is_breaker_open());
    world.run_until(START + DAY);
    assert_eq!(world.pending(), 0);
}

#[test]
fn a_stop_or_deactivation_leaves_the_follow_up_to_the_database() {
    for input in [Input::Drain, Input::Reconfigured(MachineSettings { active: false, ..rotated(1) })] {
        let mut receiver = ReceiverWithOneSecret::new(rotated(1), 1, 401);
        receiver.world.max_latency_ms = 5;
        receiver.world.publish(1, true);
        receiver.world.feed(input);
        receiver.world.run_until(START + SECOND);
        assert_eq!(receiver.world.sent.len(), 1);
        let row = &receiver.world.rows[&DeliveryId(1)];
        assert_eq!((row.is_final, row.attempts, row.earlier), (None, 1, 1));
        assert_eq!(receiver.world.machine.pending_work(receiver.world.now), PendingWork::Idle);
    }
}
