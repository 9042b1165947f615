//! The log of changes that people made.

use std::sync::Arc;

use super::{PageRequest, Store, StoreResult};
use crate::domain::audit::AuditEntry;
use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;

/// Who changed what.
pub trait AuditStore: Send + Sync + 'static {
    /// The same store, of which the next change of an organization, key, webhook or event type, resume, recovery or erasure writes this
    /// entry, in its own transaction; one that changes nothing writes none.
    fn recording(&self, entry: AuditEntry) -> Arc<dyn Store>;
    /// Lists the entries of an organization, or (`None`) of the deployment, newest first.
    fn audit_log(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<AuditEntry>>;
    /// Removes entries from before `before`, of all organizations, oldest first, at most `limit`. Returns whether there may be
    /// more.
    fn prune_audit_log(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
}
