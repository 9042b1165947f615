//! One connection type over both databases, the one writer, the pool of readers, and what a database's errors
//! mean to us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::R2D2Connection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{PgConnection, SqliteConnection};
use parking_lot::FairMutex;

use super::postgres::BEGIN_AS_USUAL;
use super::{StoreError, StoreResult};

/// A connection to either database. Portable queries run on it; what one of the two does better is matched out.
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
            // an id or a hash that exists already
            DieselError::DatabaseError(UniqueViolation, _) => Self::Conflict,
            DieselError::DatabaseError(CheckViolation | ForeignKeyViolation | NotNullViolation, information) => {
                Self::Corrupt(information.message().to_owned())
            }
            DieselError::DeserializationError(error) => Self::Corrupt(error.to_string()),
            // disk full, read-only, server gone, time-out: what a database says when it can't work now
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// How connections to one database are made.
pub(super) trait Opener: Send + Sync + 'static {
    /// Refuses a change that nobody would find again. Cheap: asked before each.
    fn check(&self) -> StoreResult<()> {
        Ok(())
    }
    /// The connection that writes; there is one at a time.
    fn open_writer(&self) -> StoreResult<AnyConnection>;
    /// A connection that only reads.
    fn open_reader(&self) -> StoreResult<AnyConnection>;
}

/// The one writer. A connection on which something went wrong is dropped, and made anew by the next call.
pub(super) struct Writer {
    opener: Arc<dyn Opener>,
    /// Fair: who writes step by step would otherwise take it again before the one who waits for it has woken up.
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
    /// A writer that has its connection already.
    pub(super) fn new(opener: Arc<dyn Opener>, connection: AnyConnection) -> Self {
        Self { opener, connection: FairMutex::new(Some(CountedConnection::new(connection))) }
    }

    /// Runs `work` in one transaction: all of it is durable, or nothing of it is there.
    pub(super) fn write<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        self.run(|connection| in_transaction(connection, work))
    }

    /// Runs `work`, which makes a transaction of its own.
    pub(super) fn run<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let mut slot = self.connection.lock();
        self.opener.check()?;
        // taken out while it works: after a panic or an error it is gone, and its transaction with it
        let mut used = match slot.take() {
            Some(used) => used,
            None => CountedConnection::new(self.opener.open_writer().map_err(passing)?),
        };
        used.times += 1;
        let result = forget_old_plans(&mut used).and_then(|()| work(&mut used.connection));
        if !matches!(result, Err(StoreError::Unavailable(_))) && !used.connection.is_broken() {
            *slot = Some(used);
        }
        result
    }
}

/// PostgreSQL keeps a plan until it happens to look at the tables again, which can be a long time in which they grow from
/// nothing. So it makes its plans anew whenever there were twice as many changes.
fn forget_old_plans(used: &mut CountedConnection) -> StoreResult<()> {
    match &mut used.connection {
        AnyConnection::Postgres(postgres) if used.times.is_power_of_two() => {
            Ok(postgres.batch_execute("DISCARD PLANS")?)
        }
        _ => Ok(()),
    }
}

/// While running, a lock that someone holds is an outage and not a refusal: it can be our own last session, which
/// the server has not given up yet.
fn passing(error: StoreError) -> StoreError {
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
        // the first error is the one to tell
        (Err(_), AnyConnection::Sqlite(sqlite)) => {
            let _ = AnsiTransactionManager::rollback_transaction(sqlite);
        }
        (Err(_), AnyConnection::Postgres(postgres)) => {
            let _ = AnsiTransactionManager::rollback_transaction(postgres);
        }
    }
    result
}

/// How many readers there are, and how they are looked after.
pub(super) struct ReaderOptions {
    /// Connections at most.
    pub(super) max_size: u32,
    /// Whether a connection is tried before it is given out.
    pub(super) test_on_check_out: bool,
}

/// How long a read waits for a connection: with the server gone the answer is "unavailable" after this.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// The same once a read has waited in vain. The pool goes on trying to connect; who asks meanwhile must not hold
/// a thread for long, or a crowd of publishers waits behind each other to hear that they should come back.
const READER_TIMEOUT_WHILE_GONE: Duration = Duration::from_millis(200);

/// The pool of readers.
pub(super) struct Readers {
    pool: r2d2::Pool<ReaderManager>,
    is_server_gone: AtomicBool,
}

impl Readers {
    /// An empty pool; connections are made when they are asked for.
    pub(super) fn new(opener: Arc<dyn Opener>, options: &ReaderOptions) -> Self {
        let pool = r2d2::Pool::builder()
            .max_size(options.max_size)
            .min_idle(Some(0))
            .test_on_check_out(options.test_on_check_out)
            .connection_timeout(READER_TIMEOUT)
            .build_unchecked(ReaderManager(opener));
        Self { pool, is_server_gone: AtomicBool::new(false) }
    }

    /// Runs `work` on one of them.
    pub(super) fn read<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let is_gone = self.is_server_gone.load(Ordering::Relaxed);
        let timeout = if is_gone { READER_TIMEOUT_WHILE_GONE } else { READER_TIMEOUT };
        let connection = self.pool.get_timeout(timeout);
        // with connections that are all busy the server is there, and waiting for one is worth it
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
