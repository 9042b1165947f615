//! Sessions of the dashboard, and links that begin one.

use super::StoreResult;
use crate::domain::session::{DashboardSession, SignInLink};
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
    /// Adds a sign-in link, and removes those of the same organization that are over, or above
    /// [`LINKS_FOR_ONE`](crate::domain::session::LINKS_FOR_ONE), those that end first first;
    /// [`StoreError::NoSuchOrganization`](super::StoreError::NoSuchOrganization) when it does not exist.
    fn create_link(&self, link: &SignInLink, now: UnixMillis) -> StoreResult<()>;
    /// Uses a link up, unless it is over.
    fn use_link(&self, token_hash: &[u8; 32], now: UnixMillis) -> StoreResult<LinkUse>;
    /// Removes sessions and links that were over at `now`, at most `limit`. Returns whether there may be more.
    fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool>;
}

/// What came of using a sign-in link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkUse {
    /// It was not used before.
    First(SignInLink),
    /// It was, or it is over.
    Refused(SignInLink),
    /// There is no such link, or no more.
    Unknown,
}
