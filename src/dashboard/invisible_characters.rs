//! Makes invisible characters visible: those that browsers hide, or that change how their neighbours look.

use maud::{Markup, html};

/// Untrusted text. Control characters become `\x00`, invisible and direction-changing ones `U+202E`.
pub(super) fn text(text: &str) -> Markup {
    marked(text, name)
}

/// JSON text: such characters occur only inside strings, where an equivalent escape replaces them.
pub(crate) fn json(text: &str) -> Markup {
    marked(text, escape)
}

fn marked(text: &str, sign: fn(char, &mut String)) -> Markup {
    html! {
        @for (is_hidden, run) in runs(text) {
            @if is_hidden { i { (signs(run, sign)) } } @else { (run) }
        }
    }
}

/// Splits the text into runs that are entirely hidden or entirely visible.
fn runs(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let kind = is_hidden(rest, rest.chars().next()?);
        let end = rest
            .char_indices()
            .find(|&(at, c)| is_hidden(&rest[at..], c) != kind)
            .map_or(rest.len(), |(at, _)| at);
        let (run, after) = rest.split_at(end);
        rest = after;
        Some((kind, run))
    })
}

/// `from` starts with `c`.
fn is_hidden(from: &str, c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // a CRLF line ending
        '\r' => !from.starts_with("\r\n"),
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

fn signs(run: &str, sign: fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(run.len() * 3);
    for c in run.chars() {
        sign(c, &mut out);
    }
    out
}

fn name(c: char, out: &mut String) {
    let code = u32::from(c);
    let name = if code < 0x100 { format!("\\x{code:02x}") } else { format!("U+{code:04X}") };
    out.push_str(&name);
}

fn escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(sent: &str) -> String {
        text(sent).into_string()
    }

    #[test]
    fn control_characters_are_shown_except_line_endings() {
        assert_eq!(shown("a\0\u{1b}b\u{7f}"), r"a<i>\x00\x1b</i>b<i>\x7f</i>");
        assert_eq!(shown("one\r\ntwo\n\tthree"), "one\r\ntwo\n\tthree");
        assert_eq!(shown("over\rwritten"), r"over<i>\x0d</i>written");
        assert_eq!(shown("x\r\r\n"), "x<i>\\x0d</i>\r\n");
    }

    #[test]
    fn text_can_not_be_reversed_or_hidden() {
        assert_eq!(shown("exe.\u{202e}gpj"), "exe.<i>U+202E</i>gpj");
        assert_eq!(shown("\u{feff}a\u{200b}b"), "<i>U+FEFF</i>a<i>U+200B</i>b");
        assert_eq!(shown("👩\u{200d}🔬 é א"), "👩\u{200d}🔬 é א", "what languages and emoji need stays");
    }

    #[test]
    fn in_json_hidden_characters_become_equivalent_escapes() {
        let written = "{\"a\":\"\u{202e}\u{7f}\u{e0041}\"}";
        let shown = json(written).into_string();
        let text = shown.replace("<i>", "").replace("</i>", "").replace("&quot;", "\"");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&text), read(written));
        assert!(text.is_ascii(), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_was_sent_is_neither_markup_nor_a_control_character(
            sent in proptest::collection::vec(any::<char>(), 0..60),
        ) {
            let sent: String = sent.into_iter().collect();
            let shown = shown(&format!("<script>{sent}"));
            prop_assert!(!shown.contains("<script"));
            let inside = shown.replace("<i>", "").replace("</i>", "");
            prop_assert!(!inside.contains('<'));
            prop_assert!(!inside.replace("\r\n", "").chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
