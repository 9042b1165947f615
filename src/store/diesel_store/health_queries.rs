//! Queries for the health of endpoints and organizations.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::sql_limit;
use crate::domain::health::EndpointState;
use crate::domain::ids::EndpointId;

#[derive(QueryableByName)]
pub(super) struct StatesRow {
    #[diesel(sql_type = BigInt)]
    pub(super) healthy: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) failing: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) paused: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) disabled: i64,
}

/// The same cases as [`crate::domain::health::EndpointState::of`].
pub(super) const STATES: &str = "
    SELECT count(*) FILTER (WHERE e.active AND h.probe_at IS NULL AND h.failing_since IS NULL) AS healthy,
           count(*) FILTER (WHERE e.active AND h.probe_at IS NULL AND h.failing_since IS NOT NULL) AS failing,
           count(*) FILTER (WHERE e.active AND h.probe_at IS NOT NULL) AS paused,
           count(*) FILTER (WHERE NOT e.active) AS disabled
    FROM endpoints e LEFT JOIN endpoint_health h ON h.endpoint_id = e.id
    WHERE e.organization_id = $1 AND e.deleted_at IS NULL";

#[derive(QueryableByName)]
pub(super) struct FailingRow {
    #[diesel(sql_type = BigInt)]
    pub(super) organization_id: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) failing_since: i64,
}

/// Reads the rows of unhealthy endpoints alone: others have none.
pub(super) const FAILING: &str = "
    SELECT h.organization_id, min(h.failing_since) AS failing_since
    FROM endpoint_health h CROSS JOIN endpoints e
    WHERE h.failing_since IS NOT NULL AND e.id = h.endpoint_id AND e.active AND e.deleted_at IS NULL
    GROUP BY h.organization_id";

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    state: i32,
}

/// The same cases again, for a part of the endpoints of all organizations.
const STATES_AFTER: &str = "
    SELECT e.id, CASE WHEN NOT e.active THEN 3 WHEN h.probe_at IS NOT NULL THEN 2 WHEN h.failing_since IS NOT NULL THEN 1
                      ELSE 0 END AS state
    FROM endpoints e LEFT JOIN endpoint_health h ON h.endpoint_id = e.id
    WHERE e.id > $1 AND e.deleted_at IS NULL ORDER BY e.id LIMIT $2";

pub(super) fn states_after(
    connection: &mut AnyConnection,
    after: Option<EndpointId>,
    limit: usize,
) -> StoreResult<Vec<(EndpointId, EndpointState)>> {
    let rows: Vec<StateRow> = diesel::sql_query(STATES_AFTER)
        .bind::<BigInt, _>(after.map_or(i64::MIN, |id| id.0))
        .bind::<BigInt, _>(sql_limit(limit))
        .load(connection)?;
    let state = |code| match code {
        3 => EndpointState::Disabled,
        2 => EndpointState::Paused,
        1 => EndpointState::Failing,
        _ => EndpointState::Healthy,
    };
    Ok(rows.into_iter().map(|row| (EndpointId(row.id), state(row.state))).collect())
}
