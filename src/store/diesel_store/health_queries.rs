//! Queries for the health of endpoints and organizations.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt};

use super::super::connection::AnyConnection;
use super::log_rows::{self, LogScope, LogSource};
use super::query::{BoundValue, DynamicQuery};
use crate::domain::ids::{EndpointId, OrganizationId};

#[derive(QueryableByName)]
pub(super) struct PendingRow {
    #[diesel(sql_type = BigInt)]
    pub(super) pending: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) oldest: Option<i64>,
}

/// From the organization's endpoints, deleted ones included, into the pending index, which has all the columns
/// that are needed.
pub(super) fn count_pending(organization_id: OrganizationId, endpoint_id: Option<EndpointId>) -> DynamicQuery {
    let mut query = DynamicQuery::new(
        "SELECT count(*) AS pending, min(d.id) AS oldest FROM endpoints e CROSS JOIN deliveries d \
         WHERE d.endpoint_id = e.id AND d.status = 0",
    );
    query.and("e.organization_id = {}", BoundValue::Number(organization_id.0));
    if let Some(endpoint_id) = endpoint_id {
        query.and("e.id = {}", BoundValue::Number(endpoint_id.0));
    }
    query
}

#[derive(QueryableByName)]
pub(super) struct FinishedRow {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = SmallInt)]
    pub(super) status: i16,
    #[diesel(sql_type = BigInt)]
    pub(super) created_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) finished_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) duration_ms: i64,
}

/// The last attempt is in the delivery's own row, or else in `attempts`.
const FINISHED: &str = "SELECT d.id, d.status, d.created_at, COALESCE(d.finished_at, 0) AS finished_at, \
                        COALESCE(d.attempt_duration_ms, (SELECT a.duration_ms FROM attempts a \
                        WHERE a.delivery_id = d.id AND a.number = d.attempt_count), 0) AS duration_ms";

/// The query for one source and range of ids.
pub(super) fn build(
    connection: &AnyConnection,
    source: LogSource,
    scope: &LogScope,
    limit: usize,
) -> DynamicQuery {
    let mut query = log_rows::from(connection, FINISHED, source, scope, false);
    scope.times.restrict(&mut query, "d.id", "d.created_at");
    query.sql.push_str(" AND d.status IN (1, 2)");
    log_rows::newest(&mut query, source, limit);
    query
}

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
