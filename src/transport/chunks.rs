//! Where a chunked body ends (RFC 9112, section 7.1). awc decodes it; this only counts along, so that nothing
//! beyond the end reaches awc.

/// Counts along.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkScanner {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk's size.
    Size(u64),
    /// Behind them, up to the line's end.
    Extension(u64),
    /// In a chunk: so many bytes are left.
    Data(u64),
    /// Behind it: CR, LF.
    DataEnd,
    /// In a line behind the last chunk; whether it is still empty.
    Trailer {
        empty: bool,
    },
    Ended,
    /// No chunked body: awc gives up on it too.
    Broken,
}

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl ChunkScanner {
    /// How many of these bytes belong to the body: all, unless it ends among them.
    pub fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Ended {
            if let State::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
            } else {
                self.state = self.state.after(bytes[at]);
                at += 1;
            }
        }
        at
    }

    /// Whether the whole body was seen.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }
}

impl State {
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

    #[test]
    fn the_body_ends_behind_its_trailers_however_it_is_cut() {
        let bytes = [BODY, b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n"].concat();
        for cut in 0..bytes.len() {
            let mut scanner = ChunkScanner::default();
            let first = scanner.scan(&bytes[..cut]);
            let second = scanner.scan(&bytes[first..]);
            assert_eq!((first + second, scanner.has_ended()), (BODY.len(), true), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_chunked_body_never_ends() {
        for bytes in [&BODY[..BODY.len() - 1], b"5\r\nhello!!\r\n0\r\n\r\n", b"fffffffffffffffff\r\n0\r\n\r\n"] {
            let mut scanner = ChunkScanner::default();
            assert_eq!(scanner.scan(bytes), bytes.len());
            assert!(!scanner.has_ended());
        }
    }

    proptest! {
        #[test]
        fn any_chunks_end_where_they_were_written_to_end(
            chunks in proptest::collection::vec("[\\PC\r\n]{1,40}", 0..5),
            surplus in "\\PC{0,20}",
        ) {
            let mut body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            body.push_str("0\r\n\r\n");
            let mut scanner = ChunkScanner::default();
            prop_assert_eq!(scanner.scan(format!("{body}{surplus}").as_bytes()), body.len());
            prop_assert!(scanner.has_ended());
        }

        #[test]
        fn any_bytes_are_read_alike_however_they_are_cut(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "([0-4]|00|f{15,18}|a;x)?\r?\n?[a\r\n0]{0,12}".prop_map(String::into_bytes),
            ],
            cut in 0usize..80,
        ) {
            let mut whole = ChunkScanner::default();
            let expected = (whole.scan(&bytes), whole.has_ended());
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut parts = ChunkScanner::default();
            let mut seen = parts.scan(first);
            if !parts.has_ended() {
                prop_assert_eq!(seen, first.len());
                seen += parts.scan(second);
            }
            prop_assert_eq!((seen, parts.has_ended()), expected);
        }
    }
}
