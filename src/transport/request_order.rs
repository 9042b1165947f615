//! The order of a request's header lines.
//!
//! awc keeps headers in a hash map with a seed of its own, so it would send them in another order each time. RFC 9110,
//! section 7.2, wants `host` first, and a fixed order makes what receivers log comparable. The lines are the same, so a
//! request's head is as long as before, and what the socket took of it is what it took of awc's.

use bytes::{BufMut, BytesMut};

/// The head that begins these bytes with `host` first and the other lines by name; several values of one name stay
/// as they are. Empty when the head's end is not among the bytes.
pub(super) fn in_order(bytes: &[u8]) -> BytesMut {
    let mut ordered = BytesMut::new();
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return ordered };
    let mut lines = bytes[..end + 2].split_inclusive(|&byte| byte == b'\n');
    let request_line = lines.next().unwrap_or_default();
    let mut headers = Vec::with_capacity(32);
    headers.extend(lines);
    headers.sort_by_key(|line| sort_key(line));
    ordered.reserve(end + 4);
    ordered.put_slice(request_line);
    headers.iter().for_each(|line| ordered.put_slice(line));
    ordered.put_slice(b"\r\n");
    ordered
}

fn sort_key(line: &[u8]) -> (bool, &[u8]) {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    (name != b"host", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_comes_first_and_the_rest_by_name_with_equal_names_as_they_were() {
        let sent = "POST /a HTTP/1.1\r\ncontent-length: 2\r\nx-b: 2\r\nx-b: 1\r\nx: y\r\nhost: h\r\na: \r\n\r\n{}\r\n\r\n";
        let expected =
            "POST /a HTTP/1.1\r\nhost: h\r\na: \r\ncontent-length: 2\r\nx: y\r\nx-b: 2\r\nx-b: 1\r\n\r\n";
        assert_eq!(in_order(sent.as_bytes()), expected.as_bytes());
        assert!(in_order(b"POST /a HTTP/1.1\r\na: b\r\n").is_empty());
    }
}
