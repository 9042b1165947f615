//! The path of an event through the store: committed, read by its endpoint, ended.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{EndpointStart, StoreResult};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event::Event;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::statistics::StatisticsDelta;
use crate::domain::time::UnixMillis;

/// The path of an event: every publish, attempt and outcome goes through these.
pub trait QueueStore: Send + Sync + 'static {
    /// Writes everything in one durable transaction: when this returns `Ok`, it is on disk.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport>;
    /// Does what has to be done now and then because of commits, and can be done beside them. Cheap when there is
    /// nothing to do; call it every few commits, and after other large changes.
    fn checkpoint(&self) -> StoreResult<Checkpoint>;
    /// Reads one with its condition.
    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>>;
    /// Reads a page of an endpoint's pending deliveries in queue order.
    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage>;
    /// Cancels what is pending for an endpoint that no longer exists, the first [`CANCELLED_AT_ONCE`] of its queue in
    /// one short transaction. Returns how many.
    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize>;
    /// Cancels all of it, in as many transactions as it takes. Returns how many.
    fn cancel_all_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        let mut cancelled = 0;
        loop {
            let step = self.cancel_pending(organization_id, endpoint_id, now)?;
            cancelled += step;
            if step < CANCELLED_AT_ONCE {
                return Ok(cancelled);
            }
        }
    }
    /// Forgets that an endpoint is left alone for a while, if it is: a person says go. That it fails stays known.
    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()>;
    /// Makes pending deliveries of an endpoint that wait for a later instant due at `now`, from behind `after`, at most
    /// `limit` in one short transaction.
    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue>;
}

/// How many deliveries one transaction cancels. Smaller: a long queue takes more syncs of the disk. Larger: publishers
/// wait longer for their commits meanwhile.
pub const CANCELLED_AT_ONCE: usize = 1_000;

/// How long an idempotency key is remembered, also when its event is removed before; an older one counts as never used.
pub(crate) const IDEMPOTENCY_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// An event to be stored together with its deliveries, in one commit.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event, its body final.
    pub event: Arc<Event>,
    /// Its deliveries. Their ids follow the event's id directly, so that an event's deliveries are one range
    /// of the primary key.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// When the publisher sent an idempotency key.
    pub idempotency: Option<IdempotencyKey>,
}

/// An idempotency key and what came with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// 1–255 characters.
    pub key: String,
    /// SHA-256 of the request's body.
    pub request_hash: [u8; 32],
}

/// Everything that one group commit writes. All of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// To be stored.
    pub events: Vec<NewEvent>,
    /// To be recorded. An outcome decides only about a delivery that is still pending; of one that was cancelled meanwhile,
    /// because its endpoint was deleted, the attempt is kept, and it is a success when the receiver acknowledged it.
    pub outcomes: Vec<Outcome>,
    /// To be remembered, while the endpoints point where this was found.
    pub health: Vec<SavedHealth>,
    /// To be disabled, unless they are already.
    pub disable: Vec<DisableEndpoint>,
    /// To be added to what was counted before.
    pub statistics: Vec<StatisticsDelta>,
    /// To be remembered of endpoints that still exist, unless a newer one is.
    pub failures: Vec<LastFailure>,
}

impl WriteBatch {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.outcomes.is_empty()
            && self.health.is_empty()
            && self.disable.is_empty()
            && self.statistics.is_empty()
            && self.failures.is_empty()
    }
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

/// What a commit did.
#[derive(Default)]
pub struct CommitReport {
    /// One for each event of the batch, in order.
    pub events: Vec<EventCommit>,
    /// One for each outcome of the batch, in order: whether it was recorded (`false`: its delivery was no
    /// longer pending).
    pub outcomes_recorded: Vec<bool>,
    /// The places of outcomes whose delivery had been cancelled: their attempts are in the log.
    pub after_cancellation: Vec<usize>,
    /// The endpoints that this commit disabled, as they are now.
    pub disabled: Vec<Endpoint>,
}

impl CommitReport {
    /// Which outcomes count in statistics: those that were recorded, and what was acknowledged after its cancellation.
    pub fn counted(&self, outcomes: &[Outcome]) -> Cow<'_, [bool]> {
        let mut counted = Cow::from(&self.outcomes_recorded);
        for &place in &self.after_cancellation {
            counted.to_mut()[place] = outcomes[place].next == NextStep::Succeeded;
        }
        counted
    }
}

/// What became of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventCommit {
    /// Stored.
    Stored,
    /// Not stored: its idempotency key was used within the last 24 h with the same request; this is the event
    /// of the first time.
    Replayed(AcceptedEvent),
    /// Not stored: its idempotency key was used with another request.
    KeyReused,
    /// Not stored: it was to tell that an endpoint is disabled, and the endpoint was not (see [`DisableEndpoint`]).
    Withheld,
}

/// What the answer to a publisher is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// The event.
    pub id: EventId,
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: UnixMillis,
    /// How many deliveries it was given.
    pub deliveries: usize,
}

/// What came of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// There is nothing more to do for now.
    Done,
    /// Somebody who reads stands in its way. Worth another try a moment later, even when nothing is written meanwhile.
    Blocked,
}

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
