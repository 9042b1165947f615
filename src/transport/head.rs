//! An answer's head, made harmless before awc parses it.
//!
//! awc's parser takes a 1xx head for the final one, knows no body that ends with the connection in HTTP/1.1,
//! gives up at 97 headers, and refuses a head for a length or coding that it does not like. The contract says that
//! the head's status decides. So the status line and the framing are read here, and the head is rewritten until
//! awc reads it the same way.

use bytes::BytesMut;

/// awc's parser refuses a head with more.
const MAX_PARSED_HEADERS: usize = 96;
/// How many of them may be of no interest; the rest is for framing and `retry-after`.
const KEPT_HEADERS: usize = 80;

/// Stands in for the first letter of a framing header that awc must not see.
const MASK: u8 = b'~';

/// How the body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What a complete head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// 1xx: another head follows.
    Interim,
    /// The answer.
    Final {
        /// How its body ends.
        framing: Framing,
        /// Whether another request may be sent on this connection.
        reusable: bool,
    },
    /// Not an answer that we accept: no HTTP/1.x status line, or 101.
    Refused,
}

/// Where the head that begins at 0 ends, if it is complete. Everything before `from` was searched before.
pub fn end_of_head(buffer: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(2);
    while let Some(offset) = buffer.get(at..)?.iter().position(|&byte| byte == b'\n') {
        at += offset + 1;
        match buffer.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Whether these first bytes can become a status line; false ends an HTTP/0.9 answer at once.
pub fn begins_like_http(buffer: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let seen = buffer.len().min(start.len());
    buffer[..seen] == start[..seen]
}

/// Reads a complete head and rewrites it for awc.
pub fn normalize(head: &mut BytesMut) -> Head {
    let Some(status) = status_code(head) else { return Head::Refused };
    match status {
        101 => return Head::Refused,
        100..=199 => return Head::Interim,
        _ => {}
    }
    blank_controls(head);
    let lines = header_lines(head);
    let framing = Fields::read(head, &lines).settle(head, status);
    if lines.len() > MAX_PARSED_HEADERS {
        drop_excess(head, &lines);
    }
    framing
}

/// The name as the receiver sent it, if it was masked.
pub fn unmasked(name: &str) -> &str {
    match name {
        "~ontent-length" => "content-length",
        "~ransfer-encoding" => "transfer-encoding",
        other => other,
    }
}

/// `HTTP/1.x NNN`, then a space or the end of the line.
fn status_code(head: &[u8]) -> Option<u16> {
    match head {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b' ' | b'\r' | b'\n',
            ..,
        ] => Some([a, b, c].iter().fold(0, |sum, &&digit| sum * 10 + u16::from(digit - b'0'))),
        _ => None,
    }
}

/// Replaces control characters by spaces (RFC 9110, section 5.5), and then the ends of folded lines (RFC 9112, section 5.2): a
/// line that began with a control character is one of these.
fn blank_controls(head: &mut BytesMut) {
    for at in 0..head.len() {
        let blank = match head[at] {
            b'\t' | b'\n' => false,
            b'\r' => head.get(at + 1) != Some(&b'\n'),
            byte => byte.is_ascii_control(),
        };
        if blank {
            head[at] = b' ';
        }
    }
    for at in 0..head.len() {
        if head[at] != b'\n' || !matches!(head.get(at + 1), Some(b' ' | b'\t')) {
            continue;
        }
        head[at] = b' ';
        if at > 0 && head[at - 1] == b'\r' {
            head[at - 1] = b' ';
        }
    }
}

/// Start and end of each header line, the line's end excluded.
fn header_lines(head: &[u8]) -> Vec<(usize, usize)> {
    let mut lines = Vec::with_capacity(16);
    let mut start = 0;
    for (at, _) in head.iter().enumerate().filter(|&(_, &byte)| byte == b'\n') {
        let end = if at > start && head[at - 1] == b'\r' { at - 1 } else { at };
        // the first line is the status line, the last one is empty
        if start > 0 && end > start {
            lines.push((start, end));
        }
        start = at + 1;
    }
    lines
}

/// Splits a line at its colon; blanks around both parts do not count.
fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// What the head says about framing.
#[derive(Default)]
struct Fields {
    /// Where the lines begin.
    lengths: Vec<usize>,
    codings: Vec<usize>,
    /// The only length that is given, unless two differ or one is no number.
    length: Option<u64>,
    bad_length: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn read(head: &[u8], lines: &[(usize, usize)]) -> Self {
        let mut fields = Self::default();
        for &(start, end) in lines {
            let Some((name, value)) = name_and_value(&head[start..end]) else { continue };
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = parse_length(value);
                fields.bad_length |= length.is_none() || fields.length.is_some_and(|other| length != Some(other));
                fields.length = fields.length.or(length);
                fields.lengths.push(start);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                fields.chunked = value.eq_ignore_ascii_case(b"chunked");
                fields.codings.push(start);
            } else if name.eq_ignore_ascii_case(b"connection") {
                let has = |token: &[u8]| {
                    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
                };
                fields.close |= has(b"close");
                fields.keep_alive |= has(b"keep-alive");
            }
        }
        fields
    }

    /// Decides, and masks what would make awc decide otherwise.
    fn settle(self, head: &mut BytesMut, status: u16) -> Head {
        let is_1_1 = head[7] == b'1';
        let persistent = !self.close && (is_1_1 || self.keep_alive);
        let mask = |head: &mut BytesMut, lines: &[usize]| {
            for &line in lines {
                head[line] = MASK;
            }
        };
        if matches!(status, 204 | 304) {
            mask(head, &self.lengths);
            mask(head, &self.codings);
            head[7] = b'1';
            return Head::Final { framing: Framing::Length(0), reusable: persistent };
        }
        if !self.codings.is_empty() {
            mask(head, &self.lengths);
            if self.chunked && self.codings.len() == 1 && is_1_1 {
                // both a length and a coding: an attempt to smuggle (RFC 9112, section 6.3)
                return Head::Final { framing: Framing::Chunked, reusable: persistent && self.lengths.is_empty() };
            }
            mask(head, &self.codings);
        } else if let (Some(length), false) = (self.length, self.bad_length) {
            mask(head, &self.lengths[1..]);
            // awc waits for the end of the connection when HTTP/1.0 says that there is no body
            head[7] = b'1';
            return Head::Final { framing: Framing::Length(length), reusable: persistent };
        }
        mask(head, &self.lengths);
        // awc reads until the connection closes only for HTTP/1.0
        head[7] = b'0';
        Head::Final { framing: Framing::UntilClose, reusable: false }
    }
}

/// `1*DIGIT` (RFC 9110, section 8.6). Equal values in one list are one value.
fn parse_length(value: &[u8]) -> Option<u64> {
    let mut parts = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let first = parts.next()?;
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit) && parts.next().is_none();
    if !is_number {
        return None;
    }
    std::str::from_utf8(first).ok()?.parse().ok()
}

/// Cuts headers of no interest until awc's parser takes the head.
fn drop_excess(head: &mut BytesMut, lines: &[(usize, usize)]) {
    let Some(&(first, _)) = lines.first() else { return };
    let mut shorter = BytesMut::with_capacity(head.len());
    shorter.extend_from_slice(&head[..first]);
    let mut kept = 0;
    for &(start, end) in lines {
        let line = &head[start..end];
        let matters = name_and_value(line).is_some_and(|(name, _)| {
            [&b"content-length"[..], b"transfer-encoding", b"connection", b"retry-after"]
                .iter()
                .any(|wanted| name.eq_ignore_ascii_case(wanted))
        });
        let is_kept = if matters { kept < MAX_PARSED_HEADERS } else { kept < KEPT_HEADERS };
        if is_kept {
            shorter.extend_from_slice(line);
            shorter.extend_from_slice(b"\r\n");
            kept += 1;
        }
    }
    shorter.extend_from_slice(b"\r\n");
    *head = shorter;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalized(text: &str) -> (Head, String) {
        let mut head = BytesMut::from(text.as_bytes());
        let result = normalize(&mut head);
        (result, String::from_utf8_lossy(&head).into_owned())
    }

    fn settled(text: &str) -> Head {
        normalized(text).0
    }

    const fn length(length: u64, reusable: bool) -> Head {
        Head::Final { framing: Framing::Length(length), reusable }
    }

    const UNTIL_CLOSE: Head = Head::Final { framing: Framing::UntilClose, reusable: false };

    #[test]
    fn a_head_ends_at_the_first_empty_line_however_it_is_cut() {
        let text = b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody\r\n\r\n";
        for from in 0..24 {
            assert_eq!(end_of_head(text, from), Some(25), "{from}");
        }
        assert_eq!(end_of_head(&text[..24], 0), None);
        assert_eq!(end_of_head(b"HTTP/1.1 200 OK\n\nx", 0), Some(17));
        assert_eq!(end_of_head(b"", 0), None);
    }

    #[test]
    fn framing_is_read_as_rfc_9112_says() {
        assert_eq!(settled("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"), length(5, true));
        assert_eq!(settled("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"), length(5, false));
        assert_eq!(settled("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n"), length(5, false));
        assert_eq!(settled("HTTP/1.0 200\ncontent-length: 5\nconnection: x, Keep-Alive\n\n"), length(5, true));
        let chunked = |reusable| Head::Final { framing: Framing::Chunked, reusable };
        assert_eq!(settled("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"), chunked(true));
        assert_eq!(
            settled("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n"),
            chunked(false)
        );
        assert_eq!(settled("HTTP/1.1 200 OK\r\n\r\n"), UNTIL_CLOSE);
        for status in [204, 304] {
            assert_eq!(settled(&format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\n")), length(0, true));
        }
    }

    #[test]
    fn framing_that_makes_no_sense_lasts_until_the_connection_closes_and_is_hidden_from_awc() {
        for fields in [
            "content-length: abc",
            "content-length: -1",
            "content-length: +1",
            "content-length: 99999999999999999999",
            "content-length: 5\r\ncontent-length: 6",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: identity\r\ncontent-length: 5",
        ] {
            let (result, head) = normalized(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
            assert_eq!(result, UNTIL_CLOSE, "{fields}");
            assert!(head.starts_with("HTTP/1.0 "), "{head}");
            assert!(!head.contains("\ncontent-length") && !head.contains("\ntransfer-encoding"), "{head}");
        }
    }

    #[test]
    fn interim_heads_are_told_from_answers_and_101_is_refused() {
        assert_eq!(settled("HTTP/1.1 100 Continue\r\n\r\n"), Head::Interim);
        assert_eq!(settled("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"), Head::Interim);
        assert_eq!(settled("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"), Head::Refused);
        for text in ["HTTP/1.1 2000 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(settled(text), Head::Refused, "{text}");
        }
    }

    #[test]
    fn control_characters_and_folded_lines_become_spaces() {
        let (_, head) = normalized("HTTP/1.1 200 OK\r\na: b\0c\x1b\td\r\n e\r\n\r\n");
        assert_eq!(head, "HTTP/1.0 200 OK\r\na: b c \td   e\r\n\r\n");
        let (_, head) = normalized("HTTP/1.1 200 OK\r\na: b\n\0c\r\n\rd: e\r\n\r\n");
        assert_eq!(
            head, "HTTP/1.0 200 OK\r\na: b  c   d: e\r\n\r\n",
            "awc takes no line that begins with a space"
        );
    }

    #[test]
    fn of_too_many_headers_those_that_matter_stay() {
        let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
        let (result, head) =
            normalized(&format!("HTTP/1.1 503 x\r\n{many}retry-after: 7\r\ncontent-length: 3\r\n\r\n"));
        assert_eq!(result, length(3, true));
        assert!(head.matches("\r\n").count() <= 2 + MAX_PARSED_HEADERS);
        assert!(head.ends_with("retry-after: 7\r\ncontent-length: 3\r\n\r\n"));
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
            prop_assert!(header_lines(&head).len() <= MAX_PARSED_HEADERS);
            prop_assert!(!reusable || framing != Framing::UntilClose);
            let mut again = head.clone();
            let repeated = normalize(&mut again);
            prop_assert!(matches!(repeated, Head::Final { framing: same, .. } if same == framing), "{:?}", repeated);
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
}
