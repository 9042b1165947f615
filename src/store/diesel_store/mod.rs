//! The store over Diesel. Each file holds the queries of one subject; what SQLite and PostgreSQL do differently
//! is in `sqlite.rs` and `postgres.rs` beside this folder.

mod cancelled_attempts;
mod commit;
mod due;
mod endpoints;
mod event_types;
mod events;
mod failures;
mod health;
mod id_leads;
mod log;
#[cfg(test)]
mod log_paging_tests;
mod log_sources;
mod organizations;
mod pruning;
mod query;
#[cfg(test)]
mod query_plan_tests;
mod reencryption;
mod resend;
mod startup;
#[cfg(test)]
mod statement_cache_tests;
mod statistics;
mod time_ranges;

use std::collections::HashSet;
use std::sync::Arc;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use parking_lot::Mutex;

use self::id_leads::{IdLead, IdLeads};
use super::cipher::Cipher;
use super::connection::{AnyConnection, Opener, ReaderOptions, Readers, Writer};
use super::event_cache::EventCache;
use super::{
    AgendaRow, Checkpoint, CommitReport, DeliveryDetail, DuePage, DueRequest, EndpointStart, EventDetail, LogPage,
    MadeDue, PageRequest, PruneReport, QueuePosition, ReplayTargets, RequeueOutcome, RequeueRange, RequeuedPage,
    Store, StoreError, StoreResult, WriteBatch, sqlite,
};
use crate::domain::delivery::DeliveryFilter;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::event_types::OwnEventType;
use crate::domain::health::{EndpointHealth, EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

/// [`Store`] over SQLite or PostgreSQL.
pub(super) struct DieselStore {
    writer: Writer,
    readers: Readers,
    cipher: Cipher,
    recent: EventCache,
    leads: IdLeads,
    // last: what keeps others out goes after the connections
    database: Database,
}

/// Which of the two, and what comes with it.
pub(super) enum Database {
    /// A file.
    Sqlite {
        /// Held while a checkpoint is being made.
        checkpointing: Mutex<()>,
        /// Keeps other processes away from it for as long as this store lives.
        lock: Arc<sqlite::DatabaseLock>,
    },
    /// A server.
    Postgres,
}

impl DieselStore {
    /// A store over the connection that will write, its schema up to date.
    pub(super) fn new(
        opener: Arc<dyn Opener>,
        mut connection: AnyConnection,
        readers: &ReaderOptions,
        cipher: Cipher,
        database: Database,
    ) -> StoreResult<Self> {
        let leads = IdLeads::load(&mut connection)?;
        let readers = Readers::new(Arc::clone(&opener), readers);
        let writer = Writer::new(opener, connection);
        Ok(Self { writer, readers, cipher, recent: EventCache::default(), leads, database })
    }

    /// Forgets where ids were ahead, when nothing of it is left.
    fn prune_leads(&self) -> StoreResult<()> {
        if !self.leads.runs().is_empty() {
            self.leads.forget_below(self.writer.write(id_leads::prune)?);
        }
        Ok(())
    }
}

/// Brings the schema up to date, and refuses one that this program does not know.
pub(super) fn migrate<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> StoreResult<()> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable(format!("migration: {error}"));
    let known: Vec<Box<dyn Migration<DB>>> = migrations.migrations().map_err(failed)?;
    let known: HashSet<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(failed)?;
    if let Some(unknown) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        return Err(StoreError::Refused(format!(
            "the database has the schema version {unknown}, which a newer version of ringback made; start that \
             version, or restore a backup from before the upgrade"
        )));
    }
    connection.run_pending_migrations(migrations).map_err(failed)?;
    Ok(())
}

/// A limit as the database takes it.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Store for DieselStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        self.writer.write(|connection| organizations::create(connection, organization))
    }

    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        self.readers.read(|connection| organizations::list(connection, page))
    }

    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        self.readers.read(|connection| organizations::read(connection, id))
    }

    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>> {
        let deleted = self.writer.write(|connection| organizations::delete(connection, id, now));
        self.recent.clear();
        deleted
    }

    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        self.writer.write(|connection| organizations::create_key(connection, key))
    }

    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        self.readers.read(|connection| organizations::keys(connection, organization_id, page))
    }

    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        self.writer.write(|connection| organizations::revoke_key(connection, organization_id, id))
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        self.readers.read(|connection| organizations::key_by_hash(connection, hash))
    }

    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.writer.write(|connection| endpoints::create(connection, &self.cipher, endpoint))
    }

    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>> {
        self.readers.read(|connection| endpoints::list(connection, &self.cipher, organization_id, page))
    }

    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>> {
        self.readers.read(|connection| endpoints::read(connection, &self.cipher, organization_id, id))
    }

    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.writer.write(|connection| endpoints::update(connection, &self.cipher, endpoint))
    }

    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        self.writer.write(|connection| endpoints::delete(connection, organization_id, id, now))
    }

    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        if batch.is_empty() {
            return Ok(CommitReport::default());
        }
        let lead = self.leads.of_events(&batch.events);
        let report = self.writer.run(|connection| commit::commit(connection, &self.cipher, batch, lead, now))?;
        lead.into_iter().for_each(|lead| self.leads.add(lead));
        Ok(report)
    }

    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        let Database::Sqlite { checkpointing, lock } = &self.database else { return Ok(Checkpoint::Done) };
        // another one is under way
        let Some(_alone) = checkpointing.try_lock() else { return Ok(Checkpoint::Done) };
        sqlite::checkpoint::run(&self.readers, &self.writer, lock)
    }

    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage> {
        let page = due::DuePageReader { organization_id, endpoint_id, request, recent: &self.recent };
        self.readers.read(|connection| page.read(connection))
    }

    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        self.writer.write(|connection| endpoints::cancel_pending(connection, organization_id, endpoint_id, now))
    }

    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()> {
        self.writer.write(|connection| endpoints::close_breaker(connection, organization_id, endpoint_id))
    }

    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue> {
        self.writer
            .write(|connection| resend::make_due(connection, organization_id, endpoint_id, after, limit, now))
    }

    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage> {
        self.readers.read(|connection| log::list(connection, &self.leads.runs(), organization_id, filter, page))
    }

    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        self.readers.read(|connection| log::read(connection, organization_id, id))
    }

    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        self.writer.write(|connection| resend::requeue_delivery(connection, organization_id, id, now))
    }

    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage> {
        self.writer.write(|connection| {
            resend::requeue_range(
                connection,
                &self.leads.runs(),
                organization_id,
                endpoint_id,
                range,
                after,
                limit,
                now,
            )
        })
    }

    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
    ) -> StoreResult<usize> {
        let runs = self.leads.runs();
        self.readers.read(|connection| resend::count_range(connection, &runs, organization_id, endpoint_id, range))
    }

    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        let mut written = Vec::new();
        let endpoints = self.writer.write(|connection| {
            let mut next_id = |connection: &mut AnyConnection| {
                let id = next_id();
                // what this transaction has written down has to be written down once
                let is_known = written.last().is_some_and(|lead: &IdLead| lead.has(id));
                let lead = self.leads.of_row(id, now).filter(|_| !is_known);
                written.extend(lead);
                lead.map_or(Ok(()), |lead| id_leads::save(connection, lead)).map(|()| id)
            };
            resend::replay_event(connection, organization_id, id, targets, &mut next_id, now)
        })?;
        written.into_iter().for_each(|lead| self.leads.add(lead));
        Ok(endpoints)
    }

    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>> {
        self.readers.read(|connection| events::list(connection, &self.leads.runs(), organization_id, filter, page))
    }

    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>> {
        self.readers.read(|connection| events::read(connection, organization_id, id))
    }

    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()> {
        self.writer.write(|connection| event_types::create(connection, event_type))
    }

    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>> {
        self.readers.read(|connection| event_types::list(connection, organization_id))
    }

    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        self.writer.write(|connection| event_types::delete(connection, organization_id, name))
    }

    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        self.readers.read(|connection| health::pending(connection, organization_id, endpoint_id))
    }

    fn recent_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> StoreResult<Vec<FinishedDelivery>> {
        let runs = self.leads.runs();
        self.readers
            .read(|connection| health::recent(connection, &runs, organization_id, endpoint_id, since, limit))
    }

    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates> {
        self.readers.read(|connection| health::endpoint_states(connection, organization_id))
    }

    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        self.readers.read(|connection| failures::read(connection, organization_id, endpoint_id))
    }

    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        self.readers.read(|connection| statistics::of_organization(connection, organization_id, since))
    }

    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        self.readers.read(|connection| statistics::of_endpoints(connection, organization_id, endpoint_ids, since))
    }

    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        let runs = self.leads.runs();
        let report = self.writer.write(|connection| pruning::prune(connection, &runs, before, after, limit))?;
        if report.next.is_none() {
            self.prune_leads()?;
        }
        Ok(report)
    }

    fn prune_endpoints(
        &self,
        settled_before: UnixMillis,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Option<EndpointId>> {
        self.writer.write(|connection| pruning::prune_endpoints(connection, settled_before, after, limit))
    }

    fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| pruning::purge_organizations(connection, settled_before, limit))
    }

    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        self.writer.write(|connection| pruning::prune_idempotency_keys(connection, before, limit))
    }

    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| statistics::prune(connection, before, limit))
    }

    fn failing_before(&self, instant: UnixMillis, limit: usize) -> StoreResult<Vec<EndpointHealth>> {
        self.readers.read(|connection| health::failing_before(connection, instant, limit))
    }

    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<OwnEventType>> {
        self.readers.read(|connection| event_types::scan(connection, after, limit))
    }

    fn largest_id(&self) -> StoreResult<i64> {
        self.readers.read(startup::largest_id)
    }

    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        self.readers.read(|connection| startup::scan_endpoints(connection, &self.cipher, after, limit))
    }

    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>> {
        self.readers.read(|connection| startup::scan_agenda(connection, after, limit))
    }

    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>> {
        self.readers.read(startup::open_breakers)
    }

    fn count_pending(&self) -> StoreResult<u64> {
        self.readers.read(startup::count_pending)
    }

    fn ping(&self) -> StoreResult<()> {
        self.readers.read(startup::ping)
    }
}
