//! Counts outcomes of attempts, decides when the counts are written, and adds the counts that are not written yet to those
//! that a reader finds in the store.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::attempt::Outcome;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::statistics::{ALL_ENDPOINTS, PeriodStatistics, StatisticsDelta, Tally, period_start};
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreResult};

/// How long a count may wait in memory. Smaller: the row of an endpoint is written that much more often, and with few
/// deliveries each of them costs a separate commit. Larger: a kill loses more.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// The first failure of an endpoint is written at once; first failures of others within this time are written together
/// after it. Smaller: while many endpoints begin to fail, each commit has some more rows. Larger: a kill loses why an
/// endpoint began to fail.
const FIRST_FAILURES_EVERY: Duration = Duration::from_secs(1);
/// Counts in one commit. Larger: with many endpoints, publishers wait while counts are written.
const MAX_COUNTS: usize = 2_000;
/// How long a reader waits for the end of a commit that holds counts. Smaller: a reader may count twice the counts that
/// such a commit has just written. Larger: a database that hangs holds the reader for longer.
const COMMIT_WAIT: Duration = Duration::from_millis(200);
/// How often a reader reads, at most, because counts were written during the read, which happens every few seconds.
const MAX_READS: usize = 3;

/// The counts and failures that a commit writes alongside the events and outcomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) statistics: Vec<StatisticsDelta>,
    pub(super) failures: Vec<LastFailure>,
}

impl Counts {
    pub(super) fn is_empty(&self) -> bool {
        self.statistics.is_empty() && self.failures.is_empty()
    }
}

/// The newest failure of each endpoint, while it is not stored.
#[derive(Default)]
struct Failures {
    waiting: HashMap<EndpointId, LastFailure>,
    /// Endpoints with a failure that was written since the last time that all were: their next one can wait for the next
    /// time.
    written: HashSet<EndpointId>,
    /// When first failures are written.
    first_due_at: Option<Instant>,
    first_taken_at: Option<Instant>,
    /// Taken from `waiting`, waiting for their commits.
    leaving: Vec<LastFailure>,
}

impl Failures {
    fn note(&mut self, failure: LastFailure, now: Instant) {
        if !self.written.contains(&failure.endpoint_id) {
            let next = self.first_taken_at.map_or(now, |taken_at| now.max(taken_at + FIRST_FAILURES_EVERY));
            self.first_due_at.get_or_insert(next);
        }
        match self.waiting.entry(failure.endpoint_id) {
            // attempts are not recorded in the order in which they end
            Entry::Occupied(newer) if newer.get().at > failure.at => {}
            Entry::Occupied(mut older) => drop(older.insert(failure)),
            Entry::Vacant(first) => {
                first.insert(failure);
            }
        }
    }

    fn due_at(&self, now: Instant) -> Option<Instant> {
        if self.leaving.is_empty() { self.first_due_at } else { Some(now) }
    }

    /// Takes the failures of the next commit: all of them, or the first failures that are due.
    fn take(&mut self, all: bool, now: Instant) -> Vec<LastFailure> {
        if all {
            self.written = self.waiting.keys().copied().collect();
            self.leaving.extend(self.waiting.drain().map(|(_, failure)| failure));
            self.first_due_at = None;
        } else if self.first_due_at.is_some_and(|due_at| due_at <= now) {
            let Self { waiting, written, .. } = self;
            let first: Vec<EndpointId> = waiting.keys().filter(|id| !written.contains(id)).copied().collect();
            self.leaving.extend(first.iter().filter_map(|id| waiting.remove(id)));
            self.written.extend(first);
            (self.first_due_at, self.first_taken_at) = (None, Some(now));
        }
        let rest = self.leaving.split_off(self.leaving.len().min(MAX_COUNTS));
        std::mem::replace(&mut self.leaving, rest)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut LastFailure> {
        self.leaving.iter_mut().chain(self.waiting.values_mut())
    }

    fn of(&self, endpoint_id: EndpointId) -> impl Iterator<Item = &LastFailure> {
        let leaving = self.leaving.iter().filter(move |failure| failure.endpoint_id == endpoint_id);
        leaving.chain(self.waiting.get(&endpoint_id))
    }
}

/// Counts that are not stored.
#[derive(Default)]
pub(super) struct Counting {
    tally: Tally,
    /// When the first count of the tally must be written.
    due_at: Option<Instant>,
    /// Taken from the tally, waiting for their commits.
    leaving: Vec<StatisticsDelta>,
    failures: Failures,
    /// In the commit under way: it may be on disk already.
    under_way: Counts,
    /// Grows when counts leave for a commit and when that commit ends: counts must not be added to a read of the store that
    /// spans either.
    moves: u64,
}

impl Counting {
    /// Counts those outcomes of a commit that were recorded.
    fn count(&mut self, outcomes: &[Outcome], recorded: &[bool], now: Instant) {
        for (outcome, _) in outcomes.iter().zip(recorded).filter(|(_, recorded)| **recorded) {
            self.tally.count(outcome);
            if let Some(failure) = LastFailure::of(outcome) {
                self.failures.note(failure, now);
            }
        }
        if !self.tally.is_empty() {
            self.due_at.get_or_insert(now + FLUSH_EVERY);
        }
    }

    /// When something must be written; `None` if there is nothing.
    pub(super) fn due_at(&self, now: Instant) -> Option<Instant> {
        let is_due = !self.leaving.is_empty() || self.tally.is_full();
        let counts = if is_due { Some(now) } else { self.due_at };
        counts.into_iter().chain(self.failures.due_at(now)).min()
    }

    /// Takes the counts of the next commit: none before they are due, unless all are wanted now (`is_wanted`). At most
    /// [`MAX_COUNTS`], but all counts that left the tally if it is full again, so that at most two full tallies are held.
    pub(super) fn take(&mut self, is_wanted: bool, now: Instant) -> Counts {
        let is_due = self.tally.is_full() || self.due_at.is_some_and(|due_at| due_at <= now);
        let leaves = self.leaving.is_empty() && (is_wanted || is_due);
        if leaves {
            self.leaving = self.tally.take();
            self.due_at = None;
        }
        let most = if self.tally.is_full() { usize::MAX } else { MAX_COUNTS };
        let rest = self.leaving.split_off(self.leaving.len().min(most));
        let statistics = std::mem::replace(&mut self.leaving, rest);
        let counts = Counts { statistics, failures: self.failures.take(leaves, now) };
        if !counts.is_empty() {
            self.under_way = counts.clone();
            self.moves += 1;
        }
        counts
    }

    /// Puts back the counts of a failed commit.
    fn put_back(&mut self) {
        let Counts { statistics, failures } = std::mem::take(&mut self.under_way);
        self.leaving.splice(0..0, statistics);
        self.failures.leaving.splice(0..0, failures);
        self.moves += 1;
    }

    /// Counts of an organization's endpoints that are in the commit under way or wait for a later one.
    fn of_organization(&self, organization_id: OrganizationId) -> Vec<PeriodStatistics> {
        let left = self.left(organization_id).map(period_of);
        left.chain(self.tally.of(organization_id, ALL_ENDPOINTS)).collect()
    }

    /// The same for single endpoints.
    fn of_endpoints(
        &self,
        organization_id: OrganizationId,
        ids: &HashSet<EndpointId>,
    ) -> Vec<(EndpointId, PeriodStatistics)> {
        let left = self.left(organization_id).filter(|delta| ids.contains(&delta.endpoint_id));
        let left = left.map(|delta| (delta.endpoint_id, period_of(delta)));
        let counted = |&id: &EndpointId| self.tally.of(organization_id, id).map(move |period| (id, period));
        left.chain(ids.iter().flat_map(counted)).collect()
    }

    /// Counts that left the tally: mostly none, at times some thousands.
    fn left(&self, organization_id: OrganizationId) -> impl Iterator<Item = &StatisticsDelta> {
        let all = self.under_way.statistics.iter().chain(&self.leaving);
        all.filter(move |delta| delta.organization_id == organization_id)
    }

    fn last_failure(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> Option<LastFailure> {
        let under_way = self.under_way.failures.iter().filter(|failure| failure.endpoint_id == endpoint_id);
        let all = under_way.chain(self.failures.of(endpoint_id));
        all.filter(|failure| failure.organization_id == organization_id).max_by_key(|failure| failure.at).cloned()
    }
}

fn period_of(delta: &StatisticsDelta) -> PeriodStatistics {
    PeriodStatistics { period_start: delta.period_start, counts: delta.counts.clone() }
}

/// [`Counting`] as persistence and readers share it.
#[derive(Default)]
pub(super) struct SharedCounting {
    counting: Mutex<Counting>,
    /// A commit with counts ended.
    commit_ended: Condvar,
}

impl SharedCounting {
    /// Hold it only for a lookup.
    pub(super) fn lock(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call when a commit is on disk, with its outcomes.
    pub(super) fn committed(&self, outcomes: &[Outcome], recorded: &[bool], now: Instant) {
        let mut counting = self.lock();
        counting.count(outcomes, recorded, now);
        if !counting.under_way.is_empty() {
            counting.under_way = Counts::default();
            counting.moves += 1;
            self.commit_ended.notify_all();
        }
    }

    /// Call when a commit failed: its counts go into another one.
    pub(super) fn failed(&self) {
        let mut counting = self.lock();
        if !counting.under_way.is_empty() {
            counting.put_back();
            self.commit_ended.notify_all();
        }
    }

    /// Reads the store, and the counts that it does not have yet: no count is in both, none in neither.
    fn together<T, W>(
        &self,
        stored: impl Fn() -> StoreResult<T>,
        waiting: impl Fn(&Counting) -> W,
    ) -> StoreResult<(T, W)> {
        let mut reads = 1;
        loop {
            let in_flight = |counting: &mut Counting| !counting.under_way.is_empty();
            let waited = self.commit_ended.wait_timeout_while(self.lock(), COMMIT_WAIT, in_flight);
            let (counting, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let before = counting.moves;
            drop(counting);
            let stored = stored()?;
            let counting = self.lock();
            if counting.moves == before || reads == MAX_READS {
                return Ok((stored, waiting(&counting)));
            }
            reads += 1;
        }
    }
}

/// Reads statistics up to the newest commit. Its methods block, like the store's; a period can occur more than once in
/// their results, in any order. Counts of other engines on the same database appear with their next write.
#[derive(Clone)]
pub(crate) struct CurrentStatistics(pub(super) Arc<SharedCounting>);

impl CurrentStatistics {
    /// [`LogStore::organization_statistics`](crate::store::LogStore::organization_statistics).
    pub(crate) fn of_organization(
        &self,
        store: &dyn Store,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        let stored = || store.organization_statistics(organization_id, since);
        let (mut counts, waiting) =
            self.0.together(stored, |counting| counting.of_organization(organization_id))?;
        counts.extend(waiting.into_iter().filter(|it| it.period_start >= period_start(since)));
        Ok(counts)
    }

    /// [`LogStore::endpoint_statistics`](crate::store::LogStore::endpoint_statistics).
    pub(crate) fn of_endpoints(
        &self,
        store: &dyn Store,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        let stored = || store.endpoint_statistics(organization_id, endpoint_ids, since);
        let ids: HashSet<EndpointId> = endpoint_ids.iter().copied().collect();
        let (mut counts, waiting) =
            self.0.together(stored, |counting| counting.of_endpoints(organization_id, &ids))?;
        counts.extend(waiting.into_iter().filter(|(_, it)| it.period_start >= period_start(since)));
        Ok(counts)
    }

    /// Before the response is erased in the store, in which a commit under way may still write an excerpt of it.
    pub(crate) fn forget_excerpt(&self, organization_id: OrganizationId, delivery_id: DeliveryId) {
        let counting = &mut *self.0.lock();
        let all = counting.under_way.failures.iter_mut().chain(counting.failures.all_mut());
        let of_delivery = all.filter(|it| it.organization_id == organization_id && it.delivery_id == delivery_id);
        of_delivery.for_each(|failure| failure.excerpt = None);
    }

    /// [`LogStore::last_failure`](crate::store::LogStore::last_failure).
    pub(crate) fn last_failure(
        &self,
        store: &dyn Store,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        let stored = || store.last_failure(organization_id, endpoint_id);
        let (stored, waiting) =
            self.0.together(stored, |counting| counting.last_failure(organization_id, endpoint_id))?;
        Ok(stored.into_iter().chain(waiting).max_by_key(|failure| failure.at))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::attempt::{AttemptError, AttemptResult, NextStep, Response};
    use crate::domain::ids::DeliveryId;

    fn outcomes(endpoints: std::ops::Range<i64>) -> Vec<Outcome> {
        let outcome = |endpoint_id| Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(endpoint_id),
            delivery_id: DeliveryId(endpoint_id),
            number: 1,
            started_at: UnixMillis(0),
            finished_at: UnixMillis(0),
            ordered: false,
            request: crate::domain::sent_request::SentRequest::default(),
            result: AttemptResult { response: Err(AttemptError::Timeout), duration: Duration::ZERO },
            next: NextStep::Succeeded,
        };
        endpoints.map(|index| outcome(index + 1)).collect()
    }

    fn failed(endpoint_id: i64, at: i64, body: &'static [u8]) -> Outcome {
        let response = Response::new(500, Vec::new(), Bytes::from_static(body));
        let result = AttemptResult { response: Ok(response), duration: Duration::ZERO };
        let next = NextStep::RetryAt(UnixMillis(at + 60_000));
        Outcome { finished_at: UnixMillis(at), result, next, ..outcomes(endpoint_id - 1..endpoint_id).remove(0) }
    }

    fn written(counts: &Counts) -> Vec<(i64, i64)> {
        let mut written: Vec<_> = counts.failures.iter().map(|it| (it.endpoint_id.0, it.at.0)).collect();
        written.sort_unstable();
        written
    }

    #[test]
    fn counts_are_written_when_they_are_due_or_all_are_wanted() {
        let (mut counting, begin) = (Counting::default(), Instant::now());
        assert!(counting.due_at(begin).is_none() && counting.take(true, begin).is_empty());
        counting.count(&outcomes(0..2), &[true, false], begin);
        counting.count(&outcomes(0..1), &[true], begin + FLUSH_EVERY / 2);
        let just_before = begin + FLUSH_EVERY - Duration::from_millis(1);
        assert!(counting.take(false, just_before).is_empty());
        assert_eq!(counting.due_at(just_before), Some(begin + FLUSH_EVERY), "by the first count");
        let taken = counting.take(false, begin + FLUSH_EVERY).statistics;
        assert_eq!(taken.iter().map(|delta| delta.counts.succeeded).collect::<Vec<_>>(), [2], "what was recorded");
        assert!(counting.due_at(begin + FLUSH_EVERY).is_none());
        counting.count(&outcomes(0..1), &[true], begin);
        assert_eq!(counting.take(true, begin).statistics.len(), 1);
    }

    #[test]
    fn counts_of_a_failed_commit_go_into_the_next_one() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        counting.count(&outcomes(0..3), &[true; 3], now);
        let failed = counting.take(true, now);
        counting.count(&outcomes(0..1), &[true], now);
        counting.put_back();
        assert_eq!(counting.due_at(now), Some(now), "with the next commit");
        assert_eq!(counting.take(false, now), failed);
        assert_eq!(counting.take(true, now).statistics.len(), 1, "what was counted meanwhile");
    }

    #[test]
    fn a_commit_writes_a_limited_number_of_counts_and_at_most_two_full_tallies_are_held() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        let some = MAX_COUNTS as i64 + 1;
        counting.count(&outcomes(0..some), &vec![true; MAX_COUNTS + 1], now);
        assert_eq!([true, false].map(|is_wanted| counting.take(is_wanted, now).statistics.len()), [MAX_COUNTS, 1]);

        let many = outcomes(0..20_000);
        counting.count(&many, &vec![true; many.len()], now);
        assert_eq!(counting.take(false, now).statistics.len(), MAX_COUNTS, "a full tally is due at once");
        counting.count(&many, &vec![true; many.len()], now);
        assert_eq!(counting.take(false, now).statistics.len(), many.len() - MAX_COUNTS);
        assert_eq!(counting.take(false, now).statistics.len(), MAX_COUNTS);
    }

    #[test]
    fn the_first_failure_of_an_endpoint_is_written_at_once_and_the_next_ones_with_the_counts() {
        let (mut counting, begin) = (Counting::default(), Instant::now());
        counting.count(&[failed(1, 11, b""), failed(1, 10, b"")], &[true; 2], begin);
        assert_eq!(counting.due_at(begin), Some(begin));
        let taken = counting.take(false, begin);
        assert_eq!((written(&taken), taken.statistics.len()), (vec![(1, 11)], 0), "the newest, and no counts yet");
        counting.count(&[failed(1, 20, b"")], &[true], begin);
        assert_eq!(counting.due_at(begin), Some(begin + FLUSH_EVERY), "it is known that it fails");
        counting.count(&[failed(2, 21, b"")], &[true], begin);
        assert_eq!(counting.due_at(begin), Some(begin + FIRST_FAILURES_EVERY), "not with each commit");
        assert_eq!(written(&counting.take(false, begin)), []);
        assert_eq!(written(&counting.take(false, begin + FIRST_FAILURES_EVERY)), [(2, 21)]);
        let all = counting.take(false, begin + FLUSH_EVERY);
        assert_eq!((written(&all), all.statistics.len()), (vec![(1, 20)], 2));
        assert_eq!(counting.due_at(begin + FLUSH_EVERY), None);
    }

    #[test]
    fn the_last_failure_is_the_newest_one_stored_or_not() {
        let (shared, now) = (SharedCounting::default(), Instant::now());
        let seen = || shared.lock().last_failure(OrganizationId(1), EndpointId(1)).map(|it| (it.at.0, it.text()));
        shared.committed(&[failed(1, 10, b"first")], &[true], now);
        assert_eq!(seen(), Some((10, Some("first".to_owned()))));
        let taken = shared.lock().take(false, now);
        assert_eq!(seen().map(|it| it.0), Some(10), "while it is written");
        shared.committed(&[failed(1, 30, b"newer")], &[true], now);
        assert_eq!(seen().map(|it| it.0), Some(30), "the written one is the store's");
        assert_eq!(written(&shared.lock().take(true, now)), [(1, 30)]);
        shared.failed();
        shared.committed(&[failed(1, 20, b"late")], &[true], now);
        assert_eq!(seen().map(|it| it.0), Some(30), "what a failed commit held is not lost");
        assert_eq!(written(&taken), [(1, 10)]);
        assert_eq!(shared.lock().last_failure(OrganizationId(2), EndpointId(1)), None, "another's");
    }

    #[test]
    fn a_reader_counts_everything_once_while_counts_are_written() {
        let (shared, now) = (SharedCounting::default(), Instant::now());
        let stored = std::cell::Cell::new(0);
        let reads = std::cell::Cell::new(0);
        shared.committed(&outcomes(0..1), &[true], now);
        let waiting = |counting: &Counting| counting.of_organization(OrganizationId(1)).len();
        assert_eq!(shared.together(|| Ok(stored.get()), waiting).unwrap(), (0, 1));
        // a commit that begins and ends between the two reads
        let read = || {
            let before = stored.get();
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                assert_eq!(shared.lock().take(true, now).statistics.len(), 1);
                stored.set(1);
                shared.committed(&[], &[], now);
            }
            Ok(before)
        };
        assert_eq!(shared.together(read, waiting).unwrap(), (1, 0));
        assert_eq!(reads.get(), 2);
        // one that is under way and says nothing holds a reader for a while only
        shared.committed(&outcomes(0..1), &[true], now);
        assert_eq!(shared.lock().take(true, now).statistics.len(), 1);
        assert_eq!(shared.together(|| Ok(1), waiting).unwrap(), (1, 1));
    }
}
