//! The store in memory, with faults on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ringback::domain::delivery::{DeliveryFilter, DeliveryRecord};
use ringback::domain::endpoint::Endpoint;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{DeliveryId, EndpointId, KeyId, OrganizationId};
use ringback::domain::organization::{ApiKey, Organization};
use ringback::domain::time::UnixMillis;
use ringback::store::memory::MemoryStore;
use ringback::store::*;

#[derive(Default)]
pub struct FaultyStore {
    inner: MemoryStore,
    /// While it is set, nothing works.
    pub is_unavailable: AtomicBool,
    /// So many updates find that the row was changed meanwhile.
    pub conflicts: AtomicUsize,
}

impl FaultyStore {
    fn open(&self) -> StoreResult<()> {
        match self.is_unavailable.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("switched off".to_owned())),
            false => Ok(()),
        }
    }

    fn conflict(&self) -> StoreResult<()> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.conflicts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(StoreError::Conflict),
            Err(_) => Ok(()),
        }
    }
}

impl Store for FaultyStore {
    fn create_organization(&self, organization: &Organization) -> StoreResult<()> {
        self.open()?;
        self.inner.create_organization(organization)
    }
    fn organizations(&self, page: PageRequest) -> StoreResult<Vec<Organization>> {
        self.open()?;
        self.inner.organizations(page)
    }
    fn organization(&self, id: OrganizationId) -> StoreResult<Option<Organization>> {
        self.open()?;
        self.inner.organization(id)
    }
    fn delete_organization(&self, id: OrganizationId) -> StoreResult<Option<Vec<EndpointId>>> {
        self.open()?;
        self.inner.delete_organization(id)
    }
    fn create_key(&self, key: &ApiKey) -> StoreResult<()> {
        self.open()?;
        self.inner.create_key(key)
    }
    fn keys(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<ApiKey>> {
        self.open()?;
        self.inner.keys(organization_id, page)
    }
    fn revoke_key(&self, organization_id: OrganizationId, id: KeyId) -> StoreResult<Option<[u8; 32]>> {
        self.open()?;
        self.inner.revoke_key(organization_id, id)
    }
    fn key_by_hash(&self, hash: &[u8; 32]) -> StoreResult<Option<ApiKey>> {
        self.open()?;
        self.inner.key_by_hash(hash)
    }
    fn create_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.open()?;
        self.inner.create_endpoint(endpoint)
    }
    fn endpoints(&self, organization_id: OrganizationId, page: PageRequest) -> StoreResult<Vec<EndpointStart>> {
        self.open()?;
        self.inner.endpoints(organization_id, page)
    }
    fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> StoreResult<Option<EndpointStart>> {
        self.open()?;
        self.inner.endpoint(organization_id, id)
    }
    fn update_endpoint(&self, endpoint: &Endpoint) -> StoreResult<()> {
        self.open()?;
        self.conflict()?;
        self.inner.update_endpoint(endpoint)
    }
    fn delete_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<Option<usize>> {
        self.open()?;
        self.inner.delete_endpoint(organization_id, id, now)
    }
    fn commit(&self, batch: &WriteBatch, now: UnixMillis) -> StoreResult<CommitReport> {
        self.open()?;
        self.inner.commit(batch, now)
    }
    fn due_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        request: &DueRequest,
    ) -> StoreResult<DuePage> {
        self.open()?;
        self.inner.due_deliveries(organization_id, endpoint_id, request)
    }
    fn cancel_pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> StoreResult<usize> {
        self.open()?;
        self.inner.cancel_pending(organization_id, endpoint_id, now)
    }
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        self.open()?;
        self.inner.deliveries(organization_id, filter, page)
    }
    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        self.open()?;
        self.inner.delivery(organization_id, id)
    }
    fn largest_id(&self) -> StoreResult<i64> {
        self.open()?;
        self.inner.largest_id()
    }
    fn scan_endpoints(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<Endpoint>> {
        self.open()?;
        self.inner.scan_endpoints(after, limit)
    }
    fn scan_agenda(&self, after: Option<EndpointId>, limit: usize) -> StoreResult<Vec<AgendaRow>> {
        self.open()?;
        self.inner.scan_agenda(after, limit)
    }
    fn open_breakers(&self) -> StoreResult<Vec<EndpointHealth>> {
        self.open()?;
        self.inner.open_breakers()
    }
    fn count_pending(&self) -> StoreResult<u64> {
        self.open()?;
        self.inner.count_pending()
    }
    fn ping(&self) -> StoreResult<()> {
        self.open()?;
        self.inner.ping()
    }
}
