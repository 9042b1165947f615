//! A commit as one statement: events, their deliveries and keys, and the outcomes of earlier deliveries.
//!
//! A statement by itself is a transaction, so a commit is one round trip: Diesel returns when the server has
//! reported the end of the transaction (`ReadyForQuery`), which is after it is on disk. Its text is one of a
//! few, so that the server has it parsed and planned already (see `WRITER_SESSION`).

mod conditions;
mod labels;

use std::collections::HashSet;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Binary, Bool, HasSqlType, Integer, Nullable, SmallInt, Text};

use self::conditions::{Conditions, IS_HELD};
use self::labels::LabelArrays;
use super::super::detail::StoredAttempt;
use super::super::fence::Fence;
use super::super::new_key::NewKey;
use super::super::{ChangeNumber, IDEMPOTENCY_KEY_LIFETIME, NewEvent, StoreError, StoreResult, WriteBatch};
use crate::domain::attempt::{NextStep, Outcome};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Whether a batch fits one statement: no part of it has to see what another part has written.
pub(in super::super) fn is_one_statement(batch: &WriteBatch) -> bool {
    let WriteBatch { events, matched_at: _, outcomes, health, disable, statistics, failures, notices } = batch;
    let new: Vec<&NewEvent> = events.iter().collect();
    let is_plain = statistics.is_empty() && failures.is_empty() && health.is_empty() && disable.is_empty();
    let is_plain = is_plain && notices.is_empty();
    is_plain && rounds(&new, outcomes).len() == 1
}

/// Events to store, with the keys that they use up.
///
/// A key that somebody else has used meanwhile is not overwritten, and its event not stored: the insert of the key decides,
/// not that it was looked for before.
#[derive(Clone, Copy)]
pub(in super::super) struct NewRows<'a> {
    pub(in super::super) events: &'a [&'a NewEvent],
    pub(in super::super) keys: &'a [NewKey<'a>],
    /// Nothing is stored for an organization whose settings were changed behind this; `None`: that is known already.
    pub(in super::super) matched_at: Option<ChangeNumber>,
}

/// What was written.
pub(in super::super) struct WrittenRows {
    /// One for each outcome: whether its delivery was still pending and did not have this attempt yet.
    pub(in super::super) outcomes_recorded: Vec<bool>,
    /// Organizations whose events were not stored: see [`NewRows::matched_at`].
    outdated: HashSet<OrganizationId>,
    /// Events whose keys were used by somebody else.
    without_key: HashSet<EventId>,
}

impl WrittenRows {
    /// Whether a new event was stored.
    pub(in super::super) fn has_stored(&self, event: &Event) -> bool {
        !self.outdated.contains(&event.organization_id) && !self.without_key.contains(&event.id)
    }
}

/// The ids of updated deliveries, the organizations with changed settings, and the events whose keys were used by somebody
/// else; `None` when there are none. And whether the fence was held: if not, nothing was written.
type StatementResult = (Option<Vec<i64>>, Option<Vec<i64>>, Option<Vec<i64>>, bool);

/// Stores events and records outcomes.
pub(in super::super) fn write(
    postgres: &mut PgConnection,
    mut new: NewRows<'_>,
    outcomes: &[Outcome],
    fence: Option<Fence>,
    now: UnixMillis,
) -> StoreResult<WrittenRows> {
    let mut recorded = vec![false; outcomes.len()];
    let mut written =
        WrittenRows { outcomes_recorded: Vec::new(), outdated: HashSet::new(), without_key: HashSet::new() };
    for round in rounds(new.events, outcomes) {
        let attempts: Vec<StoredOutcome<'_>> =
            round.iter().map(|&place| StoredOutcome::of(&outcomes[place])).collect();
        let statement = CommitStatement::new(new, &attempts, fence, now);
        let (updated, changed, without_key, is_held): StatementResult = statement.get_result(postgres)?;
        if !is_held {
            return Err(StoreError::Fenced);
        }
        let updated = updated.unwrap_or_default();
        written.outdated.extend(changed.unwrap_or_default().into_iter().map(OrganizationId));
        written.without_key.extend(without_key.unwrap_or_default().into_iter().map(EventId));
        if updated.len() == round.len() {
            round.iter().for_each(|&place| recorded[place] = true);
        } else {
            let updated: HashSet<i64> = updated.into_iter().collect();
            round.iter().for_each(|&place| recorded[place] = updated.contains(&outcomes[place].delivery_id.0));
        }
        new = NewRows { events: &[], keys: &[], matched_at: None };
    }
    written.outcomes_recorded = recorded;
    Ok(written)
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
    trace: Vec<Option<String>>,
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
            trace: column(stored, |new| new.event.trace.as_ref().map(|trace| trace.to_stored())),
        }
    }

    fn push<'b>(&'b self, conditions: Conditions, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_event AS (INSERT INTO events (id, organization_id, event_type, occurred_at, accepted_at, \
             last_delivery_id, delivery_count, body, trace) SELECT * FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.event_type)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.occurred_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.accepted_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.last_delivery_id)?;
        bind::<Array<Integer>, _>(out, ", ", &self.delivery_count)?;
        bind::<Array<Binary>, _>(out, ", ", &self.body)?;
        bind::<Array<Nullable<Text>>, _>(out, ", ", &self.trace)?;
        out.push_sql(
            ") AS new (id, organization_id, event_type, occurred_at, accepted_at, last_delivery_id, delivery_count, body, \
             trace)",
        );
        conditions.push_for_events("id", out);
        out.push_sql("), ");
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
    due_at: Vec<i64>,
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
                columns.due_at.push(new.due_at().0);
            }
        }
        columns
    }

    fn push<'b>(&'b self, conditions: Conditions, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "new_delivery AS (INSERT INTO deliveries (id, organization_id, endpoint_id, event_id, partition, \
             created_at, queued_at, due_at) SELECT id, organization_id, endpoint_id, event_id, partition, \
             accepted_at, due_at, due_at FROM UNNEST(",
        );
        bind::<Array<BigInt>, _>(out, "", &self.id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.organization_id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.endpoint_id)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.event_id)?;
        bind::<Array<SmallInt>, _>(out, ", ", &self.partition)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.accepted_at)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.due_at)?;
        out.push_sql(") AS new (id, organization_id, endpoint_id, event_id, partition, accepted_at, due_at)");
        conditions.push_for_events("event_id", out);
        out.push_sql("), ");
        Ok(())
    }
}

/// Keys; only an expired one is overwritten.
#[derive(Default)]
struct KeyArrays<'a> {
    organization_id: Vec<i64>,
    key: Vec<&'a str>,
    request_hash: Vec<&'a [u8]>,
    event_id: Vec<i64>,
    event_type: Vec<&'a str>,
    occurred_at: Vec<i64>,
    delivery_count: Vec<i32>,
    is_of_batch: Vec<bool>,
    first_of_batch: Vec<i64>,
    created_at: i64,
    /// Keys that were used then or earlier have expired.
    expired_at: i64,
}

impl<'a> KeyArrays<'a> {
    fn of(keys: &'a [NewKey<'a>], now: UnixMillis) -> Self {
        Self {
            organization_id: keys.iter().map(|new| new.organization_id).collect(),
            key: keys.iter().map(|new| &*new.key).collect(),
            request_hash: keys.iter().map(|new| new.request_hash.as_slice()).collect(),
            event_id: keys.iter().map(|new| new.event_id).collect(),
            event_type: keys.iter().map(|new| new.event_type).collect(),
            occurred_at: keys.iter().map(|new| new.occurred_at).collect(),
            delivery_count: keys.iter().map(|new| new.delivery_count).collect(),
            is_of_batch: keys.iter().map(|new| new.is_of_batch).collect(),
            first_of_batch: keys.iter().map(|new| new.first_of_batch).collect(),
            created_at: now.0,
            expired_at: (now - IDEMPOTENCY_KEY_LIFETIME).0,
        }
    }

    fn push<'b>(&'b self, conditions: Conditions, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("sent_key AS MATERIALIZED (SELECT * FROM UNNEST(");
        bind::<Array<BigInt>, _>(out, "", &self.organization_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.key)?;
        bind::<Array<Binary>, _>(out, ", ", &self.request_hash)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.event_id)?;
        bind::<Array<Text>, _>(out, ", ", &self.event_type)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.occurred_at)?;
        bind::<Array<Integer>, _>(out, ", ", &self.delivery_count)?;
        bind::<Array<Bool>, _>(out, ", ", &self.is_of_batch)?;
        bind::<Array<BigInt>, _>(out, ", ", &self.first_of_batch)?;
        out.push_sql(
            ") AS new (organization_id, key, request_hash, event_id, event_type, occurred_at, delivery_count, \
             is_of_batch, first_of_batch)",
        );
        conditions.push_for_keys(out);
        // in one order, so that two commits with the same keys don't wait for each other
        out.push_sql(" ORDER BY organization_id, key), ");
        self.push_insert("new_batch_key", "WHERE is_of_batch", out)?;
        out.push_sql(
            "without_batch_key AS MATERIALIZED (SELECT event_id FROM sent_key WHERE is_of_batch \
             AND NOT EXISTS (SELECT 1 FROM new_batch_key used WHERE used.organization_id = sent_key.organization_id \
             AND used.key = sent_key.key)), ",
        );
        // no key may stay of an event that is not stored
        let if_batch_has =
            "WHERE NOT is_of_batch AND first_of_batch NOT IN (SELECT event_id FROM without_batch_key)";
        self.push_insert("new_key", if_batch_has, out)?;
        out.push_sql(
            "without_key AS MATERIALIZED (SELECT event_id FROM sent_key WHERE NOT is_of_batch \
             AND NOT EXISTS (SELECT 1 FROM new_key used WHERE used.organization_id = sent_key.organization_id \
             AND used.key = sent_key.key)), ",
        );
        Ok(())
    }

    /// Inserts some of the keys that were sent; those that it inserted are rows of `name`.
    fn push_insert<'b>(&'b self, name: &str, which: &str, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(name);
        out.push_sql(
            " AS (INSERT INTO idempotency_keys AS used (organization_id, key, request_hash, event_id, event_type, \
             occurred_at, delivery_count, created_at) SELECT organization_id, key, request_hash, event_id, event_type, \
             occurred_at, delivery_count, ",
        );
        out.push_bind_param::<BigInt, _>(&self.created_at)?;
        out.push_sql(" FROM sent_key ");
        out.push_sql(which);
        out.push_sql(
            " ON CONFLICT (organization_id, key) DO UPDATE SET request_hash = excluded.request_hash, \
             event_id = excluded.event_id, event_type = excluded.event_type, occurred_at = excluded.occurred_at, \
             delivery_count = excluded.delivery_count, created_at = excluded.created_at \
             WHERE used.event_type IS NULL OR used.created_at <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.expired_at)?;
        out.push_sql(" RETURNING used.organization_id, used.key), ");
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
    fn push<'b>(&'b self, conditions: Conditions, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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
             AND deliveries.attempt_count < new.number",
        );
        if conditions.on_fence {
            out.push_sql(" AND ");
            out.push_sql(IS_HELD);
        }
        out.push_sql(
            " RETURNING deliveries.id, new.number, new.organization_id, new.started_at, new.duration_ms, \
             new.response_code, new.error, \
             CASE WHEN new.number > 1 OR new.status = 0 THEN new.detail END AS own_detail), \
             own_row AS (INSERT INTO attempts (delivery_id, number, organization_id, started_at, duration_ms, \
             response_code, error, detail) SELECT * FROM updated WHERE own_detail IS NOT NULL) \
             SELECT (SELECT ARRAY_AGG(id) FROM updated), ",
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
    fence: Option<Fence>,
    matched_at: Option<i64>,
    events: EventArrays<'a>,
    deliveries: DeliveryArrays,
    labels: LabelArrays<'a>,
    keys: KeyArrays<'a>,
    attempts: AttemptArrays<'a>,
}

impl<'a> CommitStatement<'a> {
    fn new(new: NewRows<'a>, attempts: &'a [StoredOutcome<'a>], fence: Option<Fence>, now: UnixMillis) -> Self {
        Self {
            fence,
            matched_at: new.matched_at.filter(|_| !new.events.is_empty()).map(|number| number.0),
            events: EventArrays::of(new.events),
            deliveries: DeliveryArrays::of(new.events),
            labels: LabelArrays::of(new.events),
            keys: KeyArrays::of(new.keys, now),
            attempts: AttemptArrays::of(attempts),
        }
    }
}

impl QueryFragment<Pg> for CommitStatement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        let conditions = Conditions {
            on_fence: self.fence.is_some(),
            on_settings: self.matched_at.is_some(),
            on_keys: !self.keys.key.is_empty(),
        };
        if let Some(fence) = &self.fence {
            out.push_sql("fence AS MATERIALIZED (SELECT slot FROM cluster_fences WHERE slot = ");
            out.push_bind_param::<SmallInt, _>(&fence.slot)?;
            out.push_sql(" AND generation = ");
            out.push_bind_param::<BigInt, _>(&fence.generation)?;
            out.push_sql(" FOR SHARE), ");
        }
        if let Some(matched_at) = &self.matched_at {
            out.push_sql("outdated AS MATERIALIZED (SELECT organization_id FROM setting_changes WHERE number > ");
            out.push_bind_param::<BigInt, _>(matched_at)?;
            out.push_sql("), ");
        }
        if conditions.on_keys {
            self.keys.push(conditions, &mut out)?;
        }
        if !self.events.id.is_empty() {
            self.events.push(conditions, &mut out)?;
        }
        if !self.deliveries.id.is_empty() {
            self.deliveries.push(conditions, &mut out)?;
        }
        if !self.labels.is_empty() {
            self.labels.push(conditions, &mut out)?;
        }
        match self.attempts.id.is_empty() {
            true => out.push_sql("updated AS (SELECT 0) SELECT NULL::BIGINT[], "),
            false => self.attempts.push(conditions, &mut out)?,
        }
        let array = |is_there, query| if is_there { query } else { "NULL::BIGINT[]" };
        out.push_sql(array(conditions.on_settings, "(SELECT ARRAY_AGG(organization_id) FROM outdated)"));
        out.push_sql(", ");
        out.push_sql(array(conditions.on_keys, "(SELECT ARRAY_AGG(event_id) FROM without_key)"));
        out.push_sql(", ");
        out.push_sql(if conditions.on_fence { IS_HELD } else { "TRUE" });
        Ok(())
    }
}

impl Query for CommitStatement<'_> {
    /// As in [`StatementResult`].
    type SqlType = (Nullable<Array<BigInt>>, Nullable<Array<BigInt>>, Nullable<Array<BigInt>>, Bool);
}

/// Identified by its text.
impl QueryId for CommitStatement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for CommitStatement<'_> {}
