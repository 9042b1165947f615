//! What the engine reads when it starts, and what operators watch.

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::connection::AnyConnection;
use super::super::models::{EndpointRow, HealthRow};
use super::super::schema::{api_keys, deliveries, endpoint_health, endpoints, events, organizations};
use super::super::{AgendaRow, Cipher, StoreResult};
use super::endpoints::IsPending;
use super::sql_limit;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

pub(super) fn largest_id(connection: &mut AnyConnection) -> StoreResult<i64> {
    let largest: [Option<i64>; 5] = [
        organizations::table.select(max(organizations::id)).first(connection)?,
        api_keys::table.select(max(api_keys::id)).first(connection)?,
        endpoints::table.select(max(endpoints::id)).first(connection)?,
        events::table.select(max(events::id)).first(connection)?,
        deliveries::table.select(max(deliveries::id)).first(connection)?,
    ];
    Ok(largest.into_iter().flatten().max().unwrap_or(0))
}

pub(super) fn scan_endpoints(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    after: Option<EndpointId>,
    limit: usize,
) -> StoreResult<Vec<Endpoint>> {
    let rows: Vec<EndpointRow> = endpoints::table
        .filter(endpoints::id.gt(after.map_or(i64::MIN, |id| id.0)))
        .filter(endpoints::deleted_at.is_null())
        .order(endpoints::id)
        .limit(sql_limit(limit))
        .select(EndpointRow::as_select())
        .load(connection)?;
    rows.into_iter().map(|row| row.open(cipher)).collect()
}

#[derive(QueryableByName)]
struct AgendaEntry {
    #[diesel(sql_type = BigInt)]
    endpoint_id: i64,
    #[diesel(sql_type = BigInt)]
    organization_id: i64,
    #[diesel(sql_type = BigInt)]
    queued_at: i64,
}

/// A skip scan: each step seeks the next endpoint in the pending index instead of reading through what is
/// pending for this one. The step counter ends it, because PostgreSQL takes no LIMIT inside a recursion.
pub(super) const AGENDA: &str = "
    WITH RECURSIVE pending (endpoint_id, step) AS (
        SELECT min(endpoint_id), 1 FROM deliveries WHERE status = 0 AND endpoint_id > $1
        UNION ALL
        SELECT (SELECT min(endpoint_id) FROM deliveries WHERE status = 0 AND endpoint_id > pending.endpoint_id),
               step + 1
        FROM pending WHERE pending.endpoint_id IS NOT NULL AND step < $2
    )
    SELECT pending.endpoint_id,
           (SELECT organization_id FROM deliveries WHERE status = 0 AND deliveries.endpoint_id = pending.endpoint_id
            ORDER BY queued_at, id LIMIT 1) AS organization_id,
           (SELECT queued_at FROM deliveries WHERE status = 0 AND deliveries.endpoint_id = pending.endpoint_id
            ORDER BY queued_at, id LIMIT 1) AS queued_at
    FROM pending WHERE pending.endpoint_id IS NOT NULL";

pub(super) fn scan_agenda(
    connection: &mut AnyConnection,
    after: Option<EndpointId>,
    limit: usize,
) -> StoreResult<Vec<AgendaRow>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let entries: Vec<AgendaEntry> = diesel::sql_query(AGENDA)
        .bind::<BigInt, _>(after.map_or(i64::MIN, |id| id.0))
        .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
        .load(connection)?;
    let mut rows: Vec<AgendaRow> = entries
        .into_iter()
        .map(|entry| AgendaRow {
            endpoint_id: EndpointId(entry.endpoint_id),
            organization_id: OrganizationId(entry.organization_id),
            due_at: UnixMillis(entry.queued_at),
        })
        .collect();
    rows.sort_by_key(|row| row.endpoint_id);
    Ok(rows)
}

pub(super) fn open_breakers(connection: &mut AnyConnection) -> StoreResult<Vec<EndpointHealth>> {
    let rows: Vec<HealthRow> = endpoint_health::table
        .filter(endpoint_health::probe_at.is_not_null())
        .order(endpoint_health::endpoint_id)
        .select(HealthRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(EndpointHealth::from).collect())
}

pub(super) fn count_pending(connection: &mut AnyConnection) -> StoreResult<u64> {
    let count: i64 = deliveries::table.filter(IsPending).count().get_result(connection)?;
    Ok(count.max(0) as u64)
}

/// Reads a table: SQLite answers `SELECT 1` without looking at its file.
pub(super) fn ping(connection: &mut AnyConnection) -> StoreResult<()> {
    organizations::table.select(organizations::id).first::<i64>(connection).optional()?;
    Ok(())
}
