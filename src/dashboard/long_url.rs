//! URLs that are shortened in the middle, where they differ least: the host and the end stay visible.

use maud::{Markup, html};

/// Characters that are always shown whole. Smaller: ordinary URLs are cut. Larger: a row of a list becomes high.
const SHORT: usize = 58;
/// What stays visible of a longer one.
const BEGINNING: usize = 36;
const END: usize = 18;

/// A URL. The part that is not shown is still there for whoever selects, copies or hears it.
pub(crate) fn shortened(url: &str) -> Markup {
    html! {
        @match parts(url) {
            None => { (url) }
            Some((beginning, middle, end)) => { (beginning) span.cut { (middle) } (end) }
        }
    }
}

/// A link to a webhook by its URL.
pub(crate) fn link(address: &str, url: &str) -> Markup {
    html! { a.url href=(address) title=(url) { (shortened(url)) } }
}

fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let characters = url.chars().count();
    if characters <= SHORT {
        return None;
    }
    let place = |character: usize| url.char_indices().nth(character).map_or(url.len(), |(place, _)| place);
    let (begin, end) = (place(BEGINNING), place(characters - END));
    Some((url.get(..begin)?, url.get(begin..end)?, url.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_url_keeps_its_host_and_its_end_and_loses_no_character() {
        let url = format!("https://hooks.example.com/{}ü/incoming?token=ä", "customers/".repeat(40));
        let (beginning, middle, end) = parts(&url).unwrap();
        assert!(beginning.starts_with("https://hooks.example.com/") && end.ends_with("?token=ä"));
        assert_eq!(format!("{beginning}{middle}{end}"), url);
        let shown = shortened(&url).into_string();
        assert_eq!(shown.replace("<span class=\"cut\">", "").replace("</span>", ""), url);
    }

    #[test]
    fn an_ordinary_url_is_shown_whole_and_every_one_is_escaped() {
        assert_eq!(shortened("https://example.com/hook").into_string(), "https://example.com/hook");
        let hostile = format!("https://e.example/{}<script>", "x".repeat(60));
        assert!(!link("/webhooks/wh_1", &hostile).into_string().contains("<script"));
    }
}
