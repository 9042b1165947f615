//! Reads the tags of a page, as far as the tests need it: what maud writes has every attribute in double quotes.

/// A tag with its attributes.
pub(crate) struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// What stands between it and the next tag.
    pub text: String,
}

impl Tag {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// The opening tags of a page.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
            continue;
        }
        let end = rest.find(|symbol: char| symbol.is_whitespace() || symbol == '>').unwrap();
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let attributes = attributes(&mut rest);
        let text = rest[..rest.find('<').unwrap_or(rest.len())].to_owned();
        tags.push(Tag { name, attributes, text });
    }
    tags
}

/// Takes the attributes and the end of the tag off the front.
fn attributes(rest: &mut &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            *rest = after;
            return found;
        }
        let end = rest.find(|symbol: char| symbol.is_whitespace() || matches!(symbol, '=' | '>')).unwrap();
        let name = rest[..end].to_owned();
        *rest = &rest[end..];
        let value = match rest.strip_prefix("=\"") {
            Some(after) => {
                let (value, after) = after.split_once('"').unwrap();
                *rest = after;
                value.to_owned()
            }
            None => String::new(),
        };
        assert!(!name.is_empty(), "not written by maud: {rest:.80}");
        found.push((name, value));
    }
}

#[test]
fn tags_are_read_with_their_attributes_and_text() {
    let tags = tags("<!DOCTYPE html><a href=\"/x>y\" open>go</a> 1 < 2 <br><script>alert(1)</script>");
    assert_eq!(tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), ["a", "br", "script"]);
    assert_eq!(tags[0].attribute("href"), Some("/x>y"));
    assert_eq!(tags[0].attribute("open"), Some(""));
    assert_eq!(tags[0].text, "go");
    assert_eq!(tags[2].text, "alert(1)");
}
