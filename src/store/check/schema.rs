//! The schema: whether this program knows it, and whether everything of it is there.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::super::connection::AnyConnection;
use super::super::{StoreError, StoreResult, sqlite};
use super::{CheckEvent, CheckTerms, Checked, texts};

/// What the migrations of a database say.
pub(super) struct Versions {
    pub(super) newest: String,
    pub(super) checked: Checked,
    /// Why rows can't be checked.
    pub(super) unusable: Option<String>,
}

/// Compares the migrations of the database with those that this program knows.
pub(super) fn versions(connection: &mut AnyConnection, known: &[String]) -> StoreResult<Versions> {
    let sql = "SELECT version AS text FROM __diesel_schema_migrations ORDER BY version";
    let applied = texts(connection, sql).map_err(|error| match error {
        StoreError::Unavailable(said) if said.contains("__diesel_schema_migrations") => {
            StoreError::Refused(String::from("this is not a database of ringback: it has no schema"))
        }
        error => error,
    })?;
    let newest = applied.last().cloned().unwrap_or_default();
    let checked = Checked::new("", "the schema is one that this version knows", "");
    let missing = known.iter().find(|version| !applied.contains(version));
    let unknown = applied.iter().find(|version| !known.contains(version));
    let unusable = match (missing, unknown) {
        (Some(missing), _) => Some(format!(
            "the schema {newest} is older than this version's: it lacks {missing}. Start the engine of this version once, which brings \
             it up to date, or check with the version that made it"
        )),
        (None, Some(unknown)) => {
            let oldest = texts(connection, "SELECT migration AS text FROM oldest_reader")?;
            let is_readable = oldest.iter().all(|oldest| known.contains(oldest));
            (!is_readable).then(|| {
                format!(
                    "the schema has {unknown}, which a newer version made: check with that version, or a newer one"
                )
            })
        }
        (None, None) => None,
    };
    let checked = Checked { rows: Some(applied.len() as u64), ..checked };
    Ok(Versions { newest, checked, unusable })
}

#[derive(QueryableByName)]
struct Object {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    sql: Option<String>,
}

const INDEXES: &str = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
const COLUMNS: &str = "
    SELECT m.name || '.' || c.name AS text FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
const COLUMNS_OF_POSTGRES: &str = "
    SELECT (table_name || '.' || column_name)::TEXT AS text FROM information_schema.columns
    WHERE table_schema = current_schema()";

/// Looks for tables, columns and indexes that are missing. What there is besides is nobody's business.
pub(super) fn objects(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Checked> {
    let advice = "an index is made again by `ringback check --repair`; of anything else restore a backup";
    let mut result = Checked::new("", "every table, column and index of the schema is there", advice);
    // both databases have the same tables and columns, except for those of the cluster
    let mut empty = sqlite::migrated_in_memory()?;
    let columns_here = match connection {
        AnyConnection::Sqlite(_) => COLUMNS,
        AnyConnection::Postgres(_) => COLUMNS_OF_POSTGRES,
    };
    let expected = texts(&mut empty, COLUMNS)?;
    let present: BTreeSet<String> = texts(connection, columns_here)?.into_iter().collect();
    expected
        .iter()
        .filter(|column| !present.contains(*column))
        .for_each(|column| result.add(format!("the column {column} is missing")));
    let mut looked_at = expected.len();
    if matches!(connection, AnyConnection::Sqlite(_)) {
        let read = |connection: &mut AnyConnection| -> StoreResult<BTreeMap<String, String>> {
            let rows: Vec<Object> = diesel::sql_query(INDEXES).load(connection)?;
            Ok(rows.into_iter().map(|row| (row.name, row.sql.unwrap_or_default())).collect())
        };
        let present = read(connection)?;
        for (name, sql) in read(&mut empty)? {
            looked_at += 1;
            if present.contains_key(&name) {
                continue;
            }
            result.add(format!("the index {name} is missing"));
            if terms.repairs() {
                diesel::sql_query(&sql).execute(connection)?;
                on_event(CheckEvent::Repaired(&format!("the index {name} is made again")));
                result.repaired += 1;
            }
        }
    }
    result.rows = Some(looked_at as u64);
    Ok(result)
}
