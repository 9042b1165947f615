//! Sessions, kept in memory: after a restart everyone signs in again, and nothing that could be stolen is stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::domain::time::UnixMillis;

/// How long a session lasts: a working day. Longer: a forgotten browser stays signed in. Shorter: people must sign in
/// again during their work.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Concurrent sessions; one more ends the oldest. Each takes about 150 bytes.
const MAX_SESSIONS: usize = 10_000;

type Digest32 = [u8; 32];

/// Sessions and tickets, keyed by the hashes of their tokens.
#[derive(Default)]
pub(crate) struct Sessions {
    state: Mutex<SessionTable>,
}

#[derive(Default)]
struct SessionTable {
    sessions: HashMap<Digest32, Session>,
    /// Each can be used once.
    tickets: HashMap<Digest32, Session>,
}

#[derive(Clone, Copy)]
struct Session {
    /// The hash of the API key, which is looked up again on every request, so that revoking a key ends its sessions.
    key_hash: Digest32,
    expires_at: UnixMillis,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a session and returns its token.
    pub(crate) fn begin(&self, key_hash: Digest32, rng: &mut impl Rng, now: UnixMillis) -> String {
        let (token, session) = (token(rng), Session { key_hash, expires_at: now + LIFETIME });
        let mut state = self.lock();
        if state.sessions.len() >= MAX_SESSIONS {
            state.sessions.retain(|_, session| session.expires_at > now);
        }
        if state.sessions.len() >= MAX_SESSIONS {
            let oldest = state.sessions.iter().min_by_key(|(_, session)| session.expires_at);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                state.sessions.remove(&oldest);
            }
        }
        state.sessions.insert(hash(&token), session);
        token
    }

    /// The hash of the session's API key.
    pub(crate) fn key_hash(&self, token: &str, now: UnixMillis) -> Option<Digest32> {
        let state = self.lock();
        let session = state.sessions.get(&hash(token)).filter(|session| session.expires_at > now);
        session.map(|session| session.key_hash)
    }

    pub(crate) fn end(&self, token: &str) {
        self.lock().sessions.remove(&hash(token));
    }

    /// Issues a ticket that starts one session; it is valid as long as a session.
    pub(crate) fn issue_ticket(&self, key_hash: Digest32, rng: &mut impl Rng, now: UnixMillis) -> String {
        let ticket = token(rng);
        self.lock().tickets.insert(hash(&ticket), Session { key_hash, expires_at: now + LIFETIME });
        ticket
    }

    /// Uses up a ticket and returns the hash of its key.
    pub(crate) fn take_ticket(&self, ticket: &str, now: UnixMillis) -> Option<Digest32> {
        let ticket = self.lock().tickets.remove(&hash(ticket));
        ticket.filter(|ticket| ticket.expires_at > now).map(|ticket| ticket.key_hash)
    }
}

/// 256 random bits.
fn token(rng: &mut impl Rng) -> String {
    let mut bytes = [0u8; 32];
    rng.fill_bytes(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}

/// Tokens are looked up by hash, so that timing reveals nothing about them.
fn hash(token: &str) -> Digest32 {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    #[test]
    fn a_session_lasts_until_it_is_ended_or_expires() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let first = sessions.begin([1; 32], &mut rng, NOW);
        let second = sessions.begin([2; 32], &mut rng, NOW);
        assert_eq!(sessions.key_hash(&first, NOW), Some([1; 32]));
        sessions.end(&first);
        assert_eq!(sessions.key_hash(&first, NOW), None);
        assert_eq!(sessions.key_hash(&second, NOW), Some([2; 32]));
        assert_eq!(sessions.key_hash(&second, NOW + LIFETIME), None);
        assert_eq!(sessions.key_hash("", NOW), None);
    }

    #[test]
    fn a_ticket_signs_in_once() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let ticket = sessions.issue_ticket([7; 32], &mut rng, NOW);
        assert_eq!(sessions.key_hash(&ticket, NOW), None, "a ticket is no session");
        assert_eq!(sessions.take_ticket(&ticket, NOW), Some([7; 32]));
        assert_eq!(sessions.take_ticket(&ticket, NOW), None);
        let late = sessions.issue_ticket([7; 32], &mut rng, NOW);
        assert_eq!(sessions.take_ticket(&late, NOW + LIFETIME), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes_first() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let first = sessions.begin([0; 32], &mut rng, NOW);
        let tokens: Vec<String> = (1..=MAX_SESSIONS as i64)
            .map(|at| sessions.begin([0; 32], &mut rng, UnixMillis(NOW.0 + at)))
            .collect();
        assert_eq!(sessions.key_hash(&first, NOW), None);
        assert!(tokens.iter().all(|token| sessions.key_hash(token, NOW).is_some()));
    }
}
