//! Finds where a chunked body ends (RFC 9112, section 7.1). awc decodes the body; this scanner follows along, so that
//! nothing beyond the end reaches awc.
//!
//! Trailers don't reach awc either: it does not accept trailer lines that end with LF alone, and would wait for an end
//! that has already come.

/// Replaces any trailers after the last chunk.
pub(crate) const NO_TRAILERS: &[u8] = b"\r\n";

/// How the next bytes divide; the remaining ones lie beyond the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Bytes of chunks, with their sizes and line ends.
    pub chunks: usize,
    /// Bytes of trailers after them, with the empty line that ends the body.
    pub trailers: usize,
}

/// Scans a chunked body that arrives in pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChunkScanner {
    state: ScanState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    /// In the digits of a chunk's size, read so far.
    Size(u64),
    /// After the digits, up to the end of the line.
    Extension(u64),
    /// In a chunk with this many bytes left.
    Data(u64),
    /// In the CR LF after a chunk.
    DataEnd,
    /// In a line after the last chunk.
    Trailer {
        empty: bool,
    },
    Ended,
    /// Not a chunked body: awc rejects it too.
    Broken,
}

impl Default for ScanState {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl ChunkScanner {
    /// Scans the next bytes. All of them belong to the body, unless it ends among them.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let (mut at, mut trailers) = (0, 0);
        while at < bytes.len() && self.state != ScanState::Ended {
            trailers += usize::from(matches!(self.state, ScanState::Trailer { .. }));
            if let ScanState::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { ScanState::DataEnd } else { ScanState::Data(left) };
            } else {
                self.state = self.state.after(bytes[at]);
                at += 1;
            }
        }
        Scanned { chunks: at - trailers, trailers }
    }

    /// Whether the whole body was seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == ScanState::Ended
    }
}

impl ScanState {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer { empty: true },
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size),
            (Self::Size(size), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                size.checked_mul(16).and_then(|size| size.checked_add(digit)).map_or(Self::Broken, Self::Size)
            }
            (Self::Size(size) | Self::Extension(size), _) => Self::Extension(size),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::Trailer { empty: true }, b'\n') => Self::Ended,
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { empty }, b'\r') => Self::Trailer { empty },
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            (Self::Ended, _) => Self::Ended,
            (Self::DataEnd | Self::Broken | Self::Data(_), _) => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\nA;x=\"y\"\r\n0\r\n\r\n56789\r\n000\r\ntrailer: x\r\n\r\n";

    /// Where the body ends among these bytes, which arrive in pieces cut at these places.
    fn end(bytes: &[u8], cuts: &[usize]) -> (Scanned, bool) {
        let mut scanner = ChunkScanner::default();
        let mut sum = Scanned { chunks: 0, trailers: 0 };
        let mut from = 0;
        for &to in cuts.iter().chain([&bytes.len()]) {
            if !scanner.has_ended() {
                let part = scanner.scan(&bytes[from..to]);
                sum = Scanned { chunks: sum.chunks + part.chunks, trailers: sum.trailers + part.trailers };
            }
            from = to;
        }
        (sum, scanner.has_ended())
    }

    #[test]
    fn the_body_ends_after_its_trailers_wherever_it_is_cut() {
        let bytes = [BODY, b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n"].concat();
        let trailers = "trailer: x\r\n\r\n".len();
        for cut in 0..bytes.len() {
            let expected = Scanned { chunks: BODY.len() - trailers, trailers };
            assert_eq!(end(&bytes, &[cut]), (expected, true), "cut at {cut}");
        }
    }

    #[test]
    fn trailers_end_with_an_empty_line_whatever_they_contain() {
        for trailers in ["\r\n", "\n", "a: b\n\r\n", "no colon\r\n\0: \r x\n\n", "\r\r\n"] {
            let body = format!("2\r\nok\r\n0\r\n{trailers}");
            let expected = Scanned { chunks: body.len() - trailers.len(), trailers: trailers.len() };
            assert_eq!(end(format!("{body}surplus").as_bytes(), &[]), (expected, true), "{trailers:?}");
        }
    }

    #[test]
    fn a_truncated_or_malformed_body_never_ends() {
        for bytes in [&BODY[..BODY.len() - 1], b"5\r\nhello!!\r\n0\r\n\r\n", b"fffffffffffffffff\r\n0\r\n\r\n"] {
            let (scanned, has_ended) = end(bytes, &[]);
            assert_eq!((scanned.chunks + scanned.trailers, has_ended), (bytes.len(), false));
        }
    }

    proptest! {
        #[test]
        fn any_chunks_end_where_they_were_written_to_end(
            chunks in proptest::collection::vec("[\\PC\r\n]{1,40}", 0..5),
            surplus in "\\PC{0,20}",
        ) {
            let mut body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            body.push_str("0\r\n");
            let expected = Scanned { chunks: body.len(), trailers: 2 };
            prop_assert_eq!(end(format!("{body}\r\n{surplus}").as_bytes(), &[]), (expected, true));
        }

        #[test]
        fn any_bytes_are_read_the_same_way_wherever_they_are_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "([0-4]|00|f{15,18}|a;x)?\r?\n?[a\r\n0]{0,12}".prop_map(String::into_bytes),
            ],
            cut in 0usize..80,
        ) {
            prop_assert_eq!(end(&bytes, &[cut.min(bytes.len())]), end(&bytes, &[]));
        }
    }
}
