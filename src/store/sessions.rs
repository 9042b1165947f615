//! Sessions of the dashboard.

use super::StoreResult;
use crate::domain::session::DashboardSession;
use crate::domain::time::UnixMillis;

/// The sessions of the dashboard, of all nodes.
pub trait SessionStore: Send + Sync + 'static {
    /// Begins a session, and ends those of the same owner that are over, or above
    /// [`SESSIONS_FOR_ONE`](crate::domain::session::SESSIONS_FOR_ONE), oldest first;
    /// [`StoreError::NoSuchOrganization`](super::StoreError::NoSuchOrganization) when its organization does not exist.
    fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()>;
    /// Finds the session whose token has this hash, also one that is over.
    fn session(&self, token_hash: &[u8; 32]) -> StoreResult<Option<DashboardSession>>;
    /// Ends it, if there is one.
    fn end_session(&self, token_hash: &[u8; 32]) -> StoreResult<()>;
    /// Removes sessions that were over at `now`, at most `limit`. Returns whether there may be more.
    fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool>;
}
