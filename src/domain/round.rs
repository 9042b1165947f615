//! Rounds: how much of its retry schedule a delivery gets when it is sent again.
//!
//! A delivery's row has the attempts that its schedule does not count, and its place in the schedule is the difference to all
//! its attempts. A manual round is stored as that number lowered by [`BEHIND_SCHEDULES`]: its attempt is behind the last one of
//! any schedule, also of one that is set meanwhile. So a manual round needs no column that every delivery would be written with,
//! and the statements of a commit, which only add to the number, know nothing of it.

use serde::{Deserialize, Serialize};

/// `rounds` of a resend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounds {
    /// One attempt and all its retries.
    #[default]
    Schedule,
    /// A manual round: one attempt.
    Once,
}

/// More attempts than any schedule has (50, with the longest policy).
const BEHIND_SCHEDULES: i32 = 1_000;

impl Rounds {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Schedule, Self::Once];

    /// The name in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Once => "once",
        }
    }

    /// Reads the name in the API; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rounds| rounds.as_str() == text)
    }

    /// By how much the attempts that the schedule does not count are fewer than all attempts, when a round begins.
    pub(crate) fn begins_at(self) -> i32 {
        match self {
            Self::Schedule => 0,
            Self::Once => BEHIND_SCHEDULES,
        }
    }
}

/// The place of an attempt in its round, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoundPlace(u32);

impl RoundPlace {
    /// Of attempt `number`, when the schedule does not count this many of the delivery's attempts.
    pub(crate) fn of(number: u32, not_counted: i32) -> Self {
        let place = i64::from(number) - i64::from(not_counted);
        Self(u32::try_from(place.max(1)).unwrap_or(u32::MAX))
    }

    /// Whether the round is a manual one.
    pub(crate) fn is_manual(self) -> bool {
        self.0 > BEHIND_SCHEDULES as u32
    }

    /// The place for the question whether a retry is left: none after a manual attempt.
    pub(crate) fn among_all(self) -> u32 {
        self.0
    }

    /// The place for the question how long to wait when the attempt is to be repeated anyway.
    pub(crate) fn in_its_round(self) -> u32 {
        if self.is_manual() { self.0 - BEHIND_SCHEDULES as u32 } else { self.0 }
    }
}

/// How many attempts the schedule does not count when a delivery that waits for a retry is attempted now.
///
/// The attempt is one more than the schedule has: like the one before it, it is followed by the retry that the delivery waits for
/// now, after the same delay. In a round without any attempt so far it is the first one, which was due anyway.
pub(crate) fn not_counted_when_hurried(attempts: i32, not_counted: i32) -> i32 {
    let is_retry = (1..BEHIND_SCHEDULES).contains(&attempts.saturating_sub(not_counted));
    not_counted + i32::from(is_retry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::retry::{MAX_ATTEMPTS_BOUNDS, MAX_RETRIES};

    #[test]
    fn the_attempt_of_a_manual_round_is_behind_the_last_one_of_any_schedule() {
        let longest = (MAX_RETRIES as f64 + 1.0).max(*MAX_ATTEMPTS_BOUNDS.end());
        for made in [0, 1, 7, 70_000] {
            let place = RoundPlace::of(made as u32 + 1, made - Rounds::Once.begins_at());
            assert!(place.is_manual() && f64::from(place.among_all()) > longest);
            assert_eq!(place.in_its_round(), 1);
            let place = RoundPlace::of(made as u32 + 1, made - Rounds::Schedule.begins_at());
            assert_eq!((place.is_manual(), place.among_all(), place.in_its_round()), (false, 1, 1));
        }
    }

    #[test]
    fn only_an_attempt_in_place_of_a_retry_is_not_counted() {
        for (attempts, not_counted, hurried) in [(0, 0, 0), (3, 3, 3), (1, 0, 1), (5, 3, 4), (5, 4, 5)] {
            assert_eq!(not_counted_when_hurried(attempts, not_counted), hurried, "{attempts} {not_counted}");
        }
        let manual = 5 - Rounds::Once.begins_at();
        assert_eq!(not_counted_when_hurried(5, manual), manual);
    }

    #[test]
    fn names_are_those_of_the_api() {
        for rounds in Rounds::ALL {
            assert_eq!(Rounds::parse(rounds.as_str()), Some(rounds));
            assert_eq!(serde_json::to_value(rounds).unwrap(), rounds.as_str());
        }
        assert_eq!(Rounds::parse("twice"), None);
    }
}
