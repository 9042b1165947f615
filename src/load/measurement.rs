//! The totals of a measured phase, or of several phases of the same kind added up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::latency::Latencies;
use super::report::{Figures, ResidentMemory, SecondFigures};

/// Totals, from which [`Figures`] are computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measurement {
    pub accepted: u64,
    /// From the first request to the last acknowledgement.
    pub accepted_in: Duration,
    /// Distinct deliveries that arrived.
    pub deliveries: u64,
    /// From the first request to the last arrival.
    pub delivered_in: Duration,
    /// Latencies of publishing.
    pub published: Latencies,
    /// End-to-end latencies.
    pub arrived: Latencies,
    /// Acknowledged, but never arrived.
    pub lost: u64,
    /// Arrived again after a 200.
    pub duplicated: u64,
    /// Publish requests answered with 429 or 503.
    pub refused: u64,
    /// Publish requests that were not acknowledged, by reason.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of the engine in seconds, and its memory; `None` when the engine shows no metrics.
    pub used: Option<(f64, ResidentMemory)>,
    /// Growth of the database in bytes.
    pub disk: Option<f64>,
    /// One entry per second of the phase.
    pub seconds: Vec<SecondFigures>,
}

impl Measurement {
    /// Adds the totals of a later phase.
    pub(crate) fn add(&mut self, later: Self) {
        self.accepted += later.accepted;
        self.accepted_in += later.accepted_in;
        self.deliveries += later.deliveries;
        self.delivered_in += later.delivered_in;
        self.published.add(&later.published);
        self.arrived.add(&later.arrived);
        self.lost += later.lost;
        self.duplicated += later.duplicated;
        self.refused += later.refused;
        for (reason, count) in later.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.used = self.used.zip(later.used).map(|((seconds, memory), (more, then))| {
            (seconds + more, ResidentMemory { peak: memory.peak.max(then.peak), after: then.after, ..memory })
        });
        self.disk = self.disk.zip(later.disk).map(|(bytes, more)| bytes + more);
        self.seconds.extend(later.seconds);
    }

    pub(crate) fn figures(self) -> Figures {
        let each = |total: f64| total / self.deliveries.max(1) as f64;
        Figures {
            accepted: self.accepted,
            accepted_per_second: per_second(self.accepted, self.accepted_in),
            deliveries: self.deliveries,
            deliveries_per_second: per_second(self.deliveries, self.delivered_in),
            publish_latency: self.published.quantiles(),
            end_to_end: self.arrived.quantiles(),
            lost: self.lost,
            duplicated: self.duplicated,
            refused: self.refused,
            cpu_micros_per_delivery: self.used.map(|(seconds, _)| each(seconds * 1e6)),
            disk_bytes_per_delivery: self.disk.map(each),
            resident: self.used.map(|(_, resident)| resident),
            histogram: self.arrived.buckets(),
            seconds: self.seconds,
            errors: self.errors,
        }
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.max(Duration::from_micros(1)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(deliveries: u64, seconds: u64, peak: u64) -> Measurement {
        let mut arrived = Latencies::default();
        (0..deliveries).for_each(|_| arrived.record(Duration::from_millis(seconds)));
        Measurement {
            accepted: deliveries / 2,
            accepted_in: Duration::from_secs(1),
            deliveries,
            delivered_in: Duration::from_secs(seconds),
            arrived,
            lost: 1,
            errors: BTreeMap::from([(String::from("timeout"), 2)]),
            used: Some((0.001, ResidentMemory { before: peak / 2, peak, after: peak - 1 })),
            disk: Some(500.0),
            seconds: vec![SecondFigures { deliveries, ..SecondFigures::default() }],
            ..Measurement::default()
        }
    }

    #[test]
    fn the_rate_of_two_phases_is_that_of_all_their_deliveries_in_their_total_time() {
        let mut both = counted(100, 1, 80);
        both.add(counted(200, 5, 60));
        let figures = both.figures();
        assert_eq!((figures.accepted, figures.accepted_per_second), (150, 75.0));
        assert_eq!((figures.deliveries, figures.deliveries_per_second), (300, 50.0));
        assert_eq!((figures.end_to_end.count, figures.lost, figures.seconds.len()), (300, 2, 2));
        assert_eq!(figures.errors["timeout"], 4);
        assert!((figures.cpu_micros_per_delivery.unwrap() - 2_000.0 / 300.0).abs() < 1e-9);
        assert!((figures.disk_bytes_per_delivery.unwrap() - 1_000.0 / 300.0).abs() < 1e-9);
        assert_eq!(figures.resident, Some(ResidentMemory { before: 40, peak: 80, after: 59 }));
    }

    #[test]
    fn a_figure_that_one_phase_lacks_is_absent_from_the_sum() {
        let mut both = counted(100, 1, 80);
        both.add(Measurement { used: None, disk: None, ..counted(100, 1, 80) });
        let figures = both.figures();
        assert_eq!((figures.cpu_micros_per_delivery, figures.disk_bytes_per_delivery), (None, None));
        assert_eq!(figures.resident, None);
    }
}
