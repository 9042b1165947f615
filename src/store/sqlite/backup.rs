//! A copy of a database file that an engine may be using.
//!
//! All pages are read in one transaction: the copy is the database of the moment at which it began, and no commit makes
//! SQLite begin again. Nobody waits for that transaction; the write-ahead log grows while it lasts
//! ([`super::checkpoint`]). Under its own name a copy is complete and on the disk; before, it has another.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tempfile::NamedTempFile;

use super::super::{StoreError, StoreResult};
use super::check_path;

/// Pages (8 KiB) that are copied between two syncs of the copy. Smaller: more syncs than the disk needs. Larger: a commit of
/// the engine waits for what the copy has written, on a file system like ext4.
const PAGES_A_STEP: i32 = 512;
/// Pages that are checked between two pauses, or other operations of SQLite, which take less time. Smaller: more pauses than the
/// machine needs. Larger: it is busy for longer at a time.
const OPERATIONS_A_STEP: i32 = 10_000;
const INTERRUPTED: &str = "interrupted; there is no backup";

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupStep {
    /// Bytes that are in the copy.
    pub copied: u64,
    /// Bytes that it will have.
    pub total: u64,
    /// All is copied, and is being read through.
    pub is_checking: bool,
    /// Whether an engine uses the database meanwhile.
    pub is_in_use: bool,
}

/// Is called after each step, and takes as long as the pause is to be; [`ControlFlow::Break`] ends the backup.
pub type OnStep = Box<dyn FnMut(BackupStep) -> ControlFlow<()> + Send>;

/// What is in a finished copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Its length.
    pub bytes: u64,
    /// The newest migration of its schema.
    pub schema: String,
    /// The id of the master key that reads its secrets, if it has noted one.
    pub master_key_id: Option<String>,
    /// Whether an engine used the database meanwhile.
    pub is_in_use: bool,
}

impl BackupReport {
    fn all_copied(&self, is_checking: bool) -> BackupStep {
        BackupStep { copied: self.bytes, total: self.bytes, is_checking, is_in_use: self.is_in_use }
    }
}

/// Copies the database file into a new file, and checks the copy.
pub(in super::super) fn run(path: &str, target: &Path, on_step: OnStep) -> StoreResult<BackupReport> {
    let path = check_path(path)?;
    if !path.exists() {
        return Err(StoreError::Refused(format!("the database file {} does not exist", path.display())));
    }
    let path = fs::canonicalize(&path).map_err(|error| unavailable(&path, &error))?;
    let folder = check_target(target)?;
    check_name(&path, &folder, target)?;
    let is_in_use = is_in_use(&path)?;
    let source = open_source(&path)?;
    let report = describe(&source, &path, is_in_use)?;
    remove_left_over(&folder);
    check_room(&folder, report.bytes)?;

    let hidden = tempfile::Builder::new().prefix(HIDDEN_PREFIX).suffix(HIDDEN_SUFFIX).tempfile_in(&folder);
    // readable for its owner only, like the database
    let copy = hidden.map_err(|error| unavailable(&folder, &error))?;
    // until it has its name: `remove_left_over`
    copy.as_file().try_lock().map_err(|error| unavailable(copy.path(), &error))?;
    let on_step = Arc::new(Mutex::new(on_step));
    let written = copy_pages(&source, &copy, &report, &on_step)?;
    // the write-ahead log can be cut while the copy is checked
    drop(source);
    check_copy(&written, &report, &on_step)?;
    drop(written);
    copy.as_file().sync_all().map_err(|error| unavailable(copy.path(), &error))?;
    give_name(copy, target)?;
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| unavailable(&folder, &error))?;
    let bytes = fs::metadata(target).map_err(|error| unavailable(target, &error))?.len();
    Ok(BackupReport { bytes, ..report })
}

/// Removes what killed backups left in this folder, each as large as a backup. One that is being written is locked.
fn remove_left_over(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !name.starts_with(HIDDEN_PREFIX.as_bytes()) || !name.ends_with(HIDDEN_SUFFIX.as_bytes()) {
            continue;
        }
        let is_left = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_left {
            // what stays takes room, and prevents no backup
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

/// A copy that has no name yet.
const HIDDEN_PREFIX: &str = ".ringback-backup-";
const HIDDEN_SUFFIX: &str = ".partial";
/// Behind the name of a database: files of SQLite, and of the engine.
const OF_THE_DATABASE: [&str; 6] = ["-journal", "-wal", "-shm", ".lock", ".dev-key", ".master-key"];

/// The folder of the copy, whose name must be free.
fn check_target(target: &Path) -> StoreResult<PathBuf> {
    let refused = |message: String| Err(StoreError::Refused(message));
    if target.file_name().is_none() || target.is_dir() {
        return refused(format!("{} is a folder; name a file for the backup", target.display()));
    }
    if fs::symlink_metadata(target).is_ok() {
        return refused(exists(target));
    }
    let target = std::path::absolute(target).map_err(|error| unavailable(target, &error))?;
    match target.parent() {
        Some(folder) if folder.is_dir() => Ok(folder.to_owned()),
        folder => refused(format!(
            "the folder {} does not exist; create it, or name another file for the backup",
            folder.unwrap_or(&target).display()
        )),
    }
}

/// Names that begin with the database's and a sign belong to it: SQLite would take a backup for its journal, and remove it.
fn check_name(path: &Path, folder: &Path, target: &Path) -> StoreResult<()> {
    let (Some(own), Some(name)) = (path.file_name(), target.file_name()) else { return Ok(()) };
    let rest = name.as_encoded_bytes().strip_prefix(own.as_encoded_bytes());
    let is_its_folder = fs::canonicalize(folder).is_ok_and(|folder| path.parent() == Some(&*folder));
    let belongs = |rest: &[u8]| OF_THE_DATABASE.iter().any(|ending| ending.as_bytes() == rest);
    match is_its_folder && rest.is_some_and(belongs) {
        true => Err(StoreError::Refused(format!(
            "{} is a name of the database's own files; name another file for the backup",
            target.display()
        ))),
        false => Ok(()),
    }
}

fn exists(target: &Path) -> String {
    format!(
        "{} exists, and a backup overwrites nothing; name another file (with the date in its name, for example)",
        target.display()
    )
}

/// Whether an engine holds its lock. Only before this process opens the database by SQLite: with the descriptor that this
/// closes SQLite's own locks would go.
pub(in super::super) fn is_in_use(path: &Path) -> StoreResult<bool> {
    let file = File::open(path).map_err(|error| unavailable(path, &error))?;
    let is_in_use = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => return Err(unavailable(path, &error)),
    };
    let names = file.metadata().map_err(|error| unavailable(path, &error))?.nlink();
    let log = PathBuf::from(format!("{}-wal", path.display()));
    if names > 1 || (is_in_use && !log.exists()) {
        return Err(StoreError::Refused(format!(
            "{}: the engine has opened this file by another name (a hard link, a mount), and its newest commits are in the \
             -wal file next to that name: use that name",
            path.display()
        )));
    }
    Ok(is_in_use)
}

fn failed(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::NotADatabase => {
            StoreError::Refused(String::from(
                "this is not a SQLite database: name another file in the database URL",
            ))
        }
        rusqlite::Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::OperationInterrupted => {
            StoreError::Refused(String::from(INTERRUPTED))
        }
        rusqlite::Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::DatabaseCorrupt => {
            StoreError::Corrupt(format!(
                "the database is damaged: {error}; `ringback check` shows where, and an older backup may be whole"
            ))
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// A connection that changes nothing, not even when it is the last one to close, in the transaction that the copy is made in.
fn open_source(path: &Path) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, flags).map_err(|error| unavailable(path, &error))?;
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(|error| failed(&error))?;
    source
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON; \
             BEGIN; SELECT count(*) FROM sqlite_schema;",
        )
        .map_err(|error| failed(&error))?;
    Ok(source)
}

fn describe(source: &Connection, path: &Path, is_in_use: bool) -> StoreResult<BackupReport> {
    let number = |pragma: &str| source.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count").map_err(|error| failed(&error))?;
    let page = number("PRAGMA page_size").map_err(|error| failed(&error))?;
    let text = |sql: &str| source.query_row(sql, [], |row| row.get::<_, String>(0)).optional();
    let schema = text("SELECT max(version) FROM __diesel_schema_migrations").ok().flatten().ok_or_else(|| {
        StoreError::Refused(format!("{} is not a database of ringback: it has no schema", path.display()))
    })?;
    // an older schema has no such table
    let master_key_id = text("SELECT key_id FROM master_key").ok().flatten();
    Ok(BackupReport { bytes: pages.saturating_mul(page).unsigned_abs(), schema, master_key_id, is_in_use })
}

fn check_room(folder: &Path, bytes: u64) -> StoreResult<()> {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{} has {} MiB free, and the backup takes {} MiB: make room, or name a file on another disk",
        folder.display(),
        free >> 20,
        bytes.div_ceil(1 << 20)
    )))
}

fn copy_pages(
    source: &Connection,
    copy: &NamedTempFile,
    report: &BackupReport,
    on_step: &Mutex<OnStep>,
) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(copy.path(), flags).map_err(|error| failed(&error))?;
    // nobody else knows of it, and what is left of it after a crash is no backup
    let alone = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;";
    target.execute_batch(alone).map_err(|error| failed(&error))?;
    let backup = Backup::new(source, &mut target).map_err(|error| failed(&error))?;
    loop {
        let result = backup.step(PAGES_A_STEP).map_err(|error| failed(&error))?;
        copy.as_file().sync_data().map_err(|error| unavailable(copy.path(), &error))?;
        let progress = backup.progress();
        let pages = |pages: i32| u64::try_from(pages).unwrap_or(0);
        let page = report.bytes / pages(progress.pagecount).max(1);
        let copied = pages(progress.pagecount - progress.remaining) * page;
        if (on_step.lock())(BackupStep { copied, ..report.all_copied(false) }).is_break() {
            return Err(StoreError::Refused(String::from(INTERRUPTED)));
        }
        match result {
            StepResult::Done => break,
            StepResult::More => {}
            // the copy is nobody else's, and a reader of a write-ahead log waits for nobody
            other => return Err(StoreError::Unavailable(format!("the database is locked ({other:?})"))),
        }
    }
    drop(backup);
    Ok(target)
}

/// In the copy there is no write-ahead log: it is one file, also for who opens it. All of it is read once, so that a damaged
/// database is noticed while older backups are still there.
fn check_copy(target: &Connection, report: &BackupReport, on_step: &Arc<Mutex<OnStep>>) -> StoreResult<()> {
    let (on_step, step) = (Arc::clone(on_step), report.all_copied(true));
    let pause = move || (on_step.lock())(step).is_break();
    target.progress_handler(OPERATIONS_A_STEP, Some(pause)).map_err(|error| failed(&error))?;
    let text =
        |sql: &str| target.query_row(sql, [], |row| row.get::<_, String>(0)).map_err(|error| failed(&error));
    let mode = text("PRAGMA journal_mode = DELETE")?;
    if mode != "delete" {
        return Err(StoreError::Unavailable(format!("the copy keeps its journal mode {mode}")));
    }
    match text("PRAGMA integrity_check(1)")?.as_str() {
        "ok" => Ok(()),
        problem => Err(StoreError::Corrupt(format!(
            "the database is damaged, and there is no backup: {problem}; `ringback check` shows all of it, and an older backup \
             may be whole"
        ))),
    }
}

/// Gives the copy its name, if nothing has it.
fn give_name(copy: NamedTempFile, target: &Path) -> StoreResult<()> {
    match copy.persist_noclobber(target) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::Refused(exists(target)))
        }
        Err(error) => Err(unavailable(target, &error.error)),
    }
}
