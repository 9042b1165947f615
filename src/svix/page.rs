//! Query strings, and lists in pages: `limit`, `iterator` and `order`. Unknown parameters are ignored.
//!
//! As with Svix's server, a parameter that can't be read is answered with 400, and one that is not allowed with 422.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;

use super::error::SvixError;
use super::input::Invalid;
use crate::api::pagination::read_instant;
use crate::domain::time::UnixMillis;
use crate::store::PageEdge;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 250;
/// What an iterator begins with that goes back.
const BACKWARDS: char = '-';
/// How Rust's most used library for time writes the offset.
const UTC: &str = " UTC";
/// Of the day in an instant.
const DAY_LENGTH: usize = 10;

/// In which direction a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// The parameters of a query string.
pub struct Query {
    entries: Vec<(String, String)>,
    /// What is wrong with the first parameter that can't be read.
    unreadable: Option<String>,
    invalid: Invalid,
}

impl Query {
    /// Reads a query string.
    pub fn parse(query: &str) -> Self {
        let entries = url::form_urlencoded::parse(query.as_bytes());
        let entries = entries.map(|(name, value)| (name.into(), value.into()));
        Self { entries: entries.collect(), unreadable: None, invalid: Invalid::of_query() }
    }

    /// A parameter as it is.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(entry, _)| entry == name).map(|(_, value)| value.as_str())
    }

    /// Reads a parameter; `read` returns the error for one that can't be read.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match read(self.text(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.unreadable.get_or_insert_with(|| format!("{name}: {message}"));
                None
            }
        }
    }

    /// Reads a name that a list is filtered by, as of a channel.
    pub fn name(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?.to_owned();
        self.invalid.check_name(name, &text);
        Some(text)
    }

    /// Reads `true` or `false`; an absent one is false.
    pub fn flag(&mut self, name: &str) -> bool {
        let read = |text: &str| text.parse().map_err(|_| String::from("must be true or false"));
        self.read(name, read).unwrap_or_default()
    }

    /// Reads `true` or `false`, or what an absent one means.
    pub fn flag_or(&mut self, name: &str, absent: bool) -> bool {
        if self.text(name).is_some() { self.flag(name) } else { absent }
    }

    /// Reads an RFC 3339 instant. A space may stand for the T, and `UTC` for the offset.
    pub fn instant(&mut self, name: &str) -> Option<UnixMillis> {
        self.read(name, |text| {
            let (text, offset) = text.strip_suffix(UTC).map_or((text, ""), |text| (text, "Z"));
            let (day, time) = text.split_at_checked(DAY_LENGTH).unwrap_or((text, ""));
            match time.strip_prefix(' ') {
                Some(time) => read_instant(&format!("{day}T{time}{offset}")),
                None => read_instant(&format!("{text}{offset}")),
            }
        })
    }

    /// Reads names of event types: joined by commas, repeated, or as `event_types[]` and `event_types[0]`.
    pub fn event_types(&mut self) -> Option<Vec<String>> {
        let is_meant = |name: &str| {
            name == "event_types" || name.strip_prefix("event_types[").is_some_and(|rest| rest.ends_with(']'))
        };
        let given = self.entries.iter().filter(|(name, _)| is_meant(name));
        let mut names: Vec<String> = given
            .flat_map(|(_, value)| value.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| self.invalid.check_name("event_types", name));
        (!names.is_empty()).then_some(names)
    }

    /// Reads `limit`, `iterator` and `order`.
    pub fn page<K: FromStr>(&mut self, usual: Order) -> Page<K> {
        let order = self.read("order", |text| match text {
            "ascending" => Ok(Order::Ascending),
            "descending" => Ok(Order::Descending),
            _ => Err(String::from("must be ascending or descending")),
        });
        self.page_in(order.unwrap_or(usual))
    }

    /// Reads `limit` and `iterator` of a list that has one order.
    pub fn page_in<K: FromStr>(&mut self, order: Order) -> Page<K> {
        let limit = self.read("limit", |text| text.parse().map_err(|_| String::from("must be a whole number")));
        let limit: usize = limit.unwrap_or(DEFAULT_LIMIT);
        if limit > MAX_LIMIT {
            self.invalid.add("limit", format!("must not exceed {MAX_LIMIT}"));
        }
        let given = self.text("iterator");
        let is_given = given.is_some();
        let goes_back = given.is_some_and(|text| text.starts_with(BACKWARDS));
        let beyond = given.and_then(|text| text.strip_prefix(BACKWARDS).unwrap_or(text).parse().ok());
        if is_given && beyond.is_none() {
            self.invalid.add("iterator", "not an iterator of this list: use that of another page as it is");
        }
        Page { limit: limit.min(MAX_LIMIT), order, beyond, goes_back }
    }

    /// Reports all that was wrong.
    pub(crate) fn finish(self) -> Result<(), SvixError> {
        match self.unreadable {
            Some(detail) => Err(SvixError::unreadable_query(detail)),
            None => self.invalid.into_result(),
        }
    }
}

/// A page that a query string asks for. `K` is what rows are sorted by; it names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<K> {
    limit: usize,
    order: Order,
    beyond: Option<K>,
    goes_back: bool,
}

impl<K> Page<K> {
    /// Only rows beyond this one are on it, in the direction of [`Self::fetched`].
    pub fn beyond(&self) -> Option<&K> {
        self.beyond.as_ref()
    }

    /// In which direction rows are read: a page that goes back is read from its end.
    pub fn fetched(&self) -> Order {
        match (self.order, self.goes_back) {
            (Order::Ascending, false) | (Order::Descending, true) => Order::Ascending,
            (Order::Descending, false) | (Order::Ascending, true) => Order::Descending,
        }
    }

    /// How many rows to read: one more than are on the page, to know whether there are more.
    pub fn rows(&self) -> usize {
        self.limit + 1
    }

    /// A shorter one: of what was fetched, the last row only shows that it goes on.
    pub(super) fn ending_within(self, fetched: usize) -> Self {
        Self { limit: fetched.saturating_sub(1), ..self }
    }
}

impl<K: Copy> Page<K> {
    /// At most so many rows are on it.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Of a list whose newest rows come first, with rows of a period: the first page after an instant has the oldest of them, and
    /// `prevIterator` leads on.
    pub fn in_period(self, after: Option<UnixMillis>, before: Option<UnixMillis>) -> Self {
        let goes_on_from = self.beyond.is_none() && after.is_some() && before.is_none();
        Self { goes_back: self.goes_back || goes_on_from, ..self }
    }

    /// Where it begins, for lists whose newest rows come first. `position`: of the row that a key names; `lowest` is before all
    /// rows.
    pub fn edge_of<P>(&self, position: impl Fn(K) -> P, lowest: P) -> PageEdge<P> {
        match (self.beyond.map(position), self.fetched()) {
            (None, Order::Descending) => PageEdge::Newest,
            (Some(beyond), Order::Descending) => PageEdge::OlderThan(beyond),
            (beyond, Order::Ascending) => PageEdge::NewerThan(beyond.unwrap_or(lowest)),
        }
    }
}

impl<K: Display + Copy> Page<K> {
    /// Makes the response from rows that were read from this page's edge, the newest first; `next` is where the search for more
    /// goes on, if there may be any.
    pub fn edge_list<'a, Row, View>(
        &self,
        rows: &'a [Row],
        next: Option<K>,
        key: impl Fn(&Row) -> K,
        view: impl FnMut(&'a Row) -> View,
    ) -> List<View> {
        let (first, last) = (rows.first().map(&key), rows.last().map(&key));
        let (forwards, backwards) = match self.goes_back {
            // a page without room leads nowhere
            _ if self.limit == 0 => (None, None),
            false => (next.or(last), first),
            true => (last, next.or(first)),
        };
        List {
            iterator: forwards.map(|key| key.to_string()),
            prev_iterator: backwards.map(|key| format!("{BACKWARDS}{key}")),
            done: next.is_none(),
            data: rows.iter().map(view).collect(),
        }
    }
}

impl<K: Display> Page<K> {
    /// Makes the response from rows that were read as this page says.
    pub fn list<Row, View>(
        &self,
        mut rows: Vec<Row>,
        key: impl Fn(&Row) -> K,
        view: impl FnMut(Row) -> View,
    ) -> List<View> {
        let done = rows.len() <= self.limit;
        rows.truncate(self.limit);
        if self.goes_back {
            rows.reverse();
        }
        List {
            iterator: rows.last().map(|row| key(row).to_string()),
            prev_iterator: rows.first().map(|row| format!("{BACKWARDS}{}", key(row))),
            done,
            data: rows.into_iter().map(view).collect(),
        }
    }
}

/// A page as it is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<View> {
    data: Vec<View>,
    /// Always there: the libraries miss it otherwise.
    iterator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_iterator: Option<String>,
    done: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use proptest::prelude::*;

    /// The page of 0..9 that a query asks for.
    fn page(query: &str) -> List<u32> {
        let mut query = Query::parse(query);
        let page: Page<u32> = query.page(Order::Ascending);
        assert!(query.finish().is_ok());
        let mut rows: Vec<u32> = (0..9).collect();
        if page.fetched() == Order::Descending {
            rows.reverse();
        }
        if let Some(&beyond) = page.beyond() {
            rows.retain(|&row| if page.fetched() == Order::Ascending { row > beyond } else { row < beyond });
        }
        rows.truncate(page.rows());
        page.list(rows, |&row| row, |row| row)
    }

    #[test]
    fn pages_follow_each_other_and_lead_back() {
        let first = page("limit=4");
        assert_eq!((first.data, first.done), (vec![0, 1, 2, 3], false));
        assert_eq!((first.iterator.as_deref(), first.prev_iterator.as_deref()), (Some("3"), Some("-0")));
        let second = page("limit=4&iterator=3");
        assert_eq!((second.data, second.done), (vec![4, 5, 6, 7], false));
        let last = page("limit=4&iterator=7");
        assert_eq!((last.data, last.done), (vec![8], true));
        let back = page("limit=4&iterator=-8");
        assert_eq!((back.data, back.done), (vec![4, 5, 6, 7], false));
        let nothing = page("iterator=8");
        assert_eq!((nothing.data, nothing.done, nothing.iterator), (vec![], true, None));
        assert_eq!(page("limit=3&order=descending&iterator=5").data, [4, 3, 2]);
        assert_eq!(page("limit=3&order=descending&iterator=-5").data, [8, 7, 6]);
        let none = page("limit=0");
        assert_eq!((none.data, none.done, none.iterator), (vec![], false, None));
    }

    proptest! {
        #[test]
        fn whoever_follows_the_iterators_sees_every_row_once(limit in 1usize..12, descending: bool) {
            let order = if descending { "descending" } else { "ascending" };
            let (mut seen, mut iterator) = (Vec::new(), String::new());
            loop {
                let page = page(&format!("limit={limit}&order={order}{iterator}"));
                seen.extend(page.data);
                if page.done {
                    break;
                }
                iterator = format!("&iterator={}", page.iterator.unwrap());
            }
            let mut expected: Vec<u32> = (0..9).collect();
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn what_can_t_be_read_is_told_apart_from_what_is_not_allowed_and_unknown_parameters_are_ignored() {
        for (wrong, expected) in [
            ("limit=251", 422),
            ("limit=x", 400),
            ("limit=-1", 400),
            ("limit=", 400),
            ("iterator=x", 422),
            ("iterator=--1", 422),
            ("iterator=", 422),
            ("iterator=x&limit=x", 400),
            ("order=up", 400),
            ("order=", 400),
            ("channel=a b", 422),
            ("channel=", 422),
            ("with_content=1", 400),
            ("before=yesterday", 400),
            ("before=", 400),
        ] {
            let mut query = Query::parse(wrong);
            let _: Page<u32> = query.page(Order::Ascending);
            query.flag("with_content");
            query.name("channel");
            query.instant("before");
            let status = query.finish().map_err(|error| error.status_code().as_u16());
            assert_eq!(status, Err(expected), "{wrong}");
        }
        assert_eq!(page("limit=250&unknown=1").data.len(), 9);
    }

    #[test]
    fn instants_are_read_as_people_and_libraries_write_them() {
        let expected = UnixMillis::parse_rfc3339("2026-11-30T11:00:00.5Z");
        assert!(expected.is_some());
        for text in [
            "2026-11-30T11:00:00.5Z",
            "2026-11-30%2011:00:00.5%20UTC",
            "2026-11-30T12:00:00.5+01:00",
            "2026-11-30+12:00:00.500%2B01:00",
        ] {
            let mut query = Query::parse(&format!("before={text}"));
            assert_eq!(query.instant("before"), expected, "{text}");
        }
    }

    #[test]
    fn event_types_come_joined_by_commas_or_in_a_list() {
        let read = |text: &str| Query::parse(text).event_types();
        let both = Some(vec!["a.x".to_owned(), "b".to_owned()]);
        for text in ["event_types=a.x,b", "event_types=b&event_types=a.x", "event_types[]=a.x&event_types%5B%5D=b"]
        {
            assert_eq!(read(text), both, "{text}");
        }
        assert_eq!(read("event_types[0]=b&event_types[1]=a.x&event_types="), both);
        assert_eq!(read("event_type=a"), None);
        let mut query = Query::parse("event_types=a b");
        query.event_types();
        assert!(query.finish().is_err());
    }
}
