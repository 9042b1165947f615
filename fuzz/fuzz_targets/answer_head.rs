//! What a receiver sends before its body: no panic; a final head stays one head with one meaning.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use ringback::transport::head::{Head, end_of_head, normalize};

fuzz_target!(|bytes: &[u8]| {
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
});
