//! One connection type over both databases, the single writer, the pool of readers, and the meaning of a
//! database's errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::R2D2Connection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{PgConnection, SqliteConnection};
use parking_lot::FairMutex;

use super::{StoreError, StoreResult};

/// Begins a transaction whose statements are planned as in any other session.
const BEGIN_AS_USUAL: &str = "
    BEGIN;
    SET LOCAL plan_cache_mode = auto;
    SET LOCAL enable_seqscan = on;
";

/// A connection to either database. Portable queries run on it; code for only one of the two matches on it.
#[derive(diesel::MultiConnection)]
pub(super) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Diesel's name for both backends at once.
pub(super) type AnyBackend = <AnyConnection as diesel::Connection>::Backend;

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        use DatabaseErrorKind::{CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation};
        match error {
            // the id or hash exists already
            DieselError::DatabaseError(UniqueViolation, _) => Self::Conflict,
            DieselError::DatabaseError(CheckViolation | ForeignKeyViolation | NotNullViolation, information) => {
                Self::Corrupt(information.message().to_owned())
            }
            DieselError::DeserializationError(error) => Self::Corrupt(error.to_string()),
            // what a database reports when it can't work now: disk full, read-only, server gone, time-out
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Opens connections to one database.
pub(super) trait Opener: Send + Sync + 'static {
    /// Refuses a change that would be lost (the database file was moved or replaced). Cheap: called before each
    /// change.
    fn check(&self) -> StoreResult<()> {
        Ok(())
    }
    /// The writing connection; there is one at a time.
    fn open_writer(&self) -> StoreResult<AnyConnection>;
    /// A read-only connection.
    fn open_reader(&self) -> StoreResult<AnyConnection>;
}

/// The single writer. A connection that failed is dropped, and the next call opens another.
pub(super) struct Writer {
    opener: Arc<dyn Opener>,
    /// Fair: a caller that writes step by step would otherwise take it again before the one that waits for it
    /// has woken up.
    connection: FairMutex<Option<CountedConnection>>,
}

/// A connection, and how often it was used.
struct CountedConnection {
    connection: AnyConnection,
    times: u64,
}

impl CountedConnection {
    fn new(connection: AnyConnection) -> Self {
        Self { connection, times: 0 }
    }
}

impl Writer {
    /// A writer with a connection that is already open.
    pub(super) fn new(opener: Arc<dyn Opener>, connection: AnyConnection) -> Self {
        Self { opener, connection: FairMutex::new(Some(CountedConnection::new(connection))) }
    }

    /// Runs `work` in one transaction: all of it is durable, or none of it exists.
    pub(super) fn write<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        self.run(|connection| in_transaction(connection, work))
    }

    /// Runs `work`, which begins its own transaction.
    pub(super) fn run<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let mut slot = self.connection.lock();
        self.opener.check()?;
        // taken out during the work: after a panic or an error the connection is gone, and its transaction with
        // it
        let mut used = match slot.take() {
            Some(used) => used,
            None => CountedConnection::new(self.opener.open_writer().map_err(as_outage)?),
        };
        used.times += 1;
        let result = forget_old_plans(&mut used).and_then(|()| work(&mut used.connection));
        if !matches!(result, Err(StoreError::Unavailable(_))) && !used.connection.is_broken() {
            *slot = Some(used);
        }
        result
    }
}

/// PostgreSQL keeps a plan until it happens to analyze the tables again, which can take long, while they grow
/// from nothing. So plans are discarded whenever the number of changes has doubled.
fn forget_old_plans(used: &mut CountedConnection) -> StoreResult<()> {
    match &mut used.connection {
        AnyConnection::Postgres(postgres) if used.times.is_power_of_two() => {
            Ok(postgres.batch_execute("DISCARD PLANS")?)
        }
        _ => Ok(()),
    }
}

/// While the engine runs, a lock that is held is an outage and not a refusal: it can be our own previous
/// session, which the server has not ended yet.
fn as_outage(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(message) => StoreError::Unavailable(message),
        error => error,
    }
}

pub(super) fn in_transaction<T>(
    connection: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    match connection {
        // takes the write lock now instead of failing at the first write
        AnyConnection::Sqlite(sqlite) => {
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?;
        }
        AnyConnection::Postgres(postgres) => {
            AnsiTransactionManager::begin_transaction_sql(postgres, BEGIN_AS_USUAL)?;
        }
    }
    let result = work(connection);
    match (&result, connection) {
        (Ok(_), AnyConnection::Sqlite(sqlite)) => AnsiTransactionManager::commit_transaction(sqlite)?,
        (Ok(_), AnyConnection::Postgres(postgres)) => AnsiTransactionManager::commit_transaction(postgres)?,
        // the first error is the one to report
        (Err(_), AnyConnection::Sqlite(sqlite)) => {
            let _ = AnsiTransactionManager::rollback_transaction(sqlite);
        }
        (Err(_), AnyConnection::Postgres(postgres)) => {
            let _ = AnsiTransactionManager::rollback_transaction(postgres);
        }
    }
    result
}

/// The size and care of the pool of readers.
pub(super) struct ReaderOptions {
    /// The maximum number of connections.
    pub(super) max_size: u32,
    /// Whether a connection is tested before it is handed out.
    pub(super) test_on_check_out: bool,
}

/// How long a read waits for a connection. If the server is gone, the result is "unavailable" after this.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// The same after a read has waited in vain. The pool keeps trying to connect; meanwhile a caller must not hold
/// a thread for long, or publishers queue up behind each other only to be answered "unavailable".
const READER_TIMEOUT_WHILE_GONE: Duration = Duration::from_millis(200);

/// The pool of readers.
pub(super) struct Readers {
    pool: r2d2::Pool<ReaderManager>,
    is_server_gone: AtomicBool,
}

impl Readers {
    /// An empty pool; connections are opened on demand.
    pub(super) fn new(opener: Arc<dyn Opener>, options: &ReaderOptions) -> Self {
        let pool = r2d2::Pool::builder()
            .max_size(options.max_size)
            .min_idle(Some(0))
            .test_on_check_out(options.test_on_check_out)
            .connection_timeout(READER_TIMEOUT)
            .build_unchecked(ReaderManager(opener));
        Self { pool, is_server_gone: AtomicBool::new(false) }
    }

    /// Runs `work` on a reader.
    pub(super) fn read<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let is_gone = self.is_server_gone.load(Ordering::Relaxed);
        let timeout = if is_gone { READER_TIMEOUT_WHILE_GONE } else { READER_TIMEOUT };
        let connection = self.pool.get_timeout(timeout);
        // if connections exist but are all busy, the server is there, and waiting is worth it
        let is_gone = connection.is_err() && self.pool.state().connections == 0;
        self.is_server_gone.store(is_gone, Ordering::Relaxed);
        work(&mut *connection.map_err(|error| StoreError::Unavailable(error.to_string()))?)
    }
}

struct ReaderManager(Arc<dyn Opener>);

impl r2d2::ManageConnection for ReaderManager {
    type Connection = AnyConnection;
    type Error = StoreError;

    fn connect(&self) -> Result<AnyConnection, StoreError> {
        self.0.open_reader()
    }

    fn is_valid(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        Ok(connection.ping()?)
    }

    fn has_broken(&self, connection: &mut AnyConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}
