//! Shows a payload.

use maud::{Markup, html};

use super::{components, invisible_characters};
use crate::domain::json_text::{IndentedText, indent};

/// The most of a payload that a page shows. Larger: pages of megabytes, which browsers scroll badly.
const MOST_SHOWN_BYTES: usize = 64 * 1024;

/// A payload with a copy button; `whole` is the address of the full download.
pub(crate) fn card(json: &[u8], whole: &str) -> Markup {
    if json.is_empty() {
        return erased();
    }
    let IndentedText { text, is_cut } = indent(&String::from_utf8_lossy(json), MOST_SHOWN_BYTES);
    html! {
        section.card aria-labelledby="payload-title" {
            header {
                h2 #payload-title { "Payload" }
                div.actions {
                    span.dim.small { (components::count(json.len() as u64, "byte", "bytes")) }
                    button.small type="button" data-copy="#payload" { @if is_cut { "Copy shown part" } @else { "Copy" } }
                    a.button.small href=(whole) { "Download" }
                }
            }
            pre.wrap.raw #payload tabindex="0" role="group" aria-label="Payload" { (invisible_characters::json(&text)) }
            @if is_cut {
                p.dim { "Only the beginning is shown. " a href=(whole) { "Download the payload" } " to see all of it." }
            }
        }
    }
}

fn erased() -> Markup {
    html! {
        section.card aria-labelledby="payload-title" {
            h2 #payload-title { "Payload" }
            p.dim { "Erased on request. What was sent is stored nowhere any more, and the event can’t be sent again." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_payload_is_said_to_be_erased_and_not_offered_as_a_download() {
        let shown = card(b"", "/whole").into_string();
        assert!(shown.contains("Erased on request") && !shown.contains("/whole"), "{shown}");
    }

    #[test]
    fn a_large_payload_is_truncated_with_a_notice() {
        let json = format!("{{\"a\":\"{}\"}}", "é".repeat(100_000));
        let shown = card(json.as_bytes(), "/whole").into_string();
        assert!(shown.len() < MOST_SHOWN_BYTES + 2_000 && shown.contains("Only the beginning is shown"));
    }

    #[test]
    fn a_payload_is_escaped() {
        let shown = card(br#"{"a":"</pre><script>alert(1)</script>"}"#, "/whole").into_string();
        assert!(!shown.contains("<script") && shown.contains("&lt;script&gt;"), "{shown}");
    }
}
