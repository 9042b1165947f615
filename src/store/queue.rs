//! The path of an event through the store: committed, read for its endpoint, finished.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{ChangeNumber, EndpointStart, StoreResult};
use crate::domain::attempt::{NextStep, Outcome};
pub use crate::domain::delivery::QueuePosition;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event::Event;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;
use crate::domain::last_failure::LastFailure;
use crate::domain::notice::NewNotice;
use crate::domain::statistics::StatisticsDelta;
use crate::domain::time::UnixMillis;

/// Called for every publish, attempt and outcome.
pub trait QueueStore: Send + Sync + 'static {
    /// Writes everything in one durable transaction: when this returns `Ok`, it is on disk.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport>;
    /// Housekeeping that commits make necessary and that can run alongside them. Cheap when there is nothing to
    /// do; call it every few commits, and after other large changes.
    fn checkpoint(&self) -> StoreResult<Checkpoint>;
    /// Reads an endpoint with its health.
    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>>;
    /// Reads a page of an endpoint's pending deliveries in queue order.
    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage>;
    /// Cancels pending deliveries of a deleted endpoint: the first [`CANCELLED_AT_ONCE`] of its queue, in one
    /// short transaction. Returns how many.
    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize>;
    /// Cancels all of them, in as many transactions as it takes. Returns how many.
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
    /// Closes an endpoint's breaker at a person's request. That the endpoint is failing stays known.
    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()>;
    /// Makes deliveries due at `now` that wait for a later retry, from behind `after`, at most `limit` in one
    /// short transaction, which may do fewer. First attempts that are due later stay as they are.
    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue>;
}

/// How many deliveries one transaction cancels: 1 to 3 ms (`docs/performance.md`). Smaller: a long queue takes
/// more syncs of the disk. Larger: publishers wait longer for their commits.
pub const CANCELLED_AT_ONCE: usize = 250;

/// How many deliveries one transaction sends again or makes due: 3 ms on SQLite, 6 on PostgreSQL
/// (`docs/performance.md`). As above.
pub const RESENT_AT_ONCE: usize = 250;

/// How long an idempotency key is remembered, even if its event is removed earlier. An older key counts as
/// unused.
pub(crate) const IDEMPOTENCY_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// An event and its deliveries, stored in one commit.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its body is final.
    pub event: Arc<Event>,
    /// Its deliveries. Their ids follow the event's id directly, so that an event's deliveries are one range
    /// of the primary key.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// `None` when the publisher sent none.
    pub labels: Option<Arc<EventLabels>>,
    /// `None` when the publisher sent no key.
    pub idempotency: Option<IdempotencyKey>,
    /// The key of the batch that it came in; `None` when there is none.
    pub batch: Option<Arc<BatchKey>>,
}

impl NewEvent {
    /// When its deliveries are first due.
    pub(crate) fn due_at(&self) -> UnixMillis {
        self.deliver_at().unwrap_or(self.event.accepted_at)
    }

    /// When its deliveries are first due, if that is later than it was accepted.
    pub(crate) fn deliver_at(&self) -> Option<UnixMillis> {
        let wanted = self.labels.as_ref().and_then(|labels| labels.deliver_at);
        wanted.filter(|at| *at > self.event.accepted_at)
    }

    /// How many channels and tags it has: each is a row.
    pub(crate) fn label_count(&self) -> usize {
        self.labels.as_ref().map_or(0, |labels| labels.len())
    }

    /// The publisher's own id of it.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.labels.as_ref()?.uid.as_deref()
    }

    /// The response to its publisher.
    pub(crate) fn accepted(&self) -> AcceptedEvent {
        AcceptedEvent {
            id: self.event.id,
            event_type: self.event.event_type.clone(),
            occurred_at: self.event.occurred_at,
            deliveries: self.deliveries.len(),
        }
    }
}

/// An idempotency key and the request that it came with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// 1–255 characters.
    pub key: String,
    /// SHA-256 of what was sent: another one is another event.
    pub request_hash: [u8; 32],
}

impl IdempotencyKey {
    /// The key of an operational event that an attempt caused: the event is stored once, however often the attempt's outcome
    /// is written, as after a commit whose answer was lost.
    pub fn of_operational(delivery_id: DeliveryId, attempt: u32, event_type: &str) -> Self {
        let key = format!("{SEPARATOR}{event_type}{SEPARATOR}{}{SEPARATOR}{attempt}", delivery_id.0);
        Self { key, request_hash: [0; 32] }
    }
}

impl IdempotencyKey {
    /// The key of the message about a [notice](crate::domain::notice): it is published once, also when two nodes do it.
    pub fn of_notice(cause: &str) -> Self {
        Self { key: format!("{SEPARATOR}notice{SEPARATOR}{cause}"), request_hash: [0; 32] }
    }
}

/// The idempotency key of a whole batch.
///
/// Each of its events has a key of its own, so that a batch that was stored in part is completed by its repetition.
/// This one only shows that all of them belong to the same request, and that the key is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BatchKey {
    key: String,
    request_hash: [u8; 32],
}

/// No key that a publisher sends has it: theirs are printable ASCII.
const SEPARATOR: char = '\u{1}';

impl BatchKey {
    /// `key` as the publisher sent it, and a hash of the request's body.
    pub fn new(key: &str, request_hash: [u8; 32]) -> Self {
        Self { key: key.to_owned(), request_hash }
    }

    /// The key of the item at this place of the batch, from 0.
    pub fn of_item(&self, place: usize) -> IdempotencyKey {
        IdempotencyKey {
            key: format!("{SEPARATOR}{}{SEPARATOR}{place}", self.key),
            request_hash: self.request_hash,
        }
    }

    /// As it is stored.
    pub(super) fn marker(&self) -> &str {
        &self.key
    }

    pub(super) fn request_hash(&self) -> &[u8; 32] {
        &self.request_hash
    }
}

/// Everything that one group commit writes: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// New events.
    pub events: Vec<NewEvent>,
    /// The last change of settings with which they were matched: one of an organization with later changes is not stored.
    /// `None`: they are stored whatever was changed.
    pub matched_at: Option<ChangeNumber>,
    /// Outcomes to record. An outcome decides only about a delivery that is still pending. If the delivery was
    /// cancelled in the meantime, because its endpoint was deleted, the attempt is kept, and counts as a
    /// success if the receiver acknowledged it.
    pub outcomes: Vec<Outcome>,
    /// Health of endpoints, kept only if they still have the URL that it belongs to.
    pub health: Vec<SavedHealth>,
    /// Endpoints to disable, unless they are already disabled.
    pub disable: Vec<DisableEndpoint>,
    /// Added to the stored counts.
    pub statistics: Vec<StatisticsDelta>,
    /// Last failures, kept for endpoints that still exist unless a newer one is stored.
    pub failures: Vec<LastFailure>,
    /// About outcomes of this batch; kept for those that are recorded, if anyone listens.
    pub notices: Vec<NewNotice>,
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
            && self.notices.is_empty()
    }
}

/// An endpoint's health, kept only if the endpoint still has the URL that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedHealth {
    /// Replaces the stored health.
    pub health: EndpointHealth,
    /// The URL that was attempted.
    pub url: Arc<str>,
}

/// An endpoint to disable, unless it is already disabled or has another URL by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisableEndpoint {
    /// The owner of the endpoint.
    pub organization_id: OrganizationId,
    /// Which endpoint to disable.
    pub endpoint_id: EndpointId,
    /// Shown to its owner.
    pub reason: DisabledReason,
    /// The URL whose attempts gave the reason.
    pub url: Arc<str>,
    /// The operational event in the same batch that announces it; withheld if the endpoint is not disabled.
    pub announced_by: Option<EventId>,
}

/// What a commit did.
#[derive(Default)]
pub struct CommitReport {
    /// One per event of the batch, in order.
    pub events: Vec<EventCommit>,
    /// One per outcome of the batch, in order: whether it was recorded. `false`: its delivery was no longer
    /// pending.
    pub outcomes_recorded: Vec<bool>,
    /// Indexes of outcomes whose delivery had been cancelled: their attempts are in the log.
    pub after_cancellation: Vec<usize>,
    /// The endpoints that this commit disabled, in their new state.
    pub disabled: Vec<Endpoint>,
}

impl CommitReport {
    /// Which outcomes count in statistics: the recorded ones, and those of cancelled deliveries that were
    /// acknowledged.
    pub fn counted(&self, outcomes: &[Outcome]) -> Cow<'_, [bool]> {
        let mut counted = Cow::from(&self.outcomes_recorded);
        for &place in &self.after_cancellation {
            counted.to_mut()[place] = outcomes[place].next == NextStep::Succeeded;
        }
        counted
    }
}

/// The fate of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventCommit {
    Stored,
    /// Not stored: its idempotency key was used within the last 24 h by the same request; this is that
    /// request's event.
    Replayed(AcceptedEvent),
    /// Not stored: its idempotency key was used by another request, or its own id is that of another event.
    KeyReused,
    /// Not stored: the key of its batch was used by another request.
    BatchKeyReused,
    /// Not stored: it was to announce that an endpoint is disabled, and the endpoint was not (see
    /// [`DisableEndpoint`]).
    Withheld,
    /// Not stored: settings of its organization were changed after [`WriteBatch::matched_at`], or its key was used by somebody
    /// else while it was written. To be matched again, and written with another commit.
    Outdated,
}

/// The parts of the response to a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    pub id: EventId,
    pub event_type: String,
    /// When it happened.
    pub occurred_at: UnixMillis,
    /// How many deliveries it has.
    pub deliveries: usize,
}

/// The result of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// Nothing more to do for now.
    Done,
    /// A reader is in its way. Worth a retry a moment later, even if nothing is written until then.
    Blocked,
}

/// The pending deliveries that a supervisor can take.
#[derive(Debug, Clone)]
pub struct DueRequest {
    /// Deliveries queued for this instant or earlier.
    pub now: UnixMillis,
    /// The maximum number of deliveries.
    pub max_deliveries: usize,
    /// Stop before the delivery that exceeds this many bytes of bodies.
    pub max_bytes: usize,
    /// The first one may exceed that, up to this many bytes. If it is larger, the page is empty and `more` is
    /// set.
    pub max_first_bytes: usize,
    /// Only deliveries behind this position, where an earlier page ended; `None`: from the head of the queue.
    pub after: Option<QueuePosition>,
    /// Deliveries that the supervisor already has; skipped and not counted.
    pub known: Vec<DeliveryId>,
}

impl DueRequest {
    /// The end of a page with these deliveries.
    pub(super) fn end(&self, deliveries: &[QueuedDelivery], more: bool) -> Option<QueuePosition> {
        if !more {
            return Some(QueuePosition { queued_at: self.now, id: DeliveryId(i64::MAX) });
        }
        let last = deliveries.last().map(|last| QueuePosition { queued_at: last.queued_at, id: last.id });
        last.or(self.after)
    }

    /// Whether a body of `added` bytes fits behind `deliveries` deliveries with `bytes` bytes.
    pub(super) fn has_room_for(&self, deliveries: usize, bytes: usize, added: usize) -> bool {
        bytes.saturating_add(added) <= self.max_bytes || (deliveries == 0 && added <= self.max_first_bytes)
    }
}

/// A page of an endpoint's pending deliveries in queue order.
#[derive(Debug, Clone, Default)]
pub struct DuePage {
    /// Several deliveries of one event share its body.
    pub deliveries: Vec<QueuedDelivery>,
    /// Whether more deliveries are due now.
    pub more: bool,
    /// The earliest `queued_at` after `now`.
    pub next_due_at: Option<UnixMillis>,
    /// Where it ended. Between the beginning of the page and this position nothing was pending except what is in it and
    /// what the supervisor has.
    pub end: Option<QueuePosition>,
}

/// The result of one step of making retries due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeDue {
    /// How many waited for a later instant and are due now.
    pub deliveries: usize,
    /// The next step continues behind this position; `None` at the end of the queue.
    pub next: Option<QueuePosition>,
}
