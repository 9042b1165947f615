//! Background tasks, and the ends of tokens, in memory.

use super::super::tasks::{ENDPOINT_DELETED, TASKS_FOR_ONE, TaskStore};
use super::super::{
    BackgroundTask, Changed, DirectedPage, RequeueRange, StoreResult, TaskFilter, TaskMark, TaskStatus, TaskStep,
};
use super::MemoryStore;
use super::state::{MemoryDelivery, MemoryState};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EventId, OrganizationId, TaskId};
use crate::domain::organization::Organization;
use crate::domain::round::Rounds;
use crate::domain::session::SignIn;
use crate::domain::svix::{EndingTokens, Environment, TokenEnds};
use crate::domain::time::UnixMillis;

impl TaskStore for MemoryStore {
    fn create_task(&self, task: &BackgroundTask, most_running: usize) -> StoreResult<bool> {
        let mut state = self.writing()?;
        state.require_organization(task.organization_id)?;
        let own = |other: &&BackgroundTask| other.organization_id == task.organization_id;
        let is_running = |task: &&BackgroundTask| task.status == TaskStatus::Running;
        if state.tasks.values().filter(own).filter(is_running).count() >= most_running {
            return Ok(false);
        }
        state.tasks.insert(task.id, task.clone());
        let above = state.tasks.values().rev().filter(own).skip(TASKS_FOR_ONE).filter(|task| !is_running(task));
        let above: Vec<TaskId> = above.map(|task| task.id).collect();
        state.tasks.retain(|id, _| !above.contains(id));
        self.record(&mut state);
        Ok(true)
    }

    fn task(
        &self,
        environment: &Environment,
        owner: Option<OrganizationId>,
        id: TaskId,
    ) -> StoreResult<Option<BackgroundTask>> {
        let state = self.state();
        let found = state.tasks.get(&id).filter(|task| task.environment == *environment);
        Ok(found.filter(|task| owner.is_none_or(|owner| task.organization_id == owner)).cloned())
    }

    fn tasks(
        &self,
        environment: &Environment,
        filter: &TaskFilter,
        page: DirectedPage,
    ) -> StoreResult<Vec<BackgroundTask>> {
        let state = self.state();
        let is_meant = |task: &&BackgroundTask| {
            let behind = page.behind.is_none_or(|behind| match page.is_ascending {
                true => task.id.0 > behind,
                false => task.id.0 < behind,
            });
            behind
                && task.environment == *environment
                && filter.organization_id.is_none_or(|id| task.organization_id == id)
                && filter.status.is_none_or(|status| task.status == status)
                && filter.kind.is_none_or(|kind| task.kind == kind)
        };
        let mut found: Vec<BackgroundTask> = state.tasks.values().filter(is_meant).cloned().collect();
        if !page.is_ascending {
            found.reverse();
        }
        found.truncate(page.limit);
        Ok(found)
    }

    fn next_task(&self, organization_id: OrganizationId) -> StoreResult<Option<BackgroundTask>> {
        let state = self.state();
        let mut own = state.tasks.values().filter(|task| task.organization_id == organization_id);
        Ok(own.find(|task| task.status == TaskStatus::Running).cloned())
    }

    fn running_tasks(&self, limit: usize) -> StoreResult<Vec<TaskMark>> {
        let state = self.state();
        let running = state.tasks.values().filter(|task| task.status == TaskStatus::Running).take(limit);
        let mark = |task: &BackgroundTask| TaskMark {
            organization_id: task.organization_id,
            id: task.id,
            version: task.version,
        };
        Ok(running.map(mark).collect())
    }

    fn advance_task(
        &self,
        task: &BackgroundTask,
        step: &TaskStep,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> StoreResult<Option<BackgroundTask>> {
        let mut state = self.writing()?;
        let known = state.tasks.get(&task.id).filter(|known| known.status == TaskStatus::Running);
        if known.is_none_or(|known| known.version != task.version) {
            return Ok(None);
        }
        let is_live = state.endpoint(task.organization_id, task.endpoint_id).is_some();
        let (sent, next, failure) = match step {
            TaskStep::GiveUp(why) => (0, None, Some(why.clone())),
            _ if !is_live => (0, None, Some(ENDPOINT_DELETED.to_owned())),
            TaskStep::Failed { limit } => {
                let mut found = state.failed(task);
                found.truncate(*limit);
                let next = found.last().filter(|_| found.len() == *limit).map(|id| id.0);
                (state.send_again(&found, task, now), next, None)
            }
            TaskStep::Again { deliveries, next } => (state.send_again(deliveries, task, now), *next, None),
            TaskStep::Missing { events, next } => (state.add_missing(events, task, next_id, now), *next, None),
        };
        let advanced = task.after(sent, next, failure, now);
        state.tasks.insert(task.id, advanced.clone());
        Ok(Some(advanced))
    }

    fn prune_tasks(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let old = state.tasks.values().filter(|task| task.created_at < before);
        let old: Vec<TaskId> = old.map(|task| task.id).take(limit).collect();
        old.iter().for_each(|id| drop(state.tasks.remove(id)));
        Ok(old.len() >= limit)
    }
}

impl MemoryState {
    fn failed(&self, task: &BackgroundTask) -> Vec<DeliveryId> {
        let BackgroundTask { since, until, .. } = *task;
        let range = RequeueRange { since, until, status: DeliveryStatus::Failed, rounds: Rounds::Once };
        self.in_range(task.organization_id, task.endpoint_id, &range, task.place.map(DeliveryId))
    }

    fn send_again(&mut self, ids: &[DeliveryId], task: &BackgroundTask, now: UnixMillis) -> usize {
        let can_be_sent = |id: &&DeliveryId| {
            self.deliveries.get(id).is_some_and(|MemoryDelivery { record, .. }| {
                record.organization_id == task.organization_id
                    && record.endpoint_id == task.endpoint_id
                    && matches!(record.status, DeliveryStatus::Success | DeliveryStatus::Failed)
                    && !self.is_erased(record.event_id)
            })
        };
        let ids: Vec<DeliveryId> = ids.iter().filter(can_be_sent).copied().collect();
        ids.iter().for_each(|id| self.requeue(*id, Rounds::Once, now));
        ids.len()
    }

    fn add_missing(
        &mut self,
        ids: &[EventId],
        task: &BackgroundTask,
        next_id: &mut dyn FnMut() -> i64,
        now: UnixMillis,
    ) -> usize {
        let mut sent = 0;
        for event_id in ids {
            let found = self.events.get(event_id).map(|(event, _)| event);
            let own =
                found.filter(|event| event.organization_id == task.organization_id && !event.body.is_empty());
            let mut records = self.deliveries.values().map(|delivery| &delivery.record);
            let is_there =
                records.any(|record| record.event_id == *event_id && record.endpoint_id == task.endpoint_id);
            let Some(event) = own.filter(|_| !is_there) else { continue };
            let id = DeliveryId(next_id());
            let delivery = MemoryDelivery::new(event, id, task.endpoint_id, now);
            self.deliveries.insert(id, MemoryDelivery { replayed: true, ..delivery });
            sent += 1;
        }
        sent
    }

    /// From when on the tokens of an application count.
    pub(super) fn token_ends(&self, of: &Organization) -> TokenEnds {
        TokenEnds { valid_from: of.tokens_valid_from, ending: self.ending_tokens.get(&of.id).copied() }
    }

    /// Returns whether there is such an organization.
    pub(super) fn end_tokens(&mut self, id: OrganizationId, more: EndingTokens, now: UnixMillis) -> bool {
        let Some(known) = self.organizations.get(&id) else { return false };
        let TokenEnds { valid_from, ending } = self.token_ends(known).with(more, now);
        if let Some(known) = self.organizations.get_mut(&id) {
            known.tokens_valid_from = valid_from;
        }
        match ending {
            Some(ending) => drop(self.ending_tokens.insert(id, ending)),
            None => drop(self.ending_tokens.remove(&id)),
        }
        self.links.retain(|_, (link, _)| link.organization_id != id);
        for session in self.sessions.values_mut() {
            if session.organization_id == Some(id) && matches!(session.began_with, SignIn::Link(_)) {
                session.expires_at = session.expires_at.min(more.end_at);
            }
        }
        self.changed(id, Changed::Organization);
        true
    }
}
