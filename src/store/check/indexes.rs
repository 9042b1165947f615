//! Indexes of a SQLite file that are damaged in such a way that SQLite can neither clear nor drop them.
//!
//! An index holds nothing that its table does not have. Where the tables are whole, the damaged ones are taken out of the schema,
//! and rebuilt from their tables: all in one transaction, which is kept only when the whole file has passed a check. Their old
//! pages belong to nothing then, and go with a `VACUUM`.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Text;

use super::super::StoreResult;
use super::super::sqlite::damage::is_damage;
use super::integrity::{ALL, examine};

/// A table that is damaged, or one of whose indexes is.
pub(super) struct Suspect {
    pub(super) table: String,
    /// The table itself can be read.
    pub(super) is_whole: bool,
}

impl Suspect {
    /// For people.
    pub(super) fn shown(&self) -> String {
        let Self { table, is_whole } = self;
        match is_whole {
            true => format!("an index of the table {table} is damaged; the table itself can be read"),
            false => format!("the table {table} is damaged"),
        }
    }
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Index {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    sql: String,
}

/// Looks for the damage table by table; finds none when not even the schema can be read.
pub(super) fn suspects(sqlite: &mut SqliteConnection) -> Vec<Suspect> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables: Vec<Named> = diesel::sql_query(tables).load(sqlite).unwrap_or_default();
    let mut found = Vec::new();
    for Named { name: table } in tables {
        let examined = examine(sqlite, &quoted(&table));
        if examined.is_ok_and(|examined| !examined.whole.is_finding()) {
            continue;
        }
        let all = format!("SELECT count(*) FROM {} NOT INDEXED", quoted(&table));
        let is_whole = diesel::sql_query(all).execute(sqlite).is_ok();
        found.push(Suspect { table, is_whole });
    }
    found
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Rebuilds the indexes of damaged tables; returns their names, or nothing when that is not enough, and then nothing is
/// changed.
pub(super) fn rebuild(sqlite: &mut SqliteConnection) -> StoreResult<Vec<String>> {
    let suspects = suspects(sqlite);
    if suspects.is_empty() || suspects.iter().any(|suspect| !suspect.is_whole) {
        return Ok(Vec::new());
    }
    sqlite.batch_execute("BEGIN IMMEDIATE")?;
    let made = in_schema(sqlite, &suspects);
    let is_made = matches!(&made, Ok(made) if !made.is_empty());
    sqlite.batch_execute(if is_made { "COMMIT" } else { "ROLLBACK" })?;
    // what SQLite remembers of the schema may be what was rolled back
    sqlite.batch_execute("PRAGMA writable_schema = RESET")?;
    match made {
        // so is a table whose rows are not unique where they have to be
        Err(Error::DatabaseError(kind, said))
            if is_damage(said.message()) || matches!(kind, DatabaseErrorKind::UniqueViolation) =>
        {
            Ok(Vec::new())
        }
        made => Ok(made?),
    }
}

fn in_schema(sqlite: &mut SqliteConnection, suspects: &[Suspect]) -> QueryResult<Vec<String>> {
    let texts: Vec<String> =
        suspects.iter().map(|suspect| format!("'{}'", suspect.table.replace('\'', "''"))).collect();
    // an index without SQL is part of its table's definition
    let of_them = format!("type = 'index' AND sql IS NOT NULL AND tbl_name IN ({})", texts.join(", "));
    let indexes: Vec<Index> =
        diesel::sql_query(format!("SELECT name, sql FROM sqlite_schema WHERE {of_them} ORDER BY name"))
            .load(sqlite)?;
    sqlite.batch_execute("PRAGMA writable_schema = ON")?;
    diesel::sql_query(format!("DELETE FROM sqlite_schema WHERE {of_them}")).execute(sqlite)?;
    sqlite.batch_execute("PRAGMA writable_schema = RESET")?;
    if examine(sqlite, ALL)?.whole.is_finding() {
        return Ok(Vec::new());
    }
    for index in &indexes {
        sqlite.batch_execute(&index.sql)?;
    }
    let is_whole = !examine(sqlite, ALL)?.whole.is_finding();
    Ok(indexes.into_iter().filter(|_| is_whole).map(|index| index.name).collect())
}
