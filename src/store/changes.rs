//! The log of changed settings: by it whoever keeps settings in memory learns what to read again.
//!
//! Every change of an endpoint, of event types, and every deletion of an organization adds a line in its own transaction,
//! also one that the engine makes (it disables endpoints). Lines are numbered without gaps in the order of commits. A
//! commit says up to which line its events were matched, and events of organizations with later lines are not stored
//! ([`EventCommit::Outdated`](super::EventCommit::Outdated)): an event meets the webhooks that exist when it is stored,
//! also after a change whose answer was lost.

use super::StoreResult;
use crate::domain::event_types::DefinedEventType;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};

/// How many lines are kept. Smaller: an engine that was away for long reads all settings again, instead of what changed.
/// Larger: the table takes more room, at 30 bytes a line.
pub(super) const CHANGES_KEPT: i64 = 10_000;

/// The number of a line; 0 before the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeNumber(pub i64);

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingChange {
    /// Its place in the log.
    pub number: ChangeNumber,
    /// Whose settings changed.
    pub organization_id: OrganizationId,
    /// What to read again.
    pub what: Changed,
}

/// What was changed. The new state is in its rows, and may be newer than the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// The organization was deleted with everything that it had.
    OrganizationDeleted,
    /// This endpoint was created, changed or deleted.
    Endpoint(EndpointId),
    /// One of the organization's event types was created, changed or deleted.
    EventTypes,
    /// The organization has another own id, or none any more, or its events another body.
    Organization,
    /// An event's payload was erased: whoever has it in memory forgets it.
    PayloadErased(EventId),
}

impl Changed {
    /// The columns `kind` and `endpoint_id`, which also has other ids.
    pub(super) fn columns(self) -> (i16, Option<i64>) {
        match self {
            Self::OrganizationDeleted => (0, None),
            Self::Endpoint(id) => (1, Some(id.0)),
            Self::EventTypes => (2, None),
            Self::Organization => (3, None),
            Self::PayloadErased(id) => (4, Some(id.0)),
        }
    }

    /// `None` for what only a newer version writes.
    pub(super) fn from_columns(kind: i16, endpoint_id: Option<i64>) -> Option<Self> {
        match (kind, endpoint_id) {
            (0, None) => Some(Self::OrganizationDeleted),
            (1, Some(id)) => Some(Self::Endpoint(EndpointId(id))),
            (2, None) => Some(Self::EventTypes),
            (3, None) => Some(Self::Organization),
            (4, Some(id)) => Some(Self::PayloadErased(EventId(id))),
            _ => None,
        }
    }
}

/// What was changed since a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangesSince {
    /// The lines behind it, oldest first.
    Lines(Vec<SettingChange>),
    /// Some of them are no longer kept, or can't be understood: everything is to be read again.
    Everything,
}

/// The log of changed settings, of all organizations.
pub trait ChangeStore: Send + Sync + 'static {
    /// Returns when every change that was begun before has ended, also one whose connection was lost: afterwards it is in
    /// the database or never will be.
    fn wait_until_decided(&self) -> StoreResult<()>;
    /// The number of the newest line.
    fn last_change(&self) -> StoreResult<ChangeNumber>;
    /// At most `limit` lines behind `after`.
    fn changes_since(&self, after: ChangeNumber, limit: usize) -> StoreResult<ChangesSince>;
    /// Organizations whose events have a verbatim body.
    fn verbatim_organizations(&self) -> StoreResult<Vec<OrganizationId>>;
    /// Whether this organization is one of them.
    fn is_verbatim(&self, organization_id: OrganizationId) -> StoreResult<bool>;
    /// An organization's own event types, for the engine: over connections that no request takes.
    fn event_types_now(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>>;
}
