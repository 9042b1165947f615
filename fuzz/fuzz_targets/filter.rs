//! A filter and an event's data.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| ringback::fuzzing::filter(text));
