//! A chunked body that comes in pieces: it ends where it ends in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback::transport::chunks::ChunkScanner;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut whole = ChunkScanner::default();
    let scanned = whole.scan(bytes);
    let expected = ((scanned.chunks, scanned.trailers), whole.has_ended());
    let mut scanner = ChunkScanner::default();
    let mut seen = (0, 0);
    for part in bytes.chunks(usize::from(piece) + 1) {
        if !scanner.has_ended() {
            let scanned = scanner.scan(part);
            seen = (seen.0 + scanned.chunks, seen.1 + scanned.trailers);
        }
    }
    assert_eq!((seen, scanner.has_ended()), expected);
});
