//! Organizations, their keys, event types and endpoints.

use super::{DirectedPage, PageRequest, StoreResult};
use crate::domain::endpoint::{DisabledReason, Endpoint};
use crate::domain::event_types::DefinedEventType;
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::ids::{EndpointId, KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization, OrganizationChange, OrganizationRef, OrganizationUid};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

/// What people manage: organizations, API keys, endpoints and event types.
pub trait TenantStore: Send + Sync + 'static {
    /// Adds an organization; [`StoreError::Conflict`](super::StoreError::Conflict) when its own id is another one's.
    fn create_organization(&self, organization: &Organization) -> StoreResult<()>;
    /// Adds an organization unless one was made with this key. [`StoreError::Conflict`](super::StoreError::Conflict) also when
    /// another node makes one with it at the same moment: ask again.
    fn create_organization_once(&self, organization: &Organization, key: &CreationKey) -> StoreResult<Creation>;
    /// Changes what is given. Returns the organization as it is then; `None` when there is none.
    /// [`StoreError::Conflict`](super::StoreError::Conflict) when its new own id is another one's.
    fn update_organization(
        &self,
        id: OrganizationId,
        change: &OrganizationChange,
    ) -> StoreResult<Option<Organization>>;
    /// Lists organizations, newest first.
    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
    /// Lists those of them that have a failing webhook, paused ones included.
    fn failing_organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>>;
    /// Reads an organization.
    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>>;
    /// Lists the organizations of an environment, by their ids.
    fn organizations_of(&self, environment: &Environment, page: DirectedPage) -> StoreResult<Vec<Organization>>;
    /// Finds an organization by the publisher's own id.
    fn organization_by_uid(
        &self,
        environment: &Environment,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<Organization>>;
    /// The id of one of the deployment's own organizations that a call names, for every call that names one.
    fn resolve_organization(&self, name: &OrganizationRef) -> StoreResult<Option<OrganizationId>>;
    /// Removes an organization with its keys, endpoints and event types; from then on it is invisible. Its
    /// events and deliveries are removed later by
    /// [`MaintenanceStore::purge_organizations`](super::MaintenanceStore), and must not be read until then.
    /// Returns whether there was such an organization.
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<bool>;
    /// Adds a key; [`StoreError::NoSuchOrganization`](super::StoreError::NoSuchOrganization) when its organization does not
    /// exist.
    fn create_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// Lists the keys of an organization, or (`None`) of the deployment, newest first; revoked ones are not in it.
    fn keys(&self, owner: Option<OrganizationId>, page: PageRequest) -> StoreResult<Vec<ApiKey>>;
    /// Revokes a key of this owner. Returns its hash; `None` when there is no such key.
    fn revoke_key(&self, owner: Option<OrganizationId>, id: KeyId) -> StoreResult<Option<[u8; 32]>>;
    /// Finds the key with this hash, if it is the deployment's or its organization exists: the only way from a caller to its
    /// organization.
    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>>;
    /// Notes that a key is used now, unless that was noted within
    /// [`LAST_USE_PRECISION`](crate::domain::organization::LAST_USE_PRECISION).
    fn note_key_used(&self, id: KeyId, now: UnixMillis) -> StoreResult<()>;
    /// Adds an endpoint; as for keys, its organization must exist. [`StoreError::Conflict`](super::StoreError::Conflict) when
    /// its own id is another one's.
    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Finds an endpoint with its health: for people, over the connections of the API. The engine has
    /// [`QueueStore::endpoint`](super::QueueStore::endpoint).
    fn find_endpoint(&self, organization_id: OrganizationId, id: EndpointId)
    -> StoreResult<Option<EndpointStart>>;
    /// Finds an endpoint by the publisher's own id.
    fn endpoint_by_uid(
        &self,
        organization_id: OrganizationId,
        uid: &OrganizationUid,
    ) -> StoreResult<Option<EndpointStart>>;
    /// Lists an organization's endpoints with their health in one of two directions.
    fn endpoints_of(&self, organization_id: OrganizationId, page: DirectedPage)
    -> StoreResult<Vec<EndpointStart>>;
    /// Lists an organization's endpoints with their health, newest first.
    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>>;
    /// Lists those that are looked for, newest first. Reads all of the organization's, but for their secrets.
    fn search_endpoints(
        &self,
        organization_id: OrganizationId,
        search: &EndpointSearch,
        page: PageRequest,
    ) -> StoreResult<Vec<EndpointStart>>;
    /// Writes an endpoint back. `endpoint.version` must be one more than the stored version, else
    /// [`StoreError::Conflict`](super::StoreError::Conflict). An endpoint with a new URL, or that was switched on, starts with a clean
    /// record: its health is forgotten.
    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()>;
    /// Deletes an endpoint with everything in it, secrets first of all, and cancels the first
    /// [`CANCELLED_AT_ONCE`](super::CANCELLED_AT_ONCE) of its pending deliveries; the rest is left to
    /// [`QueueStore::cancel_all_pending`](super::QueueStore::cancel_all_pending). Returns how many were
    /// cancelled; `None` when there is no such endpoint.
    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>>;
    /// Adds an event type; [`StoreError::Conflict`](super::StoreError::Conflict) when its owner has one of that name. An
    /// organization must exist, as for keys.
    fn create_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()>;
    /// Adds an event type, or replaces the one of that name.
    fn save_event_type(&self, event_type: &DefinedEventType) -> StoreResult<()>;
    /// Lists an organization's own event types, or those of the catalogue, in the order of their names.
    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<DefinedEventType>>;
    /// Removes an event type. Returns whether it existed.
    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool>;
}

/// By which an organization is made once, however often it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreationKey {
    /// SHA-256 of the client's key.
    pub key: [u8; 32],
    /// SHA-256 of the request.
    pub request: [u8; 32],
    /// What was made with the key before does not count any more.
    pub not_before: UnixMillis,
}

/// What [`TenantStore::create_organization_once`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    Created,
    /// The same request made this one.
    Known(Organization),
    /// Another request used the key.
    OtherRequest,
}

/// An endpoint with its health: what a supervisor starts from.
pub struct EndpointStart {
    /// Its settings and secrets.
    pub endpoint: Endpoint,
    /// As it was last stored.
    pub health: EndpointHealth,
}

/// Which of an organization's endpoints are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointSearch {
    /// In this state.
    State(EndpointState),
    /// Failing, paused, or disabled by the engine: not those that a person disabled.
    Troubled,
    /// With a rate limit of their own.
    RateLimited,
    /// With this text in the URL. ASCII letters match in either case.
    Url(String),
}

impl EndpointSearch {
    /// Whether this one is looked for.
    pub(crate) fn finds(&self, EndpointStart { endpoint, health }: &EndpointStart) -> bool {
        let state = EndpointState::of(endpoint, Some(health));
        match self {
            Self::State(wanted) => state == *wanted,
            Self::Troubled => match state {
                EndpointState::Healthy => false,
                EndpointState::Failing | EndpointState::Paused => true,
                EndpointState::Disabled => {
                    matches!(endpoint.disabled_reason, Some(DisabledReason::Gone | DisabledReason::Failing))
                }
            },
            Self::RateLimited => endpoint.rate_limit.is_some(),
            Self::Url(part) => endpoint.url.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
        }
    }
}
