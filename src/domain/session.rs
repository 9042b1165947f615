//! Who is signed in to the dashboard.

use std::sync::Arc;

use super::ids::OrganizationId;
use super::organization::Role;
use super::time::UnixMillis;

/// Sessions of one organization at a time, or of the admin; one more ends its oldest. Smaller: people of a large organization
/// sign each other out. Larger: whoever has a key fills the table.
pub const SESSIONS_FOR_ONE: usize = 500;
/// Links of one organization that wait to be used, likewise.
pub const LINKS_FOR_ONE: usize = 1_000;

/// A browser that is signed in. Its token is not known here, only the hash of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardSession {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// Whose it is; `None` for the admin's.
    pub organization_id: Option<OrganizationId>,
    pub began_with: SignIn,
    /// From here on it is over.
    pub expires_at: UnixMillis,
}

/// What a session began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// An API key with this hash, which is looked up again with every page, so that revoking a key ends its sessions.
    Key([u8; 32]),
    /// A link of the organization.
    Link(Arc<Visitor>),
}

/// Whom a sign-in link lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// What they may do.
    pub role: Role,
    /// As it is shown.
    pub name: Option<String>,
    /// Back to the product that made the link: http or https.
    pub return_url: Option<String>,
}

/// A link that opens the dashboard of an organization once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInLink {
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    pub organization_id: OrganizationId,
    pub visitor: Visitor,
    /// It is refused from this instant on.
    pub expires_at: UnixMillis,
}
