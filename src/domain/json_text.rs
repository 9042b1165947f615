//! JSON for people: indented, and otherwise exactly as it was written. Numbers are never parsed, so that `1e400` and an
//! integer of forty digits stay unchanged.

use serde_json::value::RawValue;

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
const INDENT: &str = "  ";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IndentedText {
    /// At most as many bytes as requested.
    pub text: String,
    /// Whether the text was cut.
    pub is_cut: bool,
}

/// Indents a JSON text; only white space between tokens changes.
pub(crate) fn indent(json: &str, most: usize) -> IndentedText {
    let mut text = String::with_capacity(most.min(json.len() * 2));
    let (mut depth, mut before) = (0usize, "");
    let mut rest = json.trim_start_matches(SPACE);
    while !rest.is_empty() && text.len() <= most {
        let (token, after) = rest.split_at(token_length(rest));
        rest = after.trim_start_matches(SPACE);
        let closes = matches!(token, "}" | "]");
        let follows_opening = matches!(before, "{" | "[");
        if closes {
            depth = depth.saturating_sub(1);
        }
        if before == "," || follows_opening != closes {
            text.push('\n');
            (0..depth).for_each(|_| text.push_str(INDENT));
        }
        match token {
            ":" => text.push_str(": "),
            // one value can be ten megabytes; one character more than fits marks the text as cut
            token => text.push_str(beginning(token, most.saturating_add(4))),
        }
        if matches!(token, "{" | "[") {
            depth += 1;
        }
        before = token;
    }
    let is_cut = text.len() > most;
    text.truncate(beginning(&text, most).len());
    IndentedText { text, is_cut }
}

/// The longest beginning of a text that fits into `most` bytes.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The length of the first token; in text that is not JSON, of some piece of it.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => 1,
        Some(b'"') => {
            let mut is_escaped = false;
            let end = bytes.iter().skip(1).position(|byte| match byte {
                _ if is_escaped => {
                    is_escaped = false;
                    false
                }
                b'\\' => {
                    is_escaped = true;
                    false
                }
                byte => *byte == b'"',
            });
            end.map_or(bytes.len(), |end| end + 2)
        }
        _ => text
            .find(|c| matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '"') || SPACE.contains(&c))
            .unwrap_or(text.len()),
    }
}

/// Indents a JSON text for a terminal; `None` when it is not JSON.
pub fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    Some(harmless(&indent(text, usize::MAX).text))
}

/// A text from outside, with characters escaped that a terminal could obey or that show a line in another order than it is
/// written in (CVE-2021-42574).
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|symbol| push_harmless(&mut out, symbol));
    out
}

fn push_harmless(out: &mut String, symbol: char) {
    let reorders = matches!(symbol, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if reorders || (symbol.is_control() && symbol != '\n') {
        out.extend(symbol.escape_unicode());
    } else {
        out.push(symbol);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn whole(json: &str) -> String {
        let shown = indent(json, usize::MAX);
        assert!(!shown.is_cut);
        shown.text
    }

    /// Removes the white space outside strings, independently of the code under test.
    fn squeezed(json: &str) -> String {
        let (mut out, mut in_string, mut is_escaped) = (String::new(), false, false);
        for c in json.chars() {
            if in_string || !SPACE.contains(&c) {
                out.push(c);
            }
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if in_string => is_escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
        }
        out
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn a_payload_is_indented_and_its_numbers_escapes_and_order_stay_as_written() {
        let json = r#"{"b":1e400,"a":[1234567890123456789012345678901234567890,-0.0,"\u00e9\/ , : {\"}"],"e":{},"f":[ ],"b":[{"x":null}]}"#;
        let expected = r#"{
  "b": 1e400,
  "a": [
    1234567890123456789012345678901234567890,
    -0.0,
    "\u00e9\/ , : {\"}"
  ],
  "e": {},
  "f": [],
  "b": [
    {
      "x": null
    }
  ]
}"#;
        assert_eq!(whole(json), expected);
        assert_eq!(whole(expected), expected);
    }

    #[test]
    fn a_large_text_is_cut_and_marked_as_cut() {
        let json = format!("{{\"a\":\"{}\"}}", "é".repeat(100_000));
        let IndentedText { text, is_cut } = indent(&json, 1_000);
        assert!(is_cut && text.len() <= 1_000 && text.len() > 990, "{}", text.len());
        let IndentedText { text, is_cut } = indent(&"[".repeat(1_000_000), 1_000);
        assert!(is_cut && text.len() <= 1_000);
    }

    #[test]
    fn what_is_not_json_is_left_to_the_caller() {
        assert_eq!(pretty("<html>"), None);
        assert_eq!(pretty("{\"a\":1"), None);
    }

    #[test]
    fn control_characters_that_a_terminal_could_obey_are_escaped() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
        assert_eq!(harmless("a\u{202e}b\u{2066}\u{5e9}\u{200f}"), "a\\u{202e}b\\u{2066}\u{5e9}\u{200f}");
        assert_eq!(pretty("\"\u{9b}2J\"").as_deref(), Some("\"\\u{9b}2J\""));
    }

    proptest! {
        #[test]
        fn without_the_white_space_that_was_added_a_document_is_what_it_was(document in document()) {
            let compact = document.to_string();
            let shown = whole(&compact);
            prop_assert_eq!(squeezed(&shown), compact);
            prop_assert_eq!(&whole(&serde_json::to_string_pretty(&document).unwrap()), &shown);
        }

        #[test]
        fn no_text_is_lost_or_makes_it_panic(
            pieces in prop::collection::vec("[\\[\\]{}:,\"\\\\ \n]|[a-z0-9é]{1,3}|\\PC", 0..40),
            most in 0usize..200,
        ) {
            let text = pieces.concat();
            let shown = whole(&text);
            let kept = |text: &str| text.chars().filter(|c| !SPACE.contains(c)).collect::<String>();
            prop_assert_eq!(kept(&shown), kept(&text));
            let cut = indent(&text, most);
            prop_assert!(cut.text.len() <= most && shown.starts_with(&cut.text));
            prop_assert_eq!(cut.is_cut, shown.len() > most);
        }
    }
}
