//! What the API hands to the engine and what it gets back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::domain::attempt::{AttemptResult, LocalFault};
use crate::domain::event::{Event, build_body};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;
use crate::domain::organization::BodyShape;
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::TraceContext;
use crate::store::{AcceptedEvent, BatchKey, IdempotencyKey, StoreError};

/// A validated event, before it has an id.
#[derive(Debug)]
pub struct Publication {
    /// The publisher's organization.
    pub organization_id: OrganizationId,
    /// A registered type, or any where it [need not](Self::has_free_type) be.
    pub event_type: String,
    /// RFC 3339 UTC ending in `Z`; goes into the body verbatim.
    pub timestamp: String,
    /// The same instant as `timestamp`.
    pub occurred_at: UnixMillis,
    /// Verbatim, so that subscribers get the numbers and the order of keys that the publisher sent.
    pub data: Box<RawValue>,
    /// `None` when the publisher sent none.
    pub labels: Option<Arc<EventLabels>>,
    /// Only when the publisher sent an `Idempotency-Key`, for an item of a batch an `idempotency_key`.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether its type need not be registered.
    pub has_free_type: bool,
    /// The publisher's place in a trace, when it sent one.
    pub trace: Option<Arc<TraceContext>>,
    /// The only endpoint that gets it, whatever that asks for; `None`: all that want it.
    pub only_to: Option<EndpointId>,
    /// Where it stands in its batch, from 0; 0 for a single event.
    pub place: usize,
    /// For an item of a batch that came with an `Idempotency-Key`, set by the engine.
    pub(super) batch: Option<Arc<BatchKey>>,
}

impl Publication {
    /// A single event, or an item of a batch at this place.
    pub fn new(
        organization_id: OrganizationId,
        event_type: String,
        (timestamp, occurred_at): (String, UnixMillis),
        data: Box<RawValue>,
    ) -> Self {
        Self {
            organization_id,
            event_type,
            timestamp,
            occurred_at,
            data,
            labels: None,
            idempotency: None,
            has_free_type: false,
            trace: None,
            only_to: None,
            place: 0,
            batch: None,
        }
    }

    /// The event to store under this id.
    pub(super) fn event(&self, id: EventId, shape: BodyShape, now: UnixMillis) -> Event {
        let data = self.data.get();
        Event {
            id,
            organization_id: self.organization_id,
            event_type: self.event_type.clone(),
            occurred_at: self.occurred_at,
            accepted_at: now,
            body: match shape {
                BodyShape::Envelope => build_body(&self.event_type, &self.timestamp, id, data),
                BodyShape::Verbatim => Bytes::copy_from_slice(data.as_bytes()),
            },
            trace: self.trace.clone(),
        }
    }
}

/// An accepted event; durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The content of the API's response.
    pub event: AcceptedEvent,
    /// Whether this repeats the response to an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// Why an event was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// More events of all organizations wait for their commit than the settings allow; the publisher should come back
    /// in a second.
    #[error("too many events wait to be stored")]
    Overloaded,
    /// More events of this organization wait for their commit than its share.
    #[error("too many events of this organization wait to be stored")]
    OverShare {
        /// When there will be room again, an estimate.
        retry_after: Duration,
    },
    /// The database can't write now, or did not respond in time: the event may be stored.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The idempotency key was used with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyKeyReused,
    /// The idempotency key of the whole batch was used with another request.
    #[error("this idempotency key was used with another batch")]
    BatchKeyReused,
    /// Its type was deleted since it was validated.
    #[error("the event type was deleted")]
    UnknownEventType,
    /// The organization was deleted since the publisher was let in.
    #[error("the organization was deleted")]
    OrganizationDeleted,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

/// The outcome of a test event.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// Its place in the delivery log.
    pub delivery_id: DeliveryId,
    /// Whether the receiver responded with 2xx.
    pub is_success: bool,
    /// Of the last attempt: a refused signature and a reused connection that was closed are followed by another attempt
    /// at once.
    pub result: AttemptResult,
}

/// Why a test event has no result.
#[derive(Debug, Error)]
pub enum TestError {
    /// It was not sent: this machine lacks something.
    #[error("not sent: this machine is out of {}", .0.as_str())]
    NotMade(LocalFault),
    /// It was sent, and could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}
