//! Counts how often something happened lately.

use parking_lot::Mutex;

use crate::domain::time::UnixMillis;

/// The time over which a rate is averaged. Smaller: figures that jump. Larger: they show what was, not what is.
const WINDOW_MILLIS: i64 = 10_000;

/// A rate over the last ten to twenty seconds.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    begins_at: i64,
    current: u64,
    previous: u64,
}

impl Meter {
    /// Counts something that happens now.
    pub(crate) fn add(&self, count: u64, now: UnixMillis) {
        let mut windows = self.0.lock();
        windows.pass_time(now);
        windows.current += count;
    }

    /// How often it happened lately, per second.
    pub(crate) fn per_second(&self, now: UnixMillis) -> f64 {
        let mut windows = self.0.lock();
        windows.pass_time(now);
        let elapsed = (now.0 - windows.begins_at).clamp(0, WINDOW_MILLIS);
        (windows.previous + windows.current) as f64 * 1_000.0 / (WINDOW_MILLIS + elapsed) as f64
    }
}

impl Windows {
    fn pass_time(&mut self, now: UnixMillis) {
        let passed = now.0 - self.begins_at;
        // a clock that was set back starts over as well
        if !(0..2 * WINDOW_MILLIS).contains(&passed) {
            *self = Self { begins_at: now.0, current: 0, previous: 0 };
        } else if passed >= WINDOW_MILLIS {
            *self = Self { begins_at: self.begins_at + WINDOW_MILLIS, current: 0, previous: self.current };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_shown_as_it_is_and_forgotten_when_it_ends() {
        let meter = Meter::default();
        for second in 0..60 {
            meter.add(50, UnixMillis(second * 1_000));
        }
        let rate = meter.per_second(UnixMillis(60_000));
        assert!((45.0..=55.0).contains(&rate), "{rate}");
        assert!(meter.per_second(UnixMillis(100_000)) < 0.001);
    }
}
