//! The time of a run is the machine's own: the harness measures what really happens.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time that does not jump: the system clock is read once, then a monotonic clock advances it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock {
    epoch_micros: u64,
    started: Instant,
}

impl RunClock {
    #[expect(clippy::disallowed_methods, reason = "the harness measures in the machine's time")]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch_micros: since_epoch.as_micros() as u64, started: Instant::now() }
    }

    /// Unix microseconds.
    pub(crate) fn now_micros(&self) -> u64 {
        self.epoch_micros + self.started.elapsed().as_micros() as u64
    }

    /// The time that has passed since `micros`, an earlier reading of this clock.
    pub(crate) fn since(&self, micros: u64) -> Duration {
        Duration::from_micros(self.now_micros().saturating_sub(micros))
    }
}
