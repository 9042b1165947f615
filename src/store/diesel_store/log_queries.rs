//! Queries for pages of the delivery log.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::detail::StoredAttempt;
use super::super::models::{DeliveryRow, corrupt, response_code};
use super::super::{LogPage, PageRequest, StoreResult};
use super::id_leads::IdLead;
use super::log_sources::{self, LogSource, NOT_SUCCESS, SourceChoice};
use super::query::{BoundValue, DynamicQuery, indexed_by};
use super::sql_limit;
use super::time_ranges::{IdRange, Period, TimeCondition, id_ranges};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::DeliveryFilter;
use crate::domain::ids::{DeliveryId, EndpointId, IDS_A_MILLISECOND, OrganizationId};
use crate::domain::time::UnixMillis;

/// A row of the log with its event's type. The type is read from the event instead of being stored with every
/// delivery: a page joins 200 rows at most, while a copy would be written millions of times.
#[derive(QueryableByName)]
struct DeliveryLogRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Text)]
    event_type: String,
}

const COLUMNS: &str = "SELECT d.id, d.organization_id, d.endpoint_id, d.event_id, d.status, d.attempt_count, \
                       d.created_at, d.due_at, d.finished_at, d.response_code, d.error, e.event_type";

/// How much smaller an event's id can be than its delivery's: a second of ids, more than any event has
/// deliveries.
const EVENT_SLACK: i64 = 1_000 * IDS_A_MILLISECOND;

/// About how many rows a page may look at without showing them. Smaller: choosing the index costs more than
/// reading the rows. Larger: the shortest page that has to search takes longer.
pub(super) const ROWS_LOOKED_AT: usize = 1_000;

/// Which rows of the log a query covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogScope {
    pub(super) organization_id: OrganizationId,
    pub(super) endpoint_id: Option<EndpointId>,
    /// Ids below this.
    pub(super) before: i64,
    /// Ids from this on.
    pub(super) from: i64,
    /// Ids of events from this on.
    pub(super) events_from: i64,
    /// A condition on their times.
    pub(super) times: TimeCondition,
}

impl LogScope {
    pub(super) fn new(
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        from: i64,
        before: i64,
    ) -> Self {
        let events_from = (from - EVENT_SLACK).max(0);
        Self { organization_id, endpoint_id, before, from, events_from, times: TimeCondition::default() }
    }

    /// The part of a range of ids below an id.
    pub(super) fn of(
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        range: IdRange,
        before_id: Option<i64>,
    ) -> Self {
        let before = before_id.map_or(range.before, |before| before.min(range.before));
        Self { times: range.times, ..Self::new(organization_id, endpoint_id, range.from, before) }
    }

    /// Whether it covers no ids.
    pub(super) fn is_empty(&self) -> bool {
        self.from >= self.before
    }

    /// The part from an id on that is an event's, or in no event's range.
    fn above(self, floor: i64) -> Self {
        Self { from: self.from.max(floor), events_from: self.events_from.max(floor), ..self }
    }
}

/// A page that looks at about `bound` rows.
pub(super) fn list(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
    bound: usize,
) -> StoreResult<LogPage> {
    let ranges = id_ranges(connection, runs, Period { from: filter.from, to: filter.to })?;
    let mut found = LogPage::default();
    for range in ranges.into_iter().rev() {
        let scope = LogScope::of(organization_id, filter.endpoint_id, range, page.before_id);
        let limit = page.limit - found.rows.len();
        if scope.is_empty() || limit == 0 {
            continue;
        }
        let part = list_part(connection, filter, &scope, limit, bound)?;
        found.rows.extend(part.rows);
        found.next_before = part.next_before;
        if found.next_before.is_some() {
            break;
        }
    }
    Ok(found)
}

/// The newest rows of one range of ids.
fn list_part(
    connection: &mut AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    limit: usize,
    bound: usize,
) -> StoreResult<LogPage> {
    let SourceChoice { sources, floor } = log_sources::choose(connection, filter, scope, bound)?;
    let part = floor.map_or(*scope, |floor| scope.above(floor));
    let mut found: Vec<DeliveryLogRow> = Vec::new();
    for source in sources {
        found.extend(build(connection, source, filter, &part, limit).load::<DeliveryLogRow>(connection)?);
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.delivery.id));
    let newest = found.into_iter().take(limit);
    let rows = newest.map(|row| row.delivery.into_record(row.event_type)).collect::<StoreResult<Vec<_>>>()?;
    let next_before = floor.filter(|_| rows.len() < limit);
    Ok(LogPage { rows, next_before })
}

/// The query for a page from one source.
pub(super) fn build(
    connection: &AnyConnection,
    source: LogSource,
    filter: &DeliveryFilter,
    scope: &LogScope,
    limit: usize,
) -> DynamicQuery {
    let mut query = match source {
        LogSource::Pending => from_pending(connection, filter, scope, limit),
        LogSource::Events => from_events(connection, COLUMNS, scope, filter.event_type.is_some()),
        source => from(connection, COLUMNS, source, scope, true),
    };
    if source != LogSource::Pending {
        scope.times.restrict(&mut query, "d.id", "d.created_at");
    }
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", BoundValue::Text(event_type.clone()));
    }
    if let Some(status) = filter.status.filter(|_| source.status().is_none()) {
        query.and("+d.status = {}", BoundValue::Number(i64::from(status.code())));
    }
    if let Some((low, high)) = filter.response_code.filter(|_| !matches!(source, LogSource::Code(_))) {
        query.and("+d.response_code >= {}", BoundValue::Number(i64::from(low)));
        query.and("+d.response_code <= {}", BoundValue::Number(i64::from(high)));
    }
    newest(&mut query, source, limit);
    query
}

/// Adds the order, newest first, and the limit.
pub(super) fn newest(query: &mut DynamicQuery, source: LogSource, limit: usize) {
    query.sql.push_str(match source {
        LogSource::Events => " ORDER BY e.id DESC, d.id DESC",
        _ => " ORDER BY d.id DESC",
    });
    query.push(" LIMIT {}", BoundValue::Number(sql_limit(limit)));
}

/// Selects columns from a source: deliveries `d`, with their events `e` if columns of these are needed. `CROSS
/// JOIN` fixes the order of the loops in SQLite, `LATERAL` with `OFFSET 0` in PostgreSQL; a plus before a
/// column excludes its condition from the choice of an index. An endpoint's rows are found through the endpoint
/// `o`, whose row has the owner.
pub(super) fn from(
    connection: &AnyConnection,
    columns: &str,
    source: LogSource,
    scope: &LogScope,
    with_events: bool,
) -> DynamicQuery {
    if source == LogSource::Events {
        return from_events(connection, columns, scope, false);
    }
    let mut query = DynamicQuery::new(columns);
    let events = if with_events { " CROSS JOIN events e" } else { "" };
    match scope.endpoint_id.filter(|_| source.is_by_endpoint()) {
        Some(endpoint_id) => {
            let index = indexed_by(connection, source.index(true));
            query.sql.push_str(&format!(" FROM endpoints o CROSS JOIN deliveries d{index}{events}"));
            query.push(" WHERE o.id = {} AND d.endpoint_id = o.id", BoundValue::Number(endpoint_id.0));
            query.and("o.organization_id = {}", BoundValue::Number(scope.organization_id.0));
        }
        None => {
            let index = indexed_by(connection, source.index(false));
            query.sql.push_str(&format!(" FROM deliveries d{index}{events}"));
            query.push(" WHERE d.organization_id = {}", BoundValue::Number(scope.organization_id.0));
            of_endpoint(&mut query, scope);
        }
    }
    if with_events {
        query.sql.push_str(" AND e.id = d.event_id");
    }
    query.and("d.id < {}", BoundValue::Number(scope.before));
    query.and("d.id >= {}", BoundValue::Number(scope.from));
    // written out, so that a partial index is recognized as usable
    match source {
        LogSource::Failed => query.sql.push_str(" AND d.status = 2"),
        LogSource::Cancelled => query.sql.push_str(" AND d.status = 3"),
        LogSource::Replays => query.sql.push_str(" AND d.replayed"),
        LogSource::Code(code) => {
            query.and(&format!("{NOT_SUCCESS} AND d.response_code = {{}}"), BoundValue::Number(code))
        }
        LogSource::Endpoint | LogSource::Pending | LogSource::Events => {}
    }
    query
}

/// The endpoint as a condition on rows that another index found.
fn of_endpoint(query: &mut DynamicQuery, scope: &LogScope) {
    if let Some(endpoint_id) = scope.endpoint_id {
        query.and("+d.endpoint_id = {}", BoundValue::Number(endpoint_id.0));
    }
}

fn from_events(connection: &AnyConnection, columns: &str, scope: &LogScope, by_type: bool) -> DynamicQuery {
    let mut query = DynamicQuery::new(columns);
    let index = indexed_by(connection, LogSource::index_of_events(by_type));
    query.sql.push_str(&format!(" FROM events e{index}"));
    query.sql.push_str(match connection {
        AnyConnection::Sqlite(_) => {
            " CROSS JOIN deliveries d \
             WHERE d.id > e.id AND d.id <= e.last_delivery_id AND d.event_id = e.id"
        }
        AnyConnection::Postgres(_) => {
            " CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE deliveries.id > e.id \
             AND deliveries.id <= e.last_delivery_id AND deliveries.event_id = e.id OFFSET 0) d WHERE true"
        }
    });
    query.and("e.organization_id = {}", BoundValue::Number(scope.organization_id.0));
    query.and("e.id < {}", BoundValue::Number(scope.before));
    query.and("e.id >= {}", BoundValue::Number(scope.events_from));
    query.and("+d.organization_id = {}", BoundValue::Number(scope.organization_id.0));
    query.and("+d.id < {}", BoundValue::Number(scope.before));
    query.and("+d.id >= {}", BoundValue::Number(scope.from));
    of_endpoint(&mut query, scope);
    query
}

/// Columns of pending deliveries, from the queues' index alone. Its order is another one, so the condition on
/// ids must not select the index that is in the order of ids.
pub(super) fn pending_ids(connection: &AnyConnection, columns: &str, scope: &LogScope) -> DynamicQuery {
    let mut query = DynamicQuery::new(columns);
    let index = indexed_by(connection, LogSource::Pending.index(true));
    query.sql.push_str(&format!(" FROM endpoints o CROSS JOIN deliveries d{index}"));
    query.sql.push_str(" WHERE d.endpoint_id = o.id AND d.status = 0");
    query.and("o.organization_id = {}", BoundValue::Number(scope.organization_id.0));
    if let Some(endpoint_id) = scope.endpoint_id {
        query.and("o.id = {}", BoundValue::Number(endpoint_id.0));
    }
    query.and("+d.id < {}", BoundValue::Number(scope.before));
    query.and("+d.id >= {}", BoundValue::Number(scope.from));
    query
}

fn from_pending(
    connection: &AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    limit: usize,
) -> DynamicQuery {
    let mut query = pending_ids(connection, &format!("{COLUMNS} FROM (SELECT d.id"), scope);
    scope.times.restrict(&mut query, "d.id", "d.created_at");
    if LogSource::Pending.fits(filter) {
        query.push(" ORDER BY d.id DESC LIMIT {}", BoundValue::Number(sql_limit(limit)));
    }
    query.sql.push_str(") p CROSS JOIN deliveries d CROSS JOIN events e WHERE d.id = p.id AND e.id = d.event_id");
    query.and("d.organization_id = {}", BoundValue::Number(scope.organization_id.0));
    query
}

/// The columns of a first attempt in its delivery's own row.
pub(super) type OwnAttempt = (Option<i64>, Option<i64>, Option<Vec<u8>>);

/// Number, start, duration, response code, error, detail.
pub(super) type AttemptColumns = (i32, i64, i64, Option<i32>, Option<String>, Vec<u8>);

pub(super) fn record(id: DeliveryId, columns: AttemptColumns) -> StoreResult<AttemptRecord> {
    let (number, started_at, duration_ms, code, error, detail) = columns;
    let stored = StoredAttempt {
        number: number.max(0) as u32,
        started_at: UnixMillis(started_at),
        duration_ms,
        response_code: code.map(response_code).transpose()?,
        error,
        detail,
    };
    stored.into_record(id).map_err(corrupt)
}
