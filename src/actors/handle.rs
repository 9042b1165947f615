//! What the API sees of the actors.

use std::sync::{Arc, RwLock};

use serde_json::value::RawValue;
use thiserror::Error;

use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{EndpointId, IdGenerator, OrganizationId};
use crate::domain::subscriptions::Subscriptions;
use crate::domain::time::{Clock, UnixMillis};
use crate::store::{AcceptedEvent, IdempotencyKey, Store};

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

/// The engine, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    subscriptions: Arc<RwLock<Subscriptions>>,
    ids: Arc<std::sync::Mutex<IdGenerator>>,
}

impl EngineHandle {
    /// For reads and for the management of rows.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The current time.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A new raw id, for a row that the API creates.
    pub fn next_id(&self) -> i64 {
        let now = self.now();
        self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next(now)
    }

    /// Accepts an event: returns after the commit that makes it durable.
    pub async fn publish(&self, _publication: Publication) -> Result<Published, PublishError> {
        Err(PublishError::Stopping)
    }

    /// Tells the engine that an endpoint was created or changed and stored. Effective for every event accepted
    /// from now on.
    pub fn endpoint_changed(&self, endpoint: &Endpoint) {
        self.subscriptions.write().unwrap_or_else(std::sync::PoisonError::into_inner).upsert(endpoint);
    }

    /// Tells the engine that an endpoint was deleted.
    pub fn endpoint_deleted(&self, organization_id: OrganizationId, endpoint_id: EndpointId) {
        let mut subscriptions = self.subscriptions.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        subscriptions.remove(organization_id, endpoint_id);
    }

    /// Tells the engine that an organization was deleted with its endpoints.
    pub fn organization_deleted(&self, organization_id: OrganizationId, endpoint_ids: &[EndpointId]) {
        let _ = (organization_id, endpoint_ids);
    }

    /// Whether the engine takes requests: false while it stops.
    pub fn is_ready(&self) -> bool {
        true
    }
}
