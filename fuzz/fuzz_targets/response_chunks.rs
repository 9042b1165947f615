//! A chunked body of a receiver's response.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| ringback::fuzzing::response_chunks(input.0, input.1));
