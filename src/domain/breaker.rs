//! The circuit breaker: stops attempts to a receiver that only fails, and probes with one request at a time whether it is
//! back.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::health::EndpointHealth;
use super::ids::DeliveryId;
use super::time::UnixMillis;

/// A pause is lengthened by at most this share, so that endpoints that failed together are not probed together.
const MAX_JITTER: f64 = 0.1;
/// Further doublings change nothing: every pause has reached any sensible maximum long before.
const MAX_DOUBLINGS: u32 = 20;
/// The end of a streak moves in steps of at least this, so that not every failure has to be stored. Smaller: more writes.
/// Larger: a streak ends that much too early.
const STREAK_STEP: Duration = Duration::from_secs(3_600);

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row, of different deliveries, that open it. Too small: a hiccup pauses an endpoint. Too
    /// large: a dead receiver gets a storm first.
    pub failure_threshold: u32,
    /// The first pause; each further one is twice as long.
    pub initial_pause: Duration,
    /// The longest pause. Too large: a receiver that is back waits for its events.
    pub max_pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// Attempts flow.
    Closed,
    /// Nothing is sent before this instant; then one probe.
    Open { probe_at: UnixMillis },
    /// The probe is in flight; its result decides.
    HalfOpen,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerPermission {
    /// Attempts, as many as other limits allow.
    Attempts,
    /// One attempt, after [`Breaker::begin_probe`].
    Probe,
    /// Nothing before this instant.
    NotBefore(UnixMillis),
    /// Nothing until the probe's result is in.
    AwaitProbe,
}

/// One endpoint's breaker.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    failures_in_a_row: u32,
    /// Repeated failures of one delivery on its retry schedule count once.
    last_failed: Option<DeliveryId>,
    pauses: u32,
    failing_since: Option<UnixMillis>,
    streak_ends_at: Option<UnixMillis>,
}

impl Breaker {
    /// Continues from the endpoint's stored health. A probe that was in flight when the process ended is made again.
    pub(crate) fn restore(config: BreakerConfig, health: &EndpointHealth) -> Self {
        let state = health.probe_at.map_or(BreakerState::Closed, |probe_at| BreakerState::Open { probe_at });
        Self {
            config,
            state,
            failures_in_a_row: 0,
            last_failed: None,
            pauses: health.pauses,
            failing_since: health.failing_since,
            streak_ends_at: health.streak_ends_at,
        }
    }

    /// What may be sent at `now`.
    pub(crate) fn permission(&self, now: UnixMillis) -> BreakerPermission {
        match self.state {
            BreakerState::Closed => BreakerPermission::Attempts,
            BreakerState::HalfOpen => BreakerPermission::AwaitProbe,
            BreakerState::Open { probe_at } if probe_at <= now => BreakerPermission::Probe,
            BreakerState::Open { probe_at } => BreakerPermission::NotBefore(probe_at),
        }
    }

    /// The probe starts.
    pub(crate) fn begin_probe(&mut self) {
        self.state = BreakerState::HalfOpen;
    }

    /// The probe was not made: it is still due.
    pub(crate) fn probe_not_made(&mut self, now: UnixMillis) {
        if self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open { probe_at: now };
        }
    }

    /// The receiver gave a deliberate response. Returns whether the stored health changes.
    ///
    /// While the breaker is not closed only the probe counts: a response to an older attempt is out of date.
    pub(crate) fn on_alive(&mut self, is_probe: bool) -> bool {
        if self.state != BreakerState::Closed && !is_probe {
            return false;
        }
        let changed = self.failing_since.is_some() || self.state != BreakerState::Closed;
        self.state = BreakerState::Closed;
        self.failures_in_a_row = 0;
        self.last_failed = None;
        self.pauses = 0;
        self.failing_since = None;
        self.streak_ends_at = None;
        changed
    }

    /// A person resumed the endpoint: attempts flow, and the next pause is the first one again. It still counts as failing.
    /// Returns whether the stored health changes.
    pub(crate) fn close(&mut self) -> bool {
        let changed = self.state != BreakerState::Closed || self.pauses > 0;
        self.state = BreakerState::Closed;
        self.failures_in_a_row = 0;
        self.last_failed = None;
        self.pauses = 0;
        changed
    }

    /// After a failure that counted: continues the streak of failures or begins another. Failures belong to one streak
    /// while no more than `max_quiet` passes after the next attempt was due (`due_at`: the retry or the probe).
    /// Without this, two failures a week apart would look like a week of failing. Returns whether the stored health
    /// changes.
    pub(crate) fn extend_streak(&mut self, due_at: UnixMillis, max_quiet: Duration, now: UnixMillis) -> bool {
        let Some(since) = self.failing_since else { return false };
        // absent when stored by a version without this field
        let end = self.streak_ends_at.unwrap_or(since + max_quiet);
        if now > end {
            self.failing_since = Some(now);
        }
        let due_at = match self.state {
            BreakerState::Open { probe_at } => due_at.max(probe_at),
            BreakerState::Closed | BreakerState::HalfOpen => due_at,
        };
        let extended = due_at.max(now) + max_quiet;
        let moves = self.streak_ends_at.is_none_or(|end| extended.since(end) >= STREAK_STEP);
        if moves {
            self.streak_ends_at = Some(extended);
        }
        moves
    }

    /// An attempt failed. Returns whether the stored health changes.
    pub(crate) fn on_failure(
        &mut self,
        delivery_id: DeliveryId,
        is_probe: bool,
        now: UnixMillis,
        rng: &mut dyn Rng,
    ) -> bool {
        if is_probe {
            self.open(now, rng);
            return true;
        }
        if self.state != BreakerState::Closed {
            return false;
        }
        let newly_failing = self.failing_since.is_none();
        self.failing_since.get_or_insert(now);
        if self.last_failed != Some(delivery_id) {
            self.failures_in_a_row += 1;
            self.last_failed = Some(delivery_id);
        }
        if self.failures_in_a_row >= self.config.failure_threshold {
            self.open(now, rng);
            return true;
        }
        newly_failing
    }

    /// Whether it is open or half-open.
    pub(crate) fn is_open(&self) -> bool {
        self.state != BreakerState::Closed
    }

    /// The health to store, so that a restart continues from here.
    pub(crate) fn remember(&self, health: &EndpointHealth) -> EndpointHealth {
        let probe_at = match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { probe_at } => Some(probe_at),
            // a crash now means that the probe is made again at once
            BreakerState::HalfOpen => Some(UnixMillis(0)),
        };
        let notified = health.notified && self.failing_since.is_some();
        EndpointHealth {
            failing_since: self.failing_since,
            probe_at,
            pauses: self.pauses,
            notified,
            streak_ends_at: self.streak_ends_at,
            ..*health
        }
    }

    /// Forgets everything because the endpoint has another URL. Returns whether there was anything to forget.
    pub(crate) fn reset(&mut self) -> bool {
        self.on_alive(true)
    }

    fn open(&mut self, now: UnixMillis, rng: &mut dyn Rng) {
        let doubled = self.config.initial_pause.saturating_mul(1 << self.pauses.min(MAX_DOUBLINGS));
        let pause = doubled.min(self.config.max_pause);
        let stretched = pause.mul_f64(1.0 + MAX_JITTER * rng.random::<f64>());
        self.state = BreakerState::Open { probe_at: now + stretched };
        self.pauses = self.pauses.saturating_add(1);
        self.failures_in_a_row = 0;
        self.last_failed = None;
        self.failing_since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{EndpointId, OrganizationId};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const CONFIG: BreakerConfig = BreakerConfig {
        failure_threshold: 3,
        initial_pause: Duration::from_secs(5),
        max_pause: Duration::from_secs(60),
    };
    const START: UnixMillis = UnixMillis(1_000_000);

    fn breaker() -> Breaker {
        Breaker::restore(CONFIG, &EndpointHealth::healthy(OrganizationId(1), EndpointId(2)))
    }

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(7)
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        for id in 1..=3 {
            breaker.on_failure(DeliveryId(id), false, START, &mut rng());
        }
        breaker
    }

    fn probe_at(breaker: &Breaker) -> UnixMillis {
        match breaker.permission(START) {
            BreakerPermission::NotBefore(at) => at,
            other => panic!("expected an open breaker, got {other:?}"),
        }
    }

    #[test]
    fn failures_of_different_deliveries_open_it_and_a_success_between_starts_over() {
        let mut breaker = breaker();
        for id in [1, 2] {
            breaker.on_failure(DeliveryId(id), false, START, &mut rng());
        }
        breaker.on_alive(false);
        for id in [3, 4] {
            breaker.on_failure(DeliveryId(id), false, START, &mut rng());
            assert_eq!(breaker.permission(START), BreakerPermission::Attempts);
        }
        breaker.on_failure(DeliveryId(5), false, START, &mut rng());
        assert!(breaker.is_open());
    }

    #[test]
    fn one_delivery_that_fails_on_its_own_schedule_does_not_open_it() {
        let mut breaker = breaker();
        for _ in 0..50 {
            breaker.on_failure(DeliveryId(1), false, START, &mut rng());
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn an_open_breaker_allows_one_probe_and_nothing_else() {
        let mut breaker = opened();
        let at = probe_at(&breaker);
        assert_eq!(breaker.permission(UnixMillis(at.0 - 1)), BreakerPermission::NotBefore(at));
        assert_eq!(breaker.permission(at), BreakerPermission::Probe);
        breaker.begin_probe();
        assert_eq!(breaker.permission(at), BreakerPermission::AwaitProbe);
        breaker.on_alive(true);
        assert_eq!(breaker.permission(at), BreakerPermission::Attempts);
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut breaker = opened();
        let mut now = START;
        for expected in [5, 10, 20, 40, 60, 60] {
            let BreakerPermission::NotBefore(at) = breaker.permission(now) else { panic!("not open") };
            let pause = at.since(now).as_secs_f64();
            assert!(pause >= f64::from(expected) && pause <= f64::from(expected) * 1.1, "{pause} for {expected}");
            now = at;
            breaker.begin_probe();
            breaker.on_failure(DeliveryId(9), true, now, &mut rng());
        }
        breaker.begin_probe();
        breaker.on_alive(true);
        assert_eq!(breaker.pauses, 0);
    }

    #[test]
    fn a_late_response_neither_closes_nor_extends_an_open_breaker() {
        let mut breaker = opened();
        let at = probe_at(&breaker);
        assert!(!breaker.on_alive(false));
        assert!(!breaker.on_failure(DeliveryId(8), false, START, &mut rng()));
        assert_eq!(probe_at(&breaker), at);
    }

    #[test]
    fn its_state_survives_a_restart() {
        let health = EndpointHealth::healthy(OrganizationId(1), EndpointId(2));
        let before = opened();
        let after = Breaker::restore(CONFIG, &before.remember(&health));
        assert_eq!(after.permission(START), before.permission(START));
        assert_eq!(after.remember(&health), before.remember(&health));

        let mut probing = opened();
        probing.begin_probe();
        let restarted = Breaker::restore(CONFIG, &probing.remember(&health));
        assert_eq!(restarted.permission(START), BreakerPermission::Probe);
    }

    #[test]
    fn a_streak_ends_when_nothing_was_attempted_for_too_long_after_the_last_attempt_that_was_due() {
        const QUIET: Duration = Duration::from_secs(30 * 3_600);
        const DAY: Duration = Duration::from_secs(86_400);
        // failed once, and was due again at an instant
        let failed = |due_at: UnixMillis| {
            let mut breaker = breaker();
            breaker.on_failure(DeliveryId(1), false, START, &mut rng());
            breaker.extend_streak(due_at, QUIET, START);
            breaker
        };
        let failing_since = |breaker: &Breaker, now: UnixMillis| {
            let mut breaker = breaker.clone();
            breaker.on_failure(DeliveryId(9), false, now, &mut rng());
            breaker.extend_streak(now, QUIET, now);
            breaker.failing_since.unwrap()
        };
        let final_failure = failed(START);
        assert_eq!(failing_since(&final_failure, START + DAY), START, "one a day is throughout");
        assert_eq!(failing_since(&final_failure, START + 6 * DAY), START + 6 * DAY);
        let waits_for_a_week = failed(START + 7 * DAY);
        assert_eq!(failing_since(&waits_for_a_week, START + 7 * DAY), START, "its schedule is slow");
    }

    #[test]
    fn the_end_of_a_streak_is_written_down_rarely_and_survives_a_restart() {
        const QUIET: Duration = Duration::from_secs(30 * 3_600);
        let health = EndpointHealth::healthy(OrganizationId(1), EndpointId(2));
        let mut breaker = breaker();
        let writes = (0..600).filter(|minute| {
            let now = START + Duration::from_secs(60 * minute);
            breaker.on_failure(DeliveryId(1), false, now, &mut rng());
            breaker.extend_streak(now, QUIET, now)
        });
        assert_eq!(writes.count(), 10, "once an hour");
        let restored = Breaker::restore(CONFIG, &breaker.remember(&health));
        assert_eq!(restored.remember(&health), breaker.remember(&health));
        let older = EndpointHealth { failing_since: Some(START), ..health };
        let mut upgraded = Breaker::restore(CONFIG, &older);
        upgraded.extend_streak(START + QUIET, QUIET, START + QUIET);
        assert_eq!(upgraded.failing_since, Some(START), "written by a version that did not know it");
    }

    #[test]
    fn a_resumed_breaker_still_counts_as_failing_and_pauses_shortly_again() {
        let mut breaker = opened();
        assert!(breaker.close());
        assert_eq!(breaker.permission(START), BreakerPermission::Attempts);
        assert_eq!((breaker.failing_since, breaker.pauses), (Some(START), 0));
        assert!(!breaker.close());
    }

    #[test]
    fn the_announcement_of_failing_is_forgotten_with_the_failures() {
        let announced = EndpointHealth {
            failing_since: Some(START),
            notified: true,
            ..EndpointHealth::healthy(OrganizationId(1), EndpointId(2))
        };
        let mut breaker = Breaker::restore(CONFIG, &announced);
        assert!(breaker.remember(&announced).notified);
        breaker.on_alive(false);
        assert!(!breaker.remember(&announced).notified);
    }
}
