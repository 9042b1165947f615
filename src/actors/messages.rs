//! What the actors say to each other: commands imperative, facts in the past tense. Every message that is
//! posted without waiting names what bounds it.

use std::sync::Arc;

use actix::{Addr, Message};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::endpoint_supervisor::EndpointSupervisor;
use super::handle::{Publication, PublishError, Published};
use super::operational::OperationalEvent;
use super::payload::PayloadShare;
use super::router::Router;
use super::scheduler::Scheduler;
use crate::domain::attempt::{AttemptResult, LocalFault, Outcome};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event::Event;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::rotation::SecretId;
use crate::domain::time::UnixMillis;
use crate::store::{AgendaRow, DuePage, EndpointStart, StoreResult};

/// A message that may be posted without waiting.
pub(crate) trait Bounded {
    /// What limits how many of its kind can be under way.
    #[expect(dead_code, reason = "read by people, and required by the compiler")]
    const BOUND: &'static str;
}

macro_rules! bounded {
    ($($message:ty: $bound:literal;)*) => {
        $(impl Bounded for $message { const BOUND: &'static str = $bound; })*
    };
}

bounded! {
    Begin: "two, at the start";
    CollectInbox: "one between two rests of persistence";
    Deliver: "mailbox credits of the supervisor";
    MoreInStore: "one between two readings of the overflow flag, or one for each activation";
    Relieved: "requests of the management API";
    Relieve: "requests of the management API";
    Reconfigure: "requests of the management API";
    WorkAdded: "requests of the management API";
    SupervisorDrain: "one for each supervisor";
    Retire: "answers one RetireRequest";
    RetireRequest: "one under way for each supervisor";
    SupervisorStopped: "one for each supervisor";
    AttemptEnded: "attempts in flight";
    AttemptNotMade: "attempts in flight";
    OutcomesRecorded: "unrecorded outcomes";
    StartRead: "one for each supervisor";
    PageRead: "one under way for each supervisor";
    Schedule: "one for each supervisor that retires or is refused";
    CapacityFreed: "one for each supervisor that retires";
    Rescan: "one for each commit that failed";
    EndpointChanged: "requests of the management API, and 410 answers";
    OrganizationDeleted: "requests of the management API";
}

/// Who the others are.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Begin {
    /// The router.
    pub router: Addr<Router>,
    /// The scheduler.
    pub scheduler: Addr<Scheduler>,
}

// ---- to Retention

/// An organization was deleted: what it published can be removed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OrganizationDeleted;

// ---- to Persistence

/// Events to be accepted, all in one commit: stored with their deliveries, then answered. Go through the inbox.
pub(crate) struct Ingest {
    /// What was published.
    pub publications: Vec<Publication>,
    /// Answered after the commit, for each in order.
    pub reply: oneshot::Sender<Vec<Result<Published, PublishError>>>,
    /// Their share of what may be uncommitted; given back when this is dropped.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub permits: [OwnedSemaphorePermit; 2],
}

/// Something was put into the inbox while persistence rested.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CollectInbox;

/// How an attempt ended and what it changed, to be written down in one commit; then its supervisor is told. Goes
/// through the inbox.
pub(crate) struct RecordOutcome {
    /// What is written.
    pub outcome: Outcome,
    /// What it changed.
    pub change: Change,
}

/// What an attempt changed beside its delivery.
pub(crate) struct Change {
    /// The endpoint's condition, when it changed.
    pub health: Option<EndpointHealth>,
    /// The endpoint is to be disabled.
    pub disable: Option<DisabledReason>,
    /// Where the endpoint pointed: what it changed holds only while it points there.
    pub url: Arc<str>,
    /// What the organization is told.
    pub announcements: Vec<OperationalEvent>,
    /// Told when it is on disk.
    pub supervisor: Addr<EndpointSupervisor>,
}

/// Answer when everything received so far is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Flush;

// ---- to the Router

/// Events that were just committed. Awaited: the next commit's events wait for these to be handed on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Dispatch(pub Vec<CommittedEvent>);

/// One of them.
pub(crate) struct CommittedEvent {
    /// The event.
    pub event: Arc<Event>,
    /// Its deliveries.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
}

/// Endpoints whose turn has come. Answers with those for which there is no room now.
#[derive(Message)]
#[rtype(result = "Vec<AgendaRow>")]
pub(crate) struct Activate(pub Vec<AgendaRow>);

/// An endpoint was created, changed or deleted (`None`), and that is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EndpointChanged {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// As it is now.
    pub endpoint: Option<Box<Endpoint>>,
}

/// Deliveries of these endpoints became pending in the database: a person sends them again.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkAdded {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoints.
    pub endpoint_ids: Vec<EndpointId>,
}

/// Something speaks for an endpoint that may be failing, and that is stored.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Relieved {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// What.
    pub relief: Relief,
}

/// What speaks for an endpoint beside its own attempts.
#[derive(Debug, Clone)]
pub(crate) enum Relief {
    /// A test was answered with success.
    Tested {
        /// Where it was sent.
        url: Arc<str>,
        /// The secret that was taken after another one had been refused.
        accepted_secret: Option<SecretId>,
    },
    /// A person said go.
    Resumed,
}

/// A supervisor has nothing to do.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RetireRequest {
    /// Whose.
    pub endpoint_id: EndpointId,
    /// Messages that it has received; when the router sent more, it stays.
    pub received: u64,
    /// When it has something to do again.
    pub due_at: Option<UnixMillis>,
}

/// A supervisor is no more, retired or lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SupervisorStopped {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Whose.
    pub endpoint_id: EndpointId,
    /// Which of its supervisors.
    pub generation: u64,
    /// It did not end on purpose: a new one is needed.
    pub is_lost: bool,
}

/// Start nothing new, and answer when every supervisor is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

// ---- to an EndpointSupervisor

/// Deliveries of events that were just committed, and their share of the payload memory.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver(pub Vec<QueuedDelivery>, pub PayloadShare);

/// Deliveries are pending in the database that did not come by memory.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct MoreInStore;

/// The endpoint's settings changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconfigure(pub Option<Box<Endpoint>>);

/// Something speaks for the endpoint.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Relieve(pub Relief);

/// Start nothing new.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SupervisorDrain;

/// Nothing more will be sent to you: end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// The endpoint was read; `None` when there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StartRead(pub StoreResult<Option<EndpointStart>>);

/// A page of pending deliveries was read.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PageRead(pub StoreResult<(DuePage, PayloadShare)>);

/// An attempt ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptEnded {
    /// What was sent.
    pub delivery: QueuedDelivery,
    /// When it began.
    pub started_at: UnixMillis,
    /// As sent.
    pub request_headers: Vec<(String, String)>,
    /// What came of it.
    pub result: AttemptResult,
}

/// An attempt could not be made.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AttemptNotMade {
    /// What was to be sent.
    pub delivery: QueuedDelivery,
    /// What this machine lacked.
    pub fault: LocalFault,
}

/// The outcomes of these are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OutcomesRecorded(pub Vec<DeliveryId>);

// ---- to the Scheduler

/// An endpoint has something to do at an instant, and no supervisor until then.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Schedule(pub AgendaRow);

/// There is room for another supervisor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CapacityFreed;

/// The database may hold pending deliveries that nobody knows of: a commit failed, and perhaps it did not.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Rescan;
