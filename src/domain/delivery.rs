//! Deliveries: one event on its way to one endpoint.

use std::sync::Arc;

use serde::Serialize;

use super::event::Event;
use super::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use super::rotation::SecretId;
use super::time::UnixMillis;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Waits for its next attempt or has one in flight; a crash leaves it pending.
    Pending,
    /// The receiver responded with 2xx. Final.
    Success,
    /// No retries are left, or the response was final. Final, unless it is resent.
    Failed,
    /// Its webhook was deleted. Final.
    Cancelled,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Success, Self::Failed, Self::Cancelled];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the name in the API; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The number in the database.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Success => 1,
            Self::Failed => 2,
            Self::Cancelled => 3,
        }
    }

    /// Reads the number in the database.
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// A place in an endpoint's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePosition {
    /// When its turn comes.
    pub queued_at: UnixMillis,
    /// Decides between equal `queued_at`.
    pub id: DeliveryId,
}

/// A pending delivery in a supervisor's window, ready to be attempted.
#[derive(Debug, Clone)]
pub struct QueuedDelivery {
    pub id: DeliveryId,
    /// Attempts that are recorded so far.
    pub attempts_made: u32,
    /// Those of them that the schedule does not count: attempts before the last resend, and attempts that had a follow-up. Less
    /// than 0 in a manual round (see [`super::round`]).
    pub attempts_not_counted: i32,
    /// Its place in the queue, when it was read.
    pub queued_at: UnixMillis,
    /// Not attempted before this instant.
    pub due_at: UnixMillis,
    /// The event to deliver.
    pub event: Arc<Event>,
    /// For a follow-up attempt; `None` for a delivery from the database.
    pub follow_up: Option<Box<FollowUp>>,
}

impl QueuedDelivery {
    /// A delivery that was just accepted.
    pub fn first(id: DeliveryId, due_at: UnixMillis, event: Arc<Event>) -> Self {
        Self { id, attempts_made: 0, attempts_not_counted: 0, queued_at: due_at, due_at, event, follow_up: None }
    }

    /// Secrets that were refused directly before, in order.
    pub(crate) fn refused(&self) -> &[SecretId] {
        self.follow_up.as_ref().map_or(&[], |known| &known.refused)
    }
}

/// What an attempt has to know of those directly before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowUp {
    /// A reused connection turned out to be closed: every further attempt makes a new one.
    pub on_fresh_connection: bool,
    /// Secrets that the receiver refused, in order.
    pub refused: Vec<SecretId>,
}

/// A row of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    pub id: DeliveryId,
    pub organization_id: OrganizationId,
    pub event_id: EventId,
    pub endpoint_id: EndpointId,
    pub event_type: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts made so far.
    pub attempt_count: u32,
    /// Of the last attempt, when it had a response.
    pub response_code: Option<u16>,
    /// Of the last attempt, when it had none: see [`super::attempt::AttemptError::as_str`].
    pub error: Option<String>,
    /// When the event was accepted, or when it was replayed, for a delivery that a replay made.
    pub created_at: UnixMillis,
    /// When it reached a final status.
    pub finished_at: Option<UnixMillis>,
    /// When it is attempted next, while pending.
    pub next_attempt_at: Option<UnixMillis>,
}

/// Which rows of the delivery log to return; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub endpoint_id: Option<EndpointId>,
    pub event_id: Option<EventId>,
    pub event_type: Option<String>,
    /// Deliveries of events with this tag.
    pub tag: Option<String>,
    pub status: Option<DeliveryStatus>,
    /// Last response code in this range, both ends included.
    pub response_code: Option<(u16, u16)>,
    /// Created at or after.
    pub from: Option<UnixMillis>,
    /// Created before.
    pub to: Option<UnixMillis>,
}
