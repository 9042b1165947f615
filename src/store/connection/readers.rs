//! A pool of readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use diesel::r2d2::R2D2Connection;

use super::super::{StoreError, StoreResult};
use super::{AnyConnection, Opener};

/// The size and care of a pool of readers.
pub(in super::super) struct ReaderOptions {
    /// The maximum number of connections.
    pub(in super::super) max_size: u32,
    /// Whether a connection is tested before it is handed out.
    pub(in super::super) test_on_check_out: bool,
}

/// How long a read waits for a connection. If the server is gone, the result is "unavailable" after this.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// The same after a read has waited in vain. The pool keeps trying to connect; meanwhile a caller must not hold
/// a thread for long, or publishers queue up behind each other only to be answered "unavailable".
const READER_TIMEOUT_WHILE_GONE: Duration = Duration::from_millis(200);

/// A pool of readers. A connection whose statement failed goes back to it, unless it is broken.
pub(in super::super) struct Readers {
    pool: r2d2::Pool<ReaderManager>,
    is_server_gone: AtomicBool,
    /// Grows when no connection that was opened before is to be used any more.
    generation: Arc<AtomicU64>,
}

impl Readers {
    /// An empty pool; connections are opened on demand.
    pub(in super::super) fn new(opener: Arc<dyn Opener>, options: &ReaderOptions) -> Self {
        let generation = Arc::new(AtomicU64::new(0));
        let pool = r2d2::Pool::builder()
            .max_size(options.max_size)
            .min_idle(Some(0))
            .test_on_check_out(options.test_on_check_out)
            .connection_timeout(READER_TIMEOUT)
            // whoever waited gets the error, and reports it
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(ReaderManager { opener, generation: Arc::clone(&generation) });
        Self { pool, is_server_gone: AtomicBool::new(false), generation }
    }

    /// Runs `work` on a reader.
    pub(in super::super) fn read<T>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let is_gone = self.is_server_gone.load(Ordering::Relaxed);
        let timeout = if is_gone { READER_TIMEOUT_WHILE_GONE } else { READER_TIMEOUT };
        let connection = self.pool.get_timeout(timeout);
        // if connections exist but are all busy, the server is there, and waiting is worth it
        let is_gone = connection.is_err() && self.pool.state().connections == 0;
        self.is_server_gone.store(is_gone, Ordering::Relaxed);
        let mut reader = connection.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        work(&mut reader.connection)
    }

    /// From now on reads are made over connections that are opened from now on: those before may lead to another server.
    pub(in super::super) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

struct ReaderManager {
    opener: Arc<dyn Opener>,
    generation: Arc<AtomicU64>,
}

/// A connection of a pool.
struct Reader {
    connection: AnyConnection,
    generation: u64,
}

impl ReaderManager {
    fn is_outdated(&self, reader: &Reader) -> bool {
        reader.generation != self.generation.load(Ordering::Acquire)
    }
}

impl r2d2::ManageConnection for ReaderManager {
    type Connection = Reader;
    type Error = StoreError;

    fn connect(&self) -> Result<Reader, StoreError> {
        // before the connection
        let generation = self.generation.load(Ordering::Acquire);
        Ok(Reader { connection: self.opener.open_reader()?, generation })
    }

    fn is_valid(&self, reader: &mut Reader) -> Result<(), StoreError> {
        if self.is_outdated(reader) {
            return Err(StoreError::Unavailable(String::from("the connection may lead to another server")));
        }
        Ok(reader.connection.ping()?)
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        std::thread::panicking() || reader.connection.is_broken() || self.is_outdated(reader)
    }
}
