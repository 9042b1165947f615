//! What a receiver sends before its body: no panic; a final head stays one head with one meaning; a line that is no
//! header changes nothing.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ringback::transport::head::{Framing, Head, end_of_head, normalize};

fuzz_target!(|input: (u8, &[u8])| {
    let (place, bytes) = input;
    any_head(bytes);
    odd_line(place, bytes);
});

fn any_head(bytes: &[u8]) {
    // without a status line there is little to see
    for start in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 503\n"] {
        let mut head = BytesMut::from(start.as_bytes());
        head.extend_from_slice(bytes);
        head.extend_from_slice(b"\r\n\r\n");
        let end = end_of_head(&head, 0).expect("its end was appended");
        head.truncate(end);
        let Head::Final { framing, .. } = normalize(&mut head) else { continue };
        assert_eq!(end_of_head(&head, 0), Some(head.len()));
        assert!(head.iter().all(|&byte| !byte.is_ascii_control() || b"\r\n\t".contains(&byte)));
        let repeated = normalize(&mut head);
        assert!(matches!(repeated, Head::Final { framing: same, .. } if same == framing), "{repeated:?}");
    }
}

fn odd_line(place: u8, bytes: &[u8]) {
    let odd: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    let name = odd.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let decides =
        [&b"content-length"[..], b"transfer-encoding", b"connection", b"retry-after"].contains(&&name[..]);
    if odd.is_empty() || decides {
        return;
    }
    let mut lines = vec![&b"retry-after: 120"[..], b"content-length: 5", b"x: y"];
    lines.insert(usize::from(place) % 4, &odd);
    let mut head = BytesMut::from(&b"HTTP/1.1 429 x\r\n"[..]);
    head.extend_from_slice(&lines.join(&b"\r\n"[..]));
    head.extend_from_slice(b"\r\n\r\n");
    let result = normalize(&mut head);
    assert!(matches!(result, Head::Final { framing, .. } if framing == Framing::Length(5)), "{result:?}");
    let is_kept = |line: &[u8]| head[..].split(|&byte| byte == b'\n').any(|kept| kept.trim_ascii_end() == line);
    assert!(head.starts_with(b"HTTP/1.1 429 ") && is_kept(b"retry-after: 120") && is_kept(b"content-length: 5"));
}
