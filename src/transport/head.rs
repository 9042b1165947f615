//! A response's head, made harmless before awc parses it.
//!
//! awc's parser takes a 1xx head as the final one, does not support a body that ends with the connection in HTTP/1.1,
//! fails at 97 headers, at an invalid line, at a second `host`, and refuses a head for a length or coding that it does not
//! accept. The contract says that the head's status decides. So the status line and the framing are read here, and the
//! head is rewritten so that awc reads it the same way.
//!
//! A head in which anything had to be dropped or blanked counts, but its connection is not reused. A proxy between this
//! engine and the receiver may have understood the odd line (`content-length 5`, `transfer encoding: chunked`): it would
//! see the end of the response elsewhere, and the bytes after it could pass for the response to another tenant's request
//! to the same host. A new connection costs such a receiver one handshake.

use bytes::{Buf, BufMut, BytesMut};

use super::header_lines::{HeaderLine, tidy};

/// awc's parser refuses a head with more headers.
const MAX_PARSED_HEADERS: usize = 96;
/// If there are more headers than awc accepts, this many are kept for the log.
const KEPT_HEADERS: usize = 80;
/// Values of `retry-after` that are kept in that case; the first one counts.
const KEPT_RETRY_AFTER: usize = 8;

/// Replaces the first letter of a header that awc must not see.
const MASK: u8 = b'~';

/// How the body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The meaning of a complete head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// 1xx: another head follows.
    Interim,
    /// The head of the response.
    Final {
        /// How its body ends.
        framing: Framing,
        /// Whether another request may be sent on this connection.
        reusable: bool,
    },
    /// Not an acceptable response: no HTTP/1.x status line, or 101.
    Refused,
}

/// Where the head that begins at 0 ends, if it is complete. Bytes before `from` were already searched.
pub(crate) fn end_of_head(buffer: &[u8], from: usize) -> Option<usize> {
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

/// Whether these first bytes can become a status line; false ends an HTTP/0.9 response at once.
pub(crate) fn begins_like_http(buffer: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let seen = buffer.len().min(start.len());
    buffer[..seen].eq_ignore_ascii_case(&start[..seen])
}

/// Reads a complete head and rewrites it for awc.
pub(crate) fn normalize(head: &mut BytesMut) -> Head {
    let Some(status_line) = StatusLine::read(head) else { return Head::Refused };
    match status_line.code {
        101 => return Head::Refused,
        100..=199 => return Head::Interim,
        _ => {}
    }
    let is_canonical = status_line.rewrite(head);
    let tidied = tidy(head);
    let framing =
        HeadFields::read(head, &tidied.lines).settle(head, status_line.code, tidied.is_plain && is_canonical);
    // one less than the parser takes: `say_close` may add one
    if tidied.lines.len() >= MAX_PARSED_HEADERS {
        shorten(head, &tidied.lines);
    }
    framing
}

/// Makes awc close the connection after this response. The receiver's own `connection` header is masked.
pub(crate) fn say_close(head: &mut BytesMut) {
    let without_end =
        head.strip_suffix(b"\r\n").or_else(|| head.strip_suffix(b"\n")).map_or(head.len(), <[u8]>::len);
    head.truncate(without_end);
    head.put_slice(b"connection: close\r\n\r\n");
}

/// The name as the receiver sent it, if it was masked; `None` for the header that [`say_close`] added.
pub(crate) fn unmasked(name: &str) -> Option<&str> {
    match name {
        "~ontent-length" => Some("content-length"),
        "~ransfer-encoding" => Some("transfer-encoding"),
        "~onnection" => Some("connection"),
        "~pgrade" => Some("upgrade"),
        "~ost" => Some("host"),
        "connection" => None,
        other => Some(other),
    }
}

/// `HTTP/1.x NNN`, then a space or the end of the line.
#[derive(Debug, Clone, Copy)]
struct StatusLine {
    code: u16,
    /// Where the code begins.
    at: usize,
}

impl StatusLine {
    /// Accepts any white space around the code, any minor version, and the protocol's name in any case (RFC 9112, sections
    /// 2.3 and 4, allow a recipient to be this lenient). Control characters count as white space.
    fn read(head: &[u8]) -> Option<Self> {
        let line = head.split(|&byte| byte == b'\n').next()?;
        let is_blank = |byte: u8| byte == b' ' || byte.is_ascii_control();
        if line.len() < 8 || !begins_like_http(line) || !line[7].is_ascii_digit() {
            return None;
        }
        let at = 8 + line[8..].iter().take_while(|&&byte| is_blank(byte)).count();
        let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = &line[at..] else { return None };
        let is_separate = at > 8 && rest.first().is_none_or(|&byte| is_blank(byte));
        let code = [a, b, c].iter().fold(0, |sum, &&digit| sum * 10 + u16::from(digit - b'0'));
        is_separate.then_some(Self { code, at })
    }

    /// Rewrites the line to `HTTP/1.x NNN`, the reason unchanged; returns whether it already had that form.
    fn rewrite(self, head: &mut BytesMut) -> bool {
        let version = if head[7] == b'0' { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
        let start = self.at - version.len();
        let is_canonical = start == 0 && head.starts_with(version) && head.get(self.at + 3) != Some(&b'\t');
        head.advance(start);
        head[..version.len()].copy_from_slice(version);
        if let Some(behind @ b'\t') = head.get_mut(version.len() + 3) {
            *behind = b' ';
        }
        is_canonical
    }
}

/// The headers about framing.
#[derive(Default)]
struct HeadFields {
    /// Where their lines begin.
    lengths: Vec<usize>,
    codings: Vec<usize>,
    /// Where the lines begin that awc must never see.
    hidden: Vec<usize>,
    /// The length, if there is one; see `bad_length`.
    length: Option<u64>,
    bad_length: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl HeadFields {
    fn read(head: &[u8], lines: &[HeaderLine]) -> Self {
        let mut fields = Self::default();
        for &line in lines {
            let (name, value) = (line.name(head), line.value(head));
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = parse_length(value);
                fields.bad_length |= length.is_none() || fields.length.is_some_and(|other| length != Some(other));
                fields.length = fields.length.or(length);
                fields.lengths.push(line.start);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                fields.chunked = value.eq_ignore_ascii_case(b"chunked");
                fields.codings.push(line.start);
            } else if name.eq_ignore_ascii_case(b"connection") {
                let has = |token: &[u8]| {
                    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
                };
                fields.close |= has(b"close");
                fields.keep_alive |= has(b"keep-alive");
                fields.hidden.push(line.start);
            } else if name.eq_ignore_ascii_case(b"upgrade") || name.eq_ignore_ascii_case(b"host") {
                // with `upgrade`, awc skips the body; a second `host` makes it refuse the head
                fields.hidden.push(line.start);
            }
        }
        fields
    }

    /// Decides how the body ends, and masks headers that would make awc decide otherwise.
    fn settle(self, head: &mut BytesMut, status: u16, is_plain: bool) -> Head {
        let is_1_1 = head[7] == b'1';
        let persistent = is_plain && !self.close && (is_1_1 || self.keep_alive);
        let mask = |head: &mut BytesMut, lines: &[usize]| {
            for &line in lines {
                head[line] = MASK;
            }
        };
        mask(head, &self.hidden);
        if matches!(status, 204 | 304) {
            mask(head, &self.lengths);
            mask(head, &self.codings);
            head[7] = b'1';
            return Head::Final { framing: Framing::Length(0), reusable: persistent };
        }
        if !self.codings.is_empty() {
            mask(head, &self.lengths);
            if self.chunked && self.codings.len() == 1 && is_1_1 {
                // both a length and a coding: possibly response smuggling (RFC 9112, section 6.3)
                return Head::Final { framing: Framing::Chunked, reusable: persistent && self.lengths.is_empty() };
            }
            mask(head, &self.codings);
        } else if let (Some(length), false) = (self.length, self.bad_length) {
            mask(head, &self.lengths[1..]);
            // for HTTP/1.0 with a length of 0, awc waits for the end of the connection
            head[7] = b'1';
            return Head::Final { framing: Framing::Length(length), reusable: persistent };
        }
        mask(head, &self.lengths);
        // awc reads until the connection closes only for HTTP/1.0
        head[7] = b'0';
        Head::Final { framing: Framing::UntilClose, reusable: false }
    }
}

/// `1*DIGIT` (RFC 9110, section 8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Drops unimportant headers until awc's parser accepts the head. All but one of those for framing are masked by now.
fn shorten(head: &mut BytesMut, lines: &[HeaderLine]) {
    let Some(first) = lines.first() else { return };
    let mut shorter = BytesMut::with_capacity(head.len());
    shorter.put_slice(&head[..first.start]);
    let (mut retry_after, mut others) = (0, 0);
    for &line in lines {
        let name = line.name(head);
        let (kept, most) = if name.eq_ignore_ascii_case(b"retry-after") {
            (&mut retry_after, KEPT_RETRY_AFTER)
        } else if [&b"content-length"[..], b"transfer-encoding"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            (&mut 0, 1)
        } else {
            (&mut others, KEPT_HEADERS)
        };
        if *kept < most {
            *kept += 1;
            shorter.put_slice(&head[line.start..line.end]);
            shorter.put_slice(b"\r\n");
        }
    }
    shorter.put_slice(b"\r\n");
    *head = shorter;
}

#[cfg(test)]
mod tests {
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
    fn a_head_ends_at_the_first_empty_line_wherever_it_is_cut() {
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
        assert_eq!(settled("HTTP/1.1 103 Early Hints\r\nno header\r\n\r\n"), Head::Interim);
        assert_eq!(settled("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"), Head::Refused);
        for text in [
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200OK\r\n\r\n",
            "HTTP/1.1200 OK\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1\r\n200: OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.x 200 OK\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(settled(text), Head::Refused, "{text}");
        }
    }

    #[test]
    fn a_status_line_counts_whatever_its_white_space_reason_and_minor_version() {
        for (line, expected) in [
            ("HTTP/1.1 503", "HTTP/1.1 503"),
            ("HTTP/1.1 503 ", "HTTP/1.1 503 "),
            ("HTTP/1.1 503 Größe 😀 \u{80}", "HTTP/1.1 503 Größe 😀 \u{80}"),
            ("HTTP/1.1 503 a: b, c", "HTTP/1.1 503 a: b, c"),
        ] {
            let (result, head) = normalized(&format!("{line}\r\ncontent-length: 0\r\n\r\n"));
            assert_eq!((result, head.lines().next()), (length(0, true), Some(expected)), "{line}");
        }
        for (line, expected) in [
            ("HTTP/1.1  \t503  Busy", "HTTP/1.1 503  Busy"),
            ("HTTP/1.1\t503\tBusy", "HTTP/1.1 503 Busy"),
            ("HTTP/1.1 503\t", "HTTP/1.1 503 "),
            ("HTTP/1.1 503\0\x1b[31m\x7f", "HTTP/1.1 503  [31m "),
            ("HTTP/1.1 503 a\rretry-after: 9", "HTTP/1.1 503 a retry-after: 9"),
            ("http/1.1 503 Busy", "HTTP/1.1 503 Busy"),
            ("HTTP/1.7 503 Busy", "HTTP/1.1 503 Busy"),
            ("HTTP/1.0 503 Busy", "HTTP/1.1 503 Busy"),
        ] {
            let (result, head) = normalized(&format!("{line}\r\ncontent-length: 0\r\n\r\n"));
            assert_eq!((result, head.lines().next()), (length(0, false), Some(expected)), "{line}");
        }
    }

    #[test]
    fn a_dropped_line_changes_neither_status_nor_framing_and_its_connection_is_not_reused() {
        for odd in [
            "no colon",
            "content-length 9",
            "transfer encoding: chunked",
            " content-length: 9",
            "a\0: b",
            "b: c\rd: e",
        ] {
            assert_eq!(
                settled(&format!("HTTP/1.1 200 OK\r\n{odd}\r\ncontent-length: 5\r\n\r\n")),
                length(5, false),
                "{odd}"
            );
            let text = format!("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n{odd}\n\n");
            assert_eq!(settled(&text), Head::Final { framing: Framing::Chunked, reusable: false }, "{odd}");
        }
    }

    #[test]
    fn headers_that_awc_would_reject_are_hidden_from_it_and_kept_for_the_log() {
        let (result, head) = normalized(
            "HTTP/1.1 200 OK\r\nhost: a\r\nHost: b\r\nupgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 5\r\n\r\n",
        );
        assert_eq!(result, length(5, true));
        let expected = "HTTP/1.1 200 OK\r\n~ost: a\r\n~ost: b\r\n~pgrade: websocket\r\n~onnection: upgrade\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(head, expected);
        let names = ["~ost", "~pgrade", "~onnection", "~ontent-length", "~ransfer-encoding", "x"].map(unmasked);
        let sent = ["host", "upgrade", "connection", "content-length", "transfer-encoding", "x"].map(Some);
        assert_eq!(names, sent);
    }

    #[test]
    fn when_there_are_too_many_headers_the_important_ones_stay() {
        let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
        let (result, head) = normalized(&format!(
            "HTTP/1.1 503 x\r\n{many}{}{}{}content-length: 3\r\n\r\n",
            "connection: keep-alive\r\n".repeat(200),
            "retry-after: 7\r\n".repeat(100),
            "content-length: 3\r\n".repeat(100),
        ));
        assert_eq!(result, length(3, true));
        assert!(head.matches("\r\n").count() <= 2 + MAX_PARSED_HEADERS);
        let retries = "retry-after: 7\r\n".repeat(KEPT_RETRY_AFTER);
        assert!(head.ends_with(&format!("x-79: y\r\n{retries}content-length: 3\r\n\r\n")), "{head}");
    }
}
