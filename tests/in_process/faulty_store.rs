//! A store with faults on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::{EventFilter, EventRecord};
use ringback::domain::event_types::OwnEventType;
use ringback::domain::health::{EndpointHealth, EndpointStates, FinishedDelivery, PendingStats};
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId};
use ringback::domain::last_failure::LastFailure;
use ringback::domain::organization::{ApiKey, Organization};
use ringback::domain::statistics::PeriodStatistics;
use ringback::domain::time::UnixMillis;
use ringback::store::*;

pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    /// While it is set, nothing works.
    pub is_unavailable: AtomicBool,
    /// So many updates find that the row was changed meanwhile.
    pub conflicts: AtomicUsize,
    /// The next commit with an outcome panics.
    pub outcome_panics: AtomicBool,
    /// The step of a recovery, from 1, that fails; 0 for none.
    pub failing_step: AtomicUsize,
    /// How many checkpoints may have been made.
    pub checkpoints: AtomicUsize,
    /// The next checkpoint panics.
    pub checkpoint_panics: AtomicBool,
    /// In the way of so many of them stands a reader.
    pub checkpoints_blocked: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn Store>) -> Self {
        let (is_unavailable, conflicts) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (outcome_panics, checkpoint_panics) = (AtomicBool::new(false), AtomicBool::new(false));
        let [failing_step, checkpoints, checkpoints_blocked] = [0; 3].map(AtomicUsize::new);
        Self {
            inner,
            is_unavailable,
            conflicts,
            outcome_panics,
            failing_step,
            checkpoints,
            checkpoint_panics,
            checkpoints_blocked,
        }
    }

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
    fn delete_organization(&self, id: OrganizationId, now: UnixMillis) -> StoreResult<Option<Vec<EndpointId>>> {
        self.open()?;
        self.inner.delete_organization(id, now)
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
        let panics = !batch.outcomes.is_empty() && self.outcome_panics.swap(false, Ordering::SeqCst);
        assert!(!panics, "a panic on demand");
        self.inner.commit(batch, now)
    }
    fn checkpoint(&self) -> StoreResult<Checkpoint> {
        self.open()?;
        self.checkpoints.fetch_add(1, Ordering::SeqCst);
        assert!(!self.checkpoint_panics.swap(false, Ordering::SeqCst), "a panic on demand");
        let one_less = |left: usize| left.checked_sub(1);
        match self.checkpoints_blocked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Ok(Checkpoint::Blocked),
            Err(_) => self.inner.checkpoint(),
        }
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
    fn close_breaker(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> StoreResult<()> {
        self.open()?;
        self.inner.close_breaker(organization_id, endpoint_id)
    }
    fn make_due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        after: Option<QueuePosition>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<MadeDue> {
        self.open()?;
        self.inner.make_due(organization_id, endpoint_id, after, limit, now)
    }
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage> {
        self.open()?;
        self.inner.deliveries(organization_id, filter, page)
    }
    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        self.open()?;
        self.inner.delivery(organization_id, id)
    }
    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        self.open()?;
        self.inner.requeue_delivery(organization_id, id, now)
    }
    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage> {
        self.open()?;
        let one_less = |left: usize| left.checked_sub(1);
        if self.failing_step.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(1) {
            return Err(StoreError::Unavailable("switched off".to_owned()));
        }
        self.inner.requeue_range(organization_id, endpoint_id, range, after, limit, now)
    }
    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
    ) -> StoreResult<usize> {
        self.open()?;
        self.inner.count_range(organization_id, endpoint_id, range)
    }
    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        self.open()?;
        self.inner.replay_event(organization_id, id, targets, next_id, now)
    }
    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>> {
        self.open()?;
        self.inner.events(organization_id, filter, page)
    }
    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>> {
        self.open()?;
        self.inner.event(organization_id, id)
    }
    fn create_event_type(&self, event_type: &OwnEventType) -> StoreResult<()> {
        self.open()?;
        self.inner.create_event_type(event_type)
    }
    fn own_event_types(&self, organization_id: OrganizationId) -> StoreResult<Vec<OwnEventType>> {
        self.open()?;
        self.inner.own_event_types(organization_id)
    }
    fn delete_event_type(&self, organization_id: OrganizationId, name: &str) -> StoreResult<bool> {
        self.open()?;
        self.inner.delete_event_type(organization_id, name)
    }
    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        self.open()?;
        self.inner.pending(organization_id, endpoint_id)
    }
    fn recent_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> StoreResult<Vec<FinishedDelivery>> {
        self.open()?;
        self.inner.recent_deliveries(organization_id, endpoint_id, since, limit)
    }
    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates> {
        self.open()?;
        self.inner.endpoint_states(organization_id)
    }
    fn prune(&self, before: UnixMillis, after: Option<EventId>, limit: usize) -> StoreResult<PruneReport> {
        self.open()?;
        self.inner.prune(before, after, limit)
    }
    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        self.open()?;
        self.inner.last_failure(organization_id, endpoint_id)
    }
    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        self.open()?;
        self.inner.organization_statistics(organization_id, since)
    }
    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        self.open()?;
        self.inner.endpoint_statistics(organization_id, endpoint_ids, since)
    }
    fn prune_statistics(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.open()?;
        self.inner.prune_statistics(before, limit)
    }
    fn prune_endpoints(
        &self,
        settled_before: UnixMillis,
        after: Option<EndpointId>,
        limit: usize,
    ) -> StoreResult<Option<EndpointId>> {
        self.open()?;
        self.inner.prune_endpoints(settled_before, after, limit)
    }
    fn prune_idempotency_keys(&self, before: UnixMillis, limit: usize) -> StoreResult<usize> {
        self.open()?;
        self.inner.prune_idempotency_keys(before, limit)
    }
    fn purge_organizations(&self, settled_before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.open()?;
        self.inner.purge_organizations(settled_before, limit)
    }
    fn failing_before(&self, instant: UnixMillis, limit: usize) -> StoreResult<Vec<EndpointHealth>> {
        self.open()?;
        self.inner.failing_before(instant, limit)
    }
    fn scan_event_types(
        &self,
        after: Option<(OrganizationId, &str)>,
        limit: usize,
    ) -> StoreResult<Vec<OwnEventType>> {
        self.open()?;
        self.inner.scan_event_types(after, limit)
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
