//! How much the next step of long work does, by how long the last one took.
//!
//! A constant number of rows takes a millisecond on one machine and fifty on another, or on the same one an hour later:
//! what others wait for is time.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Rows of the next step.
#[derive(Debug, Clone)]
pub(crate) struct StepSize {
    rows: usize,
    bounds: RangeInclusive<usize>,
}

impl StepSize {
    /// Begins with the smallest step.
    pub(crate) const fn within(bounds: RangeInclusive<usize>) -> Self {
        Self { rows: *bounds.start(), bounds }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes how long a step took that should have taken `aim`. The next one is at most twice as large: a step that
    /// found little to do says little about the next.
    pub(crate) fn note(&mut self, took: Duration, aim: Duration) {
        let factor = aim.as_secs_f64() / took.max(Duration::from_micros(1)).as_secs_f64();
        let rows = (self.rows as f64 * factor.min(2.0)) as usize;
        self.rows = rows.clamp(*self.bounds.start(), *self.bounds.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_millis(4);

    #[test]
    fn steps_that_cost_the_same_for_each_row_come_to_take_as_long_as_they_should() {
        let mut size = StepSize::within(10..=1_000);
        for _ in 0..10 {
            let took = Duration::from_micros(20) * size.rows() as u32;
            size.note(took, AIM);
        }
        assert_eq!(size.rows(), 200);
    }

    #[test]
    fn a_step_grows_to_twice_its_size_at_most_and_stays_within_its_bounds() {
        let mut size = StepSize::within(64..=200);
        let sizes = [0, 1, 2, 1_000, 4].map(|milliseconds| {
            size.note(Duration::from_millis(milliseconds), AIM);
            size.rows()
        });
        assert_eq!(sizes, [128, 200, 200, 64, 64]);
    }
}
