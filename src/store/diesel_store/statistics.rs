//! Counts of results by period. Read, added to and written back within a commit's transaction: each node has rows of its own,
//! and is their only writer. Readers add up those of all nodes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, SmallInt};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::corrupt;
use super::super::schema::delivery_statistics;
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::statistics::{LatencyCounts, PeriodCounts, PeriodStatistics, StatisticsDelta, period_start};
use crate::domain::time::UnixMillis;

/// The id of the row with the sum of an organization; no endpoint has it.
const SUM: i64 = 0;

/// Period, organization, endpoint: the order of the table.
type StatisticsKey = (i64, i64, i64);

#[derive(QueryableByName, Queryable, Selectable)]
#[diesel(table_name = delivery_statistics)]
struct StatisticsRow {
    #[diesel(sql_type = BigInt)]
    period_start: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    succeeded: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    retried: i64,
    #[diesel(sql_type = Binary)]
    latency: Vec<u8>,
}

impl StatisticsRow {
    fn key(&self) -> StatisticsKey {
        (self.period_start, self.organization_id, self.endpoint_id)
    }

    fn counts(&self, latency: LatencyCounts) -> PeriodCounts {
        let [succeeded, failed, retried] =
            [self.succeeded, self.failed, self.retried].map(|count| count.max(0) as u64);
        PeriodCounts { succeeded, failed, retried, latency }
    }

    fn into_statistics(self) -> StoreResult<(EndpointId, PeriodStatistics)> {
        let latency = LatencyCounts::decode(&self.latency).map_err(corrupt)?;
        let statistics =
            PeriodStatistics { period_start: UnixMillis(self.period_start), counts: self.counts(latency) };
        Ok((EndpointId(self.endpoint_id), statistics))
    }

    /// The stored counts plus new ones. A damaged row must not fail every commit from then on: its durations
    /// are lost instead.
    fn and(&self, delta: &PeriodCounts) -> PeriodCounts {
        let mut counts = self.counts(LatencyCounts::decode(&self.latency).unwrap_or_default());
        counts.merge(delta);
        counts
    }
}

/// A count in the type of the databases.
fn sql_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Adds counts to the stored ones of endpoints, and to the sums of their organizations.
pub(super) fn add(connection: &mut AnyConnection, deltas: &[StatisticsDelta], node: i16) -> StoreResult<()> {
    let mut rows: BTreeMap<StatisticsKey, PeriodCounts> = BTreeMap::new();
    for delta in deltas {
        for endpoint_id in [SUM, delta.endpoint_id.0] {
            let key = (delta.period_start.0, delta.organization_id.0, endpoint_id);
            rows.entry(key).or_default().merge(&delta.counts);
        }
    }
    match connection {
        _ if rows.is_empty() => {}
        AnyConnection::Sqlite(sqlite) => add_one_by_one(sqlite, rows, node)?,
        AnyConnection::Postgres(postgres) => add_together(postgres, rows, node)?,
    }
    Ok(())
}

/// Both statements stay compiled.
fn add_one_by_one(
    sqlite: &mut SqliteConnection,
    rows: BTreeMap<StatisticsKey, PeriodCounts>,
    of_node: i16,
) -> QueryResult<()> {
    use delivery_statistics::columns::{
        endpoint_id, failed, latency, node, organization_id, period_start, retried, succeeded,
    };
    for (key, mut counts) in rows {
        let row = delivery_statistics::table.find((key.0, key.1, key.2, of_node));
        let stored: Option<StatisticsRow> = row.select(StatisticsRow::as_select()).first(sqlite).optional()?;
        if let Some(stored) = stored {
            counts = stored.and(&counts);
        }
        diesel::replace_into(delivery_statistics::table)
            .values((
                period_start.eq(key.0),
                organization_id.eq(key.1),
                endpoint_id.eq(key.2),
                succeeded.eq(sql_count(counts.succeeded)),
                failed.eq(sql_count(counts.failed)),
                retried.eq(sql_count(counts.retried)),
                latency.eq(counts.latency.encode()),
                node.eq(of_node),
            ))
            .execute(sqlite)?;
    }
    Ok(())
}

/// Two statements for any number of rows.
fn add_together(
    postgres: &mut PgConnection,
    mut rows: BTreeMap<StatisticsKey, PeriodCounts>,
    node: i16,
) -> QueryResult<()> {
    let column = |rows: &BTreeMap<StatisticsKey, PeriodCounts>, value: fn(&StatisticsKey) -> i64| {
        rows.keys().map(value).collect()
    };
    let keys: [Vec<i64>; 3] =
        [|key: &StatisticsKey| key.0, |key: &StatisticsKey| key.1, |key: &StatisticsKey| key.2]
            .map(|of| column(&rows, of));
    let stored: Vec<StatisticsRow> = diesel::sql_query(
        "SELECT s.* FROM UNNEST($1, $2, $3) AS key (period_start, organization_id, endpoint_id) \
         JOIN delivery_statistics s USING (period_start, organization_id, endpoint_id) WHERE s.node = $4",
    )
    .bind::<Array<BigInt>, _>(&keys[0])
    .bind::<Array<BigInt>, _>(&keys[1])
    .bind::<Array<BigInt>, _>(&keys[2])
    .bind::<SmallInt, _>(node)
    .get_results(postgres)?;
    for stored in stored {
        rows.entry(stored.key()).and_modify(|counts| *counts = stored.and(counts));
    }
    let counts =
        |of: fn(&PeriodCounts) -> u64| rows.values().map(|counts| sql_count(of(counts))).collect::<Vec<_>>();
    diesel::sql_query(
        "INSERT INTO delivery_statistics (period_start, organization_id, endpoint_id, succeeded, failed, retried, \
         latency, node) SELECT *, $8 FROM UNNEST($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (period_start, organization_id, endpoint_id, node) DO UPDATE SET succeeded = excluded.succeeded, \
         failed = excluded.failed, retried = excluded.retried, latency = excluded.latency",
    )
    .bind::<Array<BigInt>, _>(&keys[0])
    .bind::<Array<BigInt>, _>(&keys[1])
    .bind::<Array<BigInt>, _>(&keys[2])
    .bind::<Array<BigInt>, _>(counts(|counts| counts.succeeded))
    .bind::<Array<BigInt>, _>(counts(|counts| counts.failed))
    .bind::<Array<BigInt>, _>(counts(|counts| counts.retried))
    .bind::<Array<Binary>, _>(rows.values().map(|counts| counts.latency.encode()).collect::<Vec<_>>())
    .bind::<SmallInt, _>(node)
    .execute(postgres)?;
    Ok(())
}

/// The periods that have rows, from one on: one seek for each, as in [`super::maintenance::AGENDA`].
const PERIODS: &str = "WITH RECURSIVE periods (begins) AS ( \
                       SELECT min(period_start) FROM delivery_statistics WHERE period_start >= {} \
                       UNION ALL \
                       SELECT (SELECT min(period_start) FROM delivery_statistics WHERE period_start > periods.begins) \
                       FROM periods WHERE periods.begins IS NOT NULL)";

/// The query for an organization's sums, or for some of its endpoints: per period, one seek for each.
pub(super) fn build(
    organization_id: OrganizationId,
    endpoint_ids: Option<&[EndpointId]>,
    since: UnixMillis,
) -> DynamicQuery {
    let mut query = DynamicQuery::new("");
    query.push(PERIODS, BoundValue::Number(period_start(since).0));
    query.sql.push_str(
        " SELECT s.period_start, s.organization_id, s.endpoint_id, s.succeeded, s.failed, s.retried, s.latency \
         FROM periods CROSS JOIN delivery_statistics s WHERE s.period_start = periods.begins",
    );
    query.and("s.organization_id = {}", BoundValue::Number(organization_id.0));
    match endpoint_ids {
        None => query.and("s.endpoint_id = {}", BoundValue::Number(SUM)),
        Some(ids) => query.and_one_of("s.endpoint_id", &ids.iter().map(|id| id.0).collect::<Vec<_>>()),
    }
    query
}

fn read(connection: &mut AnyConnection, query: DynamicQuery) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
    let rows: Vec<StatisticsRow> = query.load(connection)?;
    let mut sums: BTreeMap<StatisticsKey, (EndpointId, PeriodStatistics)> = BTreeMap::new();
    for row in rows {
        let key = row.key();
        let (endpoint_id, statistics) = row.into_statistics()?;
        match sums.entry(key) {
            Entry::Occupied(sum) => sum.into_mut().1.counts.merge(&statistics.counts),
            Entry::Vacant(place) => _ = place.insert((endpoint_id, statistics)),
        }
    }
    Ok(sums.into_values().collect())
}

pub(super) fn of_organization(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    since: UnixMillis,
) -> StoreResult<Vec<PeriodStatistics>> {
    let found = read(connection, build(organization_id, None, since))?;
    Ok(found.into_iter().map(|(_, statistics)| statistics).collect())
}

pub(super) fn of_endpoints(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_ids: &[EndpointId],
    since: UnixMillis,
) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
    if endpoint_ids.is_empty() {
        return Ok(Vec::new());
    }
    read(connection, build(organization_id, Some(endpoint_ids), since))
}

/// The query that deletes some of an organization's rows.
pub(super) fn build_deletion(organization_id: OrganizationId, limit: usize) -> DynamicQuery {
    let key = "period_start, organization_id, endpoint_id, node";
    let mut query = DynamicQuery::new(&format!("DELETE FROM delivery_statistics WHERE ({key}) IN ("));
    query.push(PERIODS, BoundValue::Number(i64::MIN));
    query.sql.push_str(
        " SELECT s.period_start, s.organization_id, s.endpoint_id, s.node \
         FROM periods CROSS JOIN delivery_statistics s WHERE s.period_start = periods.begins",
    );
    query.and("s.organization_id = {}", BoundValue::Number(organization_id.0));
    query.push(" LIMIT {})", BoundValue::Number(sql_limit(limit)));
    query
}

/// Deletes at most `limit` of them; returns how many.
pub(super) fn delete(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    limit: usize,
) -> StoreResult<usize> {
    build_deletion(organization_id, limit).execute(connection)
}

pub(super) const OLD_ROWS: &str = "
    DELETE FROM delivery_statistics WHERE (period_start, organization_id, endpoint_id, node) IN (
        SELECT period_start, organization_id, endpoint_id, node FROM delivery_statistics WHERE period_start < $1
        ORDER BY period_start, organization_id, endpoint_id, node LIMIT $2
    )";

#[cfg(test)]
mod tests {
    use super::super::super::{StoreError, sqlite};
    use super::*;

    #[test]
    fn a_damaged_row_is_reported_to_readers_and_never_fails_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = sqlite::open_for_plans(folder.path().join("damaged.db")).unwrap();
        let (organization_id, endpoint_id) = (OrganizationId(1), EndpointId(2));
        let counts = PeriodCounts { succeeded: 2, ..PeriodCounts::default() };
        let delta = StatisticsDelta { period_start: UnixMillis(0), organization_id, endpoint_id, counts };
        add(&mut connection, std::slice::from_ref(&delta), 0).unwrap();
        let damage = delivery_statistics::latency.eq(vec![255u8]);
        diesel::update(delivery_statistics::table).set(damage).execute(&mut connection).unwrap();
        let read = |connection: &mut AnyConnection| of_organization(connection, organization_id, UnixMillis(0));
        assert!(matches!(read(&mut connection), Err(StoreError::Corrupt(_))));
        add(&mut connection, &[delta], 0).unwrap();
        assert_eq!(read(&mut connection).unwrap()[0].counts.succeeded, 4);
    }
}
