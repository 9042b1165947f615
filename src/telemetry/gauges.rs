//! Things alive now. What can be dropped midway is counted by a guard ([`Level::hold`]).

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Gauge;

use super::metrics::METRICS;

/// Guards alive, by the place of the gauge in [`Level`]: a gauge itself can't be read back.
static HELD: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// One gauge of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Deliveries in status pending, in memory or in the database: set at start from the rows, then moved by what
    /// is committed.
    DeliveriesPending,
    /// HTTP requests under way.
    AttemptsInFlight,
    /// Endpoint supervisors alive.
    EndpointsActive,
    /// Endpoints whose breaker is open; set at start from the rows, then moved by [`super::BreakerOpened`] and
    /// [`super::BreakerClosed`].
    BreakersOpen,
}

impl Level {
    /// Sets it, for example at start from the database.
    pub(crate) fn set(self, value: u64) {
        self.gauge().set(value as f64);
    }

    /// `count` more.
    pub(crate) fn add(self, count: u64) {
        self.gauge().increment(count as f64);
    }

    /// `count` fewer.
    pub(crate) fn subtract(self, count: u64) {
        self.gauge().decrement(count as f64);
    }

    /// One more for as long as the guard lives: right for what may end by being dropped, like a future.
    #[must_use = "counts only while it is held"]
    pub(crate) fn hold(self) -> Held {
        self.add(1);
        HELD[self as usize].fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// How many guards are alive.
    pub(crate) fn held(self) -> usize {
        HELD[self as usize].load(Ordering::Relaxed)
    }

    fn gauge(self) -> &'static Gauge {
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
pub(crate) struct Held(Level);

impl Drop for Held {
    fn drop(&mut self) {
        HELD[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
        self.0.subtract(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_counts_for_as_long_as_it_lives() {
        let guard = Level::EndpointsActive.hold();
        let with = Level::EndpointsActive.held();
        drop(guard);
        assert_eq!(Level::EndpointsActive.held() + 1, with);
    }
}
