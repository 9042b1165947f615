//! Query strings, and lists in pages: `?limit=` and `?cursor=`, newest first.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::input::{Errors, not_an_instant};
use super::problem::{ErrorCode, Problem};
use crate::domain::time::UnixMillis;
use crate::store::PageRequest;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// First byte of a cursor; another one when its meaning changes.
const CURSOR_VERSION: u8 = 1;

/// The parameters of a query string. Readers take them out; [`QueryString::finish`] reports the remaining ones.
pub(crate) struct QueryString {
    entries: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl QueryString {
    /// Reads a query string; a parameter given twice is an error.
    pub(crate) fn parse(query: &str, errors: &mut Errors) -> Self {
        let mut entries: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if entries.iter().any(|(entry, _)| *entry == name) {
                errors.add(name, "given more than once");
                continue;
            }
            entries.push((name.into_owned(), value.into_owned()));
        }
        Self { entries, known: Vec::new() }
    }

    /// Takes a parameter out; an empty one counts as absent, as forms send it.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let position = self.entries.iter().position(|(entry, _)| entry == name)?;
        Some(self.entries.remove(position).1).filter(|value| !value.is_empty())
    }

    /// Reads a parameter; `read` returns the error for an invalid one.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        errors: &mut Errors,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(name)?;
        read(&value).map_err(|message| errors.add(name, message)).ok()
    }

    /// Reads `limit` and `cursor`.
    pub(crate) fn page(&mut self, errors: &mut Errors) -> RequestedPage {
        let limit = self.read("limit", errors, |text| {
            let limit = text.parse::<usize>().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| format!("must be a whole number from 1 to {MAX_LIMIT}"))
        });
        let before_id = self.take("cursor").and_then(|text| {
            let id = decode_cursor(&text);
            if id.is_none() {
                let message = "not a cursor of this list; use next_cursor of the page before as it is";
                errors.add_with_code(ErrorCode::InvalidCursor, "cursor", message);
            }
            id
        });
        RequestedPage { before_id, limit: limit.unwrap_or(DEFAULT_LIMIT) }
    }

    /// Reports every parameter that no reader took.
    pub(crate) fn finish(self, errors: &mut Errors) {
        let known = match self.known.as_slice() {
            [] => "this call has none".to_owned(),
            known => format!("known are {}", known.join(", ")),
        };
        for (name, _) in self.entries {
            errors.add(name, format!("unknown parameter; {known}"));
        }
    }
}

/// A parameter that is an instant.
pub(crate) fn read_instant(text: &str) -> Result<UnixMillis, String> {
    // a plus that was not written as %2B arrives as a space, which can mean nothing else where an offset begins
    let with_plus =
        || text.rsplit_once(' ').and_then(|(time, offset)| UnixMillis::parse_rfc3339(&format!("{time}+{offset}")));
    UnixMillis::parse_rfc3339(text).or_else(with_plus).ok_or_else(|| not_an_instant(text))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestedPage {
    before_id: Option<i64>,
    limit: usize,
}

impl RequestedPage {
    /// The page that a query string without other parameters describes.
    pub(crate) fn of_query(query: &str) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut query = QueryString::parse(query, &mut errors);
        let page = query.page(&mut errors);
        query.finish(&mut errors);
        errors.into_result().map(|()| page)
    }

    /// The request to the store: one row more, to know whether there is a next page.
    pub(crate) fn request(self) -> PageRequest {
        PageRequest { before_id: self.before_id, limit: self.limit + 1 }
    }

    /// Makes the response from the rows of [`RequestedPage::request`].
    pub(crate) fn list<Row, View>(
        self,
        mut rows: Vec<Row>,
        id: impl FnOnce(&Row) -> i64,
        view: impl FnMut(Row) -> View,
    ) -> List<View> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = if more { rows.last().map(|row| encode_cursor(id(row))) } else { None };
        List { data: rows.into_iter().map(view).collect(), next_cursor }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    /// Newest first.
    pub data: Vec<T>,
    /// For the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page that is not the last although it is not full: the next one continues before this id.
    pub(crate) fn going_on_before(mut self, id: Option<i64>) -> Self {
        self.next_cursor = self.next_cursor.or_else(|| id.map(encode_cursor));
        self
    }
}

fn encode_cursor(last_id: i64) -> String {
    let mut bytes = vec![CURSOR_VERSION];
    bytes.extend_from_slice(&last_id.to_be_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

fn decode_cursor(text: &str) -> Option<i64> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (&version, id) = bytes.split_first()?;
    let id = i64::from_be_bytes(id.try_into().ok()?);
    (version == CURSOR_VERSION && id > 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cursor_leads_back_to_its_id(id in 1..i64::MAX) {
            prop_assert_eq!(decode_cursor(&encode_cursor(id)), Some(id));
        }

        #[test]
        fn no_text_makes_the_query_reader_panic(text: String) {
            let _ = RequestedPage::of_query(&text);
        }
    }

    #[test]
    fn a_limit_out_of_bounds_a_bad_cursor_and_an_unknown_parameter_are_named_at_once() {
        let problem = RequestedPage::of_query("limit=0&cursor=abc&page=2&limit=3").unwrap_err();
        let mut fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["cursor", "limit", "limit", "page"]);
        assert_eq!(RequestedPage::of_query("cursor=abc").unwrap_err().code(), ErrorCode::InvalidCursor);
        for bad in ["limit=201", "limit=-1", "limit=x", "limit=1.5"] {
            assert!(RequestedPage::of_query(bad).is_err(), "{bad}");
        }
        assert_eq!(RequestedPage::of_query("limit=").unwrap().limit, DEFAULT_LIMIT);
        assert_eq!(RequestedPage::of_query("limit=200").unwrap().limit, 200);
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_a_plus() {
        for query in
            ["at=2024-12-16T12:30:45%2B02:00", "at=2024-12-16T12:30:45+02:00", "at=2024-12-16T12:30:45.0+0200"]
        {
            let mut errors = Errors::new();
            let read = QueryString::parse(query, &mut errors).read("at", &mut errors, read_instant);
            assert_eq!(read, Some(UnixMillis(1_734_345_045_000)), "{query}");
        }
        for text in
            ["2024-12-16 10:30:45Z", "2024-12-16T10:30:45 ", " 2024-12-16T10:30:45Z", "2024-12-16 10:30:45 02:00"]
        {
            assert!(read_instant(text).is_err_and(|message| message.contains("RFC 3339")), "{text}");
        }
    }

    #[test]
    fn the_last_page_has_no_next_cursor() {
        let page = RequestedPage { before_id: None, limit: 2 };
        assert_eq!(page.request().limit, 3);
        let full = page.list(vec![9, 8, 7], |id| *id, |id| id);
        assert_eq!(full.data, [9, 8]);
        assert_eq!(full.next_cursor.as_deref().and_then(decode_cursor), Some(8));
        assert_eq!(page.list(vec![9, 8], |id| *id, |id| id).next_cursor, None);
    }
}
