//! The body of one event, and of a batch.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| ringback::fuzzing::events(body));
