//! The lock that keeps a second engine away from a database file, whatever path leads to it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::super::{DatabaseSize, StoreError, StoreResult};
use super::explain;

/// How long a start waits for another process to release the file.
const MAX_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// Held as long as this lives. On the database file itself, so that a symbolic link, another path or a bind
/// mount leads to the same lock. It is a lock of `flock`, which is independent of the locks that SQLite takes
/// on the same file.
///
/// But SQLite's locks are lost when this process closes *any* descriptor of the file. So no other code may open
/// it, and this is dropped after the last connection.
pub(in super::super) struct DatabaseLock {
    /// Without symbolic links.
    path: PathBuf,
    log_path: PathBuf,
    identity: (u64, u64),
    database: File,
    /// The lock that versions before this one look at.
    _beside: File,
}

impl DatabaseLock {
    /// Opens and locks the file; creates it if it is new (readable for its owner only; SQLite gives its other
    /// files the same mode). Waits a moment for a process that is about to stop.
    pub(super) fn take(given: &Path) -> StoreResult<Self> {
        let unavailable = |error: std::io::Error| explain(StoreError::Unavailable(error.to_string()), given);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let database = options.open(given).map_err(unavailable)?;
        let database = locked(database, given)?;
        let path = fs::canonicalize(given).map_err(unavailable)?;
        let beside = PathBuf::from(format!("{}.lock", path.display()));
        let in_the_way = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", beside.display()));
        let beside = locked(options.open(&beside).map_err(in_the_way)?, given)?;
        let metadata = database.metadata().map_err(unavailable)?;
        check_names(&path, metadata.nlink())?;
        let identity = (metadata.dev(), metadata.ino());
        let log_path = PathBuf::from(format!("{}-wal", path.display()));
        Ok(Self { path, log_path, identity, database, _beside: beside })
    }

    /// The path of the database file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How much room the file and its write-ahead log take.
    pub(in crate::store) fn size(&self) -> StoreResult<DatabaseSize> {
        let failed = |error| StoreError::Unavailable(format!("{}: {error}", self.path.display()));
        let file = fs::metadata(&self.path).map_err(failed)?.len();
        // there is none before the first commit
        let log = fs::metadata(&self.log_path).map_or(0, |metadata| metadata.len());
        Ok(DatabaseSize { total: file.saturating_add(log), log })
    }

    /// The path of its write-ahead log.
    pub(super) fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// Syncs the file, whichever descriptor it was written through.
    pub(super) fn sync(&self) -> StoreResult<()> {
        let failed = |error| StoreError::Unavailable(format!("{}: {error}", self.path.display()));
        self.database.sync_data().map_err(failed)
    }

    /// Refuses a change to a file that no longer has its name: it would be lost.
    pub(super) fn check(&self) -> StoreResult<()> {
        let identity = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if identity.is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "{} was moved, removed or replaced while the engine uses it; put the file back with its -wal file, or restart the \
             engine with the right file",
            self.path.display()
        )))
    }
}

fn locked(file: File, given: &Path) -> StoreResult<File> {
    let mut polls_left = MAX_WAIT.as_millis() / POLL.as_millis();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if polls_left > 0 => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                // never closed: if this process has the database open, closing it would release SQLite's locks
                std::mem::forget(file);
                return Err(StoreError::Refused(format!(
                    "another process uses the database {}; stop it first, or give this one another file",
                    given.display()
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::Refused(format!(
                    "{} can't be locked ({error}): put the database on a local file system, which SQLite needs too",
                    given.display()
                )));
            }
        }
        polls_left -= 1;
    }
}

/// SQLite keeps its write-ahead log next to the name that the file is opened by. After a kill, an engine that
/// opens it by another name would not see the log, and would miss acknowledged events.
fn check_names(path: &Path, names: u64) -> StoreResult<()> {
    if names <= 1 {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the database {path} has {names} names (hard links), and data that SQLite wrote under one of them can be missing \
         under another; keep only one, the one with a -wal file next to it if there is one (`find / -xdev -samefile {path}` \
         lists them), and copy a database with `sqlite3 {path} \".backup copy.db\"`",
        path = path.display()
    )))
}
