//! Notices that wait to be told.
//!
//! A change of an endpoint, and a commit with an outcome that tells something, writes them in its own transaction if the
//! management environment has an application that is named after the organization's environment.

use std::collections::{HashMap, HashSet};

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

/// About whose webhooks anyone is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listening {
    /// The applications of the management environment.
    pub applications: HashSet<OrganizationId>,
    /// Whether one of them is told about the organizations of the default environment.
    pub to_default: bool,
    /// The organizations of all other environments, and whether an application is told about them. Empty without applications.
    pub to_others: HashMap<OrganizationId, bool>,
}

impl Listening {
    /// Whether anyone is told about the webhooks of this organization.
    pub fn includes(&self, id: OrganizationId) -> bool {
        self.to_others.get(&id).copied().unwrap_or(self.to_default)
    }
}

/// Notices of all organizations.
pub trait NoticeStore: Send + Sync + 'static {
    /// About whose webhooks anyone is told.
    fn listening(&self) -> StoreResult<Listening>;
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
