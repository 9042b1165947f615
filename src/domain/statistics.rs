//! Results of deliveries, counted by endpoint and time: charts are drawn from these without reading the log.

mod latency;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

pub use self::latency::{LatencyCounts, LatencyError};

use super::attempt::{NextStep, Outcome};
use super::ids::{EndpointId, OrganizationId};
use super::time::UnixMillis;

/// The length of a period of counts. Smaller: more rows to write, keep and read. Larger: a chart of an hour has no shape. A
/// day has 288 periods.
pub const PERIOD: Duration = Duration::from_secs(300);

/// A tally with this many entries (an endpoint in a period) must be stored; each takes some hundred bytes, so a few MiB.
/// Smaller: with more active endpoints, each delivery is written separately.
const FULL: usize = 16_384;

/// The beginning of the period that an instant lies in.
pub fn period_start(at: UnixMillis) -> UnixMillis {
    let length = PERIOD.as_millis() as i64;
    UnixMillis(at.0.div_euclid(length).saturating_mul(length))
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeriodCounts {
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Deliveries that failed, with no retries left.
    pub failed: u64,
    /// Attempts that failed and are followed by another one.
    pub retried: u64,
    /// The response times of all attempts.
    pub latency: LatencyCounts,
}

impl PeriodCounts {
    /// All attempts.
    pub(crate) fn attempts(&self) -> u64 {
        self.succeeded.saturating_add(self.failed_attempts())
    }

    /// All failed attempts, whether another one follows or not.
    pub(crate) fn failed_attempts(&self) -> u64 {
        self.failed.saturating_add(self.retried)
    }

    /// Counts an attempt.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.next {
            NextStep::Succeeded => self.succeeded += 1,
            NextStep::Failed => self.failed += 1,
            NextStep::RetryAt(_) | NextStep::UncountedRetryAt(_) => self.retried += 1,
        }
        self.latency.record(u64::try_from(outcome.result.duration.as_millis()).unwrap_or(u64::MAX));
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.retried = self.retried.saturating_add(other.retried);
        self.latency.merge(&other.latency);
    }
}

/// Counts with their period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodStatistics {
    /// When the period begins.
    pub period_start: UnixMillis,
    /// The counts of the period.
    pub counts: PeriodCounts,
}

/// Counts to add to the stored ones of an endpoint and a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsDelta {
    /// When the period begins.
    pub period_start: UnixMillis,
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// The counts to add.
    pub counts: PeriodCounts,
}

impl StatisticsDelta {
    /// The counts of one attempt.
    pub fn of(outcome: &Outcome) -> Self {
        let mut counts = PeriodCounts::default();
        counts.count(outcome);
        Self {
            period_start: period_start(outcome.finished_at),
            organization_id: outcome.organization_id,
            endpoint_id: outcome.endpoint_id,
            counts,
        }
    }
}

/// Stands for all endpoints of an organization together; no endpoint has this id.
pub(crate) const ALL_ENDPOINTS: EndpointId = EndpointId(0);

/// Counts that are not yet stored.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By endpoint and period, with the sums of organizations, so that a reader needs one lookup, however many endpoints are
    /// active.
    entries: HashMap<(OrganizationId, EndpointId, UnixMillis), PeriodCounts>,
    /// The periods of the entries: one or two, unless the database has been failing for a while.
    periods: BTreeSet<UnixMillis>,
}

impl Tally {
    /// Counts an attempt, in the period in which it ended.
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        let period = period_start(outcome.finished_at);
        for endpoint_id in [ALL_ENDPOINTS, outcome.endpoint_id] {
            self.entries.entry((outcome.organization_id, endpoint_id, period)).or_default().count(outcome);
        }
        if !self.periods.contains(&period) {
            self.periods.insert(period);
        }
    }

    /// The counts of an endpoint, or of [`ALL_ENDPOINTS`] of an organization, oldest first.
    pub(crate) fn of(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> impl Iterator<Item = PeriodStatistics> {
        self.periods.iter().filter_map(move |&period_start| {
            let counts = self.entries.get(&(organization_id, endpoint_id, period_start))?.clone();
            Some(PeriodStatistics { period_start, counts })
        })
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it must be stored before anything else is counted, so that it does not grow without bound.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= FULL
    }

    /// Takes everything out, in the order for storing; the database computes the sums of organizations itself.
    pub(crate) fn take(&mut self) -> Vec<StatisticsDelta> {
        self.periods.clear();
        let entries = std::mem::take(&mut self.entries).into_iter();
        let mut deltas: Vec<_> = entries
            .filter(|((_, endpoint_id, _), _)| *endpoint_id != ALL_ENDPOINTS)
            .map(|((organization_id, endpoint_id, period_start), counts)| StatisticsDelta {
                period_start,
                organization_id,
                endpoint_id,
                counts,
            })
            .collect();
        deltas.sort_unstable_by_key(|delta| (delta.period_start, delta.organization_id, delta.endpoint_id));
        deltas
    }
}
