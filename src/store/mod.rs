//! Where everything is kept: the [`Store`] trait at the seam, Diesel behind it.
//!
//! All methods block; callers run them on a blocking thread. Verbs come in batches. `now` is always a
//! parameter, never the database's. Every read or write of tenant data takes the organization; what the engine
//! does for all of them at its start and in the background (the last two groups of [`Store`]'s methods) is the
//! exception, and its rows carry it.

pub mod cipher;
mod connection;
mod detail;
mod diesel_store;
mod event_cache;
pub mod memory;
mod models;
mod postgres;
mod schema;
mod sqlite;
pub mod temporary_database;
mod verbs;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use self::cipher::Cipher;
use self::diesel_store::DieselStore;
pub use self::verbs::{
    DisableEndpoint, DuePage, DueRequest, EventDetail, LogPage, MadeDue, PruneReport, QueuePosition,
    ReplayTargets, RequeueOutcome, RequeueRange, RequeuedPage, SavedHealth,
};

use crate::domain::attempt::{AttemptRecord, NextStep, Outcome};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{Event, EventFilter, EventRecord};
use crate::domain::event_types::OwnEventType;
use crate::domain::health::{EndpointHealth, EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::statistics::{PeriodStatistics, StatisticsDelta};
use crate::domain::time::UnixMillis;

/// How many deliveries one transaction cancels. Smaller: a long queue takes more syncs of the disk. Larger: publishers
/// wait longer for their commits meanwhile.
pub const CANCELLED_AT_ONCE: usize = 1_000;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the database, or its schema is newer than this program.
    #[error("{0}")]
    Refused(String),
    /// The database can't be reached or can't write now (disk full, server gone). Worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A stored value can't be read: wrong master key, or damage.
    #[error("a stored value can't be read: {0}")]
    Corrupt(String),
    /// The row was changed by someone else since it was read.
    #[error("the row was changed meanwhile")]
    Conflict,
}

/// How long an idempotency key is remembered, also when its event is removed before; an older one counts as never used.
pub(crate) const IDEMPOTENCY_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What store methods return.
pub type StoreResult<T> = Result<T, StoreError>;

/// A page of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Only ids smaller than this; `None` from the newest.
    pub before_id: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// An event to be stored together with its deliveries, in one commit.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event, its body final.
    pub event: Arc<Event>,
    /// Its deliveries. Their ids follow the event's id directly, so that an event's deliveries are one range
    /// of the primary key.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
    /// When the publisher sent an idempotency key.
    pub idempotency: Option<IdempotencyKey>,
}

/// An idempotency key and what came with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// 1–255 characters.
    pub key: String,
    /// SHA-256 of the request's body.
    pub request_hash: [u8; 32],
}

/// Everything that one group commit writes. All of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// To be stored.
    pub events: Vec<NewEvent>,
    /// To be recorded. An outcome decides only about a delivery that is still pending; of one that was cancelled meanwhile,
    /// because its endpoint was deleted, the attempt is kept, and it is a success when the receiver acknowledged it.
    pub outcomes: Vec<Outcome>,
    /// To be remembered, while the endpoints point where this was found.
    pub health: Vec<SavedHealth>,
    /// To be disabled, unless they are already.
    pub disable: Vec<DisableEndpoint>,
    /// To be added to what was counted before.
    pub statistics: Vec<StatisticsDelta>,
    /// To be remembered of endpoints that still exist, unless a newer one is.
    pub failures: Vec<LastFailure>,
}

impl WriteBatch {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.outcomes.is_empty()
            && self.health.is_empty()
            && self.disable.is_empty()
            && self.statistics.is_empty()
            && self.failures.is_empty()
    }
}

/// What became of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventCommit {
    /// Stored.
    Stored,
    /// Not stored: its idempotency key was used within the last 24 h with the same request; this is the event
    /// of the first time.
    Replayed(AcceptedEvent),
    /// Not stored: its idempotency key was used with another request.
    KeyReused,
    /// Not stored: it was to tell that an endpoint is disabled, and the endpoint was not (see [`DisableEndpoint`]).
    Withheld,
}

/// What came of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// There is nothing more to do for now.
    Done,
    /// Somebody who reads stands in its way. Worth another try a moment later, even when nothing is written meanwhile.
    Blocked,
}

/// What the answer to a publisher is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// The event.
    pub id: EventId,
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: UnixMillis,
    /// How many deliveries it was given.
    pub deliveries: usize,
}

/// What a commit did.
#[derive(Default)]
pub struct CommitReport {
    /// One for each event of the batch, in order.
    pub events: Vec<EventCommit>,
    /// One for each outcome of the batch, in order: whether it was recorded (`false`: its delivery was no
    /// longer pending).
    pub outcomes_recorded: Vec<bool>,
    /// The places of outcomes whose delivery had been cancelled: their attempts are in the log.
    pub after_cancellation: Vec<usize>,
    /// The endpoints that this commit disabled, as they are now.
    pub disabled: Vec<Endpoint>,
}

impl CommitReport {
    /// Which outcomes count in statistics: those that were recorded, and what was acknowledged after its cancellation.
    pub fn counted(&self, outcomes: &[Outcome]) -> Cow<'_, [bool]> {
        let mut counted = Cow::from(&self.outcomes_recorded);
        for &place in &self.after_cancellation {
            counted.to_mut()[place] = outcomes[place].next == NextStep::Succeeded;
        }
        counted
    }
}

/// What a supervisor needs to begin.
pub struct EndpointStart {
    /// Its settings.
    pub endpoint: Endpoint,
    /// Its condition before.
    pub health: EndpointHealth,
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

/// A delivery of the log with its body and attempts.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// The row.
    pub record: DeliveryRecord,
    /// The event's body.
    pub body: bytes::Bytes,
    /// From the first to the last.
    pub attempts: Vec<AttemptRecord>,
}

/// The store. One implementation over Diesel for SQLite and PostgreSQL, one in memory as a reference.
pub trait Store: Send + Sync + 'static {
    // ---- organizations and keys

    /// Adds an organization.
    fn create_organization(&self, organization: &Organization) -> StoreResult<()>;
    /// Lists organizations, newest first.
    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
    /// Reads one.
    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>>;
    /// Removes an organization with its keys, endpoints and event types, after which nobody sees anything of it. Its
    /// events and what belongs to them are left to [`Store::purge_organizations`], and not to be asked for until then.
    /// Returns whether there was one, and the endpoints that went with it.
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>>;
    /// Adds a key.
    fn create_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// Lists an organization's keys, newest first; revoked ones are gone.
    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>>;
    /// Revokes a key. Returns the hash of the key that it was.
    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>>;
    /// Finds the key with this hash: the one way from a caller to its organization.
    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>>;

    // ---- endpoints

    /// Adds an endpoint.
    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Lists an organization's endpoints with their conditions, newest first.
    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>>;
    /// Reads one with its condition.
    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>>;
    /// Writes an endpoint back; `endpoint.version` is one more than the version that was read, else
    /// [`StoreError::Conflict`]. One that now points elsewhere, or was switched on, begins with a clean record:
    /// its condition is forgotten.
    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Deletes an endpoint with all that it was made of, secrets first of all, and cancels what is pending for it: the first [`CANCELLED_AT_ONCE`] of it, the rest is left
    /// to [`Store::cancel_all_pending`]. Returns how many deliveries that were; `None` when there is no such endpoint.
    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>>;

    // ---- the path of an event

    /// Writes everything in one durable transaction: when this returns `Ok`, it is on disk.
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport>;
    /// Does what has to be done now and then because of commits, and can be done beside them. Cheap when there is
    /// nothing to do; call it every few commits, and after other large changes.
    fn checkpoint(&self) -> StoreResult<Checkpoint>;
    /// Reads a page of an endpoint's pending deliveries in queue order.
    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage>;
    /// Cancels what is pending for an endpoint that no longer exists, the first [`CANCELLED_AT_ONCE`] of its queue in
    /// one short transaction. Returns how many.
    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize>;
    /// Cancels all of it, in as many transactions as it takes. Returns how many.
    fn cancel_all_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        let mut cancelled = 0;
        loop {
            let step = self.cancel_pending(organization_id, endpoint_id, now)?;
            cancelled += step;
            if step < CANCELLED_AT_ONCE {
                return Ok(cancelled);
            }
        }
    }

    /// Forgets that an endpoint is left alone for a while, if it is: a person says go. That it fails stays known.
    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()>;
    /// Makes pending deliveries of an endpoint that wait for a later instant due at `now`, from behind `after`, at most
    /// `limit` in one short transaction.
    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue>;

    // ---- the log

    /// Lists an organization's deliveries, newest first. What is rare, and has no index, can take several pages to find.
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage>;
    /// Reads one with its attempts.
    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>>;

    // ---- sending again

    /// Makes a delivery in a final status pending again, from `now`, with its whole schedule anew; its attempts
    /// stay in the log and the numbers go on.
    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome>;
    /// The same for deliveries of an endpoint, oldest first: looks at those of the range with an id above `after`,
    /// and requeues at most `limit` in one short transaction.
    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage>;
    /// How many deliveries of an endpoint are in a range; 0 for an endpoint that does not exist.
    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
    ) -> StoreResult<usize>;
    /// Sends an event again: a delivery in a final status is requeued, a pending one is left, and an endpoint that
    /// has none gets a new one with an id from `next_id`. Returns the endpoints for which something of the event is
    /// pending now; `None` when there is no such event.
    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>>;

    // ---- events and their types

    /// Lists an organization's events, newest first.
    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>>;
    /// Reads one with its body and deliveries.
    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>>;
    /// Adds an event type; [`StoreError::Conflict`] when the organization has one of that name.
    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()>;
    /// Lists an organization's own event types by their names.
    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>>;
    /// Removes one. Returns whether there was one.
    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool>;

    // ---- conditions

    /// What is pending for an endpoint, or for all of an organization's.
    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats>;
    /// The deliveries of an endpoint, or of the organization, that were created since then and have succeeded or
    /// failed: the newest `limit` of them, newest first.
    fn recent_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> StoreResult<Vec<FinishedDelivery>>;
    /// How many endpoints of an organization are in each state.
    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates>;
    /// The newest failed attempt of an endpoint that was written and is not older than the log; `None` for a deleted one.
    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>>;
    /// What was counted of all of an organization's endpoints, deleted ones included, from the period of `since` on:
    /// one for each period in which something happened, oldest first.
    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>>;
    /// The same of single endpoints, in the order of periods and endpoints.
    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>>;

    // ---- housekeeping

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
    /// The conditions of active endpoints of all organizations that have been failing since `instant` or longer,
    /// longest first.
    fn failing_before(&self, instant: UnixMillis, limit: usize) -> StoreResult<Vec<EndpointHealth>>;

    // ---- the start of the engine

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
}

/// Opens the database that a URL names, makes or upgrades its schema, and keeps other engines out.
pub fn open(database_url: &str, cipher: Cipher) -> StoreResult<Arc<dyn Store>> {
    Ok(Arc::new(open_diesel(database_url, cipher)?))
}

/// Encrypts all secrets and header values of a database anew, from the key of `old` to the key of `new`. Refused
/// while an engine runs. One that was interrupted is finished by the next: what is under the new key is left as it
/// is. Tells `progress` how many endpoints were changed so far; returns how many in all.
pub fn reencrypt(
    database_url: &str,
    old: Cipher,
    new: &Cipher,
    progress: &mut dyn FnMut(usize),
) -> StoreResult<usize> {
    if let Some(path) = database_url.strip_prefix(SQLITE).filter(|path| !Path::new(path).exists()) {
        return Err(StoreError::Refused(format!("the database file {path} does not exist")));
    }
    open_diesel(database_url, old)?.reencrypt(new, progress)
}

const SQLITE: &str = "sqlite://";
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

fn open_diesel(database_url: &str, cipher: Cipher) -> StoreResult<DieselStore> {
    if let Some(path) = database_url.strip_prefix(SQLITE) {
        return sqlite::open(path, cipher);
    }
    if POSTGRES.iter().any(|scheme| database_url.starts_with(scheme)) {
        return postgres::open(database_url, cipher);
    }
    // the URL itself is not repeated: it can hold a password
    Err(StoreError::Refused(String::from(
        "the database URL must begin with sqlite:// (a path follows: sqlite://ringback.db, \
         sqlite:///var/lib/ringback/ringback.db) or with postgres:// (postgres://user:password@host/database)",
    )))
}
