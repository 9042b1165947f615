//! Copies committed pages from the write-ahead log into the database file, alongside the commits.
//!
//! By default SQLite does that inside a commit, and all publishers wait for it. Here most of it is done while
//! commits continue, and a commit waits only for the pages that were written in the meantime.
//!
//! A reader in another process (a backup, a shell) keeps the log from being restarted for as long as one of its
//! transactions lasts, and the log grows. That can't be prevented, but nobody has to wait for it: when the
//! reader has ended, all of the log is copied alongside the commits, and its file is truncated.

use std::thread;
use std::time::Duration;

use super::super::connection::{Readers, Writer};
use super::super::{Checkpoint, StoreError, StoreResult};
use super::wal_state::{WalState, copy, read_state};
use super::{DatabaseLock, log_file};

/// Pages (8 KiB) in the log that are worth a checkpoint: 80 MB. Smaller: pages that are written repeatedly
/// (those of the indexes) are copied into the database file more often. Larger: the disk is busy for longer at
/// a time, and commits wait for it (both in `docs/performance.md`).
const WORTH_PAGES: i32 = 10_000;
/// Pages that a commit may have to wait for. Smaller: more rounds alongside the commits. Larger: the commit
/// waits longer.
const LEFT_PAGES: i32 = 250;
/// Rounds of copying alongside the commits. Each leaves the pages that were written during it, so a log of 1.5
/// GB takes three or four. Less: a commit waits for the rest of a long log. More: if commits write faster than
/// this copies, the log grows for longer before they are made to wait.
const ROUNDS: usize = 10;

/// How often the file is synced during a copy. Smaller: the disk is asked more often than there is something to
/// sync. Larger: commits wait for data that is not on the disk yet.
const SYNC_EVERY: Duration = Duration::from_millis(20);

/// Makes a checkpoint if there is enough to copy, and truncates a long log.
pub(in super::super) fn run(readers: &Readers, writer: &Writer, file: &DatabaseLock) -> StoreResult<Checkpoint> {
    let log = readers.read(read_state)?;
    if log.pages >= WORTH_PAGES && copy_all(log, readers, writer, file)?.left() > 0 {
        return Ok(Checkpoint::Blocked);
    }
    if !log_file::is_long(file) {
        return Ok(Checkpoint::Done);
    }
    if readers.read(read_state)?.pages >= WORTH_PAGES {
        log_file::restart(writer)?;
    }
    log_file::truncate(readers, writer, file)?;
    Ok(if log_file::is_long(file) { Checkpoint::Blocked } else { Checkpoint::Done })
}

/// Copies the log. It can only be restarted if all of it is in the database file, which is why the writer
/// copies the end: nothing is added meanwhile.
///
/// SQLite syncs the file only after the copy that leaves nothing, so everything copied before would be written
/// to the disk while all commits wait. Therefore each round syncs its own pages.
fn copy_all(mut log: WalState, readers: &Readers, writer: &Writer, file: &DatabaseLock) -> StoreResult<WalState> {
    for _ in 0..ROUNDS {
        if log.left() <= LEFT_PAGES {
            break;
        }
        copy_and_sync(readers, file)?;
        let before = std::mem::replace(&mut log, readers.read(read_state)?);
        if log.left() > LEFT_PAGES && log.checkpointed == before.checkpointed {
            // a reader is in the way
            return Ok(log);
        }
    }
    writer.run(copy)
}

/// Copies, and syncs the copied pages meanwhile: a commit extends the log's file, and a file system like ext4
/// then waits for everything that was written to new places of any file.
fn copy_and_sync(readers: &Readers, file: &DatabaseLock) -> StoreResult<()> {
    thread::scope(|scope| {
        let copying = scope.spawn(|| readers.read(copy));
        while !copying.is_finished() {
            thread::park_timeout(SYNC_EVERY);
            file.sync()?;
        }
        let panicked = || StoreError::Unavailable("the checkpoint panicked".to_owned());
        copying.join().map_err(|_| panicked())?.map(drop)
    })?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use bytes::Bytes;
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};

    use super::super::super::connection::AnyConnection;
    use super::super::{open, open_for_plans};
    use super::*;
    use crate::domain::event::{Event, EventFilter};
    use crate::domain::ids::{EventId, OrganizationId};
    use crate::domain::random::CountingRandomSource;
    use crate::domain::secret::Secret;
    use crate::domain::time::UnixMillis;
    use crate::store::{Cipher, NewEvent, PageRequest, Store, WriteBatch};

    const BODY_PAGES: i32 = 1_250;
    const NOW: UnixMillis = UnixMillis(1_000);

    /// A store, the number of its commits, and a second connection that observes its log.
    struct CheckpointFixture {
        folder: tempfile::TempDir,
        store: Box<dyn Store>,
        observer: AnyConnection,
        commits: i64,
    }

    impl CheckpointFixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint.db");
            let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
            let cipher = Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).unwrap();
            let store = Box::new(open(path.to_str().unwrap(), cipher).unwrap());
            Self { folder, store, observer: open_for_plans(path).unwrap(), commits: 0 }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("checkpoint.db")
        }

        /// Commits of 10 MB each.
        fn commit(&mut self, times: i64) {
            for _ in 0..times {
                self.commits += 1;
                let body = Bytes::from(vec![b'x'; BODY_PAGES as usize * 8_192]);
                let (id, organization_id) = (EventId(self.commits), OrganizationId(1));
                let event_type = String::from("call.completed");
                let event = Event {
                    id,
                    organization_id,
                    event_type,
                    occurred_at: NOW,
                    accepted_at: NOW,
                    body,
                    trace: None,
                };
                let new = NewEvent {
                    event: Arc::new(event),
                    deliveries: Vec::new(),
                    labels: None,
                    idempotency: None,
                    batch: None,
                };
                self.store.commit(&WriteBatch { events: vec![new], ..WriteBatch::default() }, NOW).unwrap();
            }
        }

        fn log(&mut self) -> WalState {
            read_state(&mut self.observer).unwrap()
        }

        /// Bytes of the log's file.
        fn log_bytes(&self) -> u64 {
            std::fs::metadata(self.folder.path().join("checkpoint.db-wal")).unwrap().len()
        }

        fn has_all(&self) -> bool {
            let page = PageRequest { before_id: None, limit: 100 };
            let events = self.store.events(OrganizationId(1), &EventFilter::default(), page).unwrap();
            events.len() as i64 == self.commits
        }
    }

    #[derive(QueryableByName)]
    struct IntegrityCheck {
        #[diesel(sql_type = diesel::sql_types::Text)]
        integrity_check: String,
    }

    /// Another process's connection in the middle of a reading transaction.
    fn reader(path: &Path) -> SqliteConnection {
        let mut reader = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        reader.batch_execute("BEGIN; SELECT count(*) FROM events").unwrap();
        reader
    }

    #[test]
    fn after_a_checkpoint_the_log_is_restarted_and_everything_is_there() {
        let mut world = CheckpointFixture::new();
        world.commit(1);
        assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Done);
        assert_eq!(world.log().checkpointed, 0, "too little for a checkpoint");

        world.commit(i64::from(WORTH_PAGES / BODY_PAGES));
        let log = world.log();
        assert!(log.pages > WORTH_PAGES && log.checkpointed == 0, "{log:?}: commits make no checkpoint");
        assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Done);
        assert_eq!(world.log().left(), 0);
        world.commit(1);
        let log = world.log();
        assert!(log.pages < 2 * BODY_PAGES, "{log:?}: it was restarted");
        assert!(world.has_all());
    }

    #[test]
    fn no_commit_makes_the_checkpoint_that_a_reader_held_up_and_the_log_is_truncated_when_it_has_ended() {
        let mut world = CheckpointFixture::new();
        world.commit(1);
        let reader = reader(&world.path());
        // more than SQLite's own checkpoints waited for
        world.commit(26);
        let log = world.log();
        assert!(log.pages > 30_000, "{log:?}");
        for _ in 0..3 {
            assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Blocked);
        }
        let copied = world.log().checkpointed;
        assert!(copied < 2 * BODY_PAGES, "only what the reader sees: {copied}");
        drop(reader);
        world.commit(1);
        assert_eq!(world.log().checkpointed, copied, "a commit copied the accumulated pages");
        assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Done);
        assert_eq!(world.log_bytes(), 8 << 20, "even if nothing is written any more");
        world.commit(2);
        assert!(world.has_all());
    }

    #[test]
    fn a_log_that_was_copied_but_is_being_read_is_truncated_after_the_reader_and_nothing_is_missing() {
        let mut world = CheckpointFixture::new();
        let first = reader(&world.path());
        world.commit(20);
        // reads all of it: the pages can be copied, but the log can't be restarted
        let second = reader(&world.path());
        drop(first);
        for _ in 0..2 {
            assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Blocked);
        }
        assert!(world.log().left() <= 2, "{:?}: except for the attempt to restart it", world.log());
        assert!(world.log_bytes() > 190 << 20);
        drop(second);
        world.commit(1);
        assert_eq!(world.store.checkpoint().unwrap(), Checkpoint::Done);
        assert_eq!(world.log_bytes(), 8 << 20);
        world.commit(1);
        assert!(world.log().left() > 0 && world.has_all());
        let mut other = open_for_plans(world.path()).unwrap();
        drop(world.store);
        let whole: IntegrityCheck = diesel::sql_query("PRAGMA integrity_check").get_result(&mut other).unwrap();
        assert_eq!(whole.integrity_check, "ok");
    }
}
