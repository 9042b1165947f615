//! Organizations, their keys, endpoints and event types.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::{ApiKeyRow, EndpointRow, EventTypeRow, HealthRow, hash_from, key_owner};
use super::super::organization_rows::{OrganizationChangeset, OrganizationRow};
use super::super::schema::{
    api_keys, dashboard_sessions, deleted_organizations, endpoint_health, endpoints,
    event_types as own_event_types, organizations, sign_in_links, svix_tasks,
};
use super::super::{
    Changed, Creation, CreationKey, DirectedPage, EndpointSearch, EndpointStart, PageRequest, StoreError,
    StoreResult, TenantStore,
};
use super::{DieselStore, changes, endpoint_search, event_types, failures, notices, pruning, sql_limit};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::{CATALOGUE, DefinedEventType};
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::notice::{NewNotice, NoticeKind};
use crate::domain::organization::{
    ApiKey, BodyShape, LAST_USE_PRECISION, Organization, OrganizationChange, OrganizationRef, OrganizationUid,
};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

fn read_organization(connection: &mut AnyConnection, id: OrganizationId) -> StoreResult<Option<Organization>> {
    let row: Option<OrganizationRow> =
        organizations::table.find(id.0).select(OrganizationRow::as_select()).first(connection).optional()?;
    row.map(Organization::try_from).transpose()
}

/// Others have to know of a body that is not the usual one before the first event.
fn announce_body(connection: &mut AnyConnection, organization: &Organization) -> StoreResult<()> {
    match organization.body {
        BodyShape::Envelope => Ok(()),
        BodyShape::Verbatim => changes::add(connection, organization.id, Changed::Organization),
    }
}

fn require_owner(connection: &mut AnyConnection, event_type: &DefinedEventType) -> StoreResult<()> {
    match event_type.organization_id {
        CATALOGUE => Ok(()),
        owner => changes::require_organization(connection, owner),
    }
}

impl TenantStore for DieselStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        self.writer.write(|connection| {
            let row = OrganizationRow::from(organization);
            diesel::insert_into(organizations::table).values(row).execute(connection)?;
            announce_body(connection, organization)?;
            self.record(connection)
        })
    }

    fn create_organization_once(&self, organization: &Organization, key: &CreationKey) -> StoreResult<Creation> {
        self.writer.write(|connection| {
            let used = organizations::table.filter(organizations::creation_key.eq(key.key.as_slice()));
            let known: Option<(OrganizationRow, Option<Vec<u8>>)> = used
                .select((OrganizationRow::as_select(), organizations::creation_request))
                .first(connection)
                .optional()?;
            if let Some((row, request)) = known {
                let known = Organization::try_from(row)?;
                if known.created_at > key.not_before {
                    let is_same = request.as_deref() == Some(key.request.as_slice());
                    return Ok(if is_same { Creation::Known(known) } else { Creation::OtherRequest });
                }
                let forgotten = organizations::creation_key.eq(None::<Vec<u8>>);
                diesel::update(used).set(forgotten).execute(connection)?;
            }
            let row = OrganizationRow::from(organization);
            let by = (
                organizations::creation_key.eq(key.key.to_vec()),
                organizations::creation_request.eq(key.request.to_vec()),
            );
            diesel::insert_into(organizations::table).values((row, by)).execute(connection)?;
            announce_body(connection, organization)?;
            self.record(connection)?;
            Ok(Creation::Created)
        })
    }

    fn update_organization(
        &self,
        id: OrganizationId,
        change: &OrganizationChange,
    ) -> StoreResult<Option<Organization>> {
        self.writer.write(|connection| {
            if let Some(changed) = OrganizationChangeset::of(change) {
                let updated = diesel::update(organizations::table.find(id.0)).set(changed).execute(connection)?;
                if updated > 0 {
                    self.record(connection)?;
                }
                if updated > 0 && (change.uid.is_some() || change.body.is_some()) {
                    changes::add(connection, id, Changed::Organization)?;
                }
            }
            read_organization(connection, id)
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
            rows.into_iter().map(Organization::try_from).collect()
        })
    }

    fn failing_organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        self.readers.read(|connection| {
            let failing = endpoint_health::table
                .inner_join(endpoints::table.on(endpoints::id.eq(endpoint_health::endpoint_id)))
                .filter(endpoint_health::failing_since.is_not_null().or(endpoint_health::probe_at.is_not_null()))
                .filter(endpoints::active.eq(true))
                .filter(endpoints::deleted_at.is_null())
                .select(endpoint_health::organization_id);
            let rows: Vec<OrganizationRow> = organizations::table
                .filter(organizations::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .filter(organizations::id.eq_any(failing))
                .order(organizations::id.desc())
                .limit(sql_limit(page.limit))
                .select(OrganizationRow::as_select())
                .load(connection)?;
            rows.into_iter().map(Organization::try_from).collect()
        })
    }

    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        self.readers.read(|connection| read_organization(connection, id))
    }

    fn organizations_of(&self, environment: &Environment, page: DirectedPage) -> StoreResult<Vec<Organization>> {
        self.readers.read(|connection| {
            let query = organizations::table
                .filter(organizations::environment.eq(environment.stored()))
                .limit(sql_limit(page.limit))
                .select(OrganizationRow::as_select());
            let rows: Vec<OrganizationRow> = match page.is_ascending {
                true => query
                    .filter(organizations::id.gt(page.behind.unwrap_or(i64::MIN)))
                    .order(organizations::id)
                    .load(connection)?,
                false => query
                    .filter(organizations::id.lt(page.behind.unwrap_or(i64::MAX)))
                    .order(organizations::id.desc())
                    .load(connection)?,
            };
            rows.into_iter().map(Organization::try_from).collect()
        })
    }

    fn organization_by_uid(
        &self,
        environment: &Environment,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<Organization>> {
        self.readers.read(|connection| {
            let row: Option<OrganizationRow> = organizations::table
                .filter(organizations::environment.eq(environment.stored()))
                .filter(organizations::uid.eq(uid.as_str()))
                .select(OrganizationRow::as_select())
                .first(connection)
                .optional()?;
            row.map(Organization::try_from).transpose()
        })
    }

    fn resolve_organization(&self, name: &OrganizationRef) -> StoreResult<Option<OrganizationId>> {
        self.key_readers.read(|connection| {
            let ids = organizations::table.select(organizations::id);
            let id: Option<i64> = match name {
                OrganizationRef::Id(id) => ids.filter(organizations::id.eq(id.0)).first(connection).optional()?,
                OrganizationRef::Uid(uid) => {
                    let own = ids.filter(organizations::environment.eq(""));
                    own.filter(organizations::uid.eq(uid.as_str())).first(connection).optional()?
                }
            };
            Ok(id.map(OrganizationId))
        })
    }

    // the first transaction makes it invisible: its webhooks are removed in steps, and later its events and
    // deliveries (`super::pruning`), which no key is left to see
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<bool> {
        let deleted = self.writer.write(|connection| {
            if diesel::delete(organizations::table.find(id.0)).execute(connection)? == 0 {
                return Ok(false);
            }
            let deleted = (deleted_organizations::id.eq(id.0), deleted_organizations::deleted_at.eq(now.0));
            diesel::insert_into(deleted_organizations::table).values(deleted).execute(connection)?;
            diesel::delete(own_event_types::table.filter(own_event_types::organization_id.eq(id.0)))
                .execute(connection)?;
            diesel::delete(api_keys::table.filter(api_keys::organization_id.eq(id.0))).execute(connection)?;
            diesel::delete(dashboard_sessions::table.filter(dashboard_sessions::organization_id.eq(id.0)))
                .execute(connection)?;
            diesel::delete(sign_in_links::table.filter(sign_in_links::organization_id.eq(id.0)))
                .execute(connection)?;
            diesel::delete(svix_tasks::table.filter(svix_tasks::organization_id.eq(id.0))).execute(connection)?;
            self.record(connection)?;
            changes::add(connection, id, Changed::OrganizationDeleted)?;
            Ok(true)
        });
        self.event_cache.clear();
        let is_deleted: bool = deleted?;
        if is_deleted {
            // it is gone already: what fails here is left to the purge
            while let Ok(true) = self.writer.write(|connection| pruning::remove_endpoints(connection, id)) {}
            self.removal.purge.lock().looked_at = None;
        }
        Ok(is_deleted)
    }

    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        self.writer.write(|connection| {
            if let Some(organization_id) = key.organization_id {
                changes::require_organization(connection, organization_id)?;
            }
            diesel::insert_into(api_keys::table).values(ApiKeyRow::from(key)).execute(connection)?;
            self.record(connection)
        })
    }

    fn keys(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        self.readers.read(|connection| {
            let rows: Vec<ApiKeyRow> = api_keys::table
                .filter(api_keys::organization_id.eq(key_owner(owner)))
                .filter(api_keys::id.lt(page.before_id.unwrap_or(i64::MAX)))
                .order(api_keys::id.desc())
                .limit(sql_limit(page.limit))
                .select(ApiKeyRow::as_select())
                .load(connection)?;
            rows.into_iter().map(ApiKey::try_from).collect()
        })
    }

    fn revoke_key(&self, owner: Option<OrganizationId>, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        self.writer.write(|connection| {
            let key = api_keys::table
                .filter(api_keys::id.eq(id.0))
                .filter(api_keys::organization_id.eq(key_owner(owner)));
            let hash: Option<Vec<u8>> = key.select(api_keys::hash).first(connection).optional()?;
            if diesel::delete(key).execute(connection)? > 0 {
                self.record(connection)?;
            }
            hash.as_deref().map(hash_from).transpose()
        })
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        self.key_readers.read(|connection| {
            let row: Option<ApiKeyRow> = api_keys::table
                .left_join(organizations::table.on(organizations::id.eq(api_keys::organization_id)))
                .filter(api_keys::hash.eq(hash.as_slice()))
                .filter(api_keys::organization_id.eq(key_owner(None)).or(organizations::id.is_not_null()))
                .select(ApiKeyRow::as_select())
                .first(connection)
                .optional()?;
            row.map(ApiKey::try_from).transpose()
        })
    }

    fn note_key_used(&self, id: KeyId, now: UnixMillis) -> StoreResult<()> {
        let noted = now - LAST_USE_PRECISION;
        self.writer.write(|connection| {
            let last_used_at = api_keys::last_used_at;
            let stale = api_keys::table
                .filter(api_keys::id.eq(id.0))
                .filter(last_used_at.is_null().or(last_used_at.le(noted.0)));
            diesel::update(stale).set(last_used_at.eq(now.0)).execute(connection)?;
            Ok(())
        })
    }

    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.writer.write(|connection| {
            changes::require_organization(connection, endpoint.organization_id)?;
            let row = EndpointRow::seal(endpoint, &self.cipher)?;
            diesel::insert_into(endpoints::table).values(row).execute(connection)?;
            self.record(connection)?;
            notices::tell(connection, endpoint.organization_id, |_| {
                Ok(vec![NewNotice::of_endpoint(NoticeKind::Created, endpoint)])
            })?;
            changes::add(connection, endpoint.organization_id, Changed::Endpoint(endpoint.id))
        })
    }

    fn find_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
    ) -> StoreResult<Option<EndpointStart>> {
        self.readers.read(|connection| super::endpoints::read(connection, &self.cipher, organization_id, id))
    }

    fn endpoint_by_uid(
        &self,
        organization_id: OrganizationId,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<EndpointStart>> {
        self.readers.read(|connection| {
            let row: Option<(EndpointRow, Option<HealthRow>)> = endpoints::table
                .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::uid.eq(uid.as_str()))
                .filter(endpoints::deleted_at.is_null())
                .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
                .first(connection)
                .optional()?;
            row.map(|row| super::endpoints::start(row, &self.cipher)).transpose()
        })
    }

    fn endpoints_of(
        &self,
        organization_id: OrganizationId,
        page: DirectedPage,
    ) -> StoreResult<Vec<EndpointStart>> {
        self.readers.read(|connection| {
            let query = endpoints::table
                .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::deleted_at.is_null())
                .limit(sql_limit(page.limit))
                .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()));
            let rows: Vec<(EndpointRow, Option<HealthRow>)> = match page.is_ascending {
                true => query
                    .filter(endpoints::id.gt(page.behind.unwrap_or(i64::MIN)))
                    .order(endpoints::id)
                    .load(connection)?,
                false => query
                    .filter(endpoints::id.lt(page.behind.unwrap_or(i64::MAX)))
                    .order(endpoints::id.desc())
                    .load(connection)?,
            };
            rows.into_iter().map(|row| super::endpoints::start(row, &self.cipher)).collect()
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

    fn search_endpoints(
        &self,
        organization_id: OrganizationId,
        search: &EndpointSearch,
        page: PageRequest,
    ) -> StoreResult<Vec<EndpointStart>> {
        self.readers
            .read(|connection| endpoint_search::read(connection, &self.cipher, organization_id, search, page))
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
            self.record(connection)?;
            notices::tell(connection, endpoint.organization_id, |_| Ok(NewNotice::of_change(active, endpoint)))?;
            changes::add(connection, endpoint.organization_id, Changed::Endpoint(endpoint.id))
        })
    }

    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        self.write_counted(|connection, change| {
            let live = endpoints::table
                .filter(endpoints::id.eq(id.0))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::deleted_at.is_null());
            let uid: Option<Option<String>> = live.select(endpoints::uid).first(connection).optional()?;
            // nothing confidential outlives the endpoint, its address included, which can hold a token: the
            // rest is a name in the log of its deliveries, and is removed with the last of them
            let deleted = diesel::update(live).set((
                endpoints::deleted_at.eq(now.0),
                endpoints::url.eq(""),
                endpoints::channels.eq(None::<String>),
                endpoints::uid.eq(None::<String>),
                endpoints::metadata.eq(None::<String>),
                endpoints::description.eq(None::<String>),
                endpoints::events.eq("[]"),
                endpoints::filters.eq(None::<String>),
                endpoints::headers.eq(None::<Vec<u8>>),
                endpoints::secret.eq(Vec::new()),
                endpoints::previous_secret.eq(None::<Vec<u8>>),
                endpoints::previous_secret_expires_at.eq(None::<i64>),
                endpoints::older_secrets.eq(None::<Vec<u8>>),
                endpoints::credentials.eq(None::<Vec<u8>>),
            ));
            if deleted.execute(connection)? == 0 {
                return Ok(None);
            }
            diesel::delete(endpoint_health::table.find(id.0)).execute(connection)?;
            failures::forget(connection, id)?;
            let cancelled = super::endpoints::cancel_pending(connection, organization_id, id, now)?;
            change.ends(organization_id, id, cancelled);
            self.record(connection)?;
            notices::tell(connection, organization_id, |_| {
                Ok(vec![NewNotice::of_deleted(organization_id, id, uid.flatten())])
            })?;
            changes::add(connection, organization_id, Changed::Endpoint(id))?;
            Ok(Some(cancelled))
        })
    }

    fn create_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()> {
        self.writer.write(|connection| {
            require_owner(connection, event_type)?;
            let row = EventTypeRow::from(event_type);
            diesel::insert_into(own_event_types::table).values(row).execute(connection)?;
            self.record(connection)?;
            changes::add(connection, event_type.organization_id, Changed::EventTypes)
        })
    }

    fn save_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()> {
        self.writer.write(|connection| {
            require_owner(connection, event_type)?;
            let row = EventTypeRow::from(event_type);
            let key = (own_event_types::organization_id, own_event_types::name);
            let insert = diesel::insert_into(own_event_types::table).values(&row);
            // two nodes can do it at the same moment
            match connection {
                AnyConnection::Sqlite(sqlite) => insert.on_conflict(key).do_update().set(&row).execute(sqlite)?,
                AnyConnection::Postgres(postgres) => {
                    insert.on_conflict(key).do_update().set(&row).execute(postgres)?
                }
            };
            self.record(connection)?;
            changes::add(connection, event_type.organization_id, Changed::EventTypes)
        })
    }

    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>> {
        self.readers.read(|connection| event_types::own(connection, organization_id))
    }

    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let own = own_event_types::table
                .filter(own_event_types::organization_id.eq(organization_id.0))
                .filter(own_event_types::name.eq(name));
            if diesel::delete(own).execute(connection)? == 0 {
                return Ok(false);
            }
            self.record(connection)?;
            changes::add(connection, organization_id, Changed::EventTypes)?;
            Ok(true)
        })
    }
}
