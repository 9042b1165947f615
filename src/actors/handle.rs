//! The engine as the API sees it: publishing, test events, and notices of what the API changed in the store.

mod test_event;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use actix::Recipient;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, oneshot};

use super::context::ActorContext;
use super::mailbox::post;
use super::messages::{
    BreakerReset, BreakerWasReset, CollectInbox, EndpointChanged, Ingest, OrganizationDeleted, WorkAdded,
};
use super::publication::{Publication, PublishError, Published};
use super::statistics::CurrentStatistics;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_type_registry::EventTypeRegistry;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::{EndpointId, IdGenerator, OrganizationId};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::Store;
use crate::telemetry;

/// How long a publisher waits for its commit. Smaller: a disk that is only slow is taken for a dead one. Larger: a
/// database that accepts and never responds holds its publishers.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes are counted in units of this many, so that their number fits a semaphore.
const BYTES_UNIT: usize = 1024;

/// Where the handle sends its messages.
pub(super) struct HandlePorts {
    pub persistence: Recipient<CollectInbox>,
    pub router: RouterPorts,
    pub retention: Recipient<OrganizationDeleted>,
}

/// The router's part of [`HandlePorts`].
pub(super) struct RouterPorts {
    pub endpoint_changed: Recipient<EndpointChanged>,
    pub work_added: Recipient<WorkAdded>,
    pub breaker_was_reset: Recipient<BreakerWasReset>,
}

/// The engine, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    context: Arc<ActorContext>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    event_types: Arc<RwLock<EventTypeRegistry>>,
    ids: Arc<Mutex<IdGenerator>>,
    ports: HandlePorts,
    /// Events that may still be taken in before a commit.
    event_permits: Arc<Semaphore>,
    /// Their bytes, in units of [`BYTES_UNIT`].
    byte_permits: Arc<Semaphore>,
    is_accepting: AtomicBool,
}

impl EngineHandle {
    pub(super) fn new(
        context: Arc<ActorContext>,
        subscriptions: Arc<RwLock<Subscriptions>>,
        event_types: Arc<RwLock<EventTypeRegistry>>,
        ids: Arc<Mutex<IdGenerator>>,
        ports: HandlePorts,
    ) -> Self {
        let bytes = context.settings.max_uncommitted_bytes / BYTES_UNIT;
        Self(Arc::new(Shared {
            event_permits: Arc::new(Semaphore::new(context.settings.max_uncommitted_events)),
            byte_permits: Arc::new(Semaphore::new(bytes)),
            context,
            subscriptions,
            event_types,
            ids,
            ports,
            is_accepting: AtomicBool::new(true),
        }))
    }

    /// For reads and for the management of rows. The engine learns of changes by the methods below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.context.store
    }

    /// Statistics that include the counts that are not stored yet.
    pub(crate) fn statistics(&self) -> CurrentStatistics {
        CurrentStatistics(self.0.context.counting.clone())
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.0.context.now()
    }

    /// A generator for secrets and keys.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::from_seed(self.0.context.random.seed())
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

    /// Call after an event type was created and stored.
    pub(crate) fn event_type_created(&self, event_type: &OwnEventType) {
        self.0.event_types.write().unwrap_or_else(PoisonError::into_inner).insert(event_type);
    }

    /// Call after an event type was deleted.
    pub(crate) fn event_type_deleted(&self, organization_id: OrganizationId, name: &str) {
        self.0.event_types.write().unwrap_or_else(PoisonError::into_inner).remove(organization_id, name);
    }

    /// Accepts an event: returns after the commit that makes it durable.
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let mut results = self.publish_all(vec![publication]).await?;
        results.pop().unwrap_or(Err(PublishError::Stopping))
    }

    /// Accepts events, all in one commit, and returns a result for each in order, within 10 s. An outer error applies to
    /// all of them.
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
        let (reply, results) = oneshot::channel();
        let ingest = Ingest { publications, reply, permits: [events, bytes] };
        shared.context.inbox.put(|pending| pending.ingests.push(ingest)).request(&shared.ports.persistence);
        match tokio::time::timeout(COMMIT_PATIENCE, results).await {
            Ok(results) => results.map_err(|_| PublishError::Stopping),
            // if its write has not begun, it is left out of every commit from now on; otherwise it may be stored, like
            // after a commit that failed
            Err(_) => {
                self.report_overload(telemetry::Overload::SlowCommit);
                Err(PublishError::Unavailable(format!("no commit within {COMMIT_PATIENCE:?}")))
            }
        }
    }

    fn overloaded(&self, cause: telemetry::Overload) -> PublishError {
        self.report_overload(cause);
        PublishError::Overloaded
    }

    /// Logs, at most every 10 s, that publishers are refused.
    pub(crate) fn report_overload(&self, cause: telemetry::Overload) {
        let shared = &self.0;
        let limit = shared.context.settings.max_uncommitted_events;
        let uncommitted_events = match cause {
            telemetry::Overload::ArrivingBytes => None,
            _ => Some(limit.saturating_sub(shared.event_permits.available_permits())),
        };
        telemetry::IngestOverloaded { cause, now: self.now(), uncommitted_events }.emit();
    }

    /// Call after deliveries of these endpoints became pending in the store.
    pub fn work_added(&self, organization_id: OrganizationId, endpoint_ids: Vec<EndpointId>) {
        self.0.context.mark_counts_stale();
        post(&self.0.ports.router.work_added, WorkAdded { organization_id, endpoint_ids });
    }

    /// Call after someone resumed an endpoint: in the store its breaker is closed, and deliveries that waited for a retry
    /// are due.
    pub fn endpoint_resumed(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        self.breaker_was_reset(organization_id, endpoint_id, BreakerReset::Resumed);
    }

    fn breaker_was_reset(&self, organization_id: OrganizationId, endpoint_id: EndpointId, reset: BreakerReset) {
        self.0.context.mark_counts_stale();
        post(&self.0.ports.router.breaker_was_reset, BreakerWasReset { organization_id, endpoint_id, reset });
    }

    /// Call after an endpoint was created or changed and stored. Effective for every event accepted from now on.
    pub fn endpoint_changed(&self, endpoint: &Endpoint) {
        self.subscriptions().upsert(endpoint);
        self.0.context.mark_counts_stale();
        let change = EndpointChanged {
            organization_id: endpoint.organization_id,
            endpoint_id: endpoint.id,
            endpoint: Some(Box::new(endpoint.clone())),
        };
        post(&self.0.ports.router.endpoint_changed, change);
    }

    /// Call after an endpoint was deleted.
    pub fn endpoint_deleted(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        self.subscriptions().remove(organization_id, endpoint_id);
        self.0.context.mark_counts_stale();
        post(
            &self.0.ports.router.endpoint_changed,
            EndpointChanged { organization_id, endpoint_id, endpoint: None },
        );
    }

    /// Call after deliveries of a deleted endpoint were cancelled.
    pub(crate) fn deliveries_cancelled(&self, count: usize) {
        telemetry::DeliveryFinished { outcome: DeliveryStatus::Cancelled, count: count as u64 }.emit();
        self.0.context.mark_counts_stale();
    }

    /// Call after an organization was deleted with its endpoints.
    pub(crate) fn organization_deleted(&self, organization_id: OrganizationId, endpoint_ids: &[EndpointId]) {
        self.subscriptions().remove_organization(organization_id);
        let mut event_types = self.0.event_types.write().unwrap_or_else(PoisonError::into_inner);
        event_types.remove_organization(organization_id);
        drop(event_types);
        self.0.context.mark_counts_stale();
        for &endpoint_id in endpoint_ids {
            let change = EndpointChanged { organization_id, endpoint_id, endpoint: None };
            post(&self.0.ports.router.endpoint_changed, change);
        }
        post(&self.0.ports.retention, OrganizationDeleted);
    }

    /// Whether the engine takes requests: false while it stops.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_accepting.load(Ordering::Acquire)
    }

    /// Whether an event could be stored now, judging by the last commit.
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
