//! What became of what was brought over.

use std::collections::BTreeMap;

/// What is brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Environment,
    EventType,
    Application,
    Endpoint,
}

impl Kind {
    pub(super) fn one(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::EventType => "event type",
            Self::Application => "application",
            Self::Endpoint => "endpoint",
        }
    }

    pub(super) fn many(self) -> &'static str {
        match self {
            Self::Environment => "environments",
            Self::EventType => "event types",
            Self::Application => "applications",
            Self::Endpoint => "endpoints",
        }
    }
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Imported,
    Changed,
    Unchanged,
}

/// What became of all.
#[derive(Default)]
pub(super) struct Tally {
    counts: BTreeMap<(Kind, Fate), u64>,
    /// What, by which name, and why.
    pub refused: Vec<(Kind, String, String)>,
}

impl Tally {
    /// Imported, changed, unchanged.
    pub(super) fn of(&self, kind: Kind) -> [u64; 3] {
        let count = |fate| self.counts.get(&(kind, fate)).copied().unwrap_or_default();
        [count(Fate::Imported), count(Fate::Changed), count(Fate::Unchanged)]
    }

    pub(super) fn changes(&self) -> u64 {
        self.counts.iter().filter(|((_, fate), _)| *fate != Fate::Unchanged).map(|(_, count)| count).sum()
    }

    pub(super) fn count(&mut self, kind: Kind, fate: Fate) {
        *self.counts.entry((kind, fate)).or_default() += 1;
    }

    pub(super) fn refuse(&mut self, kind: Kind, name: &str, reason: &str) {
        self.refused.push((kind, name.to_owned(), reason.to_owned()));
    }
}
