//! The file of the write-ahead log, when it got long. SQLite writes it from the beginning again and never makes it shorter, or
//! else by all of it at once: 1.3 GB took 0.5 s, in which everyone who publishes waited.

use std::fs::{self, OpenOptions};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::super::connection::{AnyConnection, Readers, Writer};
use super::super::{StoreError, StoreResult};
use super::DatabaseLock;
use super::checkpoint;

/// A log of so many bytes is cut. Smaller: it is cut and made longer again in everyday work, where it has 80 to 100 MB.
const LONG_BYTES: u64 = 128 << 20;
/// It is cut to this, or to what is in use.
const SHORT_BYTES: u64 = 8 << 20;
/// So much at a time, between which commits have their turn. Larger: they wait longer, with 64 MB for up to 0.6 s.
const BITE_BYTES: u64 = 16 << 20;
/// Of the file, and of each page in it.
const HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

#[derive(QueryableByName)]
struct PageSize {
    #[diesel(sql_type = BigInt)]
    page_size: i64,
}

/// Whether it is to be cut.
pub(super) fn is_long(file: &DatabaseLock) -> bool {
    length(file) > LONG_BYTES
}

fn length(file: &DatabaseLock) -> u64 {
    fs::metadata(file.log_path()).map_or(0, |metadata| metadata.len())
}

/// Restarts it, when all of it was copied and nobody reads from it: as a commit does, of a page as it was.
pub(super) fn begin_anew(writer: &Writer) -> StoreResult<()> {
    writer.write(|connection| match connection {
        AnyConnection::Sqlite(sqlite) => Ok(sqlite.batch_execute("PRAGMA user_version = 0")?),
        AnyConnection::Postgres(_) => Ok(()),
    })
}

/// Cuts off what is not in use, a bite at a time, between which others write.
pub(super) fn cut(readers: &Readers, writer: &Writer, file: &DatabaseLock) -> StoreResult<()> {
    // taken first: nobody is to wait for one with the writer
    readers.read(|reader| {
        let PageSize { page_size } = diesel::sql_query("PRAGMA page_size").get_result(reader)?;
        let frame = page_size.unsigned_abs() + FRAME_HEADER_BYTES;
        loop {
            // within a transaction that writes nothing is added, by no process
            let is_cut = writer.write(|_| {
                let pages = u64::try_from(checkpoint::look(reader)?.pages).unwrap_or(u64::MAX);
                bite(file, pages.saturating_mul(frame).saturating_add(HEADER_BYTES))
            })?;
            if !is_cut {
                return Ok(());
            }
        }
    })
}

/// Whether there was something to cut off.
fn bite(file: &DatabaseLock, used: u64) -> StoreResult<bool> {
    let length = length(file);
    let shorter = length.saturating_sub(BITE_BYTES).max(used).max(SHORT_BYTES);
    if shorter >= length {
        return Ok(false);
    }
    let failed = |error| StoreError::Unavailable(format!("{}: {error}", file.log_path().display()));
    // SQLite has no locks on this file that would be lost with a descriptor of it
    let log = OpenOptions::new().write(true).open(file.log_path()).map_err(failed)?;
    log.set_len(shorter).map_err(failed)?;
    Ok(true)
}
