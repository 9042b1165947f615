//! Limits log lines about things that last: one every 10 s, with the number of lines left out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::UnixMillis;

/// Between two lines of a kind. Smaller: an outage of an hour fills the log (and the disk that is full already).
/// Larger: an operator who starts watching waits longer for the next line.
const INTERVAL: Duration = Duration::from_secs(10);

/// Decides whether one kind of line is written.
pub(super) struct LogThrottle {
    /// Unix milliseconds.
    not_before: AtomicI64,
    left_out: AtomicU64,
}

impl LogThrottle {
    /// Lets the first line through.
    pub(super) const fn new() -> Self {
        Self { not_before: AtomicI64::new(i64::MIN), left_out: AtomicU64::new(0) }
    }

    /// Returns how many lines were left out since the last one if a line may be written now, otherwise `None`.
    pub(super) fn allow(&self, now: UnixMillis) -> Option<u64> {
        let not_before = self.not_before.load(Ordering::Relaxed);
        let next = (now + INTERVAL).0;
        // a clock that was set back must not silence the line until it catches up
        let is_due = now.0 >= not_before || not_before > next;
        let wins = is_due
            && self.not_before.compare_exchange(not_before, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        match wins {
            true => Some(self.left_out.swap(0, Ordering::Relaxed)),
            false => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_allowed_every_ten_seconds_and_counts_those_left_out() {
        let throttle = LogThrottle::new();
        let start = UnixMillis(1_750_000_000_000);
        assert_eq!(throttle.allow(start), Some(0));
        assert_eq!(throttle.allow(start), None);
        assert_eq!(throttle.allow(start + Duration::from_millis(9_999)), None);
        assert_eq!(throttle.allow(start + Duration::from_secs(10)), Some(2));
        assert_eq!(throttle.allow(UnixMillis(start.0 - 86_400_000)), Some(0), "the clock was set back");
    }
}
