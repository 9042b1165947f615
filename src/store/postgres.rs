//! PostgreSQL only: the lock that keeps out who must be alone, session settings, the rows of the cluster, and a commit as
//! one statement.

pub(super) mod cluster;
mod commit;
mod server;
mod servers;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::check::Subject;
use super::connection::{AnyConnection, Opener, ReaderOptions};
use super::diesel_store::{Database, DieselStore, Pools, migrate, migrations};
use super::schema::oldest_reader;
use super::{Cipher, StoreError, StoreResult};

use self::servers::Servers;

pub(super) use self::commit::{NewRows, is_one_statement, write};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// `ringback` in ASCII: the advisory lock that nodes share, and that versions from before there were several take alone.
const WRITER_LOCK: i64 = 0x7269_6e67_6261_636b;
/// Held while the schema is brought up to date.
const MIGRATION_LOCK: i64 = WRITER_LOCK + 1;
/// How long a start waits for someone who is alone and being stopped.
const LOCK_MAX_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(250);

/// Whether others may use the database meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// As a node of a cluster.
    WithNodes,
    /// No node may run.
    Alone,
}

/// Set explicitly, because a server, a database or a role can have other defaults, and a 202 means durable.
/// Timeouts of sessions and statements would take every commit with them; older servers
/// don't know some of them. The keepalives protect the server: an engine that vanished from the network must
/// not hold row locks for hours. No statement is compiled (`jit`), which takes 0.1 to 2 s each time a
/// cost is overestimated, as that of ranges is: ours run for milliseconds.
const SESSION: &str = "
    SET synchronous_commit = on;
    SET client_encoding = 'UTF8';
    SET standard_conforming_strings = on;
    SET default_transaction_read_only = off;
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = 0;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout');
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';
    SET client_min_messages = warning;
    SET jit = off;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 20000;
";
/// How the writer's statements are planned: once, so that rows are found by their keys, and pages are read in the order
/// of their index. With the actual values the server would plan them again each time, and a plan made while a table was
/// small, or before the server has analyzed it, would read all of it, or all pending rows, when it no longer is. A node that is
/// frozen within a transaction keeps others from ending its rights until the server ends the session. `work_mem` has room for
/// the bodies of a commit, at most 8 MiB and an event: with less the server copies them through a file. More is never used.
const WRITER_SESSION: &str = "
    SET work_mem = '32MB';
    SET idle_in_transaction_session_timeout = '2s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
";
/// How reads are planned: with the actual values. A plan for any value treats a rare code, a newest page and a
/// page long ago alike, and read a whole index for each (`docs/performance.md`).
const READER_SESSION: &str = "
    SET plan_cache_mode = force_custom_plan;
    SET default_transaction_read_only = on;
    SET statement_timeout = '30s';
";
/// Whoever waits for a lock here tries again: it may be a frozen node's.
const RARE_SESSION: &str = "
    SET lock_timeout = '1s';
    SET statement_timeout = '10s';
    SET idle_in_transaction_session_timeout = '2s';
";
/// Beats are not durable: an outage of a standby, for which commits wait, must not look like the end of all nodes.
const BEAT_SESSION: &str = "
    SET synchronous_commit = off;
    SET statement_timeout = '5s';
    SET lock_timeout = '2s';
";
/// With the writer and the count of what is pending at most 20 connections, of the 100 that a server allows unless it is told otherwise; they are
/// opened when they are needed. Smaller: reads wait for each other while the server could do both. Larger: fewer
/// programs can share the server (`docs/production.md` gives the sum).
const POOLS: Pools = Pools { api: readers(8), engine: readers(8), keys: readers(2) };

const fn readers(max_size: u32) -> ReaderOptions {
    ReaderOptions { max_size, test_on_check_out: true }
}

/// Opens the database.
pub(super) fn open(url: &str, cipher: Cipher, sharing: Sharing) -> StoreResult<DieselStore> {
    let opener = PostgresOpener { servers: Servers::of(url), sharing };
    let mut postgres = opener.connect_as_writer()?;
    opener.refuse_pooled_transactions(&mut postgres)?;
    wait_for_lock(&mut postgres, sharing)?;
    // a migration may take long, and so may another node's
    postgres.batch_execute("SET statement_timeout = 0")?;
    postgres.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))?;
    server::check_rights(&mut postgres)?;
    migrate(&mut postgres, MIGRATIONS, |postgres| {
        oldest_reader::table.select(oldest_reader::migration).first(postgres)
    })?;
    postgres.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})"))?;
    postgres.batch_execute(SESSION)?;
    postgres.batch_execute(WRITER_SESSION)?;
    DieselStore::new(Arc::new(opener), AnyConnection::Postgres(postgres), &POOLS, cipher, Database::Postgres)
}

/// What a check does takes as long as it takes.
const CHECK_SESSION: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '60s';";

/// A database that a check reads: beside nodes, or alone.
pub(super) fn open_for_check(url: &str, is_alone: bool) -> StoreResult<Subject> {
    let sharing = if is_alone { Sharing::Alone } else { Sharing::WithNodes };
    let opener = PostgresOpener { servers: Servers::of(url), sharing };
    let mut postgres = opener.connect(if is_alone { CHECK_SESSION } else { READER_SESSION })?;
    postgres.batch_execute(CHECK_SESSION)?;
    if is_alone {
        opener.refuse_pooled_transactions(&mut postgres)?;
        wait_for_lock(&mut postgres, sharing)?;
    }
    let known = migrations::<diesel::pg::Pg>(MIGRATIONS)?;
    Ok(Subject { connection: AnyConnection::Postgres(postgres), is_in_use: is_alone.then_some(false), known })
}

fn wait_for_lock(postgres: &mut PgConnection, sharing: Sharing) -> StoreResult<()> {
    let mut polls_left = LOCK_MAX_WAIT.as_millis() / LOCK_POLL.as_millis();
    loop {
        match lock(postgres, sharing) {
            Err(StoreError::Refused(_)) if polls_left > 0 => thread::sleep(LOCK_POLL),
            // the lock is held by someone who keeps running
            result => return result,
        }
        polls_left -= 1;
    }
}

/// Takes the lock; it lasts as long as the session.
fn lock(postgres: &mut PgConnection, sharing: Sharing) -> StoreResult<()> {
    let (function, message) = match sharing {
        Sharing::WithNodes => (
            "pg_try_advisory_lock_shared(",
            "someone who must be alone uses this PostgreSQL database: `ringback master-key rotate`, or a ringback from before \
             several could share one. Wait for its end, or stop it",
        ),
        Sharing::Alone => (
            "pg_try_advisory_lock(",
            "another ringback uses this PostgreSQL database; stop all of its nodes first",
        ),
    };
    let attempt = diesel::dsl::sql::<Bool>(function).bind::<BigInt, _>(WRITER_LOCK).sql(")");
    match diesel::select(attempt).get_result(postgres)? {
        true => Ok(()),
        false => Err(StoreError::Refused(String::from(message))),
    }
}

/// A pooler can have more sessions at rest than one.
const POOLER_PROBES: usize = 3;

struct PostgresOpener {
    servers: Servers,
    sharing: Sharing,
}

impl PostgresOpener {
    fn connect(&self, session: &str) -> StoreResult<PgConnection> {
        let mut postgres = self.servers.connect()?;
        server::check(&mut postgres)?;
        postgres.batch_execute(SESSION)?;
        postgres.batch_execute(session)?;
        Ok(postgres)
    }

    /// A pooler that gives each transaction another session breaks locks, settings and prepared statements. It lends a second
    /// client the session of the first, which rests.
    fn refuse_pooled_transactions(&self, first: &mut PgConnection) -> StoreResult<()> {
        self.look_for_pooler(first).map_err(|error| match error {
            StoreError::Unavailable(text) if text.contains("server closed the connection") => StoreError::Refused(format!(
                "the database ends connections as soon as a transaction begins, which a pooler in statement mode does: name the server \
                 itself in the database URL, or use the pooler's session mode (pgbouncer: pool_mode = session). It said: {text}"
            )),
            error => error,
        })
    }

    fn look_for_pooler(&self, first: &mut PgConnection) -> StoreResult<()> {
        for _ in 0..POOLER_PROBES {
            let of_first = server::backend(first)?;
            let mut second = self.servers.connect()?;
            second.batch_execute("BEGIN")?;
            if server::backend(&mut second)? == of_first {
                return Err(StoreError::Refused(String::from(
                    "between this engine and PostgreSQL is a pooler in transaction mode, which gives each transaction another \
                     session: locks, settings and prepared statements don't survive that. Name the server itself in the \
                     database URL, or use the pooler's session mode (pgbouncer: pool_mode = session)",
                )));
            }
        }
        Ok(())
    }

    fn connect_as_writer(&self) -> StoreResult<PgConnection> {
        self.connect(WRITER_SESSION)
    }
}

impl Opener for PostgresOpener {
    fn open_writer(&self) -> StoreResult<AnyConnection> {
        let mut postgres = self.connect_as_writer()?;
        lock(&mut postgres, self.sharing)?;
        Ok(AnyConnection::Postgres(postgres))
    }

    fn open_unlocked(&self) -> StoreResult<AnyConnection> {
        Ok(AnyConnection::Postgres(self.connect(RARE_SESSION)?))
    }

    fn lost(&self) {
        self.servers.lost();
    }

    fn open_beats(&self) -> StoreResult<AnyConnection> {
        Ok(AnyConnection::Postgres(self.connect(BEAT_SESSION)?))
    }

    fn open_reader(&self) -> StoreResult<AnyConnection> {
        Ok(AnyConnection::Postgres(self.connect(READER_SESSION)?))
    }
}
