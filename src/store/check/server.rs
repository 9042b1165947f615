//! What the database itself says about its files.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::indexes::Suspect;
use super::integrity::{Examined, SOME, examine};
use super::{CheckEvent, CheckTerms, Checked, indexes, number, texts};

const RESTORE: &str = "restore a backup; the disk or the memory of this machine may be failing";
/// Problems of an index alone, which is made again from its table.
const OF_INDEXES: [&str; 3] = ["missing from index", "wrong # of entries in index", "non-unique entry in index"];

/// Asks SQLite to look through its file, or PostgreSQL for what it has noticed.
pub(super) fn storage(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Vec<Checked>> {
    let AnyConnection::Sqlite(sqlite) = connection else { return Ok(vec![of_postgres(connection)?]) };
    let mut examined = examine(sqlite, SOME)?;
    let is_finding = examined.whole.is_finding();
    if is_finding && terms.repairs() {
        repair(sqlite, &mut examined, on_event)?;
    }
    if examined.whole.is_finding() {
        // before the words of SQLite, which may be many
        let suspects = indexes::suspects(sqlite);
        examined.whole.examples.splice(0..0, suspects.iter().map(Suspect::shown));
    }
    if terms.repairs() && !examined.whole.is_finding() && examined.lost.is_finding() {
        give_back(sqlite, &mut examined.lost, on_event)?;
    }
    let Examined { whole, lost } = examined;
    Ok(if lost.wrong > 0 { vec![whole, lost] } else { vec![whole] })
}

/// Makes damaged indexes again, if the rest is whole.
fn repair(
    sqlite: &mut SqliteConnection,
    examined: &mut Examined,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<()> {
    let is_of_indexes = |example: &String| OF_INDEXES.iter().any(|problem| example.contains(problem));
    if examined.whole.examples.iter().all(is_of_indexes) && sqlite.batch_execute("REINDEX").is_ok() {
        let left = examine(sqlite, SOME)?;
        if !left.whole.is_finding() {
            on_event(CheckEvent::Repaired("indexes that differed from their tables are made again"));
            examined.whole.repaired = examined.whole.wrong;
            examined.lost = left.lost;
            return Ok(());
        }
    }
    let made = indexes::rebuild(sqlite)?;
    if !made.is_empty() {
        made.iter().for_each(|name| on_event(CheckEvent::Repaired(&format!("the index {name} is made again"))));
        examined.whole.repaired = examined.whole.wrong;
        examined.lost = examine(sqlite, SOME)?.lost;
    }
    Ok(())
}

/// Rewrites the file without the pages that belong to nothing.
fn give_back(
    sqlite: &mut SqliteConnection,
    lost: &mut Checked,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<()> {
    match sqlite.batch_execute("VACUUM") {
        Ok(()) => {
            let left = examine(sqlite, SOME)?.lost;
            lost.repaired = lost.wrong.saturating_sub(left.wrong);
            on_event(CheckEvent::Repaired("the file is rewritten without pages that belonged to nothing"));
        }
        // most likely the disk is full; the database is as it was
        Err(error) => lost.add(format!("the room can't be given back: {error}")),
    }
    Ok(())
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
