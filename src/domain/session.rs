//! Who is signed in to the dashboard.

use super::ids::OrganizationId;
use super::time::UnixMillis;

/// Sessions of one organization at a time, or of the admin; one more ends its oldest. Smaller: people of a large organization
/// sign each other out. Larger: whoever has a key fills the table.
pub const SESSIONS_FOR_ONE: usize = 500;

/// A browser that is signed in. Its token is not known here, only the hash of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DashboardSession {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// Whose key it was; `None` for the admin's.
    pub organization_id: Option<OrganizationId>,
    /// The hash of the API key, which is looked up again with every page, so that revoking a key ends its sessions.
    pub key_hash: [u8; 32],
    /// From here on it is over.
    pub expires_at: UnixMillis,
}
