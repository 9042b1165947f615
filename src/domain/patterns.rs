//! The event types that a webhook subscribes to: `call.completed`, `call.*`, `*`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The longest event type or pattern, in bytes.
pub(crate) const MAX_EVENT_TYPE_LENGTH: usize = 128;

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is empty, too long, or has characters that no event type has.
    #[error(
        "an event type is made of groups of lower case letters, digits, _ and -, separated by dots, \
         at most {MAX_EVENT_TYPE_LENGTH} characters, for example call.completed"
    )]
    Malformed,
    /// A star in a place where it has no meaning.
    #[error("a star stands alone (*) or for everything after a dot (call.*)")]
    MisplacedStar,
}

/// A pattern over event types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// Every event except operational ones.
    All,
    /// Every event whose type has this prefix, which includes the dot: `call.`.
    Prefix(String),
    /// This event type.
    Exact(String),
}

/// Whether a text has the form of an event type.
pub(crate) fn is_event_type(text: &str) -> bool {
    text.len() <= MAX_EVENT_TYPE_LENGTH
        && text.split('.').all(|group| {
            !group.is_empty()
                && group
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
        })
}

impl EventPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(group) = text.strip_suffix(".*") {
            return match is_event_type(group) {
                true => Ok(Self::Prefix(format!("{group}."))),
                false if group.contains('*') => Err(PatternError::MisplacedStar),
                false => Err(PatternError::Malformed),
            };
        }
        if text.contains('*') {
            return Err(PatternError::MisplacedStar);
        }
        if is_event_type(text) { Ok(Self::Exact(text.to_owned())) } else { Err(PatternError::Malformed) }
    }

    /// Reads a pattern that was stored. Exact types can have other characters than ours: those of the Svix-compatible API do.
    fn stored(text: String) -> Self {
        Self::parse(&text).unwrap_or(Self::Exact(text))
    }

    /// Whether events of this type match. Operational events match only by name.
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == event_type,
            Self::All => !super::event_types::is_operational(event_type),
            Self::Prefix(prefix) => {
                event_type.starts_with(prefix) && !super::event_types::is_operational(event_type)
            }
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(event_type) => f.write_str(event_type),
        }
    }
}

impl Serialize for EventPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_pattern_is_read_as_it_was_written() {
        let exact = EventPattern::Exact(String::from("User.Signed-up_2"));
        for pattern in [exact, EventPattern::All, EventPattern::parse("call.*").unwrap()] {
            let stored = serde_json::to_string(&pattern).unwrap();
            assert_eq!(serde_json::from_str::<EventPattern>(&stored).unwrap(), pattern);
        }
    }

    #[test]
    fn patterns_read_and_print_alike() {
        for text in ["*", "call.*", "call.completed", "a.b.*", "ivr-2.menu_1"] {
            assert_eq!(EventPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        for text in ["", ".", "call.", ".call", "Call.completed", "call completed", "call..x", "ca\u{e9}"] {
            assert_eq!(EventPattern::parse(text), Err(PatternError::Malformed), "{text}");
        }
        for text in ["call*", "*.completed", "call.*.x", "**", "*.*"] {
            assert_eq!(EventPattern::parse(text), Err(PatternError::MisplacedStar), "{text}");
        }
    }

    #[test]
    fn a_group_pattern_matches_its_group_only() {
        let calls = EventPattern::parse("call.*").unwrap();
        assert!(calls.matches("call.completed"));
        assert!(calls.matches("call.a.b"));
        assert!(!calls.matches("call"));
        assert!(!calls.matches("callback.done"));
        assert!(EventPattern::All.matches("batch.failed"));
    }

    #[test]
    fn operational_events_come_only_by_name() {
        assert!(!EventPattern::All.matches("webhook.disabled"));
        assert!(!EventPattern::parse("webhook.*").unwrap().matches("webhook.disabled"));
        assert!(EventPattern::parse("webhook.disabled").unwrap().matches("webhook.disabled"));
    }
}
