//! From when on the tokens of an application count, after all that were made before have been ended.

use super::time::UnixMillis;

/// Which of an application's tokens have ended, and which will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenEnds {
    /// Those that were made before have ended.
    pub valid_from: Option<UnixMillis>,
    /// Those that end later.
    pub ending: Option<EndingTokens>,
}

/// Tokens that end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndingTokens {
    /// They were made before this.
    pub made_before: UnixMillis,
    /// They are refused from then on.
    pub end_at: UnixMillis,
}

impl TokenEnds {
    /// The same at a later time, when more may have ended.
    fn at(self, now: UnixMillis) -> Self {
        match self.ending.filter(|ending| ending.end_at <= now) {
            Some(ended) => Self { valid_from: self.valid_from.max(Some(ended.made_before)), ending: None },
            None => self,
        }
    }

    /// Tokens from before this are refused now.
    pub fn valid_from_at(self, now: UnixMillis) -> Option<UnixMillis> {
        self.at(now).valid_from
    }

    /// With more tokens that end. Nothing that has ended begins again, and nothing ends later than it was said before: what is to
    /// end when others are about to ends with them, if that is sooner.
    pub(crate) fn with(self, more: EndingTokens, now: UnixMillis) -> Self {
        let known = self.at(now);
        let made_before = known.ending.map_or(more.made_before, |ending| ending.made_before.max(more.made_before));
        let end_at = known.ending.map_or(more.end_at, |ending| ending.end_at.min(more.end_at));
        Self { ending: Some(EndingTokens { made_before, end_at }), ..known }.at(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When a token ends that was made then, after calls at some times that end tokens so much later.
    fn refused_at(ends: TokenEnds, made_at: i64, now: i64) -> bool {
        ends.valid_from_at(UnixMillis(now)).is_some_and(|from| made_at < from.0)
    }

    proptest! {
        #[test]
        fn no_token_outlives_the_first_call_that_ends_it_and_none_made_after_the_last_one_ends(
            pauses in prop::collection::vec((1i64..20, 0i64..30), 1..6),
            made_at in 0i64..100,
            looked_at in 0i64..200,
        ) {
            let (mut ends, mut now, mut first_end) = (TokenEnds::default(), 0, None::<i64>);
            for (pause, expiry) in pauses {
                now += pause;
                let more = EndingTokens { made_before: UnixMillis(now), end_at: UnixMillis(now + expiry) };
                ends = ends.with(more, UnixMillis(now));
                if made_at < now {
                    first_end = Some(first_end.map_or(now + expiry, |first| first.min(now + expiry)));
                }
            }
            let looked_at = looked_at.max(now);
            match first_end {
                Some(end) if looked_at >= end => prop_assert!(refused_at(ends, made_at, looked_at)),
                None => prop_assert!(!refused_at(ends, made_at, looked_at)),
                Some(_) => {}
            }
        }
    }

    #[test]
    fn tokens_end_when_it_was_said_and_at_once_without_a_delay() {
        let later = EndingTokens { made_before: UnixMillis(10), end_at: UnixMillis(50) };
        let ends = TokenEnds::default().with(later, UnixMillis(10));
        assert!(!refused_at(ends, 9, 49) && refused_at(ends, 9, 50) && !refused_at(ends, 10, 99));
        let now = EndingTokens { made_before: UnixMillis(20), end_at: UnixMillis(20) };
        let ends = ends.with(now, UnixMillis(20));
        assert!(refused_at(ends, 9, 20) && refused_at(ends, 19, 20) && !refused_at(ends, 20, 20));
    }
}
