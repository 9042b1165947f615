//! Everything durable: the [`Store`] traits are the interface, Diesel is behind it.
//!
//! All methods block; callers run them on a blocking thread. Changes come in batches. `now` is always a
//! parameter, never the database's clock. Every read or write of tenant data takes the organization. The
//! exception is [`MaintenanceStore`], which works on all organizations at once; its rows carry theirs.

mod attempts;
mod audit;
mod backlog;
mod backlog_keeper;
mod changes;
mod check;
pub mod cipher;
mod cluster;
mod connection;
mod credentials;
mod detail;
mod diesel_store;
mod encrypted_rows;
mod erasure;
mod event_cache;
mod fence;
mod label_rows;
mod log;
mod maintenance;
pub mod memory;
mod models;
mod new_key;
mod notices;
mod organization_rows;
mod postgres;
mod queue;
mod schema;
mod sessions;
mod sqlite;
mod svix;
mod tasks;
pub mod temporary_database;
mod tenants;

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

pub use self::attempts::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, AttemptsOf, CodeClass, EdgePage, EventListFilter,
    EventPageRequest, ListFilter, ListedAttempt, ListedEvent, Message, MessagePageRequest, PageEdge,
};
pub use self::audit::AuditStore;
pub use self::changes::{ChangeNumber, ChangeStore, Changed, ChangesSince, SettingChange};
pub use self::check::{CheckEvent, CheckMode, CheckReport, CheckTerms, Checked};
use self::cipher::Cipher;
pub use self::cluster::{Beat, ClusterStore, ClusterView, Joining, Ownership, PROTOCOL};
use self::diesel_store::DieselStore;
pub use self::erasure::{ErasureStep, ErasureStore, ExpiryStep};
pub use self::log::{
    DeliveryDetail, EventDetail, LogPage, LogStore, MadeDeliveryDue, ReplayTargets, RequeueOutcome, RequeueRange,
    RequeuedPage,
};
pub use self::maintenance::{AgendaRow, DatabaseSize, MaintenanceStore, PruneReport};
pub use self::notices::{Listening, Notice, NoticeStore};
use self::postgres::Sharing;
pub(crate) use self::queue::IDEMPOTENCY_KEY_LIFETIME;
pub use self::queue::{
    AcceptedEvent, BatchKey, CANCELLED_AT_ONCE, Checkpoint, CommitReport, DisableEndpoint, DuePage, DueRequest,
    EventCommit, IdempotencyKey, MadeDue, NewEvent, QueuePosition, QueueStore, RESENT_AT_ONCE, SavedHealth,
    WriteBatch,
};
pub use self::sessions::{LinkUse, SessionStore};
use self::sqlite::Checkable;
pub use self::sqlite::backup::{BackupReport, BackupStep, OnStep};
pub use self::svix::{AnswerState, AnswerTimes, KeptAnswer, NamePage, SvixStore};
pub use self::tasks::{
    BackgroundTask, TASKS_FOR_ONE, TaskFilter, TaskKind, TaskMark, TaskSelection, TaskStatus, TaskStep, TaskStore,
};
pub use self::tenants::{Creation, CreationKey, EndpointSearch, EndpointStart, TenantStore};

/// Why a method of the store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the database, or its schema is newer than this program.
    #[error("{0}")]
    Refused(String),
    /// The database can't be reached or can't write now (disk full, server gone). Worth a retry.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database refuses a value, such as a text with a NUL on PostgreSQL. Trying again is useless.
    #[error("the database can't store or compare a value: {0}")]
    Invalid(String),
    /// A stored value can't be read: wrong master key, or damage.
    #[error("a stored value can't be read: {0}")]
    Corrupt(String),
    /// The row was changed by someone else since it was read.
    #[error("the row was changed in the meantime")]
    Conflict,
    /// The event's payload was erased: it can't be sent any more.
    #[error("the event's payload was erased, and can't be sent any more")]
    PayloadErased,
    /// The organization does not exist, or was deleted since its caller was let in.
    #[error("there is no such organization")]
    NoSuchOrganization,
    /// This node's rights were ended: nothing was written. It may write again when it has joined again and read everything again.
    #[error("this node lost its lease; it joins again by itself")]
    Fenced,
}

/// The result of a method of the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// A page of a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Only ids below this; `None` begins at the newest.
    pub before_id: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// A page of a list in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectedPage {
    /// Only ids behind this one, in the direction of the page; `None` begins at the end.
    pub behind: Option<i64>,
    /// From the lowest id on, and not from the highest.
    pub is_ascending: bool,
    /// At most this many.
    pub limit: usize,
}

/// The whole store. One implementation over Diesel for SQLite and PostgreSQL, one in memory as a reference.
///
/// The methods of its parts can be called on a `dyn Store` without importing the traits.
pub trait Store:
    QueueStore
    + TenantStore
    + AuditStore
    + SessionStore
    + SvixStore
    + TaskStore
    + NoticeStore
    + ChangeStore
    + LogStore
    + ErasureStore
    + MaintenanceStore
    + ClusterStore
{
}

impl<
    S: QueueStore
        + TenantStore
        + AuditStore
        + SessionStore
        + SvixStore
        + TaskStore
        + NoticeStore
        + ChangeStore
        + LogStore
        + ErasureStore
        + MaintenanceStore
        + ClusterStore,
> Store for S
{
}

/// Opens the database of a URL, and creates or upgrades its schema. Other engines are locked out of a SQLite file; those on
/// PostgreSQL share it ([`ClusterStore::join`]).
pub fn open(database_url: &str, cipher: Cipher) -> StoreResult<Arc<dyn Store>> {
    let store = open_diesel(database_url, cipher, Sharing::WithNodes)?;
    store.require_master_key()?;
    Ok(Arc::new(store))
}

/// Re-encrypts all secrets and header values of a database, from the key of `old` to the key of `new`. Refused
/// while an engine runs. An interrupted run is finished by the next one: values already under the new key are
/// left alone. Calls `progress` with the number of endpoints changed so far; returns the total.
pub fn reencrypt(
    database_url: &str,
    old: Cipher,
    new: &Cipher,
    progress: &mut dyn FnMut(usize),
) -> StoreResult<usize> {
    if let Some(path) = database_url.strip_prefix(SQLITE).filter(|path| !Path::new(path).exists()) {
        return Err(StoreError::Refused(format!("the database file {path} does not exist")));
    }
    open_diesel(database_url, old, Sharing::Alone)?.reencrypt(new, progress)
}

/// Copies a SQLite database, which an engine may be using, into a new file. `on_step` is called between two steps, and can end
/// it. PostgreSQL has tools of its own.
pub fn backup(database_url: &str, target: &Path, on_step: OnStep) -> StoreResult<BackupReport> {
    if let Some(path) = database_url.strip_prefix(SQLITE) {
        return sqlite::backup::run(path, target, on_step);
    }
    if POSTGRES.iter().any(|scheme| database_url.starts_with(scheme)) {
        return Err(StoreError::Refused(String::from(
            "PostgreSQL has better tools than a copy through this program: `pg_dump -Fc` for one moment, or `pg_basebackup` with an \
             archive of its write-ahead log for every moment (see \"Backup\" in the documentation)",
        )));
    }
    Err(StoreError::Refused(String::from(UNKNOWN_URL)))
}

/// Looks a whole database through, and repairs what it safely can if it is told to. Refused while an engine runs only then.
pub fn check(
    database_url: &str,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<CheckReport> {
    let is_alone = terms.mode != CheckMode::Look;
    if let Some(path) = database_url.strip_prefix(SQLITE) {
        return match sqlite::open_for_check(path, is_alone)? {
            Checkable::Readable(subject, lock) => {
                let report = check::run(subject, terms, on_event);
                // after the connection
                drop(lock);
                report
            }
            Checkable::Damaged(said) => Ok(check::integrity::unreadable(said)),
        };
    }
    if POSTGRES.iter().any(|scheme| database_url.starts_with(scheme)) {
        return check::run(postgres::open_for_check(database_url, is_alone)?, terms, on_event);
    }
    Err(StoreError::Refused(String::from(UNKNOWN_URL)))
}

const SQLITE: &str = "sqlite://";
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];
const UNKNOWN_URL: &str = "the database URL must begin with sqlite:// (a path follows: sqlite://ringback.db, \
                           sqlite:///var/lib/ringback/ringback.db) or with postgres:// (postgres://user:password@host/database)";

fn open_diesel(database_url: &str, cipher: Cipher, sharing: Sharing) -> StoreResult<DieselStore> {
    if let Some(path) = database_url.strip_prefix(SQLITE) {
        return sqlite::open(path, cipher);
    }
    if POSTGRES.iter().any(|scheme| database_url.starts_with(scheme)) {
        return postgres::open(database_url, cipher, sharing);
    }
    // the URL itself is left out: it can hold a password
    Err(StoreError::Refused(String::from(UNKNOWN_URL)))
}
