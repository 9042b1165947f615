//! SQLite only: one file, one process, its pragmas, and the statements of a commit.

pub(super) mod backup;
pub(super) mod checkpoint;
pub(super) mod damage;
mod lock;
mod log_file;
mod statements;
mod wal_state;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel::sqlite::Sqlite;
use diesel::upsert::excluded;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use parking_lot::Mutex;

pub(super) use self::lock::DatabaseLock;
use self::statements::{End, EndAtOnce, InsertDeliveries, NewDelivery, Retry};
use super::check::Subject;
use super::connection::{AnyConnection, Opener, ReaderOptions};
use super::detail::StoredAttempt;
use super::diesel_store::{Database, DieselStore, Pools, migrate, migrations};
use super::label_rows;
use super::models::AttemptRow;
use super::new_key::NewKey;
use super::schema::{attempts, event_labels, events, idempotency_keys, oldest_reader};
use super::{Cipher, NewEvent, StoreError, StoreResult};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::time::UnixMillis;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Older libraries can lose a commit when the write-ahead log is reset (fixed in 3.51.3).
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// `busy_timeout` comes first: switching to WAL can meet a lock. FULL: a commit that returned is on disk.
///
/// Pages of 8 KiB, in a new file: with 4 a delivery took as much processor time where webhooks are many, and a
/// seventh more in `ringback load fanout` (`docs/performance.md`); with 16 a commit to many webhooks writes
/// more.
///
/// Checkpoints run alongside the commits (`checkpoint`), never inside one by SQLite itself: after a reader had
/// been active for a minute that was 1.5 GB, and all publishers waited for it.
///
/// Deleted data is overwritten where its page is written anyway: nothing of a deleted secret stays in the file.
///
/// A cache of 16 MiB: with 64 a delivery took as much processor time, to 10 webhooks and to 3,000, and the
/// engine used 60 MiB more; SQLite searches all of it at each commit.
const WRITER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = OFF;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA secure_delete = FAST;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
";
const READER_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA query_only = ON;
    PRAGMA cache_size = -8192;
    PRAGMA temp_store = MEMORY;
";
/// Reads run on the processors of this machine: more connections than that would only take turns. One for keys
/// would wait for a read of the disk.
const POOLS: Pools = Pools { api: readers(4), engine: readers(4), keys: readers(2) };

const fn readers(max_size: u32) -> ReaderOptions {
    ReaderOptions { max_size, test_on_check_out: false }
}

const SYNCHRONOUS_FULL: i32 = 2;

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

#[derive(QueryableByName)]
struct Encoding {
    #[diesel(sql_type = Text)]
    encoding: String,
}

#[derive(QueryableByName)]
struct Synchronous {
    #[diesel(sql_type = Integer)]
    synchronous: i32,
}

#[derive(QueryableByName)]
struct Tables {
    #[diesel(sql_type = BigInt)]
    tables: i64,
    #[diesel(sql_type = BigInt)]
    of_migrations: i64,
}

/// Opens the database file; creates it if it is new.
pub(super) fn open(path: &str, cipher: Cipher) -> StoreResult<DieselStore> {
    let path = check_path(path)?;
    let lock = Arc::new(DatabaseLock::take(&path)?);
    refuse_of_another_program(lock.path())?;
    let opener: Arc<dyn Opener> = Arc::new(SqliteOpener { lock: Arc::clone(&lock) });
    let connection = open_checked(opener.as_ref()).map_err(|error| explain(error, &path))?;
    let database = Database::Sqlite { checkpointing: Mutex::new(()), lock };
    DieselStore::new(opener, connection, &POOLS, cipher, database)
}

/// Opening a file changes it: it gets a log and our tables. So this looks first, and changes nothing.
fn refuse_of_another_program(path: &Path) -> StoreResult<()> {
    // what is wrong with a file that can't be read is said when it is opened
    let Ok(AnyConnection::Sqlite(mut sqlite)) = connect(&read_only(path), READER_PRAGMAS) else { return Ok(()) };
    let sql = "SELECT count(*) AS tables, \
               coalesce(sum(name = '__diesel_schema_migrations'), 0) AS of_migrations \
               FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let Ok(Tables { tables, of_migrations }) = diesel::sql_query(sql).get_result(&mut sqlite) else {
        return Ok(());
    };
    if tables == 0 || of_migrations > 0 {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{} is a database of another program and was not changed: name another file in the database URL",
        path.display()
    )))
}

/// A file that SQLite opens without changing it.
fn read_only(path: &Path) -> PathBuf {
    let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?mode=ro"))
}

fn open_checked(opener: &dyn Opener) -> StoreResult<AnyConnection> {
    let mut connection = opener.open_writer()?;
    if let AnyConnection::Sqlite(sqlite) = &mut connection {
        check_version(sqlite)?;
        check_durability(sqlite)?;
        check_encoding(sqlite)?;
        migrate(sqlite, MIGRATIONS, |sqlite| oldest_reader::table.select(oldest_reader::migration).first(sqlite))?;
    }
    Ok(connection)
}

/// SQLite reports `disk I/O error` for most problems of a file or its folder; the operating system knows which
/// one it is.
fn explain(error: StoreError, path: &Path) -> StoreError {
    let StoreError::Unavailable(said) = &error else { return error };
    if said.contains("file is not a database") {
        return StoreError::Refused(format!(
            "{} is not a SQLite database and was not changed: name another file in the database URL",
            path.display()
        ));
    }
    if damage::is_corrupt(said) {
        return StoreError::Refused(format!("{} is damaged ({said}): {}", path.display(), damage::WHAT_TO_DO));
    }
    if said.contains("database is locked") {
        return StoreError::Unavailable(format!(
            "{}: another program has locked it (a shell with an open transaction, a running copy), or it is on a file \
             system without independent locks, such as NFS: end that program, or move the file to a local file system \
             ({said})",
            path.display()
        ));
    }
    let folder = path.parent().unwrap_or(path);
    let cause = match (OpenOptions::new().read(true).write(true).open(path), try_to_write(folder)) {
        (Err(denied), _) => format!("{} can't be opened for writing: {denied}", path.display()),
        (Ok(_), Err(full)) if full.kind() == ErrorKind::StorageFull => {
            format!(
                "the disk is full: make room on the file system of {} for {}",
                folder.display(),
                path.display()
            )
        }
        (Ok(_), Err(denied)) => {
            format!("{}: SQLite needs to create files next to it, and can't: {denied}", path.display())
        }
        (Ok(_), Ok(())) => return error,
    };
    StoreError::Unavailable(format!("{cause} ({said})"))
}

/// Writes as much as SQLite needs next to the database at once.
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".ringback-{}.probe", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(&[0; 64 * 1024]);
    drop(file);
    std::fs::remove_file(&path)?;
    written
}

/// A database that a check reads: beside an engine, or, with the lock that it needs then, alone.
pub(super) enum Checkable {
    Readable(Subject, Option<DatabaseLock>),
    /// With what SQLite says when it opens the file.
    Damaged(String),
}

impl Checkable {
    fn new(
        opened: StoreResult<AnyConnection>,
        path: &Path,
        lock: Option<DatabaseLock>,
        is_in_use: bool,
    ) -> StoreResult<Self> {
        match opened {
            Ok(connection) => {
                let known = migrations::<Sqlite>(MIGRATIONS)?;
                Ok(Self::Readable(Subject { connection, is_in_use: Some(is_in_use), known }, lock))
            }
            Err(StoreError::Unavailable(said)) if damage::is_corrupt(&said) => Ok(Self::Damaged(said)),
            Err(error) => Err(explain(error, path)),
        }
    }
}

/// Opens a database that is to be checked.
pub(super) fn open_for_check(path: &str, is_alone: bool) -> StoreResult<Checkable> {
    let path = check_path(path)?;
    if !path.exists() {
        return Err(StoreError::Refused(format!("the database file {} does not exist", path.display())));
    }
    if is_alone {
        let lock = DatabaseLock::take(&path)?;
        let opened = connect(lock.path(), WRITER_PRAGMAS);
        return Checkable::new(opened, &path, Some(lock), false);
    }
    let path = std::fs::canonicalize(&path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let is_in_use = backup::is_in_use(&path)?;
    // read-only, so that not even the last connection to close changes the file
    Checkable::new(connect(&read_only(&path), READER_PRAGMAS), &path, None, is_in_use)
}

/// An empty database with the newest schema.
pub(super) fn migrated_in_memory() -> StoreResult<AnyConnection> {
    let mut connection = connect(Path::new(":memory:"), "")?;
    if let AnyConnection::Sqlite(sqlite) = &mut connection {
        migrate(sqlite, MIGRATIONS, |sqlite| oldest_reader::table.select(oldest_reader::migration).first(sqlite))?;
    }
    Ok(connection)
}

/// A writing connection to a database that a test inspects.
#[cfg(test)]
pub(super) fn open_for_plans(path: PathBuf) -> StoreResult<AnyConnection> {
    let mut connection = connect(&path, WRITER_PRAGMAS)?;
    if let AnyConnection::Sqlite(sqlite) = &mut connection {
        migrate(sqlite, MIGRATIONS, |sqlite| oldest_reader::table.select(oldest_reader::migration).first(sqlite))?;
    }
    Ok(connection)
}

struct SqliteOpener {
    lock: Arc<DatabaseLock>,
}

fn connect(path: &Path, pragmas: &str) -> StoreResult<AnyConnection> {
    let unavailable =
        |error: &dyn std::fmt::Display| StoreError::Unavailable(format!("{}: {error}", path.display()));
    let text = path.to_str().ok_or_else(|| unavailable(&"the path is not UTF-8"))?;
    let mut sqlite = SqliteConnection::establish(text).map_err(|error| unavailable(&error))?;
    sqlite.batch_execute(pragmas).map_err(|error| unavailable(&error))?;
    Ok(AnyConnection::Sqlite(sqlite))
}

impl Opener for SqliteOpener {
    fn check(&self) -> StoreResult<()> {
        self.lock.check()
    }

    fn open_writer(&self) -> StoreResult<AnyConnection> {
        self.check()?;
        connect(self.lock.path(), WRITER_PRAGMAS)
    }

    fn open_reader(&self) -> StoreResult<AnyConnection> {
        self.check()?;
        connect(self.lock.path(), READER_PRAGMAS)
    }
}

/// Makes the path absolute, so that SQLite reads it as a path and nothing else (`file:`, `:memory:`).
fn check_path(path: &str) -> StoreResult<PathBuf> {
    let refused = |message: String| Err(StoreError::Refused(message));
    if path.is_empty() || path.starts_with(':') {
        return refused(String::from(
            "the database URL names no file: write sqlite://ringback.db or sqlite:///var/lib/ringback/ringback.db \
             (a database in memory would lose every event that was acknowledged)",
        ));
    }
    if path.contains('?') {
        return refused(format!(
            "{path}: parameters are not taken in a sqlite:// URL; leave out the ? and the rest"
        ));
    }
    let path = std::path::absolute(path).map_err(|error| StoreError::Refused(format!("{path}: {error}")))?;
    match path.parent() {
        Some(folder) if !folder.is_dir() => refused(format!(
            "the folder {} of the database file does not exist; create it, or change the database URL",
            folder.display()
        )),
        _ if path.is_dir() => refused(format!("{} is a folder; name a file in the database URL", path.display())),
        _ if path.exists() && !path.is_file() => {
            refused(format!("{} is not a file; name one in the database URL", path.display()))
        }
        _ => Ok(path),
    }
}

fn check_version(sqlite: &mut SqliteConnection) -> StoreResult<()> {
    let version: String = diesel::select(diesel::dsl::sql::<Text>("sqlite_version()")).get_result(sqlite)?;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    if (next(), next(), next()) < OLDEST_SQLITE {
        return Err(StoreError::Refused(format!(
            "SQLite {version} can lose commits; build with the bundled library, 3.51.3 or newer"
        )));
    }
    Ok(())
}

/// SQLite reports no error for a pragma that had no effect: a file system without shared memory keeps the old
/// journal.
fn check_durability(sqlite: &mut SqliteConnection) -> StoreResult<()> {
    let JournalMode { journal_mode } = diesel::sql_query("PRAGMA journal_mode").get_result(sqlite)?;
    let Synchronous { synchronous } = diesel::sql_query("PRAGMA synchronous").get_result(sqlite)?;
    if journal_mode == "wal" && synchronous == SYNCHRONOUS_FULL {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "SQLite can't keep a write-ahead log here (journal mode {journal_mode}); put the database on a local file \
         system"
    )))
}

/// In any other encoding the order of names would differ, and every text would be converted.
fn check_encoding(sqlite: &mut SqliteConnection) -> StoreResult<()> {
    let Encoding { encoding } = diesel::sql_query("PRAGMA encoding").get_result(sqlite)?;
    if encoding == "UTF-8" {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the SQLite database is encoded in {encoding}, but must be in UTF-8: name another file in the database URL, or copy \
         it into a new one (sqlite3 old.db .dump | sqlite3 new.db)"
    )))
}

/// Inserts events with their deliveries.
pub(super) fn insert_events(sqlite: &mut SqliteConnection, stored: &[&NewEvent]) -> QueryResult<()> {
    let mut rows = Vec::new();
    for new in stored {
        let event = &new.event;
        let last_delivery_id = new.deliveries.last().map_or(event.id.0, |(id, _)| id.0);
        diesel::insert_into(events::table)
            .values((
                events::id.eq(event.id.0),
                events::organization_id.eq(event.organization_id.0),
                events::event_type.eq(&event.event_type),
                events::occurred_at.eq(event.occurred_at.0),
                events::accepted_at.eq(event.accepted_at.0),
                events::last_delivery_id.eq(last_delivery_id),
                events::delivery_count.eq(i32::try_from(new.deliveries.len()).unwrap_or(i32::MAX)),
                events::body.eq(event.body.as_ref()),
                events::trace.eq(event.trace.as_ref().map(|trace| trace.to_stored())),
            ))
            .execute(sqlite)?;
        rows.clear();
        rows.extend(new.deliveries.iter().map(|&(id, endpoint_id)| NewDelivery {
            id,
            endpoint_id,
            partition: endpoint_id.partition(),
        }));
        insert_deliveries(sqlite, new, &rows)?;
        for label in label_rows::rows(new) {
            diesel::insert_into(event_labels::table).values(label).execute(sqlite)?;
        }
    }
    Ok(())
}

/// Inserts several rows per statement where there are several: one compiled statement for each of a few numbers
/// of rows.
fn insert_deliveries(sqlite: &mut SqliteConnection, new: &NewEvent, mut rows: &[NewDelivery]) -> QueryResult<()> {
    fn by<'a, const N: usize>(
        sqlite: &mut SqliteConnection,
        new: &NewEvent,
        mut rows: &'a [NewDelivery],
    ) -> QueryResult<&'a [NewDelivery]> {
        while let Some((some, others)) = rows.split_first_chunk::<N>() {
            InsertDeliveries { event: &new.event, due_at: new.due_at(), rows: some }.execute(sqlite)?;
            rows = others;
        }
        Ok(rows)
    }
    rows = by::<32>(sqlite, new, rows)?;
    rows = by::<16>(sqlite, new, rows)?;
    rows = by::<8>(sqlite, new, rows)?;
    rows = by::<4>(sqlite, new, rows)?;
    rows = by::<2>(sqlite, new, rows)?;
    by::<1>(sqlite, new, rows)?;
    Ok(())
}

/// Stores keys; an expired one is overwritten.
pub(super) fn save_keys(sqlite: &mut SqliteConnection, keys: &[NewKey<'_>], now: UnixMillis) -> QueryResult<()> {
    #[rustfmt::skip]
    use idempotency_keys::columns::{
        created_at, delivery_count, event_id, event_type, key, occurred_at, organization_id, request_hash,
    };
    for new in keys {
        diesel::insert_into(idempotency_keys::table)
            .values((
                organization_id.eq(new.organization_id),
                key.eq(&*new.key),
                request_hash.eq(new.request_hash.as_slice()),
                event_id.eq(new.event_id),
                created_at.eq(now.0),
                event_type.eq(new.event_type),
                occurred_at.eq(new.occurred_at),
                delivery_count.eq(new.delivery_count),
            ))
            .on_conflict((organization_id, key))
            .do_update()
            .set((
                request_hash.eq(excluded(request_hash)),
                event_id.eq(excluded(event_id)),
                created_at.eq(excluded(created_at)),
                event_type.eq(excluded(event_type)),
                occurred_at.eq(excluded(occurred_at)),
                delivery_count.eq(excluded(delivery_count)),
            ))
            .execute(sqlite)?;
    }
    Ok(())
}

/// Records outcomes; `true` for each whose delivery was still pending and did not have this attempt yet.
///
/// In the order of their ids, so that the rows of a page are written one after the other; two outcomes of the
/// same delivery keep their order.
pub(super) fn record_outcomes(sqlite: &mut SqliteConnection, outcomes: &[Outcome]) -> QueryResult<Vec<bool>> {
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    order.sort_by_key(|&place| outcomes[place].delivery_id);
    let mut recorded = vec![false; outcomes.len()];
    for place in order {
        recorded[place] = record_outcome(sqlite, &outcomes[place])?;
    }
    Ok(recorded)
}

fn record_outcome(sqlite: &mut SqliteConnection, outcome: &Outcome) -> QueryResult<bool> {
    let attempt = StoredAttempt::of(outcome);
    let number = i32::try_from(attempt.number).unwrap_or(i32::MAX);
    let response_code = attempt.response_code.map(i32::from);
    let error = attempt.error.as_deref();
    let (id, organization_id) = (outcome.delivery_id.0, outcome.organization_id.0);
    let (more_than, finished_at) = (number, outcome.finished_at.0);
    let status = match outcome.next {
        NextStep::Succeeded => DeliveryStatus::Success.code(),
        NextStep::Failed => DeliveryStatus::Failed.code(),
        NextStep::RetryAt(_) | NextStep::UncountedRetryAt(_) => DeliveryStatus::Pending.code(),
    };
    let updated = match outcome.next {
        NextStep::Succeeded | NextStep::Failed if number == 1 => {
            let (started_at, duration_ms) = (attempt.started_at.0, attempt.duration_ms);
            let detail = attempt.detail.as_slice();
            #[rustfmt::skip]
            let end = EndAtOnce {
                number, response_code, error, status, finished_at, started_at, duration_ms, detail,
                id, organization_id, more_than,
            };
            return Ok(end.execute(sqlite)? > 0);
        }
        NextStep::Succeeded | NextStep::Failed => {
            let end = End { number, response_code, error, status, finished_at, id, organization_id, more_than };
            end.execute(sqlite)?
        }
        NextStep::RetryAt(UnixMillis(due_at)) | NextStep::UncountedRetryAt(UnixMillis(due_at)) => {
            let queued_at = (!outcome.ordered).then_some(due_at);
            let not_counted = i32::from(matches!(outcome.next, NextStep::UncountedRetryAt(_)));
            #[rustfmt::skip]
            let retry = Retry {
                number, response_code, error, due_at, not_counted, queued_at, id, organization_id, more_than,
            };
            retry.execute(sqlite)?
        }
    };
    if updated == 0 {
        return Ok(false);
    }
    diesel::insert_into(attempts::table).values(AttemptRow::of(outcome, &attempt)).execute(sqlite)?;
    Ok(true)
}
