//! Query strings, and lists in pages: `limit`, `iterator` and `order`. Unknown parameters are ignored.

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

/// In which direction a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// The parameters of a query string.
pub struct Query {
    entries: Vec<(String, String)>,
    invalid: Invalid,
}

impl Query {
    /// Reads a query string. An empty parameter counts as absent.
    pub fn parse(query: &str) -> Self {
        let entries = url::form_urlencoded::parse(query.as_bytes());
        let entries =
            entries.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.into(), value.into()));
        Self { entries: entries.collect(), invalid: Invalid::of_query() }
    }

    /// A parameter as it is.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(entry, _)| entry == name).map(|(_, value)| value.as_str())
    }

    /// Reads a parameter; `read` returns the error for an invalid one.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let result = read(self.text(name)?);
        result.map_err(|message| self.invalid.add(name, message)).ok()
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

    /// Reads an RFC 3339 instant.
    pub fn instant(&mut self, name: &str) -> Option<UnixMillis> {
        self.read(name, read_instant)
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
        let limit = self.read("limit", |text| {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| format!("must be a whole number from 1 to {MAX_LIMIT}"))
        });
        let order = self.read("order", |text| match text {
            "ascending" => Ok(Order::Ascending),
            "descending" => Ok(Order::Descending),
            _ => Err(String::from("must be ascending or descending")),
        });
        let mut goes_back = false;
        let beyond = self.read("iterator", |text| {
            goes_back = text.starts_with(BACKWARDS);
            let key = text.strip_prefix(BACKWARDS).unwrap_or(text);
            key.parse()
                .map_err(|_| String::from("not an iterator of this list: use that of another page as it is"))
        });
        Page { limit: limit.unwrap_or(DEFAULT_LIMIT), order: order.unwrap_or(usual), beyond, goes_back }
    }

    /// Reports all that was wrong.
    pub(crate) fn finish(self) -> Result<(), SvixError> {
        self.invalid.into_result()
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
}

impl<K: Copy> Page<K> {
    /// At most so many rows are on it.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Where it begins, for lists whose newest rows come first.
    pub fn edge(&self) -> PageEdge<K> {
        self.edge_of(|key| key)
    }

    /// The same, for rows that have another key.
    pub fn edge_of<P>(&self, position: impl Fn(K) -> P) -> PageEdge<P> {
        match (self.beyond, self.fetched()) {
            (None, _) => PageEdge::Newest,
            (Some(beyond), Order::Descending) => PageEdge::OlderThan(position(beyond)),
            (Some(beyond), Order::Ascending) => PageEdge::NewerThan(position(beyond)),
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
    }

    proptest! {
        #[test]
        fn whoever_follows_the_iterators_sees_every_row_once(limit in 1usize..12, descending: bool) {
            let order = if descending { "descending" } else { "ascending" };
            let (mut seen, mut iterator) = (Vec::new(), String::new());
            loop {
                let page = page(&format!("limit={limit}&order={order}&iterator={iterator}"));
                seen.extend(page.data);
                if page.done {
                    break;
                }
                iterator = page.iterator.unwrap();
            }
            let mut expected: Vec<u32> = (0..9).collect();
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn wrong_parameters_are_reported_and_unknown_ones_ignored() {
        for wrong in ["limit=0", "limit=251", "limit=x", "limit=-1", "iterator=x", "iterator=--1", "order=up"] {
            let mut query = Query::parse(wrong);
            let _: Page<u32> = query.page(Order::Ascending);
            assert!(query.finish().is_err(), "{wrong}");
        }
        assert_eq!(page("limit=250&unknown=1&iterator=&order=").data.len(), 9);
        let mut query = Query::parse("with_content=maybe&before=yesterday");
        assert!(!query.flag("with_content") && query.instant("before").is_none());
        assert!(query.finish().is_err());
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
