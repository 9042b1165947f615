//! When a failed delivery is attempted again (contract, "What an answer means").

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::time::UnixMillis;

/// The schedule of the CallIntel documentation: 60, 300 and 900 s.
const DEFAULT_DELAYS_SECONDS: [u64; 3] = [60, 300, 900];
/// After that schedule, delays triple up to 6 h.
const DEFAULT_MAX_DELAY_SECONDS: u64 = 6 * 3600;
/// A longer `Retry-After` is capped to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Jitter lengthens a delay by at most this share. Smaller: deliveries that failed together are retried together. Larger:
/// receivers no longer see the documented schedule.
const MAX_JITTER: f64 = 0.1;

/// `retry_policy` of a webhook. Absent fields have the values of the example in the CallIntel documentation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// All attempts, the first included; 1–50.
    pub max_attempts: u32,
    /// 1–10.
    pub backoff_multiplier: f64,
    /// 1–86,400.
    pub initial_delay_seconds: u64,
    /// At most 604,800.
    pub max_delay_seconds: u64,
}

/// Of [`RetryPolicy::max_attempts`] (contract).
pub(crate) const MAX_ATTEMPTS_BOUNDS: RangeInclusive<f64> = 1.0..=50.0;
/// Of [`RetryPolicy::backoff_multiplier`] (contract).
pub(crate) const MULTIPLIER_BOUNDS: RangeInclusive<f64> = 1.0..=10.0;
/// Of [`RetryPolicy::initial_delay_seconds`] (contract).
pub(crate) const INITIAL_DELAY_BOUNDS: RangeInclusive<f64> = 1.0..=86_400.0;
/// Of [`RetryPolicy::max_delay_seconds`] (contract).
pub(crate) const MAX_DELAY_BOUNDS: RangeInclusive<f64> = 1.0..=604_800.0;

impl RetryPolicy {
    /// Checks the bounds of every field; the error names the first one that is out of them.
    pub(crate) fn check(&self) -> Result<(), String> {
        let fields = [
            ("max_attempts", f64::from(self.max_attempts), MAX_ATTEMPTS_BOUNDS),
            ("backoff_multiplier", self.backoff_multiplier, MULTIPLIER_BOUNDS),
            ("initial_delay_seconds", self.initial_delay_seconds as f64, INITIAL_DELAY_BOUNDS),
            ("max_delay_seconds", self.max_delay_seconds as f64, MAX_DELAY_BOUNDS),
        ];
        match fields.into_iter().find(|(_, value, bounds)| !bounds.contains(value)) {
            None => Ok(()),
            Some((name, value, bounds)) => {
                Err(format!("{name} must be from {} to {}, got {value}", bounds.start(), bounds.end()))
            }
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 5, backoff_multiplier: 2.0, initial_delay_seconds: 60, max_delay_seconds: 3600 }
    }
}

/// `retry_schedule` of a webhook: the delay before each retry, in seconds. A list of fixed size, because whoever sends copies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct RetryDelays {
    /// Zero after the last one.
    seconds: [u32; MAX_DELAYS],
    count: usize,
}

/// The most delays of a `retry_schedule` (contract).
pub(crate) const MAX_DELAYS: usize = 20;
/// Of each of them (contract).
pub(crate) const DELAY_BOUNDS: RangeInclusive<u32> = 1..=604_800;

/// Why a list is no `retry_schedule`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryDelaysError {
    #[error("must have 1 to {MAX_DELAYS} delays, this has {0}")]
    Count(usize),
    #[error("delay {position} must be from {} to {} seconds, got {seconds}", DELAY_BOUNDS.start(), DELAY_BOUNDS.end())]
    OutOfBounds { position: usize, seconds: u32 },
}

impl RetryDelays {
    /// Checks how many there are and the bounds of each.
    pub fn new(delays: &[u32]) -> Result<Self, RetryDelaysError> {
        let mut seconds = [0; MAX_DELAYS];
        let room = seconds.get_mut(..delays.len()).filter(|room| !room.is_empty());
        room.ok_or(RetryDelaysError::Count(delays.len()))?.copy_from_slice(delays);
        match delays.iter().enumerate().find(|(_, seconds)| !DELAY_BOUNDS.contains(seconds)) {
            Some((index, &seconds)) => Err(RetryDelaysError::OutOfBounds { position: index + 1, seconds }),
            None => Ok(Self { seconds, count: delays.len() }),
        }
    }

    /// In the order of the retries.
    pub fn seconds(&self) -> &[u32] {
        &self.seconds[..self.count]
    }
}

impl TryFrom<Vec<u32>> for RetryDelays {
    type Error = RetryDelaysError;
    fn try_from(delays: Vec<u32>) -> Result<Self, RetryDelaysError> {
        Self::new(&delays)
    }
}

impl From<RetryDelays> for Vec<u32> {
    fn from(delays: RetryDelays) -> Self {
        delays.seconds().to_vec()
    }
}

/// How a webhook retries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RetrySchedule {
    /// `retry`: this many retries after the first attempt, on the documented schedule; 0–20.
    Retries(u32),
    /// `retry_policy`.
    Policy(RetryPolicy),
    /// `retry_schedule`.
    Delays(RetryDelays),
}

/// The most that `retry` can be (contract).
pub(crate) const MAX_RETRIES: u64 = 20;

impl Default for RetrySchedule {
    fn default() -> Self {
        Self::Retries(3)
    }
}

impl RetrySchedule {
    /// All attempts, the first included.
    pub(crate) fn max_attempts(&self) -> u32 {
        match self {
            Self::Retries(retries) => retries + 1,
            Self::Policy(policy) => policy.max_attempts.max(1),
            Self::Delays(delays) => delays.seconds().len() as u32 + 1,
        }
    }

    /// The delay before retry `retry` (from 1), without jitter.
    pub fn base_delay(&self, retry: u32) -> Duration {
        match self {
            Self::Retries(_) => default_delay(retry),
            Self::Policy(policy) => policy_delay(policy, retry),
            Self::Delays(delays) => listed_delay(delays, retry),
        }
    }

    /// When to retry after attempt `number` (from 1) failed at `now`; `None` when no retries are left. `not_before` (a
    /// `Retry-After`) moves it later, never earlier.
    pub(crate) fn next_attempt_at(
        &self,
        number: u32,
        not_before: Option<UnixMillis>,
        now: UnixMillis,
        rng: &mut dyn Rng,
    ) -> Option<UnixMillis> {
        (number < self.max_attempts()).then(|| self.delayed(number, not_before, now, rng))
    }

    /// The instant of the retry after attempt `number`, whether or not the schedule has one left.
    pub(crate) fn delayed(
        &self,
        number: u32,
        not_before: Option<UnixMillis>,
        now: UnixMillis,
        rng: &mut dyn Rng,
    ) -> UnixMillis {
        let stretch = 1.0 + MAX_JITTER * rng.random::<f64>();
        let scheduled = now + self.base_delay(number).mul_f64(stretch);
        let asked = not_before.map(|at| now + at.since(now).mul_f64(stretch).min(MAX_RETRY_AFTER));
        asked.map_or(scheduled, |asked| asked.max(scheduled))
    }
}

fn default_delay(retry: u32) -> Duration {
    let index = retry.saturating_sub(1) as usize;
    let seconds = DEFAULT_DELAYS_SECONDS.get(index).copied().unwrap_or_else(|| {
        let last = DEFAULT_DELAYS_SECONDS[DEFAULT_DELAYS_SECONDS.len() - 1];
        let triplings = (index + 1 - DEFAULT_DELAYS_SECONDS.len()) as u32;
        last.saturating_mul(3u64.saturating_pow(triplings)).min(DEFAULT_MAX_DELAY_SECONDS)
    });
    Duration::from_secs(seconds)
}

/// After the last one it stays: an attempt that uses up no retry can be delayed too.
fn listed_delay(delays: &RetryDelays, retry: u32) -> Duration {
    let delays = delays.seconds();
    let index = (retry.saturating_sub(1) as usize).min(delays.len().saturating_sub(1));
    Duration::from_secs(delays.get(index).copied().unwrap_or_default().into())
}

fn policy_delay(policy: &RetryPolicy, retry: u32) -> Duration {
    let exponent = f64::from(retry.saturating_sub(1));
    let seconds = policy.initial_delay_seconds as f64 * policy.backoff_multiplier.powf(exponent);
    // infinite for large exponents; `min` brings it back
    Duration::from_secs_f64(seconds.min(policy.max_delay_seconds as f64).max(0.0))
}

/// Reads a `Retry-After` value (RFC 9110 §10.2.3): whole seconds or an HTTP date, capped at 24 h from `now`.
/// `None` for anything else, and for an instant in the past.
pub(crate) fn parse_retry_after(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // more digits than fit mean a very long time, which is capped
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(now + Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at = UnixMillis(0) + since_epoch;
    (at > now).then(|| at.min(now + MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn the_default_schedule_is_the_documented_one_and_then_triples_up_to_six_hours() {
        let schedule = RetrySchedule::Retries(20);
        let seconds: Vec<u64> = (1..=8).map(|retry| schedule.base_delay(retry).as_secs()).collect();
        assert_eq!(seconds, [60, 300, 900, 2700, 8100, 21600, 21600, 21600]);
        assert_eq!(RetrySchedule::default().max_attempts(), 4);
    }

    #[test]
    fn a_policy_multiplies_up_to_its_cap() {
        let schedule = RetrySchedule::Policy(RetryPolicy::default());
        let seconds: Vec<u64> = (1..=8).map(|retry| schedule.base_delay(retry).as_secs()).collect();
        assert_eq!(seconds, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(schedule.max_attempts(), 5);
    }

    #[test]
    fn a_list_has_one_retry_for_each_delay() {
        let schedule = RetrySchedule::Delays(RetryDelays::new(&[5, 604_800, 1]).unwrap());
        let seconds: Vec<u64> = (1..=5).map(|retry| schedule.base_delay(retry).as_secs()).collect();
        assert_eq!(seconds, [5, 604_800, 1, 1, 1]);
        assert_eq!(schedule.max_attempts(), 4);
    }

    #[test]
    fn a_list_is_refused_that_is_empty_too_long_or_has_a_delay_out_of_bounds() {
        assert!(RetryDelays::new(&[60; 20]).is_ok());
        assert_eq!(RetryDelays::new(&[60; 21]), Err(RetryDelaysError::Count(21)));
        assert_eq!(RetryDelays::new(&[]), Err(RetryDelaysError::Count(0)));
        for wrong in [0, 604_801] {
            let refused = RetryDelays::new(&[1, wrong, 1]).unwrap_err();
            assert_eq!(refused, RetryDelaysError::OutOfBounds { position: 2, seconds: wrong });
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date_and_capped() {
        let now = UnixMillis(1_734_345_045_000);
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(parse_retry_after("120", now), Some(now + Duration::from_secs(120)));
        assert_eq!(parse_retry_after(" 0 ", now), Some(now));
        assert_eq!(parse_retry_after("99999999999999999999999", now), Some(now + day));
        let date = parse_retry_after("Mon, 16 Dec 2024 10:31:45 GMT", now);
        assert_eq!(date, Some(now + Duration::from_secs(60)));
        assert_eq!(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now), Some(now + day));
        for text in ["", "-1", "NaN", "1e308", "1.5", "soon", "Mon, 16 Dec 2024 10:29:45 GMT", "\u{662}"] {
            assert_eq!(parse_retry_after(text, now), None, "{text}");
        }
    }

    fn schedules() -> impl Strategy<Value = RetrySchedule> {
        let policy = (1u32..=50, 1.0f64..=10.0, 1u64..=86_400, 1u64..=604_800).prop_map(
            |(max_attempts, backoff_multiplier, initial_delay_seconds, max_delay_seconds)| {
                RetrySchedule::Policy(RetryPolicy {
                    max_attempts,
                    backoff_multiplier,
                    initial_delay_seconds,
                    max_delay_seconds,
                })
            },
        );
        let delays = proptest::collection::vec(DELAY_BOUNDS, 1..=MAX_DELAYS)
            .prop_map(|delays| RetrySchedule::Delays(RetryDelays::new(&delays).unwrap()));
        prop_oneof![(0u32..=20).prop_map(RetrySchedule::Retries), policy, delays]
    }

    proptest! {
        #[test]
        fn a_delay_is_never_shorter_than_its_base_and_at_most_a_tenth_longer(
            schedule in schedules(), number in 1u32..60, seed: u64,
        ) {
            let now = UnixMillis(1_700_000_000_000);
            let next = schedule.next_attempt_at(number, None, now, &mut SmallRng::seed_from_u64(seed));
            prop_assert_eq!(next.is_some(), number < schedule.max_attempts());
            if let Some(at) = next {
                let (delay, base) = (at.since(now).as_millis(), schedule.base_delay(number).as_millis());
                prop_assert!(delay >= base && delay <= base + base / 10 + 1, "{} of {}", delay, base);
            }
        }

        #[test]
        fn retry_after_never_moves_an_attempt_earlier_nor_beyond_a_day(
            schedule in schedules(), asked in 0u64..10_000_000, seed: u64,
        ) {
            let now = UnixMillis(1_700_000_000_000);
            let not_before = parse_retry_after(&asked.to_string(), now);
            if let Some(at) = schedule.next_attempt_at(1, not_before, now, &mut SmallRng::seed_from_u64(seed)) {
                let base = schedule.base_delay(1);
                prop_assert!(at >= now + base);
                prop_assert!(at.since(now) >= Duration::from_secs(asked).min(MAX_RETRY_AFTER));
                prop_assert!(at.since(now) <= base.mul_f64(1.0 + MAX_JITTER).max(MAX_RETRY_AFTER));
            }
        }

        #[test]
        fn no_retry_after_text_panics(text: String) {
            parse_retry_after(&text, UnixMillis(1_700_000_000_000));
        }
    }
}
