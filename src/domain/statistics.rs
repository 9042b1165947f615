//! Results of deliveries, counted by endpoint and time: what charts are drawn from, without reading the log.

mod latency;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

pub use self::latency::{LatencyCounts, LatencyError};

use super::attempt::{NextStep, Outcome};
use super::ids::{EndpointId, OrganizationId};
use super::time::UnixMillis;

/// What is counted together. Smaller: more rows to write, keep and read; larger: a chart of an hour has no shape. A day
/// has 288.
pub const PERIOD: Duration = Duration::from_secs(300);

/// A tally is due with so many entries (of an endpoint in a period), each some hundred bytes: a few MiB. Smaller: with
/// more endpoints at work, each of their deliveries is written by itself.
const FULL: usize = 16_384;

/// The beginning of the period that an instant lies in.
pub fn period_start(at: UnixMillis) -> UnixMillis {
    let length = PERIOD.as_millis() as i64;
    UnixMillis(at.0.div_euclid(length).saturating_mul(length))
}

/// What happened in a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeriodCounts {
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Attempts that failed, and after which there is another one.
    pub retried: u64,
    /// How long the attempts took, all of them.
    pub latency: LatencyCounts,
}

impl PeriodCounts {
    /// Attempts, whatever came of them.
    pub(crate) fn attempts(&self) -> u64 {
        self.succeeded.saturating_add(self.failed_attempts())
    }

    /// Attempts that failed, whether there is another one or not.
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

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
        self.retried = self.retried.saturating_add(other.retried);
        self.latency.merge(&other.latency);
    }
}

/// What happened in which period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodStatistics {
    /// When it begins.
    pub period_start: UnixMillis,
    /// What happened.
    pub counts: PeriodCounts,
}

/// What is to be added to what is stored of an endpoint and a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsDelta {
    /// When the period begins.
    pub period_start: UnixMillis,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// What happened.
    pub counts: PeriodCounts,
}

impl StatisticsDelta {
    /// One attempt.
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

/// Counts since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By endpoint and period: attempts around the turn of a period are of two. With the sums of organizations, so
    /// that a reader looks up what it asks for, however many endpoints are at work.
    entries: HashMap<(OrganizationId, EndpointId, UnixMillis), PeriodCounts>,
    /// The periods of the entries: one or two, unless nothing can be stored for long.
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

    /// What was counted of an endpoint, or of [`ALL_ENDPOINTS`] of an organization, oldest first.
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

    /// Whether it must be taken before anything else is counted, so that it does not grow without bound.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= FULL
    }

    /// Takes everything, in the order in which it is stored; sums are made of it there.
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
