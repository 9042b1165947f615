//! Any head at all, through [`normalize`] and through the parser that awc has.

use actix_codec::Decoder;
use actix_http::h1::{ClientCodec, MessageType};
use awc::http::header::HeaderValue;
use bytes::BytesMut;
use proptest::prelude::*;

use super::head::{Framing, Head, end_of_head, normalize, say_close};

/// What awc's parser makes of a normalized head: the status and the values of `retry-after`.
fn parsed(head: &BytesMut) -> Result<(u16, Vec<String>), String> {
    // the codec has a clock, which is a local task
    let runtime = actix_rt::Runtime::new().map_err(|error| error.to_string())?;
    let mut head = head.clone();
    runtime.block_on(async {
        let mut codec = ClientCodec::default();
        let answer = codec.decode(&mut head).map_err(|error| error.to_string())?.ok_or("more is wanted")?;
        if !head.is_empty() || matches!(codec.message_type(), MessageType::Stream) {
            return Err(format!("left: {head:?}"));
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok((answer.status.as_u16(), answer.headers.get_all("retry-after").map(text).collect()))
    })
}

/// Bytes of a line, often with what lines are made of.
fn odd_line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..12),
        prop_oneof![
            Just(": "),
            Just(":"),
            Just(" "),
            Just("\t"),
            Just("\0"),
            Just("\x7f"),
            Just("host"),
            Just("upgrade"),
            Just("content-length"),
            Just("HTTP/1.1 200 OK"),
            Just("<p>"),
            Just("é"),
            Just("x-a"),
            Just("expect")
        ]
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 1..8)
        .prop_map(|pieces| pieces.concat().into_iter().filter(|byte| !b"\r\n".contains(byte)).collect::<Vec<u8>>())
}

/// Whether this is a header that may rightly change what the head means.
fn is_about_framing(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii();
    [&b"content-length"[..], b"transfer-encoding", b"connection", b"retry-after"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Header lines that look like those that matter, and others.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("content-length"),
        Just("Transfer-Encoding"),
        Just("connection"),
        Just("retry-after"),
        Just("x"),
        Just(" content-length")
    ];
    let value = "[0-9]{1,20}|chunked|gzip, chunked|close|keep-alive|[\\x00-\\x7f]{0,20}";
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\n "), 1 => Just("\r")];
    let line = (name, value, end).prop_map(|(name, value, end)| format!("{name}: {value}{end}").into_bytes());
    let noise = proptest::collection::vec(proptest::num::u8::ANY, 0..40);
    proptest::collection::vec(prop_oneof![5 => line, 1 => noise], 0..120).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn a_rewritten_head_is_one_head_and_means_what_it_meant(
        version in "HTTP/1\\.[01]", status in 100u16..=599, lines in lines(),
    ) {
        let mut head = BytesMut::from(format!("{version} {status} x\r\n").as_bytes());
        head.extend_from_slice(&lines);
        head.extend_from_slice(b"\r\n\r\n");
        let end = end_of_head(&head, 0).unwrap();
        head.truncate(end);
        let (framing, reusable) = match normalize(&mut head) {
            Head::Final { framing, reusable } => (framing, reusable),
            other => {
                prop_assert!(status < 200, "{:?}", other);
                return Ok(());
            }
        };
        prop_assert_eq!(end_of_head(&head, 0), Some(head.len()), "one head");
        prop_assert!(head.iter().all(|&byte| !byte.is_ascii_control() || b"\r\n\t".contains(&byte)));
        prop_assert!(!reusable || framing != Framing::UntilClose);
        prop_assert_eq!(parsed(&head).map(|(status, _)| status), Ok(status));
        let mut closing = head.clone();
        say_close(&mut closing);
        prop_assert_eq!(parsed(&closing).map(|(status, _)| status), Ok(status));
        let mut again = head.clone();
        let repeated = normalize(&mut again);
        prop_assert!(matches!(repeated, Head::Final { framing: same, .. } if same == framing), "{:?}", repeated);
    }

    #[test]
    fn a_line_of_any_bytes_in_a_good_head_changes_neither_its_status_nor_when_it_wants_to_be_asked_again(
        status in prop_oneof![Just(200u16), Just(410), Just(429), Just(503), 200u16..=599],
        end in prop_oneof![Just("\r\n"), Just("\n")],
        framing in prop_oneof![Just("content-length: 5"), Just("transfer-encoding: chunked"), Just("x: y")],
        odd in odd_line().prop_filter("a line", |line| !line.is_empty() && !is_about_framing(line)),
        others in 0usize..100, place in any::<proptest::sample::Index>(),
    ) {
        let mut lines: Vec<Vec<u8>> = vec![b"retry-after: 120".to_vec(), framing.into(), b"Connection: keep-alive".to_vec()];
        lines.extend((0..others).map(|number| format!("x-{number}: y").into_bytes()));
        let written = |lines: &[Vec<u8>]| {
            let mut head = BytesMut::from(format!("HTTP/1.1 {status} x{end}").as_bytes());
            for line in lines {
                head.extend_from_slice(&[line, end.as_bytes()].concat());
            }
            head.extend_from_slice(end.as_bytes());
            head
        };
        let mut good = written(&lines);
        let Head::Final { framing: expected, .. } = normalize(&mut good) else { panic!("a good head") };
        lines.insert(place.index(lines.len() + 1), odd);
        let mut head = written(&lines);
        prop_assert_eq!(end_of_head(&head, 0), Some(head.len()));
        let result = normalize(&mut head);
        prop_assert!(matches!(result, Head::Final { framing, .. } if framing == expected), "{:?}", result);
        prop_assert_eq!(parsed(&head), Ok((status, vec!["120".to_owned()])));
    }

    #[test]
    fn a_head_ends_at_one_place_whatever_was_searched_before(bytes in "[\r\na]{0,12}", from in 0usize..12) {
        let bytes = bytes.as_bytes();
        let end = end_of_head(bytes, 0);
        // what was searched holds no end
        if end.is_none_or(|end| end > from) {
            prop_assert_eq!(end_of_head(bytes, from.min(bytes.len())), end);
        }
    }
}
