//! Organizations, their keys, event types and endpoints.

use super::{PageRequest, StoreResult};
use crate::domain::endpoint::Endpoint;
use crate::domain::event_types::OwnEventType;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization};
use crate::domain::time::UnixMillis;

/// What people manage: organizations, API keys, endpoints and event types.
pub trait TenantStore: Send + Sync + 'static {
    /// Adds an organization.
    fn create_organization(&self, organization: &Organization) -> StoreResult<()>;
    /// Lists organizations, newest first.
    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
    /// Reads one.
    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>>;
    /// Removes an organization with its keys, endpoints and event types, after which nobody sees anything of it. Its
    /// events and what belongs to them are left to [`Store::purge_organizations`], and not to be asked for until then.
    /// Returns whether there was one, and the endpoints that went with it.
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>>;
    /// Adds a key.
    fn create_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// Lists an organization's keys, newest first; revoked ones are gone.
    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>>;
    /// Revokes a key. Returns the hash of the key that it was.
    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>>;
    /// Finds the key with this hash: the one way from a caller to its organization.
    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>>;
    /// Adds an endpoint.
    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Lists an organization's endpoints with their conditions, newest first.
    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>>;
    /// Writes an endpoint back; `endpoint.version` is one more than the version that was read, else
    /// [`StoreError::Conflict`]. One that now points elsewhere, or was switched on, begins with a clean record:
    /// its condition is forgotten.
    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Deletes an endpoint with all that it was made of, secrets first of all, and cancels what is pending for it: the first [`CANCELLED_AT_ONCE`] of it, the rest is left
    /// to [`Store::cancel_all_pending`]. Returns how many deliveries that were; `None` when there is no such endpoint.
    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>>;
    /// Adds an event type; [`StoreError::Conflict`] when the organization has one of that name.
    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()>;
    /// Lists an organization's own event types by their names.
    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>>;
    /// Removes one. Returns whether there was one.
    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool>;
}

/// What a supervisor needs to begin.
pub struct EndpointStart {
    /// Its settings.
    pub endpoint: Endpoint,
    /// Its condition before.
    pub health: EndpointHealth,
}
