//! Organizations and their keys.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::{ApiKeyRow, OrganizationRow, hash_from};
use super::super::schema::{
    api_keys, deleted_organizations, endpoint_failures, endpoint_health, endpoints, event_types, organizations,
};
use super::super::{PageRequest, StoreResult};
use super::sql_limit;
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::time::UnixMillis;

pub(super) fn create(connection: &mut AnyConnection, organization: &Organization) -> StoreResult<()> {
    let row = OrganizationRow::from(organization);
    diesel::insert_into(organizations::table).values(row).execute(connection)?;
    Ok(())
}

pub(super) fn list(connection: &mut AnyConnection, page: PageRequest) -> StoreResult<Vec<Organization>> {
    let rows: Vec<OrganizationRow> = organizations::table
        .filter(organizations::id.lt(page.before_id.unwrap_or(i64::MAX)))
        .order(organizations::id.desc())
        .limit(sql_limit(page.limit))
        .select(OrganizationRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(Organization::from).collect())
}

pub(super) fn read(connection: &mut AnyConnection, id: OrganizationId) -> StoreResult<Option<Organization>> {
    let row: Option<OrganizationRow> =
        organizations::table.find(id.0).select(OrganizationRow::as_select()).first(connection).optional()?;
    Ok(row.map(Organization::from))
}

/// What it published is removed later and in steps (`super::pruning`): nobody has a key to see it any more.
pub(super) fn delete(
    connection: &mut AnyConnection,
    id: OrganizationId,
    now: UnixMillis,
) -> StoreResult<Option<Vec<EndpointId>>> {
    if diesel::delete(organizations::table.find(id.0)).execute(connection)? == 0 {
        return Ok(None);
    }
    let deleted = (deleted_organizations::id.eq(id.0), deleted_organizations::deleted_at.eq(now.0));
    diesel::insert_into(deleted_organizations::table).values(deleted).execute(connection)?;
    let owned = || endpoints::table.filter(endpoints::organization_id.eq(id.0)).select(endpoints::id);
    let live: Vec<i64> = owned().filter(endpoints::deleted_at.is_null()).order(endpoints::id).load(connection)?;
    diesel::delete(endpoint_health::table.filter(endpoint_health::endpoint_id.eq_any(owned())))
        .execute(connection)?;
    diesel::delete(endpoint_failures::table.filter(endpoint_failures::endpoint_id.eq_any(owned())))
        .execute(connection)?;
    diesel::delete(endpoints::table.filter(endpoints::organization_id.eq(id.0))).execute(connection)?;
    diesel::delete(event_types::table.filter(event_types::organization_id.eq(id.0))).execute(connection)?;
    diesel::delete(api_keys::table.filter(api_keys::organization_id.eq(id.0))).execute(connection)?;
    Ok(Some(live.into_iter().map(EndpointId).collect()))
}

pub(super) fn create_key(connection: &mut AnyConnection, key: &ApiKey) -> StoreResult<()> {
    diesel::insert_into(api_keys::table).values(ApiKeyRow::from(key)).execute(connection)?;
    Ok(())
}

pub(super) fn keys(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    page: PageRequest,
) -> StoreResult<Vec<ApiKey>> {
    let rows: Vec<ApiKeyRow> = api_keys::table
        .filter(api_keys::organization_id.eq(organization_id.0))
        .filter(api_keys::id.lt(page.before_id.unwrap_or(i64::MAX)))
        .order(api_keys::id.desc())
        .limit(sql_limit(page.limit))
        .select(ApiKeyRow::as_select())
        .load(connection)?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

pub(super) fn revoke_key(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    id: KeyId,
) -> StoreResult<Option<[u8; 32]>> {
    let key =
        api_keys::table.filter(api_keys::id.eq(id.0)).filter(api_keys::organization_id.eq(organization_id.0));
    let hash: Option<Vec<u8>> = key.select(api_keys::hash).first(connection).optional()?;
    diesel::delete(key).execute(connection)?;
    hash.as_deref().map(hash_from).transpose()
}

pub(super) fn key_by_hash(connection: &mut AnyConnection, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
    let row: Option<ApiKeyRow> = api_keys::table
        .filter(api_keys::hash.eq(hash.as_slice()))
        .select(ApiKeyRow::as_select())
        .first(connection)
        .optional()?;
    row.map(ApiKey::try_from).transpose()
}
