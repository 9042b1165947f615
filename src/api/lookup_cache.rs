//! What the store said about API keys and sessions a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::Line;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, LAST_USE_PRECISION, Role};
use crate::domain::session::DashboardSession;
use crate::domain::time::UnixMillis;

/// How long a key or a session is used without asking the store. One that another node ended works for this long: the
/// contract allows 1 s.
const CACHE_TTL: Duration = Duration::from_millis(900);
/// The most that are remembered. Above it those of the organization with the most of them are forgotten.
const CACHE_CAPACITY: usize = 10_000;
/// The most hashes that belong to nothing. They only save look-ups of a client that repeats a wrong key.
const UNKNOWN_CAPACITY: usize = 1_024;

type TokenHash = [u8; 32];

/// What a token stands for.
pub(crate) trait Credential: Clone {
    /// Whether it is remembered for a moment that a token stands for nothing.
    const REMEMBERS_UNKNOWN: bool = true;

    /// In whose line it is looked up again.
    fn owner(&self) -> Line;
}

/// What was found in the store under the hashes of tokens. Bounded; forgets it at once when it is ended here, and asks for
/// it again after `CACHE_TTL`, in case it was ended elsewhere.
pub(crate) struct LookupCache<C> {
    state: Mutex<CacheState<C>>,
}

struct CacheState<C> {
    /// Old ones too: they were valid, so whoever has them does not guess.
    found: HashMap<TokenHash, Cached<C>>,
    /// When the store did not have them.
    unknown: HashMap<TokenHash, UnixMillis>,
    /// Grows with every one that is ended: what was read before must not be cached after it.
    generation: u64,
}

impl<C> Default for LookupCache<C> {
    fn default() -> Self {
        let state = CacheState { found: HashMap::new(), unknown: HashMap::new(), generation: 0 };
        Self { state: Mutex::new(state) }
    }
}

/// What every request needs to know about its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KnownKey {
    /// `None` for a key of the deployment.
    pub organization_id: Option<OrganizationId>,
    pub key_id: KeyId,
    pub role: Role,
    pub expires_at: Option<UnixMillis>,
    last_used_at: Option<UnixMillis>,
}

impl KnownKey {
    /// Whether it is known that it is used at this time, as precisely as that is told.
    pub(super) fn is_use_noted(&self, now: UnixMillis) -> bool {
        self.last_used_at.is_some_and(|at| now < at + LAST_USE_PRECISION)
    }
}

impl From<&ApiKey> for KnownKey {
    fn from(key: &ApiKey) -> Self {
        let ApiKey { organization_id, id: key_id, role, expires_at, last_used_at, .. } = *key;
        Self { organization_id, key_id, role, expires_at, last_used_at }
    }
}

impl Credential for KnownKey {
    fn owner(&self) -> Line {
        self.organization_id.map_or(Line::Admin, Line::from)
    }
}

impl Credential for DashboardSession {
    fn owner(&self) -> Line {
        self.organization_id.map_or(Line::Admin, Line::from)
    }
}

/// What the cache knows about a token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CacheAnswer<C> {
    /// It is valid.
    Known(C),
    /// It stood for nothing a moment ago.
    Unknown,
    /// Only the store knows.
    Ask {
        /// Whose it was when the store was last asked.
        line: Option<Line>,
    },
}

struct Cached<C> {
    credential: C,
    read_at: UnixMillis,
}

/// Whether what was read then still counts.
fn is_fresh(read_at: UnixMillis, now: UnixMillis) -> bool {
    // a clock that went back does not extend the time
    read_at <= now && now.since(read_at) < CACHE_TTL
}

impl<C: Credential> LookupCache<C> {
    fn lock(&self) -> MutexGuard<'_, CacheState<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, hash: &TokenHash, now: UnixMillis) -> CacheAnswer<C> {
        let state = self.lock();
        match state.found.get(hash) {
            Some(cached) if is_fresh(cached.read_at, now) => CacheAnswer::Known(cached.credential.clone()),
            Some(cached) => CacheAnswer::Ask { line: Some(cached.credential.owner()) },
            None if state.unknown.get(hash).is_some_and(|read_at| is_fresh(*read_at, now)) => CacheAnswer::Unknown,
            None => CacheAnswer::Ask { line: None },
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Caches what the store said at `read_at`, unless something was ended since `generation`.
    pub(super) fn insert(&self, hash: TokenHash, found: Option<C>, generation: u64, read_at: UnixMillis) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        match found {
            Some(credential) => {
                state.unknown.remove(&hash);
                state.make_room(read_at);
                state.found.insert(hash, Cached { credential, read_at });
            }
            None => {
                state.found.remove(&hash);
                if !C::REMEMBERS_UNKNOWN {
                    return;
                }
                if state.unknown.len() >= UNKNOWN_CAPACITY {
                    state.unknown.clear();
                }
                state.unknown.insert(hash, read_at);
            }
        }
    }

    /// Forgets one that was ended.
    pub(crate) fn forget(&self, hash: &TokenHash) {
        let mut state = self.lock();
        state.generation += 1;
        state.found.remove(hash);
    }

    /// Forgets all of them.
    pub(crate) fn forget_everything(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.found.clear();
        state.unknown.clear();
    }

    /// Forgets those of an organization, or of the deployment.
    pub(crate) fn forget_all_of(&self, owner: Line) {
        let mut state = self.lock();
        state.generation += 1;
        state.found.retain(|_, cached| cached.credential.owner() != owner);
    }
}

impl LookupCache<KnownKey> {
    /// Notes that a key is used now; `false` when another request has done so already.
    pub(super) fn note_use(&self, hash: &TokenHash, now: UnixMillis) -> bool {
        let mut state = self.lock();
        let Some(cached) = state.found.get_mut(hash) else { return false };
        let is_new = !cached.credential.is_use_noted(now);
        if is_new {
            cached.credential.last_used_at = Some(now);
        }
        is_new
    }
}

impl<C: Credential> CacheState<C> {
    /// Makes room for one more: by what is old, then by the organization that has the most.
    fn make_room(&mut self, now: UnixMillis) {
        if self.found.len() < CACHE_CAPACITY {
            return;
        }
        self.found.retain(|_, cached| is_fresh(cached.read_at, now));
        if self.found.len() < CACHE_CAPACITY / 2 {
            return;
        }
        let mut counts: HashMap<Line, usize> = HashMap::new();
        for cached in self.found.values() {
            *counts.entry(cached.credential.owner()).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((owner, count)) = most else { return };
        // when nobody has many, forgetting one at a time would cost a walk for each key
        if count < CACHE_CAPACITY / 16 {
            self.found.clear();
        } else {
            self.found.retain(|_, cached| cached.credential.owner() != owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn key(seed: u8) -> ApiKey {
        ApiKey {
            id: KeyId(i64::from(seed)),
            organization_id: Some(OrganizationId(1)),
            name: "k".to_owned(),
            role: Role::Owner,
            hash: [seed; 32],
            prefix: "rbk_".to_owned(),
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
        }
    }

    fn insert(cache: &LookupCache<KnownKey>, key: &ApiKey) {
        cache.insert(key.hash, Some(key.into()), cache.generation(), NOW);
    }

    fn is_known(cache: &LookupCache<KnownKey>, seed: u8, now: UnixMillis) -> bool {
        matches!(cache.get(&[seed; 32], now), CacheAnswer::Known(_))
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_revoked_and_asked_for_again_when_it_is_a_second_old() {
        let cache = LookupCache::<KnownKey>::default();
        insert(&cache, &key(1));
        insert(&cache, &key(2));
        assert!(is_known(&cache, 1, NOW));
        let again = CacheAnswer::Ask { line: Some(OrganizationId(1).into()) };
        assert_eq!(cache.get(&[1; 32], NOW + Duration::from_secs(1)), again);
        assert_eq!(cache.get(&[1; 32], NOW - Duration::from_millis(1)), again);
        cache.forget(&[1; 32]);
        assert_eq!(cache.get(&[1; 32], NOW), CacheAnswer::Ask { line: None });
        assert!(is_known(&cache, 2, NOW));
        cache.forget_all_of(OrganizationId(1).into());
        assert!(!is_known(&cache, 2, NOW));
    }

    #[test]
    fn a_key_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = LookupCache::<KnownKey>::default();
        let before = cache.generation();
        cache.forget(&[1; 32]);
        cache.insert([1; 32], Some(KnownKey::from(&key(1))), before, NOW);
        assert!(!is_known(&cache, 1, NOW));
    }

    #[test]
    fn a_key_that_does_not_exist_is_not_asked_for_at_once_again() {
        let cache = LookupCache::<KnownKey>::default();
        cache.insert([1; 32], None, cache.generation(), NOW);
        assert_eq!(cache.get(&[1; 32], NOW), CacheAnswer::Unknown);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(cache.get(&[1; 32], later), CacheAnswer::Ask { line: None });
        // one that expired or was revoked elsewhere
        insert(&cache, &key(2));
        cache.insert([2; 32], None, cache.generation(), NOW);
        assert_eq!(cache.get(&[2; 32], NOW), CacheAnswer::Unknown);
    }

    #[test]
    fn the_cache_stays_within_its_capacity_and_an_organization_with_many_keys_forgets_its_own() {
        let cache = LookupCache::<KnownKey>::default();
        let mut mine = key(7);
        mine.organization_id = Some(OrganizationId(2));
        insert(&cache, &mine);
        for number in 0..(CACHE_CAPACITY as u64 + 500) {
            let mut key = key(0);
            key.hash[..8].copy_from_slice(&number.to_be_bytes());
            insert(&cache, &key);
            let mut unknown = [1; 32];
            unknown[..8].copy_from_slice(&number.to_be_bytes());
            cache.insert(unknown, None, cache.generation(), NOW);
        }
        let state = cache.lock();
        assert!(state.found.len() <= CACHE_CAPACITY && state.unknown.len() <= UNKNOWN_CAPACITY);
        drop(state);
        assert!(is_known(&cache, 7, NOW));
    }
}
