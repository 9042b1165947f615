//! The messages between the actors: commands in the imperative, facts in the past tense. Every message that is posted
//! without waiting states what bounds it. This file imports no actor.

use std::sync::Arc;

use actix::{Message, Recipient};

use super::fairness::shares::Holding;
use super::mailbox::Bounded;
use super::operational::OperationalEvent;
use super::publication::Publication;
use super::publish_reply::PublishReply;
use crate::domain::attempt::{AttemptResult, LocalFault, Outcome};
use crate::domain::cluster::Partition;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event::Event;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::notice::NewNotice;
use crate::domain::rotation::SecretId;
use crate::domain::sent_request::SentRequest;
use crate::domain::time::UnixMillis;
use crate::store::{AgendaRow, DuePage, EndpointStart, SavedHealth, StoreResult};

macro_rules! bounded {
    ($($message:ty: $bound:literal;)*) => {
        $(impl Bounded for $message { const BOUND: &'static str = $bound; })*
    };
}

bounded! {
    CollectInbox: "one each time persistence becomes idle";
    Deliver: "mailbox credits of the supervisor";
    MoreInStore: "one between two readings of the overflow flag, or one for each activation";
    BreakerWasReset: "requests of the management API";
    ResetBreaker: "requests of the management API";
    Reconfigure: "requests of the management API";
    WorkAdded: "requests of the management API";
    PayloadErased: "requests of the management API";
    ForgetPayload: "requests of the management API";
    SupervisorDrain: "one for each supervisor";
    Retire: "one for each RetireRequest";
    RetireRequest: "one at a time for each supervisor";
    SupervisorStopped: "one for each supervisor";
    AttemptEnded: "attempts in flight";
    AttemptNotMade: "attempts in flight";
    OutcomesRecorded: "unrecorded outcomes";
    StartRead: "one for each supervisor";
    PageRead: "one at a time for each supervisor";
    Schedule: "one for each supervisor that retires, and one for each dispatch";
    CapacityFreed: "one for each supervisor that retires";
    Rescan: "one a second";
    EndpointChanged: "requests of the management API, and 410 responses";
    OrganizationDeleted: "requests of the management API";
    Announce: "one for each dispatch, and requests of the management API";
    Announced: "pushes of other nodes, one at a time from each";
    Pushed: "pushes of other nodes, one at a time from each";
    Nudge: "requests of the management API, and moves of partitions";
    ClusterChanged: "one for each beat";
    LookNow: "pushes of other nodes, one at a time from each";
    EndpointReleased: "one for each supervisor";
    ResolveDoubt: "one for each commit, and for each request of the management API that failed";
}

// ---- to Retention

/// An organization was deleted: its events can be removed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OrganizationDeleted;

// ---- to DoubtResolver

/// A change or a commit failed, and the database may have committed it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResolveDoubt;

// ---- to Persistence

/// An event to store with its deliveries, in one commit. Goes through the inbox.
pub(crate) struct Ingest {
    pub publication: Publication,
    /// Gets the result after the commit.
    pub reply: PublishReply,
    /// It was matched before: its event type may have been deleted since it was validated.
    pub is_again: bool,
}

/// Something was put into the inbox while persistence was idle.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CollectInbox;

/// What a supervisor has to store. Goes through the inbox.
pub(crate) enum Record {
    Outcome(Box<RecordOutcome>),
    /// Health that changed without an attempt.
    Health(Box<SavedHealth>),
    /// An operational event that has to be matched again; its outcome is stored.
    Operational(Box<OperationalEvent>),
}

/// An attempt's outcome and the changes that follow from it, to be stored in one commit.
pub(crate) struct RecordOutcome {
    pub outcome: Outcome,
    pub change: Change,
}

/// Changes that follow from an attempt, other than to its delivery.
pub(crate) struct Change {
    /// The endpoint's health, if it changed.
    pub health: Option<EndpointHealth>,
    pub disable: Option<DisabledReason>,
    /// Where the attempt was sent: the changes apply only while the endpoint still points there.
    pub url: Arc<str>,
    pub announcements: Vec<OperationalEvent>,
    /// What the attempt tells whoever listens to its environment.
    pub notice: Option<Box<NewNotice>>,
    /// Gets a message when the outcome is on disk.
    pub supervisor: Recipient<OutcomesRecorded>,
}

/// Respond when everything received so far is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Flush;

// ---- to the Router

/// Events that were just committed. Awaited: the next commit's events wait until the router has taken these.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Dispatch(pub Vec<CommittedEvent>);

/// An event with its deliveries.
pub(crate) struct CommittedEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// `None`: they are due now.
    pub deliver_at: Option<UnixMillis>,
}

/// Start supervisors for endpoints that are due. Responds with the endpoints for which there is no room now.
#[derive(Message)]
#[rtype(result = "Vec<AgendaRow>")]
pub(crate) struct Activate(pub Vec<AgendaRow>);

/// An endpoint was created, changed or deleted (`None`), and that is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndpointChanged {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub endpoint: Option<Box<Endpoint>>,
}

/// Deliveries of these endpoints became pending in the store other than by an event that was just accepted: someone
/// resent them, or a test event made an operational one.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkAdded {
    pub organization_id: OrganizationId,
    pub endpoint_ids: Vec<EndpointId>,
}

/// An event's payload was erased, and that is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PayloadErased {
    pub organization_id: OrganizationId,
    pub event_id: EventId,
}

/// An endpoint's breaker is closed in the store for another reason than its own attempts.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BreakerWasReset {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub reset: BreakerReset,
}

/// Why a breaker closes other than by a successful attempt.
#[derive(Debug, Clone)]
pub(crate) enum BreakerReset {
    /// A test event succeeded.
    TestSucceeded {
        /// Where it was sent: it says nothing about another URL.
        url: Arc<str>,
        /// The secret that the receiver accepted after it had refused another.
        accepted_secret: Option<SecretId>,
    },
    /// Someone resumed the endpoint.
    Resumed,
}

/// A supervisor has nothing to do.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RetireRequest {
    /// The supervisor's endpoint.
    pub endpoint_id: EndpointId,
    /// Messages that it has received; it stays if the router has sent more.
    pub received: u64,
    /// When it has something to do again.
    pub due_at: Option<UnixMillis>,
}

/// A supervisor has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SupervisorStopped {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// Tells it from earlier and later supervisors of the endpoint.
    pub generation: u64,
    /// It did not end on purpose: the endpoint needs a new one.
    pub is_lost: bool,
}

/// Start nothing new, and respond when every supervisor is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

// ---- to an EndpointSupervisor

/// Deliveries of events that were just committed, and their share of the payload memory.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver(pub Vec<QueuedDelivery>, pub Holding);

/// The store holds pending deliveries that were not sent with [`Deliver`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct MoreInStore;

/// The endpoint's settings changed; `None` when it was deleted.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconfigure(pub Option<Box<Endpoint>>);

/// An event's payload was erased: its deliveries are pending no more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ForgetPayload(pub EventId);

/// Close the breaker.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResetBreaker(pub BreakerReset);

/// Start nothing new.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SupervisorDrain;

/// Stop: no message will follow.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// The endpoint was read; `None` when it does not exist.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StartRead(pub StoreResult<Option<EndpointStart>>);

/// A page of pending deliveries was read.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PageRead(pub StoreResult<(DuePage, Holding)>);

/// An attempt was made.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptEnded {
    pub delivery: QueuedDelivery,
    pub started_at: UnixMillis,
    /// The part of the request that the log keeps.
    pub request: SentRequest,
    pub result: AttemptResult,
}

/// An attempt could not be made, because this machine lacked something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptNotMade {
    pub delivery: QueuedDelivery,
    pub fault: LocalFault,
}

/// The outcomes of these deliveries are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OutcomesRecorded(pub Vec<DeliveryId>);

// ---- to the Scheduler

/// Endpoints without a supervisor will have something to do at an instant.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Schedule(pub Vec<AgendaRow>);

/// A supervisor of this organization has ended: there is room for another one.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CapacityFreed(pub OrganizationId);

/// The store may hold pending deliveries that no actor knows of: a commit failed, yet may have been written.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Rescan;

// ---- of the cluster

/// Something was committed that concerns an endpoint which another node may own.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// The earliest place in its queue that is new; `None`: anywhere.
    pub since: Option<UnixMillis>,
    pub reset: Option<BreakerReset>,
}

/// To the links: these endpoints are not this node's.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Announce(pub Vec<Announcement>);

/// To the links: another node said something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Pushed {
    pub announcements: Vec<Announcement>,
}

/// To the links: others have to look at the cluster's rows, or at changed settings.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Nudge;

/// To the links: who owns what has changed, or the members.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ClusterChanged;

/// To the router: this was committed elsewhere for endpoints of this node.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Announced(pub Vec<Announcement>);

/// To the router: start nothing more for these partitions. Responds when their supervisors have ended, or after a moment with
/// the endpoints of those that still have an attempt in flight.
#[derive(Message)]
#[rtype(result = "Vec<(EndpointId, OrganizationId)>")]
pub(crate) struct HandOver(pub Vec<Partition>);

/// To the router: this node's rights have ended. Responds when no supervisor is left.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Abandon;

/// To persistence: this node's rights have ended, and with them what its supervisors wanted to record.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DropRecords;

/// To the membership: look at the cluster's rows now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LookNow;

/// To the membership: an attempt of an endpoint that another node owns has ended here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndpointReleased(pub EndpointId);

/// To the membership: hand over everything. Responds when it is handed over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HandOverAll;

/// To the membership: give the slot back.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Leave;
