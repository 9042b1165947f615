//! Tenants and their API keys.

use serde::Serialize;

use super::ids::{KeyId, OrganizationId};
use super::time::UnixMillis;

/// A tenant. Nothing crosses between two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    pub id: OrganizationId,
    /// 1 to 200 characters, chosen by the operator.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// The permissions of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes events, nothing else.
    Publisher,
    /// Reads, and changes nothing.
    Viewer,
    /// Reads, and changes webhooks, logs and replays.
    Manager,
    /// Everything within the organization, including its keys.
    Owner,
}

impl Role {
    /// All roles, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Publisher, Self::Viewer, Self::Manager, Self::Owner];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::Manager => "manager",
            Self::Owner => "owner",
        }
    }

    /// Reads the name in the API; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// An API key as it is stored: the key itself is shown once and kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    /// The organization that it belongs to.
    pub organization_id: OrganizationId,
    /// 1 to 200 characters.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the whole key text.
    pub hash: [u8; 32],
    /// The first characters of the key, to recognize it among others; not secret.
    pub prefix: String,
    /// When it was created.
    pub created_at: UnixMillis,
    /// It is refused from this instant on.
    pub expires_at: Option<UnixMillis>,
}

impl ApiKey {
    /// Whether the key is past its expiry at `now`.
    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}
