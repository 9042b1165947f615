//! The report of a run: as a table, as JSON, and as one page with charts.

mod charts;
mod html;
pub(super) mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use super::latency::{Buckets, Quantiles};
use super::scenario::Scenario;

pub use html::page;
pub use table::text;

/// Everything about one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub name: String,
    /// As it was run, including the changes made by flags.
    pub scenario: Scenario,
    /// Version of the program.
    pub version: &'static str,
    /// Database of the engine: `sqlite`, `postgres`, or `unknown` for a running engine.
    pub database: String,
    /// Processors of this machine.
    pub processors: usize,
    /// Start of the run in Unix milliseconds.
    pub started_at: u64,
    /// What this machine does without an engine; absent with `--no-bare`.
    #[serde(rename = "bare")]
    pub baseline: Option<BaselineFigures>,
    /// The measured run; in an isolation run, the one with all receivers.
    pub measured: Figures,
    /// Only in an isolation run: the healthy receivers alone.
    pub alone: Option<Figures>,
    /// Only in a backlog run.
    pub backlog: Option<BacklogFigures>,
    /// Only in a recovery run.
    pub recovery: Option<RecoveryFigures>,
    /// Each compares two figures of this run.
    pub ratios: Vec<Ratio>,
}

/// What this machine does without an engine between publisher and receivers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BaselineFigures {
    /// As fast as possible; of both halves, before and after the measured run.
    pub posts_per_second: f64,
    /// At the rate of the scenario, or as fast as possible; in microseconds.
    pub round_trip: Quantiles,
    /// To make one page durable, in microseconds.
    pub sync: Quantiles,
}

/// Measured while events were published and arrived.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Events acknowledged.
    pub accepted: u64,
    /// From the first request to the last acknowledgement.
    pub accepted_per_second: f64,
    /// Distinct deliveries that arrived.
    pub deliveries: u64,
    /// From the first request to the last arrival.
    pub deliveries_per_second: f64,
    /// Of publish requests, from the time at which they were due, in microseconds.
    pub publish_latency: Quantiles,
    /// From the time at which an event was due to be published to its arrival at a reliable receiver, in microseconds.
    pub end_to_end: Quantiles,
    /// Acknowledged, but never arrived at a reliable receiver.
    pub lost: u64,
    /// Arrived again after a 200.
    pub duplicated: u64,
    /// Publish requests answered with 429 or 503, and repeated.
    pub refused: u64,
    /// Publish requests that were not acknowledged, by reason.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of the engine for each delivery; `None` when the engine shows no metrics.
    pub cpu_micros_per_delivery: Option<f64>,
    /// Growth of the database for each delivery; only when the run starts the engine.
    pub disk_bytes_per_delivery: Option<f64>,
    /// Memory of the engine.
    pub resident: Option<ResidentMemory>,
    /// One entry per second, from the first.
    pub seconds: Vec<SecondFigures>,
    /// End-to-end latencies in microseconds, with their counts.
    pub histogram: Buckets,
}

/// Resident memory of the engine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidentMemory {
    /// Before the first event.
    pub before: u64,
    /// The maximum of samples that are taken while the run goes on.
    pub peak: u64,
    /// After the last arrival.
    pub after: u64,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SecondFigures {
    /// Events acknowledged.
    pub accepted: u64,
    /// Deliveries that arrived at reliable receivers.
    pub deliveries: u64,
    /// Median of their end-to-end latencies, in microseconds.
    pub p50: u64,
    /// 99th percentile of the same, in microseconds.
    pub p99: u64,
}

/// The figures of a backlog run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BacklogFigures {
    /// Pending deliveries before the drain.
    pub pending: u64,
    /// Resident memory of the engine before the drain, in bytes.
    pub resident_bytes: Option<u64>,
    /// From the release of the backlog to the last arrival.
    pub drain_seconds: f64,
    /// Deliveries per second during the drain.
    pub drained_per_second: f64,
}

/// The figures of a recovery run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RecoveryFigures {
    /// From the start of the new process until it takes requests.
    pub ready_seconds: f64,
    /// From the start of the new process to the first delivery that arrived.
    pub first_delivery_seconds: f64,
}

/// The ratio of two figures of the same run.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// Names both figures.
    pub name: &'static str,
    /// The first figure divided by the second.
    pub value: f64,
    /// The bound that the scenario sets, if any.
    pub bound: Option<RatioBound>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RatioBound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Ratio {
    /// Whether the value is within its bound; NaN is not.
    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            None => true,
            Some(RatioBound::AtLeast(least)) => self.value >= least,
            Some(RatioBound::AtMost(most)) => self.value <= most,
        }
    }
}

impl Report {
    /// The bounds that the run exceeded and the deliveries that it lost, as text for people.
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
