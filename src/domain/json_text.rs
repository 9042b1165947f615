//! JSON for people: re-indented, never re-written, so that a number or an escape shows as it was sent.

use serde_json::value::RawValue;

/// Indents a JSON text; `None` when it is not JSON.
pub fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut rest = text.chars().peekable();
    while let Some(symbol) = rest.next() {
        if in_string {
            in_string = escaped || symbol != '"';
            escaped = !escaped && symbol == '\\';
            push_harmless(&mut out, symbol);
            continue;
        }
        match symbol {
            '{' | '[' => {
                out.push(symbol);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(symbol);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            symbol if symbol.is_ascii_whitespace() => {}
            symbol => {
                in_string = symbol == '"';
                out.push(symbol);
            }
        }
    }
    Some(out)
}

/// A text from outside, with what a terminal could obey replaced.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|symbol| push_harmless(&mut out, symbol));
    out
}

fn push_harmless(out: &mut String, symbol: char) {
    if symbol.is_control() && symbol != '\n' {
        out.extend(symbol.escape_unicode());
    } else {
        out.push(symbol);
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth).for_each(|_| out.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_no_value_changes() {
        let text = r#"{"n":1e400,"big":1234567890123456789012345678901234567890,"s":"a:{,\"\u00e9","e":[ ],"l":[1, {"x":null}]}"#;
        let expected = r#"{
  "n": 1e400,
  "big": 1234567890123456789012345678901234567890,
  "s": "a:{,\"\u00e9",
  "e": [],
  "l": [
    1,
    {
      "x": null
    }
  ]
}"#;
        assert_eq!(pretty(text).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_not_json_is_left_to_the_caller() {
        assert_eq!(pretty("<html>"), None);
        assert_eq!(pretty("{\"a\":1"), None);
    }

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
        assert_eq!(pretty("\"\u{9b}2J\"").as_deref(), Some("\"\\u{9b}2J\""));
    }
}
