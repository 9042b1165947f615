//! Organizations, their keys, endpoints and event types.

use diesel::prelude::*;

use super::super::models::{ApiKeyRow, EndpointRow, EventTypeRow, HealthRow, OrganizationRow, hash_from};
use super::super::schema::{
    api_keys, deleted_organizations, endpoint_failures, endpoint_health, endpoints, event_types, organizations,
};
use super::super::{EndpointStart, PageRequest, StoreError, StoreResult, TenantStore};
use super::{DieselStore, failures, sql_limit};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::OwnEventType;
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::time::UnixMillis;

impl TenantStore for DieselStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        self.writer.write(|connection| {
            let row = OrganizationRow::from(organization);
            diesel::insert_into(organizations::table).values(row).execute(connection)?;
            Ok(())
        })
    }

    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        self.readers.read(|connection| {
            let rows: Vec<OrganizationRow> = organizations::table
                .filter(organizations::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .order(organizations::id.desc())
                .limit(sql_limit(page.limit))
                .select(OrganizationRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(Organization::from).collect())
        })
    }

    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        self.readers.read(|connection| {
            let row: Option<OrganizationRow> = organizations::table
                .find(id.0)
                .select(OrganizationRow::as_select())
                .first(connection)
                .optional()?;
            Ok(row.map(Organization::from))
        })
    }

    // events and deliveries are removed later, in steps (`super::pruning`): no key is left to see them with
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>> {
        let deleted = self.writer.write(|connection| {
            if diesel::delete(organizations::table.find(id.0)).execute(connection)? == 0 {
                return Ok(None);
            }
            let deleted = (deleted_organizations::id.eq(id.0), deleted_organizations::deleted_at.eq(now.0));
            diesel::insert_into(deleted_organizations::table).values(deleted).execute(connection)?;
            let owned = || endpoints::table.filter(endpoints::organization_id.eq(id.0)).select(endpoints::id);
            let live: Vec<i64> =
                owned().filter(endpoints::deleted_at.is_null()).order(endpoints::id).load(connection)?;
            diesel::delete(endpoint_health::table.filter(endpoint_health::endpoint_id.eq_any(owned())))
                .execute(connection)?;
            diesel::delete(endpoint_failures::table.filter(endpoint_failures::endpoint_id.eq_any(owned())))
                .execute(connection)?;
            diesel::delete(endpoints::table.filter(endpoints::organization_id.eq(id.0))).execute(connection)?;
            diesel::delete(event_types::table.filter(event_types::organization_id.eq(id.0)))
                .execute(connection)?;
            diesel::delete(api_keys::table.filter(api_keys::organization_id.eq(id.0))).execute(connection)?;
            Ok(Some(live.into_iter().map(EndpointId).collect()))
        });
        self.event_cache.clear();
        deleted
    }

    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        self.writer.write(|connection| {
            diesel::insert_into(api_keys::table).values(ApiKeyRow::from(key)).execute(connection)?;
            Ok(())
        })
    }

    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        self.readers.read(|connection| {
            let rows: Vec<ApiKeyRow> = api_keys::table
                .filter(api_keys::organization_id.eq(organization_id.0))
                .filter(api_keys::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .order(api_keys::id.desc())
                .limit(sql_limit(page.limit))
                .select(ApiKeyRow::as_select())
                .load(connection)?;
            rows.into_iter().map(ApiKey::try_from).collect()
        })
    }

    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        self.writer.write(|connection| {
            let key = api_keys::table
                .filter(api_keys::id.eq(id.0))
                .filter(api_keys::organization_id.eq(organization_id.0));
            let hash: Option<Vec<u8>> = key.select(api_keys::hash).first(connection).optional()?;
            diesel::delete(key).execute(connection)?;
            hash.as_deref().map(hash_from).transpose()
        })
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        self.readers.read(|connection| {
            let row: Option<ApiKeyRow> = api_keys::table
                .filter(api_keys::hash.eq(hash.as_slice()))
                .select(ApiKeyRow::as_select())
                .first(connection)
                .optional()?;
            row.map(ApiKey::try_from).transpose()
        })
    }

    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.writer.write(|connection| {
            let row = EndpointRow::seal(endpoint, &self.cipher)?;
            diesel::insert_into(endpoints::table).values(row).execute(connection)?;
            Ok(())
        })
    }

    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>> {
        self.readers.read(|connection| {
            let rows: Vec<(EndpointRow, Option<HealthRow>)> = endpoints::table
                .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::deleted_at.is_null())
                .filter(endpoints::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .order(endpoints::id.desc())
                .limit(sql_limit(page.limit))
                .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
                .load(connection)?;
            rows.into_iter().map(|row| super::endpoints::start(row, &self.cipher)).collect()
        })
    }

    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.writer.write(|connection| {
            let row = EndpointRow::seal(endpoint, &self.cipher)?;
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
        })
    }

    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        self.writer.write(|connection| {
            let live = endpoints::table
                .filter(endpoints::id.eq(id.0))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::deleted_at.is_null());
            // nothing confidential outlives the endpoint, its address included, which can hold a token: the
            // rest is a name in the log of its deliveries, and is removed with the last of them
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
            super::endpoints::cancel_pending(connection, organization_id, id, now).map(Some)
        })
    }

    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()> {
        self.writer.write(|connection| {
            diesel::insert_into(event_types::table).values(EventTypeRow::from(event_type)).execute(connection)?;
            Ok(())
        })
    }

    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>> {
        self.readers.read(|connection| {
            let rows: Vec<EventTypeRow> = event_types::table
                .filter(event_types::organization_id.eq(organization_id.0))
                .order(event_types::name)
                .select(EventTypeRow::as_select())
                .load(connection)?;
            Ok(rows.into_iter().map(OwnEventType::from).collect())
        })
    }

    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let own = event_types::table
                .filter(event_types::organization_id.eq(organization_id.0))
                .filter(event_types::name.eq(name));
            Ok(diesel::delete(own).execute(connection)? > 0)
        })
    }
}
