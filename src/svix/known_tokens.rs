//! What tokens said when they were last checked: a publisher sends the same one with every call, and to check it costs as much as to
//! find an application.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::token::{Claims, TokenKey};
use crate::api::key_text::hash_key;
use crate::domain::time::UnixMillis;

/// The most that are remembered; beyond it all are forgotten. Smaller: the tokens of many applications are checked again and again.
/// Larger: the memory of tokens that are not used any more, at most a few hundred bytes each.
const CAPACITY: usize = 4_096;

/// Tokens that were signed with the one key there is, by their hashes. What is no token is not remembered.
#[derive(Default)]
pub(super) struct KnownTokens(Mutex<HashMap<[u8; 32], Arc<Claims>>>);

impl KnownTokens {
    /// What a token says; `None` when it is not one of ours, or not valid now.
    pub(super) fn read(&self, key: &TokenKey, token: &str, now: UnixMillis) -> Option<Arc<Claims>> {
        let hash = hash_key(token);
        if let Some(claims) = self.0.lock().get(&hash) {
            return claims.is_valid_at(now).then(|| claims.clone());
        }
        let claims = Arc::new(key.read(token, now)?);
        let mut known = self.0.lock();
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(hash, claims.clone());
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;
    use crate::domain::svix::Environment;
    use crate::svix::token::ENVIRONMENT_LIFETIME;
    use std::time::Duration;

    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

    #[test]
    fn a_known_token_ends_at_its_time_and_another_is_not_taken_for_it() {
        let key = TokenKey::new(&Secret::new(String::from("a secret of these tests")));
        let other = TokenKey::new(&Secret::new(String::from("another secret of them")));
        let known = KnownTokens::default();
        let token = key.environment_token(&Environment::default(), NOW);
        for _ in 0..2 {
            assert!(known.read(&key, &token, NOW).is_some());
            assert!(known.read(&key, &other.environment_token(&Environment::default(), NOW), NOW).is_none());
            assert!(known.read(&key, &token[..token.len() - 1], NOW).is_none());
        }
        let end = NOW + ENVIRONMENT_LIFETIME + Duration::from_secs(3_600);
        assert!(known.read(&key, &token, end).is_none());
        assert!(known.read(&key, &token, NOW).is_some());
    }

    #[test]
    fn of_many_tokens_only_so_many_are_remembered() {
        let key = TokenKey::new(&Secret::new(String::from("a secret of these tests")));
        let known = KnownTokens::default();
        for number in 0..CAPACITY as i64 + 10 {
            let token = key.environment_token(&Environment::default(), UnixMillis(NOW.0 + 1_000 * number));
            assert!(known.read(&key, &token, NOW + Duration::from_secs(CAPACITY as u64)).is_some());
        }
        assert!(known.0.lock().len() <= CAPACITY);
    }
}
