//! Organizations, keys, endpoints and event types in memory.

use super::super::{
    Changed, Creation, CreationKey, DirectedPage, EndpointSearch, EndpointStart, PageRequest, QueueStore,
    StoreError, StoreResult, TenantStore,
};
use super::MemoryStore;
use super::state::{MemoryState, directed_page_of, page_of};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::{CATALOGUE, DefinedEventType};
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::notice::{NewNotice, NoticeKind};
use crate::domain::organization::{
    ApiKey, BodyShape, LAST_USE_PRECISION, Organization, OrganizationChange, OrganizationRef, OrganizationUid,
};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

impl TenantStore for MemoryStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        let mut state = self.writing()?;
        state.add_organization(organization)?;
        self.record(&mut state);
        Ok(())
    }

    fn create_organization_once(&self, organization: &Organization, key: &CreationKey) -> StoreResult<Creation> {
        let mut state = self.writing()?;
        let known = state.creation_keys.get(&key.key);
        let known = known.and_then(|(id, request)| Some((state.organizations.get(id)?, request)));
        if let Some((known, request)) = known.filter(|(known, _)| known.created_at > key.not_before) {
            return Ok(match *request == key.request {
                true => Creation::Known(known.clone()),
                false => Creation::OtherRequest,
            });
        }
        state.add_organization(organization)?;
        state.creation_keys.insert(key.key, (organization.id, key.request));
        self.record(&mut state);
        Ok(Creation::Created)
    }

    fn update_organization(
        &self,
        id: OrganizationId,
        change: &OrganizationChange,
    ) -> StoreResult<Option<Organization>> {
        let mut state = self.writing()?;
        if !state.organizations.contains_key(&id) {
            return Ok(None);
        }
        let environment = state.organizations.get(&id).map(|known| known.environment.clone()).unwrap_or_default();
        if let Some(Some(uid)) = &change.uid
            && state.with_uid(&environment, uid).is_some_and(|other| other.id != id)
        {
            return Err(StoreError::Conflict);
        }
        let Some(organization) = state.organizations.get_mut(&id) else { return Ok(None) };
        change.clone().apply(organization);
        let changed = organization.clone();
        self.record(&mut state);
        if change.uid.is_some() || change.body.is_some() {
            state.changed(id, Changed::Organization);
        }
        Ok(Some(changed))
    }

    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        let state = self.state();
        Ok(page_of(state.organizations.values(), |item| item.id.0, page).into_iter().cloned().collect())
    }

    fn failing_organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        let state = self.state();
        let is_failing = |organization: &&Organization| {
            let states = state.endpoint_states(organization.id);
            states.failing + states.paused > 0
        };
        let failing = state.organizations.values().filter(is_failing);
        Ok(page_of(failing, |item| item.id.0, page).into_iter().cloned().collect())
    }

    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        Ok(self.state().organizations.get(&id).cloned())
    }

    fn organizations_of(&self, environment: &Environment, page: DirectedPage) -> StoreResult<Vec<Organization>> {
        let state = self.state();
        let of_it = state.organizations.values().filter(|organization| organization.environment == *environment);
        Ok(directed_page_of(of_it, |item| item.id.0, page).into_iter().cloned().collect())
    }

    fn organization_by_uid(
        &self,
        environment: &Environment,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<Organization>> {
        Ok(self.state().with_uid(environment, uid).cloned())
    }

    fn resolve_organization(&self, name: &OrganizationRef) -> StoreResult<Option<OrganizationId>> {
        let found = match name {
            OrganizationRef::Id(id) => self.organization(*id)?,
            OrganizationRef::Uid(uid) => self.organization_by_uid(&Environment::default(), uid)?,
        };
        Ok(found.map(|organization| organization.id))
    }

    fn delete_organization(&self, id: OrganizationId, _now: UnixMillis) -> StoreResult<bool> {
        let mut state = self.writing()?;
        if state.organizations.remove(&id).is_none() {
            return Ok(false);
        }
        state.keys.retain(|_, key| key.organization_id != Some(id));
        state.sessions.retain(|_, session| session.organization_id != Some(id));
        state.links.retain(|_, (link, _)| link.organization_id != id);
        state.endpoints.retain(|_, endpoint| endpoint.organization_id != id);
        state.health.retain(|_, health| health.organization_id != id);
        state.failures.retain(|_, failure| failure.organization_id != id);
        let removed: Vec<_> =
            state.events.iter().filter(|(_, (event, _))| event.organization_id == id).map(|(id, _)| *id).collect();
        removed.iter().for_each(|id| drop((state.events.remove(id), state.labels.remove(id))));
        state.deliveries.retain(|_, delivery| delivery.record.organization_id != id);
        state.event_types.retain(|(organization_id, _), _| *organization_id != id);
        state.idempotency.retain(|(organization_id, _), _| *organization_id != id);
        state.statistics.retain(|(_, organization_id, _), _| *organization_id != id);
        state.audit_log.retain(|_, entry| entry.organization_id != Some(id));
        state.tasks.retain(|_, task| task.organization_id != id);
        state.ending_tokens.remove(&id);
        self.record(&mut state);
        state.changed(id, Changed::OrganizationDeleted);
        Ok(true)
    }

    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        let mut state = self.writing()?;
        if let Some(organization_id) = key.organization_id {
            state.require_organization(organization_id)?;
        }
        if state.keys.values().any(|other| other.id == key.id || other.hash == key.hash) {
            return Err(StoreError::Conflict);
        }
        state.keys.insert(key.id, key.clone());
        self.record(&mut state);
        Ok(())
    }

    fn keys(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        let state = self.state();
        let own = state.keys.values().filter(|key| key.organization_id == owner);
        Ok(page_of(own, |key| key.id.0, page).into_iter().cloned().collect())
    }

    fn revoke_key(&self, owner: Option<OrganizationId>, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        let mut state = self.writing()?;
        if state.keys.get(&id).is_none_or(|key| key.organization_id != owner) {
            return Ok(None);
        }
        self.record(&mut state);
        Ok(state.keys.remove(&id).map(|key| key.hash))
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        Ok(self.state().keys.values().find(|key| key.hash == *hash).cloned())
    }

    fn note_key_used(&self, id: KeyId, now: UnixMillis) -> StoreResult<()> {
        if let Some(key) = self.writing()?.keys.get_mut(&id)
            && key.last_used_at.is_none_or(|noted| noted <= now - LAST_USE_PRECISION)
        {
            key.last_used_at = Some(now);
        }
        Ok(())
    }

    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        let mut state = self.writing()?;
        state.require_organization(endpoint.organization_id)?;
        if state.endpoints.contains_key(&endpoint.id) || state.has_name_of(endpoint) {
            return Err(StoreError::Conflict);
        }
        state.endpoints.insert(endpoint.id, endpoint.clone());
        self.record(&mut state);
        state.tell(endpoint.organization_id, vec![NewNotice::of_endpoint(NoticeKind::Created, endpoint)]);
        state.changed(endpoint.organization_id, Changed::Endpoint(endpoint.id));
        Ok(())
    }

    fn find_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
    ) -> StoreResult<Option<EndpointStart>> {
        QueueStore::endpoint(self, organization_id, id)
    }

    fn endpoint_by_uid(
        &self,
        organization_id: OrganizationId,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<EndpointStart>> {
        let state = self.state();
        let mut own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        Ok(own.find(|endpoint| endpoint.uid.as_ref() == Some(uid)).map(|endpoint| state.start(endpoint)))
    }

    fn endpoints_of(
        &self,
        organization_id: OrganizationId,
        page: DirectedPage,
    ) -> StoreResult<Vec<EndpointStart>> {
        let state = self.state();
        let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        let page = directed_page_of(own, |endpoint| endpoint.id.0, page);
        Ok(page.into_iter().map(|endpoint| state.start(endpoint)).collect())
    }

    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>> {
        let state = self.state();
        let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        let page = page_of(own, |endpoint| endpoint.id.0, page);
        Ok(page.into_iter().map(|endpoint| state.start(endpoint)).collect())
    }

    fn search_endpoints(
        &self,
        organization_id: OrganizationId,
        search: &EndpointSearch,
        page: PageRequest,
    ) -> StoreResult<Vec<EndpointStart>> {
        let state = self.state();
        let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        let found = own.filter(|endpoint| search.finds(&state.start(endpoint)));
        let page = page_of(found, |endpoint| endpoint.id.0, page);
        Ok(page.into_iter().map(|endpoint| state.start(endpoint)).collect())
    }

    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        let mut state = self.writing()?;
        let read = state.endpoint(endpoint.organization_id, endpoint.id);
        let Some(read) = read.filter(|read| read.version == endpoint.version - 1) else {
            return Err(StoreError::Conflict);
        };
        let was_active = read.active;
        if read.url != endpoint.url || (endpoint.active && !was_active) {
            state.health.remove(&endpoint.id);
        }
        state.endpoints.insert(endpoint.id, endpoint.clone());
        self.record(&mut state);
        state.tell(endpoint.organization_id, NewNotice::of_change(was_active, endpoint));
        state.changed(endpoint.organization_id, Changed::Endpoint(endpoint.id));
        Ok(())
    }

    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        let mut state = self.writing()?;
        let Some(endpoint) = state.endpoint(organization_id, id) else { return Ok(None) };
        let uid = endpoint.uid.as_ref().map(ToString::to_string);
        state.tell(organization_id, vec![NewNotice::of_deleted(organization_id, id, uid)]);
        state.endpoints.remove(&id);
        state.health.remove(&id);
        state.failures.remove(&id);
        state.largest_deleted = state.largest_deleted.max(id.0);
        self.record(&mut state);
        state.changed(organization_id, Changed::Endpoint(id));
        Ok(Some(state.cancel(organization_id, id, now)))
    }

    fn create_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()> {
        let mut state = self.writing()?;
        if state.event_types.contains_key(&(event_type.organization_id, event_type.name.clone())) {
            return Err(StoreError::Conflict);
        }
        state.save_event_type(event_type)?;
        self.record(&mut state);
        Ok(())
    }

    fn save_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()> {
        let mut state = self.writing()?;
        state.save_event_type(event_type)?;
        self.record(&mut state);
        Ok(())
    }

    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>> {
        let state = self.state();
        let own = state.event_types.values().filter(|own| own.organization_id == organization_id);
        Ok(own.cloned().collect())
    }

    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let was_there = state.event_types.remove(&(organization_id, name.to_owned())).is_some();
        if was_there {
            self.record(&mut state);
        }
        if was_there {
            state.changed(organization_id, Changed::EventTypes);
        }
        Ok(was_there)
    }
}

impl MemoryState {
    fn save_event_type(&mut self, event_type: &DefinedEventType) -> StoreResult<()> {
        let owner = event_type.organization_id;
        if owner != CATALOGUE {
            self.require_organization(owner)?;
        }
        self.event_types.insert((owner, event_type.name.clone()), event_type.clone());
        self.changed(owner, Changed::EventTypes);
        Ok(())
    }

    fn add_organization(&mut self, organization: &Organization) -> StoreResult<()> {
        let is_same = |other: &Organization| {
            let is_known = other.uid.is_some() && other.uid == organization.uid;
            let is_brought = other.svix_id.is_some() && other.svix_id == organization.svix_id;
            let has_its_name = (is_known || is_brought) && other.environment == organization.environment;
            other.id == organization.id || has_its_name
        };
        if self.organizations.values().any(is_same) {
            return Err(StoreError::Conflict);
        }
        self.organizations.insert(organization.id, organization.clone());
        if organization.body != BodyShape::Envelope {
            self.changed(organization.id, Changed::Organization);
        }
        Ok(())
    }

    pub(super) fn require_organization(&self, id: OrganizationId) -> StoreResult<()> {
        self.organizations.get(&id).map(|_| ()).ok_or(StoreError::NoSuchOrganization)
    }
}
