//! The order of a request's header lines.
//!
//! awc keeps headers in a hash map with a random seed, so it would send them in a different order each time. RFC 9110,
//! section 7.2, recommends `host` first, and a fixed order makes receivers' logs comparable. The lines are the same, so the
//! head keeps its length, and a number of bytes sent means the same for both orders.

use bytes::{BufMut, BytesMut};
use memchr::memchr;

/// Up to this many bytes after a head are copied, so that both are sent by one plain `send`: gathering them costs the
/// system more. Larger: the copy costs more than that saves.
const COPIED_BYTES: usize = 4096;

/// The head at the beginning of `bytes` with `host` first and the other lines by name, several values of one name in their
/// order, followed by a short body. Empty when the end of the head is not in `bytes`.
pub(super) fn in_order(bytes: &[u8]) -> BytesMut {
    let (mut headers, mut first, mut end) = (Vec::with_capacity(32), 0, 0);
    let mut at = 0;
    while let Some(length) = memchr(b'\n', &bytes[at..]) {
        let line = &bytes[at..=at + length];
        at += line.len();
        if first == 0 {
            first = at;
        } else if line == b"\r\n" {
            end = at;
            break;
        } else {
            let name = &line[..memchr(b':', line).unwrap_or(line.len())];
            headers.push((name != b"host", name, line));
        }
    }
    // stable
    headers.sort_by(|(is_later, name, _), other| (is_later, name).cmp(&(&other.0, &other.1)));
    let behind = &bytes[end..];
    let copied = if behind.len() <= COPIED_BYTES { behind } else { &[] };
    let mut ordered = BytesMut::with_capacity(end + copied.len());
    if end > 0 {
        ordered.put_slice(&bytes[..first]);
        headers.iter().for_each(|(_, _, line)| ordered.put_slice(line));
        ordered.put_slice(b"\r\n");
        ordered.put_slice(copied);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_comes_first_and_the_rest_by_name_with_equal_names_as_they_were() {
        let sent = "POST /a HTTP/1.1\r\ncontent-length: 2\r\nx-b: 2\r\nx-b: 1\r\nx: y\r\nhost: h\r\na: \r\n\r\n{}\r\n\r\n";
        let expected =
            "POST /a HTTP/1.1\r\nhost: h\r\na: \r\ncontent-length: 2\r\nx: y\r\nx-b: 2\r\nx-b: 1\r\n\r\n";
        assert_eq!(in_order(sent.as_bytes()), format!("{expected}{{}}\r\n\r\n").as_bytes());
        let long = format!("{sent}{}", "x".repeat(COPIED_BYTES));
        assert_eq!(in_order(long.as_bytes()), expected.as_bytes(), "what is long is not copied");
        assert!(in_order(b"POST /a HTTP/1.1\r\na: b\r\n").is_empty());
    }
}
