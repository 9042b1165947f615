//! Counts results of deliveries, and says when the counts are written.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::attempt::Outcome;
use crate::domain::statistics::{StatisticsDelta, Tally};

/// How long a count may wait in memory. Smaller: the row of an endpoint is written so much oftener, and with few
/// deliveries each of them costs a commit of its own. Larger: charts lag behind, and a kill loses more.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// Counts in one commit. Larger: with many endpoints publishers wait for their counts to be written.
const MAX_COUNTS: usize = 2_000;

/// What was counted and is not stored.
#[derive(Default)]
pub(super) struct Counting {
    tally: Tally,
    /// When the first count of the tally must be written.
    due_at: Option<Instant>,
    /// Taken out of the tally, and waiting for their commits.
    leaving: Vec<StatisticsDelta>,
}

impl Counting {
    /// Counts the outcomes of a commit that were recorded.
    pub(super) fn count(&mut self, outcomes: &[Outcome], recorded: &[bool], now: Instant) {
        for (outcome, _) in outcomes.iter().zip(recorded).filter(|(_, recorded)| **recorded) {
            self.tally.count(outcome);
        }
        if !self.tally.is_empty() {
            self.due_at.get_or_insert(now + FLUSH_EVERY);
        }
    }

    /// When something must be written; `None` when there is nothing.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        let is_due = !self.leaving.is_empty() || self.tally.is_full();
        if is_due { Some(now) } else { self.due_at }
    }

    /// What goes into the next commit: nothing before its time, unless all of it `is_wanted` now. At most so much as a
    /// commit should write, but everything that left a tally that is full again, so that no more than two are held.
    pub(super) fn take(&mut self, is_wanted: bool, now: Instant) -> Vec<StatisticsDelta> {
        let is_due = is_wanted || self.due_at(now).is_some_and(|due_at| due_at <= now);
        if self.leaving.is_empty() && is_due {
            self.leaving = self.tally.take();
            self.due_at = None;
        }
        let most = if self.tally.is_full() { usize::MAX } else { MAX_COUNTS };
        let rest = self.leaving.split_off(self.leaving.len().min(most));
        std::mem::replace(&mut self.leaving, rest)
    }

    /// Takes back what a failed commit held.
    pub(super) fn put_back(&mut self, deltas: Vec<StatisticsDelta>) {
        self.leaving.splice(0..0, deltas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, AttemptResult, NextStep};
    use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
    use crate::domain::time::UnixMillis;

    fn outcomes(endpoints: std::ops::Range<i64>) -> Vec<Outcome> {
        let outcome = |endpoint_id| Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(endpoint_id),
            delivery_id: DeliveryId(endpoint_id),
            number: 1,
            started_at: UnixMillis(0),
            finished_at: UnixMillis(0),
            ordered: false,
            request_headers: Vec::new(),
            result: AttemptResult { answer: Err(AttemptError::Timeout), duration: Duration::ZERO },
            next: NextStep::Succeeded,
        };
        endpoints.map(outcome).collect()
    }

    #[test]
    fn counts_wait_for_their_time_unless_they_are_wanted() {
        let (mut counting, begin) = (Counting::default(), Instant::now());
        assert!(counting.due_at(begin).is_none() && counting.take(true, begin).is_empty());
        counting.count(&outcomes(0..2), &[true, false], begin);
        counting.count(&outcomes(0..1), &[true], begin + FLUSH_EVERY / 2);
        let just_before = begin + FLUSH_EVERY - Duration::from_millis(1);
        assert!(counting.take(false, just_before).is_empty());
        assert_eq!(counting.due_at(just_before), Some(begin + FLUSH_EVERY), "by the first count");
        let taken = counting.take(false, begin + FLUSH_EVERY);
        assert_eq!(taken.iter().map(|delta| delta.counts.succeeded).collect::<Vec<_>>(), [2], "what was recorded");
        assert!(counting.due_at(begin + FLUSH_EVERY).is_none());
        counting.count(&outcomes(0..1), &[true], begin);
        assert_eq!(counting.take(true, begin).len(), 1);
    }

    #[test]
    fn what_a_failed_commit_held_goes_into_the_next_one() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        counting.count(&outcomes(0..3), &[true; 3], now);
        let failed = counting.take(true, now);
        counting.count(&outcomes(0..1), &[true], now);
        counting.put_back(failed.clone());
        assert_eq!(counting.due_at(now), Some(now), "with the next commit");
        assert_eq!(counting.take(false, now), failed);
        assert_eq!(counting.take(true, now).len(), 1, "what was counted meanwhile");
    }

    #[test]
    fn a_commit_takes_a_part_of_many_counts_and_no_more_than_two_tallies_are_ever_held() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        let some = MAX_COUNTS as i64 + 1;
        counting.count(&outcomes(0..some), &vec![true; MAX_COUNTS + 1], now);
        assert_eq!([true, false].map(|is_wanted| counting.take(is_wanted, now).len()), [MAX_COUNTS, 1]);

        let many = outcomes(0..20_000);
        counting.count(&many, &vec![true; many.len()], now);
        assert_eq!(counting.take(false, now).len(), MAX_COUNTS, "a full tally is due at once");
        counting.count(&many, &vec![true; many.len()], now);
        assert_eq!(counting.take(false, now).len(), many.len() - MAX_COUNTS);
        assert_eq!(counting.take(false, now).len(), MAX_COUNTS);
    }
}
