//! Schedules and disabled reasons in plain words.

use std::time::Duration;

use crate::dashboard::components::count;
use crate::dashboard::time::span;
use crate::domain::endpoint::DisabledReason;
use crate::domain::retry::RetrySchedule;

/// Schedules up to this length list every delay; longer ones only the first of them.
const MAX_NAMED: u32 = 8;
const NAMED_OF_MORE: u32 = 5;

/// When a failing delivery is attempted.
pub(crate) fn schedule(schedule: &RetrySchedule) -> String {
    let retries = schedule.max_attempts() - 1;
    if retries == 0 {
        return "1 attempt, immediately; no retries".to_owned();
    }
    let delay = |retry: u32| span(schedule.base_delay(retry));
    let named: Vec<String> = (1..=retries)
        .take(if retries > MAX_NAMED { NAMED_OF_MORE } else { retries } as usize)
        .map(delay)
        .collect();
    let named = if retries > MAX_NAMED {
        format!("{} and so on, the last {}", named.join(", "), delay(retries))
    } else {
        match named.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        }
    };
    let whole = (1..=retries).fold(Duration::ZERO, |sum, retry| sum.saturating_add(schedule.base_delay(retry)));
    let attempts = count(u64::from(retries) + 1, "attempt", "attempts");
    format!("{attempts}: immediately, then {named} later; failed after {}", span(whole))
}

/// Why a webhook is disabled, and what to do about it.
pub(crate) fn disabled(reason: Option<DisabledReason>) -> (&'static str, &'static str) {
    match reason {
        Some(DisabledReason::Gone) => (
            "Its receiver responded with 410 Gone: it wants no more events.",
            "Fix the URL or the receiver, then enable the webhook. Pending deliveries are sent then.",
        ),
        Some(DisabledReason::Failing) => (
            "It failed for too long without a single success.",
            "Fix the receiver, send a test event, then enable the webhook. Pending deliveries are sent then.",
        ),
        Some(DisabledReason::Manual) | None => (
            "It was disabled manually.",
            "Pending deliveries wait until you enable it; events published before that are not sent to it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retry::{RetryDelays, RetryPolicy};

    fn policy(max_attempts: u32, backoff_multiplier: f64, initial: u64, most: u64) -> RetrySchedule {
        let (initial_delay_seconds, max_delay_seconds) = (initial, most);
        RetrySchedule::Policy(RetryPolicy {
            max_attempts,
            backoff_multiplier,
            initial_delay_seconds,
            max_delay_seconds,
        })
    }

    #[test]
    fn a_short_schedule_lists_every_delay_and_its_end() {
        assert_eq!(
            schedule(&RetrySchedule::Retries(3)),
            "4 attempts: immediately, then 1 min, 5 min and 15 min later; failed after 21 min"
        );
        assert_eq!(
            schedule(&RetrySchedule::Retries(1)),
            "2 attempts: immediately, then 1 min later; failed after 1 min"
        );
        assert_eq!(schedule(&RetrySchedule::Retries(0)), "1 attempt, immediately; no retries");
        assert_eq!(
            schedule(&RetrySchedule::Delays(RetryDelays::new(&[5, 300]).unwrap())),
            "3 attempts: immediately, then 5 s and 5 min later; failed after 5 min 5 s"
        );
        assert_eq!(
            schedule(&policy(3, 2.0, 30, 45)).split(';').next(),
            Some("3 attempts: immediately, then 30 s and 45 s later")
        );
    }

    #[test]
    fn a_long_schedule_lists_its_first_delays_and_the_last_one() {
        let said = schedule(&RetrySchedule::Retries(20));
        assert!(
            said.starts_with("21 attempts: immediately, then 1 min, 5 min, 15 min, 45 min, 2 h 15 min and so on"),
            "{said}"
        );
        assert!(said.contains("the last 6 h"), "{said}");
        assert!(schedule(&policy(50, 10.0, 86_400, 604_800)).contains("failed after"));
    }
}
