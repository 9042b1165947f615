//! The public keys of endpoints that sign with private ones, for anyone who knows an endpoint's id.
//!
//! Held in memory, so that a question that needs no sign-in costs no read of the database, and one about an id that is made up
//! costs as much.

use std::collections::HashMap;

use super::asymmetric::PublicKey;
use super::endpoint::Endpoint;
use super::ids::EndpointId;
use super::time::UnixMillis;

/// A key that verifies what its endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedKey {
    pub key: PublicKey,
    /// It signs nothing from this instant on; `None` for the newest.
    pub expires_at: Option<UnixMillis>,
}

/// By endpoint; those with a shared secret alone take no room.
#[derive(Debug, Default)]
pub struct PublicKeys(HashMap<EndpointId, Box<[PublishedKey]>>);

impl PublicKeys {
    /// Takes over an endpoint's keys as they are now.
    pub fn upsert(&mut self, endpoint: &Endpoint) {
        let newest = endpoint.secret.public_key().map(|key| PublishedKey { key, expires_at: None });
        let previous = endpoint.previous_secrets.iter().filter_map(|previous| {
            let expires_at = Some(previous.expires_at);
            previous.secret.public_key().map(|key| PublishedKey { key, expires_at })
        });
        let keys: Box<[PublishedKey]> = newest.into_iter().chain(previous).collect();
        match keys.is_empty() {
            true => self.0.remove(&endpoint.id),
            false => self.0.insert(endpoint.id, keys),
        };
    }

    pub fn remove(&mut self, id: EndpointId) {
        self.0.remove(&id);
    }

    /// Those that are valid at `now`, the newest first; none where there is no such endpoint.
    pub fn of(&self, id: EndpointId, now: UnixMillis) -> Vec<PublishedKey> {
        let keys = self.0.get(&id).map(|keys| &**keys).unwrap_or_default();
        keys.iter().filter(|key| key.expires_at.is_none_or(|at| at > now)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::domain::endpoint::MAX_VALID_SECRETS;
    use crate::domain::ids::OrganizationId;
    use crate::domain::secret::{Secret, SecretKind};

    const NOW: UnixMillis = UnixMillis(1_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_endpoints_keys_are_there_while_they_sign_and_secrets_never_are() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut made = |kind| Secret::generate_of(kind, &mut rng);
        let (first, second) = (made(SecretKind::Ed25519), made(SecretKind::Ed25519));
        let shown = |keys: &PublicKeys, now| -> Vec<String> {
            keys.of(EndpointId(1), now).iter().map(|published| published.key.to_string()).collect()
        };
        let mut endpoint =
            Endpoint::new(EndpointId(1), OrganizationId(1), "https://a.example", first.clone(), NOW);
        let mut keys = PublicKeys::default();
        keys.upsert(&endpoint);
        assert_eq!(shown(&keys, NOW), [first.shown()]);
        endpoint.rotate(second.clone(), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        keys.upsert(&endpoint);
        assert_eq!(shown(&keys, NOW), [second.shown(), first.shown()]);
        assert_eq!(shown(&keys, NOW + HOUR), [second.shown()]);
        endpoint.rotate(made(SecretKind::Hmac), HOUR, MAX_VALID_SECRETS, NOW).unwrap();
        keys.upsert(&endpoint);
        assert_eq!(shown(&keys, NOW), [second.shown(), first.shown()]);
        assert_eq!(shown(&keys, NOW + HOUR), [""; 0]);
        keys.remove(EndpointId(1));
        assert_eq!(shown(&keys, NOW), [""; 0]);
    }
}
