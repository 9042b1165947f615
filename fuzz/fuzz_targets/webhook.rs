//! The body that creates or changes a webhook.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| ringback::fuzzing::webhook(body));
