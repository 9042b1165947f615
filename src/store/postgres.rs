//! What only PostgreSQL does: the lock that makes one engine the writer, its session settings, and one
//! statement per table and commit by `UNNEST`, so that a commit is a handful of round trips.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::connection::{AnyConnection, Opener, ReaderOptions, Readers, Writer};
use super::detail::StoredAttempt;
use super::diesel_store::{DieselStore, migrate};
use super::{Cipher, NewEvent, StoreError, StoreResult};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::time::UnixMillis;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// `ringback` in ASCII: the advisory lock of the one engine that writes.
const WRITER_LOCK: i64 = 0x7269_6e67_6261_636b;
/// How long a start waits for another engine to let go: a predecessor that is being stopped.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(250);

/// Said explicitly, because a server can be set otherwise, and a 202 means durable. The rest of it is for the server:
/// an engine that vanished from the network must not keep the writer's lock for hours.
const SESSION: &str = "
    SET synchronous_commit = on;
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s';
    SET client_min_messages = warning;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 20000;
";
/// Without these a server that vanished from the network is waited for by the quarter hour.
const CONNECTION_DEFAULTS: [(&str, &str); 6] = [
    ("connect_timeout", "3"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "20000"),
    ("application_name", "ringback"),
];
const READERS: ReaderOptions = ReaderOptions { max_size: 8, test_on_check_out: true };

/// Opens the database.
pub(super) fn open(url: &str, cipher: Cipher) -> StoreResult<DieselStore> {
    let opener: Arc<dyn Opener> = Arc::new(PostgresOpener { url: with_defaults(url) });
    let mut connection = open_patiently(opener.as_ref())?;
    if let AnyConnection::Postgres(postgres) = &mut connection {
        // a migration may take its time
        check_durability(postgres)?;
        postgres.batch_execute("SET statement_timeout = 0")?;
        migrate(postgres, MIGRATIONS)?;
        postgres.batch_execute(SESSION)?;
    }
    let readers = Readers::new(Arc::clone(&opener), &READERS);
    Ok(DieselStore::new(Writer::new(opener, connection), readers, cipher, None))
}

/// A server without fsync confirms what a power failure takes away, and no session can ask for more.
fn check_durability(postgres: &mut PgConnection) -> StoreResult<()> {
    let fsync: String =
        diesel::select(diesel::dsl::sql::<Text>("current_setting('fsync')")).get_result(postgres)?;
    if fsync == "on" {
        return Ok(());
    }
    Err(StoreError::Refused(String::from(
        "this PostgreSQL server runs with fsync = off: it would lose events that were acknowledged; switch it on",
    )))
}

fn with_defaults(url: &str) -> String {
    let mut url = url.to_owned();
    for (name, value) in CONNECTION_DEFAULTS {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
    }
    url
}

fn open_patiently(opener: &dyn Opener) -> StoreResult<AnyConnection> {
    let mut polls_left = LOCK_PATIENCE.as_millis() / LOCK_POLL.as_millis();
    loop {
        match opener.open_writer() {
            Err(StoreError::Refused(_)) if polls_left > 0 => thread::sleep(LOCK_POLL),
            // the lock is taken by someone who keeps it
            result => return result,
        }
        polls_left -= 1;
    }
}

struct PostgresOpener {
    url: String,
}

/// How libpq begins when it could read the URL. Whatever else it says may quote the part that it can't read, be it a
/// password.
const READABLE: [&str; 3] = ["connection to server", "could not translate host name", "timeout expired"];

impl PostgresOpener {
    /// What may be said of an error: never a part of the password. One that holds an `@` or `/` as it is makes libpq
    /// take a part of it for the host.
    fn told(&self, error: &ConnectionError) -> String {
        let text = error.to_string();
        let is_plain = self.url.matches('@').count() <= 1;
        match is_plain && READABLE.iter().any(|beginning| text.trim_start().starts_with(beginning)) {
            true => text,
            false => String::from(
                "its URL can't be read, or leads nowhere; special characters in a user name or password have to be \
                 percent-encoded (an `@` as %40, a `/` as %2F, a `%` as %25)",
            ),
        }
    }

    fn connect(&self) -> StoreResult<PgConnection> {
        let mut postgres =
            PgConnection::establish(&self.url).map_err(|error| StoreError::Unavailable(self.told(&error)))?;
        postgres.batch_execute(SESSION)?;
        Ok(postgres)
    }
}

impl Opener for PostgresOpener {
    fn open_writer(&self) -> StoreResult<AnyConnection> {
        let mut postgres = self.connect()?;
        let locked: bool = diesel::select(
            diesel::dsl::sql::<Bool>("pg_try_advisory_lock(").bind::<BigInt, _>(WRITER_LOCK).sql(")"),
        )
        .get_result(&mut postgres)?;
        if locked {
            Ok(AnyConnection::Postgres(postgres))
        } else {
            Err(StoreError::Refused(String::from(
                "another ringback writes to this PostgreSQL database; stop it first, or give this one another \
                 database",
            )))
        }
    }

    fn open_reader(&self) -> StoreResult<AnyConnection> {
        let mut postgres = self.connect()?;
        postgres.batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '30s'")?;
        Ok(AnyConnection::Postgres(postgres))
    }
}

/// Inserts events with their deliveries: two statements.
pub(super) fn insert_events(postgres: &mut PgConnection, stored: &[&NewEvent]) -> QueryResult<()> {
    if stored.is_empty() {
        return Ok(());
    }
    let events = || stored.iter().map(|new| &new.event);
    diesel::sql_query(
        "INSERT INTO events (id, organization_id, event_type, occurred_at, accepted_at, last_delivery_id, \
         delivery_count, body) SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Array<BigInt>, _>(events().map(|event| event.id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events().map(|event| event.organization_id.0).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events().map(|event| event.occurred_at.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events().map(|event| event.accepted_at.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(
        stored.iter().map(|new| new.deliveries.last().map_or(new.event.id.0, |(id, _)| id.0)).collect::<Vec<_>>(),
    )
    .bind::<Array<Integer>, _>(
        stored.iter().map(|new| i32::try_from(new.deliveries.len()).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
    )
    .bind::<Array<Binary>, _>(events().map(|event| event.body.as_ref()).collect::<Vec<_>>())
    .execute(postgres)?;
    insert_deliveries(postgres, stored)
}

fn insert_deliveries(postgres: &mut PgConnection, stored: &[&NewEvent]) -> QueryResult<()> {
    let rows: Vec<_> = stored
        .iter()
        .flat_map(|new| new.deliveries.iter().map(|&(id, endpoint_id)| (id, endpoint_id, &new.event)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO deliveries (id, organization_id, endpoint_id, event_id, partition, created_at, queued_at, \
         due_at) SELECT id, organization_id, endpoint_id, event_id, partition, accepted_at, accepted_at, accepted_at \
         FROM UNNEST($1, $2, $3, $4, $5, $6) \
         AS new (id, organization_id, endpoint_id, event_id, partition, accepted_at)",
    )
    .bind::<Array<BigInt>, _>(rows.iter().map(|(id, ..)| id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows.iter().map(|(_, _, event)| event.organization_id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows.iter().map(|(_, endpoint_id, _)| endpoint_id.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows.iter().map(|(_, _, event)| event.id.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(
        rows.iter().map(|(_, endpoint_id, _)| endpoint_id.partition()).collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(rows.iter().map(|(_, _, event)| event.accepted_at.0).collect::<Vec<_>>())
    .execute(postgres)?;
    Ok(())
}

/// Remembers the keys of events that were stored; one that expired is overwritten.
pub(super) fn save_keys(postgres: &mut PgConnection, stored: &[&NewEvent], now: UnixMillis) -> QueryResult<()> {
    let keyed: Vec<_> =
        stored.iter().filter_map(|new| new.idempotency.as_ref().map(|key| (&new.event, key))).collect();
    if keyed.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO idempotency_keys (organization_id, key, request_hash, event_id, created_at) \
         SELECT new.*, $5 FROM UNNEST($1, $2, $3, $4) AS new ON CONFLICT (organization_id, key) DO UPDATE \
         SET request_hash = excluded.request_hash, event_id = excluded.event_id, created_at = excluded.created_at",
    )
    .bind::<Array<BigInt>, _>(keyed.iter().map(|(event, _)| event.organization_id.0).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(keyed.iter().map(|(_, key)| key.key.as_str()).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(keyed.iter().map(|(_, key)| key.request_hash.as_slice()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(keyed.iter().map(|(event, _)| event.id.0).collect::<Vec<_>>())
    .bind::<BigInt, _>(now.0)
    .execute(postgres)?;
    Ok(())
}

/// Records outcomes; `true` for each whose delivery was still pending and did not have this attempt yet.
pub(super) fn record_outcomes(postgres: &mut PgConnection, outcomes: &[Outcome]) -> QueryResult<Vec<bool>> {
    let mut recorded = vec![false; outcomes.len()];
    let mut waiting: Vec<usize> = (0..outcomes.len()).collect();
    // one statement updates a row once: a second outcome of the same delivery waits for the next round
    while !waiting.is_empty() {
        let mut seen = HashSet::new();
        let (round, rest): (Vec<usize>, Vec<usize>) =
            waiting.into_iter().partition(|&index| seen.insert(outcomes[index].delivery_id));
        let attempts: Vec<Attempt<'_>> = round.iter().map(|&index| Attempt::of(&outcomes[index])).collect();
        let updated = update_deliveries(postgres, &attempts)?;
        for (&index, attempt) in round.iter().zip(&attempts) {
            recorded[index] = updated.contains(&attempt.outcome.delivery_id.0);
        }
        let own_row = attempts
            .iter()
            .filter(|attempt| !attempt.in_delivery && updated.contains(&attempt.outcome.delivery_id.0));
        insert_attempts(postgres, &own_row.collect::<Vec<_>>())?;
        waiting = rest;
    }
    Ok(recorded)
}

/// An outcome beside what is stored of it.
struct Attempt<'a> {
    outcome: &'a Outcome,
    stored: StoredAttempt,
    status: i16,
    /// Whether it ends its delivery at the first attempt, and so lives in the delivery's own row.
    in_delivery: bool,
}

impl<'a> Attempt<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let status = match outcome.next {
            NextStep::Succeeded => DeliveryStatus::Success,
            NextStep::Failed => DeliveryStatus::Failed,
            NextStep::RetryAt(_) => DeliveryStatus::Pending,
        };
        let in_delivery = outcome.number == 1 && status != DeliveryStatus::Pending;
        Self { outcome, stored: StoredAttempt::of(outcome), status: status.code(), in_delivery }
    }

    fn number(&self) -> i32 {
        i32::try_from(self.outcome.number).unwrap_or(i32::MAX)
    }

    fn due_at(&self) -> Option<i64> {
        match self.outcome.next {
            NextStep::RetryAt(at) => Some(at.0),
            NextStep::Succeeded | NextStep::Failed => None,
        }
    }

    fn queued_at(&self) -> Option<i64> {
        // an ordered endpoint's retry keeps its place
        if self.outcome.ordered { None } else { self.due_at() }
    }

    fn finished_at(&self) -> Option<i64> {
        (self.status != DeliveryStatus::Pending.code()).then_some(self.outcome.finished_at.0)
    }

    fn response_code(&self) -> Option<i32> {
        self.stored.response_code.map(i32::from)
    }
}

#[derive(QueryableByName)]
struct UpdatedId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

fn update_deliveries(postgres: &mut PgConnection, attempts: &[Attempt<'_>]) -> QueryResult<HashSet<i64>> {
    fn column<'a, T>(attempts: &'a [Attempt<'a>], value: impl Fn(&'a Attempt<'a>) -> T) -> Vec<T> {
        attempts.iter().map(value).collect()
    }
    let updated: Vec<UpdatedId> = diesel::sql_query(
        "UPDATE deliveries SET status = new.status, attempt_count = new.number, \
         queued_at = COALESCE(new.queued_at, deliveries.queued_at), due_at = COALESCE(new.due_at, deliveries.due_at), \
         finished_at = new.finished_at, response_code = new.response_code, error = new.error, \
         attempt_started_at = new.started_at, attempt_duration_ms = new.duration_ms, attempt_detail = new.detail \
         FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS new (id, organization_id, number, status, \
         queued_at, due_at, finished_at, response_code, error, started_at, duration_ms, detail) \
         WHERE deliveries.id = new.id AND deliveries.organization_id = new.organization_id \
         AND deliveries.status = 0 AND deliveries.attempt_count < new.number RETURNING deliveries.id",
    )
    .bind::<Array<BigInt>, _>(column(attempts, |attempt| attempt.outcome.delivery_id.0))
    .bind::<Array<BigInt>, _>(column(attempts, |attempt| attempt.outcome.organization_id.0))
    .bind::<Array<Integer>, _>(column(attempts, Attempt::number))
    .bind::<Array<SmallInt>, _>(column(attempts, |attempt| attempt.status))
    .bind::<Array<Nullable<BigInt>>, _>(column(attempts, Attempt::queued_at))
    .bind::<Array<Nullable<BigInt>>, _>(column(attempts, Attempt::due_at))
    .bind::<Array<Nullable<BigInt>>, _>(column(attempts, Attempt::finished_at))
    .bind::<Array<Nullable<Integer>>, _>(column(attempts, Attempt::response_code))
    .bind::<Array<Nullable<Text>>, _>(column(attempts, |attempt| attempt.stored.error.as_deref()))
    .bind::<Array<Nullable<BigInt>>, _>(column(attempts, |attempt| {
        attempt.in_delivery.then_some(attempt.stored.started_at.0)
    }))
    .bind::<Array<Nullable<BigInt>>, _>(column(attempts, |attempt| {
        attempt.in_delivery.then_some(attempt.stored.duration_ms)
    }))
    .bind::<Array<Nullable<Binary>>, _>(column(attempts, |attempt| {
        attempt.in_delivery.then_some(attempt.stored.detail.as_slice())
    }))
    .get_results(postgres)?;
    Ok(updated.into_iter().map(|row| row.id).collect())
}

fn insert_attempts(postgres: &mut PgConnection, attempts: &[&Attempt<'_>]) -> QueryResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO attempts (delivery_id, number, organization_id, started_at, duration_ms, response_code, error, \
         detail) SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Array<BigInt>, _>(attempts.iter().map(|attempt| attempt.outcome.delivery_id.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(attempts.iter().map(|attempt| attempt.number()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(
        attempts.iter().map(|attempt| attempt.outcome.organization_id.0).collect::<Vec<_>>(),
    )
    .bind::<Array<BigInt>, _>(attempts.iter().map(|attempt| attempt.stored.started_at.0).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(attempts.iter().map(|attempt| attempt.stored.duration_ms).collect::<Vec<_>>())
    .bind::<Array<Nullable<Integer>>, _>(
        attempts.iter().map(|attempt| attempt.response_code()).collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Text>>, _>(
        attempts.iter().map(|attempt| attempt.stored.error.as_deref()).collect::<Vec<_>>(),
    )
    .bind::<Array<Binary>, _>(attempts.iter().map(|attempt| attempt.stored.detail.as_slice()).collect::<Vec<_>>())
    .execute(postgres)?;
    Ok(())
}
