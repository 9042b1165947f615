//! Latencies, recorded in a high dynamic range histogram and reported as quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer latencies are recorded as this one.
const MAX_MICROS: u64 = 3_600_000_000;

/// Microseconds from 1 to an hour, with two significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u32>);

/// Quantiles of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Number of recorded values.
    pub count: u64,
    /// Half of the values are at most this.
    pub p50: u64,
    /// 90 % of the values are at most this.
    pub p90: u64,
    /// 99 % of the values are at most this.
    pub p99: u64,
    /// 99.9 % of the values are at most this.
    pub p999: u64,
    /// The largest value.
    pub max: u64,
}

/// The transport form of a histogram: each recorded value with its count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Buckets(pub Vec<(u64, u64)>);

impl Default for Latencies {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram allows")]
        let histogram = Histogram::new_with_bounds(1, MAX_MICROS, 2).expect("bounds of a histogram");
        Self(histogram)
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_many(latency.as_micros() as u64, 1);
    }

    fn record_many(&mut self, micros: u64, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.saturating_record_n(micros.clamp(1, MAX_MICROS), count);
    }

    /// Adds the values of another histogram.
    pub(crate) fn add(&mut self, other: &Self) {
        for bucket in other.0.iter_recorded() {
            self.record_many(bucket.value_iterated_to(), bucket.count_at_value().into());
        }
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let at = |quantile| if self.0.is_empty() { 0 } else { self.0.value_at_quantile(quantile) };
        Quantiles { count: self.0.len(), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    pub(crate) fn buckets(&self) -> Buckets {
        Buckets(self.0.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value().into())).collect())
    }
}

impl From<&Buckets> for Latencies {
    fn from(buckets: &Buckets) -> Self {
        let mut latencies = Self::default();
        for &(micros, count) in &buckets.0 {
            latencies.record_many(micros, count);
        }
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_precise_to_two_digits_and_survive_serialization() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis));
        }
        let quantiles = latencies.quantiles();
        let close = |value: u64, expected: u64| value.abs_diff(expected) * 50 <= expected;
        assert_eq!(quantiles.count, 1_000);
        assert!(close(quantiles.p50, 500_000) && close(quantiles.p99, 990_000), "{quantiles:?}");
        assert!(close(quantiles.max, 1_000_000), "{quantiles:?}");
        assert_eq!(Latencies::from(&latencies.buckets()).quantiles(), quantiles);
        let mut both = latencies.clone();
        both.add(&latencies);
        assert_eq!((both.quantiles().count, both.quantiles().p90), (2_000, quantiles.p90));
    }

    #[test]
    fn an_empty_histogram_has_zeros_as_quantiles() {
        assert_eq!(Latencies::default().quantiles(), Quantiles::default());
    }
}
