//! The aggressors by name, and their sizes.

use std::fmt;
use std::str::FromStr;

/// What the organization beside the victim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggressor {
    /// Batches to all its webhooks without a pause.
    Batches,
    /// Events for webhooks whose receivers take 8 s.
    SlowWebhooks,
    /// Events for webhooks whose receivers never answer.
    HangingWebhooks,
    /// Events for webhooks whose port refuses the connection.
    DeadWebhooks,
    /// A start of the engine with its deliveries due.
    DueBacklog,
    /// Parallel reads of every listing and of health, over a backlog.
    Reads,
    /// Parallel test events to a receiver that never answers.
    Tests,
    /// Failed deliveries are queued again.
    Recover,
    /// An organization with many deliveries is deleted.
    DeleteOrganization,
    /// The largest events, to receivers that never answer.
    LargeEvents,
    /// Bodies that arrive byte by byte.
    SlowBodies,
    /// The same batch with an `Idempotency-Key`, again and again.
    IdempotentBatches,
    /// Requests that make no sense.
    Garbage,
}

impl Aggressor {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Batches,
        Self::SlowWebhooks,
        Self::HangingWebhooks,
        Self::DeadWebhooks,
        Self::DueBacklog,
        Self::Reads,
        Self::Tests,
        Self::Recover,
        Self::DeleteOrganization,
        Self::LargeEvents,
        Self::SlowBodies,
        Self::IdempotentBatches,
        Self::Garbage,
    ];

    /// Its word on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batches => "batches",
            Self::SlowWebhooks => "slow-webhooks",
            Self::HangingWebhooks => "hanging-webhooks",
            Self::DeadWebhooks => "dead-webhooks",
            Self::DueBacklog => "due-backlog",
            Self::Reads => "reads",
            Self::Tests => "tests",
            Self::Recover => "recover",
            Self::DeleteOrganization => "delete-organization",
            Self::LargeEvents => "large-events",
            Self::SlowBodies => "slow-bodies",
            Self::IdempotentBatches => "idempotent-batches",
            Self::Garbage => "garbage",
        }
    }

    /// One line for people; the sizes are those of scale 1.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Batches => "batches of 1,000 events to 1,000 webhooks without pause",
            Self::SlowWebhooks => "events for 10,000 webhooks whose receivers take 8 s",
            Self::HangingWebhooks => "events for 4,200 webhooks whose receivers never answer",
            Self::DeadWebhooks => "events for 10,000 webhooks whose port refuses the connection",
            Self::DueBacklog => "a start of the engine with 500,000 deliveries due",
            Self::Reads => "80 parallel reads of each listing and of health over 400,000 pending deliveries",
            Self::Tests => "200 parallel test events to a receiver that never answers",
            Self::Recover => "recovery of 1,000,000 failed deliveries",
            Self::DeleteOrganization => "deletion of an organization with 1,000,000 deliveries",
            Self::LargeEvents => "events of 10 MiB to receivers that never answer",
            Self::SlowBodies => "64 bodies that arrive byte by byte",
            Self::IdempotentBatches => "the same batch with an Idempotency-Key again and again",
            Self::Garbage => "500 requests a second that make no sense",
        }
    }

    /// Whether the engine is killed and started again before the turn. The turn alone is preceded by a restart as well.
    pub(crate) fn restarts_the_engine(self) -> bool {
        self == Self::DueBacklog
    }

    /// Whether answers 4xx are what its requests ask for. Of the others they would show that it is not aggressive but wrong.
    pub(crate) fn expects_denials(self) -> bool {
        matches!(self, Self::Garbage | Self::SlowBodies)
    }
}

impl fmt::Display for Aggressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Aggressor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|aggressor| aggressor.name() == text);
        known
            .ok_or_else(|| format!("there is no aggressor `{text}`; use {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Shrinks the counts of the aggressors, so that a run in CI takes a minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale(pub f64);

impl Scale {
    /// `count` at this scale, but not less than `least`.
    pub(crate) fn of(self, count: usize, least: usize) -> usize {
        ((count as f64 * self.0).round() as usize).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aggressor_is_found_by_its_name_and_an_unknown_name_is_answered_with_all_of_them() {
        for aggressor in Aggressor::ALL {
            assert_eq!(aggressor.name().parse(), Ok(aggressor));
        }
        let error = "read".parse::<Aggressor>().unwrap_err();
        assert!(error.contains("`read`") && error.contains("reads, tests"), "{error}");
    }

    #[test]
    fn a_small_scale_leaves_the_least_count() {
        assert_eq!(
            [Scale(1.0).of(4_200, 20), Scale(0.02).of(4_200, 20), Scale(0.001).of(4_200, 20)],
            [4_200, 84, 20]
        );
    }
}
