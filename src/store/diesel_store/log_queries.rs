//! Queries for pages of the delivery log.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::super::connection::AnyConnection;
use super::super::detail::StoredAttempt;
use super::super::models::{DeliveryRow, corrupt, response_code};
use super::super::{LogPage, PageRequest, StoreResult};
use super::event_labels;
use super::events_by::EventsBy;
use super::id_leads::IdLead;
use super::log_rows::{LogScope, LogSource, from, from_events, newest, pending_ids};
use super::log_sources::{self, PageBounds, SourceChoice};
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use super::time_ranges::{Period, id_ranges};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::DeliveryFilter;
use crate::domain::ids::{DeliveryId, OrganizationId};
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

/// About how many rows a page may look at without showing them. Smaller: choosing the index costs more than
/// reading the rows. Larger: the shortest page that has to search takes longer.
pub(super) const ROWS_LOOKED_AT: usize = 1_000;

/// Pending deliveries whose ids are all read and sorted for a page. More are looked for among all deliveries, newest first,
/// like a status that no index fits: then they are most of the newest ones, or many newer ones have ended, and the pages
/// become short. Smaller: that happens more often. Larger: a page takes longer, by about 0.3 ms for each thousand.
pub(super) const PENDING_SORTED: u64 = 4_000;

/// A page of the log.
pub(super) fn list(
    connection: &mut AnyConnection,
    runs: &[IdLead],
    organization_id: OrganizationId,
    filter: &DeliveryFilter,
    page: PageRequest,
    bounds: PageBounds,
) -> StoreResult<LogPage> {
    let ranges = id_ranges(connection, runs, Period { from: filter.from, to: filter.to })?;
    let mut found = LogPage::default();
    for range in ranges.into_iter().rev() {
        let scope = LogScope::of(organization_id, filter.endpoint_id, range, page.before_id);
        let limit = page.limit - found.rows.len();
        if scope.is_empty() || limit == 0 {
            continue;
        }
        let part = list_part(connection, filter, &scope, limit, bounds)?;
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
    bounds: PageBounds,
) -> StoreResult<LogPage> {
    let SourceChoice { sources, floor } = log_sources::choose(connection, filter, scope, bounds)?;
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
    let by = EventsBy::of_deliveries(filter);
    let mut query = match source {
        LogSource::Pending => from_pending(connection, filter, scope, limit),
        LogSource::Events => from_events(connection, COLUMNS, scope, by),
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
    if let Some(tag) = filter.tag.as_ref().filter(|_| source != LogSource::Events || filter.event_id.is_some()) {
        event_labels::and_tagged(&mut query, "d.event_id", tag);
    }
    newest(&mut query, source, by, limit);
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
