//! What the API sees of the actors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use actix::Addr;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};

use super::context::ActorContext;
use super::messages::{EndpointChanged, Ingest};
use super::persistence::Persistence;
use super::post;
use super::router::Router;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{EndpointId, IdGenerator, OrganizationId};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::UnixMillis;
use crate::store::{AcceptedEvent, IdempotencyKey, Store};
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

/// An accepted event; durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What the answer is made of.
    pub event: AcceptedEvent,
    /// Whether this is the answer of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Why an event was not accepted. Nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// More events wait for their commit than the settings allow; the publisher should come back in a second.
    #[error("too many events wait to be stored")]
    Overloaded,
    /// The database can't write now.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The idempotency key was used with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyKeyReused,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

/// Bytes are counted in units of this many, so that their number fits a semaphore.
const BYTES_UNIT: usize = 1024;

/// The engine, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    context: Arc<ActorContext>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    ids: Arc<Mutex<IdGenerator>>,
    persistence: Addr<Persistence>,
    router: Addr<Router>,
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
        ids: Arc<Mutex<IdGenerator>>,
        persistence: Addr<Persistence>,
        router: Addr<Router>,
    ) -> Self {
        let bytes = context.settings.max_uncommitted_bytes / BYTES_UNIT;
        Self(Arc::new(Shared {
            event_permits: Arc::new(Semaphore::new(context.settings.max_uncommitted_events)),
            byte_permits: Arc::new(Semaphore::new(bytes)),
            context,
            subscriptions,
            ids,
            persistence,
            router,
            is_accepting: AtomicBool::new(true),
        }))
    }

    /// For reads and for the management of rows.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.context.store
    }

    /// The current time.
    pub fn now(&self) -> UnixMillis {
        self.0.context.now()
    }

    /// A generator for secrets and keys.
    pub fn rng(&self) -> StdRng {
        StdRng::from_seed(self.0.context.entropy.seed())
    }

    /// A new raw id, for a row that the API creates.
    pub fn next_id(&self) -> i64 {
        let now = self.now();
        self.0.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now)
    }

    /// Accepts an event: returns after the commit that makes it durable.
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let shared = &self.0;
        if !self.is_ready() {
            return Err(PublishError::Stopping);
        }
        let units = publication.data.get().len() / BYTES_UNIT + 1;
        let units = u32::try_from(units).map_err(|_| PublishError::Overloaded)?;
        let event = shared.event_permits.clone().try_acquire_owned();
        let bytes = shared.byte_permits.clone().try_acquire_many_owned(units);
        let (Ok(event), Ok(bytes)) = (event, bytes) else { return Err(PublishError::Overloaded) };
        let (reply, answer) = oneshot::channel();
        post(&shared.persistence, Ingest { publication, reply, permits: [event, bytes] });
        answer.await.unwrap_or(Err(PublishError::Stopping))
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

    /// Tells the engine that an endpoint was deleted, and how many deliveries were cancelled with it.
    pub fn endpoint_deleted(&self, organization_id: OrganizationId, endpoint_id: EndpointId, cancelled: usize) {
        self.subscriptions().remove(organization_id, endpoint_id);
        telemetry::DeliveryFinished { outcome: DeliveryStatus::Cancelled, count: cancelled as u64 }.emit();
        self.0.context.mark_counts_stale();
        post(&self.0.router, EndpointChanged { organization_id, endpoint_id, endpoint: None });
    }

    /// Tells the engine that an organization was deleted with its endpoints.
    pub fn organization_deleted(&self, organization_id: OrganizationId, endpoint_ids: &[EndpointId]) {
        self.subscriptions().remove_organization(organization_id);
        self.0.context.mark_counts_stale();
        for &endpoint_id in endpoint_ids {
            post(&self.0.router, EndpointChanged { organization_id, endpoint_id, endpoint: None });
        }
    }

    /// Whether the engine takes requests: false while it stops.
    pub fn is_ready(&self) -> bool {
        self.0.is_accepting.load(Ordering::Acquire)
    }

    pub(super) fn stop_accepting(&self) {
        self.0.is_accepting.store(false, Ordering::Release);
    }

    fn subscriptions(&self) -> RwLockWriteGuard<'_, Subscriptions> {
        self.0.subscriptions.write().unwrap_or_else(PoisonError::into_inner)
    }
}
