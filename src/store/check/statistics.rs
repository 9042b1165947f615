//! The counts that charts are drawn from.
//!
//! A count is written up to some seconds after its attempt, and lost when the engine is killed before: fewer than there are attempts
//! is not wrong. More is, where all attempts must still be there: those of an organization that is younger than the retention.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt};

use super::super::StoreResult;
use super::super::connection::{AnyConnection, in_transaction};
use super::{CheckEvent, CheckTerms, Checked, LastRow, Wrong};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::statistics::{LatencyCounts, period_start};
use crate::domain::time::UnixMillis;

/// Counts in memory at a time. Smaller: the table is read more often. Larger: more memory, some hundred bytes for each.
const ROWS_A_BATCH: u64 = 50_000;
/// Deliveries that one statement reads. Smaller: more statements. Larger: a statement on PostgreSQL takes longer.
const DELIVERIES_A_PAGE: usize = 10_000;
/// How much later than it ended an attempt that was retried may have been counted: its row has only its beginning and its duration.
/// Smaller: a busy engine, or a clock that was set, looks like a wrong count. Larger: wrong counts are overlooked.
const SLACK_MS: i64 = 60_000;

/// Retention removes no count that is younger. Smaller: wrong sums of the oldest period are overlooked. Larger: sums that retention is
/// removing look wrong.
const SURELY_KEPT: Duration = Duration::from_secs(86_400);

#[derive(QueryableByName)]
struct DurationsRow {
    #[diesel(sql_type = BigInt)]
    period_start: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = SmallInt)]
    node: i16,
    #[diesel(sql_type = Binary)]
    latency: Vec<u8>,
}

impl DurationsRow {
    fn owner(&self) -> String {
        match self.endpoint_id {
            0 => format!("the sum of {}", OrganizationId(self.organization_id)),
            id => EndpointId(id).to_string(),
        }
    }
}

fn durations(connection: &mut AnyConnection, condition: &str) -> StoreResult<Vec<DurationsRow>> {
    let sql = format!(
        "SELECT period_start, organization_id, endpoint_id, node, latency FROM delivery_statistics WHERE {condition} \
         ORDER BY period_start"
    );
    let mut found = Vec::new();
    let mut look = |row: DurationsRow| found.extend(LatencyCounts::decode(&row.latency).is_err().then_some(row));
    each!(connection, sql, DurationsRow, look);
    Ok(found)
}

/// A row whose durations can't be read keeps every chart from being shown that it is in.
pub(super) fn unreadable_durations(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let found = durations(connection, &format!("period_start > {after} AND period_start <= {last}"))?;
    Ok(found.iter().map(|row| Wrong { key: row.period_start, why: row.owner() }).collect())
}

pub(super) fn forget_durations(
    connection: &mut AnyConnection,
    periods: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let mut did = Vec::new();
    for period in periods {
        for row in durations(connection, &format!("period_start = {period}"))? {
            let DurationsRow { organization_id, endpoint_id, node, .. } = &row;
            diesel::sql_query(format!(
                "UPDATE delivery_statistics SET latency = {} WHERE period_start = {period} \
                 AND organization_id = {organization_id} AND endpoint_id = {endpoint_id} AND node = {node}",
                no_bytes(connection)
            ))
            .execute(connection)?;
            did.push(format!(
                "{}: its durations of the five minutes from {} are lost, its counts stay",
                row.owner(),
                UnixMillis(*period)
            ));
        }
    }
    Ok(did)
}

fn no_bytes(connection: &AnyConnection) -> &'static str {
    match connection {
        AnyConnection::Sqlite(_) => "x''",
        AnyConnection::Postgres(_) => "''::BYTEA",
    }
}

/// Runs a statement for each period; says what it has changed.
fn in_periods(
    connection: &mut AnyConnection,
    periods: &[i64],
    statement: impl Fn(i64) -> String,
    what: &str,
) -> StoreResult<Vec<String>> {
    let mut did = Vec::new();
    for &period in periods {
        let rows = diesel::sql_query(statement(period)).execute(connection)?;
        if rows > 0 {
            did.push(format!("{rows} counts of the five minutes from {}: {what}", UnixMillis(period)));
        }
    }
    Ok(did)
}

pub(super) fn delete_of_none(
    connection: &mut AnyConnection,
    periods: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let statement = |period| {
        format!(
            "DELETE FROM delivery_statistics WHERE period_start = {period} \
             AND NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = organization_id) \
             AND NOT EXISTS (SELECT 1 FROM deleted_organizations o WHERE o.id = organization_id)"
        )
    };
    in_periods(connection, periods, statement, "their organization is gone, and they are removed")
}

pub(super) fn raise_to_zero(
    connection: &mut AnyConnection,
    periods: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let column = |name| format!("{name} = CASE WHEN {name} < 0 THEN 0 ELSE {name} END");
    let columns = ["succeeded", "failed", "retried"].map(column).join(", ");
    let statement = |period| {
        format!(
            "UPDATE delivery_statistics SET {columns} WHERE period_start = {period} \
             AND (succeeded < 0 OR failed < 0 OR retried < 0)"
        )
    };
    in_periods(connection, periods, statement, "were negative, and are 0 now")
}

#[derive(QueryableByName)]
struct SumRow {
    #[diesel(sql_type = BigInt)]
    period_start: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
}

/// For each period, organization and node: columns `has_…` of its sum, and `should_have_…` of its webhooks.
fn sums(condition: &str) -> String {
    let column = |name: &str| {
        format!(
            ", sum(CASE WHEN t.endpoint_id = 0 THEN t.{name} ELSE 0 END) AS has_{name}, \
             sum(CASE WHEN t.endpoint_id = 0 THEN 0 ELSE t.{name} END) AS should_have_{name}"
        )
    };
    let columns = ["succeeded", "failed", "retried"].map(column).concat();
    format!(
        "SELECT t.period_start, t.organization_id, t.node{columns} FROM delivery_statistics t WHERE {condition} \
         AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = t.organization_id) GROUP BY t.period_start, t.organization_id, t.node"
    )
}

const DIFFER: &str = "s.has_succeeded <> s.should_have_succeeded OR s.has_failed <> s.should_have_failed \
                      OR s.has_retried <> s.should_have_retried";

/// Of the oldest period retention may have removed some.
pub(super) fn wrong_sums(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let kept_since = terms.kept_since().max(terms.now - SURELY_KEPT);
    let sums = sums(&format!(
        "t.period_start > {after} AND t.period_start <= {last} AND (t.period_start > {} \
         OR t.period_start > (SELECT min(m.period_start) FROM delivery_statistics m))",
        kept_since.0
    ));
    let rows: Vec<SumRow> = diesel::sql_query(format!(
        "SELECT s.period_start, s.organization_id FROM ({sums}) s WHERE {DIFFER} ORDER BY s.period_start"
    ))
    .load(connection)?;
    let wrong =
        |row: SumRow| Wrong { key: row.period_start, why: OrganizationId(row.organization_id).to_string() };
    Ok(rows.into_iter().map(wrong).collect())
}

/// Durations of a sum that is missing are lost.
pub(super) fn add_up(connection: &mut AnyConnection, periods: &[i64], _: UnixMillis) -> StoreResult<Vec<String>> {
    let no_bytes = no_bytes(connection);
    let statement = |period| {
        let sums = sums(&format!("t.period_start = {period}"));
        format!(
            "INSERT INTO delivery_statistics (period_start, organization_id, endpoint_id, node, succeeded, failed, retried, latency) \
             SELECT s.period_start, s.organization_id, 0, s.node, CAST(s.should_have_succeeded AS BIGINT), \
             CAST(s.should_have_failed AS BIGINT), CAST(s.should_have_retried AS BIGINT), {no_bytes} \
             FROM ({sums}) s WHERE {DIFFER} \
             ON CONFLICT (period_start, organization_id, endpoint_id, node) DO UPDATE SET succeeded = excluded.succeeded, \
             failed = excluded.failed, retried = excluded.retried"
        )
    };
    in_periods(connection, periods, statement, "are the sums of their webhooks' now")
}

#[derive(QueryableByName)]
struct SizeRow {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    period_start: i64,
    #[diesel(sql_type = BigInt)]
    succeeded: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    duration_ms: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    response_code: Option<i32>,
    #[diesel(sql_type = Nullable<BigInt>)]
    ended_at: Option<i64>,
}

/// The most that can be counted in a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Most {
    succeeded: i64,
    /// Whether another attempt followed or not.
    failed: i64,
}

type Periods = BTreeMap<i64, Most>;

/// Compares counts with the attempts in the log.
pub(super) fn check(
    connection: &mut AnyConnection,
    terms: &CheckTerms,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<Checked> {
    let what = "nothing is counted that is not in the log (organizations younger than the retention)";
    let advice = "charts of these minutes show too much, or attempts are missing: `ringback check --repair`, with the engine stopped, \
                  lowers the counts";
    let mut result = Checked::new("delivery_statistics", what, advice);
    let is_computable = format!(
        "t.endpoint_id <> 0 AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = t.organization_id AND o.created_at > {})",
        terms.kept_since().0
    );
    let mut compared = 0;
    for (first, last) in batches(connection, &is_computable)? {
        // before the attempts, of which there are only more afterwards
        let stored: Vec<StoredRow> = diesel::sql_query(format!(
            "SELECT t.endpoint_id, t.organization_id, t.period_start, CAST(sum(t.succeeded) AS BIGINT) AS succeeded, \
             CAST(sum(t.failed + t.retried) AS BIGINT) AS failed FROM delivery_statistics t \
             WHERE t.endpoint_id >= {first} AND t.endpoint_id <= {last} AND {is_computable} \
             GROUP BY t.endpoint_id, t.organization_id, t.period_start ORDER BY t.endpoint_id, t.period_start"
        ))
        .load(connection)?;
        for stored in stored.chunk_by(|one, other| one.endpoint_id == other.endpoint_id) {
            let mut most: Periods = stored.iter().map(|row| (row.period_start, Most::default())).collect();
            count_attempts(connection, stored[0].endpoint_id, &mut most)?;
            for row in stored {
                compare(connection, row, most[&row.period_start], terms, &mut result, on_event)?;
            }
            compared += stored.len() as u64;
            on_event(CheckEvent::Looked { at: "delivery_statistics", rows: compared });
        }
    }
    result.rows = Some(compared);
    Ok(result)
}

/// Ranges of webhooks, in the order of their ids, with about [`ROWS_A_BATCH`] counts each, or one webhook.
fn batches(connection: &mut AnyConnection, condition: &str) -> StoreResult<Vec<(i64, i64)>> {
    let sizes: Vec<SizeRow> = diesel::sql_query(format!(
        "SELECT t.endpoint_id, count(*) AS n FROM delivery_statistics t WHERE {condition} GROUP BY t.endpoint_id \
         ORDER BY t.endpoint_id"
    ))
    .load(connection)?;
    let mut batches: Vec<(i64, i64)> = Vec::new();
    let mut rows = u64::MAX;
    for SizeRow { endpoint_id, n } in sizes {
        rows = rows.saturating_add(n.unsigned_abs());
        match batches.last_mut().filter(|_| rows <= ROWS_A_BATCH) {
            Some((_, last)) => *last = endpoint_id,
            None => {
                batches.push((endpoint_id, endpoint_id));
                rows = n.unsigned_abs();
            }
        }
    }
    Ok(batches)
}

/// Adds the attempts of a webhook to the periods that are asked for.
fn count_attempts(connection: &mut AnyConnection, endpoint_id: i64, most: &mut Periods) -> StoreResult<()> {
    let mut after = i64::MIN + 1;
    loop {
        let page: LastRow = diesel::sql_query(format!(
            "SELECT max(p.id) AS last, count(*) AS n FROM (SELECT d.id FROM deliveries d WHERE d.endpoint_id = {endpoint_id} \
             AND d.id > {after} ORDER BY d.id LIMIT {DELIVERIES_A_PAGE}) p"
        ))
        .get_result(connection)?;
        let Some(last) = page.last else { return Ok(()) };
        let of_page = format!("d.endpoint_id = {endpoint_id} AND d.id > {after} AND d.id <= {last}");
        let sql = format!(
            "SELECT d.attempt_started_at AS started_at, d.attempt_duration_ms AS duration_ms, d.response_code, \
             CASE WHEN d.status IN (1, 2) THEN d.finished_at END AS ended_at FROM deliveries d WHERE {of_page} \
             AND d.attempt_started_at IS NOT NULL AND d.attempt_duration_ms IS NOT NULL \
             UNION ALL SELECT a.started_at, a.duration_ms, a.response_code, \
             CASE WHEN d.status IN (1, 2) AND a.number = d.attempt_count THEN d.finished_at END \
             FROM deliveries d JOIN attempts a ON a.delivery_id = d.id WHERE {of_page}"
        );
        let mut look = |row: AttemptRow| add(&row, most);
        each!(connection, sql, AttemptRow, look);
        after = last;
    }
}

/// The last attempt of a delivery was counted when the delivery ended; any other one about when it ended itself.
fn add(row: &AttemptRow, most: &mut Periods) {
    let (from, to) = match row.ended_at {
        Some(ended_at) => (ended_at, ended_at),
        None => {
            let ended_at = row.started_at.saturating_add(row.duration_ms);
            (ended_at.saturating_sub(SLACK_MS), ended_at.saturating_add(SLACK_MS))
        }
    };
    let periods = period_start(UnixMillis(from)).0..=period_start(UnixMillis(to)).0;
    let is_success = row.response_code.is_some_and(|code| (200..300).contains(&code));
    for (_, most) in most.range_mut(periods) {
        *(if is_success { &mut most.succeeded } else { &mut most.failed }) += 1;
    }
}

fn compare(
    connection: &mut AnyConnection,
    row: &StoredRow,
    most: Most,
    terms: &CheckTerms,
    result: &mut Checked,
    on_event: &mut dyn FnMut(CheckEvent<'_>),
) -> StoreResult<()> {
    if row.succeeded <= most.succeeded && row.failed <= most.failed {
        return Ok(());
    }
    let (webhook, from) = (EndpointId(row.endpoint_id), UnixMillis(row.period_start));
    result.add(format!(
        "{webhook}: in the five minutes from {from} it counts {} successes and {} failed attempts; in the log are at most {} and {}",
        row.succeeded, row.failed, most.succeeded, most.failed
    ));
    if terms.repairs() {
        in_transaction(connection, None, |connection| {
            lower(connection, row, most)?;
            add_up(connection, &[row.period_start], terms.now)
        })?;
        on_event(CheckEvent::Repaired(&format!(
            "{webhook}: its counts of the five minutes from {from} are lowered"
        )));
        result.repaired += 1;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct CountsRow {
    #[diesel(sql_type = SmallInt)]
    node: i16,
    #[diesel(sql_type = BigInt)]
    succeeded: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    retried: i64,
}

/// Takes what is too much from the counts of the nodes: of failed attempts first from those that others followed. Their durations
/// stay.
fn lower(connection: &mut AnyConnection, row: &StoredRow, most: Most) -> StoreResult<()> {
    let StoredRow { endpoint_id, organization_id, period_start, .. } = row;
    let place = format!(
        "period_start = {period_start} AND organization_id = {organization_id} AND endpoint_id = {endpoint_id}"
    );
    let nodes: Vec<CountsRow> = diesel::sql_query(format!(
        "SELECT node, succeeded, failed, retried FROM delivery_statistics WHERE {place} ORDER BY node"
    ))
    .load(connection)?;
    let take = |excess: &mut i64, count: i64| {
        let taken = count.min(*excess).max(0);
        *excess -= taken;
        count - taken
    };
    let (mut succeeded, mut failed) = (row.succeeded - most.succeeded, row.failed - most.failed);
    for of_node in nodes {
        let retried = take(&mut failed, of_node.retried);
        diesel::sql_query(format!(
            "UPDATE delivery_statistics SET succeeded = {}, retried = {retried}, failed = {} WHERE {place} AND node = {}",
            take(&mut succeeded, of_node.succeeded),
            take(&mut failed, of_node.failed),
            of_node.node
        ))
        .execute(connection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_MS: i64 = 300_000;

    fn counted(row: &AttemptRow) -> Vec<(i64, i64)> {
        let mut most: Periods = (0..5).map(|number| (number * PERIOD_MS, Most::default())).collect();
        add(row, &mut most);
        most.values().map(|most| (most.succeeded, most.failed)).collect()
    }

    #[test]
    fn the_last_attempt_belongs_to_the_period_in_which_its_delivery_ended() {
        let row = AttemptRow {
            started_at: 2 * PERIOD_MS - 10,
            duration_ms: 5,
            response_code: Some(204),
            ended_at: Some(2 * PERIOD_MS),
        };
        assert_eq!(counted(&row), [(0, 0), (0, 0), (1, 0), (0, 0), (0, 0)]);
    }

    #[test]
    fn an_attempt_before_it_may_have_been_counted_some_time_later() {
        let row =
            |started_at, code| AttemptRow { started_at, duration_ms: 5, response_code: code, ended_at: None };
        assert_eq!(counted(&row(2 * PERIOD_MS - 10, Some(500))), [(0, 0), (0, 1), (0, 1), (0, 0), (0, 0)]);
        assert_eq!(counted(&row(PERIOD_MS + PERIOD_MS / 2, None)), [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)]);
    }
}
