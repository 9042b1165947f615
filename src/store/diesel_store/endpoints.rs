//! Queries on endpoints and their health that several parts share.

use diesel::backend::Backend;
use diesel::expression::ValidGrouping;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType};

use super::super::connection::AnyConnection;
use super::super::models::{EndpointRow, HealthRow};
use super::super::schema::{deliveries, endpoint_health, endpoints};
use super::super::{
    CANCELLED_AT_ONCE, Changed, DisableEndpoint, EndpointStart, QueuePosition, SavedHealth, StoreResult,
};
use super::{changes, sql_limit};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::cipher::Cipher;

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
        .filter(IsOwned)
        .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
        .first(connection)
        .optional()?;
    row.map(|row| start(row, cipher)).transpose()
}

pub(super) fn start(
    (row, health): (EndpointRow, Option<HealthRow>),
    cipher: &Cipher,
) -> StoreResult<EndpointStart> {
    let endpoint = row.open(cipher)?;
    let health = match health {
        Some(health) => EndpointHealth::from(health),
        None => EndpointHealth::healthy(endpoint.organization_id, endpoint.id),
    };
    Ok(EndpointStart { endpoint, health })
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
    // one that an outcome ended meanwhile keeps it
    let cancelled = diesel::update(deliveries::table.filter(deliveries::id.eq_any(pending)).filter(IsPending))
        .set((deliveries::status.eq(DeliveryStatus::Cancelled.code()), deliveries::finished_at.eq(now.0)))
        .execute(connection)?;
    Ok(cancelled)
}

/// A condition that is written out instead of bound: a partial index is only used if the query shows its
/// condition. And an expression type instead of a text (`diesel::dsl::sql`), for which Diesel would compile the
/// whole query again on every run.
macro_rules! condition {
    ($(#[$doc:meta])* $name:ident = $sql:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, QueryId, ValidGrouping)]
        pub(super) struct $name;

        impl Expression for $name {
            type SqlType = Bool;
        }

        impl<Source> AppearsOnTable<Source> for $name {}
        impl<Source> SelectableExpression<Source> for $name {}

        impl<DB: Backend> QueryFragment<DB> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }
    };
}

condition!(
    /// A pending delivery.
    IsPending = "deliveries.status = 0"
);
condition!(
    /// An endpoint whose organization was not deleted: those of a deleted one go in steps, and none of them may
    /// be seen meanwhile.
    IsOwned = "NOT EXISTS (SELECT 1 FROM deleted_organizations WHERE deleted_organizations.id = endpoints.organization_id)"
);

/// Behind a position of the queue. As a comparison of rows, so that a database can begin in its index exactly there, also
/// among many deliveries of one instant. An expression type like [`IsPending`].
#[derive(Debug, Clone, Copy, QueryId, ValidGrouping)]
pub(super) struct IsBehind {
    queued_at: i64,
    id: i64,
}

impl IsBehind {
    /// Everything is behind `None`.
    pub(super) fn position(after: Option<QueuePosition>) -> Self {
        let (queued_at, id) = after.map_or((i64::MIN, i64::MIN), |after| (after.queued_at.0, after.id.0));
        Self { queued_at, id }
    }
}

impl Expression for IsBehind {
    type SqlType = Bool;
}

impl<Source> AppearsOnTable<Source> for IsBehind {}
impl<Source> SelectableExpression<Source> for IsBehind {}

impl<DB: Backend + HasSqlType<BigInt>> QueryFragment<DB> for IsBehind
where
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("(deliveries.queued_at, deliveries.id) > (");
        out.push_bind_param::<BigInt, _>(&self.queued_at)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.id)?;
        out.push_sql(")");
        Ok(())
    }
}

/// Stores the health of endpoints that still exist and have the URL that it belongs to. Health without any
/// trouble in it needs no row.
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
        if health.is_blank() {
            diesel::delete(endpoint_health::table.find(health.endpoint_id.0)).execute(connection)?;
            continue;
        }
        let row = HealthRow::from(health);
        match connection {
            AnyConnection::Sqlite(sqlite) => {
                diesel::replace_into(endpoint_health::table).values(row).execute(sqlite)?;
            }
            // not deleted before: two nodes can write it, when an attempt ends where its endpoint has just been
            AnyConnection::Postgres(postgres) => {
                let insert = diesel::insert_into(endpoint_health::table).values(&row);
                insert.on_conflict(endpoint_health::endpoint_id).do_update().set(&row).execute(postgres)?;
            }
        }
    }
    Ok(())
}

/// Disables endpoints. Returns those that this call disabled, in their new state, and the events that were to
/// announce the others.
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
        changes::add(connection, *organization_id, Changed::Endpoint(*id))?;
        let start = read(connection, cipher, *organization_id, *id)?;
        disabled.extend(start.map(|start| start.endpoint));
    }
    Ok((disabled, withheld))
}
