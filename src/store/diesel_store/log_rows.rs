//! The sources of the log's rows, and the SQL that reads from one of them.

use super::super::connection::AnyConnection;
use super::events_by::EventsBy;
use super::query::{BoundValue, DynamicQuery, indexed_by};
use super::sql_limit;
use super::time_ranges::{IdRange, TimeCondition};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};
use crate::domain::ids::{EndpointId, EventId, IDS_A_MILLISECOND, OrganizationId};

/// Response codes that [`LogSource::Code`] has; written as in the partial indexes.
pub(super) const NOT_SUCCESS: &str = "(d.response_code < 200 OR d.response_code > 299)";

/// An index, or a substitute for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogSource {
    /// All deliveries of the endpoint.
    Endpoint,
    /// Failed deliveries; only those of the endpoint, if one is given.
    Failed,
    /// Cancelled deliveries.
    Cancelled,
    /// Pending deliveries, from endpoint to endpoint. Queues are in another order than the log, so all their
    /// ids are read.
    Pending,
    /// Deliveries whose last response had this code, not a 2xx; only those of the endpoint, if one is given.
    Code(i64),
    /// The organization's events, or those of them that an index has for the filter, and for each its range of the primary
    /// key.
    Events,
    /// Deliveries made by replays: their ids are in no event's range.
    Replays,
    /// Those of one event.
    ReplaysOf(EventId),
}

impl LogSource {
    /// Whether it has one endpoint's rows only, if one is given.
    pub(super) fn is_by_endpoint(self) -> bool {
        matches!(self, Self::Endpoint | Self::Failed | Self::Code(_) | Self::Pending)
    }

    /// The name of its index of deliveries.
    pub(super) fn index(self, by_endpoint: bool) -> &'static str {
        match self {
            Self::Endpoint => "deliveries_endpoint",
            Self::Failed if by_endpoint => "deliveries_failed_endpoint",
            Self::Failed => "deliveries_failed",
            Self::Cancelled => "deliveries_cancelled",
            Self::Pending => "deliveries_pending",
            Self::Code(_) if by_endpoint => "deliveries_code_endpoint",
            Self::Code(_) => "deliveries_code",
            Self::Events | Self::Replays => "deliveries_replayed",
            Self::ReplaysOf(_) => "deliveries_replayed_event",
        }
    }

    /// The status that all of its rows have, if they share one.
    pub(super) fn status(self) -> Option<DeliveryStatus> {
        match self {
            Self::Failed => Some(DeliveryStatus::Failed),
            Self::Cancelled => Some(DeliveryStatus::Cancelled),
            Self::Pending => Some(DeliveryStatus::Pending),
            Self::Endpoint | Self::Code(_) | Self::Events | Self::Replays | Self::ReplaysOf(_) => None,
        }
    }

    /// Whether it contains only rows that the filter selects.
    pub(super) fn fits(self, filter: &DeliveryFilter) -> bool {
        // of a type, or with a tag
        let by_type = self == Self::Events;
        let by_code = matches!(self, Self::Code(_));
        (filter.endpoint_id.is_none() || self.is_by_endpoint())
            && (filter.event_type.is_none() || by_type && filter.tag.is_none())
            && (filter.tag.is_none() || by_type)
            && (filter.status.is_none() || self.status().is_some())
            && (filter.response_code.is_none() || by_code)
    }
}

/// How much smaller an event's id can be than its delivery's: a second of ids, more than any event has
/// deliveries.
const EVENT_SLACK: i64 = 1_000 * IDS_A_MILLISECOND;

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
    pub(super) fn above(self, floor: i64) -> Self {
        Self { from: self.from.max(floor), events_from: self.events_from.max(floor), ..self }
    }
}

/// Adds the order, newest first, and the limit.
pub(super) fn newest(query: &mut DynamicQuery, source: LogSource, by: EventsBy<'_>, limit: usize) {
    match source {
        LogSource::Events => query.sql.push_str(&format!(" ORDER BY {} DESC, d.id DESC", by.id())),
        _ => query.sql.push_str(" ORDER BY d.id DESC"),
    }
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
        return from_events(connection, columns, scope, EventsBy::Organization);
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
        LogSource::ReplaysOf(id) => query.and("d.replayed AND d.event_id = {}", BoundValue::Number(id.0)),
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

pub(super) fn from_events(
    connection: &AnyConnection,
    columns: &str,
    scope: &LogScope,
    by: EventsBy<'_>,
) -> DynamicQuery {
    let mut query = DynamicQuery::new(columns);
    query.sql.push_str(&format!(" FROM {}", by.tables(connection)));
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
    by.restrict(&mut query, scope.organization_id);
    events_between(&mut query, scope, by);
    query.and("+d.organization_id = {}", BoundValue::Number(scope.organization_id.0));
    query.and("+d.id < {}", BoundValue::Number(scope.before));
    query.and("+d.id >= {}", BoundValue::Number(scope.from));
    of_endpoint(&mut query, scope);
    query
}

/// The events whose deliveries can be in the scope.
pub(super) fn events_between(query: &mut DynamicQuery, scope: &LogScope, by: EventsBy<'_>) {
    query.and(&format!("{} < {{}}", by.id()), BoundValue::Number(scope.before));
    query.and(&format!("{} >= {{}}", by.id()), BoundValue::Number(scope.events_from));
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
