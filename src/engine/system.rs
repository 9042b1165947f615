//! The system's clock and randomness: the only place that reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::Rng;
use rustix::time::{ClockId, clock_gettime};

use crate::domain::random::RandomSource;
use crate::domain::time::{Clock, UnixMillis};

/// The wall clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed to everything else")]
        let now = SystemTime::now();
        // a clock before 1970 counts as 1970
        UnixMillis(0) + now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn uptime(&self) -> Duration {
        // a machine that was suspended must lose its trust; elsewhere than on Linux the usual one stands for it
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let now = clock_gettime(CLOCK);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// The system's randomness, through a generator that is suitable for keys.
pub struct SystemEntropy;

impl RandomSource for SystemEntropy {
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        #[expect(clippy::disallowed_methods, reason = "this is the randomness that is passed to everything else")]
        rand::rng().fill_bytes(&mut seed);
        seed
    }
}
