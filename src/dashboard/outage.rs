//! What is told of a webhook that does not deliver: since when, why, and what failed meanwhile.

use std::time::Duration;

use super::components::in_words;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::health::{EndpointState, PendingStats};
use crate::domain::round::Rounds;
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;
use crate::store::{EndpointStart, RequeueRange};

/// Deliveries that a webhook with a rate limit sends in this time are not behind. Smaller: each burst is reported. Larger:
/// a queue that grows is seen late.
pub(crate) const IN_TIME: Duration = Duration::from_secs(10);
/// A delivery was created before its first attempt failed: by the timeout, and by the time that it waited for its turn.
const WAITED: Duration = Duration::from_secs(60);

/// Why attempts fail, as part of a sentence about the webhook.
pub(crate) enum Reason {
    Answer(u16),
    NoAnswer(String),
}

impl Reason {
    pub(crate) fn of(code: Option<u16>, error: Option<&str>) -> Self {
        match code {
            Some(code) => Self::Answer(code),
            None => Self::NoAnswer(in_words(error.unwrap_or("no_response"))),
        }
    }

    /// "answers 500".
    pub(crate) fn now(&self) -> String {
        match self {
            Self::Answer(code) => format!("answers {code}"),
            Self::NoAnswer(error) => format!("does not answer ({error})"),
        }
    }

    /// "answered 404".
    pub(crate) fn past(&self) -> String {
        match self {
            Self::Answer(code) => format!("answered {code}"),
            Self::NoAnswer(error) => format!("did not answer ({error})"),
        }
    }
}

/// Whether a webhook does not deliver for a reason that somebody has to remove. A person who disabled it knows why.
pub(crate) fn is_in_trouble(state: EndpointState, endpoint: &Endpoint) -> bool {
    match state {
        EndpointState::Healthy => false,
        EndpointState::Failing | EndpointState::Paused => true,
        EndpointState::Disabled => disabled_itself(endpoint).is_some(),
    }
}

/// Since when a webhook is disabled, unless a person disabled it.
fn disabled_itself(endpoint: &Endpoint) -> Option<UnixMillis> {
    let is_ours = matches!(endpoint.disabled_reason, Some(DisabledReason::Gone | DisabledReason::Failing));
    endpoint.disabled_at.filter(|_| !endpoint.active && is_ours)
}

/// Since when a webhook in trouble delivers nothing.
pub(crate) fn began(webhook: &EndpointStart) -> Option<UnixMillis> {
    webhook.health.failing_since.or_else(|| disabled_itself(&webhook.endpoint))
}

/// From where on deliveries failed of an outage that began at an instant.
pub(crate) fn first_failed(began: UnixMillis, timeout: Duration) -> UnixMillis {
    began - timeout - WAITED
}

/// The deliveries that failed since a webhook in trouble broke.
pub(crate) fn failed_range(webhook: &EndpointStart, now: UnixMillis) -> Option<RequeueRange> {
    let since = first_failed(began(webhook)?, webhook.endpoint.timeout);
    Some(RequeueRange { since, until: now, status: DeliveryStatus::Failed, rounds: Rounds::Schedule })
}

/// When the last outage began, from the counts of its webhook: the first period with failures of those that follow each
/// other without one in which all went well.
pub(crate) fn last_outage(mut periods: Vec<PeriodStatistics>) -> Option<UnixMillis> {
    periods.sort_unstable_by_key(|period| period.period_start);
    let fails = |period: &PeriodStatistics| period.counts.failed_attempts() > 0;
    let last = periods.iter().rposition(fails)?;
    let before = periods.get(..last)?.iter().rev();
    let first = before.take_while(|period| fails(period)).last();
    first.or(periods.get(last)).map(|period| period.period_start)
}

/// How long a webhook with a rate limit of its own needs for what is pending.
pub(crate) fn time_to_catch_up(endpoint: &Endpoint, pending: u64) -> Option<Duration> {
    let limit = endpoint.rate_limit.as_ref()?;
    Duration::try_from_secs_f64((pending as f64 / limit.per_second).ceil()).ok()
}

/// Whether a webhook that works has more to send than its own rate limit lets through soon.
pub(crate) fn is_behind(webhook: &EndpointStart, pending: &PendingStats) -> bool {
    let works = EndpointState::of(&webhook.endpoint, Some(&webhook.health)) == EndpointState::Healthy;
    works && time_to_catch_up(&webhook.endpoint, pending.pending).is_some_and(|rest| rest > IN_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::statistics::{PERIOD, PeriodCounts, period_start};

    const NOW: UnixMillis = UnixMillis(1_734_345_045_007);

    fn periods(counts: &[(u64, u64)]) -> Vec<PeriodStatistics> {
        let period = |(place, &(succeeded, retried)): (usize, &(u64, u64))| PeriodStatistics {
            period_start: period_start(NOW) + PERIOD * place as u32,
            counts: PeriodCounts { succeeded, retried, ..PeriodCounts::default() },
        };
        counts.iter().enumerate().map(period).collect()
    }

    #[test]
    fn the_last_outage_begins_with_the_first_failures_after_all_went_well() {
        let place = |counts: &[(u64, u64)]| {
            let began = last_outage(periods(counts))?;
            Some((began.0 - period_start(NOW).0) / PERIOD.as_millis() as i64)
        };
        assert_eq!(place(&[]), None);
        assert_eq!(place(&[(5, 0), (7, 0)]), None);
        assert_eq!(place(&[(5, 0), (3, 2), (0, 9), (1, 4), (8, 0)]), Some(1));
        assert_eq!(place(&[(0, 3), (9, 0), (0, 1)]), Some(2));
        let mut mixed = periods(&[(5, 0), (0, 2), (0, 9)]);
        mixed.reverse();
        assert_eq!(last_outage(mixed), Some(period_start(NOW) + PERIOD));
    }

    #[test]
    fn a_reason_is_told_in_words() {
        assert_eq!(Reason::of(Some(500), None).now(), "answers 500");
        assert_eq!(Reason::of(None, Some("connection_refused")).now(), "does not answer (connection refused)");
        assert_eq!(Reason::of(None, None).past(), "did not answer (no response)");
    }
}
