//! The data of the store in memory, and the changes that a commit makes to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::detail::StoredAttempt;
use super::super::{
    AcceptedEvent, BackgroundTask, CANCELLED_AT_ONCE, ChangeNumber, Changed, DirectedPage, DisableEndpoint,
    EndpointStart, EventCommit, IDEMPOTENCY_KEY_LIFETIME, NewEvent, Notice, PageRequest, SavedHealth,
    SettingChange, StoreError, StoreResult,
};
use super::cluster_rows::ClusterRows;
use super::svix::MemoryAnswer;
use crate::domain::attempt::{AttemptRecord, NextStep, Outcome};
use crate::domain::audit::AuditEntry;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::event_types::DefinedEventType;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{AuditId, DeliveryId, EndpointId, EventId, KeyId, OrganizationId, TaskId};
use crate::domain::labels::EventLabels;
use crate::domain::last_failure::LastFailure;
use crate::domain::organization::{ApiKey, Organization, OrganizationUid};
use crate::domain::session::{DashboardSession, SignInLink};
use crate::domain::statistics::PeriodCounts;
use crate::domain::svix::EnvironmentEventType;
use crate::domain::svix::{EndingTokens, Environment};
use crate::domain::time::UnixMillis;

#[derive(Default)]
pub(super) struct MemoryState {
    pub(super) organizations: BTreeMap<OrganizationId, Organization>,
    /// What was made with which key, and by which request.
    pub(super) creation_keys: HashMap<[u8; 32], (OrganizationId, [u8; 32])>,
    pub(super) keys: BTreeMap<KeyId, ApiKey>,
    pub(super) sessions: HashMap<[u8; 32], DashboardSession>,
    /// And whether they were used.
    pub(super) links: HashMap<[u8; 32], (SignInLink, bool)>,
    pub(super) endpoints: BTreeMap<EndpointId, Endpoint>,
    pub(super) health: BTreeMap<EndpointId, EndpointHealth>,
    pub(super) events: BTreeMap<EventId, (Arc<Event>, usize)>,
    pub(super) audit_log: BTreeMap<AuditId, AuditEntry>,
    /// Of events that have any.
    pub(super) labels: HashMap<EventId, Arc<EventLabels>>,
    pub(super) deliveries: BTreeMap<DeliveryId, MemoryDelivery>,
    pub(super) event_types: BTreeMap<(OrganizationId, String), DefinedEventType>,
    /// By environment and name.
    pub(super) environment_event_types: BTreeMap<(String, String), EnvironmentEventType>,
    pub(super) answers: HashMap<[u8; 32], MemoryAnswer>,
    pub(super) tasks: BTreeMap<TaskId, BackgroundTask>,
    pub(super) ending_tokens: HashMap<OrganizationId, EndingTokens>,
    pub(super) notices: Vec<Notice>,
    pub(super) last_notice: i64,
    pub(super) idempotency: HashMap<(OrganizationId, String), RememberedKey>,
    pub(super) statistics: BTreeMap<(UnixMillis, OrganizationId, EndpointId), PeriodCounts>,
    pub(super) failures: BTreeMap<EndpointId, LastFailure>,
    /// The log of changed settings; all of it is kept.
    pub(super) changes: Vec<SettingChange>,
    /// Deleted ids count for `largest_id`.
    pub(super) largest_deleted: i64,
    /// Of one that several nodes share.
    pub(super) cluster: ClusterRows,
}

pub(super) struct MemoryDelivery {
    pub(super) record: DeliveryRecord,
    pub(super) queued_at: UnixMillis,
    pub(super) due_at: UnixMillis,
    pub(super) attempts: Vec<AttemptRecord>,
    /// How many attempts were made before the current round; fewer in a manual one (see [`crate::domain::round`]).
    pub(super) attempts_before_round: i32,
    /// Made by a replay.
    pub(super) replayed: bool,
}

pub(super) struct RememberedKey {
    pub(super) request_hash: [u8; 32],
    /// The response to the first use: the key can outlive its event.
    pub(super) event: AcceptedEvent,
    pub(super) created_at: UnixMillis,
}

/// The result of recording an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordedOutcome {
    /// It decided about its delivery.
    Decided,
    /// Its delivery had been cancelled: the attempt is in the log.
    AfterCancellation,
    /// It was not recorded.
    Not,
}

impl MemoryDelivery {
    /// A new pending delivery.
    pub(super) fn new(event: &Event, id: DeliveryId, endpoint_id: EndpointId, now: UnixMillis) -> Self {
        let record = DeliveryRecord {
            id,
            organization_id: event.organization_id,
            event_id: event.id,
            endpoint_id,
            event_type: event.event_type.clone(),
            status: DeliveryStatus::Pending,
            attempt_count: 0,
            response_code: None,
            error: None,
            created_at: now,
            finished_at: None,
            next_attempt_at: Some(now),
        };
        Self {
            record,
            queued_at: now,
            due_at: now,
            attempts: Vec::new(),
            attempts_before_round: 0,
            replayed: false,
        }
    }
}

/// Newest first, ids below `before_id`, at most `limit`.
pub(super) fn page_of<'a, T: 'a>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    id: impl Fn(&T) -> i64,
    page: PageRequest,
) -> Vec<&'a T> {
    items.rev().filter(|item| page.before_id.is_none_or(|before| id(item) < before)).take(page.limit).collect()
}

/// A page in either direction of items that are sorted by their ids.
pub(super) fn directed_page_of<'a, T: 'a>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    id: impl Fn(&T) -> i64,
    page: DirectedPage,
) -> Vec<&'a T> {
    match page.is_ascending {
        true => items.filter(|item| page.behind.is_none_or(|behind| id(item) > behind)).take(page.limit).collect(),
        false => page_of(items, id, PageRequest { before_id: page.behind, limit: page.limit }),
    }
}

impl MemoryState {
    /// The organization of this environment with this own id.
    pub(super) fn with_uid(&self, environment: &Environment, uid: &OrganizationUid) -> Option<&Organization> {
        let mut of_it = self.organizations.values().filter(|known| known.environment == *environment);
        of_it.find(|known| known.uid.as_ref() == Some(uid))
    }

    /// Whether another endpoint of its organization has its own id, or that of Svix's server.
    pub(super) fn has_name_of(&self, endpoint: &Endpoint) -> bool {
        let is_other =
            |other: &&Endpoint| other.organization_id == endpoint.organization_id && other.id != endpoint.id;
        let mut others = self.endpoints.values().filter(is_other);
        others.any(|other| {
            (endpoint.uid.is_some() && other.uid == endpoint.uid)
                || (endpoint.svix_id.is_some() && other.svix_id == endpoint.svix_id)
        })
    }

    /// Adds a line to the log of changed settings.
    pub(super) fn changed(&mut self, organization_id: OrganizationId, what: Changed) {
        let number = ChangeNumber(self.changes.len() as i64 + 1);
        self.changes.push(SettingChange { number, organization_id, what });
    }

    /// The lines behind `after`.
    pub(super) fn changes_since(&self, after: ChangeNumber) -> &[SettingChange] {
        let known = usize::try_from(after.0).unwrap_or(0).min(self.changes.len());
        &self.changes[known..]
    }

    pub(super) fn endpoint(&self, organization_id: OrganizationId, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id).filter(|endpoint| endpoint.organization_id == organization_id)
    }

    pub(super) fn start(&self, endpoint: &Endpoint) -> EndpointStart {
        let healthy = EndpointHealth::healthy(endpoint.organization_id, endpoint.id);
        let health = self.health.get(&endpoint.id).copied().unwrap_or(healthy);
        EndpointStart { endpoint: endpoint.clone(), health }
    }

    pub(super) fn cancel(
        &mut self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> usize {
        let is_pending = |delivery: &&mut MemoryDelivery| {
            let record = &delivery.record;
            record.organization_id == organization_id
                && record.endpoint_id == endpoint_id
                && record.status == DeliveryStatus::Pending
        };
        let mut queue: Vec<&mut MemoryDelivery> = self.deliveries.values_mut().filter(is_pending).collect();
        queue.sort_by_key(|delivery| (delivery.queued_at, delivery.record.id));
        queue.truncate(CANCELLED_AT_ONCE);
        for delivery in &mut queue {
            delivery.record.status = DeliveryStatus::Cancelled;
            delivery.record.finished_at = Some(now);
            delivery.record.next_attempt_at = None;
        }
        queue.len()
    }

    pub(super) fn event_with_uid(&self, organization_id: OrganizationId, uid: &str) -> Option<EventId> {
        let named = self.labels.iter().filter(|(_, labels)| labels.uid.as_deref() == Some(uid));
        let own = named.filter(|(id, _)| {
            self.events.get(id).is_some_and(|(event, _)| event.organization_id == organization_id)
        });
        own.map(|(id, _)| *id).max()
    }

    pub(super) fn store_event(&mut self, new: &NewEvent, now: UnixMillis) -> EventCommit {
        let organization_id = new.event.organization_id;
        if let Some(batch) = &new.batch {
            let marker = (organization_id, batch.marker().to_owned());
            let used =
                self.idempotency.get(&marker).filter(|used| used.created_at > now - IDEMPOTENCY_KEY_LIFETIME);
            if used.is_some_and(|used| used.request_hash != *batch.request_hash()) {
                return EventCommit::BatchKeyReused;
            }
            if used.is_none() {
                let request_hash = *batch.request_hash();
                let used = RememberedKey { request_hash, event: new.accepted(), created_at: now };
                self.idempotency.insert(marker, used);
            }
        }
        if let Some(idempotency) = &new.idempotency {
            let key = (organization_id, idempotency.key.clone());
            let used = self.idempotency.get(&key).filter(|used| used.created_at > now - IDEMPOTENCY_KEY_LIFETIME);
            if let Some(used) = used {
                if used.request_hash != idempotency.request_hash {
                    return EventCommit::KeyReused;
                }
                return EventCommit::Replayed(used.event.clone());
            }
        }
        if new.uid().is_some_and(|uid| self.event_with_uid(organization_id, uid).is_some()) {
            return EventCommit::KeyReused;
        }
        if let Some(idempotency) = &new.idempotency {
            let request_hash = idempotency.request_hash;
            let used = RememberedKey { request_hash, event: new.accepted(), created_at: now };
            self.idempotency.insert((organization_id, idempotency.key.clone()), used);
        }
        self.events.insert(new.event.id, (Arc::clone(&new.event), new.deliveries.len()));
        if let Some(labels) = &new.labels {
            self.labels.insert(new.event.id, Arc::clone(labels));
        }
        for &(id, endpoint_id) in &new.deliveries {
            let mut delivery = MemoryDelivery::new(&new.event, id, endpoint_id, new.event.accepted_at);
            let due_at = new.due_at();
            (delivery.queued_at, delivery.due_at) = (due_at, due_at);
            delivery.record.next_attempt_at = Some(due_at);
            self.deliveries.insert(id, delivery);
        }
        EventCommit::Stored
    }

    pub(super) fn record(&mut self, outcome: &Outcome) -> StoreResult<RecordedOutcome> {
        let Some(delivery) = self.deliveries.get_mut(&outcome.delivery_id) else {
            return Ok(RecordedOutcome::Not);
        };
        let record = &mut delivery.record;
        let is_cancelled = record.status == DeliveryStatus::Cancelled;
        if record.organization_id != outcome.organization_id
            || !(record.status == DeliveryStatus::Pending || is_cancelled)
            || record.attempt_count >= outcome.number
        {
            return Ok(RecordedOutcome::Not);
        }
        let attempt = StoredAttempt::of(outcome);
        record.attempt_count = outcome.number;
        record.response_code = attempt.response_code;
        record.error = attempt.error.clone();
        match outcome.next {
            NextStep::RetryAt(_) | NextStep::UncountedRetryAt(_) | NextStep::Failed if is_cancelled => {}
            NextStep::RetryAt(at) | NextStep::UncountedRetryAt(at) => {
                delivery.attempts_before_round += i32::from(matches!(outcome.next, NextStep::UncountedRetryAt(_)));
                delivery.due_at = at;
                if !outcome.ordered {
                    delivery.queued_at = at;
                }
                record.next_attempt_at = Some(at);
            }
            NextStep::Succeeded | NextStep::Failed => {
                let succeeded = outcome.next == NextStep::Succeeded;
                record.status = if succeeded { DeliveryStatus::Success } else { DeliveryStatus::Failed };
                record.finished_at = Some(outcome.finished_at);
                record.next_attempt_at = None;
            }
        }
        let attempt =
            attempt.into_record(outcome.delivery_id).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        delivery.attempts.push(attempt);
        Ok(if is_cancelled { RecordedOutcome::AfterCancellation } else { RecordedOutcome::Decided })
    }

    pub(super) fn save_failure(&mut self, failure: &LastFailure) {
        let is_newer = self.failures.get(&failure.endpoint_id).is_none_or(|stored| stored.at <= failure.at);
        if is_newer && self.endpoint(failure.organization_id, failure.endpoint_id).is_some() {
            self.failures.insert(failure.endpoint_id, failure.clone());
        }
    }

    pub(super) fn save_health(&mut self, saved: &SavedHealth) {
        let health = &saved.health;
        let endpoint = self.endpoint(health.organization_id, health.endpoint_id);
        if endpoint.is_none_or(|endpoint| *endpoint.url != *saved.url) {
            return;
        }
        if health.is_blank() {
            self.health.remove(&health.endpoint_id);
        } else {
            self.health.insert(health.endpoint_id, *health);
        }
    }

    pub(super) fn disable(&mut self, disable: &DisableEndpoint, now: UnixMillis) -> Option<Endpoint> {
        let endpoint = self
            .endpoints
            .get_mut(&disable.endpoint_id)
            .filter(|endpoint| endpoint.organization_id == disable.organization_id && endpoint.active)
            .filter(|endpoint| *endpoint.url == *disable.url)?;
        endpoint.active = false;
        endpoint.disabled_reason = Some(disable.reason);
        endpoint.disabled_at = Some(now);
        endpoint.updated_at = now;
        endpoint.version += 1;
        let endpoint = endpoint.clone();
        self.changed(endpoint.organization_id, Changed::Endpoint(endpoint.id));
        Some(endpoint)
    }

    /// An endpoint's pending deliveries in queue order.
    pub(super) fn queue(&self, organization_id: OrganizationId, endpoint_id: EndpointId) -> Vec<&MemoryDelivery> {
        let mut queue: Vec<&MemoryDelivery> = self
            .deliveries
            .values()
            .filter(|delivery| {
                let record = &delivery.record;
                record.organization_id == organization_id
                    && record.endpoint_id == endpoint_id
                    && record.status == DeliveryStatus::Pending
            })
            .collect();
        queue.sort_by_key(|delivery| (delivery.queued_at, delivery.record.id));
        queue
    }
}

pub(super) fn passes(filter: &DeliveryFilter, record: &DeliveryRecord) -> bool {
    filter.endpoint_id.is_none_or(|id| record.endpoint_id == id)
        && filter.event_id.is_none_or(|id| record.event_id == id)
        && filter.event_type.as_ref().is_none_or(|event_type| record.event_type == *event_type)
        && filter.status.is_none_or(|status| record.status == status)
        && filter
            .response_code
            .is_none_or(|(low, high)| record.response_code.is_some_and(|code| low <= code && code <= high))
        && filter.from.is_none_or(|from| record.created_at >= from)
        && filter.to.is_none_or(|to| record.created_at < to)
}
