//! Endpoints and their health.

use diesel::backend::Backend;
use diesel::expression::ValidGrouping;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Bool;

use super::super::connection::AnyConnection;
use super::super::models::{EndpointRow, HealthRow};
use super::super::schema::{deliveries, endpoint_health, endpoints};
use super::super::{
    CANCELLED_AT_ONCE, DisableEndpoint, EndpointStart, PageRequest, SavedHealth, StoreError, StoreResult,
};
use super::{failures, sql_limit};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::cipher::Cipher;

pub(super) fn create(connection: &mut AnyConnection, cipher: &Cipher, endpoint: &Endpoint) -> StoreResult<()> {
    let row = EndpointRow::seal(endpoint, cipher)?;
    diesel::insert_into(endpoints::table).values(row).execute(connection)?;
    Ok(())
}

pub(super) fn list(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    organization_id: OrganizationId,
    page: PageRequest,
) -> StoreResult<Vec<EndpointStart>> {
    let rows: Vec<(EndpointRow, Option<HealthRow>)> = endpoints::table
        .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
        .filter(endpoints::organization_id.eq(organization_id.0))
        .filter(endpoints::deleted_at.is_null())
        .filter(endpoints::id.lt(page.before_id.unwrap_or(i64::MAX)))
        .order(endpoints::id.desc())
        .limit(sql_limit(page.limit))
        .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
        .load(connection)?;
    rows.into_iter().map(|row| start(row, cipher)).collect()
}

pub(super) fn read(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    organization_id: OrganizationId,
    id: EndpointId,
) -> StoreResult<Option<EndpointStart>> {
    let row: Option<(EndpointRow, Option<HealthRow>)> = endpoints::table
        .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
        .filter(endpoints::id.eq(id.0))
        .filter(endpoints::organization_id.eq(organization_id.0))
        .filter(endpoints::deleted_at.is_null())
        .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
        .first(connection)
        .optional()?;
    row.map(|row| start(row, cipher)).transpose()
}

fn start((row, health): (EndpointRow, Option<HealthRow>), cipher: &Cipher) -> StoreResult<EndpointStart> {
    let endpoint = row.open(cipher)?;
    let health = match health {
        Some(health) => EndpointHealth::from(health),
        None => EndpointHealth::healthy(endpoint.organization_id, endpoint.id),
    };
    Ok(EndpointStart { endpoint, health })
}

pub(super) fn update(connection: &mut AnyConnection, cipher: &Cipher, endpoint: &Endpoint) -> StoreResult<()> {
    let row = EndpointRow::seal(endpoint, cipher)?;
    let read = endpoints::table
        .filter(endpoints::id.eq(endpoint.id.0))
        .filter(endpoints::organization_id.eq(endpoint.organization_id.0))
        .filter(endpoints::deleted_at.is_null())
        .filter(endpoints::version.eq(endpoint.version - 1));
    let before: Option<(String, bool)> =
        read.select((endpoints::url, endpoints::active)).first(connection).optional()?;
    let Some((url, active)) = before else { return Err(StoreError::Conflict) };
    if diesel::update(read).set(row).execute(connection)? == 0 {
        return Err(StoreError::Conflict);
    }
    if url != endpoint.url || (endpoint.active && !active) {
        diesel::delete(endpoint_health::table.find(endpoint.id.0)).execute(connection)?;
    }
    Ok(())
}

pub(super) fn delete(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EndpointId,
    now: UnixMillis,
) -> StoreResult<Option<usize>> {
    let live = endpoints::table
        .filter(endpoints::id.eq(id.0))
        .filter(endpoints::organization_id.eq(organization_id.0))
        .filter(endpoints::deleted_at.is_null());
    // nothing that it was trusted with outlives it, an address included, which can hold a token: what is left is a name in
    // the log of its deliveries, and goes with the last of them
    let deleted = diesel::update(live).set((
        endpoints::deleted_at.eq(now.0),
        endpoints::url.eq(""),
        endpoints::description.eq(None::<String>),
        endpoints::events.eq("[]"),
        endpoints::filters.eq(None::<String>),
        endpoints::headers.eq(None::<Vec<u8>>),
        endpoints::secret.eq(Vec::new()),
        endpoints::previous_secret.eq(None::<Vec<u8>>),
        endpoints::previous_secret_expires_at.eq(None::<i64>),
        endpoints::older_secrets.eq(None::<Vec<u8>>),
    ));
    if deleted.execute(connection)? == 0 {
        return Ok(None);
    }
    diesel::delete(endpoint_health::table.find(id.0)).execute(connection)?;
    failures::forget(connection, id)?;
    cancel_pending(connection, organization_id, id, now).map(Some)
}

pub(super) fn cancel_pending(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    now: UnixMillis,
) -> StoreResult<usize> {
    let pending: Vec<i64> = deliveries::table
        .filter(deliveries::endpoint_id.eq(endpoint_id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(IsPending)
        .order((deliveries::queued_at, deliveries::id))
        .limit(sql_limit(CANCELLED_AT_ONCE))
        .select(deliveries::id)
        .load(connection)?;
    let cancelled = diesel::update(deliveries::table.filter(deliveries::id.eq_any(pending)))
        .set((deliveries::status.eq(DeliveryStatus::Cancelled.code()), deliveries::finished_at.eq(now.0)))
        .execute(connection)?;
    Ok(cancelled)
}

/// Written out and not bound: a partial index is only used where the query shows its condition. And an expression of its
/// own, not a text (`diesel::dsl::sql`), for which Diesel has the whole query compiled again whenever it runs.
#[derive(Debug, Clone, Copy, QueryId, ValidGrouping)]
pub(super) struct IsPending;

impl Expression for IsPending {
    type SqlType = Bool;
}

impl<Source> AppearsOnTable<Source> for IsPending {}
impl<Source> SelectableExpression<Source> for IsPending {}

impl<DB: Backend> QueryFragment<DB> for IsPending {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("deliveries.status = 0");
        Ok(())
    }
}

/// Remembers the condition of endpoints that still exist and point where it was found; of a blank one there is nothing to
/// remember.
pub(super) fn save_health(connection: &mut AnyConnection, saved: &[SavedHealth]) -> StoreResult<()> {
    for SavedHealth { health, url } in saved {
        let live: Option<i64> = endpoints::table
            .filter(endpoints::id.eq(health.endpoint_id.0))
            .filter(endpoints::organization_id.eq(health.organization_id.0))
            .filter(endpoints::deleted_at.is_null())
            .filter(endpoints::url.eq(url.as_ref()))
            .select(endpoints::id)
            .first(connection)
            .optional()?;
        if live.is_none() {
            continue;
        }
        diesel::delete(endpoint_health::table.find(health.endpoint_id.0)).execute(connection)?;
        if !health.is_blank() {
            diesel::insert_into(endpoint_health::table).values(HealthRow::from(health)).execute(connection)?;
        }
    }
    Ok(())
}

pub(super) fn close_breaker(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
) -> StoreResult<()> {
    let row = endpoint_health::table
        .filter(endpoint_health::endpoint_id.eq(endpoint_id.0))
        .filter(endpoint_health::organization_id.eq(organization_id.0));
    diesel::update(row)
        .set((endpoint_health::probe_at.eq(None::<i64>), endpoint_health::pauses.eq(0)))
        .execute(connection)?;
    Ok(())
}

/// Disables endpoints; returns those that this call disabled, as they are now, and the events that were to tell of those
/// that it did not.
pub(super) fn disable(
    connection: &mut AnyConnection,
    cipher: &Cipher,
    disable: &[DisableEndpoint],
    now: UnixMillis,
) -> StoreResult<(Vec<Endpoint>, Vec<EventId>)> {
    let (mut disabled, mut withheld) = (Vec::new(), Vec::new());
    for DisableEndpoint { organization_id, endpoint_id: id, reason, url, announced_by } in disable {
        let active = endpoints::table
            .filter(endpoints::id.eq(id.0))
            .filter(endpoints::organization_id.eq(organization_id.0))
            .filter(endpoints::deleted_at.is_null())
            .filter(endpoints::active.eq(true))
            .filter(endpoints::url.eq(url.as_ref()));
        let changed = diesel::update(active)
            .set((
                endpoints::active.eq(false),
                endpoints::disabled_reason.eq(reason.as_str()),
                endpoints::disabled_at.eq(now.0),
                endpoints::updated_at.eq(now.0),
                endpoints::version.eq(endpoints::version + 1),
            ))
            .execute(connection)?;
        if changed == 0 {
            withheld.extend(*announced_by);
            continue;
        }
        let start = read(connection, cipher, *organization_id, *id)?;
        disabled.extend(start.map(|start| start.endpoint));
    }
    Ok((disabled, withheld))
}
