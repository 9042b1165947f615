//! Gauges of things alive now. Something that can be dropped midway, like a future, is counted by a guard
//! ([`EngineGauge::guard`]).

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Gauge;

use super::metrics::METRICS;

/// Guards alive, indexed by [`EngineGauge`]: a gauge itself can't be read back.
static GUARDS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// One gauge of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineGauge {
    /// Pending deliveries, in memory or in the database: set at start from the rows, then moved by each commit.
    DeliveriesPending,
    /// HTTP requests in flight.
    AttemptsInFlight,
    /// Endpoint supervisors alive.
    EndpointsActive,
    /// Endpoints whose breaker is open; set at start from the rows, then moved by [`super::BreakerOpened`] and
    /// [`super::BreakerClosed`].
    BreakersOpen,
}

impl EngineGauge {
    pub(crate) fn set(self, value: u64) {
        self.handle().set(value as f64);
    }

    pub(crate) fn add(self, count: u64) {
        self.handle().increment(count as f64);
    }

    pub(crate) fn subtract(self, count: u64) {
        self.handle().decrement(count as f64);
    }

    /// Adds one for as long as the guard lives.
    #[must_use = "counts only while it is held"]
    pub(crate) fn guard(self) -> GaugeGuard {
        self.add(1);
        GUARDS[self as usize].fetch_add(1, Ordering::Relaxed);
        GaugeGuard(self)
    }

    /// How many guards are alive.
    pub(crate) fn guards(self) -> usize {
        GUARDS[self as usize].load(Ordering::Relaxed)
    }

    fn handle(self) -> &'static Gauge {
        match self {
            Self::DeliveriesPending => &METRICS.deliveries_pending,
            Self::AttemptsInFlight => &METRICS.attempts_in_flight,
            Self::EndpointsActive => &METRICS.endpoints_active,
            Self::BreakersOpen => &METRICS.breakers_open,
        }
    }
}

/// Counts one until it is dropped.
#[derive(Debug)]
pub(crate) struct GaugeGuard(EngineGauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        GUARDS[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
        self.0.subtract(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_counts_for_as_long_as_it_lives() {
        let guard = EngineGauge::EndpointsActive.guard();
        let with = EngineGauge::EndpointsActive.guards();
        drop(guard);
        assert_eq!(EngineGauge::EndpointsActive.guards() + 1, with);
    }
}
