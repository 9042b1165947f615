//! Instants as plain numbers. Time is always a parameter; only a [`Clock`] reads it.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time, date};
use serde::{Serialize, Serializer};

/// As day and time in UTC. Not jiff's `Timestamp`: that one ends a day before the year 9999 does, so that any offset fits,
/// and people write `9999-12-31T23:59:59Z` for "never".
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);
/// The first instant that RFC 3339 can express in UTC: years have four digits and no sign.
const FIRST: DateTime = date(0, 1, 1).at(0, 0, 0, 0);
/// See [`FIRST`].
const LAST: DateTime = date(9999, 12, 31).at(23, 59, 59, 999_999_999);
/// The longest text of an instant. Longer ones can only have meaningless digits of a fraction.
const MAX_TEXT_BYTES: usize = 64;

/// Milliseconds since 1970-01-01T00:00:00Z; what the database stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

/// Where the current time comes from: the machine in production, the simulation in tests.
pub trait Clock: Send + Sync + 'static {
    /// The current instant. It can be set, forward and back.
    fn now(&self) -> UnixMillis;
    /// How long the machine has run, suspended or not. It is never set; a simulated clock is not either.
    fn uptime(&self) -> Duration {
        Duration::from_millis(self.now().0.unsigned_abs())
    }
}

impl UnixMillis {
    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long from `earlier` until here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Parses RFC 3339; any offset is accepted and converted to UTC, precision below a millisecond is cut. An instant outside
    /// the years 0 to 9999 in UTC becomes the nearest one inside, and a leap second becomes the second before it. `None`
    /// when the text is not an RFC 3339 instant.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (local, offset) = parse(text)?;
        let since = |at: DateTime| at.duration_since(EPOCH);
        // computed outside the calendar, because an offset can lead beyond its end
        let at = (since(local) - offset).clamp(since(FIRST), since(LAST));
        i64::try_from(at.as_nanos().div_euclid(1_000_000)).ok().map(Self)
    }
}

/// Rewrites an RFC 3339 instant of any offset to UTC ending in `Z`, keeping its precision down to a nanosecond. `None` also
/// for instants that an offset moves outside the years 0 to 9999, which RFC 3339 can't express in UTC.
pub(crate) fn normalize_rfc3339(text: &str) -> Option<String> {
    let (local, offset) = parse(text)?;
    let utc = local.checked_sub(offset).ok()?;
    (FIRST..=LAST).contains(&utc).then(|| format!("{utc}Z"))
}

/// Why a text is not an instant, for its author.
pub(crate) fn why_not_rfc3339(text: &str) -> &'static str {
    let bytes = text.as_bytes();
    let is_day = |day: &[u8]| day.len() == 10 && day[4] == b'-' && day[7] == b'-';
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        return "it is a number";
    }
    match bytes.split_at_checked(10) {
        Some((day, [])) if is_day(day) => "it names a day without a time",
        Some((day, [b' ', ..])) if is_day(day) => "a T belongs between the day and the time",
        Some((day, [b'T' | b't', rest @ ..])) if is_day(day) => {
            match rest.iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-' | b' ')) {
                true => "there is no such day, time or offset",
                false => "its offset is missing: end it with Z, or for example with +02:00",
            }
        }
        _ => "it has another form",
    }
}

/// The local time in the text, and how far that is ahead of UTC.
fn parse(text: &str) -> Option<(DateTime, SignedDuration)> {
    let bytes = text.as_bytes();
    // 19 bytes have a fixed form: 2024-12-16T10:30:45
    let (fixed, rest) = bytes.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let is_shaped =
        separators.iter().all(|&(place, byte)| fixed[place] == byte) && matches!(fixed[10], b'T' | b't');
    if !is_shaped || bytes.len() > MAX_TEXT_BYTES {
        return None;
    }
    let two = |place: usize| number(&fixed[place..place + 2]).and_then(|number| i8::try_from(number).ok());
    let day = Date::new(i16::try_from(number(&fixed[..4])?).ok()?, two(5)?, two(8)?).ok()?;
    let (nanosecond, offset) = fraction(rest)?;
    // Unix time has no leap seconds
    let second = if two(17)? == 60 { 59 } else { two(17)? };
    let local = day.to_datetime(Time::new(two(11)?, two(14)?, second, nanosecond).ok()?);
    Some((local, SignedDuration::from_secs(offset_seconds(offset)?)))
}

/// Accepts nothing but digits.
fn number(digits: &[u8]) -> Option<i32> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // callers pass nine digits at most
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0')))
}

/// Reads an optional `.123` as nanoseconds; returns the rest of the text too. Digits after the ninth are ignored.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    // ISO 8601 allows a comma as well, and some libraries print one
    let [b'.' | b',', rest @ ..] = text else { return Some((0, text)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(count);
    let kept = &digits[..count.min(9)];
    let missing = 9 - u32::try_from(kept.len()).ok()?;
    Some((number(kept)? * 10_i32.pow(missing), rest))
}

/// Reads `Z`, `+02:00` and, as `strftime` prints it, `+0200`; also `+02`, which ISO 8601 allows.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        [b'Z' | b'z'] => return Some(0),
        [sign, hours @ ..] if hours.len() == 2 => (sign, hours, None),
        [sign, digits @ ..] if digits.len() == 4 => (sign, &digits[..2], Some(&digits[2..])),
        [sign, digits @ ..] if digits.len() == 5 && digits[2] == b':' => (sign, &digits[..2], Some(&digits[3..])),
        _ => return None,
    };
    let hours = number(hours).filter(|hours| *hours < 24)?;
    let minutes = minutes.map_or(Some(0), number).filter(|minutes| *minutes < 60)?;
    let seconds = i64::from(hours * 3_600 + minutes * 60);
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
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

/// RFC 3339 in UTC with milliseconds, as in every response of the API.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_millis(self.0)) {
            Ok(utc) if utc >= FIRST => write!(f, "{utc:.3}Z"),
            _ => write!(f, "{} ms", self.0),
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
            "2023-02-29T10:30:45Z",
            "2024-12-16T10:30:61Z",
            "2024-12-16T10:30:45.Z",
            "2024-12-16T10:30:45+24:00",
            "2024-12-16T10:30:45+02:60",
            "2024-12-16T10:30:45 02:00",
            "2024-12-16T10:30:45+0:00",
            "2024-12-16T10:30:45ZZ",
            "2024-12-16T10:30:45+02:00:00",
            "-2024-12-16T10:30:45Z",
            "+002024-12-16T10:30:45Z",
            "२०२४-12-16T10:30:45Z",
        ] {
            assert_eq!(normalize_rfc3339(text), None, "{text}");
            assert_eq!(UnixMillis::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn every_instant_that_rfc3339_can_write_is_read_and_printed_in_utc() {
        for (text, milliseconds, normalized) in [
            ("9999-12-31T23:59:59Z", 253_402_300_799_000, "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T22:30:00-01:00", 253_402_299_000_000, "9999-12-31T23:30:00Z"),
            ("9999-12-31t23:59:59z", 253_402_300_799_000, "9999-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000, "0000-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.9999Z", -1, "1969-12-31T23:59:59.9999Z"),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000, "2016-12-31T23:59:59Z"),
            ("2016-12-31T15:59:60.25-08:00", 1_483_228_799_250, "2016-12-31T23:59:59.25Z"),
            ("2024-12-16T10:30:45.1234567891234Z", 1_734_345_045_123, "2024-12-16T10:30:45.123456789Z"),
            ("2024-12-16T12:30:45+0200", 1_734_345_045_000, "2024-12-16T10:30:45Z"),
            ("2024-12-16T10:30:45-00:00", 1_734_345_045_000, "2024-12-16T10:30:45Z"),
        ] {
            let read = UnixMillis::parse_rfc3339(text);
            assert_eq!(read, Some(UnixMillis(milliseconds)), "{text}");
            assert_eq!(normalize_rfc3339(text).as_deref(), Some(normalized), "{text}");
            let printed = read.map(|at| at.to_string()).unwrap_or_default();
            assert_eq!(UnixMillis::parse_rfc3339(&printed), read, "{printed}");
        }
        assert_eq!(UnixMillis(253_402_300_799_999).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_instant_that_an_offset_moves_beyond_the_calendar_is_clamped_and_has_no_form_in_utc() {
        for (text, milliseconds) in [
            ("9999-12-31T23:59:59-00:01", 253_402_300_799_999),
            ("9999-12-31T23:59:59-23:59", 253_402_300_799_999),
            ("0000-01-01T00:00:00+00:01", -62_167_219_200_000),
            ("0000-01-01T00:00:00+23:59", -62_167_219_200_000),
        ] {
            assert_eq!(UnixMillis::parse_rfc3339(text), Some(UnixMillis(milliseconds)), "{text}");
            assert_eq!(normalize_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_slip_is_named() {
        for (text, why) in [
            ("2024-12-16", "without a time"),
            ("2024-12-16 10:30:45Z", "a T belongs"),
            ("2024-12-16T10:30:45", "offset is missing"),
            ("2024-02-30T10:30:45Z", "no such day"),
            ("1734345045", "a number"),
            ("yesterday", "another form"),
            ("", "another form"),
            ("äääää-äääää", "another form"),
        ] {
            assert!(why_not_rfc3339(text).contains(why), "{text}: {}", why_not_rfc3339(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(milliseconds in -62_167_219_200_000_i64..=253_402_300_799_999) {
            let at = UnixMillis(milliseconds);
            proptest::prop_assert_eq!(UnixMillis::parse_rfc3339(&at.to_string()), Some(at));
        }

        #[test]
        fn no_text_makes_the_reader_panic(
            text in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{0,9}[.,]?[0-9]{0,12}[Zz+ -]?[0-9:]{0,6}",
        ) {
            let read = UnixMillis::parse_rfc3339(&text);
            proptest::prop_assert!(read.is_some() || normalize_rfc3339(&text).is_none());
            why_not_rfc3339(&text);
            proptest::prop_assert!(read.is_none_or(|at| !at.to_string().contains("ms")));
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMillis(i64::MAX) + Duration::from_secs(1), UnixMillis(i64::MAX));
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
    }
}
