//! How many attempts one endpoint may have in flight, learned from its responses.

/// The limit of a new endpoint. Smaller: a healthy receiver with a backlog is used fully only after a few more round trips.
/// Larger: hundreds of receivers that hang from the start each hold this many slots for a whole timeout.
const START: u32 = 4;
/// The limit after a timeout. Larger: a hanging receiver keeps holding several slots, each for a whole timeout. Zero: the
/// engine would never notice that it is back.
const FLOOR: u32 = 1;
/// A failure divides the limit by this. Smaller: an overloaded receiver keeps its load. Larger: one odd response costs a
/// healthy receiver most of its throughput.
const DECREASE: u32 = 2;

/// An adaptive concurrency limit: between 1 and the endpoint's `max_in_flight`.
///
/// Slow start: one more per success, so the limit doubles in each round of successes. A failure halves it; a timeout, which
/// holds its slot for longest, reduces it to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdaptiveConcurrency {
    limit: u32,
    max: u32,
}

impl AdaptiveConcurrency {
    /// The limit of a new endpoint; `max` = `max_in_flight`, at least 1.
    pub(crate) fn new(max: u32) -> Self {
        let max = max.max(FLOOR);
        Self { limit: START.min(max), max }
    }

    /// How many attempts may be in flight now.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// An attempt succeeded.
    pub(crate) fn on_success(&mut self) {
        self.limit = self.limit.saturating_add(1).min(self.max);
    }

    /// An attempt failed before its timeout.
    pub(crate) fn on_failure(&mut self) {
        self.limit = (self.limit / DECREASE).max(FLOOR);
    }

    /// An attempt timed out.
    pub(crate) fn on_timeout(&mut self) {
        self.limit = FLOOR;
    }

    /// `max_in_flight` was changed. The learned limit stays, within the new bound.
    pub(crate) fn set_max(&mut self, max: u32) {
        self.max = max.max(FLOOR);
        self.limit = self.limit.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Plays `s`uccess, `f`ailure and `t`imeout.
    fn play(limit: &mut AdaptiveConcurrency, steps: &str) {
        for step in steps.chars() {
            match step {
                's' => limit.on_success(),
                'f' => limit.on_failure(),
                _ => limit.on_timeout(),
            }
        }
    }

    #[test]
    fn the_limit_grows_by_one_halves_on_failure_and_falls_to_one_on_timeout() {
        for (max, steps, expected) in [
            (32, "", 4),
            (2, "", 2),
            (0, "", 1),
            (32, "s", 5),
            (32, "ssssssss", 12),
            (6, "ssssssss", 6),
            (32, "f", 2),
            (32, "ff", 1),
            (32, "fff", 1),
            (32, "sf", 2),
            (32, "ssssssssf", 6),
            (32, "sssst", 1),
            (32, "t", 1),
            (32, "ts", 2),
            (1, "sssftsss", 1),
        ] {
            let mut limit = AdaptiveConcurrency::new(max);
            play(&mut limit, steps);
            assert_eq!(limit.limit(), expected, "max {max}, {steps}");
        }
    }

    #[test]
    fn the_limit_doubles_in_each_round_of_successes_until_its_cap() {
        let mut limit = AdaptiveConcurrency::new(32);
        let mut rounds = vec![limit.limit()];
        for _ in 0..4 {
            for _ in 0..limit.limit() {
                limit.on_success();
            }
            rounds.push(limit.limit());
        }
        assert_eq!(rounds, [4, 8, 16, 32, 32]);
    }

    #[test]
    fn five_hundred_hung_endpoints_soon_hold_five_hundred_slots() {
        let mut endpoints = vec![AdaptiveConcurrency::new(256); 500];
        for endpoint in &mut endpoints {
            for _ in 0..endpoint.limit() {
                endpoint.on_timeout();
            }
        }
        assert_eq!(endpoints.iter().map(AdaptiveConcurrency::limit).sum::<u32>(), 500);
    }

    #[test]
    fn a_lower_maximum_applies_at_once_and_a_higher_one_is_grown_into() {
        let mut limit = AdaptiveConcurrency::new(32);
        play(&mut limit, "ssssssss");
        limit.set_max(8);
        assert_eq!(limit.limit(), 8);
        limit.set_max(64);
        assert_eq!(limit.limit(), 8);
        limit.on_success();
        assert_eq!(limit.limit(), 9);
        limit.set_max(0);
        assert_eq!(limit.limit(), 1);
    }

    proptest! {
        #[test]
        fn the_limit_stays_between_one_and_its_maximum(max in 0u32..300, steps in "[sft]{0,400}") {
            let mut limit = AdaptiveConcurrency::new(max);
            for step in steps.chars() {
                play(&mut limit, &step.to_string());
                prop_assert!((1..=max.max(1)).contains(&limit.limit()));
            }
        }
    }
}
