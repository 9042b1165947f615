//! The delivery log.

use std::time::Duration;

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::connection::{AnyBackend, AnyConnection};
use super::super::detail::StoredAttempt;
use super::super::models::{DeliveryRow, corrupt, id_bound, response_code};
use super::super::schema::{attempts, deliveries, events};
use super::super::{DeliveryDetail, PageRequest, StoreResult};
use super::sql_limit;
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::ids::{DeliveryId, OrganizationId};
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

/// How far an event's id can be older than a delivery's: more ids than any event has deliveries.
const EVENT_SLACK: Duration = Duration::from_secs(1);

/// A condition's value.
enum Value {
    Number(i64),
    Text(String),
}

/// A query that is put together by what is asked for; only texts of this file become SQL, values are bound.
pub(super) struct LogQuery {
    pub(super) sql: String,
    values: Vec<Value>,
}

impl LogQuery {
    /// Adds a condition; `{}` stands for its value.
    fn and(&mut self, condition: &str, value: Value) {
        self.values.push(value);
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace("{}", &format!("${}", self.values.len())));
    }
}

pub(super) fn list(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> StoreResult<Vec<DeliveryRecord>> {
    let query = build(connection, organization_id, filter, page);
    let mut statement = diesel::sql_query(query.sql).into_boxed::<AnyBackend>();
    for value in query.values {
        statement = match value {
            Value::Number(number) => statement.bind::<BigInt, _>(number),
            Value::Text(text) => statement.bind::<Text, _>(text),
        };
    }
    let rows: Vec<LogRow> = statement.load(connection)?;
    rows.into_iter().map(|row| row.delivery.into_record(row.event_type)).collect()
}

/// The query for a page.
pub(super) fn build(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
) -> LogQuery {
    let before = filter.to.map_or(i64::MAX, id_bound).min(page.before_id.unwrap_or(i64::MAX));
    let from = filter.from.map_or(0, id_bound);
    let mut query = source(connection, organization_id, filter, before, from);
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", Value::Text(event_type.clone()));
    }
    if let Some(status) = filter.status {
        query.and("d.status = {}", Value::Number(i64::from(status.code())));
    }
    if let Some((low, high)) = filter.response_code {
        query.and("d.response_code >= {}", Value::Number(i64::from(low)));
        query.and("d.response_code <= {}", Value::Number(i64::from(high)));
    }
    let by_event = filter.endpoint_id.is_none() && filter.status != Some(DeliveryStatus::Failed);
    query.sql.push_str(if by_event { " ORDER BY e.id DESC, d.id DESC" } else { " ORDER BY d.id DESC" });
    query.values.push(Value::Number(sql_limit(page.limit)));
    query.sql.push_str(&format!(" LIMIT ${}", query.values.len()));
    query
}

/// Where the rows come from: the endpoint's index, the index of what failed, or the organization's events and
/// from each its range of the primary key. There is no index of deliveries by organization: it would be a third
/// one to write for every delivery. `CROSS JOIN` fixes the order of the loops in SQLite, `LATERAL` with
/// `OFFSET 0` in PostgreSQL; a plus before a column keeps its condition out of the choice of an index.
fn source(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    before: i64,
    from: i64,
) -> LogQuery {
    let mut query = LogQuery { sql: String::from(COLUMNS), values: Vec::new() };
    let organization = || Value::Number(organization_id.0);
    if filter.endpoint_id.is_some() || filter.status == Some(DeliveryStatus::Failed) {
        query.sql.push_str(" FROM deliveries d CROSS JOIN events e WHERE e.id = d.event_id");
        query.and("d.organization_id = {}", organization());
        query.and("d.id < {}", Value::Number(before));
        query.and("d.id >= {}", Value::Number(from));
        match filter.endpoint_id {
            Some(endpoint_id) => query.and("d.endpoint_id = {}", Value::Number(endpoint_id.0)),
            // written out, so that the partial index is seen to fit
            None => query.sql.push_str(" AND d.status = 2"),
        }
        return query;
    }
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
    query.and("e.organization_id = {}", organization());
    query.and("e.id < {}", Value::Number(before));
    let oldest_event = filter.from.map_or(0, |from| id_bound(from - EVENT_SLACK));
    query.and("e.id >= {}", Value::Number(oldest_event));
    query.and("+d.organization_id = {}", organization());
    query.and("+d.id < {}", Value::Number(before));
    query.and("+d.id >= {}", Value::Number(from));
    query
}

/// The columns of a first attempt in its delivery's own row.
type OwnAttempt = (Option<i64>, Option<i64>, Option<String>);

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
        found.push(record((1, started_at, duration_ms, delivery.response_code, delivery.error.clone(), detail))?);
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
        found.push(record(row)?);
    }
    let record = delivery.into_record(event_type)?;
    Ok(Some(DeliveryDetail { record, body: Bytes::from(body), attempts: found }))
}

/// Number, start, duration, response code, error, detail.
type AttemptColumns = (i32, i64, i64, Option<i32>, Option<String>, String);

fn record((number, started_at, duration_ms, code, error, detail): AttemptColumns) -> StoreResult<AttemptRecord> {
    let stored = StoredAttempt {
        number: number.max(0) as u32,
        started_at: UnixMillis(started_at),
        duration_ms,
        response_code: code.map(response_code).transpose()?,
        error,
        detail,
    };
    stored.into_record().map_err(corrupt)
}
