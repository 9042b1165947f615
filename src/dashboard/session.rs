//! Sessions, kept in memory: after a restart everyone signs in again, and nothing that could be stolen is stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::api::line::Line;
use crate::domain::time::UnixMillis;

/// How long a session lasts: a working day. Longer: a forgotten browser stays signed in. Shorter: people must sign in
/// again during their work.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Concurrent sessions; one more ends the oldest of the organization that has the most. Each takes about 150 bytes.
const MAX_SESSIONS: usize = 10_000;
/// Concurrent sessions of one organization; one more ends its oldest. Smaller: people of a large organization sign each
/// other out. Larger: fewer organizations have room for as many.
const MAX_FOR_ONE: usize = 500;

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
    /// Whose it is: an organization's, or the admin's.
    owner: Line,
    /// The hash of the API key, which is looked up again on every request, so that revoking a key ends its sessions.
    key_hash: Digest32,
    expires_at: UnixMillis,
}

impl SessionTable {
    /// Makes room for one more session of this owner, at the expense of whoever has the most.
    fn make_room(&mut self, owner: Line, now: UnixMillis) {
        let own = self.sessions.values().filter(|session| session.owner == owner).count();
        if own < MAX_FOR_ONE && self.sessions.len() < MAX_SESSIONS {
            return;
        }
        self.sessions.retain(|_, session| session.expires_at > now);
        let mut counts: HashMap<Line, usize> = HashMap::new();
        for session in self.sessions.values() {
            *counts.entry(session.owner).or_default() += 1;
        }
        let loser = match counts.get(&owner).is_some_and(|own| *own >= MAX_FOR_ONE) {
            true => owner,
            false if self.sessions.len() < MAX_SESSIONS => return,
            // there is one: the table is full
            false => counts.into_iter().max_by_key(|(_, count)| *count).map_or(owner, |(owner, _)| owner),
        };
        let of_loser = self.sessions.iter().filter(|(_, session)| session.owner == loser);
        let oldest = of_loser.min_by_key(|(_, session)| session.expires_at).map(|(hash, _)| *hash);
        if let Some(oldest) = oldest {
            self.sessions.remove(&oldest);
        }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a session and returns its token.
    pub(crate) fn begin(&self, owner: Line, key_hash: Digest32, rng: &mut impl Rng, now: UnixMillis) -> String {
        let (token, session) = (token(rng), Session { owner, key_hash, expires_at: now + LIFETIME });
        let mut state = self.lock();
        state.make_room(owner, now);
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
        // only the engine itself issues tickets, for whoever started it
        let session = Session { owner: Line::Admin, key_hash, expires_at: now + LIFETIME };
        self.lock().tickets.insert(hash(&ticket), session);
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
    use crate::domain::ids::OrganizationId;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    const A: Line = Line::Organization(OrganizationId(1));
    const B: Line = Line::Organization(OrganizationId(2));

    #[test]
    fn a_session_lasts_until_it_is_ended_or_expires() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let first = sessions.begin(A, [1; 32], &mut rng, NOW);
        let second = sessions.begin(A, [2; 32], &mut rng, NOW);
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
    fn an_organizations_sessions_are_bounded_and_its_own_oldest_goes_first() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let other = sessions.begin(B, [9; 32], &mut rng, UnixMillis(NOW.0 - 1));
        let first = sessions.begin(A, [0; 32], &mut rng, NOW);
        let tokens: Vec<String> = (1..=MAX_FOR_ONE as i64)
            .map(|at| sessions.begin(A, [0; 32], &mut rng, UnixMillis(NOW.0 + at)))
            .collect();
        assert_eq!(sessions.key_hash(&first, NOW), None);
        assert!(tokens.iter().all(|token| sessions.key_hash(token, NOW).is_some()));
        assert!(sessions.key_hash(&other, NOW).is_some(), "older, but of another organization");
    }

    #[test]
    fn a_full_table_makes_room_at_the_expense_of_whoever_has_the_most() {
        let (sessions, mut rng) = (Sessions::default(), SmallRng::seed_from_u64(1));
        let oldest = sessions.begin(A, [1; 32], &mut rng, UnixMillis(NOW.0 - 1));
        let many: Vec<String> = (0..MAX_SESSIONS - 1)
            .map(|number| {
                let owner = Line::Organization(OrganizationId(10 + (number / (MAX_FOR_ONE - 1)) as i64));
                sessions.begin(owner, [0; 32], &mut rng, NOW)
            })
            .collect();
        let new = sessions.begin(B, [2; 32], &mut rng, NOW);
        let is_there = |token: &String| sessions.key_hash(token, NOW).is_some();
        assert!(is_there(&oldest) && is_there(&new));
        assert_eq!(many.iter().filter(|token| is_there(token)).count(), MAX_SESSIONS - 2);
    }
}
