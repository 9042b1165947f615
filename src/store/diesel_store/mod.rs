//! The store over Diesel. The traits are implemented in `queue.rs`, `tenants.rs`,
//! `audit.rs`, `sessions.rs`, `svix.rs`, `tasks.rs`, `notices.rs`, `changes.rs`, `log.rs`, `erasure.rs`, `maintenance.rs` and `cluster.rs`; the other files hold queries that these share or that need more room. What SQLite and
//! PostgreSQL do differently is in `sqlite.rs` and `postgres.rs` next to this folder.

mod attempt_list;
mod audit;
mod backlog;
mod cancelled_attempts;
mod changes;
mod cluster;
mod commit;
mod delivery_scan;
mod due;
mod endpoint_search;
mod endpoints;
mod erasure;
mod event_labels;
mod event_list;
mod event_queries;
mod event_types;
mod events_by;
mod expiry;
mod failures;
mod forgetting;
mod health_queries;
mod id_leads;
mod log;
#[cfg(test)]
mod log_paging_tests;
mod log_queries;
mod log_rows;
mod log_sources;
mod maintenance;
mod notices;
#[cfg(test)]
mod old_snapshot_tests;
mod pruning;
mod query;
#[cfg(test)]
mod query_plan_tests;
mod queue;
mod reencryption;
mod resend;
mod sessions;
#[cfg(test)]
mod statement_cache_tests;
mod statistics;
mod svix;
mod tasks;
mod tenants;
mod time_ranges;
mod tokens;
#[cfg(test)]
mod used_key_tests;

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel::result::QueryResult;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use parking_lot::Mutex;

use self::id_leads::IdLeads;
use super::backlog_keeper::BacklogKeeper;
use super::cipher::Cipher;
use super::connection::{AnyConnection, Opener, ReaderOptions, Readers, Writer};
use super::event_cache::EventCache;
use super::sqlite::DatabaseLock;
use super::{StoreError, StoreResult};
use crate::domain::audit::AuditEntry;

/// The store over SQLite or PostgreSQL.
pub(super) struct DieselStore {
    shared: Arc<Shared>,
    /// Written with the next change of settings.
    entry: Option<AuditEntry>,
}

impl Deref for DieselStore {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// What all views of a store share.
pub(super) struct Shared {
    backlog: BacklogKeeper,
    writer: Arc<Writer>,
    opener: Arc<dyn Opener>,
    membership: cluster::Membership,
    /// Of the API: lists, logs, health.
    readers: Readers,
    /// Of supervisors, scheduler and maintenance: no request takes one of them.
    engine_readers: Readers,
    /// Of authentication: a request that waits for one waits only for others like it.
    key_readers: Readers,
    cipher: Cipher,
    removal: pruning::Removal,
    event_cache: EventCache,
    leads: IdLeads,
    // last: the lock that keeps others out is released after the connections are closed
    database: Database,
}

/// Which database it is.
pub(super) enum Database {
    /// One file.
    Sqlite {
        /// Held during a checkpoint.
        checkpointing: Mutex<()>,
        /// Keeps other processes out for as long as this store lives.
        lock: Arc<DatabaseLock>,
    },
    /// A server with its own locking.
    Postgres,
}

/// The pools of readers. None can be filled by the work of another.
pub(super) struct Pools {
    /// What tenants read through the API.
    pub(super) api: ReaderOptions,
    /// Supervisors, scheduler, maintenance.
    pub(super) engine: ReaderOptions,
    /// API keys.
    pub(super) keys: ReaderOptions,
}

impl DieselStore {
    /// A store over the writing connection, whose schema is up to date.
    pub(super) fn new(
        opener: Arc<dyn Opener>,
        mut connection: AnyConnection,
        pools: &Pools,
        cipher: Cipher,
        database: Database,
    ) -> StoreResult<Self> {
        let leads = IdLeads::load(&mut connection)?;
        let pool = |options| Readers::new(Arc::clone(&opener), options);
        let (readers, engine_readers, key_readers) = (pool(&pools.api), pool(&pools.engine), pool(&pools.keys));
        let writer = Arc::new(Writer::new(Arc::clone(&opener), connection));
        let backlog = BacklogKeeper::start(Arc::clone(&opener), Arc::clone(&writer), Box::new(backlog::Queries))?;
        let shared = Arc::new(Shared {
            backlog,
            writer,
            opener,
            membership: cluster::Membership::default(),
            readers,
            engine_readers,
            key_readers,
            cipher,
            removal: pruning::Removal::default(),
            event_cache: EventCache::default(),
            leads,
            database,
        });
        Ok(Self { shared, entry: None })
    }

    /// Forgets the runs of ids that were ahead and of which no row is left.
    fn prune_leads(&self) -> StoreResult<()> {
        if !self.leads.runs().is_empty() {
            self.leads.forget_below(self.writer.write(id_leads::prune)?);
        }
        Ok(())
    }
}

/// Brings the schema up to date. A schema with migrations that this program does not know is refused, unless it says that they
/// have only added to it.
pub(super) fn migrate<DB: Backend, C: MigrationHarness<DB>>(
    connection: &mut C,
    migrations: EmbeddedMigrations,
    oldest_reader: impl FnOnce(&mut C) -> QueryResult<String>,
) -> StoreResult<()> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable(format!("migration: {error}"));
    let known: Vec<Box<dyn Migration<DB>>> = migrations.migrations().map_err(failed)?;
    let known: HashSet<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(failed)?;
    // the newest is the first
    if let Some(unknown) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        let oldest = oldest_reader(connection)?;
        if !known.contains(&oldest) {
            return Err(StoreError::Refused(format!(
                "the database has the schema version {unknown}, which a newer version of ringback made, and which can be \
                 used from version {oldest} on; start a newer version, or restore a backup from before the upgrade"
            )));
        }
        tracing::warn!(
            schema = unknown,
            "the database was upgraded by a newer version of ringback, with additions that this one does not use"
        );
    }
    connection.run_pending_migrations(migrations).map_err(failed)?;
    Ok(())
}

/// The versions that migrations lead to, in their order.
pub(super) fn migrations<DB: Backend>(migrations: EmbeddedMigrations) -> StoreResult<Vec<String>> {
    let known: Vec<Box<dyn Migration<DB>>> =
        migrations.migrations().map_err(|error| StoreError::Unavailable(format!("migration: {error}")))?;
    let mut versions: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    versions.sort();
    Ok(versions)
}

/// A limit in the type of the databases.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
