//! What the API sees of the actors.

mod trial;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use actix::Addr;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};

use super::context::ActorContext;
use super::messages::{EndpointChanged, Ingest, OrganizationDeleted, Relief, Relieved, WorkAdded};
use super::persistence::Persistence;
use super::post;
use super::retention::Retention;
use super::router::Router;
use super::statistics::Counted;
use crate::domain::attempt::{AttemptResult, LocalFault};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{Event, build_body};
use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, OrganizationId};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::{AcceptedEvent, IdempotencyKey, Store, StoreError};
use crate::telemetry;

/// An event as a publisher sends it, validated.
#[derive(Debug)]
pub struct Publication {
    /// The publisher's organization.
    pub organization_id: OrganizationId,
    /// A registered type.
    pub event_type: String,
    /// RFC 3339 UTC ending in `Z`; goes into the body as it is.
    pub timestamp: String,
    /// The same instant as a number.
    pub occurred_at: UnixMillis,
    /// As it was sent.
    pub data: Box<RawValue>,
    /// When the publisher sent one.
    pub idempotency: Option<IdempotencyKey>,
}

impl Publication {
    /// The event that it becomes.
    pub(super) fn event(&self, id: EventId, now: UnixMillis) -> Event {
        Event {
            id,
            organization_id: self.organization_id,
            event_type: self.event_type.clone(),
            occurred_at: self.occurred_at,
            accepted_at: now,
            body: build_body(&self.event_type, &self.timestamp, id, self.data.get()),
        }
    }
}

/// What came of a test.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// Its place in the log.
    pub delivery_id: DeliveryId,
    /// Whether the receiver answered 2xx.
    pub is_success: bool,
    /// The last answer, or why there is none: a refused secret and a connection that was closed are followed by another
    /// attempt at once.
    pub result: AttemptResult,
}

/// An accepted event; durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What the answer is made of.
    pub event: AcceptedEvent,
    /// Whether this is the answer of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Why an event was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// More events wait for their commit than the settings allow; the publisher should come back in a second.
    #[error("too many events wait to be stored")]
    Overloaded,
    /// The database can't write now, or its answer did not come: the event may be stored all the same.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The idempotency key was used with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyKeyReused,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

/// How long a publisher waits for its commit. Smaller: a disk that is only slow is taken for a dead one. Larger: a
/// database that accepts and never answers holds its publishers.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// Why a test brought no result.
#[derive(Debug, Error)]
pub enum TestError {
    /// It was not sent: this machine lacks something.
    #[error("not sent for want of {}", .0.as_str())]
    NotMade(LocalFault),
    /// It was sent, and could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Bytes are counted in units of this many, so that their number fits a semaphore.
const BYTES_UNIT: usize = 1024;

/// The engine, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    context: Arc<ActorContext>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    event_types: Arc<RwLock<EventTypeRegistry>>,
    ids: Arc<Mutex<IdGenerator>>,
    persistence: Addr<Persistence>,
    router: Addr<Router>,
    retention: Addr<Retention>,
    /// Events that may still be taken in before a commit.
    event_permits: Arc<Semaphore>,
    /// Kilobytes of the same.
    byte_permits: Arc<Semaphore>,
    is_accepting: AtomicBool,
}

impl EngineHandle {
    pub(super) fn new(
        context: Arc<ActorContext>,
        subscriptions: Arc<RwLock<Subscriptions>>,
        event_types: Arc<RwLock<EventTypeRegistry>>,
        ids: Arc<Mutex<IdGenerator>>,
        persistence: Addr<Persistence>,
        router: Addr<Router>,
        retention: Addr<Retention>,
    ) -> Self {
        let bytes = context.settings.max_uncommitted_bytes / BYTES_UNIT;
        Self(Arc::new(Shared {
            event_permits: Arc::new(Semaphore::new(context.settings.max_uncommitted_events)),
            byte_permits: Arc::new(Semaphore::new(bytes)),
            context,
            subscriptions,
            event_types,
            ids,
            persistence,
            router,
            retention,
            is_accepting: AtomicBool::new(true),
        }))
    }

    /// For reads and for the management of rows.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.context.store
    }

    /// What was counted, what is not written yet included.
    pub(crate) fn counted(&self) -> Counted {
        Counted(self.0.context.clone())
    }

    /// The current time.
    pub(crate) fn now(&self) -> UnixMillis {
        self.0.context.now()
    }

    /// A generator for secrets and keys.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::from_seed(self.0.context.entropy.seed())
    }

    /// A new raw id, for a row that the API creates.
    pub(crate) fn next_id(&self) -> i64 {
        let now = self.now();
        self.0.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now)
    }

    /// Every organization's own event types.
    pub(crate) fn event_types(&self) -> Arc<RwLock<EventTypeRegistry>> {
        Arc::clone(&self.0.event_types)
    }

    /// Tells the engine that an event type was created and stored.
    pub(crate) fn event_type_created(&self, event_type: &OwnEventType) {
        self.0.event_types.write().unwrap_or_else(PoisonError::into_inner).insert(event_type);
    }

    /// Tells the engine that an event type was deleted.
    pub(crate) fn event_type_deleted(&self, organization_id: OrganizationId, name: &str) {
        self.0.event_types.write().unwrap_or_else(PoisonError::into_inner).remove(organization_id, name);
    }

    /// Accepts an event: returns after the commit that makes it durable.
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let mut answers = self.publish_all(vec![publication]).await?;
        answers.pop().unwrap_or(Err(PublishError::Stopping))
    }

    /// Accepts events, all in one commit, and answers for each in order, within 10 s. An error of the whole is
    /// one of each.
    pub async fn publish_all(
        &self,
        publications: Vec<Publication>,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishError> {
        let shared = &self.0;
        if !self.is_ready() {
            return Err(PublishError::Stopping);
        }
        let units: usize = publications.iter().map(|one| one.data.get().len() / BYTES_UNIT + 1).sum();
        let (Ok(count), Ok(units)) = (u32::try_from(publications.len()), u32::try_from(units)) else {
            return Err(PublishError::Overloaded);
        };
        let events = shared.event_permits.clone().try_acquire_many_owned(count);
        let bytes = shared.byte_permits.clone().try_acquire_many_owned(units);
        let (events, bytes) = match (events, bytes) {
            (Ok(events), Ok(bytes)) => (events, bytes),
            (Err(_), _) => return Err(self.overloaded(telemetry::Overload::UncommittedEvents)),
            (Ok(_), Err(_)) => return Err(self.overloaded(telemetry::Overload::UncommittedBytes)),
        };
        let (reply, answer) = oneshot::channel();
        let ingest = Ingest { publications, reply, permits: [events, bytes] };
        shared.context.inbox.put(|waiting| waiting.ingests.push(ingest)).ask(&shared.persistence);
        match tokio::time::timeout(COMMIT_PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| PublishError::Stopping),
            // not begun, it is left out of every commit from now on; begun, it is in doubt like one that failed
            Err(_) => {
                self.shed(telemetry::Overload::SlowCommit);
                Err(PublishError::Unavailable(format!("no commit within {COMMIT_PATIENCE:?}")))
            }
        }
    }

    fn overloaded(&self, cause: telemetry::Overload) -> PublishError {
        self.shed(cause);
        PublishError::Overloaded
    }

    /// Says, now and then, that a publisher is refused because of too much of this.
    pub(crate) fn shed(&self, cause: telemetry::Overload) {
        let shared = &self.0;
        let most = shared.context.settings.max_uncommitted_events;
        let uncommitted_events = match cause {
            telemetry::Overload::ArrivingBytes => None,
            _ => Some(most.saturating_sub(shared.event_permits.available_permits())),
        };
        telemetry::IngestOverloaded { cause, now: self.now(), uncommitted_events }.emit();
    }

    /// Tells the engine that deliveries of these endpoints became pending in the database.
    pub fn work_added(&self, organization_id: OrganizationId, endpoint_ids: Vec<EndpointId>) {
        self.0.context.mark_counts_stale();
        post(&self.0.router, WorkAdded { organization_id, endpoint_ids });
    }

    /// Tells the engine that a person said go for an endpoint: its breaker is closed in the database, and what waited for
    /// a retry is due there.
    pub fn endpoint_resumed(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        self.relieved(organization_id, endpoint_id, Relief::Resumed);
    }

    fn relieved(&self, organization_id: OrganizationId, endpoint_id: EndpointId, relief: Relief) {
        self.0.context.mark_counts_stale();
        post(&self.0.router, Relieved { organization_id, endpoint_id, relief });
    }

    /// Tells the engine that an endpoint was created or changed and stored. Effective for every event accepted
    /// from now on.
    pub fn endpoint_changed(&self, endpoint: &Endpoint) {
        self.subscriptions().upsert(endpoint);
        self.0.context.mark_counts_stale();
        let change = EndpointChanged {
            organization_id: endpoint.organization_id,
            endpoint_id: endpoint.id,
            endpoint: Some(Box::new(endpoint.clone())),
        };
        post(&self.0.router, change);
    }

    /// Tells the engine that an endpoint was deleted.
    pub fn endpoint_deleted(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        self.subscriptions().remove(organization_id, endpoint_id);
        self.0.context.mark_counts_stale();
        post(&self.0.router, EndpointChanged { organization_id, endpoint_id, endpoint: None });
    }

    /// Tells the engine that deliveries of an endpoint that was deleted are cancelled.
    pub(crate) fn deliveries_cancelled(&self, count: usize) {
        telemetry::DeliveryFinished { outcome: DeliveryStatus::Cancelled, count: count as u64 }.emit();
        self.0.context.mark_counts_stale();
    }

    /// Tells the engine that an organization was deleted with its endpoints.
    pub(crate) fn organization_deleted(&self, organization_id: OrganizationId, endpoint_ids: &[EndpointId]) {
        self.subscriptions().remove_organization(organization_id);
        let mut event_types = self.0.event_types.write().unwrap_or_else(PoisonError::into_inner);
        event_types.remove_organization(organization_id);
        drop(event_types);
        self.0.context.mark_counts_stale();
        for &endpoint_id in endpoint_ids {
            post(&self.0.router, EndpointChanged { organization_id, endpoint_id, endpoint: None });
        }
        post(&self.0.retention, OrganizationDeleted);
    }

    /// Whether the engine takes requests: false while it stops.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_accepting.load(Ordering::Acquire)
    }

    /// Whether an event could be stored now, as far as is known.
    pub(crate) fn can_commit(&self) -> bool {
        self.0.context.can_commit()
    }

    pub(super) fn stop_accepting(&self) {
        self.0.is_accepting.store(false, Ordering::Release);
    }

    fn subscriptions(&self) -> RwLockWriteGuard<'_, Subscriptions> {
        self.0.subscriptions.write().unwrap_or_else(PoisonError::into_inner)
    }
}
