//! Erasure of payloads and responses.

use std::collections::HashSet;

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::detail;
use super::super::models::corrupt;
use super::super::schema::{attempts, deliveries, endpoint_failures, events};
use super::super::{CANCELLED_AT_ONCE, Changed, ErasureStep, ErasureStore, ExpiryStep, StoreResult};
use super::due::octet_length;
use super::forgetting::{cancel, forget_body, pending};
use super::resend::IDS_A_STATEMENT;
use super::{DieselStore, changes, expiry};
use crate::domain::ids::{DeliveryId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

impl ErasureStore for DieselStore {
    fn erase_payload(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        now: UnixMillis,
    ) -> StoreResult<Option<ErasureStep>> {
        let step = self.write_counted(|connection, change| {
            let Some((last, length)) = lock_event(connection, organization_id, id)? else { return Ok(None) };
            if length == 0 {
                return Ok(Some(ErasureStep { cancelled: Vec::new(), is_done: true }));
            }
            let found = pending(connection, organization_id, id, last, CANCELLED_AT_ONCE)?;
            let is_done = found.len() < CANCELLED_AT_ONCE;
            let cancelled = cancel(connection, &found, now)?;
            cancelled.iter().for_each(|endpoint_id| change.ends(organization_id, *endpoint_id, 1));
            if is_done {
                forget_body(connection, organization_id, id)?;
                self.record(connection)?;
                changes::add(connection, organization_id, Changed::PayloadErased(id))?;
            }
            Ok(Some(ErasureStep { cancelled, is_done }))
        })?;
        self.event_cache.forget(id);
        Ok(step)
    }

    fn erase_response(&self, organization_id: OrganizationId, id: DeliveryId, number: u32) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let Some(delivery) = lock_delivery(connection, organization_id, id)? else { return Ok(false) };
            let attempt = match delivery.own_attempt() {
                Some(own) if number == 1 => Some(own),
                _ => other_attempt(connection, organization_id, id, number)?,
            };
            let Some(attempt) = attempt else { return Ok(false) };
            let mut changed = forget_excerpt(connection, organization_id, &delivery, id)?;
            if let Some(detail) = attempt.without_response(id)? {
                attempt.save(connection, organization_id, id, number, detail)?;
                changed = true;
            }
            if changed {
                self.record(connection)?;
            }
            Ok(true)
        })
    }

    fn erase_expired_payloads(&self, now: UnixMillis, limit: usize) -> StoreResult<ExpiryStep> {
        let (step, done) =
            self.write_counted(|connection, change| expiry::step(connection, now, limit, change))?;
        done.into_iter().for_each(|id| self.event_cache.forget(id));
        Ok(step)
    }
}

/// Keeps an event from being sent again, on whatever node, until the transaction ends. Returns the id of its last delivery and
/// the length of its body.
fn lock_event(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: EventId,
) -> StoreResult<Option<(i64, i32)>> {
    let event = events::table
        .filter(events::id.eq(id.0))
        .filter(events::organization_id.eq(organization_id.0))
        .select((events::last_delivery_id, octet_length(events::body)));
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => event.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => event.for_update().first(postgres).optional()?,
    })
}

/// Those of some deliveries whose event has its body, which stays until the transaction ends.
pub(super) fn sendable(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    ids: &[i64],
) -> StoreResult<Vec<i64>> {
    let mut kept = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS_A_STATEMENT) {
        let rows: Vec<(i64, i64)> = deliveries::table
            .filter(deliveries::id.eq_any(ids))
            .filter(deliveries::organization_id.eq(organization_id.0))
            .order(deliveries::id)
            .select((deliveries::id, deliveries::event_id))
            .load(connection)?;
        let of_rows: Vec<i64> = rows.iter().map(|(_, event_id)| *event_id).collect();
        let whole = events::table
            .filter(events::id.eq_any(of_rows))
            .filter(events::organization_id.eq(organization_id.0))
            .filter(octet_length(events::body).gt(0))
            .order(events::id)
            .select(events::id);
        let whole: HashSet<i64> = match connection {
            AnyConnection::Sqlite(sqlite) => whole.load(sqlite)?,
            AnyConnection::Postgres(postgres) => whole.for_share().load(postgres)?,
        }
        .into_iter()
        .collect();
        kept.extend(rows.into_iter().filter(|(_, event_id)| whole.contains(event_id)).map(|(id, _)| id));
    }
    Ok(kept)
}

/// A delivery, with its first attempt if that is in its row.
#[derive(Queryable)]
struct LockedDelivery {
    endpoint_id: i64,
    response_code: Option<i32>,
    attempt_started_at: Option<i64>,
    attempt_detail: Option<Vec<u8>>,
}

impl LockedDelivery {
    fn own_attempt(&self) -> Option<StoredResponse> {
        let (started_at, detail) = self.attempt_started_at.zip(self.attempt_detail.clone())?;
        Some(StoredResponse { is_own: true, started_at, response_code: self.response_code, detail })
    }
}

/// An attempt as far as its response is concerned.
struct StoredResponse {
    /// In the row of its delivery.
    is_own: bool,
    started_at: i64,
    response_code: Option<i32>,
    detail: Vec<u8>,
}

impl StoredResponse {
    /// Its detail without the response; `None` if it has none. What explains an error is not the receiver's.
    fn without_response(&self, id: DeliveryId) -> StoreResult<Option<Vec<u8>>> {
        if self.response_code.is_none() {
            return Ok(None);
        }
        detail::without_response(id, UnixMillis(self.started_at), &self.detail).map_err(corrupt)
    }

    fn save(
        &self,
        connection: &mut AnyConnection,
        organization_id: OrganizationId,
        id: DeliveryId,
        number: u32,
        detail: Vec<u8>,
    ) -> StoreResult<()> {
        if self.is_own {
            let own = deliveries::table
                .filter(deliveries::id.eq(id.0))
                .filter(deliveries::organization_id.eq(organization_id.0));
            diesel::update(own).set(deliveries::attempt_detail.eq(Some(detail))).execute(connection)?;
            return Ok(());
        }
        let one = attempts::table
            .filter(attempts::delivery_id.eq(id.0))
            .filter(attempts::number.eq(stored_number(number)))
            .filter(attempts::organization_id.eq(organization_id.0));
        diesel::update(one).set(attempts::detail.eq(detail)).execute(connection)?;
        Ok(())
    }
}

fn stored_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A new round would move its first attempt.
fn lock_delivery(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: DeliveryId,
) -> StoreResult<Option<LockedDelivery>> {
    let delivery = deliveries::table
        .filter(deliveries::id.eq(id.0))
        .filter(deliveries::organization_id.eq(organization_id.0))
        .select((
            deliveries::endpoint_id,
            deliveries::response_code,
            deliveries::attempt_started_at,
            deliveries::attempt_detail,
        ));
    Ok(match connection {
        AnyConnection::Sqlite(sqlite) => delivery.first(sqlite).optional()?,
        AnyConnection::Postgres(postgres) => delivery.for_update().first(postgres).optional()?,
    })
}

fn other_attempt(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: DeliveryId,
    number: u32,
) -> StoreResult<Option<StoredResponse>> {
    let row: Option<(i64, Option<i32>, Vec<u8>)> = attempts::table
        .filter(attempts::delivery_id.eq(id.0))
        .filter(attempts::number.eq(stored_number(number)))
        .filter(attempts::organization_id.eq(organization_id.0))
        .select((attempts::started_at, attempts::response_code, attempts::detail))
        .first(connection)
        .optional()?;
    let found = row.map(|(started_at, response_code, detail)| StoredResponse {
        is_own: false,
        started_at,
        response_code,
        detail,
    });
    Ok(found)
}

/// Returns whether there was one.
fn forget_excerpt(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    delivery: &LockedDelivery,
    id: DeliveryId,
) -> StoreResult<bool> {
    let failure = endpoint_failures::table
        .filter(endpoint_failures::endpoint_id.eq(delivery.endpoint_id))
        .filter(endpoint_failures::organization_id.eq(organization_id.0))
        .filter(endpoint_failures::delivery_id.eq(id.0))
        .filter(endpoint_failures::response_excerpt.is_not_null());
    let excerpt = endpoint_failures::response_excerpt.eq(None::<Vec<u8>>);
    Ok(diesel::update(failure).set(excerpt).execute(connection)? > 0)
}
