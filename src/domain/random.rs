//! Randomness is a parameter, like time.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Where randomness comes from: the operating system in production, a fixed seed in tests.
pub trait RandomSource: Send + Sync + 'static {
    /// A seed for the caller's own generator. In production all of its bits are unpredictable, so it is fit for secrets.
    fn seed(&self) -> [u8; 32];
}

/// Returns the same sequence of seeds every time. Not for production: the results are predictable.
#[derive(Debug, Default)]
pub struct CountingRandomSource(std::sync::atomic::AtomicU64);

impl CountingRandomSource {
    /// The sequence that begins at `number`.
    pub fn starting_at(number: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(number))
    }
}

impl RandomSource for CountingRandomSource {
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // spread over all bits: generators seeded with small numbers begin alike
        SmallRng::seed_from_u64(number).fill_bytes(&mut seed);
        seed
    }
}
