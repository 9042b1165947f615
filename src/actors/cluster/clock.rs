//! The time of the database: nodes whose clocks differ give events the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::time::{Clock, UnixMillis};

/// Offsets that are compared; the one with the shortest way to the database is the best. Larger: a clock that is set is
/// followed later.
const SAMPLES: usize = 8;
/// Smaller changes are not followed: they are the error of the measurement, and time would tremble. Larger: nodes differ by
/// more.
const STEP_MS: i64 = 1;
/// By so much two nodes can differ: each by a step, and by half of a way to the database. An event is not acknowledged before
/// so much time has passed since its own, so that one that is published afterwards, anywhere, comes behind it. Smaller: the order of
/// ordered webhooks is not that of their publisher. Larger: answers wait for longer than their commit takes.
pub(crate) const LARGEST_SKEW: Duration = Duration::from_millis(4);

/// A machine's clock, moved to the database's.
pub struct DatabaseClock {
    machine: Arc<dyn Clock>,
    offset_ms: AtomicI64,
    samples: Mutex<Vec<(Duration, i64)>>,
}

impl DatabaseClock {
    /// The machine's, until the database's is known.
    pub fn new(machine: Arc<dyn Clock>) -> Self {
        Self { machine, offset_ms: AtomicI64::new(0), samples: Mutex::default() }
    }

    /// The database's clock minus the machine's.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Takes what the database said between a request and its answer.
    pub(crate) fn follow(&self, database: UnixMillis, took: Duration) {
        // in the middle of the way
        let here = self.machine.now() - took / 2;
        let offset = database.0 - here.0;
        let mut samples = self.samples.lock();
        if samples.len() >= SAMPLES {
            samples.remove(0);
        }
        samples.push((took, offset));
        let best = samples.iter().min_by_key(|(took, _)| *took).map_or(offset, |(_, offset)| *offset);
        // a clock that was set: what was measured before says nothing any more
        let was_set = (offset - best).abs() > i64::try_from(took.as_millis()).unwrap_or(i64::MAX) + 1_000;
        if was_set {
            samples.clear();
            samples.push((took, offset));
        }
        let best = if was_set { offset } else { best };
        if (best - self.offset_ms()).abs() >= STEP_MS {
            self.offset_ms.store(best, Ordering::Relaxed);
        }
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.machine.now().0 + self.offset_ms())
    }

    fn uptime(&self) -> Duration {
        self.machine.uptime()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(AtomicI64);

    impl Clock for Machine {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn the_measurement_with_the_shortest_way_counts_and_small_changes_do_not() {
        let machine = Arc::new(Machine(AtomicI64::new(1_000_000)));
        let clock = DatabaseClock::new(machine);
        clock.follow(UnixMillis(1_000_000 + 3_600_000), Duration::from_millis(2));
        assert_eq!(clock.offset_ms(), 3_600_001);
        clock.follow(UnixMillis(1_000_000 + 3_600_200), Duration::from_millis(300));
        clock.follow(UnixMillis(1_000_000 + 3_600_001), Duration::from_millis(1));
        assert_eq!(clock.offset_ms(), 3_600_001);
        assert_eq!(clock.now(), UnixMillis(4_600_001));
    }

    #[test]
    fn a_clock_that_is_set_is_followed_at_once() {
        let machine = Arc::new(Machine(AtomicI64::new(1_000_000)));
        let clock = DatabaseClock::new(machine.clone());
        for _ in 0..SAMPLES {
            clock.follow(UnixMillis(1_000_000), Duration::from_millis(1));
        }
        machine.0.store(9_000_000, Ordering::Relaxed);
        clock.follow(UnixMillis(1_000_500), Duration::from_millis(4));
        assert_eq!(clock.now().0, 1_000_502);
    }
}
