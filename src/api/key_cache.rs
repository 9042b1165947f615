//! What the store said about keys a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Role};
use crate::domain::time::UnixMillis;

/// How long a key is used without asking the store. A key that another node revoked works for this long: the contract
/// allows 1 s.
const CACHE_TTL: Duration = Duration::from_millis(900);
/// The most keys that are remembered. Above it the organization with the most of them is forgotten.
const CACHE_CAPACITY: usize = 10_000;
/// The most hashes of keys that do not exist. They only save look-ups of a client that repeats a wrong key.
const UNKNOWN_CAPACITY: usize = 1_024;

type KeyHash = [u8; 32];

/// Keys that were found in the store. Bounded; forgets a key at once when it is revoked here, and asks for it again after
/// `CACHE_TTL`, in case it was revoked elsewhere.
#[derive(Default)]
pub(crate) struct KeyCache {
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    /// Old ones too: they were valid, so whoever has them does not guess.
    keys: HashMap<KeyHash, CachedKey>,
    /// When the store did not have them.
    unknown: HashMap<KeyHash, UnixMillis>,
    /// Grows with every revocation: a key that was read before one must not be cached after it.
    generation: u64,
}

/// What every request needs to know about its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KnownKey {
    pub organization_id: OrganizationId,
    pub key_id: KeyId,
    pub role: Role,
    pub expires_at: Option<UnixMillis>,
}

/// What the cache knows about a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum CacheAnswer {
    /// It is valid.
    Known(KnownKey),
    /// There was none a moment ago.
    NoSuchKey,
    /// Only the store knows.
    Ask {
        /// The organization that it belonged to when the store was last asked.
        line: Option<OrganizationId>,
    },
}

struct CachedKey {
    key: KnownKey,
    read_at: UnixMillis,
}

/// Whether what was read then still counts.
fn is_fresh(read_at: UnixMillis, now: UnixMillis) -> bool {
    // a clock that went back does not extend the time
    read_at <= now && now.since(read_at) < CACHE_TTL
}

impl KeyCache {
    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, hash: &KeyHash, now: UnixMillis) -> CacheAnswer {
        let state = self.lock();
        match state.keys.get(hash) {
            Some(cached) if is_fresh(cached.read_at, now) => CacheAnswer::Known(cached.key),
            Some(cached) => CacheAnswer::Ask { line: Some(cached.key.organization_id) },
            None if state.unknown.get(hash).is_some_and(|read_at| is_fresh(*read_at, now)) => {
                CacheAnswer::NoSuchKey
            }
            None => CacheAnswer::Ask { line: None },
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Caches what the store said at `read_at`, unless a key was revoked since `generation`.
    pub(super) fn insert(
        &self,
        hash: KeyHash,
        found: Option<&ApiKey>,
        generation: u64,
        read_at: UnixMillis,
    ) -> Option<KnownKey> {
        let known = found.map(|key| KnownKey {
            organization_id: key.organization_id,
            key_id: key.id,
            role: key.role,
            expires_at: key.expires_at,
        });
        let mut state = self.lock();
        if state.generation != generation {
            return known;
        }
        match known {
            Some(key) => {
                state.unknown.remove(&hash);
                state.make_room(read_at);
                state.keys.insert(hash, CachedKey { key, read_at });
            }
            None => {
                state.keys.remove(&hash);
                if state.unknown.len() >= UNKNOWN_CAPACITY {
                    state.unknown.clear();
                }
                state.unknown.insert(hash, read_at);
            }
        }
        known
    }

    /// Forgets a key that was revoked.
    pub(crate) fn forget(&self, hash: &KeyHash) {
        let mut state = self.lock();
        state.generation += 1;
        state.keys.remove(hash);
    }

    /// Forgets the keys of an organization that was deleted.
    pub(crate) fn forget_organization(&self, organization_id: OrganizationId) {
        let mut state = self.lock();
        state.generation += 1;
        state.keys.retain(|_, cached| cached.key.organization_id != organization_id);
    }
}

impl CacheState {
    /// Makes room for one more: by what is old, then by the organization that has the most.
    fn make_room(&mut self, now: UnixMillis) {
        if self.keys.len() < CACHE_CAPACITY {
            return;
        }
        self.keys.retain(|_, cached| is_fresh(cached.read_at, now));
        if self.keys.len() < CACHE_CAPACITY / 2 {
            return;
        }
        let mut counts: HashMap<OrganizationId, usize> = HashMap::new();
        for cached in self.keys.values() {
            *counts.entry(cached.key.organization_id).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let Some((organization_id, count)) = most else { return };
        // when nobody has many, forgetting one at a time would cost a walk for each key
        if count < CACHE_CAPACITY / 16 {
            self.keys.clear();
        } else {
            self.keys.retain(|_, cached| cached.key.organization_id != organization_id);
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
            organization_id: OrganizationId(1),
            name: "k".to_owned(),
            role: Role::Owner,
            hash: [seed; 32],
            prefix: "rbk_".to_owned(),
            created_at: NOW,
            expires_at: None,
        }
    }

    fn insert(cache: &KeyCache, key: &ApiKey) {
        cache.insert(key.hash, Some(key), cache.generation(), NOW);
    }

    fn is_known(cache: &KeyCache, seed: u8, now: UnixMillis) -> bool {
        matches!(cache.get(&[seed; 32], now), CacheAnswer::Known(_))
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_revoked_and_asked_for_again_when_it_is_a_second_old() {
        let cache = KeyCache::default();
        insert(&cache, &key(1));
        insert(&cache, &key(2));
        assert!(is_known(&cache, 1, NOW));
        let again = CacheAnswer::Ask { line: Some(OrganizationId(1)) };
        assert_eq!(cache.get(&[1; 32], NOW + Duration::from_secs(1)), again);
        assert_eq!(cache.get(&[1; 32], NOW - Duration::from_millis(1)), again);
        cache.forget(&[1; 32]);
        assert_eq!(cache.get(&[1; 32], NOW), CacheAnswer::Ask { line: None });
        assert!(is_known(&cache, 2, NOW));
        cache.forget_organization(OrganizationId(1));
        assert!(!is_known(&cache, 2, NOW));
    }

    #[test]
    fn a_key_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = KeyCache::default();
        let before = cache.generation();
        cache.forget(&[1; 32]);
        cache.insert([1; 32], Some(&key(1)), before, NOW);
        assert!(!is_known(&cache, 1, NOW));
    }

    #[test]
    fn a_key_that_does_not_exist_is_not_asked_for_at_once_again() {
        let cache = KeyCache::default();
        assert_eq!(cache.insert([1; 32], None, cache.generation(), NOW), None);
        assert_eq!(cache.get(&[1; 32], NOW), CacheAnswer::NoSuchKey);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(cache.get(&[1; 32], later), CacheAnswer::Ask { line: None });
        // one that expired or was revoked elsewhere
        insert(&cache, &key(2));
        cache.insert([2; 32], None, cache.generation(), NOW);
        assert_eq!(cache.get(&[2; 32], NOW), CacheAnswer::NoSuchKey);
    }

    #[test]
    fn the_cache_stays_within_its_capacity_and_an_organization_with_many_keys_forgets_its_own() {
        let cache = KeyCache::default();
        let mut mine = key(7);
        mine.organization_id = OrganizationId(2);
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
        assert!(state.keys.len() <= CACHE_CAPACITY && state.unknown.len() <= UNKNOWN_CAPACITY);
        drop(state);
        assert!(is_known(&cache, 7, NOW));
    }
}
