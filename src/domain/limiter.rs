//! The rate limit of one endpoint: `governor`'s token bucket with the time as a parameter.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter as Bucket};

use super::endpoint::RateLimit;
use super::time::UnixMillis;

const NANOS_PER_MS: u64 = 1_000_000;
/// The rates that the contract allows; any other (only possible in a damaged row) is clamped.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
/// The latest instant in nanoseconds (year 2262). Larger: its sum with [`MAX_BURST_NANOS`], the longest time to fill a
/// bucket, overflows `governor`'s 64 bits.
const MAX_NANOS: u64 = i64::MAX as u64;
const MAX_BURST_NANOS: u64 = MAX_NANOS / 4;
/// If the clock falls back by less than this, time stands still until it has caught up; if by more, the new time is
/// followed and the bucket stays as full as it was. Smaller: an oscillating clock earns a permit with every swing. Larger:
/// after a correction of the clock the endpoint waits that long.
const MAX_STANDSTILL: Duration = Duration::from_secs(5);

/// An instant on the bucket's clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Instant(u64);

impl std::ops::Add<Nanos> for Instant {
    type Output = Self;
    fn add(self, duration: Nanos) -> Self {
        Self(self.0.saturating_add(duration.as_u64()))
    }
}

impl Reference for Instant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.as_u64()).unwrap_or(self.0))
    }
}

/// A clock that is set by the caller.
#[derive(Debug, Default)]
struct SetClock(Cell<u64>);

impl Clock for SetClock {
    type Instant = Instant;
    fn now(&self) -> Instant {
        Instant(self.0.get())
    }
}

/// The state of a limiter that outlives its supervisor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimiterMemory {
    limit: RateLimit,
    left_at: UnixMillis,
    /// From this instant on nothing needs to be remembered.
    pub full_at: UnixMillis,
}

impl LimiterMemory {
    /// When it was left.
    pub(crate) fn left_at(&self) -> UnixMillis {
        self.left_at
    }
}

/// A token bucket: in any second it grants at most the burst and a second's worth.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: RateLimit,
    /// Nanoseconds between two permits.
    period: u64,
    burst: NonZeroU32,
    /// When the bucket is full if nothing more is taken, on the bucket's clock.
    full_at: Cell<u64>,
    bucket: Bucket<NotKeyed, InMemoryState, SetClock, NoOpMiddleware<Instant>>,
    /// The latest instant of a request, on the bucket's clock.
    latest: Cell<u64>,
    /// How far the bucket's clock is ahead of the caller's, after the caller's was set back.
    ahead: Cell<u64>,
    /// Whether a permit was returned unused.
    unused: Cell<bool>,
}

impl RateLimiter {
    /// A full bucket.
    pub(crate) fn new(limit: &RateLimit) -> Self {
        let rate = if limit.per_second.is_nan() { *RATES.start() } else { limit.per_second };
        let rate = rate.clamp(*RATES.start(), *RATES.end());
        // rounded up: never faster than the configured rate
        let period = (1e9 / rate).ceil() as u64;
        let burst = u64::from(limit.effective_burst()).min(MAX_BURST_NANOS / period);
        let burst = u32::try_from(burst).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        // with_period is None for a period of zero only, and the shortest is 100 µs
        let quota = Quota::with_period(Duration::from_nanos(period)).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        let bucket = Bucket::direct_with_clock(quota.allow_burst(burst), SetClock::default());
        let (latest, ahead, full_at) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let unused = Cell::new(false);
        Self { limit: *limit, period, burst, full_at, bucket, latest, ahead, unused }
    }

    /// An empty bucket at `since`, as if the whole burst had just been taken: for an endpoint with an unknown history, and for
    /// a limit that was just changed. So a second around that instant sees no more attempts than any other.
    pub(crate) fn empty_since(limit: &RateLimit, since: UnixMillis) -> Self {
        let limiter = Self::new(limit);
        let at = limiter.bucket_time(since);
        limiter.bucket.clock().0.set(at);
        // a full bucket grants its burst, so this can't be refused
        let _ = limiter.bucket.check_n(limiter.burst);
        limiter.full_at.set(at.saturating_add(limiter.full_after()));
        limiter
    }

    /// Restores a limiter, with the permits that have accrued since.
    pub(crate) fn restore(limit: &RateLimit, memory: &LimiterMemory) -> Self {
        if memory.limit != *limit {
            return Self::empty_since(limit, memory.left_at);
        }
        let limiter = Self::new(limit);
        let full_after = i64::try_from(limiter.full_after() / NANOS_PER_MS).unwrap_or(i64::MAX);
        Self::empty_since(limit, UnixMillis(memory.full_at.0.saturating_sub(full_after)))
    }

    /// The state for the next limiter; `None` when the bucket is full.
    pub(crate) fn remember(&self, now: UnixMillis) -> Option<LimiterMemory> {
        let full_at = self.caller_time(self.full_at.get());
        (full_at > now).then_some(LimiterMemory { limit: self.limit, left_at: now, full_at })
    }

    /// Nanoseconds from empty to full; bounded by [`MAX_BURST_NANOS`].
    fn full_after(&self) -> u64 {
        u64::from(self.burst.get()).saturating_mul(self.period)
    }

    fn count_grant(&self) {
        let at = self.bucket.clock().0.get();
        self.full_at.set(self.full_at.get().max(at).saturating_add(self.period));
    }

    /// Takes a permit, or returns the earliest instant at which there is one.
    pub(crate) fn try_acquire(&self, now: UnixMillis) -> Result<(), UnixMillis> {
        if self.unused.take() {
            return Ok(());
        }
        self.try_acquire_new(now)
    }

    /// Returns the last permit unused, for the next request. Only one is kept, because more could add up with a burst.
    /// Without this, at one permit in a hundred seconds an attempt that was not made would wait that long.
    pub(crate) fn give_back(&self) {
        self.unused.set(true);
    }

    fn try_acquire_new(&self, now: UnixMillis) -> Result<(), UnixMillis> {
        let at = self.bucket_time(now);
        let clock = self.bucket.clock();
        // `now` stands for the whole millisecond up to it. A permit that became due within it is taken at its own instant:
        // otherwise each permit would lose up to a millisecond, and 1,000 a second would be out of reach
        clock.0.set(clock.0.get().max(at.saturating_sub(NANOS_PER_MS)));
        let mut checked = self.bucket.check();
        if let Err(refused) = &checked
            && refused.earliest_possible().0 <= at
        {
            clock.0.set(refused.earliest_possible().0);
            checked = self.bucket.check();
        }
        checked.map_err(|refused| self.caller_time(refused.earliest_possible().0))?;
        self.count_grant();
        Ok(())
    }

    /// The instant on the bucket's clock, which never goes back.
    fn bucket_time(&self, now: UnixMillis) -> u64 {
        let nanos = u64::try_from(now.0).unwrap_or(0).saturating_mul(NANOS_PER_MS);
        let mut at = nanos.saturating_add(self.ahead.get()).min(MAX_NANOS);
        let behind = self.latest.get().saturating_sub(at);
        if u128::from(behind) > MAX_STANDSTILL.as_nanos() {
            self.ahead.set(self.ahead.get().saturating_add(behind));
            at = self.latest.get();
        }
        self.latest.set(self.latest.get().max(at));
        self.latest.get()
    }

    fn caller_time(&self, at: u64) -> UnixMillis {
        let millis = at.saturating_sub(self.ahead.get()).div_ceil(NANOS_PER_MS);
        UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: UnixMillis = UnixMillis(1_734_345_045_000);

    fn limiter(per_second: f64, burst: Option<u32>) -> RateLimiter {
        RateLimiter::new(&RateLimit { per_second, burst })
    }

    /// Any rate that the contract allows, each order of magnitude equally often.
    fn rates() -> impl Strategy<Value = f64> {
        (-2.0f64..4.0).prop_map(|exponent| 10f64.powf(exponent))
    }

    fn grants(limiter: &RateLimiter, times: impl Iterator<Item = i64>) -> Vec<i64> {
        times.filter(|&time| limiter.try_acquire(UnixMillis(time)).is_ok()).collect()
    }

    #[test]
    fn only_one_returned_permit_is_granted_again() {
        let limiter = limiter(0.01, Some(2));
        assert_eq!(grants(&limiter, [START.0; 3].into_iter()).len(), 2);
        limiter.give_back();
        limiter.give_back();
        assert_eq!(grants(&limiter, [START.0; 3].into_iter()).len(), 1);
    }

    #[test]
    fn one_permit_in_a_hundred_seconds_is_announced_to_the_millisecond() {
        let limiter = limiter(0.01, None);
        assert_eq!(limiter.try_acquire(START), Ok(()));
        let next = limiter.try_acquire(START).unwrap_err();
        // up to one millisecond earlier, as an instant stands for the millisecond up to it
        assert!((99_999..=100_000).contains(&(next.0 - START.0)), "{next:?}");
        assert_eq!(limiter.try_acquire(UnixMillis(next.0 - 1)), Err(next));
        assert_eq!(limiter.try_acquire(next), Ok(()));
    }

    #[test]
    fn a_pause_fills_the_burst_and_no_more() {
        let limiter = limiter(10.0, Some(3));
        assert_eq!(grants(&limiter, [START.0; 10].into_iter()).len(), 3);
        let later = START.0 + 3_600_000;
        assert_eq!(grants(&limiter, [later; 10].into_iter()).len(), 3);
    }

    #[test]
    fn without_a_burst_no_second_sees_more_than_a_tenth_above_the_rate() {
        let limiter = limiter(100.0, None);
        let granted = grants(&limiter, (0..1000).flat_map(|step| [START.0 + step; 3]));
        assert!((100..=110).contains(&granted.len()), "{}", granted.len());
    }

    #[test]
    fn a_clock_set_back_by_an_hour_delays_the_next_permit_by_no_more_than_its_period() {
        let limiter = limiter(1.0, None);
        assert_eq!(limiter.try_acquire(START), Ok(()));
        let back = UnixMillis(START.0 - 3_600_000);
        let next = limiter.try_acquire(back).unwrap_err();
        assert!(next > back && next.0 <= back.0 + 1000, "{next:?}");
        assert_eq!(limiter.try_acquire(next), Ok(()));
    }

    #[test]
    fn an_empty_bucket_grants_its_first_permit_after_a_period_and_its_burst_when_it_is_full() {
        for (per_second, burst, first) in [(10.0, Some(3), 100), (10.0, Some(100), 100), (0.01, None, 100_000)] {
            let limit = RateLimit { per_second, burst };
            let next = RateLimiter::empty_since(&limit, START).try_acquire(START).unwrap_err();
            assert!((first - 1..=first).contains(&(next.0 - START.0)), "{next:?}");
            let limiter = RateLimiter::empty_since(&limit, START);
            let full = START.0 + first * i64::from(limit.effective_burst());
            let granted = grants(&limiter, [full; 200].into_iter()).len();
            assert_eq!(granted, limit.effective_burst() as usize);
        }
    }

    #[test]
    fn a_changed_limit_begins_empty_at_the_time_of_the_remembered_one() {
        let slow = limiter(0.01, None);
        assert_eq!(slow.try_acquire(START), Ok(()));
        let memory = slow.remember(START).unwrap();
        let fast = RateLimiter::restore(&RateLimit { per_second: 10.0, burst: None }, &memory);
        let next = fast.try_acquire(START).unwrap_err();
        assert!(next.0 <= START.0 + 100, "{next:?}");
    }

    #[test]
    fn extreme_limits_and_instants_do_not_panic() {
        for per_second in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.01, 10_000.0] {
            for burst in [None, Some(0), Some(1), Some(u32::MAX)] {
                let limiter = limiter(per_second, burst);
                for now in [i64::MAX, 0, i64::MIN, START.0, i64::MAX - 1, 1].map(UnixMillis) {
                    let _ = limiter.try_acquire(now);
                    let limit = RateLimit { per_second, burst };
                    let left = limiter.remember(now).map(|memory| RateLimiter::restore(&limit, &memory));
                    let other = left.unwrap_or_else(|| RateLimiter::empty_since(&limit, now));
                    let _ = other.try_acquire(now);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_burst_and_a_seconds_worth(
            rate in rates(),
            burst in prop::option::of(1u32..50),
            steps in prop::collection::vec((0i64..40, 1usize..40), 1..400),
        ) {
            let limiter = limiter(rate, burst);
            let bound = RateLimit { per_second: rate, burst }.effective_burst() as usize + rate.ceil() as usize;
            let mut now = START.0;
            let asked = steps.into_iter().flat_map(move |(step, times)| {
                now += step;
                std::iter::repeat_n(now, times)
            });
            let granted = grants(&limiter, asked);
            for (index, &first) in granted.iter().enumerate() {
                let within = granted[index..].iter().take_while(|&&time| time < first + 1000).count();
                prop_assert!(within <= bound, "{within} > {bound}");
            }
        }

        #[test]
        fn a_request_at_the_announced_time_gets_a_permit_and_the_whole_rate(
            rate in rates(),
            burst in prop::option::of(1u32..20),
        ) {
            let limiter = limiter(rate, burst);
            let (mut now, mut first, mut granted) = (START, None, 0u32);
            while granted < 3_000 {
                match limiter.try_acquire(now) {
                    Ok(()) => granted += u32::from(first.is_some()),
                    Err(next) => {
                        prop_assert!(next > now);
                        now = next;
                        // count once the initial burst is spent
                        first = first.or(Some(now));
                        prop_assert_eq!(limiter.try_acquire(now), Ok(()));
                        granted += 1;
                    }
                }
            }
            let seconds = now.since(first.unwrap_or(now)).as_secs_f64();
            prop_assert!(f64::from(granted) >= 0.99 * rate * seconds, "{granted} in {seconds} s");
        }

        #[test]
        fn a_limiter_that_is_repeatedly_restored_grants_as_much_as_one_that_stays(
            rate in rates(),
            burst in prop::option::of(1u32..50),
            steps in prop::collection::vec((0i64..400, 1usize..20, any::<bool>()), 1..200),
        ) {
            let limit = RateLimit { per_second: rate, burst };
            let stays = RateLimiter::new(&limit);
            let mut leaves = RateLimiter::new(&limit);
            let (mut now, mut granted, mut by_the_other) = (START, 0usize, 0usize);
            for (step, times, is_left) in steps {
                now = UnixMillis(now.0 + step);
                for _ in 0..times {
                    granted += usize::from(stays.try_acquire(now).is_ok());
                    by_the_other += usize::from(leaves.try_acquire(now).is_ok());
                }
                if is_left {
                    let memory = leaves.remember(now);
                    leaves = memory.map_or_else(
                        || RateLimiter::new(&limit),
                        |memory| RateLimiter::restore(&limit, &memory),
                    );
                }
            }
            // `now` stands for a whole millisecond, of which the two may be at different ends: as many more as come in
            // within it, and never more for having left often
            let within = 1 + (rate / 1_000.0).ceil() as usize;
            prop_assert!(by_the_other <= granted + within, "{by_the_other} > {granted}");
        }

        #[test]
        fn a_clock_that_oscillates_within_the_standstill_earns_no_permits(
            rate in rates(),
            swings in prop::collection::vec(0i64..5_000, 1..500),
        ) {
            let limiter = limiter(rate, Some(1));
            let granted = grants(&limiter, swings.iter().map(|swing| START.0 + swing));
            let most = 1.0 + 5.0 * rate;
            prop_assert!(granted.len() as f64 <= most.ceil(), "{} > {most}", granted.len());
        }
    }
}
