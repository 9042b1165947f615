//! Queries for the health of endpoints and organizations.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

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
