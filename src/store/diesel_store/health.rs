//! How endpoints and organizations are doing.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::models::{HealthRow, corrupt};
use super::super::schema::{deliveries, endpoint_health, endpoints};
use super::id_leads::IdLead;
use super::log::{self, LogScope};
use super::log_sources::LogSource;
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use super::time_ranges::{Period, id_ranges};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::health::{EndpointHealth, EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;

#[derive(QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
}

pub(super) fn pending(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: Option<EndpointId>,
) -> StoreResult<PendingStats> {
    let rows: Vec<PendingRow> = count_pending(organization_id, endpoint_id).load(connection)?;
    let Some(PendingRow { pending, oldest }) = rows.into_iter().next() else { return Ok(PendingStats::default()) };
    let oldest_pending_at: Option<i64> = match oldest {
        None => None,
        Some(oldest) => deliveries::table
            .filter(deliveries::id.eq(oldest))
            .filter(deliveries::organization_id.eq(organization_id.0))
            .select(deliveries::created_at)
            .first(connection)
            .optional()?,
    };
    Ok(PendingStats { pending: pending.max(0) as u64, oldest_pending_at: oldest_pending_at.map(UnixMillis) })
}

/// From the organization's endpoints, deleted ones included, into the pending index, which holds all that is asked
/// for.
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
struct FinishedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    finished_at: i64,
    #[diesel(sql_type = BigInt)]
    duration_ms: i64,
}

/// The last attempt is in the delivery's own row, or else among the attempts.
const FINISHED: &str = "SELECT d.id, d.status, d.created_at, COALESCE(d.finished_at, 0) AS finished_at, \
                        COALESCE(d.attempt_duration_ms, (SELECT a.duration_ms FROM attempts a \
                        WHERE a.delivery_id = d.id AND a.number = d.attempt_count), 0) AS duration_ms";

pub(super) fn recent(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    endpoint_id: Option<EndpointId>,
    since: UnixMillis,
    limit: usize,
) -> StoreResult<Vec<FinishedDelivery>> {
    let mut rows: Vec<FinishedRow> = Vec::new();
    let sources = match endpoint_id {
        Some(_) => &[LogSource::Endpoint][..],
        None => &[LogSource::Events, LogSource::Replays],
    };
    for range in id_ranges(connection, runs, Period { from: Some(since), to: None })? {
        let scope = LogScope::of(organization_id, endpoint_id, range, None);
        for source in sources {
            rows.extend(build(connection, *source, &scope, limit).load::<FinishedRow>(connection)?);
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    rows.truncate(limit);
    let delivery = |row: FinishedRow| {
        let status = DeliveryStatus::from_code(row.status);
        Ok(FinishedDelivery {
            id: DeliveryId(row.id),
            status: status.ok_or_else(|| corrupt(format!("delivery status {}", row.status)))?,
            created_at: UnixMillis(row.created_at),
            finished_at: UnixMillis(row.finished_at),
            last_duration_ms: row.duration_ms.max(0) as u64,
        })
    };
    rows.into_iter().map(delivery).collect()
}

/// The query for one source and range.
pub(super) fn build(
    connection: &AnyConnection,
    source: LogSource,
    scope: &LogScope,
    limit: usize,
) -> DynamicQuery {
    let mut query = log::from(connection, FINISHED, source, scope, false);
    scope.times.restrict(&mut query, "d.id", "d.created_at");
    query.sql.push_str(" AND d.status IN (1, 2)");
    log::newest(&mut query, source, limit);
    query
}

#[derive(QueryableByName)]
struct StatesRow {
    #[diesel(sql_type = BigInt)]
    healthy: i64,
    #[diesel(sql_type = BigInt)]
    failing: i64,
    #[diesel(sql_type = BigInt)]
    paused: i64,
    #[diesel(sql_type = BigInt)]
    disabled: i64,
}

/// The same cases as [`crate::domain::health::EndpointState::of`].
pub(super) const STATES: &str = "
    SELECT count(*) FILTER (WHERE e.active AND h.probe_at IS NULL AND h.failing_since IS NULL) AS healthy,
           count(*) FILTER (WHERE e.active AND h.probe_at IS NULL AND h.failing_since IS NOT NULL) AS failing,
           count(*) FILTER (WHERE e.active AND h.probe_at IS NOT NULL) AS paused,
           count(*) FILTER (WHERE NOT e.active) AS disabled
    FROM endpoints e LEFT JOIN endpoint_health h ON h.endpoint_id = e.id
    WHERE e.organization_id = $1 AND e.deleted_at IS NULL";

pub(super) fn endpoint_states(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
) -> StoreResult<EndpointStates> {
    let states: StatesRow =
        diesel::sql_query(STATES).bind::<BigInt, _>(organization_id.0).get_result(connection)?;
    Ok(EndpointStates {
        healthy: states.healthy.max(0) as u64,
        failing: states.failing.max(0) as u64,
        paused: states.paused.max(0) as u64,
        disabled: states.disabled.max(0) as u64,
    })
}

/// The table of conditions is small: it has a row only for an endpoint that is not healthy.
pub(super) fn failing_before(
    connection: &mut AnyConnection,
    instant: UnixMillis,
    limit: usize,
) -> StoreResult<Vec<EndpointHealth>> {
    let rows: Vec<HealthRow> = endpoint_health::table
        .inner_join(endpoints::table.on(endpoints::id.eq(endpoint_health::endpoint_id)))
        .filter(endpoint_health::failing_since.le(instant.0))
        .filter(endpoints::active.eq(true))
        .filter(endpoints::deleted_at.is_null())
        .order((endpoint_health::failing_since, endpoint_health::endpoint_id))
        .limit(sql_limit(limit))
        .select(HealthRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(EndpointHealth::from).collect())
}
