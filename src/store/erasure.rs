//! Forgetting what an event or a response contains, for good. That it was there stays in the log.

use super::StoreResult;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
#[cfg(doc)]
use crate::domain::labels::EventLabels;
use crate::domain::time::UnixMillis;

/// Erasure at the request of a person, or at a time that the publisher gave.
pub trait ErasureStore: Send + Sync + 'static {
    /// A step of the erasure of an event's body: cancels its pending deliveries, the first
    /// [`CANCELLED_AT_ONCE`](super::CANCELLED_AT_ONCE) of them, in one short transaction. The one that cancels the last of them
    /// also forgets the body, so that nothing without a body is ever pending. From then on the event can't be sent again
    /// ([`StoreError::PayloadErased`](super::StoreError::PayloadErased)). `None` when there is no such event.
    fn erase_payload(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        now: UnixMillis,
    ) -> StoreResult<Option<ErasureStep>>;
    /// Forgets headers and body of the response to an attempt, and what the webhook's last failure has of this delivery's
    /// responses. Status, times and error stay. Returns whether there is such an attempt.
    fn erase_response(&self, organization_id: OrganizationId, id: DeliveryId, number: u32) -> StoreResult<bool>;
    /// Forgets the bodies of events of all organizations whose time ([`EventLabels::erase_at`]) has come, at most `limit`, in one
    /// short transaction, like [`erase_payload`](Self::erase_payload): of pending deliveries it cancels as many as that.
    fn erase_expired_payloads(&self, now: UnixMillis, limit: usize) -> StoreResult<ExpiryStep>;
}

/// What a step of forgetting payloads whose time has come did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpiryStep {
    /// How many bodies are forgotten.
    pub erased: usize,
    /// The endpoint of each delivery that was cancelled.
    pub cancelled: Vec<(OrganizationId, EndpointId)>,
    /// There may be more to do now.
    pub has_more: bool,
}

/// What a step of an erasure did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureStep {
    /// The endpoint of each delivery that was cancelled.
    pub cancelled: Vec<EndpointId>,
    /// The body is forgotten.
    pub is_done: bool,
}
