//! The store over Diesel. Each file holds the queries of one subject; what SQLite and PostgreSQL do differently
//! is in `sqlite.rs` and `postgres.rs` beside this folder.

mod commit;
mod due;
mod endpoints;
mod log;
mod organizations;
#[cfg(test)]
mod plans;
mod startup;

use std::collections::HashSet;
use std::fs::File;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use super::cipher::Cipher;
use super::connection::{AnyConnection, Readers, Writer};
use super::{
    AgendaRow, CommitReport, DeliveryDetail, DuePage, DueRequest, EndpointStart, PageRequest, Store, StoreError,
    StoreResult, WriteBatch,
};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord};
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::time::UnixMillis;

/// [`Store`] over SQLite or PostgreSQL.
pub(super) struct DieselStore {
    writer: Writer,
    readers: Readers,
    cipher: Cipher,
    /// Keeps other processes away from a database file for as long as this store lives.
    _lock: Option<File>,
}

impl DieselStore {
    pub(super) fn new(writer: Writer, readers: Readers, cipher: Cipher, lock: Option<File>) -> Self {
        Self { writer, readers, cipher, _lock: lock }
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

/// Lifts PostgreSQL's time limit for the rest of the transaction: a change of everything that an organization or
/// an endpoint has is as long as that is much.
fn without_time_limit(connection: &mut AnyConnection) -> StoreResult<()> {
    if let AnyConnection::Postgres(postgres) = connection {
        postgres.batch_execute("SET LOCAL statement_timeout = 0")?;
    }
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

    fn delete_organization(&self, id: OrganizationId) -> StoreResult<Option<Vec<EndpointId>>> {
        self.writer.write(|connection| organizations::delete(connection, id))
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
        self.writer.write(|connection| commit::commit(connection, &self.cipher, batch, now))
    }

    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage> {
        self.readers.read(|connection| due::page(connection, organization_id, endpoint_id, request))
    }

    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        self.writer.write(|connection| endpoints::cancel_pending(connection, organization_id, endpoint_id, now))
    }

    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        self.readers.read(|connection| log::list(connection, organization_id, filter, page))
    }

    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        self.readers.read(|connection| log::read(connection, organization_id, id))
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
