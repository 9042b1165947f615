//! The delivery log: reading it, resending from it, and the health of endpoints that it shows.

use bytes::Bytes;

use super::{PageRequest, StoreResult};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::health::{EndpointStates, FinishedDelivery, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

/// The delivery log, resends from it, and the health that follows from it.
pub trait LogStore: Send + Sync + 'static {
    /// Lists an organization's deliveries, newest first. What is rare, and has no index, can take several pages to find.
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage>;
    /// Reads one with its attempts.
    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>>;
    /// Lists an organization's events, newest first.
    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>>;
    /// Reads one with its body and deliveries.
    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>>;
    /// Makes a delivery in a final status pending again, from `now`, with its whole schedule anew; its attempts
    /// stay in the log and the numbers go on.
    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome>;
    /// The same for deliveries of an endpoint, oldest first: looks at those of the range with an id above `after`,
    /// and requeues at most `limit` in one short transaction.
    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage>;
    /// How many deliveries of an endpoint are in a range; 0 for an endpoint that does not exist.
    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
    ) -> StoreResult<usize>;
    /// Sends an event again: a delivery in a final status is requeued, a pending one is left, and an endpoint that
    /// has none gets a new one with an id from `next_id`. Returns the endpoints for which something of the event is
    /// pending now; `None` when there is no such event.
    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>>;
    /// What is pending for an endpoint, or for all of an organization's.
    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats>;
    /// The deliveries of an endpoint, or of the organization, that were created since then and have succeeded or
    /// failed: the newest `limit` of them, newest first.
    fn recent_deliveries(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
        since: UnixMillis,
        limit: usize,
    ) -> StoreResult<Vec<FinishedDelivery>>;
    /// How many endpoints of an organization are in each state.
    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates>;
    /// The newest failed attempt of an endpoint that was written and is not older than the log; `None` for a deleted one.
    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>>;
    /// What was counted of all of an organization's endpoints, deleted ones included, from the period of `since` on:
    /// one for each period in which something happened, oldest first.
    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>>;
    /// The same of single endpoints, in the order of periods and endpoints.
    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>>;
}

/// A page of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Newest first.
    pub rows: Vec<DeliveryRecord>,
    /// There are fewer rows than were asked for, and yet there may be more before this id: the page looked at all that
    /// one page may look at.
    pub next_before: Option<i64>,
}

/// A delivery of the log with its body and attempts.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// The row.
    pub record: DeliveryRecord,
    /// The event's body.
    pub body: Bytes,
    /// From the first to the last.
    pub attempts: Vec<AttemptRecord>,
}

/// An event with its body and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    /// The row.
    pub record: EventRecord,
    /// What receivers get.
    pub body: Bytes,
    /// From the oldest to the newest.
    pub deliveries: Vec<DeliveryRecord>,
}

/// What became of the wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequeueOutcome {
    /// There is no such delivery.
    NotFound,
    /// It waits for an attempt as it is.
    StillPending,
    /// Its endpoint was deleted.
    WebhookGone,
    /// It is pending again.
    Requeued {
        /// Whose it is.
        endpoint_id: EndpointId,
    },
}

/// Which deliveries of an endpoint are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeueRange {
    /// Created at or after.
    pub since: UnixMillis,
    /// Created before.
    pub until: UnixMillis,
    /// In this final status: success or failed. Of any other there are none.
    pub status: DeliveryStatus,
}

impl RequeueRange {
    /// Whether deliveries in its status can be sent again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, DeliveryStatus::Success | DeliveryStatus::Failed)
    }
}

/// What one step of sending a range again did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeuedPage {
    /// So many are pending again.
    pub deliveries: usize,
    /// After which delivery the next step goes on; `None` when the range is through. One that was requeued can
    /// fail again before the next step: only going on behind it keeps it from being sent twice.
    pub next: Option<DeliveryId>,
}

/// Where an event is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTargets {
    /// To every endpoint that it has a delivery for and that still exists.
    Delivered,
    /// To these; one that does not exist is left out.
    Endpoints(Vec<EndpointId>),
}
