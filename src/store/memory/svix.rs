//! What only the Svix-compatible API keeps, in memory.

use super::super::{AnswerState, AnswerTimes, EndpointStart, KeptAnswer, NamePage, StoreResult, SvixStore};
use super::MemoryStore;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::organization::OrganizationRef;
use crate::domain::svix::{Application, EndingTokens, Environment, EnvironmentEventType, EventTypeChange};
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;

/// An answer; without one it is under way.
pub(super) struct MemoryAnswer {
    created_at: UnixMillis,
    answer: Option<KeptAnswer>,
}

impl From<&MemoryAnswer> for AnswerState {
    fn from(kept: &MemoryAnswer) -> Self {
        kept.answer.clone().map_or(Self::UnderWay, Self::Answered)
    }
}

fn key(environment: &Environment, name: &str) -> (String, String) {
    (environment.stored().to_owned(), name.to_owned())
}

impl SvixStore for MemoryStore {
    fn application(&self, environment: &Environment, name: &OrganizationRef) -> StoreResult<Option<Application>> {
        let state = self.state();
        let found = match name {
            OrganizationRef::Id(id) => {
                state.organizations.get(id).filter(|found| found.environment == *environment)
            }
            OrganizationRef::Uid(uid) => state.with_uid(environment, uid),
        };
        Ok(found.map(|found| Application { id: found.id, tokens: state.token_ends(found) }))
    }

    fn application_by_svix_id(&self, environment: &Environment, id: &SvixId) -> StoreResult<Option<Application>> {
        let state = self.state();
        let mut of_it = state.organizations.values().filter(|known| known.environment == *environment);
        let found = of_it.find(|known| known.svix_id.as_ref() == Some(id));
        Ok(found.map(|found| Application { id: found.id, tokens: state.token_ends(found) }))
    }

    fn endpoint_by_svix_id(
        &self,
        organization_id: OrganizationId,
        id: &SvixId,
    ) -> StoreResult<Option<EndpointStart>> {
        let state = self.state();
        let mut own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        Ok(own.find(|endpoint| endpoint.svix_id.as_ref() == Some(id)).map(|endpoint| state.start(endpoint)))
    }

    fn svix_ids_of_endpoints(&self, organization_id: OrganizationId) -> StoreResult<Vec<(EndpointId, SvixId)>> {
        let state = self.state();
        let own = state.endpoints.values().filter(|endpoint| endpoint.organization_id == organization_id);
        Ok(own.filter_map(|endpoint| Some((endpoint.id, endpoint.svix_id.clone()?))).collect())
    }

    fn environment_of(&self, id: OrganizationId) -> StoreResult<Option<Environment>> {
        Ok(self.state().organizations.get(&id).map(|found| found.environment.clone()))
    }

    fn end_tokens(&self, id: OrganizationId, ends: EndingTokens, now: UnixMillis) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let is_known = state.end_tokens(id, ends, now);
        if is_known {
            self.record(&mut state);
        }
        Ok(is_known)
    }

    fn environment_event_types(
        &self,
        environment: &Environment,
        page: &NamePage,
    ) -> StoreResult<Vec<EnvironmentEventType>> {
        let state = self.state();
        let is_beyond = |name: &String| {
            page.beyond
                .as_ref()
                .is_none_or(|beyond| if page.is_descending { name < beyond } else { name > beyond })
        };
        let mut found: Vec<EnvironmentEventType> = state
            .environment_event_types
            .iter()
            .filter(|((owner, name), event_type)| {
                owner == environment.stored() && is_beyond(name) && (page.with_archived || !event_type.archived)
            })
            .map(|(_, event_type)| event_type.clone())
            .collect();
        if page.is_descending {
            found.reverse();
        }
        found.truncate(page.limit);
        Ok(found)
    }

    fn environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        Ok(self.state().environment_event_types.get(&key(environment, name)).cloned())
    }

    fn create_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        let known = self.environment_event_type(environment, &event_type.name)?;
        match known.is_some_and(|known| !known.archived) {
            true => Ok(None),
            false => self.put_environment_event_type(environment, event_type).map(|(stored, _)| Some(stored)),
        }
    }

    fn put_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<(EnvironmentEventType, bool)> {
        let mut state = self.writing()?;
        let key = key(environment, &event_type.name);
        let created_at = state.environment_event_types.get(&key).map(|known| known.created_at);
        let stored =
            EnvironmentEventType { created_at: created_at.unwrap_or(event_type.created_at), ..event_type.clone() };
        state.environment_event_types.insert(key, stored.clone());
        Ok((stored, created_at.is_none()))
    }

    fn change_environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
        change: &EventTypeChange,
        now: UnixMillis,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        let mut state = self.writing()?;
        let known = state.environment_event_types.get_mut(&key(environment, name));
        Ok(known.map(|known| {
            change.clone().apply(known, now);
            known.clone()
        }))
    }

    fn remove_environment_event_type(&self, environment: &Environment, name: &str) -> StoreResult<bool> {
        Ok(self.writing()?.environment_event_types.remove(&key(environment, name)).is_some())
    }

    fn begin_answer(&self, key_hash: &[u8; 32], times: AnswerTimes) -> StoreResult<AnswerState> {
        let mut state = self.writing()?;
        let still_counts = |kept: &&MemoryAnswer| match kept.answer {
            Some(_) => kept.created_at >= times.kept_since,
            None => kept.created_at >= times.abandoned_before,
        };
        if let Some(kept) = state.answers.get(key_hash).filter(still_counts) {
            return Ok(kept.into());
        }
        state.answers.insert(*key_hash, MemoryAnswer { created_at: times.now, answer: None });
        Ok(AnswerState::Begun)
    }

    fn answer(&self, key_hash: &[u8; 32]) -> StoreResult<Option<AnswerState>> {
        Ok(self.state().answers.get(key_hash).map(AnswerState::from))
    }

    fn keep_answer(&self, key_hash: &[u8; 32], answer: Option<&KeptAnswer>, now: UnixMillis) -> StoreResult<()> {
        let mut state = self.writing()?;
        match answer {
            Some(answer) => {
                let answer = Some(answer.clone());
                state.answers.insert(*key_hash, MemoryAnswer { created_at: now, answer });
            }
            None => {
                state.answers.remove(key_hash);
            }
        }
        Ok(())
    }

    fn prune_answers(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let old = state.answers.iter().filter(|(_, kept)| kept.created_at < before);
        let old: Vec<[u8; 32]> = old.map(|(key_hash, _)| *key_hash).take(limit).collect();
        for key_hash in &old {
            state.answers.remove(key_hash);
        }
        Ok(old.len() >= limit)
    }
}
