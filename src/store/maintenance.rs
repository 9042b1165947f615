//! What the engine does for all organizations, at its start and in the background.

use super::StoreResult;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::OwnEventType;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// What the engine does for all organizations at once: reading at its start, removing what is old, watching.
pub trait MaintenanceStore: Send + Sync + 'static {
    /// The largest id of any table; 0 in an empty database.
    fn largest_id(&self) -> StoreResult<i64>;
    /// Endpoints of all organizations in the order of their ids, from after `after`.
    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>>;
    /// Own event types of all organizations in the order of organization and name, from after `after`.
    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<OwnEventType>>;
    /// Endpoints with pending deliveries in the order of their ids, from after `after`: a skip scan over the
    /// pending index that touches one row an endpoint.
    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>>;
    /// The conditions of the endpoints whose breaker is open.
    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>>;
    /// How many deliveries are pending.
    fn count_pending(&self) -> StoreResult<u64>;
    /// Whether the database answers.
    fn ping(&self) -> StoreResult<()>;
    /// Looks at events of all organizations that were accepted before `before`, oldest first, from after `after`, at
    /// most `limit`; removes those that have no pending delivery, with their deliveries and attempts, in one short
    /// transaction. A sweep that begins also forgets last failures from before `before`, at most `limit`.
    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport>;
    /// Looks at deleted endpoints of all organizations in the order of their ids, from after `after`, at most `limit`, and
    /// removes those that have no delivery any more, in one short transaction. One that was deleted at `settled_before` or
    /// later stays: a delivery of it can still be on its way. Returns after which the next step goes on; `None` when all were
    /// looked at.
    fn prune_endpoints(
        &self,
        settled_before: UnixMillis,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Option<EndpointId>>;
    /// Removes what a deleted organization has published: at most `limit` events with all their deliveries, pending ones
    /// too, and at most `limit` rows of each other kind, in one short transaction. An organization of which nothing is left is forgotten when it was deleted before
    /// `settled_before`: until then something of it can still be on its way. Returns whether there may be more to do now.
    fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool>;
    /// Forgets idempotency keys that were used before `before`, oldest first, at most `limit`. Returns how many.
    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize>;
    /// Forgets what was counted in periods that began before `before`, of all organizations, oldest first, about `limit`
    /// rows. Returns whether there may be more.
    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
}

/// An endpoint with pending deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgendaRow {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The earliest turn in its queue.
    pub due_at: UnixMillis,
}

/// What one step of pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Events that were removed.
    pub events: usize,
    /// Deliveries that went with them.
    pub deliveries: usize,
    /// After which event the next step goes on; `None` when all that is old enough was looked at.
    pub next: Option<EventId>,
}
