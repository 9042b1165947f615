//! Headers and body excerpts of requests and responses.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::invisible_characters;

/// The log keeps this much of a body.
const KEPT_BYTES: usize = 16 * 1024;

/// Collapsible headers.
pub(crate) fn headers(id: &str, title: &str, headers: &Map<String, Value>, is_open: bool) -> Markup {
    html! {
        details.more id=(id) open[is_open] {
            summary { (title) " " span.dim { "(" (headers.len()) ")" } }
            @if headers.is_empty() { p.dim { "None." } } @else {
                table.pairs { tbody { @for (name, value) in headers { tr {
                    th scope="row" { (invisible_characters::text(name)) }
                    td { @match value { Value::String(text) => (invisible_characters::text(text)), other => (other) } }
                } } } }
            }
        }
    }
}

/// A response body, shown as text whatever its type.
pub(crate) fn body(body: &str) -> Markup {
    html! {
        @if body.is_empty() { p.dim { "The body is empty." } } @else {
            pre.wrap.raw tabindex="0" role="group" aria-label="Response body" { (invisible_characters::text(body)) }
            @if body.len() >= KEPT_BYTES { p.dim.small { "The log keeps the first 16 KiB of a body." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_sent_is_escaped() {
        let sent = "</pre><script>alert(1)</script>\0\u{fffd}";
        let mut map = Map::new();
        map.insert("x-<b>".to_owned(), Value::from(sent));
        for shown in [headers("h", "Headers", &map, false).into_string(), body(sent).into_string()] {
            assert!(!shown.contains("<script") && !shown.contains("<b>") && !shown.contains('\0'), "{shown}");
            assert!(shown.contains("<i>\\x00</i>\u{fffd}"), "{shown}");
        }
    }

    #[test]
    fn a_possibly_truncated_body_and_an_empty_one_are_labelled() {
        assert!(body(&"x".repeat(KEPT_BYTES)).into_string().contains("first 16 KiB"));
        assert!(!body("ok").into_string().contains("KiB"));
        assert!(body("").into_string().contains("empty"));
    }
}
