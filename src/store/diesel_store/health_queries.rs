//! Queries for the health of endpoints and organizations.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::schema::{endpoint_health, endpoints};
use super::endpoints::IsOwned;
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

/// The states of endpoints of all organizations, in the order of their ids.
pub(super) fn states_after(
    connection: &mut AnyConnection,
    after: Option<EndpointId>,
    limit: usize,
) -> StoreResult<Vec<(EndpointId, EndpointState)>> {
    type Row = (i64, bool, Option<i64>, Option<i64>);
    let rows: Vec<Row> = endpoints::table
        .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
        .filter(endpoints::id.gt(after.map_or(i64::MIN, |id| id.0)))
        .filter(endpoints::deleted_at.is_null())
        .filter(IsOwned)
        .order(endpoints::id)
        .limit(sql_limit(limit))
        .select((
            endpoints::id,
            endpoints::active,
            endpoint_health::probe_at.nullable(),
            endpoint_health::failing_since.nullable(),
        ))
        .load(connection)?;
    let state = |(id, is_active, probe_at, failing_since): Row| {
        let state = EndpointState::from_parts(is_active, probe_at.is_some(), failing_since.is_some());
        (EndpointId(id), state)
    };
    Ok(rows.into_iter().map(state).collect())
}
