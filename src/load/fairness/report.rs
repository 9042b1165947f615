//! The report of a fairness run: a row for each aggressor.

use std::collections::BTreeMap;

use serde::Serialize;

use super::aggressor::Aggressor;
pub use super::tally::AggressorCounts;
use crate::load::latency::Quantiles;
use crate::load::measurement::Measurement;
use crate::load::report::table::duration;

/// The victim's p99 beside the aggressor is at most this many times its p99 alone.
pub const MAX_RATIO: u64 = 2;
/// And this many microseconds more: alone it may be a fraction of a millisecond, of which the double is noise.
pub const ALLOWANCE_MICROS: u64 = 2_000;

/// Everything about one run.
#[derive(Debug, Clone, Serialize)]
pub struct FairnessReport {
    /// Version of the program.
    pub version: &'static str,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// Processors of this machine.
    pub processors: usize,
    /// Start of the run in Unix milliseconds.
    pub started_at: u64,
    /// Of the aggressors' counts; 1 is the whole.
    pub scale: f64,
    /// How often the victim is measured alone and beside each aggressor.
    pub rounds: u32,
    pub turn_seconds: f64,
    /// Of the victim.
    pub events_per_second: f64,
    /// One for each aggressor.
    pub rows: Vec<FairnessRow>,
}

/// The victim alone and beside one aggressor.
#[derive(Debug, Clone, Serialize)]
pub struct FairnessRow {
    /// Its name.
    pub aggressor: &'static str,
    /// What it does at scale 1.
    pub summary: &'static str,
    pub alone: VictimFigures,
    pub beside: VictimFigures,
    /// What was built up before it struck, for people.
    pub prepared: String,
    /// What it did in its turns.
    pub counts: AggressorCounts,
    pub verdict: FairnessVerdict,
    /// Why it is not met, for people.
    pub broken: Vec<String>,
}

/// What the victim noticed, in all turns of one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VictimFigures {
    /// Events acknowledged.
    pub accepted: u64,
    /// Of publish requests, from the time at which they were due, in microseconds.
    pub publish_latency: Quantiles,
    /// From the time at which an event was due to be published to its arrival, in microseconds.
    pub end_to_end: Quantiles,
    /// Acknowledged, but not arrived when nothing had arrived for 100 s.
    pub lost: u64,
    /// Publish requests answered with 429 or 503, and repeated.
    pub refused: u64,
    /// Publish requests that were not acknowledged, by reason.
    pub errors: BTreeMap<String, u64>,
}

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FairnessVerdict {
    /// The victim hardly noticed the aggressor.
    Met,
    /// It did.
    NotMet,
    /// The aggressor did not get going, so that the row shows nothing.
    NotAggressive,
    /// The aggressor could not be prepared, or the engine failed.
    NotMeasured,
}

/// What an aggressor has to do so that its row counts, in all its turns together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeastCounts {
    pub requests: u64,
    pub attempts: u64,
}

impl From<Measurement> for VictimFigures {
    fn from(measured: Measurement) -> Self {
        Self {
            accepted: measured.accepted,
            publish_latency: measured.published.quantiles(),
            end_to_end: measured.arrived.quantiles(),
            lost: measured.lost,
            refused: measured.refused,
            errors: measured.errors,
        }
    }
}

impl FairnessRow {
    /// Judges the figures of both kinds of turns.
    pub(crate) fn new(
        aggressor: Aggressor,
        alone: VictimFigures,
        beside: VictimFigures,
        prepared: String,
        counts: AggressorCounts,
        least: LeastCounts,
    ) -> Self {
        let idle = not_aggressive(aggressor, counts, least);
        let (verdict, broken) = match noticed(&alone, &beside) {
            _ if !idle.is_empty() => (FairnessVerdict::NotAggressive, idle),
            noticed if noticed.is_empty() => (FairnessVerdict::Met, noticed),
            noticed => (FairnessVerdict::NotMet, noticed),
        };
        let (aggressor, summary) = (aggressor.name(), aggressor.summary());
        Self { aggressor, summary, alone, beside, prepared, counts, verdict, broken }
    }

    /// The row of an aggressor whose run failed.
    pub(crate) fn failed(aggressor: Aggressor, reason: String) -> Self {
        Self {
            aggressor: aggressor.name(),
            summary: aggressor.summary(),
            alone: VictimFigures::default(),
            beside: VictimFigures::default(),
            prepared: String::new(),
            counts: AggressorCounts::default(),
            verdict: FairnessVerdict::NotMeasured,
            broken: vec![reason],
        }
    }
}

/// What is beyond the bounds, as text for people.
fn noticed(alone: &VictimFigures, beside: &VictimFigures) -> Vec<String> {
    let mut noticed = Vec::new();
    let mut compare = |name: &str, alone: Quantiles, beside: Quantiles| {
        let bound = alone.p99.saturating_mul(MAX_RATIO).saturating_add(ALLOWANCE_MICROS);
        if beside.p99 > bound {
            let (p99, bound) = (duration(beside.p99), duration(bound));
            noticed.push(format!("{name} p99 {p99}, at most {bound}"));
        }
    };
    compare("publish", alone.publish_latency, beside.publish_latency);
    compare("end to end", alone.end_to_end, beside.end_to_end);
    for (turn, figures) in [("alone", alone), ("beside", beside)] {
        if figures.accepted == 0 {
            noticed.push(format!("{turn}: no event was acknowledged"));
        }
        if figures.refused > 0 {
            noticed.push(format!("{turn}: {} × 429 or 503", figures.refused));
        }
        if figures.lost > 0 {
            noticed.push(format!("{turn}: {} events did not arrive", figures.lost));
        }
        noticed.extend(figures.errors.iter().map(|(reason, count)| format!("{turn}: {count} × {reason}")));
    }
    noticed
}

/// Why the aggressor was none, as text for people.
fn not_aggressive(aggressor: Aggressor, counts: AggressorCounts, least: LeastCounts) -> Vec<String> {
    let mut idle = Vec::new();
    if counts.requests < least.requests {
        idle.push(format!("it made {} requests, at least {} are expected", counts.requests, least.requests));
    }
    if counts.attempts < least.attempts {
        let (attempts, least) = (counts.attempts, least.attempts);
        idle.push(format!("{attempts} attempts reached its receivers, at least {least} are expected"));
    }
    // one in a hundred: a limit of a tenant may deny some
    if !aggressor.expects_denials() && counts.denied * 100 > counts.requests {
        idle.push(format!("{} of its {} requests were denied", counts.denied, counts.requests));
    }
    idle
}

impl FairnessReport {
    /// Whether any aggressor could be measured.
    pub fn has_figures(&self) -> bool {
        self.rows.iter().any(|row| row.verdict != FairnessVerdict::NotMeasured)
    }

    /// The rows that are not met, as text for people.
    pub fn broken(&self) -> Vec<String> {
        let rows = self.rows.iter().filter(|row| row.verdict != FairnessVerdict::Met);
        rows.map(|row| format!("{}: {}", row.aggressor, row.broken.join("; "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(p99: u64) -> VictimFigures {
        let quantiles = Quantiles { count: 100, p50: p99 / 2, p99, ..Quantiles::default() };
        VictimFigures {
            accepted: 100,
            publish_latency: quantiles,
            end_to_end: quantiles,
            ..VictimFigures::default()
        }
    }

    fn row(beside: VictimFigures, counts: AggressorCounts) -> FairnessRow {
        let least = LeastCounts { requests: 10, attempts: 0 };
        FairnessRow::new(Aggressor::Reads, victim(1_000), beside, String::new(), counts, least)
    }

    const BUSY: AggressorCounts = AggressorCounts {
        requests: 10,
        accepted: 5,
        refused: 5,
        denied: 0,
        failed: 0,
        unanswered: 0,
        attempts: 0,
    };

    #[test]
    fn twice_the_p99_alone_and_two_milliseconds_more_are_met() {
        assert_eq!(row(victim(4_000), BUSY).verdict, FairnessVerdict::Met);
        let over = row(victim(4_001), BUSY);
        assert_eq!(over.verdict, FairnessVerdict::NotMet);
        assert_eq!(over.broken, ["publish p99 4.0 ms, at most 4.0 ms", "end to end p99 4.0 ms, at most 4.0 ms"]);
    }

    #[test]
    fn one_refused_failed_or_lost_event_of_the_victim_is_enough() {
        for beside in [
            VictimFigures { refused: 1, ..victim(1_000) },
            VictimFigures { lost: 1, ..victim(1_000) },
            VictimFigures { errors: BTreeMap::from([(String::from("timeout"), 1)]), ..victim(1_000) },
            VictimFigures { accepted: 0, ..victim(1_000) },
        ] {
            let row = row(beside, BUSY);
            assert_eq!((row.verdict, row.broken.len()), (FairnessVerdict::NotMet, 1), "{row:?}");
        }
    }

    #[test]
    fn an_aggressor_that_did_not_get_going_is_no_pass() {
        for counts in [AggressorCounts { requests: 9, ..BUSY }, AggressorCounts { denied: 1, ..BUSY }] {
            let row = row(victim(1_000), counts);
            assert_eq!((row.verdict, row.broken.len()), (FairnessVerdict::NotAggressive, 1), "{row:?}");
        }
        let least = LeastCounts { requests: 0, attempts: 1 };
        let (alone, beside) = (victim(1_000), victim(1_000));
        let row = FairnessRow::new(Aggressor::DueBacklog, alone, beside, String::new(), BUSY, least);
        assert_eq!(row.verdict, FairnessVerdict::NotAggressive);
    }
}
