//! Who may open a page.

use crate::api::auth::Permission;

/// Who may open a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without signing in.
    Open,
    /// Anyone who is signed in, with a key of any role.
    SignedIn,
    /// Anyone who is signed in with a key that grants this permission.
    Needs(Permission),
}
