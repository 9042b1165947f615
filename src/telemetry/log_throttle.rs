//! Limits log lines: about things that last to one every 10 s or once a day, about requests to so many in a second; each with the number of
//! those left out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;

/// Between two lines of a kind. Smaller: an outage of an hour fills the log (and the disk that is full already).
/// Larger: an operator who starts watching waits longer for the next line.
const INTERVAL: Duration = Duration::from_secs(10);

/// Decides whether one kind of line is written.
pub(super) struct LogThrottle {
    interval: Duration,
    /// Unix milliseconds.
    not_before: AtomicI64,
    left_out: AtomicU64,
}

impl LogThrottle {
    /// Lets the first line through.
    pub(super) const fn new() -> Self {
        Self::every(INTERVAL)
    }

    /// The same with another time between two lines.
    pub(super) const fn every(interval: Duration) -> Self {
        Self { interval, not_before: AtomicI64::new(i64::MIN), left_out: AtomicU64::new(0) }
    }

    /// Returns how many lines were left out since the last one if a line may be written now, otherwise `None`.
    pub(super) fn allow(&self, now: UnixMillis) -> Option<u64> {
        let not_before = self.not_before.load(Ordering::Relaxed);
        let next = (now + self.interval).0;
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

/// Decides about the lines of what fails and works again: its end is said if its beginning was.
pub(super) struct OutageLog {
    beginnings: LogThrottle,
    is_said: AtomicBool,
}

impl OutageLog {
    pub(super) const fn new() -> Self {
        Self { beginnings: LogThrottle::new(), is_said: AtomicBool::new(false) }
    }

    /// As [`LogThrottle::allow`].
    pub(super) fn fails(&self, now: UnixMillis) -> Option<u64> {
        let left_out = self.beginnings.allow(now)?;
        self.is_said.store(true, Ordering::Relaxed);
        Some(left_out)
    }

    /// Whether a line may be written.
    pub(super) fn works_again(&self) -> bool {
        self.is_said.swap(false, Ordering::Relaxed)
    }
}

/// Lets so many lines through in a second, of which those about one organization are at most half.
pub(super) struct LogBudget {
    lines_a_second: u32,
    second: Mutex<Second>,
}

struct Second {
    began_at: Option<Instant>,
    lines: u32,
    lines_of: BTreeMap<OrganizationId, u32>,
    left_out: u64,
}

impl LogBudget {
    pub(super) const fn new(lines_a_second: u32) -> Self {
        Self {
            lines_a_second,
            second: Mutex::new(Second { began_at: None, lines: 0, lines_of: BTreeMap::new(), left_out: 0 }),
        }
    }

    /// Returns how many lines were left out since the last one if a line may be written now, otherwise `None`.
    pub(super) fn allow(&self, now: Instant, about: Option<OrganizationId>) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began_at.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            (second.began_at, second.lines) = (Some(now), 0);
            second.lines_of.clear();
        }
        let lines_of = about.map(|about| (about, second.lines_of.get(&about).copied().unwrap_or(0)));
        if second.lines == self.lines_a_second
            || lines_of.is_some_and(|(_, lines)| lines >= self.lines_a_second / 2)
        {
            second.left_out += 1;
            return None;
        }
        second.lines += 1;
        second.lines_of.extend(lines_of.map(|(about, lines)| (about, lines + 1)));
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_every_second_is_said_to_work_again_as_often_as_it_is_said_to_fail() {
        let log = OutageLog::new();
        let mut lines = (0, 0);
        for second in 0..60 {
            lines.0 += usize::from(log.fails(UnixMillis(second * 1_000)).is_some());
            lines.1 += usize::from(log.works_again());
        }
        assert_eq!(lines, (6, 6));
    }

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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    fn a_budget_lets_so_many_lines_through_in_a_second_and_counts_the_others() {
        let budget = LogBudget::new(2);
        let begin = Instant::now();
        let after = |milliseconds| budget.allow(begin + Duration::from_millis(milliseconds), None);
        assert_eq!([after(0), after(500), after(600), after(999)], [Some(0), Some(0), None, None]);
        assert_eq!([after(1_000), after(1_100), after(1_200)], [Some(2), Some(0), None]);
        assert_eq!(after(700), None, "requests end in another order than their times");
        assert_eq!(after(3_000), Some(2));
        let of_one_line = LogBudget::new(1);
        assert_eq!([of_one_line.allow(begin, None), of_one_line.allow(begin, None)], [Some(0), None]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    fn an_organization_has_at_most_half_of_the_lines_so_that_others_have_some() {
        let budget = LogBudget::new(4);
        let begin = Instant::now();
        let allows = |organization| budget.allow(begin, Some(OrganizationId(organization))).is_some();
        assert_eq!([1, 1, 1, 1, 2, 1, 3, 4].map(allows), [true, true, false, false, true, false, true, false]);
        assert!(budget.allow(begin + Duration::from_secs(1), Some(OrganizationId(1))).is_some(), "a new second");
    }
}
