//! Links that sign in once, printed at the start of `--dev`. Kept in memory: they end with the process that printed them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::api::key_text::hash_key;
use crate::api::sessions::{LIFETIME, token};
use crate::domain::time::UnixMillis;

type Digest32 = [u8; 32];

/// Tickets by the hashes of their tokens. Only the engine itself issues them, for whoever started it.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<Digest32, Ticket>>);

struct Ticket {
    /// The hash of the API key that it signs in with.
    key_hash: Digest32,
    expires_at: UnixMillis,
}

impl Tickets {
    /// Issues a ticket that begins one session; it is valid as long as a session.
    pub(crate) fn issue(&self, key_hash: Digest32, rng: &mut impl rand::Rng, now: UnixMillis) -> String {
        let (token, ticket) = (token(rng), Ticket { key_hash, expires_at: now + LIFETIME });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash_key(&token), ticket);
        token
    }

    /// Uses up a ticket and returns the hash of its key.
    pub(crate) fn take(&self, token: &str, now: UnixMillis) -> Option<Digest32> {
        let ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash_key(token));
        ticket.filter(|ticket| ticket.expires_at > now).map(|ticket| ticket.key_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    #[test]
    fn a_ticket_signs_in_once() {
        let (tickets, mut rng) = (Tickets::default(), SmallRng::seed_from_u64(1));
        let ticket = tickets.issue([7; 32], &mut rng, NOW);
        assert_eq!(tickets.take(&ticket, NOW), Some([7; 32]));
        assert_eq!(tickets.take(&ticket, NOW), None);
        let late = tickets.issue([7; 32], &mut rng, NOW);
        assert_eq!(tickets.take(&late, NOW + LIFETIME), None);
    }
}
