//! Lines about what goes on and on: one now and then, which says how many were left out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::UnixMillis;

/// Between two lines of a kind. Smaller: an outage of an hour fills the log (and the disk that is full already).
/// Larger: somebody who begins to watch waits for the next one.
const EVERY: Duration = Duration::from_secs(10);

/// The gate before one kind of line.
pub(super) struct Rarely {
    /// Unix milliseconds.
    not_before: AtomicI64,
    left_out: AtomicU64,
}

impl Rarely {
    /// An open gate.
    pub(super) const fn new() -> Self {
        Self { not_before: AtomicI64::new(i64::MIN), left_out: AtomicU64::new(0) }
    }

    /// Whether the line is to be written; then how many were left out since the last one.
    pub(super) fn opens(&self, now: UnixMillis) -> Option<u64> {
        let not_before = self.not_before.load(Ordering::Relaxed);
        let next = (now + EVERY).0;
        // a clock that was set back opens it as well
        let is_open = now.0 >= not_before || not_before > next;
        let wins = is_open
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
    fn a_line_every_ten_seconds_tells_how_many_were_left_out() {
        let gate = Rarely::new();
        let start = UnixMillis(1_750_000_000_000);
        assert_eq!(gate.opens(start), Some(0));
        assert_eq!(gate.opens(start), None);
        assert_eq!(gate.opens(start + Duration::from_millis(9_999)), None);
        assert_eq!(gate.opens(start + Duration::from_secs(10)), Some(2));
        assert_eq!(gate.opens(UnixMillis(start.0 - 86_400_000)), Some(0), "the clock was set back");
    }
}
