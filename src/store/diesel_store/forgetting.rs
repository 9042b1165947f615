//! What an erasure does to an event: its pending deliveries are cancelled, then its body is forgotten.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::schema::{deliveries, events};
use super::endpoints::IsPending;
use super::resend::is_replayed;
use super::sql_limit;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Pending deliveries of an event, at most `most`.
pub(super) fn pending(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EventId,
    last: i64,
    most: usize,
) -> StoreResult<Vec<i64>> {
    let mut found: Vec<i64> = deliveries::table
        .filter(deliveries::id.gt(id.0))
        .filter(deliveries::id.le(last))
        .filter(deliveries::event_id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(IsPending)
        .order(deliveries::id)
        .limit(sql_limit(most))
        .select(deliveries::id)
        .load(connection)?;
    let replayed: Vec<i64> = deliveries::table
        .filter(deliveries::event_id.eq(id.0))
        .filter(is_replayed())
        .filter(deliveries::organization_id.eq(organization_id.0))
        .filter(IsPending)
        .order(deliveries::id)
        .limit(sql_limit(most - found.len()))
        .select(deliveries::id)
        .load(connection)?;
    found.extend(replayed);
    Ok(found)
}

/// Cancels those of them that are still pending. Returns their endpoints.
pub(super) fn cancel(
    connection: &mut AnyConnection,
    found: &[i64],
    now: UnixMillis,
) -> StoreResult<Vec<EndpointId>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let pending = deliveries::table
        .filter(deliveries::id.eq_any(found))
        .filter(IsPending)
        .order(deliveries::id)
        .select((deliveries::id, deliveries::endpoint_id));
    // one that an outcome ends meanwhile keeps it
    let locked: Vec<(i64, i64)> = match connection {
        AnyConnection::Sqlite(sqlite) => pending.load(sqlite)?,
        AnyConnection::Postgres(postgres) => pending.for_update().load(postgres)?,
    };
    let ids: Vec<i64> = locked.iter().map(|(id, _)| *id).collect();
    diesel::update(deliveries::table.filter(deliveries::id.eq_any(ids)))
        .set((deliveries::status.eq(DeliveryStatus::Cancelled.code()), deliveries::finished_at.eq(now.0)))
        .execute(connection)?;
    Ok(locked.into_iter().map(|(_, endpoint_id)| EndpointId(endpoint_id)).collect())
}

/// On SQLite the pages that become free are overwritten, which costs too much to do always.
pub(super) fn forget_body(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EventId,
) -> StoreResult<()> {
    if let AnyConnection::Sqlite(sqlite) = connection {
        sqlite.batch_execute("PRAGMA secure_delete = ON")?;
    }
    let event = events::table.filter(events::id.eq(id.0)).filter(events::organization_id.eq(organization_id.0));
    let forgotten = diesel::update(event)
        .set((events::body.eq(Vec::<u8>::new()), events::trace.eq(None::<String>)))
        .execute(connection);
    if let AnyConnection::Sqlite(sqlite) = connection {
        sqlite.batch_execute("PRAGMA secure_delete = FAST")?;
    }
    forgotten?;
    Ok(())
}
