//! A filter, a newline, an event's data: neither panics, and a filter reads back from its source.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback::domain::filter::Filter;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let (source, data) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(source) = serde_json::from_str(source) else { return };
    let Ok(filter) = Filter::parse(&source) else { return };
    let again = Filter::parse(filter.source()).expect("what was accepted is accepted again");
    let Ok(data) = serde_json::from_str::<&RawValue>(data) else { return };
    assert_eq!(filter.matches(data), again.matches(data));
});
