//! The delivery log, resends and health in memory.

use std::sync::Arc;

use super::super::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, DeliveryDetail, EdgePage, EventDetail, EventListFilter,
    EventPageRequest, ListFilter, ListedAttempt, ListedEvent, LogPage, LogStore, MadeDeliveryDue, Message,
    MessagePageRequest, PageRequest, ReplayTargets, RequeueOutcome, RequeueRange, RequeuedPage, StoreError,
    StoreResult,
};
use super::MemoryStore;
use super::state::{MemoryDelivery, MemoryState, page_of, passes};
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::event::{Event, EventFilter, EventRecord};
use crate::domain::health::{EndpointState, EndpointStates, OrganizationInTrouble, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::labels::EventLabels;
use crate::domain::last_failure::LastFailure;
use crate::domain::round::{Rounds, not_counted_when_hurried};
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

impl LogStore for MemoryStore {
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage> {
        let state = self.state();
        let own = state
            .deliveries
            .values()
            .map(|delivery| &delivery.record)
            .filter(|record| record.organization_id == organization_id && passes(filter, record))
            .filter(|record| filter.tag.as_ref().is_none_or(|tag| state.has_tag(record.event_id, tag)));
        let rows = page_of(own, |record| record.id.0, page).into_iter().cloned().collect();
        Ok(LogPage { rows, next_before: None })
    }

    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        let state = self.state();
        let found = state.deliveries.get(&id).filter(|found| found.record.organization_id == organization_id);
        Ok(found.and_then(|delivery| {
            let (event, _) = state.events.get(&delivery.record.event_id)?;
            Some(DeliveryDetail {
                record: delivery.record.clone(),
                body: event.body.clone(),
                attempts: delivery.attempts.clone(),
            })
        }))
    }

    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>> {
        Ok(self.state().list_events(organization_id, filter, page))
    }

    fn event_by_uid(&self, organization_id: OrganizationId, uid: &str) -> StoreResult<Option<EventId>> {
        Ok(self.state().event_with_uid(organization_id, uid))
    }

    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>> {
        Ok(self.state().event_detail(organization_id, id))
    }

    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        rounds: Rounds,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        self.writing()?.requeue_delivery(organization_id, id, rounds, now)
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
        let mut state = self.writing()?;
        let mut found = state.in_range(organization_id, endpoint_id, range, after);
        found.truncate(limit);
        let next = found.last().copied().filter(|_| found.len() == limit);
        found.retain(|id| state.deliveries.get(id).is_some_and(|it| !state.is_erased(it.record.event_id)));
        found.iter().for_each(|id| state.requeue(*id, range.rounds, now));
        if !found.is_empty() {
            self.record(&mut state);
        }
        Ok(RequeuedPage { deliveries: found.len(), next })
    }

    fn attempts(
        &self,
        organization_id: OrganizationId,
        filter: &AttemptFilter,
        page: AttemptPageRequest,
    ) -> StoreResult<EdgePage<ListedAttempt, AttemptPosition>> {
        Ok(self.state().list_attempts(organization_id, filter, page))
    }

    fn event_list(
        &self,
        organization_id: OrganizationId,
        filter: &EventListFilter,
        page: EventPageRequest,
    ) -> StoreResult<EdgePage<ListedEvent, EventId>> {
        Ok(self.state().select_events(organization_id, filter, page))
    }

    fn messages(
        &self,
        organization_id: OrganizationId,
        filter: &ListFilter,
        page: &MessagePageRequest,
    ) -> StoreResult<EdgePage<Message, DeliveryId>> {
        Ok(self.state().list_messages(organization_id, filter, page))
    }

    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        limit: usize,
    ) -> StoreResult<usize> {
        Ok(self.state().in_range(organization_id, endpoint_id, range, None).len().min(limit))
    }

    fn replay_event(
        &self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        rounds: Rounds,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        self.writing()?.replay_event(organization_id, id, targets, rounds, next_id, now)
    }

    fn make_delivery_due(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<MadeDeliveryDue> {
        Ok(self.writing()?.make_delivery_due(organization_id, id, now))
    }

    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        Ok(self.state().pending(organization_id, endpoint_id))
    }

    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates> {
        Ok(self.state().endpoint_states(organization_id))
    }

    fn organizations_in_trouble(&self, most: usize) -> StoreResult<Vec<OrganizationInTrouble>> {
        let state = self.state();
        let of = |organization_id: &OrganizationId| {
            let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == *organization_id);
            let health =
                own.filter(|endpoint| endpoint.active).filter_map(|endpoint| state.health.get(&endpoint.id));
            OrganizationInTrouble {
                organization_id: *organization_id,
                failing_since: health.filter_map(|health| health.failing_since).min(),
                pending_since: state.pending(*organization_id, None).oldest_pending_at,
            }
        };
        let mut all: Vec<OrganizationInTrouble> = state.organizations.keys().map(of).collect();
        all.retain(|one| one.failing_since.is_some() || one.pending_since.is_some());
        all.sort_by_key(|one| (one.since(), one.organization_id));
        all.truncate(most);
        Ok(all)
    }

    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        let state = self.state();
        let found = state.failures.get(&endpoint_id);
        Ok(found.filter(|failure| failure.organization_id == organization_id).cloned())
    }

    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        Ok(self.state().organization_statistics(organization_id, since))
    }

    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        Ok(self.state().endpoint_statistics(organization_id, endpoint_ids, since))
    }
}

impl MemoryState {
    fn requeue_delivery(
        &mut self,
        organization_id: OrganizationId,
        id: DeliveryId,
        rounds: Rounds,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        let found = self.deliveries.get(&id).map(|delivery| &delivery.record);
        let Some(record) = found.filter(|record| record.organization_id == organization_id) else {
            return Ok(RequeueOutcome::NotFound);
        };
        let (endpoint_id, status) = (record.endpoint_id, record.status);
        if self.endpoint(organization_id, endpoint_id).is_none() {
            return Ok(RequeueOutcome::WebhookGone);
        }
        if status == DeliveryStatus::Pending {
            return Ok(RequeueOutcome::StillPending);
        }
        if self.is_erased(record.event_id) {
            return Err(StoreError::PayloadErased);
        }
        self.requeue(id, rounds, now);
        Ok(RequeueOutcome::Requeued { endpoint_id })
    }

    /// Begins a new round for a finished delivery.
    pub(super) fn requeue(&mut self, id: DeliveryId, rounds: Rounds, now: UnixMillis) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.record.status = DeliveryStatus::Pending;
        delivery.record.finished_at = None;
        delivery.record.next_attempt_at = Some(now);
        delivery.queued_at = now;
        delivery.due_at = now;
        delivery.attempts_before_round = delivery.record.attempt_count as i32 - rounds.begins_at();
    }

    fn make_delivery_due(
        &mut self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> MadeDeliveryDue {
        let found = self.deliveries.get(&id).map(|delivery| &delivery.record);
        let found = found.filter(|it| it.organization_id == organization_id);
        let pending = found.filter(|it| it.status == DeliveryStatus::Pending);
        let endpoint_id = pending.map(|record| record.endpoint_id);
        let live = endpoint_id.filter(|endpoint_id| self.endpoint(organization_id, *endpoint_id).is_some());
        let Some((endpoint_id, delivery)) = live.zip(self.deliveries.get_mut(&id)) else {
            return MadeDeliveryDue::NotPending;
        };
        if delivery.due_at <= now {
            return MadeDeliveryDue::AlreadyDue;
        }
        delivery.due_at = now;
        delivery.queued_at = delivery.queued_at.min(now);
        delivery.record.next_attempt_at = Some(now);
        let attempts = delivery.record.attempt_count as i32;
        delivery.attempts_before_round = not_counted_when_hurried(attempts, delivery.attempts_before_round);
        MadeDeliveryDue::MadeDue { endpoint_id }
    }

    /// The deliveries of a range, oldest first.
    pub(super) fn in_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        after: Option<DeliveryId>,
    ) -> Vec<DeliveryId> {
        if self.endpoint(organization_id, endpoint_id).is_none() || !range.is_final() {
            return Vec::new();
        }
        let records = self.deliveries.values().map(|delivery| &delivery.record);
        records
            .filter(|record| record.organization_id == organization_id && record.endpoint_id == endpoint_id)
            .filter(|record| record.status == range.status && after.is_none_or(|after| record.id > after))
            .filter(|record| record.created_at >= range.since && record.created_at < range.until)
            .map(|record| record.id)
            .collect()
    }

    fn replay_event(
        &mut self,
        organization_id: OrganizationId,
        id: EventId,
        targets: &ReplayTargets,
        rounds: Rounds,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<Vec<EndpointId>>> {
        let found = self.events.get(&id).filter(|(event, _)| event.organization_id == organization_id);
        let Some(event) = found.map(|(event, _)| Arc::clone(event)) else { return Ok(None) };
        if event.body.is_empty() {
            return Err(StoreError::PayloadErased);
        }
        let mut endpoints = match targets {
            ReplayTargets::Endpoints(endpoints) => endpoints.clone(),
            ReplayTargets::Delivered => self.of_event(&event).map(|record| record.endpoint_id).collect(),
        };
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints.retain(|endpoint_id| self.endpoint(organization_id, *endpoint_id).is_some());
        for &endpoint_id in &endpoints {
            self.replay_to(&event, endpoint_id, rounds, next_id, now);
        }
        Ok(Some(endpoints))
    }

    fn replay_to(
        &mut self,
        event: &Event,
        endpoint_id: EndpointId,
        rounds: Rounds,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) {
        let existing: Vec<(DeliveryId, DeliveryStatus)> = self
            .of_event(event)
            .filter(|record| record.endpoint_id == endpoint_id)
            .map(|record| (record.id, record.status))
            .collect();
        if existing.iter().any(|(_, status)| *status == DeliveryStatus::Pending) {
            return;
        }
        if let Some(&(id, _)) = existing.first() {
            self.requeue(id, rounds, now);
            return;
        }
        let id = DeliveryId(next_id());
        let delivery = MemoryDelivery {
            replayed: true,
            attempts_before_round: -rounds.begins_at(),
            ..MemoryDelivery::new(event, id, endpoint_id, now)
        };
        self.deliveries.insert(id, delivery);
    }

    fn of_event(&self, event: &Event) -> impl Iterator<Item = &DeliveryRecord> {
        let id = event.id;
        self.deliveries.values().map(|delivery| &delivery.record).filter(move |record| record.event_id == id)
    }

    fn event_record(&self, event: &Event, deliveries: usize) -> EventRecord {
        let of_replays = self.deliveries.values().filter(|delivery| delivery.replayed);
        let replayed = of_replays.filter(|delivery| delivery.record.event_id == event.id).count();
        EventRecord {
            id: event.id,
            event_type: event.event_type.clone(),
            occurred_at: event.occurred_at,
            accepted_at: event.accepted_at,
            deliveries: deliveries + replayed,
            labels: self.labels.get(&event.id).map(|labels| EventLabels::clone(labels)).unwrap_or_default(),
        }
    }

    fn has_tag(&self, id: EventId, tag: &str) -> bool {
        self.labels.get(&id).is_some_and(|labels| labels.tags.iter().any(|known| known == tag))
    }

    fn list_events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Vec<EventRecord> {
        let own = self.events.values().filter(|(event, _)| {
            event.organization_id == organization_id
                && filter.event_type.as_ref().is_none_or(|event_type| event.event_type == *event_type)
                && filter.tag.as_ref().is_none_or(|tag| self.has_tag(event.id, tag))
                && filter.from.is_none_or(|from| event.accepted_at >= from)
                && filter.to.is_none_or(|to| event.accepted_at < to)
        });
        let page = page_of(own, |(event, _)| event.id.0, page);
        page.into_iter().map(|(event, deliveries)| self.event_record(event, *deliveries)).collect()
    }

    fn event_detail(&self, organization_id: OrganizationId, id: EventId) -> Option<EventDetail> {
        let (event, deliveries) = self.events.get(&id)?;
        (event.organization_id == organization_id).then(|| EventDetail {
            record: self.event_record(event, *deliveries),
            body: event.body.clone(),
            deliveries: self.of_event(event).cloned().collect(),
        })
    }

    fn of(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> impl DoubleEndedIterator<Item = &MemoryDelivery> {
        self.deliveries.values().filter(move |delivery| {
            delivery.record.organization_id == organization_id
                && endpoint_id.is_none_or(|id| delivery.record.endpoint_id == id)
        })
    }

    fn pending(&self, organization_id: OrganizationId, endpoint_id: Option<EndpointId>) -> PendingStats {
        let pending = || {
            let records = self.of(organization_id, endpoint_id).map(|delivery| &delivery.record);
            records.filter(|record| record.status == DeliveryStatus::Pending)
        };
        PendingStats {
            pending: pending().count() as u64,
            oldest_pending_at: pending().next().map(|record| record.created_at),
        }
    }

    pub(super) fn endpoint_states(&self, organization_id: OrganizationId) -> EndpointStates {
        let mut states = EndpointStates::default();
        for endpoint in self.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id) {
            states.count(EndpointState::of(endpoint, self.health.get(&endpoint.id)));
        }
        states
    }
}
