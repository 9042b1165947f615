//! The time of a run: the machine's, as it measures what really happens.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time that does not jump: read once, then counted on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch_micros: u64,
    started: Instant,
}

impl Clock {
    /// Reads the machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the harness measures in the machine's time")]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch_micros: since_epoch.as_micros() as u64, started: Instant::now() }
    }

    /// In Unix microseconds.
    pub(crate) fn now_micros(&self) -> u64 {
        self.epoch_micros + self.started.elapsed().as_micros() as u64
    }

    /// From an instant of this clock to now.
    pub(crate) fn since(&self, micros: u64) -> Duration {
        Duration::from_micros(self.now_micros().saturating_sub(micros))
    }
}
