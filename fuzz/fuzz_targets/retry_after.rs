//! A `Retry-After` header.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &str)| ringback::fuzzing::retry_after(input.0, input.1));
