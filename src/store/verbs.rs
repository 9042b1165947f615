//! What the verbs around the queue, sending again, reading events and pruning take and give.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::delivery::{DeliveryRecord, DeliveryStatus, QueuedDelivery};
use crate::domain::endpoint::DisabledReason;
use crate::domain::event::EventRecord;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Which pending deliveries a supervisor asks for.
#[derive(Debug, Clone)]
pub struct DueRequest {
    /// Whose turn in the queue is at this instant or before.
    pub now: UnixMillis,
    /// At most this many deliveries.
    pub max_deliveries: usize,
    /// Stop before the delivery that exceeds this many bytes of bodies.
    pub max_bytes: usize,
    /// The first one may exceed that, up to this many bytes. When it is larger, the page is empty, and says that
    /// there is more.
    pub max_first_bytes: usize,
    /// Those the supervisor has already; skipped, and not counted.
    pub known: Vec<DeliveryId>,
}

impl DueRequest {
    /// Whether a body of `added` bytes fits, behind so many deliveries with so many bytes.
    pub(super) fn has_room_for(&self, deliveries: usize, bytes: usize, added: usize) -> bool {
        bytes.saturating_add(added) <= self.max_bytes || (deliveries == 0 && added <= self.max_first_bytes)
    }
}

/// A page of an endpoint's pending deliveries in queue order.
#[derive(Debug, Clone, Default)]
pub struct DuePage {
    /// The deliveries. Several of one event share its body.
    pub deliveries: Vec<QueuedDelivery>,
    /// Whether more of them are due now.
    pub more: bool,
    /// The earliest turn in the queue after `now`.
    pub next_due_at: Option<UnixMillis>,
}

/// An endpoint's condition, to be remembered while it points where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedHealth {
    /// The condition.
    pub health: EndpointHealth,
    /// Where the endpoint pointed.
    pub url: Arc<str>,
}

/// An endpoint that is to be disabled, unless it is already, or points elsewhere by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisableEndpoint {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// What its owner is told.
    pub reason: DisabledReason,
    /// Where it pointed when that was found out.
    pub url: Arc<str>,
    /// The event of the same batch that tells of it: withheld when it is not disabled.
    pub announced_by: Option<EventId>,
}

/// A place in an endpoint's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePosition {
    /// A turn in the queue.
    pub queued_at: UnixMillis,
    /// Of those with the same turn.
    pub id: DeliveryId,
}

/// What one step of making retries due did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeDue {
    /// So many waited for a later instant, and are due now.
    pub deliveries: usize,
    /// Behind which place the next step goes on; `None` when the queue is through.
    pub next: Option<QueuePosition>,
}

/// What became of the wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequeueOutcome {
    /// There is no such delivery.
    NotFound,
    /// It waits for an attempt as it is.
    StillPending,
    /// Its endpoint was deleted.
    WebhookGone,
    /// It is pending again.
    Requeued {
        /// Whose it is.
        endpoint_id: EndpointId,
    },
}

/// Which deliveries of an endpoint are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeueRange {
    /// Created at or after.
    pub since: UnixMillis,
    /// Created before.
    pub until: UnixMillis,
    /// In this final status: success or failed. Of any other there are none.
    pub status: DeliveryStatus,
}

/// What one step of sending a range again did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeuedPage {
    /// So many are pending again.
    pub deliveries: usize,
    /// After which delivery the next step goes on; `None` when the range is through. One that was requeued can
    /// fail again before the next step: only going on behind it keeps it from being sent twice.
    pub next: Option<DeliveryId>,
}

/// Where an event is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTargets {
    /// To every endpoint that it has a delivery for and that still exists.
    Delivered,
    /// To these; one that does not exist is left out.
    Endpoints(Vec<EndpointId>),
}

/// A page of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Newest first.
    pub rows: Vec<DeliveryRecord>,
    /// There are fewer rows than were asked for, and yet there may be more before this id: the page looked at all that
    /// one page may look at.
    pub next_before: Option<i64>,
}

/// An event with its body and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    /// The row.
    pub record: EventRecord,
    /// What receivers get.
    pub body: Bytes,
    /// From the oldest to the newest.
    pub deliveries: Vec<DeliveryRecord>,
}

/// What one step of pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Events that were removed.
    pub events: usize,
    /// Deliveries that went with them.
    pub deliveries: usize,
    /// After which event the next step goes on; `None` when all that is old enough was looked at.
    pub next: Option<EventId>,
}

impl RequeueRange {
    /// Whether deliveries in its status can be sent again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, DeliveryStatus::Success | DeliveryStatus::Failed)
    }
}
