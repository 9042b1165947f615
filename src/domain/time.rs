//! Instants as plain numbers. Time always comes in as a parameter; only a [`Clock`] knows it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z; what the database stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

/// Where the current time comes from: the machine in production, the simulation in tests.
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> UnixMillis;
}

impl UnixMillis {
    /// Later than every instant that occurs.
    pub const MAX: Self = Self(i64::MAX);

    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long from `earlier` until here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Parses RFC 3339; any offset is accepted and converted to UTC, precision below a millisecond is cut.
    /// `None` when the text is no RFC 3339 instant.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        parse_timestamp(text).map(|instant| Self(instant.as_millisecond()))
    }
}

/// Rewrites an RFC 3339 instant of any offset to UTC ending in `Z`, keeping its precision.
pub fn normalize_rfc3339(text: &str) -> Option<String> {
    parse_timestamp(text).map(|instant| instant.to_string())
}

fn parse_timestamp(text: &str) -> Option<Timestamp> {
    // jiff also reads ISO 8601 forms that RFC 3339 does not have: spaces, week dates, annotations
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && bytes.len() <= 40
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':'
        && !text.contains('[');
    if !shaped {
        return None;
    }
    text.parse::<Timestamp>().ok()
}

impl Add<Duration> for UnixMillis {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

impl Sub<Duration> for UnixMillis {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(milliseconds))
    }
}

/// RFC 3339 in UTC with milliseconds, as in every answer of the API.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_rfc3339_utc_with_milliseconds() {
        assert_eq!(UnixMillis(1_734_345_045_000).to_string(), "2024-12-16T10:30:45.000Z");
        assert_eq!(UnixMillis(1_734_345_045_007).to_string(), "2024-12-16T10:30:45.007Z");
    }

    #[test]
    fn an_offset_is_converted_and_precision_is_kept() {
        assert_eq!(normalize_rfc3339("2024-12-16T12:30:45+02:00").as_deref(), Some("2024-12-16T10:30:45Z"));
        assert_eq!(
            normalize_rfc3339("2024-12-16T10:30:45.123456Z").as_deref(),
            Some("2024-12-16T10:30:45.123456Z")
        );
        assert_eq!(UnixMillis::parse_rfc3339("2024-12-16T10:30:45Z"), Some(UnixMillis(1_734_345_045_000)));
    }

    #[test]
    fn what_is_not_rfc3339_is_refused() {
        for text in [
            "",
            "yesterday",
            "2024-12-16",
            "2024-12-16 10:30:45Z",
            "2024-12-16T10:30:45",
            "2024-13-16T10:30:45Z",
            "2024-12-16T10:30:45Z[UTC]",
            "2024-12-16T25:30:45Z",
            "1734345045",
        ] {
            assert_eq!(normalize_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMillis::MAX + Duration::from_secs(1), UnixMillis::MAX);
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
    }
}
