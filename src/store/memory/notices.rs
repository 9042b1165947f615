//! Notices that wait to be told, in memory.

use super::super::{Listening, Notice, NoticeStore, StoreResult, WriteBatch};
use super::MemoryStore;
use super::state::MemoryState;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::notice::NewNotice;
use crate::domain::organization::OrganizationUid;
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

impl MemoryState {
    fn listener(&self, organization_id: OrganizationId) -> Option<OrganizationId> {
        let environment = &self.organizations.get(&organization_id)?.environment;
        if environment.is_management() {
            return None;
        }
        let name = OrganizationUid::of_environment(environment);
        self.with_uid(&Environment::management(), &name).map(|found| found.id)
    }

    pub(super) fn tell(&mut self, organization_id: OrganizationId, notices: Vec<NewNotice>) {
        let Some(application_id) = self.listener(organization_id) else { return };
        let uid = self.organizations.get(&organization_id).and_then(|found| found.uid.clone());
        for NewNotice { kind, cause, mut facts, .. } in notices {
            if self.notices.iter().any(|known| known.cause == cause) {
                continue;
            }
            facts.organization_uid = uid.as_ref().map(ToString::to_string);
            let event = facts.attempt.map(|attempt| EventId(attempt.event_id));
            facts.event_uid = event.and_then(|id| self.labels.get(&id)).and_then(|labels| labels.uid.clone());
            self.last_notice += 1;
            let kind = Some(kind);
            self.notices.push(Notice {
                id: self.last_notice,
                application_id,
                organization_id,
                kind,
                cause,
                facts,
            });
        }
    }

    pub(super) fn tell_commit(&mut self, batch: &WriteBatch, disabled: &[Endpoint], outcomes_recorded: &[bool]) {
        for endpoint in disabled {
            let health = batch.health.iter().find(|saved| saved.health.endpoint_id == endpoint.id);
            let failing_since = health.and_then(|saved| saved.health.failing_since);
            self.tell(endpoint.organization_id, vec![NewNotice::of_disabled(endpoint, failing_since)]);
        }
        for notice in &batch.notices {
            let is_recorded = batch.outcomes.iter().zip(outcomes_recorded).any(|(outcome, recorded)| {
                let is_its = |id, number| outcome.delivery_id.0 == id && outcome.number == number;
                *recorded && notice.facts.attempt.is_some_and(|told| is_its(told.delivery_id, told.number))
            });
            if is_recorded {
                self.tell(notice.organization_id, vec![notice.clone()]);
            }
        }
    }
}

impl NoticeStore for MemoryStore {
    fn listening(&self) -> StoreResult<Listening> {
        let state = self.state();
        let applications = state.organizations.values().filter(|known| known.environment.is_management());
        let mut listening =
            Listening { applications: applications.map(|known| known.id).collect(), ..Listening::default() };
        if listening.applications.is_empty() {
            return Ok(listening);
        }
        let of_default = OrganizationUid::of_environment(&Environment::default());
        listening.to_default = state.with_uid(&Environment::management(), &of_default).is_some();
        let others = state.organizations.values().filter(|known| !known.environment.is_default());
        listening.to_others = others.map(|known| (known.id, state.listener(known.id).is_some())).collect();
        Ok(listening)
    }

    fn is_told(&self, organization_id: OrganizationId) -> StoreResult<bool> {
        Ok(self.state().listener(organization_id).is_some())
    }

    fn notices(&self, behind: Option<OrganizationId>, limit: usize) -> StoreResult<Vec<Notice>> {
        let state = self.state();
        let mut rest: Vec<&Notice> = state.notices.iter().collect();
        rest.retain(|notice| behind.is_none_or(|behind| notice.organization_id > behind));
        rest.sort_by_key(|notice| (notice.organization_id, notice.id));
        Ok(rest.into_iter().take(limit).cloned().collect())
    }

    fn remove_notices(&self, ids: &[i64]) -> StoreResult<()> {
        self.writing()?.notices.retain(|notice| !ids.contains(&notice.id));
        Ok(())
    }

    fn least_due(
        &self,
        application_id: OrganizationId,
        now: UnixMillis,
        most: usize,
    ) -> StoreResult<Option<usize>> {
        let state = self.state();
        if !state.organizations.contains_key(&application_id) {
            return Ok(None);
        }
        let active = state
            .endpoints
            .values()
            .filter(|endpoint| endpoint.organization_id == application_id && endpoint.active);
        let due = active.map(|endpoint| {
            let of_it = state.deliveries.values().filter(|delivery| delivery.record.endpoint_id == endpoint.id);
            let pending = of_it.filter(|delivery| delivery.record.status == DeliveryStatus::Pending);
            pending.filter(|delivery| delivery.queued_at <= now).take(most).count()
        });
        Ok(Some(due.min().unwrap_or_default()))
    }
}
