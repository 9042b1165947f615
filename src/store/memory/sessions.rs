//! Sessions of the dashboard in memory.

use std::cmp::Reverse;

use super::super::{SessionStore, StoreResult};
use super::MemoryStore;
use crate::domain::session::{DashboardSession, SESSIONS_FOR_ONE};
use crate::domain::time::UnixMillis;

impl SessionStore for MemoryStore {
    fn begin_session(&self, session: &DashboardSession, now: UnixMillis) -> StoreResult<()> {
        let mut state = self.state();
        if let Some(organization_id) = session.organization_id {
            state.require_organization(organization_id)?;
        }
        let is_own = |other: &DashboardSession| other.organization_id == session.organization_id;
        state.sessions.retain(|_, other| !is_own(other) || other.expires_at > now);
        state.sessions.insert(session.token_hash, *session);
        let mut own: Vec<DashboardSession> = state.sessions.values().copied().filter(is_own).collect();
        own.sort_by_key(|session| (Reverse(session.expires_at), session.token_hash));
        for above in own.iter().skip(SESSIONS_FOR_ONE) {
            state.sessions.remove(&above.token_hash);
        }
        Ok(())
    }

    fn session(&self, token_hash: &[u8; 32]) -> StoreResult<Option<DashboardSession>> {
        Ok(self.state().sessions.get(token_hash).copied())
    }

    fn end_session(&self, token_hash: &[u8; 32]) -> StoreResult<()> {
        self.state().sessions.remove(token_hash);
        Ok(())
    }

    fn prune_sessions(&self, now: UnixMillis, limit: usize) -> StoreResult<bool> {
        let mut state = self.state();
        let over = state.sessions.values().filter(|session| session.expires_at <= now);
        let over: Vec<[u8; 32]> = over.map(|session| session.token_hash).take(limit).collect();
        for token_hash in &over {
            state.sessions.remove(token_hash);
        }
        Ok(over.len() >= limit)
    }
}
