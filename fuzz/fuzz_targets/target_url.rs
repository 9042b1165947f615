//! The URL of a webhook.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| ringback::fuzzing::target_url(text));
