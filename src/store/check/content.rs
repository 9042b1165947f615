//! What is stored as bytes: whether it can be read. Row by row, because one payload may have 10 MiB.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer};
use serde::de::IgnoredAny;

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::detail;
use super::{CheckTerms, Wrong};
use crate::domain::ids::DeliveryId;
use crate::domain::time::UnixMillis;

#[derive(QueryableByName)]
struct BodyRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

#[derive(QueryableByName)]
struct DetailRow {
    #[diesel(sql_type = BigInt)]
    delivery_id: i64,
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = Binary)]
    detail: Vec<u8>,
}

/// Events whose payload is no JSON. One that was erased has no bytes.
pub(super) fn unreadable_bodies(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    let mut found = Vec::new();
    let mut look = |BodyRow { id, body }: BodyRow| {
        let wrong = match std::str::from_utf8(&body) {
            Ok(text) => serde_json::from_str::<IgnoredAny>(text).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        found.extend(wrong.map(|why| Wrong { key: id, why }));
    };
    let sql = format!(
        "SELECT id, body FROM events WHERE id > {after} AND id <= {last} AND octet_length(body) > 0 ORDER BY id"
    );
    each!(connection, sql, BodyRow, look);
    Ok(found)
}

/// Deliveries with attempts whose detail can't be unpacked.
pub(super) fn unreadable_attempts(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    details(
        connection,
        &format!(
            "SELECT delivery_id, number, started_at, detail FROM attempts \
             WHERE delivery_id > {after} AND delivery_id <= {last} ORDER BY delivery_id, number"
        ),
    )
}

/// The same for the only attempt of a delivery, which is in its row.
pub(super) fn unreadable_own_attempts(
    connection: &mut AnyConnection,
    _: &CheckTerms,
    (after, last): (i64, i64),
) -> StoreResult<Vec<Wrong>> {
    details(
        connection,
        &format!(
            "SELECT id AS delivery_id, 1 AS number, attempt_started_at AS started_at, attempt_detail AS detail \
             FROM deliveries WHERE id > {after} AND id <= {last} AND attempt_started_at IS NOT NULL \
             AND attempt_detail IS NOT NULL ORDER BY id"
        ),
    )
}

fn details(connection: &mut AnyConnection, sql: &str) -> StoreResult<Vec<Wrong>> {
    let mut found = Vec::new();
    let mut look = |row: DetailRow| {
        let DetailRow { delivery_id, number, started_at, detail } = row;
        let unpacked = detail::check(DeliveryId(delivery_id), UnixMillis(started_at), &detail);
        let wrong = unpacked.err().map(|error| format!("attempt {number}: {error}"));
        found.extend(wrong.map(|why| Wrong { key: delivery_id, why }));
    };
    each!(connection, sql, DetailRow, look);
    Ok(found)
}
