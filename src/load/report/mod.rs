//! What a run has shown: as a table, as JSON, and as one page with charts.

mod charts;
mod html;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::latency::{Buckets, Quantiles};
use super::scenario::Scenario;

pub use html::page;
pub use table::text;

/// Everything about one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of the scenario.
    pub name: String,
    /// As it was run, changes by flags included.
    pub scenario: Scenario,
    /// Of the program.
    pub version: &'static str,
    /// Which database the engine had: `sqlite`, `postgres`, or `unknown` for a running engine.
    pub database: String,
    /// Of this machine.
    pub processors: usize,
    /// Unix milliseconds of the begin.
    pub started_at: u64,
    /// The bare reference; absent with `--no-bare`.
    pub bare: Option<BareFigures>,
    /// The measured run, or the one with all receivers.
    pub measured: Figures,
    /// Of an isolation run: the healthy receivers alone.
    pub alone: Option<Figures>,
    /// Of a backlog run.
    pub backlog: Option<BacklogFigures>,
    /// Of a recovery run.
    pub recovery: Option<RecoveryFigures>,
    /// Each a ratio within the run.
    pub ratios: Vec<Ratio>,
}

/// The bare reference.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BareFigures {
    /// As fast as it goes; of both halves, before and after the measured run.
    pub posts_per_second: f64,
    /// At the scenario's rate, or as fast as it goes; in microseconds.
    pub round_trip: Quantiles,
    /// One page made durable, in microseconds.
    pub sync: Quantiles,
}

/// What was measured while events were published and arrived.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Events acknowledged.
    pub accepted: u64,
    /// From the first request to the last acknowledgement.
    pub accepted_per_second: f64,
    /// Deliveries that arrived, each of them once.
    pub deliveries: u64,
    /// From the first request to the last arrival.
    pub deliveries_per_second: f64,
    /// Of requests, from the instant at which they were to be made, in microseconds.
    pub publish_latency: Quantiles,
    /// From the instant at which an event was to be published to its arrival, in microseconds; of receivers that get
    /// everything.
    pub end_to_end: Quantiles,
    /// Acknowledged, but not arrived at a receiver that gets everything.
    pub lost: u64,
    /// Arrived once more after a 200.
    pub duplicated: u64,
    /// Requests answered with 503, and made again.
    pub refused: u64,
    /// Requests that were not acknowledged.
    pub errors: BTreeMap<String, u64>,
    /// Of the engine, for each delivery; `None` when it shows no metrics.
    pub cpu_micros_per_delivery: Option<f64>,
    /// By which the database grew; only of an engine of our own.
    pub disk_bytes_per_delivery: Option<f64>,
    /// Of the engine, in bytes.
    pub resident: Option<Resident>,
    /// By second, from the first.
    pub seconds: Vec<Second>,
    /// End-to-end latencies in microseconds, with their counts.
    pub histogram: Buckets,
}

/// Resident memory of the engine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resident {
    /// Before the first event.
    pub before: u64,
    /// The most, looked at twice a second.
    pub peak: u64,
    /// After the last arrival.
    pub after: u64,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Second {
    /// Events acknowledged.
    pub accepted: u64,
    /// Deliveries that arrived at receivers that get everything.
    pub deliveries: u64,
    /// Of their latencies, in microseconds.
    pub p50: u64,
    /// The same.
    pub p99: u64,
}

/// Of a backlog run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BacklogFigures {
    /// Deliveries that waited.
    pub pending: u64,
    /// Resident memory while they waited, in bytes.
    pub resident_bytes: Option<u64>,
    /// From letting them go to the last arrival.
    pub drain_seconds: f64,
    /// Meanwhile.
    pub drained_per_second: f64,
}

/// Of a recovery run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecoveryFigures {
    /// From the start of the new process to its taking requests.
    pub ready_seconds: f64,
    /// From the start of the new process to the first delivery that arrived.
    pub first_delivery_seconds: f64,
}

/// One figure in relation to another of the same run.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// What to what.
    pub name: &'static str,
    /// The ratio.
    pub value: f64,
    /// What the scenario expects, when it does.
    pub bound: Option<Bound>,
}

/// What a ratio is held to.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Ratio {
    /// Whether it is within its bound; NaN is not.
    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            None => true,
            Some(Bound::AtLeast(least)) => self.value >= least,
            Some(Bound::AtMost(most)) => self.value <= most,
        }
    }
}

impl Report {
    /// What the run was held to and did not keep: for people.
    pub fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> =
            self.ratios.iter().filter(|ratio| !ratio.holds()).map(table::ratio).collect();
        let figures = self.alone.iter().chain([&self.measured]);
        let lost: u64 = figures.map(|figures| figures.lost).sum();
        if lost > 0 {
            broken.push(format!("{lost} acknowledged deliveries are lost"));
        }
        broken
    }
}
