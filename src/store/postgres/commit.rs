//! A commit as one statement: events, their deliveries and keys, and the outcomes of earlier deliveries.
//!
//! A statement by itself is a transaction, so a commit is one round trip: Diesel returns when the server has
//! reported the end of the transaction (`ReadyForQuery`), which is after it is on disk. Its text is one of a
//! few, so that the server has it parsed and planned already (see `WRITER_SESSION`).

use std::collections::HashSet;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Binary, HasSqlType, Integer, Nullable, SmallInt, Text};

use super::super::detail::StoredAttempt;
use super::super::{NewEvent, WriteBatch};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::time::UnixMillis;

/// Whether a batch fits one statement: no part of it has to see what another part has written.
pub(in super::super) fn is_one_statement(batch: &WriteBatch) -> bool {
    let WriteBatch { events, outcomes, health, disable, statistics, failures } = batch;
    let new: Vec<&NewEvent> = events.iter().collect();
    let is_plain = statistics.is_empty() && failures.is_empty() && health.is_empty() && disable.is_empty();
    is_plain && rounds(&new, outcomes).len() == 1
}

/// Stores events and records outcomes; `true` for each outcome whose delivery was still pending and did not have this
/// attempt yet.
pub(in super::super) fn write(
    postgres: &mut PgConnection,
    stored: &[&NewEvent],
    outcomes: &[Outcome],
    now: UnixMillis,
) -> QueryResult<Vec<bool>> {
    let mut recorded = vec![false; outcomes.len()];
    let mut stored = stored;
    for round in rounds(stored, outcomes) {
        let attempts: Vec<StoredOutcome<'_>> =
            round.iter().map(|&place| StoredOutcome::of(&outcomes[place])).collect();
        let statement = CommitStatement::new(stored, &attempts, now);
        let updated = statement.get_result::<Option<Vec<i64>>>(postgres)?.unwrap_or_default();
        if updated.len() == round.len() {
            round.iter().for_each(|&place| recorded[place] = true);
        } else {
            let updated: HashSet<i64> = updated.into_iter().collect();
            round.iter().for_each(|&place| recorded[place] = updated.contains(&outcomes[place].delivery_id.0));
        }
        stored = &[];
    }
    Ok(recorded)
}

/// The indexes of outcomes, split into rounds so that a statement updates a row only once, and none that it
/// inserts. In the order of ids, so that the rows of a page are written one after the other. There is always a
/// first round, even an empty one: it stores the events.
fn rounds(stored: &[&NewEvent], outcomes: &[Outcome]) -> Vec<Vec<usize>> {
    let first_new = stored.iter().flat_map(|new| &new.deliveries).map(|(id, _)| *id).min();
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    order.sort_by_key(|&place| outcomes[place].delivery_id);
    let mut rounds = vec![Vec::with_capacity(outcomes.len())];
    let mut last: Option<(DeliveryId, usize)> = None;
    for place in order {
        let id = outcomes[place].delivery_id;
        let round = match last {
            Some((last_id, round)) if last_id == id => round + 1,
            _ => usize::from(first_new.is_some_and(|first_new| id >= first_new)),
        };
        last = Some((id, round));
        if rounds.len() <= round {
            rounds.resize_with(round + 1, Vec::new);
        }
        rounds[round].push(place);
    }
    rounds
}

/// An outcome with the columns that are stored of it.
struct StoredOutcome<'a> {
    outcome: &'a Outcome,
    stored: StoredAttempt,
    status: i16,
}

impl<'a> StoredOutcome<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let status = match outcome.next {
            NextStep::Succeeded => DeliveryStatus::Success,
            NextStep::Failed => DeliveryStatus::Failed,
            NextStep::RetryAt(_) | NextStep::UncountedRetryAt(_) => DeliveryStatus::Pending,
        };
        Self { outcome, stored: StoredAttempt::of(outcome), status: status.code() }
    }

    fn due_at(&self) -> Option<i64> {
        self.outcome.next.due_at().map(|at| at.0)
    }

    fn not_counted(&self) -> i32 {
        i32::from(matches!(self.outcome.next, NextStep::UncountedRetryAt(_)))
    }

    fn queued_at(&self) -> Option<i64> {
        // an ordered endpoint's retry keeps its place in the queue
        if self.outcome.ordered { None } else { self.due_at() }
    }

    fn finished_at(&self) -> Option<i64> {
        (self.status != DeliveryStatus::Pending.code()).then_some(self.outcome.finished_at.0)
    }
}

fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

#[derive(Default)]
struct EventArrays<'a> {
    id: Vec<i64>,
    organization_id: Vec<i64>,
    event_type: Vec<&'a str>,
    occurred_at: Vec<i64>,
    accepted_at: Vec<i64>,
    last_delivery_id: Vec<i64>,
    delivery_count: Vec<i32>,
    body: Vec<&'a [u8]>,
}

impl<'a> EventArrays<'a> {
    fn of(stored: &'a [&NewEvent]) -> Self {
        Self {
            id: column(stored, |new| new.event.id.0),
            organization_id: column(stored, |new| new.event.organization_id.0),
            event_type: column(stored, |new| new.event.event_type.as_str()),
            occurred_at: column(stored, |new| new.event.occurred_at.0),
            accepted_at: column(stored, |new| new.event.accepted_at.0),
            last_delivery_id: column(stored, |new| new.deliveries.last().map_or(new.event.id.0, |(id, _)| id.0)),
            delivery_count: column(stored, |new| i32::try_from(new.deliveries.len()).unwrap_or(i32::MAX)),
            body: column(stored, |new| new.event.body.as_ref()),
        }
    }

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_event AS (INSERT INTO events (id, organization_id, event_type, occurred_at, accepted_at, \
             last_delivery_id, delivery_count, body) SELECT * FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.event_type)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.occurred_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.accepted_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.last_delivery_id)?;
        bind::<Array<Integer>, _>(out, ", ", &self.delivery_count)?;
        bind::<Array<Binary>, _>(out, ", ", &self.body)?;
        out.push_sql(")), ");
        Ok(())
    }
}

#[derive(Default)]
struct DeliveryArrays {
    id: Vec<i64>,
    organization_id: Vec<i64>,
    endpoint_id: Vec<i64>,
    event_id: Vec<i64>,
    partition: Vec<i16>,
    accepted_at: Vec<i64>,
}

impl DeliveryArrays {
    fn of(stored: &[&NewEvent]) -> Self {
        let mut columns = Self::default();
        for new in stored {
            for (id, endpoint_id) in &new.deliveries {
                columns.id.push(id.0);
                columns.organization_id.push(new.event.organization_id.0);
                columns.endpoint_id.push(endpoint_id.0);
                columns.event_id.push(new.event.id.0);
                columns.partition.push(endpoint_id.partition());
                columns.accepted_at.push(new.event.accepted_at.0);
            }
        }
        columns
    }

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_delivery AS (INSERT INTO deliveries (id, organization_id, endpoint_id, event_id, partition, \
             created_at, queued_at, due_at) SELECT id, organization_id, endpoint_id, event_id, partition, \
             accepted_at, accepted_at, accepted_at FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.endpoint_id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.event_id)?;
        bind::<Array<SmallInt>, _>(out, ", ", &self.partition)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.accepted_at)?;
        out.push_sql(") AS new (id, organization_id, endpoint_id, event_id, partition, accepted_at)), ");
        Ok(())
    }
}

/// The keys of events; an expired one is overwritten.
#[derive(Default)]
struct KeyArrays<'a> {
    organization_id: Vec<i64>,
    key: Vec<&'a str>,
    request_hash: Vec<&'a [u8]>,
    event_id: Vec<i64>,
    event_type: Vec<&'a str>,
    occurred_at: Vec<i64>,
    delivery_count: Vec<i32>,
    created_at: i64,
}

impl<'a> KeyArrays<'a> {
    fn of(stored: &[&'a NewEvent], now: UnixMillis) -> Self {
        let mut columns = Self { created_at: now.0, ..Self::default() };
        for new in stored {
            if let Some(idempotency) = &new.idempotency {
                columns.organization_id.push(new.event.organization_id.0);
                columns.key.push(&idempotency.key);
                columns.request_hash.push(&idempotency.request_hash);
                columns.event_id.push(new.event.id.0);
                columns.event_type.push(&new.event.event_type);
                columns.occurred_at.push(new.event.occurred_at.0);
                columns.delivery_count.push(i32::try_from(new.deliveries.len()).unwrap_or(i32::MAX));
            }
        }
        columns
    }

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_key AS (INSERT INTO idempotency_keys (organization_id, key, request_hash, event_id, event_type, \
             occurred_at, delivery_count, created_at) SELECT new.*, ",
        );
        out.push_bind_param::<BigInt, _>(&self.created_at)?;
        out.push_sql(" FROM UNNEST(");
        bind::<Array<BigInt>, _>(out, "", &self.organization_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.key)?;
        bind::<Array<Binary>, _>(out, ", ", &self.request_hash)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.event_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.event_type)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.occurred_at)?;
        bind::<Array<Integer>, _>(out, ", ", &self.delivery_count)?;
        out.push_sql(
            ") AS new ON CONFLICT (organization_id, key) DO UPDATE SET request_hash = excluded.request_hash, \
             event_id = excluded.event_id, event_type = excluded.event_type, occurred_at = excluded.occurred_at, \
             delivery_count = excluded.delivery_count, created_at = excluded.created_at), ",
        );
        Ok(())
    }
}

#[derive(Default)]
struct AttemptArrays<'a> {
    id: Vec<i64>,
    organization_id: Vec<i64>,
    number: Vec<i32>,
    status: Vec<i16>,
    queued_at: Vec<Option<i64>>,
    due_at: Vec<Option<i64>>,
    not_counted: Vec<i32>,
    finished_at: Vec<Option<i64>>,
    response_code: Vec<Option<i32>>,
    error: Vec<Option<&'a str>>,
    started_at: Vec<i64>,
    duration_ms: Vec<i64>,
    detail: Vec<&'a [u8]>,
}

impl<'a> AttemptArrays<'a> {
    fn of(attempts: &'a [StoredOutcome<'a>]) -> Self {
        Self {
            id: column(attempts, |attempt| attempt.outcome.delivery_id.0),
            organization_id: column(attempts, |attempt| attempt.outcome.organization_id.0),
            number: column(attempts, |attempt| i32::try_from(attempt.outcome.number).unwrap_or(i32::MAX)),
            status: column(attempts, |attempt| attempt.status),
            queued_at: column(attempts, StoredOutcome::queued_at),
            due_at: column(attempts, StoredOutcome::due_at),
            not_counted: column(attempts, StoredOutcome::not_counted),
            finished_at: column(attempts, StoredOutcome::finished_at),
            response_code: column(attempts, |attempt| attempt.stored.response_code.map(i32::from)),
            error: column(attempts, |attempt| attempt.stored.error.as_deref()),
            started_at: column(attempts, |attempt| attempt.stored.started_at.0),
            duration_ms: column(attempts, |attempt| attempt.stored.duration_ms),
            detail: column(attempts, |attempt| attempt.stored.detail.as_slice()),
        }
    }

    /// A first attempt that finishes its delivery is stored in the delivery's own row, any other one in a row
    /// of its own.
    ///
    /// `ANY (ARRAY[..])` and `<= 0` leave the server one way to find the rows: by their keys. With `=` it could
    /// also read the whole index of pending deliveries, or the primary key: right while there are few rows,
    /// which is when it makes the first plan.
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "updated AS (UPDATE deliveries SET status = new.status, attempt_count = new.number, \
             queued_at = COALESCE(new.queued_at, deliveries.queued_at), \
             due_at = COALESCE(new.due_at, deliveries.due_at), \
             attempts_before_round = deliveries.attempts_before_round + new.not_counted, \
             finished_at = new.finished_at, \
             response_code = new.response_code, error = new.error, \
             attempt_started_at = CASE WHEN new.number = 1 AND new.status <> 0 THEN new.started_at END, \
             attempt_duration_ms = CASE WHEN new.number = 1 AND new.status <> 0 THEN new.duration_ms END, \
             attempt_detail = CASE WHEN new.number = 1 AND new.status <> 0 THEN new.detail END FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<Integer>, _>(out, ", ", &self.number)?;
        bind::<Array<SmallInt>, _>(out, ", ", &self.status)?;
        bind::<Array<Nullable<BigInt>>, _>(out, ", ", &self.queued_at)?;
        bind::<Array<Nullable<BigInt>>, _>(out, ", ", &self.due_at)?;
        bind::<Array<Integer>, _>(out, ", ", &self.not_counted)?;
        bind::<Array<Nullable<BigInt>>, _>(out, ", ", &self.finished_at)?;
        bind::<Array<Nullable<Integer>>, _>(out, ", ", &self.response_code)?;
        bind::<Array<Nullable<Text>>, _>(out, ", ", &self.error)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.started_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.duration_ms)?;
        bind::<Array<Binary>, _>(out, ", ", &self.detail)?;
        out.push_sql(
            ") AS new (id, organization_id, number, status, queued_at, due_at, not_counted, finished_at, \
             response_code, error, started_at, duration_ms, detail) WHERE deliveries.id = ANY (ARRAY[new.id]) \
             AND deliveries.organization_id = new.organization_id AND deliveries.status <= 0 \
             AND deliveries.attempt_count < new.number \
             RETURNING deliveries.id, new.number, new.organization_id, new.started_at, new.duration_ms, \
             new.response_code, new.error, \
             CASE WHEN new.number > 1 OR new.status = 0 THEN new.detail END AS own_detail), \
             own_row AS (INSERT INTO attempts (delivery_id, number, organization_id, started_at, duration_ms, \
             response_code, error, detail) SELECT * FROM updated WHERE own_detail IS NOT NULL) \
             SELECT ARRAY_AGG(id) FROM updated",
        );
        Ok(())
    }
}

fn bind<'b, T, V>(out: &mut AstPass<'_, 'b, Pg>, separator: &str, value: &'b V) -> QueryResult<()>
where
    Pg: HasSqlType<T>,
    V: ToSql<T, Pg>,
{
    out.push_sql(separator);
    out.push_bind_param::<T, V>(value)
}

/// The statement of a batch; parts with nothing to write are not in the text.
struct CommitStatement<'a> {
    events: EventArrays<'a>,
    deliveries: DeliveryArrays,
    keys: KeyArrays<'a>,
    attempts: AttemptArrays<'a>,
}

impl<'a> CommitStatement<'a> {
    fn new(stored: &'a [&NewEvent], attempts: &'a [StoredOutcome<'a>], now: UnixMillis) -> Self {
        Self {
            events: EventArrays::of(stored),
            deliveries: DeliveryArrays::of(stored),
            keys: KeyArrays::of(stored, now),
            attempts: AttemptArrays::of(attempts),
        }
    }
}

impl QueryFragment<Pg> for CommitStatement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        if !self.events.id.is_empty() {
            self.events.push(&mut out)?;
        }
        if !self.deliveries.id.is_empty() {
            self.deliveries.push(&mut out)?;
        }
        if !self.keys.key.is_empty() {
            self.keys.push(&mut out)?;
        }
        if self.attempts.id.is_empty() {
            out.push_sql("updated AS (SELECT 0) SELECT NULL::BIGINT[] FROM updated");
            return Ok(());
        }
        self.attempts.push(&mut out)
    }
}

impl Query for CommitStatement<'_> {
    /// The ids of the updated deliveries; `NULL` when there are none.
    type SqlType = Nullable<Array<BigInt>>;
}

/// Identified by its text.
impl QueryId for CommitStatement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for CommitStatement<'_> {}
