//! Looks a whole database through: the file itself, its schema, rows that point to nothing, counts that are kept in rows,
//! states that can't be. Beside a running engine nothing is changed; alone it can repair.
//!
//! Tables are read in pages, each by statements of its own: memory is bounded, no old snapshot is kept, and what one
//! statement sees belongs together, also while an engine writes.

/// Runs a query, with one row in memory at a time.
macro_rules! each {
    ($connection:expr, $sql:expr, $row:ty, $look:expr) => {{
        let query = diesel::sql_query($sql);
        match $connection {
            AnyConnection::Sqlite(sqlite) => {
                for row in query.load_iter::<$row, diesel::connection::DefaultLoadingMode>(sqlite)? {
                    $look(row?);
                }
            }
            AnyConnection::Postgres(postgres) => {
                for row in query.load_iter::<$row, diesel::pg::PgRowByRowLoadingMode>(postgres)? {
                    $look(row?);
                }
            }
        }
    }};
}

mod content;
mod indexes;
pub(super) mod integrity;
mod master_key;
mod missing;
mod organizations;
mod repair;
mod rules;
mod schema;
mod server;
mod statistics;
mod walk;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use self::rules::TABLES;
use super::cipher::Cipher;
use super::connection::AnyConnection;
use super::{StoreError, StoreResult};
use crate::domain::time::UnixMillis;

/// How many rows with a problem are named.
const EXAMPLES: usize = 20;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMode {
    /// Nothing is changed; an engine may run.
    Look,
    /// What can be repaired safely is; no engine may run.
    Repair,
}

/// How far a clock of the engine may have been ahead of the one here: by so much earlier it may have removed what is old. Smaller: that
/// looks like damage. Larger: damage to events that are nearly so old is overlooked.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(3600);

/// What a check knows besides the database.
pub struct CheckTerms {
    /// What is to be done.
    pub mode: CheckMode,
    /// The time: deliveries that can't be sent are cancelled at it.
    pub now: UnixMillis,
    /// How long the engine keeps events: younger ones must have all of their rows.
    pub retention: Duration,
    /// With the master key; without it secrets can't be checked.
    pub cipher: Option<Cipher>,
}

impl CheckTerms {
    fn repairs(&self) -> bool {
        self.mode == CheckMode::Repair
    }

    /// What began after this has not been touched by retention.
    fn kept_since(&self) -> UnixMillis {
        self.now - self.retention.saturating_sub(CLOCKS_DIFFER_BY)
    }
}

/// What happens during a check.
#[derive(Debug, Clone, Copy)]
pub enum CheckEvent<'a> {
    /// So many rows of a table, or of what is looked at, are done.
    Looked {
        /// The table.
        at: &'a str,
        /// How many.
        rows: u64,
    },
    /// Something was repaired; for people.
    Repaired(&'a str),
}

/// The result of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What should be true.
    pub what: String,
    /// What was looked at.
    pub table: String,
    /// How many rows were looked at; `None` where that is not what was counted.
    pub rows: Option<u64>,
    /// How many are wrong.
    pub wrong: u64,
    /// How many of them are right now.
    pub repaired: u64,
    /// The first of them.
    pub examples: Vec<String>,
    /// What to do about those that are not repaired.
    pub advice: String,
    /// Why it could not be checked.
    pub skipped: Option<String>,
    /// Why it was not checked although nothing is wrong: what it needs was not given.
    pub left_out: Option<String>,
}

impl Checked {
    /// Whether something is wrong and not repaired.
    pub fn is_finding(&self) -> bool {
        self.wrong > self.repaired
    }

    fn new(table: &str, what: &str, advice: &str) -> Self {
        Self { what: what.to_owned(), table: table.to_owned(), advice: advice.to_owned(), ..Self::default() }
    }

    fn add(&mut self, example: String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    fn skipped(self, reason: impl Into<String>) -> Self {
        Self { skipped: Some(reason.into()), ..self }
    }

    fn left_out(self, reason: impl Into<String>) -> Self {
        Self { left_out: Some(reason.into()), ..self }
    }
}

/// A row that is wrong.
struct Wrong {
    key: i64,
    /// What the rule does not say already, for people.
    why: String,
}

impl Wrong {
    /// For people.
    fn shown(&self, name: fn(i64) -> String) -> String {
        let Self { key, why } = self;
        let shown = name(*key);
        if why.is_empty() { shown } else { format!("{shown}: {why}") }
    }
}

impl From<i64> for Wrong {
    fn from(key: i64) -> Self {
        Self { key, why: String::new() }
    }
}

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// The newest migration of its schema.
    pub schema: String,
    /// Whether an engine uses it; `None` where that was not asked.
    pub is_in_use: Option<bool>,
    /// In the order in which they were made.
    pub checks: Vec<Checked>,
}

impl CheckReport {
    /// What was found; `None`, with a line that says why, when what is broken already can't be read.
    fn unless_broken<T>(&mut self, table: &str, found: StoreResult<T>) -> StoreResult<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::Unavailable(reason)) if self.checks.iter().any(Checked::is_finding) => {
                let rows = Checked::new(table, "rows belong together", "");
                self.checks.push(rows.skipped(format!("they can't be read: {reason}")));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Everything that a check needs.
pub(super) struct Subject {
    pub(super) connection: AnyConnection,
    pub(super) is_in_use: Option<bool>,
    /// The migrations that this program knows.
    pub(super) known: Vec<String>,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct LastRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    text: String,
}

fn texts(connection: &mut AnyConnection, sql: &str) -> StoreResult<Vec<String>> {
    let rows: Vec<TextRow> = diesel::sql_query(sql).load(connection)?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}

fn number(connection: &mut AnyConnection, sql: &str) -> StoreResult<i64> {
    let row: NumberRow = diesel::sql_query(sql).get_result(connection)?;
    Ok(row.n)
}

/// Makes all checks.
pub(super) fn run(
    mut subject: Subject,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<CheckReport> {
    let connection = &mut subject.connection;
    let database = match connection {
        AnyConnection::Sqlite(_) => "sqlite",
        AnyConnection::Postgres(_) => "postgres",
    };
    let mut report =
        CheckReport { database, schema: String::new(), is_in_use: subject.is_in_use, checks: Vec::new() };
    report.checks.extend(server::storage(connection, terms, on_event)?);
    if terms.repairs() && report.checks.first().is_some_and(Checked::is_finding) {
        let rows = Checked::new("", "rows belong together", "");
        report.checks.push(rows.skipped(
            "the database itself is damaged, beyond what can be made again from the rest: nothing was changed",
        ));
        return Ok(report);
    }
    let Some(schema) = report.unless_broken("", schema::versions(connection, &subject.known))? else {
        return Ok(report);
    };
    report.schema = schema.newest;
    report.checks.push(schema.checked);
    if let Some(reason) = schema.unusable {
        let rows = Checked::new("", "rows belong together", "");
        report.checks.push(rows.skipped(reason));
        return Ok(report);
    }
    report.checks.push(schema::objects(connection, terms, on_event)?);
    let key = report.unless_broken("master_key", master_key::check(connection, terms))?;
    report.checks.extend(key);
    let checked = organizations::check(connection, terms, on_event);
    let checked = report.unless_broken("", checked)?;
    report.checks.extend(checked.into_iter().flatten());
    for table in TABLES {
        let checked = walk::walk(connection, table, terms, on_event);
        let checked = report.unless_broken(table.name, checked)?;
        report.checks.extend(checked.into_iter().flatten());
    }
    // when the rows are repaired that they are computed from
    let checked = statistics::check(connection, terms, on_event);
    let checked = report.unless_broken("delivery_statistics", checked)?;
    report.checks.extend(checked);
    Ok(report)
}
