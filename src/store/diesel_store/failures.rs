//! The newest failed attempt of each endpoint. Written occasionally, in the transaction of a commit: one row
//! per endpoint, which replaces the one before.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};

use super::super::StoreResult;
use super::super::connection::AnyConnection;
use super::super::schema::{endpoint_failures, endpoints};
use super::sql_limit;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::time::UnixMillis;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = endpoint_failures)]
pub(super) struct FailureRow {
    endpoint_id: i64,
    organization_id: i64,
    failed_at: i64,
    delivery_id: i64,
    response_code: Option<i32>,
    error: Option<String>,
    response_excerpt: Option<Vec<u8>>,
}

impl From<&LastFailure> for FailureRow {
    fn from(failure: &LastFailure) -> Self {
        Self {
            endpoint_id: failure.endpoint_id.0,
            organization_id: failure.organization_id.0,
            failed_at: failure.at.0,
            delivery_id: failure.delivery_id.0,
            response_code: failure.response_code.map(i32::from),
            error: failure.error.clone(),
            response_excerpt: failure.excerpt.clone(),
        }
    }
}

impl From<FailureRow> for LastFailure {
    fn from(row: FailureRow) -> Self {
        Self {
            organization_id: OrganizationId(row.organization_id),
            endpoint_id: EndpointId(row.endpoint_id),
            at: UnixMillis(row.failed_at),
            delivery_id: DeliveryId(row.delivery_id),
            response_code: row.response_code.and_then(|code| u16::try_from(code).ok()),
            error: row.error,
            excerpt: row.response_excerpt,
        }
    }
}

/// Stores failures of endpoints that still exist, unless a newer one is stored.
pub(super) fn save(connection: &mut AnyConnection, failures: &[LastFailure]) -> StoreResult<()> {
    // a statement can write a row only once: the newest failure of each endpoint
    let mut newest: BTreeMap<EndpointId, &LastFailure> = BTreeMap::new();
    for failure in failures {
        let kept = newest.entry(failure.endpoint_id).or_insert(failure);
        if kept.at <= failure.at {
            *kept = failure;
        }
    }
    let rows: Vec<FailureRow> = newest.into_values().map(FailureRow::from).collect();
    match connection {
        _ if rows.is_empty() => {}
        AnyConnection::Sqlite(sqlite) => save_one_by_one(sqlite, &rows)?,
        AnyConnection::Postgres(postgres) => save_together(postgres, &rows)?,
    }
    Ok(())
}

/// Both statements stay compiled.
fn save_one_by_one(sqlite: &mut SqliteConnection, rows: &[FailureRow]) -> QueryResult<()> {
    for row in rows {
        let live = endpoints::table
            .left_join(endpoint_failures::table.on(endpoint_failures::endpoint_id.eq(endpoints::id)))
            .filter(endpoints::id.eq(row.endpoint_id))
            .filter(endpoints::organization_id.eq(row.organization_id))
            .filter(endpoints::deleted_at.is_null());
        let stored: Option<Option<i64>> =
            live.select(endpoint_failures::failed_at.nullable()).first(sqlite).optional()?;
        if stored.is_some_and(|stored| stored.is_none_or(|stored| stored <= row.failed_at)) {
            diesel::replace_into(endpoint_failures::table).values(row).execute(sqlite)?;
        }
    }
    Ok(())
}

/// One statement for any number of rows.
fn save_together(postgres: &mut PgConnection, rows: &[FailureRow]) -> QueryResult<()> {
    fn column<T>(rows: &[FailureRow], value: impl FnMut(&FailureRow) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    diesel::sql_query(
        "INSERT INTO endpoint_failures (endpoint_id, organization_id, failed_at, delivery_id, response_code, error, \
         response_excerpt) SELECT n.* FROM UNNEST($1, $2, $3, $4, $5, $6, $7) \
         AS n (endpoint_id, organization_id, failed_at, delivery_id, response_code, error, response_excerpt) \
         JOIN endpoints e ON e.id = n.endpoint_id AND e.organization_id = n.organization_id AND e.deleted_at IS NULL \
         ON CONFLICT (endpoint_id) DO UPDATE SET failed_at = excluded.failed_at, delivery_id = excluded.delivery_id, \
         response_code = excluded.response_code, error = excluded.error, response_excerpt = excluded.response_excerpt \
         WHERE endpoint_failures.failed_at <= excluded.failed_at",
    )
    .bind::<Array<BigInt>, _>(column(rows, |row| row.endpoint_id))
    .bind::<Array<BigInt>, _>(column(rows, |row| row.organization_id))
    .bind::<Array<BigInt>, _>(column(rows, |row| row.failed_at))
    .bind::<Array<BigInt>, _>(column(rows, |row| row.delivery_id))
    .bind::<Array<Nullable<Integer>>, _>(column(rows, |row| row.response_code))
    .bind::<Array<Nullable<Text>>, _>(column(rows, |row| row.error.clone()))
    .bind::<Array<Nullable<Binary>>, _>(column(rows, |row| row.response_excerpt.clone()))
    .execute(postgres)?;
    Ok(())
}

/// Removes the failure of a deleted endpoint.
pub(super) fn forget(connection: &mut AnyConnection, endpoint_id: EndpointId) -> StoreResult<()> {
    diesel::delete(endpoint_failures::table.find(endpoint_id.0)).execute(connection)?;
    Ok(())
}

pub(super) const OLD_ROWS: &str = "
    DELETE FROM endpoint_failures WHERE endpoint_id IN (
        SELECT endpoint_id FROM endpoint_failures WHERE failed_at < $1 ORDER BY failed_at, endpoint_id LIMIT $2
    )";

/// Removes failures that are older than the log, at most `limit`.
pub(super) fn prune(connection: &mut AnyConnection, before: UnixMillis, limit: usize) -> StoreResult<()> {
    let old = diesel::sql_query(OLD_ROWS).bind::<BigInt, _>(before.0).bind::<BigInt, _>(sql_limit(limit));
    old.execute(connection)?;
    Ok(())
}
