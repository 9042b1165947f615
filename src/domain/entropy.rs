//! Randomness comes in as a parameter, like time.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Where randomness comes from: the machine in production, a seed in tests.
pub trait Entropy: Send + Sync + 'static {
    /// A seed for a generator of one's own, secrets included: all of its bits are unpredictable in production.
    fn seed(&self) -> [u8; 32];
}

/// The same sequence of seeds every time. Not for production: what is made with them can be foretold.
#[derive(Debug, Default)]
pub struct CountingEntropy(std::sync::atomic::AtomicU64);

impl CountingEntropy {
    /// Begins at a number.
    pub fn starting_at(number: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(number))
    }
}

impl Entropy for CountingEntropy {
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // spread: generators that are seeded with a small number begin alike
        SmallRng::seed_from_u64(number).fill_bytes(&mut seed);
        seed
    }
}
