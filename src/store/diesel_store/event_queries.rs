//! Queries for the list of events.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::PageRequest;
use super::super::connection::AnyConnection;
use super::events_by::EventsBy;
use super::query::{BoundValue, DynamicQuery};
use super::sql_limit;
use super::time_ranges::IdRange;
use crate::domain::event::EventFilter;
use crate::domain::ids::OrganizationId;

#[derive(QueryableByName)]
pub(super) struct ListedEvent {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Text)]
    pub(super) event_type: String,
    #[diesel(sql_type = BigInt)]
    pub(super) occurred_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) accepted_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) deliveries: i64,
}

/// The query for a page of one range of ids.
pub(super) fn build(
    connection: &AnyConnection,
    organization_id: OrganizationId,
    filter: &EventFilter,
    range: IdRange,
    page: PageRequest,
) -> DynamicQuery {
    let before = page.before_id.map_or(range.before, |before| before.min(range.before));
    let by = EventsBy::of_events(filter);
    let mut query = DynamicQuery::new(
        "SELECT e.id, e.event_type, e.occurred_at, e.accepted_at, e.delivery_count + \
         (SELECT count(*) FROM deliveries d WHERE d.event_id = e.id AND d.replayed) AS deliveries FROM ",
    );
    query.sql.push_str(&by.tables(connection));
    query.sql.push_str(" WHERE true");
    by.restrict(&mut query, organization_id);
    query.and(&format!("{} < {{}}", by.id()), BoundValue::Number(before));
    query.and(&format!("{} >= {{}}", by.id()), BoundValue::Number(range.from));
    range.times.restrict(&mut query, "e.id", "e.accepted_at");
    if let Some(event_type) = &filter.event_type {
        query.and("e.event_type = {}", BoundValue::Text(event_type.clone()));
    }
    query.push(&format!(" ORDER BY {} DESC LIMIT {{}}", by.id()), BoundValue::Number(sql_limit(page.limit)));
    query
}

/// Type, instants, id of the last delivery of its range, number of deliveries in it, body.
pub(super) type EventColumns = (String, i64, i64, i64, i32, Vec<u8>);
