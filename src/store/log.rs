//! Reading the delivery log, resending from it, and the health of endpoints that it shows.

use bytes::Bytes;

use super::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, EdgePage, EventListFilter, EventPageRequest, ListFilter,
    ListedAttempt, ListedEvent, Message, MessagePageRequest, PageRequest, StoreResult,
};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::health::{EndpointStates, OrganizationInTrouble, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::round::Rounds;
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

/// The delivery log, resends from it, and the health derived from it.
pub trait LogStore: Send + Sync + 'static {
    /// Lists an organization's deliveries, newest first. Rare rows that no index leads to can take several
    /// pages to find.
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage>;
    /// Reads a delivery with its attempts.
    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>>;
    /// Lists an organization's events, newest first.
    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>>;
    /// The newest event with this own id of its publisher.
    fn event_by_uid(&self, organization_id: OrganizationId, uid: &str) -> StoreResult<Option<EventId>>;
    /// Reads an event with its body and deliveries.
    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>>;
    /// Makes a finished delivery pending again at `now`, with its whole retry schedule ahead of it or with one attempt. Its
    /// attempts stay in the log, and their numbers continue.
    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        rounds: Rounds,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome>;
    /// The same for an endpoint's deliveries in a range, oldest first: those with an id above `after`, at most
    /// `limit` in one short transaction.
    fn requeue_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
        limit: usize,
        now: UnixMillis,
    ) -> StoreResult<RequeuedPage>;
    /// Lists attempts of an endpoint or an event in the order of their deliveries: a late retry is at its delivery's place.
    fn attempts(
        &self,
        organization_id: OrganizationId,
        filter: &AttemptFilter,
        page: AttemptPageRequest,
    ) -> StoreResult<EdgePage<ListedAttempt, AttemptPosition>>;
    /// Lists an organization's events.
    fn event_list(
        &self,
        organization_id: OrganizationId,
        filter: &EventListFilter,
        page: EventPageRequest,
    ) -> StoreResult<EdgePage<ListedEvent, EventId>>;
    /// Lists an endpoint's or an event's deliveries with their events.
    fn messages(
        &self,
        organization_id: OrganizationId,
        filter: &ListFilter,
        page: &MessagePageRequest,
    ) -> StoreResult<EdgePage<Message, DeliveryId>>;
    /// How many deliveries of an endpoint are in a range, at most `limit`: no more are read. 0 for an endpoint that does
    /// not exist.
    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        limit: usize,
    ) -> StoreResult<usize>;
    /// Replays an event: a finished delivery is requeued, a pending one is left alone, and an endpoint without
    /// a delivery gets one with an id from `next_id`. Returns the endpoints that now have a pending delivery of
    /// the event; `None` when there is no such event.
    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        rounds: Rounds,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>>;
    /// Makes a delivery that waits for a retry due at `now`, with an attempt that its schedule does not count: if that fails, the
    /// retry that it waited for follows, after the same delay. One that is due already, or under way, is left alone.
    fn make_delivery_due(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<MadeDeliveryDue>;
    /// The backlog of an endpoint, or of all of an organization's endpoints.
    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats>;
    /// How many endpoints of an organization are in each state.
    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates>;
    /// The organizations whose webhooks fail or fall behind, those first that have for longest; at most `most`.
    fn organizations_in_trouble(&self, most: usize) -> StoreResult<Vec<OrganizationInTrouble>>;
    /// The newest failed attempt of an endpoint, unless it is older than the retention of the log; `None` for a
    /// deleted endpoint.
    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>>;
    /// The counts of all of an organization's endpoints, deleted ones included, from the period of `since` on:
    /// one entry per period in which something happened, oldest first.
    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>>;
    /// The same for single endpoints, in the order of periods and endpoints.
    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>>;
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Newest first.
    pub rows: Vec<DeliveryRecord>,
    /// Set when there are fewer rows than the limit although there may be more below this id: the page has
    /// looked at as many rows as one page may.
    pub next_before: Option<i64>,
}

/// A delivery with its body and attempts.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    pub record: DeliveryRecord,
    /// What the receiver gets.
    pub body: Bytes,
    /// From the first to the last.
    pub attempts: Vec<AttemptRecord>,
}

/// An event with its body and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    pub record: EventRecord,
    /// What receivers get.
    pub body: Bytes,
    /// From the oldest to the newest.
    pub deliveries: Vec<DeliveryRecord>,
}

/// The result of requeueing a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequeueOutcome {
    /// There is no such delivery.
    NotFound,
    /// It is pending already.
    StillPending,
    /// Its endpoint was deleted.
    WebhookGone,
    /// It is pending again.
    Requeued {
        /// The endpoint that it belongs to.
        endpoint_id: EndpointId,
    },
}

/// The result of making a delivery due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeDeliveryDue {
    /// There is no such delivery, it has ended, or its endpoint was deleted.
    NotPending,
    /// Its attempt is due already, or under way.
    AlreadyDue,
    /// It waited for a retry, and is due now.
    MadeDue {
        /// The endpoint that it belongs to.
        endpoint_id: EndpointId,
    },
}

/// Which deliveries of an endpoint are resent, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeueRange {
    /// Created at this instant or later.
    pub since: UnixMillis,
    /// Created before this instant.
    pub until: UnixMillis,
    /// In this final status: success or failed. Deliveries in any other status are never resent.
    pub status: DeliveryStatus,
    /// How many attempts each gets.
    pub rounds: Rounds,
}

impl RequeueRange {
    /// Whether deliveries in its status can be resent.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status, DeliveryStatus::Success | DeliveryStatus::Failed)
    }
}

/// The result of one step of resending a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequeuedPage {
    /// How many are pending again.
    pub deliveries: usize,
    /// The next step continues after this delivery; `None` at the end of the range. A requeued delivery can
    /// fail again before the next step: only continuing behind it keeps it from being resent twice.
    pub next: Option<DeliveryId>,
}

/// Where an event is replayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTargets {
    /// Every endpoint that it has a delivery for and that still exists.
    Delivered,
    /// These endpoints; those that do not exist are left out.
    Endpoints(Vec<EndpointId>),
}
