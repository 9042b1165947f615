//! Notices that wait to be told.
//!
//! A change of an endpoint, and a commit with an outcome that tells something, writes them in its own transaction if the
//! management environment has an application that is named after the organization's environment.

use super::StoreResult;
use crate::domain::ids::OrganizationId;
use crate::domain::notice::{NoticeFacts, NoticeKind};
use crate::domain::time::UnixMillis;

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// In the order in which they were written.
    pub id: i64,
    /// The application that is told.
    pub application_id: OrganizationId,
    /// Whose webhook it is about.
    pub organization_id: OrganizationId,
    /// `None` for one that a newer version wrote.
    pub kind: Option<NoticeKind>,
    /// Names its cause.
    pub cause: String,
    pub facts: NoticeFacts,
}

/// Notices of all organizations.
pub trait NoticeStore: Send + Sync + 'static {
    /// Whether there is any application that could be told.
    fn has_listeners(&self) -> StoreResult<bool>;
    /// Whether anyone is told about the webhooks of this organization.
    fn is_told(&self, organization_id: OrganizationId) -> StoreResult<bool>;
    /// Those that wait of the organizations behind this one, by organization and id, at most `limit`.
    fn notices(&self, behind: Option<OrganizationId>, limit: usize) -> StoreResult<Vec<Notice>>;
    /// Removes notices that were told.
    fn remove_notices(&self, ids: &[i64]) -> StoreResult<()>;
    /// How many deliveries are due at that active endpoint of an application at which the fewest are; no more than `most` are
    /// counted. 0 without such an endpoint, `None` without such an application.
    fn least_due(
        &self,
        application_id: OrganizationId,
        now: UnixMillis,
        most: usize,
    ) -> StoreResult<Option<usize>>;
}
