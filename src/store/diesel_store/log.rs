//! The delivery log.

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::detail::StoredAttempt;
use super::super::models::{DeliveryRow, corrupt, id_bound, response_code};
use super::super::schema::{attempts, deliveries, events};
use super::super::{DeliveryDetail, PageRequest, StoreResult};
use super::query::{Query, Value};
use super::sql_limit;
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::ids::{DeliveryId, EndpointId, IDS_A_MILLISECOND, OrganizationId};
use crate::domain::time::UnixMillis;

/// A row of the log with its event's type. The type is read from the event instead of being stored with every
/// delivery: a page joins 200 rows at most, while a copy would be written millions of times.
#[derive(QueryableByName)]
struct LogRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Text)]
    event_type: String,
}

const COLUMNS: &str = "SELECT d.id, d.organization_id, d.endpoint_id, d.event_id, d.status, d.attempt_count, \
                       d.created_at, d.due_at, d.finished_at, d.response_code, d.error, e.event_type";

/// How far an event's id can be older than a delivery's: a second of ids, more than any event has deliveries.
const EVENT_SLACK: i64 = 1_000 * IDS_A_MILLISECOND;

/// Where rows of the log come from. There is no index of deliveries by organization: it would be a third one to
/// write for every delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The endpoint's index.
    Endpoint,
    /// The index of what failed.
    Failed,
    /// The organization's events, and from each its range of the primary key.
    Events,
    /// The index of what replays made: their ids are in no event's range.
    Replays,
}

/// Which rows.
pub(super) struct Scope {
    pub(super) organization_id: OrganizationId,
    pub(super) endpoint_id: Option<EndpointId>,
    /// Ids smaller than this.
    pub(super) before: i64,
    /// Ids from this.
    pub(super) from: i64,
}

/// The sources that together have all that is asked for, each row once.
pub(super) fn sources(filter: &DeliveryFilter) -> &'static [Source] {
    match (filter.endpoint_id, filter.status) {
        (Some(_), _) => &[Source::Endpoint],
        (None, Some(DeliveryStatus::Failed)) => &[Source::Failed],
        (None, _) => &[Source::Events, Source::Replays],
    }
}

pub(super) fn list(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> StoreResult<Vec<DeliveryRecord>> {
    let mut rows: Vec<LogRow> = Vec::new();
    for source in sources(filter) {
        rows.extend(build(connection, *source, organization_id, filter, page).load::<LogRow>(connection)?);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.delivery.id));
    rows.truncate(page.limit);
    rows.into_iter().map(|row| row.delivery.into_record(row.event_type)).collect()
}

/// The query for a page from one source.
pub(super) fn build(
    connection: &AnyConnection,
    source: Source,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> Query {
    let before = filter.to.map_or(i64::MAX, id_bound).min(page.before_id.unwrap_or(i64::MAX));
    let scope =
        Scope { organization_id, endpoint_id: filter.endpoint_id, before, from: filter.from.map_or(0, id_bound) };
    let mut query = from(connection, COLUMNS, source, &scope);
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", Value::Text(event_type.clone()));
    }
    match filter.status {
        // written out, so that a partial index is seen to fit
        Some(DeliveryStatus::Failed) => query.sql.push_str(" AND d.status = 2"),
        Some(status) => query.and("d.status = {}", Value::Number(i64::from(status.code()))),
        None => {}
    }
    if let Some((low, high)) = filter.response_code {
        query.and("d.response_code >= {}", Value::Number(i64::from(low)));
        query.and("d.response_code <= {}", Value::Number(i64::from(high)));
    }
    newest(&mut query, source, page.limit);
    query
}

/// The newest rows first, at most so many.
pub(super) fn newest(query: &mut Query, source: Source, limit: usize) {
    query.sql.push_str(match source {
        Source::Events => " ORDER BY e.id DESC, d.id DESC",
        Source::Endpoint | Source::Failed | Source::Replays => " ORDER BY d.id DESC",
    });
    query.push(" LIMIT {}", Value::Number(sql_limit(limit)));
}

/// Columns from a source: deliveries `d` with their events `e`. `CROSS JOIN` fixes the order of the loops in
/// SQLite, `LATERAL` with `OFFSET 0` in PostgreSQL; a plus before a column keeps its condition out of the choice
/// of an index.
pub(super) fn from(connection: &AnyConnection, columns: &str, source: Source, scope: &Scope) -> Query {
    if source == Source::Events {
        return from_events(connection, columns, scope);
    }
    let mut query = Query::new(columns);
    query.sql.push_str(" FROM deliveries d CROSS JOIN events e WHERE e.id = d.event_id");
    match scope.endpoint_id {
        Some(endpoint_id) => {
            query.and("d.endpoint_id = {}", Value::Number(endpoint_id.0));
            query.and("+d.organization_id = {}", Value::Number(scope.organization_id.0));
        }
        None => query.and("d.organization_id = {}", Value::Number(scope.organization_id.0)),
    }
    query.and("d.id < {}", Value::Number(scope.before));
    query.and("d.id >= {}", Value::Number(scope.from));
    if source == Source::Replays {
        query.sql.push_str(" AND d.replayed");
    }
    query
}

fn from_events(connection: &AnyConnection, columns: &str, scope: &Scope) -> Query {
    let mut query = Query::new(columns);
    query.sql.push_str(match connection {
        AnyConnection::Sqlite(_) => {
            " FROM events e CROSS JOIN deliveries d \
             WHERE d.id > e.id AND d.id <= e.last_delivery_id AND d.event_id = e.id"
        }
        AnyConnection::Postgres(_) => {
            " FROM events e CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE deliveries.id > e.id \
             AND deliveries.id <= e.last_delivery_id AND deliveries.event_id = e.id OFFSET 0) d WHERE true"
        }
    });
    query.and("e.organization_id = {}", Value::Number(scope.organization_id.0));
    query.and("e.id < {}", Value::Number(scope.before));
    query.and("e.id >= {}", Value::Number((scope.from - EVENT_SLACK).max(0)));
    query.and("+d.organization_id = {}", Value::Number(scope.organization_id.0));
    query.and("+d.id < {}", Value::Number(scope.before));
    query.and("+d.id >= {}", Value::Number(scope.from));
    query
}

/// The columns of a first attempt in its delivery's own row.
type OwnAttempt = (Option<i64>, Option<i64>, Option<Vec<u8>>);

pub(super) fn read(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: DeliveryId,
) -> StoreResult<Option<DeliveryDetail>> {
    let row: Option<(DeliveryRow, OwnAttempt, String, Vec<u8>)> = deliveries::table
        .inner_join(events::table.on(events::id.eq(deliveries::event_id)))
        .filter(deliveries::id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .select((
            DeliveryRow::as_select(),
            (deliveries::attempt_started_at, deliveries::attempt_duration_ms, deliveries::attempt_detail),
            events::event_type,
            events::body,
        ))
        .first(connection)
        .optional()?;
    let Some((delivery, own_attempt, event_type, body)) = row else { return Ok(None) };
    let mut found: Vec<AttemptRecord> = Vec::new();
    if let (Some(started_at), Some(duration_ms), Some(detail)) = own_attempt {
        let columns = (1, started_at, duration_ms, delivery.response_code, delivery.error.clone(), detail);
        found.push(record(id, columns)?);
    }
    let rows: Vec<AttemptColumns> = attempts::table
        .filter(attempts::delivery_id.eq(id.0))
        .filter(attempts::organization_id.eq(organization_id.0))
        .order(attempts::number)
        .select((
            attempts::number,
            attempts::started_at,
            attempts::duration_ms,
            attempts::response_code,
            attempts::error,
            attempts::detail,
        ))
        .load(connection)?;
    for row in rows {
        found.push(record(id, row)?);
    }
    let record = delivery.into_record(event_type)?;
    Ok(Some(DeliveryDetail { record, body: Bytes::from(body), attempts: found }))
}

/// Number, start, duration, response code, error, detail.
type AttemptColumns = (i32, i64, i64, Option<i32>, Option<String>, Vec<u8>);

fn record(id: DeliveryId, columns: AttemptColumns) -> StoreResult<AttemptRecord> {
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
