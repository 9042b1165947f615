//! The delivery log, resends and health.

use std::collections::HashMap;

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::super::models::DeliveryRow;
use super::super::schema::{attempts, deliveries, endpoint_failures, events};
use super::super::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, DeliveryDetail, EdgePage, EventDetail, EventListFilter,
    EventPageRequest, ListFilter, ListedAttempt, ListedEvent, LogPage, LogStore, MadeDeliveryDue, Message,
    MessagePageRequest, PageRequest, RESENT_AT_ONCE, ReplayTargets, RequeueOutcome, RequeueRange, RequeuedPage,
    StoreError, StoreResult,
};
use super::erasure;
use super::event_labels;
use super::event_queries::{self, EventColumns};
use super::failures::FailureRow;
use super::health_queries::{self, FailingRow, StatesRow};
use super::log_queries::{self, AttemptColumns, OwnAttempt, PENDING_SORTED, ROWS_LOOKED_AT, record};
use super::log_sources::PageBounds;
use super::query::NumberRow;
use super::resend::{self, is_replayed};
use super::time_ranges::{Period, id_ranges};
use super::{DieselStore, statistics};
use super::{attempt_list, event_list};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::event::{EventFilter, EventRecord};
use crate::domain::health::{EndpointStates, OrganizationInTrouble, PendingStats};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, instant_in};
use crate::domain::last_failure::LastFailure;
use crate::domain::round::Rounds;
use crate::domain::statistics::PeriodStatistics;
use crate::domain::time::UnixMillis;

impl LogStore for DieselStore {
    fn deliveries(
        &self,
        organization_id: OrganizationId,
        filter: &DeliveryFilter,
        page: PageRequest,
    ) -> StoreResult<LogPage> {
        let runs = self.leads.runs();
        // while they are still being counted there may be many
        let pending = match filter.status {
            Some(DeliveryStatus::Pending) => {
                self.backlog.backlog().pending(organization_id, filter.endpoint_id).ok()
            }
            _ => None,
        };
        let bounds =
            PageBounds { rows: ROWS_LOOKED_AT, can_sort_pending: pending.is_some_and(|n| n <= PENDING_SORTED) };
        self.readers.read(|connection| log_queries::list(connection, &runs, organization_id, filter, page, bounds))
    }

    fn delivery(&self, organization_id: OrganizationId, id: DeliveryId) -> StoreResult<Option<DeliveryDetail>> {
        self.readers.read(|connection| {
            let row: Option<(DeliveryRow, OwnAttempt, String, Vec<u8>)> = deliveries::table
                .inner_join(events::table.on(events::id.eq(deliveries::event_id)))
                .filter(deliveries::id.eq(id.0))
                .filter(deliveries::organization_id.eq(organization_id.0))
                .select((
                    DeliveryRow::as_select(),
                    (deliveries::attempt_started_at, deliveries::attempt_duration_ms, deliveries::attempt_detail),
                    events::event_type,
                    events::body,
                ))
                .first(connection)
                .optional()?;
            let Some((delivery, own_attempt, event_type, body)) = row else { return Ok(None) };
            let mut found: Vec<AttemptRecord> = Vec::new();
            if let (Some(started_at), Some(duration_ms), Some(detail)) = own_attempt {
                let columns = (1, started_at, duration_ms, delivery.response_code, delivery.error.clone(), detail);
                found.push(record(id, columns)?);
            }
            let rows: Vec<AttemptColumns> = attempts::table
                .filter(attempts::delivery_id.eq(id.0))
                .filter(attempts::organization_id.eq(organization_id.0))
                .order(attempts::number)
                .select((
                    attempts::number,
                    attempts::started_at,
                    attempts::duration_ms,
                    attempts::response_code,
                    attempts::error,
                    attempts::detail,
                ))
                .load(connection)?;
            for row in rows {
                found.push(record(id, row)?);
            }
            let record = delivery.into_record(event_type)?;
            Ok(Some(DeliveryDetail { record, body: Bytes::from(body), attempts: found }))
        })
    }

    fn events(
        &self,
        organization_id: OrganizationId,
        filter: &EventFilter,
        page: PageRequest,
    ) -> StoreResult<Vec<EventRecord>> {
        let runs = self.leads.runs();
        self.readers.read(|connection| {
            let ranges = id_ranges(connection, &runs, Period { from: filter.from, to: filter.to })?;
            let mut rows: Vec<event_queries::ListedEvent> = Vec::new();
            for range in ranges.into_iter().rev() {
                let rest = PageRequest { limit: page.limit - rows.len(), ..page };
                if rest.limit > 0 {
                    rows.extend(
                        event_queries::build(connection, organization_id, filter, range, rest)
                            .load::<event_queries::ListedEvent>(connection)?,
                    );
                }
            }
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let mut labels = event_labels::read(connection, organization_id, &ids)?;
            let record = |row: event_queries::ListedEvent| EventRecord {
                labels: labels.remove(&EventId(row.id)).unwrap_or_default(),
                id: EventId(row.id),
                event_type: row.event_type,
                occurred_at: UnixMillis(row.occurred_at),
                accepted_at: UnixMillis(row.accepted_at),
                deliveries: row.deliveries.max(0) as usize,
            };
            Ok(rows.into_iter().map(record).collect())
        })
    }

    fn event_by_uid(&self, organization_id: OrganizationId, uid: &str) -> StoreResult<Option<EventId>> {
        self.readers.read(|connection| event_labels::event_with_uid(connection, organization_id, uid))
    }

    fn event(&self, organization_id: OrganizationId, id: EventId) -> StoreResult<Option<EventDetail>> {
        self.readers.read(|connection| {
            let event: Option<EventColumns> = events::table
                .filter(events::id.eq(id.0))
                .filter(events::organization_id.eq(organization_id.0))
                .select((
                    events::event_type,
                    events::occurred_at,
                    events::accepted_at,
                    events::last_delivery_id,
                    events::delivery_count,
                    events::body,
                ))
                .first(connection)
                .optional()?;
            let Some((event_type, occurred_at, accepted_at, last, count, body)) = event else { return Ok(None) };
            let mut rows: Vec<DeliveryRow> = deliveries::table
                .filter(deliveries::id.gt(id.0))
                .filter(deliveries::id.le(last))
                .filter(deliveries::event_id.eq(id.0))
                .filter(deliveries::organization_id.eq(organization_id.0))
                .order(deliveries::id)
                .select(DeliveryRow::as_select())
                .load(connection)?;
            let replayed: Vec<DeliveryRow> = deliveries::table
                .filter(deliveries::event_id.eq(id.0))
                .filter(is_replayed())
                .filter(deliveries::organization_id.eq(organization_id.0))
                .order(deliveries::id)
                .select(DeliveryRow::as_select())
                .load(connection)?;
            let mut labels = event_labels::read(connection, organization_id, &[id.0])?;
            let record = EventRecord {
                id,
                labels: labels.remove(&id).unwrap_or_default(),
                event_type: event_type.clone(),
                occurred_at: UnixMillis(occurred_at),
                accepted_at: UnixMillis(accepted_at),
                deliveries: count.max(0) as usize + replayed.len(),
            };
            rows.extend(replayed);
            let deliveries: StoreResult<Vec<DeliveryRecord>> =
                rows.into_iter().map(|row| row.into_record(event_type.clone())).collect();
            Ok(Some(EventDetail { record, body: Bytes::from(body), deliveries: deliveries? }))
        })
    }

    fn requeue_delivery(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        rounds: Rounds,
        now: UnixMillis,
    ) -> StoreResult<RequeueOutcome> {
        self.write_counted(|connection, change| {
            let found: Option<(i64, i16)> = deliveries::table
                .filter(deliveries::id.eq(id.0))
                .filter(deliveries::organization_id.eq(organization_id.0))
                .select((deliveries::endpoint_id, deliveries::status))
                .first(connection)
                .optional()?;
            let Some((endpoint_id, status)) = found else { return Ok(RequeueOutcome::NotFound) };
            let endpoint_id = EndpointId(endpoint_id);
            if resend::live(connection, organization_id, &[endpoint_id])?.is_empty() {
                return Ok(RequeueOutcome::WebhookGone);
            }
            if status == DeliveryStatus::Pending.code() {
                return Ok(RequeueOutcome::StillPending);
            }
            if resend::lock_finished(connection, organization_id, &[id.0])?.is_empty() {
                return Ok(RequeueOutcome::StillPending);
            }
            if erasure::sendable(connection, organization_id, &[id.0])?.is_empty() {
                return Err(StoreError::PayloadErased);
            }
            resend::begin_rounds(connection, organization_id, &[id.0], rounds, now)?;
            change.begins(organization_id, endpoint_id, id);
            Ok(RequeueOutcome::Requeued { endpoint_id })
        })
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
        let (runs, limit) = (self.leads.runs(), limit.min(RESENT_AT_ONCE));
        self.write_counted(|connection, change| {
            if !range.is_final() || resend::live(connection, organization_id, &[endpoint_id])?.is_empty() {
                return Ok(RequeuedPage { deliveries: 0, next: None });
            }
            let behind = resend::Behind { runs: &runs, after, limit };
            let ids = resend::ids_in_range(connection, organization_id, endpoint_id, range, behind)?;
            let finished = resend::lock_finished(connection, organization_id, &ids)?;
            let locked = erasure::sendable(connection, organization_id, &finished)?;
            resend::begin_rounds(connection, organization_id, &locked, range.rounds, now)?;
            locked.iter().for_each(|id| change.begins(organization_id, endpoint_id, DeliveryId(*id)));
            if !locked.is_empty() {
                self.record(connection)?;
            }
            let next = ids.last().copied().filter(|_| ids.len() == limit).map(DeliveryId);
            Ok(RequeuedPage { deliveries: locked.len(), next })
        })
    }

    fn attempts(
        &self,
        organization_id: OrganizationId,
        filter: &AttemptFilter,
        page: AttemptPageRequest,
    ) -> StoreResult<EdgePage<ListedAttempt, AttemptPosition>> {
        let (runs, bound) = (self.leads.runs(), ROWS_LOOKED_AT);
        self.readers.read(|connection| attempt_list::list(connection, &runs, organization_id, filter, page, bound))
    }

    fn event_list(
        &self,
        organization_id: OrganizationId,
        filter: &EventListFilter,
        page: EventPageRequest,
    ) -> StoreResult<EdgePage<ListedEvent, EventId>> {
        let runs = self.leads.runs();
        self.readers.read(|connection| event_list::list(connection, &runs, organization_id, filter, page))
    }

    fn messages(
        &self,
        organization_id: OrganizationId,
        filter: &ListFilter,
        page: &MessagePageRequest,
    ) -> StoreResult<EdgePage<Message, DeliveryId>> {
        let (runs, bound) = (self.leads.runs(), ROWS_LOOKED_AT);
        self.readers
            .read(|connection| attempt_list::messages(connection, &runs, organization_id, filter, page, bound))
    }

    fn count_range(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        range: &RequeueRange,
        limit: usize,
    ) -> StoreResult<usize> {
        let runs = self.leads.runs();
        self.readers.read(|connection| {
            if !range.is_final() || resend::live(connection, organization_id, &[endpoint_id])?.is_empty() {
                return Ok(0);
            }
            let mut counted = 0;
            for ids_of_period in id_ranges(connection, &runs, resend::period(range))? {
                let rest = limit - counted;
                let rows: Vec<NumberRow> =
                    resend::count(organization_id, endpoint_id, range.status, ids_of_period, rest)
                        .load(connection)?;
                counted += rows.first().map_or(0, |row| row.n.max(0) as usize);
            }
            Ok(counted)
        })
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
        self.replay(organization_id, id, targets, rounds, next_id, now)
    }

    fn make_delivery_due(
        &self,
        organization_id: OrganizationId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> StoreResult<MadeDeliveryDue> {
        self.writer.write(|connection| resend::make_due(connection, organization_id, id, now))
    }

    fn pending(
        &self,
        organization_id: OrganizationId,
        endpoint_id: Option<EndpointId>,
    ) -> StoreResult<PendingStats> {
        self.pending_stats(organization_id, endpoint_id)
    }

    fn endpoint_states(&self, organization_id: OrganizationId) -> StoreResult<EndpointStates> {
        self.readers.read(|connection| {
            let states: StatesRow = diesel::sql_query(health_queries::STATES)
                .bind::<BigInt, _>(organization_id.0)
                .get_result(connection)?;
            Ok(EndpointStates {
                healthy: states.healthy.max(0) as u64,
                failing: states.failing.max(0) as u64,
                paused: states.paused.max(0) as u64,
                disabled: states.disabled.max(0) as u64,
            })
        })
    }

    fn organizations_in_trouble(&self, most: usize) -> StoreResult<Vec<OrganizationInTrouble>> {
        let pending = self.backlog.backlog().bounds()?;
        let failing: Vec<FailingRow> =
            self.readers.read(|connection| Ok(diesel::sql_query(health_queries::FAILING).load(connection)?))?;
        let mut all: HashMap<OrganizationId, OrganizationInTrouble> = HashMap::new();
        let blank =
            |organization_id| OrganizationInTrouble { organization_id, failing_since: None, pending_since: None };
        for (id, bound) in pending {
            all.entry(id).or_insert_with(|| blank(id)).pending_since = Some(instant_in(bound.0));
        }
        for row in failing {
            let id = OrganizationId(row.organization_id);
            all.entry(id).or_insert_with(|| blank(id)).failing_since = Some(UnixMillis(row.failing_since));
        }
        let mut all: Vec<OrganizationInTrouble> = all.into_values().collect();
        all.sort_by_key(|one| (one.since(), one.organization_id));
        all.truncate(most);
        Ok(all)
    }

    fn last_failure(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
    ) -> StoreResult<Option<LastFailure>> {
        self.readers.read(|connection| {
            let found = endpoint_failures::table
                .find(endpoint_id.0)
                .filter(endpoint_failures::organization_id.eq(organization_id.0));
            let row: Option<FailureRow> = found.select(FailureRow::as_select()).first(connection).optional()?;
            Ok(row.map(LastFailure::from))
        })
    }

    fn organization_statistics(
        &self,
        organization_id: OrganizationId,
        since: UnixMillis,
    ) -> StoreResult<Vec<PeriodStatistics>> {
        self.readers.read(|connection| statistics::of_organization(connection, organization_id, since))
    }

    fn endpoint_statistics(
        &self,
        organization_id: OrganizationId,
        endpoint_ids: &[EndpointId],
        since: UnixMillis,
    ) -> StoreResult<Vec<(EndpointId, PeriodStatistics)>> {
        self.readers.read(|connection| statistics::of_endpoints(connection, organization_id, endpoint_ids, since))
    }
}
