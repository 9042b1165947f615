//! How the receivers of a run behave.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How a receiver answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "behaviour", rename_all = "snake_case")]
pub enum Behaviour {
    /// Answers 200 at once.
    Ok,
    /// Answers 200 after a delay: log-normal with this median and 99th percentile, in milliseconds.
    Slow {
        /// Half of the responses take at most this.
        p50_ms: f64,
        /// 99 % of the responses take at most this.
        p99_ms: f64,
    },
    /// Never answers.
    Hanging,
    /// Answers this share of the requests with 503, the others with 200.
    Failing {
        /// 0 to 1.
        failing: f64,
    },
    /// Alternates: answers 200 for `up_seconds`, then 503 for `down_seconds`.
    Flapping {
        /// Seconds of answering 200.
        up_seconds: f64,
        /// Seconds of answering 503.
        down_seconds: f64,
    },
}

/// The reaction to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reaction {
    Answer {
        /// 200 or 503.
        status: u16,
        /// Delay before the response.
        after: Duration,
    },
    /// Never answer.
    Hang,
}

/// The 99th percentile of the normal distribution, in standard deviations.
const Z99: f64 = 2.326_347_9;

impl Behaviour {
    /// Whether its parameters are within their bounds.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Ok | Self::Hanging => true,
            Self::Slow { p50_ms, p99_ms } => p50_ms > 0.0 && p99_ms >= p50_ms && p99_ms.is_finite(),
            Self::Failing { failing } => (0.0..=1.0).contains(&failing),
            Self::Flapping { up_seconds, down_seconds } => {
                up_seconds >= 0.0 && down_seconds >= 0.0 && (up_seconds + down_seconds) > 0.0
            }
        }
    }

    /// Whether every event arrives in the end, so that a run can wait for it.
    pub(crate) fn is_reliable(self) -> bool {
        matches!(self, Self::Ok | Self::Slow { .. })
    }

    /// The reaction to a request that arrives `elapsed` after the start of the run.
    pub(crate) fn react(self, elapsed: Duration, rng: &mut impl Rng) -> Reaction {
        let now = |is_ok: bool| Reaction::Answer { status: if is_ok { 200 } else { 503 }, after: Duration::ZERO };
        match self {
            Self::Ok => now(true),
            Self::Slow { p50_ms, p99_ms } => {
                // Box-Muller
                let (first, second): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
                let normal = (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos();
                let millis = p50_ms * (normal * (p99_ms / p50_ms).ln() / Z99).exp();
                Reaction::Answer { status: 200, after: Duration::from_secs_f64(millis.min(3_600_000.0) / 1_000.0) }
            }
            Self::Hanging => Reaction::Hang,
            Self::Failing { failing } => now(rng.random::<f64>() >= failing),
            Self::Flapping { up_seconds, down_seconds } => {
                now(elapsed.as_secs_f64() % (up_seconds + down_seconds) < up_seconds)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn slow_responses_have_the_configured_quantiles() {
        let mut rng = SmallRng::seed_from_u64(1);
        let slow = Behaviour::Slow { p50_ms: 20.0, p99_ms: 200.0 };
        let mut times: Vec<f64> = (0..100_000)
            .map(|_| match slow.react(Duration::ZERO, &mut rng) {
                Reaction::Answer { after, .. } => after.as_secs_f64() * 1_000.0,
                Reaction::Hang => unreachable!("a slow receiver does answer"),
            })
            .collect();
        times.sort_by(f64::total_cmp);
        assert!((times[50_000] - 20.0).abs() < 0.5, "{}", times[50_000]);
        assert!((times[99_000] - 200.0).abs() < 12.0, "{}", times[99_000]);
    }

    #[test]
    fn flapping_depends_on_the_time_since_the_start() {
        let mut rng = SmallRng::seed_from_u64(1);
        let flapping = Behaviour::Flapping { up_seconds: 2.0, down_seconds: 1.0 };
        let statuses = [0, 1, 2, 3, 5].map(|second| match flapping.react(Duration::from_secs(second), &mut rng) {
            Reaction::Answer { status, .. } => status,
            Reaction::Hang => 0,
        });
        assert_eq!(statuses, [200, 200, 503, 200, 503]);
    }
}
