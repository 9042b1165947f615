//! A Retry-After: no panic, and never earlier than now nor later than in a day.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringback::domain::retry::parse_retry_after;
use ringback::domain::time::UnixMillis;

fuzz_target!(|input: (u32, &str)| {
    let (seconds, text) = input;
    let now = UnixMillis(i64::from(seconds) * 1000);
    if let Some(at) = parse_retry_after(text, now) {
        assert!(at >= now && at <= now + Duration::from_secs(86_400));
    }
});
