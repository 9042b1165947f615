//! Brings what commits wrote to the write-ahead log into the database file, beside the commits.
//!
//! Left alone, SQLite does it inside of a commit: whoever published, and everyone behind, waits for it.
//! Here most of it is done while commits go on, and a commit waits only for what was written meanwhile.
//!
//! Whoever reads from another process (a backup, a shell) keeps the log from beginning anew for as long as one transaction
//! of theirs lasts, and it grows. Nothing can be done about that, but nobody has to wait for it either: when they have
//! ended, all of it is copied beside the commits, and the log is cut.

use diesel::connection::SimpleConnection;
use diesel::sql_types::Integer;
use diesel::{QueryableByName, RunQueryDsl};

use super::super::connection::{AnyConnection, Readers, Writer};
use super::super::{Checkpoint, StoreResult};

/// Pages (8 KiB) in the log that are worth a checkpoint: 80 MB. Smaller: pages that are written again and again (the
/// indexes) go into the database file more often. Larger: the disk is busy for longer at a time, and commits wait for
/// it (both in `docs/performance.md`).
const WORTH_PAGES: i32 = 10_000;
/// Pages that a commit may have to wait for. Smaller: more rounds beside it. Larger: it waits longer.
const LEFT_PAGES: i32 = 250;
/// Beside the commits. Each leaves what was written during it, so a log of 1.5 GB takes three or four. Less: a commit waits
/// for the rest of a long log. More: when commits write faster than this copies, the log grows for longer before
/// they are made to wait.
const ROUNDS: usize = 10;
/// A log with so many pages is cut when all of it was copied: 128 MB, as `journal_size_limit`.
const LONG_PAGES: i32 = 16_384;

/// What SQLite says of its log.
#[derive(QueryableByName, Debug, Clone, Copy)]
struct Log {
    /// Pages in it.
    #[diesel(sql_type = Integer, column_name = log)]
    pages: i32,
    /// Those that are in the database file as well.
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl Log {
    fn left(self) -> i32 {
        self.pages - self.checkpointed
    }
}

/// Makes a checkpoint when there is enough for one. All of the log must be in the file for it to begin anew, which is
/// why the writer makes the end of it: nothing is added to the log meanwhile.
pub(in super::super) fn run(readers: &Readers, writer: &Writer) -> StoreResult<Checkpoint> {
    let mut log = readers.read(|connection| ask(connection, "PRAGMA wal_checkpoint(NOOP)"))?;
    if log.pages < WORTH_PAGES {
        return Ok(Checkpoint::Done);
    }
    for _ in 0..ROUNDS {
        if log.left() <= LEFT_PAGES {
            break;
        }
        let before = std::mem::replace(&mut log, readers.read(copy)?);
        if log.left() > LEFT_PAGES && log.checkpointed == before.checkpointed {
            return Ok(Checkpoint::Blocked);
        }
    }
    let log = writer.run(end)?;
    Ok(if log.left() > 0 || log.pages >= LONG_PAGES { Checkpoint::Blocked } else { Checkpoint::Done })
}

/// Copies what no reader stands in the way of, syncs it, and does not make anyone wait.
fn copy(connection: &mut AnyConnection) -> StoreResult<Log> {
    ask(connection, "PRAGMA wal_checkpoint(PASSIVE)")
}

/// Copies what little is left, and cuts the log when it is a long one.
fn end(connection: &mut AnyConnection) -> StoreResult<Log> {
    let log = copy(connection)?;
    if log.left() > 0 || log.pages < LONG_PAGES {
        return Ok(log);
    }
    // only if nobody reads: else everyone would wait for them
    if let AnyConnection::Sqlite(sqlite) = connection {
        sqlite.batch_execute("PRAGMA busy_timeout = 0")?;
    }
    let cut = ask(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
    if let AnyConnection::Sqlite(sqlite) = connection {
        sqlite.batch_execute(super::BUSY_TIMEOUT)?;
    }
    cut
}

fn ask(connection: &mut AnyConnection, pragma: &str) -> StoreResult<Log> {
    Ok(diesel::sql_query(pragma).get_result(connection)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::{open, open_for_plans};
    use super::*;
    use crate::domain::entropy::CountingEntropy;
    use crate::domain::event::{Event, EventFilter};
    use crate::domain::ids::{EventId, OrganizationId};
    use crate::domain::secret::Secret;
    use crate::domain::time::UnixMillis;
    use crate::store::{Cipher, NewEvent, PageRequest, Store, WriteBatch};

    const BODY_PAGES: i32 = 1_250;
    const NOW: UnixMillis = UnixMillis(1_000);

    fn commit(store: &impl Store, id: i64) {
        let body = Bytes::from(vec![b'x'; BODY_PAGES as usize * 8_192]);
        let (event_type, organization_id) = (String::from("call.completed"), OrganizationId(1));
        let event =
            Event { id: EventId(id), organization_id, event_type, occurred_at: NOW, accepted_at: NOW, body };
        let new = NewEvent { event: Arc::new(event), deliveries: Vec::new(), idempotency: None };
        store.commit(&WriteBatch { events: vec![new], ..WriteBatch::default() }, NOW).unwrap();
    }

    #[test]
    fn after_a_checkpoint_the_log_begins_anew_and_everything_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.db");
        let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
        let cipher = Cipher::from_master_key(&key, Arc::new(CountingEntropy::default())).unwrap();
        let store = open(path.to_str().unwrap(), cipher).unwrap();
        let mut observer = open_for_plans(path).unwrap();
        let mut log = || ask(&mut observer, "PRAGMA wal_checkpoint(NOOP)").unwrap();

        commit(&store, 1);
        store.checkpoint().unwrap();
        assert_eq!(log().checkpointed, 0, "too little for a checkpoint");

        let enough = i64::from(WORTH_PAGES / BODY_PAGES) + 1;
        (2..=enough).for_each(|id| commit(&store, id));
        assert!(log().pages > WORTH_PAGES && log().checkpointed == 0, "{:?}: commits make none", log());
        store.checkpoint().unwrap();
        assert_eq!(log().left(), 0);
        commit(&store, enough + 1);
        assert!(log().pages < 2 * BODY_PAGES, "{:?}: it was begun anew", log());
        let page = PageRequest { before_id: None, limit: 100 };
        let events = store.events(OrganizationId(1), &EventFilter::default(), page).unwrap();
        assert_eq!(events.len() as i64, enough + 1);
    }
}
