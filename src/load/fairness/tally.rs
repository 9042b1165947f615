//! What an aggressor achieved.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counts the answers; shared by the aggressor's thread and the run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    unanswered: AtomicU64,
}

/// The counts of an aggressor in its turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AggressorCounts {
    /// Requests begun.
    pub requests: u64,
    /// Answered with 2xx.
    pub accepted: u64,
    /// Answered with 429 or 503.
    pub refused: u64,
    /// Answered with another 3xx or 4xx.
    pub denied: u64,
    /// Answered with another 5xx.
    pub failed: u64,
    /// Ended without an answer, not counting those that were under way when the turn ended.
    pub unanswered: u64,
    /// Attempts that reached its receivers.
    pub attempts: u64,
}

impl Tally {
    /// A request begins.
    pub(crate) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// It has an answer with this status, or none.
    pub(crate) fn end(&self, status: Option<u16>) {
        let count = match status {
            None => &self.unanswered,
            Some(429 | 503) => &self.refused,
            Some(200..300) => &self.accepted,
            Some(500..) => &self.failed,
            Some(_) => &self.denied,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far, without attempts.
    pub(crate) fn counts(&self) -> AggressorCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AggressorCounts {
            requests: read(&self.requests),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            denied: read(&self.denied),
            failed: read(&self.failed),
            unanswered: read(&self.unanswered),
            attempts: 0,
        }
    }
}

impl AggressorCounts {
    /// Adds the counts of a later turn.
    pub(crate) fn add(&mut self, later: Self) {
        self.requests += later.requests;
        self.accepted += later.accepted;
        self.refused += later.refused;
        self.denied += later.denied;
        self.failed += later.failed;
        self.unanswered += later.unanswered;
        self.attempts += later.attempts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_they_mean_to_the_aggressor() {
        let tally = Tally::default();
        (0..8).for_each(|_| tally.begin());
        for status in [Some(202), Some(204), Some(429), Some(503), Some(404), Some(500), None] {
            tally.end(status);
        }
        let counts = tally.counts();
        assert_eq!((counts.requests, counts.accepted, counts.refused), (8, 2, 2));
        assert_eq!((counts.denied, counts.failed, counts.unanswered), (1, 1, 1));
    }
}
