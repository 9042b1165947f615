//! Lists: pages of the API as a table or as one document.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ringback::domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Session;
use super::object::{Object, relative};
use super::values::with_query;
use crate::cli::client::Call;
use crate::cli::table::{Column, NOTHING, Table};
use crate::cli::{now, print_error, print_json, print_line};

/// The most rows of one response (contract).
const PAGE: usize = 200;
const DEFAULT_LIMIT: usize = 50;
/// How often a page is asked for again that the engine has no time for. Fewer: a long list ends in the middle.
const MOST_TRIES: usize = 10;
/// The longest time that the engine is given before. Longer: a person thinks that nothing happens.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct PageArgs {
    /// Rows to show [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "all")]
    limit: Option<u32>,
    /// Go on where another list ended
    #[arg(long)]
    cursor: Option<String>,
    /// Show all rows
    #[arg(long)]
    all: bool,
}

impl PageArgs {
    fn limit(&self) -> usize {
        match (self.all, self.limit) {
            (true, _) => usize::MAX,
            (false, None) => DEFAULT_LIMIT,
            (false, Some(limit)) => limit.try_into().unwrap_or(usize::MAX),
        }
    }
}

/// How a field is shown in a list.
#[derive(Clone, Copy)]
pub(super) enum Show {
    /// As it is; the first of these that holds something.
    Text(&'static [&'static str]),
    /// A time, as how long ago.
    Time(&'static str),
    /// Patterns, of which none means all.
    Patterns(&'static str),
}

/// A column of a list.
pub(super) type Shown = (Column, Show);

/// The list of one kind of thing.
pub(super) struct Listing {
    pub columns: &'static [Shown],
    /// What to do when there is nothing.
    pub when_empty: &'static str,
}

impl Listing {
    pub(super) fn table(&self, rows: &[Object], now: UnixMillis) -> String {
        let mut table = Table::new(self.columns.iter().map(|(column, _)| *column));
        for row in rows {
            table.row(self.columns.iter().map(|(_, show)| cell(row, *show, now)));
        }
        table.text()
    }
}

fn cell(row: &Object, show: Show, now: UnixMillis) -> String {
    match show {
        Show::Text(names) => row.first_text(names),
        Show::Time(name) => {
            let text = row.text(name);
            UnixMillis::parse_rfc3339(&text).map_or(text, |at| relative(at, now))
        }
        Show::Patterns(name) => match row.text(name) {
            text if text == NOTHING => String::from("all"),
            text => text,
        },
    }
}

#[derive(Deserialize, Serialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Session {
    /// Prints the rows of a list. A page can be shorter than asked for and still not be the last.
    pub(super) async fn list(&self, path: &str, page: &PageArgs, listing: &Listing) -> anyhow::Result<()> {
        let limit = page.limit();
        let (mut data, mut cursor, mut pages) = (Vec::new(), page.cursor.clone(), 0);
        let only_page = loop {
            let rows = (limit - data.len()).min(PAGE);
            let query = [("limit", Some(rows.to_string())), ("cursor", cursor.take())];
            let body = self.page(&with_query(path, query)).await?;
            let next: Page = serde_json::from_str(&body)
                .context("the response is not that of an engine (--engine sets another address)")?;
            pages += 1;
            data.extend(next.data);
            cursor = next.next_cursor;
            if cursor.is_none() || data.len() >= limit {
                break (pages == 1).then_some(body);
            }
        };
        let list = Page { data, next_cursor: cursor };
        if self.json {
            print_json(&only_page.map_or_else(|| serde_json::to_string(&list), Ok)?);
            return Ok(());
        }
        self.print_rows(&list, listing)
    }

    /// One page. An engine that has no time for it is asked again when it says so.
    async fn page(&self, path: &str) -> anyhow::Result<String> {
        let mut tries = 1;
        loop {
            let response = self.client.send(Call::get(path)).await?;
            match (response.status, response.retry_after.map(Duration::from_secs)) {
                (429 | 503, Some(pause)) if pause <= LONGEST_PAUSE && tries < MOST_TRIES => {
                    actix_web::rt::time::sleep(pause).await;
                }
                _ => return self.body_of(response),
            }
            tries += 1;
        }
    }

    /// Prints a list that has no pages.
    pub(super) async fn list_whole(&self, path: &str, listing: &Listing) -> anyhow::Result<()> {
        let body = self.call(Call::get(path)).await?;
        if self.json {
            print_json(&body);
            return Ok(());
        }
        let list: Page = serde_json::from_str(&body).context("the response is not that of an engine")?;
        self.print_rows(&list, listing)
    }

    fn print_rows(&self, list: &Page, listing: &Listing) -> anyhow::Result<()> {
        let rows: Result<Vec<Object>, _> = list.data.iter().map(|row| Object::parse(row.get())).collect();
        let rows = rows?;
        if rows.is_empty() {
            print_error(listing.when_empty);
        } else {
            print_line(&listing.table(&rows, now()));
        }
        if let Some(cursor) = &list.next_cursor {
            print_error(&format!("\nThere is more: --all, or go on with --cursor {cursor}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_times_as_distances_and_the_first_field_that_holds_something() {
        let now = UnixMillis::parse_rfc3339("2026-11-30T10:00:00Z").unwrap();
        const LISTING: Listing = Listing {
            columns: &[
                (Column::text("events"), Show::Patterns("events")),
                (Column::text("answer"), Show::Text(&["response_code", "error"])),
                (Column::text("created"), Show::Time("created_at")),
                (Column::text("used"), Show::Time("last_used_at")),
            ],
            when_empty: "",
        };
        let row = r#"{"events": [], "response_code": null, "error": "timeout", "created_at": "2026-11-30T09:00:00Z",
            "last_used_at": null}"#;
        let table = LISTING.table(&[Object::parse(row).unwrap()], now);
        assert_eq!(table, "EVENTS  ANSWER   CREATED  USED\nall     timeout  1 h ago  –");
    }
}
