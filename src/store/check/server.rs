//! What the database itself says about its files.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::{CheckEvent, CheckMode, Checked, number, texts};

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

const RESTORE: &str = "restore a backup; the disk or the memory of this machine may be failing";

/// Problems of an index alone, which is made again from its table.
const OF_INDEXES: [&str; 3] = ["missing from index", "wrong # of entries in index", "non-unique entry in index"];

/// Asks SQLite to look through its file, or PostgreSQL for what it has noticed.
pub(super) fn storage(
    connection: &mut AnyConnection,
    mode: CheckMode,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Checked> {
    let mut result = match connection {
        AnyConnection::Sqlite(sqlite) => of_sqlite(sqlite)?,
        AnyConnection::Postgres(_) => of_postgres(connection)?,
    };
    let is_of_indexes = |example: &String| OF_INDEXES.iter().any(|problem| example.contains(problem));
    if let (CheckMode::Repair { .. }, AnyConnection::Sqlite(sqlite)) = (mode, connection)
        && result.is_finding()
        && result.examples.iter().all(is_of_indexes)
    {
        sqlite.batch_execute("REINDEX")?;
        let left = of_sqlite(sqlite)?;
        result.repaired = result.wrong.saturating_sub(left.wrong);
        if !left.is_finding() {
            on_event(CheckEvent::Repaired("indexes that differed from their tables are made again"));
        }
    }
    Ok(result)
}

fn is_damage(said: &str) -> bool {
    // SQLITE_CORRUPT, SQLITE_NOTADB
    ["malformed", "file is not a database"].iter().any(|words| said.contains(words))
}

/// At most 100 problems are named. The schema has no foreign keys, which would be checked apart.
fn of_sqlite(sqlite: &mut SqliteConnection) -> StoreResult<Checked> {
    let mut result = Checked::new("", "the file is whole (integrity_check)", RESTORE);
    let verdicts: Vec<Verdict> = match diesel::sql_query("PRAGMA integrity_check").load(sqlite) {
        Ok(verdicts) => verdicts,
        // so damaged that it can't look through it
        Err(diesel::result::Error::DatabaseError(_, said)) if is_damage(said.message()) => {
            result.add(said.message().to_owned());
            return Ok(result);
        }
        Err(error) => return Err(error.into()),
    };
    let problems = verdicts.into_iter().map(|verdict| verdict.integrity_check).filter(|verdict| verdict != "ok");
    problems.for_each(|problem| result.add(problem));
    Ok(result)
}

/// With the extension `amcheck`, all indexes are compared with themselves.
fn of_postgres(connection: &mut AnyConnection) -> StoreResult<Checked> {
    let what = "the server has noticed no damage (checksums, invalid indexes, amcheck)";
    let mut result = Checked::new("", what, RESTORE);
    let invalid =
        "SELECT indexrelid::regclass::TEXT AS text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready)";
    texts(connection, invalid)?
        .into_iter()
        .for_each(|index| result.add(format!("the index {index} is not valid")));
    let failures =
        "SELECT coalesce(checksum_failures, 0) AS n FROM pg_stat_database WHERE datname = current_database()";
    let failures = number(connection, failures)?;
    if failures > 0 {
        result.add(format!("{failures} pages had a wrong checksum when they were read"));
    }
    let amcheck = "SELECT count(*) AS n FROM pg_extension WHERE extname = 'amcheck'";
    if number(connection, amcheck)? > 0 {
        for index in texts(connection, INDEXES_TO_CHECK)? {
            let checked =
                diesel::sql_query(format!("SELECT bt_index_check('{index}'::regclass)")).execute(connection);
            if let Err(error) = checked {
                result.add(format!("{index}: {error}"));
            }
        }
    }
    Ok(result)
}

const INDEXES_TO_CHECK: &str = "
    SELECT i.indexrelid::TEXT AS text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE c.relnamespace = current_schema()::regnamespace AND a.amname = 'btree' AND i.indisvalid ORDER BY 1";
