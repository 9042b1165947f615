//! Truncates the file of the write-ahead log when it has become long. SQLite reuses it from the beginning and
//! never shortens it, or else truncates all of it at once: 1.3 GB took 0.5 s, during which all publishers
//! waited.

use std::fs::{self, OpenOptions};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::super::connection::{AnyConnection, Readers, Writer};
use super::super::{StoreError, StoreResult};
use super::DatabaseLock;
use super::wal_state;

/// A log longer than this is truncated. Smaller: it would be truncated and extended again in everyday work,
/// where it has 80 to 100 MB.
const LONG_BYTES: u64 = 128 << 20;
/// It is truncated to this, or to the part in use.
const SHORT_BYTES: u64 = 8 << 20;
/// Removed per step; commits run between steps. Larger: they wait longer, with 64 MB for up to 0.6 s.
const STEP_BYTES: u64 = 16 << 20;
/// The headers of the file, and of each page in it.
const HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

#[derive(QueryableByName)]
struct PageSize {
    #[diesel(sql_type = BigInt)]
    page_size: i64,
}

/// Whether it should be truncated.
pub(super) fn is_long(file: &DatabaseLock) -> bool {
    length(file) > LONG_BYTES
}

fn length(file: &DatabaseLock) -> u64 {
    fs::metadata(file.log_path()).map_or(0, |metadata| metadata.len())
}

/// Restarts the log, if all of it was copied and nobody reads from it: commits a page without changing it.
pub(super) fn restart(writer: &Writer) -> StoreResult<()> {
    writer.write(|connection| match connection {
        AnyConnection::Sqlite(sqlite) => Ok(sqlite.batch_execute("PRAGMA user_version = 0")?),
        AnyConnection::Postgres(_) => Ok(()),
    })
}

/// Removes the unused end, step by step, between which others write.
pub(super) fn truncate(readers: &Readers, writer: &Writer, file: &DatabaseLock) -> StoreResult<()> {
    // taken first, so that the writer never waits for a reader
    readers.read(|reader| {
        let PageSize { page_size } = diesel::sql_query("PRAGMA page_size").get_result(reader)?;
        let frame = page_size.unsigned_abs() + FRAME_HEADER_BYTES;
        loop {
            // while a writing transaction is open, no process adds anything
            let has_more = writer.write(|_| {
                let pages = u64::try_from(wal_state::read_state(reader)?.pages).unwrap_or(u64::MAX);
                step(file, pages.saturating_mul(frame).saturating_add(HEADER_BYTES))
            })?;
            if !has_more {
                return Ok(());
            }
        }
    })
}

/// One step; returns whether there was anything to remove.
fn step(file: &DatabaseLock, used: u64) -> StoreResult<bool> {
    let length = length(file);
    let shorter = length.saturating_sub(STEP_BYTES).max(used).max(SHORT_BYTES);
    if shorter >= length {
        return Ok(false);
    }
    let failed = |error| StoreError::Unavailable(format!("{}: {error}", file.log_path().display()));
    // closing this descriptor is harmless: SQLite has no locks on this file
    let log = OpenOptions::new().write(true).open(file.log_path()).map_err(failed)?;
    log.set_len(shorter).map_err(failed)?;
    Ok(true)
}
