//! Repairs that lose nothing that could still be sent. Each says what it did, and names every delivery that was pending.

use diesel::prelude::*;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::schema::{
    attempts, deliveries, endpoint_failures, endpoint_health, endpoints, event_labels, events,
};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

fn said(count: usize, what: &str) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![format!("{count} {what}")] }
}

pub(super) fn delete_health(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let of_none = endpoint_health::table.filter(endpoint_health::endpoint_id.eq_any(ids));
    Ok(said(diesel::delete(of_none).execute(connection)?, "rows of the health of webhooks that are gone: removed"))
}

pub(super) fn delete_failures(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let of_none = endpoint_failures::table.filter(endpoint_failures::endpoint_id.eq_any(ids));
    Ok(said(diesel::delete(of_none).execute(connection)?, "last failures of webhooks that are gone: removed"))
}

pub(super) fn delete_labels(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let of_none = event_labels::table.filter(event_labels::event_id.eq_any(ids));
    Ok(said(diesel::delete(of_none).execute(connection)?, "labels of events that are gone: removed"))
}

pub(super) fn delete_attempts(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let of_none = attempts::table.filter(attempts::delivery_id.eq_any(ids));
    Ok(said(diesel::delete(of_none).execute(connection)?, "attempts of deliveries that are gone: removed"))
}

#[derive(Queryable)]
struct Found {
    id: i64,
    organization_id: i64,
    endpoint_id: i64,
    status: i16,
}

fn read(connection: &mut AnyConnection, ids: &[i64]) -> StoreResult<Vec<Found>> {
    let rows = deliveries::table.filter(deliveries::id.eq_any(ids)).order(deliveries::id).select((
        deliveries::id,
        deliveries::organization_id,
        deliveries::endpoint_id,
        deliveries::status,
    ));
    Ok(rows.load(connection)?)
}

/// Ends pending ones, and names each.
fn cancel(
    connection: &mut AnyConnection,
    found: &[Found],
    why: &str,
    now: UnixMillis,
) -> StoreResult<Vec<String>> {
    let pending: Vec<i64> =
        found.iter().filter(|row| row.status == DeliveryStatus::Pending.code()).map(|row| row.id).collect();
    let rows = deliveries::table.filter(deliveries::id.eq_any(&pending));
    diesel::update(rows)
        .set((deliveries::status.eq(DeliveryStatus::Cancelled.code()), deliveries::finished_at.eq(now.0)))
        .execute(connection)?;
    Ok(pending.into_iter().map(|id| format!("{}: was pending, and is cancelled: {why}", DeliveryId(id))).collect())
}

/// Removed, as retention would have done with their event: nothing of them can be sent or shown. Each pending one is named.
pub(super) fn deliveries_without_event(
    connection: &mut AnyConnection,
    ids: &[i64],
    now: UnixMillis,
) -> StoreResult<Vec<String>> {
    let found = read(connection, ids)?;
    let mut did = cancel(connection, &found, "its event is gone, and with it what was to be sent", now)?;
    diesel::delete(attempts::table.filter(attempts::delivery_id.eq_any(ids))).execute(connection)?;
    let removed = diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)?;
    did.extend(said(removed, "deliveries whose event is gone: removed, with their attempts"));
    Ok(did)
}

/// The webhook gets the row that a deleted one has: a name in the log of its deliveries, which goes with the last of them.
pub(super) fn deliveries_without_webhook(
    connection: &mut AnyConnection,
    ids: &[i64],
    now: UnixMillis,
) -> StoreResult<Vec<String>> {
    let found = read(connection, ids)?;
    let mut did = cancel(connection, &found, "its webhook is gone", now)?;
    let mut webhooks: Vec<(i64, i64)> = found.iter().map(|row| (row.endpoint_id, row.organization_id)).collect();
    webhooks.sort_unstable();
    webhooks.dedup_by_key(|(id, _)| *id);
    for (id, organization_id) in webhooks {
        let row = (
            endpoints::id.eq(id),
            endpoints::organization_id.eq(organization_id),
            (endpoints::url.eq(""), endpoints::active.eq(false), endpoints::events.eq("[]")),
            (
                endpoints::timeout_ms.eq(10_000),
                endpoints::retry.eq(r#"{"retries":3}"#),
                endpoints::retry_on.eq("[]"),
            ),
            (endpoints::max_in_flight.eq(1), endpoints::ordered.eq(false), endpoints::secret.eq(Vec::<u8>::new())),
            (endpoints::created_at.eq(now.0), endpoints::updated_at.eq(now.0), endpoints::version.eq(1)),
            (endpoints::header_style.eq(0), endpoints::deleted_at.eq(now.0)),
        );
        diesel::insert_into(endpoints::table).values(row).execute(connection)?;
        did.push(format!(
            "{} of {}: is kept as a deleted webhook, for the log of its deliveries",
            EndpointId(id),
            OrganizationId(organization_id)
        ));
    }
    Ok(did)
}

/// Counts by their rows. What is missing is lost.
pub(super) fn count_deliveries(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let mut did = Vec::new();
    for &id in ids {
        let count = || events::table.find(id).select(events::delivery_count);
        let before: i32 = count().first(connection)?;
        diesel::sql_query(format!(
            "UPDATE events SET delivery_count = (SELECT count(*) FROM deliveries d WHERE d.id > events.id \
             AND d.id <= events.last_delivery_id AND d.event_id = events.id AND NOT d.replayed) WHERE id = {id}"
        ))
        .execute(connection)?;
        let now: i32 = count().first(connection)?;
        did.push(format!("{}: its count of deliveries was {before}, and is {now} now", EventId(id)));
    }
    Ok(did)
}

/// A count that is too low would give a number to the next attempt that another one has. One that is too high stays: attempts were
/// lost, and their numbers may have been sent.
pub(super) fn count_attempts(
    connection: &mut AnyConnection,
    ids: &[i64],
    _: UnixMillis,
) -> StoreResult<Vec<String>> {
    let mut did = Vec::new();
    for &id in ids {
        let own = deliveries::table.find(id).select((deliveries::attempt_count, deliveries::attempt_started_at));
        let (count, own): (i32, Option<i64>) = own.first(connection)?;
        let numbers: Vec<i32> = attempts::table
            .filter(attempts::delivery_id.eq(id))
            .order(attempts::number.desc())
            .select(attempts::number)
            .load(connection)?;
        let rows = i32::try_from(numbers.len()).unwrap_or(i32::MAX) + i32::from(own.is_some());
        if rows > count && numbers.first().is_none_or(|highest| *highest <= rows) {
            diesel::update(deliveries::table.find(id))
                .set(deliveries::attempt_count.eq(rows))
                .execute(connection)?;
            did.push(format!("{}: its count of attempts is {rows} now", DeliveryId(id)));
        }
    }
    Ok(did)
}

pub(super) fn partitions(connection: &mut AnyConnection, ids: &[i64], _: UnixMillis) -> StoreResult<Vec<String>> {
    for row in read(connection, ids)? {
        diesel::sql_query(format!(
            "UPDATE deliveries SET partition = {} WHERE id = {}",
            EndpointId(row.endpoint_id).partition(),
            row.id
        ))
        .execute(connection)?;
    }
    Ok(said(ids.len(), "deliveries: are in the partition of their webhook now"))
}
