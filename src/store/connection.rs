//! One connection type over both databases, and the single writer. The pools of readers and the meaning of a
//! database's errors are in the files of this folder.

mod errors;
mod readers;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::Bool;
use parking_lot::{FairMutex, Mutex};

pub(super) use self::readers::{ReaderOptions, Readers};
use super::fence::Fence;
use super::{StoreError, StoreResult};

/// A connection to either database. Portable queries run on it; code for only one of the two matches on it.
#[derive(diesel::MultiConnection)]
pub(super) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Diesel's name for both backends at once.
pub(super) type AnyBackend = <AnyConnection as diesel::Connection>::Backend;

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
    /// A connection for what is rare and concerns nobody's fence. It waits for no lock for long.
    fn open_unlocked(&self) -> StoreResult<AnyConnection> {
        self.open_writer()
    }
    /// A connection was lost: if there are other servers, they are asked first now.
    fn lost(&self) {}
    /// A connection for a node's beats, which don't wait for the disk: no outage of it may look like a node's end.
    fn open_beats(&self) -> StoreResult<AnyConnection> {
        self.open_writer()
    }
}

/// Failures in a row after which a connection is replaced although its server responds: they can be about its
/// session, such as a statement that the server has forgotten. Smaller: an organization's slow change costs
/// everyone the connection. Larger: publishers are refused for longer if the session is to blame.
const MAX_FAILURES: u32 = 8;

/// The right of a writer to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Nobody else can write, or this store has not joined a cluster.
    Unfenced,
    Held(Fence),
    /// Ended, by another node or by leaving.
    Ended,
}

/// The single writer of this process. A broken connection is dropped, and the next call opens another. A connection
/// whose statement failed is kept if its server responds and takes writes: all publishers wait while another is opened.
pub(super) struct Writer {
    opener: Arc<dyn Opener>,
    right: Mutex<Right>,
    /// Held by all changes except commits, from before they wait for the connection until their end: so a
    /// commit waits for at most one of them, however many are waiting.
    lane: FairMutex<()>,
    /// How many transactions have ended.
    writes: AtomicI64,
    /// Fair: a caller that writes step by step would otherwise take it again before the one that waits for it
    /// has woken up.
    connection: FairMutex<Option<CountedConnection>>,
}

/// A connection, and how it was used.
struct CountedConnection {
    connection: AnyConnection,
    times: u64,
    /// Failures since the last success, without those that are about data.
    failures: u32,
}

impl CountedConnection {
    fn new(connection: AnyConnection) -> Self {
        Self { connection, times: 0, failures: 0 }
    }

    /// Whether the connection is fit for the next caller, after this result.
    fn can_go_on<T>(&mut self, result: &StoreResult<T>) -> bool {
        if self.connection.is_broken() {
            return false;
        }
        match (result, &mut self.connection) {
            (Err(StoreError::Unavailable(_)), AnyConnection::Postgres(postgres)) => {
                self.failures += 1;
                self.failures < MAX_FAILURES && takes_writes(postgres)
            }
            // opened again in a moment, and no lock goes with it: the file's lock is not the connection's
            (Err(StoreError::Unavailable(_)), AnyConnection::Sqlite(_)) => false,
            (Err(_), _) => true,
            (Ok(_), _) => {
                self.failures = 0;
                true
            }
        }
    }
}

/// Asks the server. Not if it is gone or shuts down, the transaction could not be rolled back, or writes are
/// refused (a standby behind the same address).
fn takes_writes(postgres: &mut PgConnection) -> bool {
    let is_writable = diesel::dsl::sql::<Bool>("current_setting('transaction_read_only') = 'off'");
    diesel::select(is_writable).get_result(postgres).unwrap_or(false)
}

impl Writer {
    /// A writer with a connection that is already open.
    pub(super) fn new(opener: Arc<dyn Opener>, connection: AnyConnection) -> Self {
        let connection = FairMutex::new(Some(CountedConnection::new(connection)));
        Self {
            opener,
            right: Mutex::new(Right::Unfenced),
            lane: FairMutex::new(()),
            writes: AtomicI64::new(0),
            connection,
        }
    }

    /// From now on writes are made under this fence.
    pub(super) fn take_fence(&self, fence: Fence) {
        // between two transactions
        let _connection = self.connection.lock();
        *self.right.lock() = Right::Held(fence);
    }

    /// From now on nothing is written.
    pub(super) fn end_right(&self) {
        let _connection = self.connection.lock();
        *self.right.lock() = Right::Ended;
    }

    /// How many transactions have ended here that may have written something.
    pub(super) fn writes(&self) -> i64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// The fence of the transaction under way: to be asked for within it.
    pub(super) fn fence(&self) -> Option<Fence> {
        match *self.right.lock() {
            Right::Held(fence) => Some(fence),
            Right::Unfenced | Right::Ended => None,
        }
    }

    /// Runs `work` in one transaction: all of it is durable, or none of it exists. For everything except the
    /// commits of persistence, which go first.
    pub(super) fn write<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let _lane = self.lane.lock();
        self.run(|connection| self.in_transaction(connection, work))
    }

    /// The same; hands the result to `settle` before the next change can begin.
    pub(super) fn write_and_settle<T>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
        settle: impl FnOnce(&StoreResult<T>),
    ) -> StoreResult<T> {
        let _lane = self.lane.lock();
        self.run(|connection| {
            let result = self.in_transaction(connection, work);
            settle(&result);
            result
        })
    }

    fn in_transaction<T>(
        &self,
        connection: &mut AnyConnection,
        work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let result = in_transaction(connection, self.fence(), work);
        self.note_write();
        result
    }

    /// Something may have been written.
    pub(super) fn note_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `work`, which begins its own transaction, before all changes that wait in [`Writer::write`].
    pub(super) fn run<T>(&self, work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>) -> StoreResult<T> {
        let mut slot = self.connection.lock();
        self.opener.check()?;
        // taken out during the work: after a panic the connection is gone, and its transaction with it
        let right = *self.right.lock();
        if right == Right::Ended {
            return Err(StoreError::Fenced);
        }
        let mut used = match slot.take() {
            Some(used) => used,
            None => CountedConnection::new(self.reconnect(right)?),
        };
        used.times += 1;
        let result = forget_old_plans(&mut used).and_then(|()| work(&mut used.connection));
        match used.can_go_on(&result) {
            true => *slot = Some(used),
            false => self.opener.lost(),
        }
        if matches!(result, Err(StoreError::Fenced)) {
            *self.right.lock() = Right::Ended;
        }
        result
    }

    /// Another connection, when what the last one had begun is decided.
    fn reconnect(&self, right: Right) -> StoreResult<AnyConnection> {
        let mut connection = self.opener.open_writer().map_err(as_outage)?;
        if let (Right::Held(fence), AnyConnection::Postgres(postgres)) = (right, &mut connection) {
            let renewed = fence.renew(postgres);
            *self.right.lock() = match &renewed {
                Ok(renewed) => Right::Held(*renewed),
                Err(StoreError::Fenced) => Right::Ended,
                Err(_) => right,
            };
            renewed?;
        }
        Ok(connection)
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

/// Runs `work` in a transaction, under a fence if there is one.
pub(super) fn in_transaction<T>(
    connection: &mut AnyConnection,
    fence: Option<Fence>,
    work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    match connection {
        // takes the write lock now instead of failing at the first write
        AnyConnection::Sqlite(sqlite) => {
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?;
        }
        AnyConnection::Postgres(postgres) => {
            AnsiTransactionManager::begin_transaction(postgres)?;
        }
    }
    let held = match (fence, &mut *connection) {
        (Some(fence), AnyConnection::Postgres(postgres)) => fence.hold(postgres),
        _ => Ok(()),
    };
    let result = held.and_then(|()| work(connection));
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
