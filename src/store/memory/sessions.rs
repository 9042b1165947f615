//! Sessions of the dashboard in memory.

use std::cmp::Reverse;

use super::super::{LinkUse, SessionStore, StoreResult};
use super::MemoryStore;
use crate::domain::session::{DashboardSession, LINKS_FOR_ONE, SESSIONS_FOR_ONE, SignInLink};
use crate::domain::time::UnixMillis;

impl SessionStore for MemoryStore {
    fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()> {
        let mut state = self.writing()?;
        if let Some(organization_id) = session.organization_id {
            state.require_organization(organization_id)?;
        }
        let is_own = |other: &DashboardSession| other.organization_id == session.organization_id;
        state.sessions.retain(|_, other| !is_own(other) || other.expires_at > now);
        state.sessions.insert(session.token_hash, session.clone());
        let mut own: Vec<DashboardSession> =
            state.sessions.values().filter(|other| is_own(other)).cloned().collect();
        own.sort_by_key(|session| (Reverse(session.expires_at), session.token_hash));
        for above in own.iter().skip(SESSIONS_FOR_ONE) {
            state.sessions.remove(&above.token_hash);
        }
        Ok(())
    }

    fn session(&self, token_hash: &[u8; 32]) -> StoreResult<Option<DashboardSession>> {
        Ok(self.state().sessions.get(token_hash).cloned())
    }

    fn end_session(&self, token_hash: &[u8; 32]) -> StoreResult<()> {
        self.writing()?.sessions.remove(token_hash);
        Ok(())
    }

    fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut state = self.writing()?;
        let over = state.sessions.values().filter(|session| session.expires_at <= now);
        let over: Vec<[u8; 32]> = over.map(|session| session.token_hash).take(limit).collect();
        for token_hash in &over {
            state.sessions.remove(token_hash);
        }
        state.links.retain(|_, (link, _)| link.expires_at > now);
        Ok(over.len() >= limit)
    }

    fn create_link(&self, link: &SignInLink, now: UnixMillis) -> StoreResult<()> {
        let mut state = self.writing()?;
        state.require_organization(link.organization_id)?;
        state.links.insert(link.token_hash, (link.clone(), false));
        let is_own = |other: &SignInLink| other.organization_id == link.organization_id;
        state.links.retain(|_, (other, _)| !is_own(other) || other.expires_at > now);
        let mut own: Vec<SignInLink> =
            state.links.values().map(|(other, _)| other).filter(|other| is_own(other)).cloned().collect();
        own.sort_by_key(|link| (Reverse(link.expires_at), link.token_hash));
        for above in own.iter().skip(LINKS_FOR_ONE) {
            state.links.remove(&above.token_hash);
        }
        Ok(())
    }

    fn use_link(&self, token_hash: &[u8; 32], now: UnixMillis) -> StoreResult<LinkUse> {
        let mut state = self.writing()?;
        let Some((link, is_used)) = state.links.get_mut(token_hash) else { return Ok(LinkUse::Unknown) };
        let is_first = !*is_used && link.expires_at > now;
        *is_used |= is_first;
        Ok(if is_first { LinkUse::First(link.clone()) } else { LinkUse::Refused(link.clone()) })
    }
}
