//! Times in the viewer's zone, with the exact UTC as a tooltip.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::domain::time::UnixMillis;

/// A time in the viewer's zone; the tooltip shows UTC with milliseconds.
pub(crate) fn instant(at: UnixMillis, zone: &TimeZone) -> Markup {
    html! { time.nowrap datetime=(at) title=(utc(at)) { (local(at, zone, "%b %-d, %H:%M:%S")) } }
}

/// The same with the year and without seconds, for distant times.
pub(crate) fn dated(at: UnixMillis, zone: &TimeZone) -> Markup {
    html! { time.nowrap datetime=(at) title=(utc(at)) { (local(at, zone, "%b %-d, %Y, %H:%M")) } }
}

/// The distance from now, such as "in 5 min" or "2 h ago".
pub(crate) fn relative(at: UnixMillis, now: UnixMillis, zone: &TimeZone) -> Markup {
    let title = format!("{} · {}", local(at, zone, "%b %-d, %H:%M:%S %Z"), utc(at));
    html! { time.nowrap datetime=(at) title=(title) { (distance(at, now)) } }
}

/// The time of day, with the date unless it is today.
pub(crate) fn clock(at: UnixMillis, now: UnixMillis, zone: &TimeZone) -> Markup {
    let is_today = local(at, zone, "%F") == local(now, zone, "%F");
    let format = if is_today { "%H:%M" } else { "%b %-d, %H:%M" };
    html! { time.nowrap datetime=(at) title=(utc(at)) { (local(at, zone, format)) } }
}

pub(crate) fn utc(at: UnixMillis) -> String {
    local(at, &TimeZone::UTC, "%Y-%m-%d %H:%M:%S%.3f UTC")
}

/// A time in a zone, in a `strftime` format.
pub(crate) fn local(at: UnixMillis, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(instant) => instant.to_zoned_datetime(zone.clone()).strftime(format).to_string(),
        Err(_) => at.to_string(),
    }
}

/// The value of an `<input type="datetime-local">`.
pub(crate) fn input_value(at: UnixMillis, zone: &TimeZone) -> String {
    local(at, zone, "%Y-%m-%dT%H:%M:%S")
}

/// Parses the value of such an input, in the viewer's zone.
pub(crate) fn parse_input(text: &str, zone: &TimeZone) -> Option<UnixMillis> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned_datetime(zone.clone()).ok()?;
    Some(UnixMillis(zoned.timestamp().as_millisecond()))
}

/// Whether a time has come, to the second, as distances are shown.
pub(crate) fn is_due(at: UnixMillis, now: UnixMillis) -> bool {
    at.since(now) < Duration::from_secs(1)
}

fn distance(at: UnixMillis, now: UnixMillis) -> String {
    if at > now {
        return format!("in {}", about(at.since(now)));
    }
    match now.since(at) {
        short if short < Duration::from_secs(2) => "just now".to_owned(),
        past => format!("{} ago", about(past)),
    }
}

/// Rounded to the smallest unit shown, so that 24 h still reads as 24 h a moment later.
fn about(length: Duration) -> String {
    let millis = length.as_millis() as u64;
    let shown_in = match millis.div_ceil(1_000) {
        0..600 => 1,
        600..36_000 => 60,
        36_000..864_000 => 3_600,
        _ => 86_400,
    };
    let unit = shown_in * 1_000;
    span(Duration::from_secs((millis + unit / 2) / unit * shown_in))
}

/// A duration in its one or two largest units, in days from two days on. Smaller units are dropped.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, small) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..172_800 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (count, unit) if large.0 < 10 => format!("{} {} {count} {unit}", large.0, large.1),
        _ => format!("{} {}", large.0, large.1),
    }
}

pub(crate) fn milliseconds(length: u64) -> String {
    match length {
        0..1_000 => format!("{length} ms"),
        1_000..60_000 => format!("{:.2} s", length as f64 / 1_000.0),
        _ => span(Duration::from_millis(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(1_734_345_045_007);

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn a_time_is_shown_in_the_viewers_zone_with_the_exact_utc() {
        let shown = instant(AT, &zone("Asia/Tokyo")).into_string();
        assert!(shown.contains(">Dec 16, 19:30:45<"), "{shown}");
        assert!(shown.contains("title=\"2024-12-16 10:30:45.007 UTC\""), "{shown}");
        assert!(shown.contains("datetime=\"2024-12-16T10:30:45.007Z\""), "{shown}");
        assert!(dated(AT, &zone("Asia/Tokyo")).into_string().contains(">Dec 16, 2024, 19:30<"));
    }

    #[test]
    fn a_time_of_today_is_shown_without_its_date() {
        let zone = zone("America/New_York");
        let shown = |before| clock(AT - Duration::from_secs(before), AT, &zone).into_string();
        assert!(shown(3_600).contains(">04:30<"), "{}", shown(3_600));
        assert!(shown(6 * 3_600).contains(">Dec 15, 23:30<"), "{}", shown(6 * 3_600));
    }

    #[test]
    fn a_time_input_is_read_in_the_viewers_zone_and_round_trips() {
        let zone = zone("America/New_York");
        for text in ["2024-12-16T05:30", "2024-07-01T23:59:59"] {
            let read = parse_input(text, &zone).unwrap();
            assert!(input_value(read, &zone).starts_with(text), "{text}");
        }
        assert_eq!(parse_input("2024-12-16T05:30:45", &zone), Some(UnixMillis(1_734_345_045_000)));
        for nonsense in ["", "x", "2024-13-01T00:00", "99999-01-01T00:00"] {
            assert_eq!(parse_input(nonsense, &zone), None, "{nonsense}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (900, "15 min"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (21_600, "6 h"),
            (86_400, "24 h"),
            (90_000, "25 h"),
            (172_800, "2 d"),
            (176_400, "2 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn distances_are_rounded_to_the_smallest_unit_shown() {
        for (seconds, expected) in [
            (0.4, "0 s"),
            (0.6, "1 s"),
            (58.9, "59 s"),
            (59.6, "1 min"),
            (299.7, "5 min"),
            (896.0, "15 min"),
            (3_598.5, "1 h"),
            (3_599.6, "1 h"),
            (5_399.0, "1 h 30 min"),
            (35_999.0, "10 h"),
            (86_397.2, "24 h"),
            (82_800.0, "23 h"),
            (172_795.0, "2 d"),
            (604_798.0, "7 d"),
            (863_999.0, "10 d"),
            (2_591_990.0, "30 d"),
        ] {
            let later = AT + Duration::from_secs_f64(seconds);
            assert_eq!(distance(later, AT), format!("in {expected}"), "{seconds}");
            if seconds > 2.0 {
                assert_eq!(distance(AT, later), format!("{expected} ago"), "{seconds}");
            }
        }
        assert_eq!(distance(AT, AT), "just now");
    }
}
