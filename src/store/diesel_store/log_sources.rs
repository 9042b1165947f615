//! Where rows of the log come from: which index, and how much of it one page may read.
//!
//! Every index of deliveries that successes would have to write costs each delivery; there is none by
//! organization, by status or by type. Failed, pending and cancelled deliveries have partial ones. For a filter
//! that no index fits by itself, the page reads a bounded part of the best index and returns where the next
//! page continues.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::events_by::EventsBy;
use super::log_rows::{self, LogScope, LogSource, NOT_SUCCESS};
use super::query::{BoundValue, DynamicQuery, NumberRow};
use super::sql_limit;
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};

/// What one page may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageBounds {
    /// About how many rows it may look at without showing them.
    pub(super) rows: usize,
    /// Whether all pending deliveries of the endpoint or organization are few enough to be sorted.
    pub(super) can_sort_pending: bool,
}

/// The sources of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceChoice {
    /// Together they have every row that the filter selects, each once.
    pub(super) sources: Vec<LogSource>,
    /// This page reads no ids below it; `None` if it may read all.
    pub(super) floor: Option<i64>,
}

/// Chooses for a page.
pub(super) fn choose(
    connection: &mut AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    bounds: PageBounds,
) -> StoreResult<SourceChoice> {
    let mut best: Option<SourceChoice> = None;
    if let Some(id) = filter.event_id {
        // it has as many deliveries as webhooks want it
        return Ok(SourceChoice { sources: vec![LogSource::Events, LogSource::ReplaysOf(id)], floor: None });
    }
    for path in access_paths(filter, bounds.can_sort_pending) {
        let sources = path.sources(connection, filter, scope)?;
        if sources.iter().all(|source| source.fits(filter)) {
            return Ok(SourceChoice { sources, floor: None });
        }
        match floor(connection, &sources, filter, scope, bounds.rows)? {
            None => return Ok(SourceChoice { sources, floor: None }),
            floor => best = best.or(Some(SourceChoice { sources, floor })),
        }
    }
    Ok(best.unwrap_or(SourceChoice { sources: vec![LogSource::Events, LogSource::Replays], floor: None }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessPath {
    Codes { low: u16, high: u16 },
    One(LogSource),
    Organization,
}

/// All ways to reach the rows that a filter selects, the one first that has most of them among its newest
/// entries.
fn access_paths(filter: &DeliveryFilter, can_sort_pending: bool) -> Vec<AccessPath> {
    let mut paths = Vec::new();
    if filter.tag.is_some() {
        return vec![AccessPath::Organization];
    }
    if let Some((low, high)) = filter.response_code.filter(|(low, high)| *high < 200 || *low > 299) {
        paths.push(AccessPath::Codes { low, high });
    }
    match filter.status {
        Some(DeliveryStatus::Pending) if can_sort_pending => paths.push(AccessPath::One(LogSource::Pending)),
        Some(DeliveryStatus::Failed) => paths.push(AccessPath::One(LogSource::Failed)),
        Some(DeliveryStatus::Cancelled) => paths.push(AccessPath::One(LogSource::Cancelled)),
        Some(DeliveryStatus::Pending | DeliveryStatus::Success) | None => {}
    }
    let by_endpoint = |path: &AccessPath| !matches!(path, AccessPath::One(LogSource::Cancelled));
    if filter.endpoint_id.is_some() && !paths.iter().any(by_endpoint) {
        paths.push(AccessPath::One(LogSource::Endpoint));
    }
    if filter.event_type.is_some() || paths.is_empty() {
        paths.push(AccessPath::Organization);
    }
    paths
}

impl AccessPath {
    fn sources(
        self,
        connection: &mut AnyConnection,
        filter: &DeliveryFilter,
        scope: &LogScope,
    ) -> StoreResult<Vec<LogSource>> {
        match self {
            Self::Codes { low, high } if low == high => Ok(vec![LogSource::Code(i64::from(low))]),
            Self::Codes { low, high } => {
                let (column, owner) = match filter.endpoint_id {
                    Some(endpoint_id) => ("endpoint_id", endpoint_id.0),
                    None => ("organization_id", scope.organization_id.0),
                };
                let codes: Vec<NumberRow> = diesel::sql_query(codes(column))
                    .bind::<BigInt, _>(owner)
                    .bind::<Integer, _>(i32::from(high))
                    .bind::<Integer, _>(i32::from(low))
                    .load(connection)?;
                Ok(codes.into_iter().map(|code| LogSource::Code(code.n)).collect())
            }
            Self::One(source) => Ok(vec![source]),
            Self::Organization => Ok(vec![LogSource::Events, LogSource::Replays]),
        }
    }
}

/// A skip scan for the codes that occur in a range: each step seeks the next one. SQLite numbers parameters in
/// the order in which they appear.
pub(super) fn codes(column: &str) -> String {
    let next = format!(
        "SELECT min(d.response_code) FROM deliveries d WHERE d.{column} = $1 AND {NOT_SUCCESS} \
         AND d.response_code <= $2 AND d.response_code"
    );
    format!(
        "WITH RECURSIVE codes (code) AS ({next} >= $3 UNION ALL SELECT ({next} > codes.code) FROM codes \
         WHERE codes.code IS NOT NULL) SELECT CAST(code AS BIGINT) AS n FROM codes WHERE code IS NOT NULL"
    )
}

/// The id from which on the sources have about `bound` rows; `None` if they have no more than that.
fn floor(
    connection: &mut AnyConnection,
    sources: &[LogSource],
    filter: &DeliveryFilter,
    scope: &LogScope,
    bound: usize,
) -> StoreResult<Option<i64>> {
    let codes = sources.iter().filter(|source| matches!(source, LogSource::Code(_))).count();
    let each = bound / codes.max(1);
    let mut floor = None;
    for source in sources {
        let own = match source {
            LogSource::Events => floor_of_events(connection, filter, scope, each)?,
            source => nth(connection, *source, scope, each).load::<NumberRow>(connection)?.pop().map(|row| row.n),
        };
        floor = floor.max(own);
    }
    Ok(floor)
}

/// The id with `before` newer ones, read from the index alone.
pub(super) fn nth(connection: &AnyConnection, source: LogSource, scope: &LogScope, before: usize) -> DynamicQuery {
    let mut query = match source {
        LogSource::Pending => log_rows::pending_ids(connection, "SELECT d.id AS n", scope),
        source => log_rows::from(connection, "SELECT d.id AS n", source, scope, false),
    };
    query.push(" ORDER BY d.id DESC LIMIT 1 OFFSET {}", BoundValue::Number(sql_limit(before)));
    query
}

#[derive(QueryableByName)]
struct DeliveryCountRow {
    #[diesel(sql_type = Integer)]
    delivery_count: i32,
}

/// An organization's rows are stored next to each other: this many are read in the time of one row that an
/// index finds.
const SIDE_BY_SIDE: usize = 8;
/// How many events are sampled to estimate the number of deliveries per event.
const SAMPLE: usize = 200;

fn floor_of_events(
    connection: &mut AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    bound: usize,
) -> StoreResult<Option<i64>> {
    let bound = if filter.event_type.is_none() && filter.tag.is_none() {
        bound.saturating_mul(SIDE_BY_SIDE)
    } else {
        bound
    };
    let sample: Vec<DeliveryCountRow> = fans(connection, filter, scope, SAMPLE).load(connection)?;
    // an event's row is read as well
    let rows: usize = sample.iter().map(|event| 1 + event.delivery_count.max(0) as usize).sum();
    if sample.len() < SAMPLE && rows <= bound {
        return Ok(None);
    }
    let events = bound.saturating_mul(sample.len()) / rows.max(1);
    Ok(nth_event(connection, filter, scope, events.max(1)).load::<NumberRow>(connection)?.pop().map(|row| row.n))
}

/// The event with `before` newer ones.
pub(super) fn nth_event(
    connection: &AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    before: usize,
) -> DynamicQuery {
    let mut query = events(connection, "SELECT e.id AS n", filter, scope);
    let id = EventsBy::of_deliveries(filter).id();
    query.push(&format!(" ORDER BY {id} DESC LIMIT 1 OFFSET {{}}"), BoundValue::Number(sql_limit(before)));
    query
}

/// The number of deliveries of each of the newest events.
pub(super) fn fans(
    connection: &AnyConnection,
    filter: &DeliveryFilter,
    scope: &LogScope,
    limit: usize,
) -> DynamicQuery {
    let mut query = events(connection, "SELECT e.delivery_count", filter, scope);
    let id = EventsBy::of_deliveries(filter).id();
    query.push(&format!(" ORDER BY {id} DESC LIMIT {{}}"), BoundValue::Number(sql_limit(limit)));
    query
}

fn events(connection: &AnyConnection, columns: &str, filter: &DeliveryFilter, scope: &LogScope) -> DynamicQuery {
    let by = EventsBy::of_deliveries(filter);
    let mut query = DynamicQuery::new(&format!("{columns} FROM {} WHERE true", by.tables(connection)));
    by.restrict(&mut query, scope.organization_id);
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", BoundValue::Text(event_type.clone()));
    }
    log_rows::events_between(&mut query, scope, by);
    query
}
