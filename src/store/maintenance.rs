//! What the engine does for all organizations: at its start and in the background.

use super::StoreResult;
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::DefinedEventType;
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// What the engine does for all organizations at once: reading at its start, removing old rows, and watching.
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
    ) -> StoreResult<Vec<DefinedEventType>>;
    /// Endpoints with pending deliveries in the order of their ids, from after `after`: a skip scan over the
    /// pending index that touches one row per endpoint.
    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>>;
    /// The health of endpoints whose breaker is open.
    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>>;
    /// How many deliveries of some endpoints are pending.
    fn count_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<u64>;
    /// How many deliveries are pending.
    fn count_pending(&self) -> StoreResult<u64> {
        self.count_pending_of(&|_| true)
    }
    /// When the oldest pending delivery of some endpoints was created; `None` when nothing of them is pending. While a long
    /// search for it goes on: an instant before which none of them was created.
    fn oldest_pending_of(&self, is_counted: &dyn Fn(EndpointId) -> bool) -> StoreResult<Option<UnixMillis>>;
    /// The states of endpoints of all organizations in the order of their ids, from after `after`.
    fn scan_states(
        &self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Vec<(EndpointId, EndpointState)>>;
    /// How much room the database takes.
    fn size(&self) -> StoreResult<DatabaseSize>;
    /// Fails if the database does not respond.
    fn ping(&self) -> StoreResult<()>;
    /// Looks at up to `limit` events of all organizations that were accepted before `before`, oldest first,
    /// from after `after`. Removes those without a pending delivery, with their deliveries and attempts, in one
    /// short transaction. The first step of a sweep also removes up to `limit` last failures from before
    /// `before`.
    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport>;
    /// Looks at up to `limit` deleted endpoints of all organizations in the order of their ids, from after
    /// `after`, and removes those without deliveries, in one short transaction. An endpoint that was deleted at
    /// `settled_before` or later stays: a delivery of it can still be in flight. Returns the endpoint after
    /// which the next step continues; `None` when all were looked at.
    fn prune_endpoints(
        &self,
        settled_before: UnixMillis,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Option<EndpointId>>;
    /// Removes the data of a deleted organization in one short transaction: at most `limit` events with all
    /// their deliveries, pending ones too, and at most `limit` rows of each other kind. An organization with
    /// nothing left is forgotten if it was deleted before `settled_before`: until then something of it can
    /// still be in flight. Returns whether there may be more to do now.
    fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool>;
    /// Removes idempotency keys that were used before `before`, oldest first, at most `limit`. Returns how
    /// many.
    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize>;
    /// Removes counts of periods that began before `before`, of all organizations, oldest first, about `limit`
    /// rows. Returns whether there may be more.
    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool>;
}

/// An endpoint with pending deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgendaRow {
    /// Whose queue it is.
    pub endpoint_id: EndpointId,
    /// The owner of the endpoint.
    pub organization_id: OrganizationId,
    /// When the first delivery of its queue has its turn.
    pub due_at: UnixMillis,
}

/// How much room a database takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All of it.
    pub total: u64,
    /// Of these, the write-ahead log beside a SQLite file; that of a server is not the database's.
    pub log: u64,
}

/// The result of one step of pruning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// How many events were removed.
    pub events: usize,
    /// How many deliveries were removed with them.
    pub deliveries: usize,
    /// When the last event that was looked at was accepted; `None` when there was none.
    pub reached: Option<UnixMillis>,
    /// The next step continues after this event; `None` when all old events were looked at.
    pub next: Option<EventId>,
}
