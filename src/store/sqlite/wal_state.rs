//! The state of SQLite's write-ahead log, from the pragma that also copies it into the database file.

use diesel::sql_types::Integer;
use diesel::{QueryableByName, RunQueryDsl};

use super::super::StoreResult;
use super::super::connection::AnyConnection;

/// The state of the log, as SQLite reports it.
#[derive(QueryableByName, Debug, Clone, Copy)]
pub(super) struct WalState {
    /// Pages in the log.
    #[diesel(sql_type = Integer, column_name = log)]
    pub(super) pages: i32,
    /// Pages of it that are in the database file too.
    #[diesel(sql_type = Integer)]
    pub(super) checkpointed: i32,
}

impl WalState {
    pub(super) fn left(self) -> i32 {
        self.pages - self.checkpointed
    }
}

/// Reads the state without changing anything.
pub(super) fn read_state(connection: &mut AnyConnection) -> StoreResult<WalState> {
    ask(connection, "PRAGMA wal_checkpoint(NOOP)")
}

/// Copies what no reader blocks, and makes nobody wait.
pub(super) fn copy(connection: &mut AnyConnection) -> StoreResult<WalState> {
    ask(connection, "PRAGMA wal_checkpoint(PASSIVE)")
}

fn ask(connection: &mut AnyConnection, pragma: &str) -> StoreResult<WalState> {
    Ok(diesel::sql_query(pragma).get_result(connection)?)
}
