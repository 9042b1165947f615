//! Looking for endpoints of an organization by their state or URL.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::{EndpointRow, HealthRow};
use super::super::schema::{endpoint_health, endpoints};
use super::super::{EndpointSearch, EndpointStart, PageRequest, StoreResult};
use super::query::{BoundValue, DynamicQuery, NumberRow};
use super::sql_limit;
use crate::domain::health::EndpointState;
use crate::domain::ids::OrganizationId;
use crate::store::cipher::Cipher;

/// In two steps, so that settings and secrets are read and opened only of those that are shown.
pub(super) fn read(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    organization_id: OrganizationId,
    search: &EndpointSearch,
    page: PageRequest,
) -> StoreResult<Vec<EndpointStart>> {
    let found: Vec<NumberRow> = ids(organization_id, search, page).load(connection)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(EndpointRow, Option<HealthRow>)> = endpoints::table
        .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
        .filter(endpoints::organization_id.eq(organization_id.0))
        .filter(endpoints::deleted_at.is_null())
        .filter(endpoints::id.eq_any(found.into_iter().map(|row| row.n)))
        .order(endpoints::id.desc())
        .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
        .load(connection)?;
    rows.into_iter().map(|row| super::endpoints::start(row, cipher)).collect()
}

fn ids(organization_id: OrganizationId, search: &EndpointSearch, page: PageRequest) -> DynamicQuery {
    let mut query = DynamicQuery::new("SELECT e.id AS n FROM endpoints e LEFT JOIN endpoint_health h");
    query.sql.push_str(" ON h.endpoint_id = e.id WHERE e.deleted_at IS NULL");
    query.and("e.organization_id = {}", BoundValue::Number(organization_id.0));
    query.and("e.id < {}", BoundValue::Number(page.before_id.unwrap_or(i64::MAX)));
    match search {
        EndpointSearch::Url(part) => {
            let pattern = format!("%{}%", escaped(&part.to_ascii_lowercase()));
            query.and("lower(e.url) LIKE {} ESCAPE '!'", BoundValue::Text(pattern));
        }
        EndpointSearch::State(state) => query.sql.push_str(in_state(*state)),
        EndpointSearch::Troubled => query.sql.push_str(
            " AND CASE WHEN e.active THEN h.probe_at IS NOT NULL OR h.failing_since IS NOT NULL \
             ELSE e.disabled_reason IN ('gone', 'failing') END",
        ),
        EndpointSearch::RateLimited => query.sql.push_str(" AND e.rate_limit IS NOT NULL"),
    }
    query.push(" ORDER BY e.id DESC LIMIT {}", BoundValue::Number(sql_limit(page.limit)));
    query
}

/// The same cases as [`EndpointState::of`].
fn in_state(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Healthy => " AND e.active AND h.probe_at IS NULL AND h.failing_since IS NULL",
        EndpointState::Failing => " AND e.active AND h.probe_at IS NULL AND h.failing_since IS NOT NULL",
        EndpointState::Paused => " AND e.active AND h.probe_at IS NOT NULL",
        EndpointState::Disabled => " AND NOT e.active",
    }
}

/// A text that a pattern of `LIKE` takes as it is.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern
}
