//! The header lines of a response: `name: value` stays, everything else is dropped.
//!
//! Receivers print warnings, dates and HTML into their heads. The contract says that such a line is dropped and the rest
//! counts. Nothing that a strict parser rejects is left, and the caller learns whether anything was changed: another
//! parser (a proxy in front of the receiver) may have read an odd line as one about framing.

use bytes::BytesMut;
use memchr::memchr;

/// A line with a longer name is dropped. It would not fit into the excerpt of a response, and from 64 KiB up the `http`
/// crate refuses it, upon which awc's parser panics.
const MAX_NAME_BYTES: usize = 8 * 1024;

/// Names whose value decides about framing or retries.
const DECIDING: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"connection", b"retry-after"];

/// One header line, as positions in the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderLine {
    pub(super) start: usize,
    colon: usize,
    /// Before the line break.
    pub(super) end: usize,
}

impl HeaderLine {
    /// Without white space before the colon.
    pub(super) fn name(self, head: &[u8]) -> &[u8] {
        head[self.start..self.colon].trim_ascii_end()
    }

    /// Without white space around it.
    pub(super) fn value(self, head: &[u8]) -> &[u8] {
        head[self.colon + 1..self.end].trim_ascii()
    }

    fn decides(self, head: &[u8]) -> bool {
        DECIDING.iter().any(|name| self.name(head).eq_ignore_ascii_case(name))
    }
}

/// The result of [`tidy`].
#[derive(Debug)]
pub(super) struct TidyHead {
    /// The lines that stayed, in order.
    pub(super) lines: Vec<HeaderLine>,
    /// Whether every byte stayed as it was.
    pub(super) is_plain: bool,
}

/// Removes the lines of a complete head that are not `name: value`, and replaces control characters in the rest with
/// spaces (RFC 9110, section 5.5). Each line keeps its own end, CRLF or LF.
pub(super) fn tidy(head: &mut BytesMut) -> TidyHead {
    let mut found = TidyHead { lines: Vec::with_capacity(16), is_plain: true };
    let mut kept = next_line(head, 0);
    let status_line_end = content_end(head, 0, kept);
    found.is_plain &= !blank_controls(&mut head[..status_line_end]);
    let mut at = kept;
    let mut continues = false;
    while at < head.len() {
        let next = next_line(head, at);
        let length = content_end(head, at, next) - at;
        let line = &head[at..at + length];
        let is_continuation = matches!(line.first(), Some(b' ' | b'\t'));
        let colon = if is_continuation { None } else { end_of_name(line) };
        let joined = found.lines.last().copied().filter(|last| {
            // a value that decides something is not extended once it is there
            continues
                && is_continuation
                && !line.trim_ascii().is_empty()
                && (!last.decides(head) || last.value(head).is_empty())
        });
        let is_kept = length == 0 || colon.is_some() || joined.is_some();
        found.is_plain &= is_kept && !is_continuation;
        if is_kept {
            head.copy_within(at..next, kept);
            found.is_plain &= !blank_controls(&mut head[kept..kept + length]);
            if let Some(last) = joined {
                head[last.end..kept].fill(b' ');
                found.lines.pop();
                found.lines.push(HeaderLine { end: kept + length, ..last });
            } else if let Some(colon) = colon {
                found.lines.push(HeaderLine { start: kept, colon: kept + colon, end: kept + length });
            }
            kept += next - at;
        }
        if !is_continuation {
            continues = colon.is_some();
        }
        at = next;
    }
    head.truncate(kept);
    found
}

/// Where the next line begins.
fn next_line(head: &[u8], at: usize) -> usize {
    memchr(b'\n', &head[at..]).map_or(head.len(), |offset| at + offset + 1)
}

fn content_end(head: &[u8], at: usize, next: usize) -> usize {
    let line = &head[at..next];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    at + line.strip_suffix(b"\r").unwrap_or(line).len()
}

/// The position of the colon, if a token precedes it (RFC 9110, section 5.1). White space between the two is ignored, as
/// RFC 9112, section 5.1 requires.
fn end_of_name(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', &line[..line.len().min(MAX_NAME_BYTES + 1)])?;
    let name = &line[..colon];
    let blanks = name.iter().rev().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
    let name = &name[..colon - blanks];
    (!name.is_empty() && name.iter().all(|&byte| is_token(byte))).then_some(colon)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Replaces control characters with spaces; returns whether there were any.
fn blank_controls(bytes: &mut [u8]) -> bool {
    let mut any = false;
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_control() && **byte != b'\t') {
        *byte = b' ';
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that stay of this one between two others, and whether the head was plain.
    fn tidied(line: &[u8]) -> (String, bool) {
        let mut head = BytesMut::from(&b"HTTP/1.1 200 OK\r\na: 1\r\n"[..]);
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\nz: 2\r\n\r\n");
        let found = tidy(&mut head);
        let lines: Vec<_> = found
            .lines
            .iter()
            .map(|line| {
                let shown = [line.name(&head), b"=", line.value(&head)].concat();
                String::from_utf8_lossy(&shown).into_owned()
            })
            .collect();
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\na: 1") && head.ends_with(b"\r\nz: 2\r\n\r\n"), "{head:?}");
        (lines.join("|"), found.is_plain)
    }

    #[test]
    fn a_line_without_name_and_value_is_dropped() {
        let mut dropped: Vec<Vec<u8>> = [
            "no colon",
            "PHP Warning:  Undefined variable in /srv/hook.php on line 3",
            "Mon, 16 Dec 2024 10:31:45 GMT",
            "<html><body>oops: x</body></html>",
            "a b: c",
            ": no name",
            " ",
            ":",
            "näme: x",
            "a\0b: c",
            "\0a: c",
            "a\0: c",
            "a\u{7f}: c",
            "a\x1b[31m: c",
            "\ra: c",
            "\r",
            "\0",
            "HTTP/1.1 500 again",
            "content-length 5",
            "transfer encoding: chunked",
            "content-length\r: 5",
            "content-length\x0b: 5",
        ]
        .map(|line| line.as_bytes().to_vec())
        .into();
        dropped.extend(b"@()/=\"[]{}<>,;?\\".iter().map(|&odd| vec![b'a', odd, b'b', b':', b'c']));
        dropped.extend([b"\xff\xfe: c".to_vec(), [&b"a".repeat(MAX_NAME_BYTES + 1)[..], b": c"].concat()]);
        for line in dropped {
            // a line of blanks continues the one before
            let expected = "a=1|z=2".to_owned();
            assert_eq!(tidied(&line), (expected, false), "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn every_name_and_value_stays() {
        for (line, expected) in [
            ("b: c", "a=1|b=c|z=2"),
            ("b:c", "a=1|b=c|z=2"),
            ("b:", "a=1|b=|z=2"),
            ("B \t: c \t", "a=1|B=c|z=2"),
            ("!#$%&'*+-.^_`|~09aZ: \t:é: c", "a=1|!#$%&'*+-.^_`|~09aZ=:é: c|z=2"),
        ] {
            assert_eq!(tidied(line.as_bytes()), (expected.to_owned(), true), "{line}");
        }
        let name = "n".repeat(MAX_NAME_BYTES);
        assert_eq!(tidied(format!("{name}: c").as_bytes()), (format!("a=1|{name}=c|z=2"), true));
        assert_eq!(tidied(b"b: c\0d\x7fe\rf"), ("a=1|b=c d e f|z=2".to_owned(), false));
    }

    #[test]
    fn a_continued_line_is_one_line_unless_its_value_decides_something_already() {
        assert_eq!(tidied(b"b: c\r\n d: e\n\tf"), ("a=1|b=c   d: e \tf|z=2".to_owned(), false));
        assert_eq!(tidied(b"Retry-After: 120\r\n and more\r\n 5"), ("a=1|Retry-After=120|z=2".to_owned(), false));
        assert_eq!(tidied(b"retry-after:\r\n 120\r\n 5"), ("a=1|retry-after=120|z=2".to_owned(), false));
        assert_eq!(tidied(b"no header\r\n goes on: x"), ("a=1|z=2".to_owned(), false));
        let mut head = BytesMut::from(&b"HTTP/1.1 200\n content-length: 5\nb: c\n\n"[..]);
        let found = tidy(&mut head);
        assert_eq!((&head[..], found.is_plain), (&b"HTTP/1.1 200\nb: c\n\n"[..], false));
    }
}
