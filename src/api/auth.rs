//! Authentication and authorization. The only place where roles and organizations are enforced: a middleware around
//! every route of the table.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::problem::{ErrorCode, Problem};
use super::{Api, path_id};
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Role};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

/// Makes a key findable in leaked text.
const KEY_PREFIX: &str = "rbk_";
/// The length of the stored prefix, by which a key is recognized; 8 of its characters are from the 43 random ones.
const SHOWN_PREFIX_LENGTH: usize = 12;
/// How long a key is cached without asking the store. A key that another node revoked works for this long: the contract
/// allows 1 s.
const CACHE_TTL: Duration = Duration::from_millis(900);
/// How long to wait for the store to find a key. It is one row by an index: smaller would refuse callers of a busy
/// machine, larger would hold all of them while the database does not respond.
const KEY_PATIENCE: Duration = Duration::from_secs(5);
/// The most cached keys; above it, keys cost a read of the store each.
const CACHE_CAPACITY: usize = 10_000;

/// What a route requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing.
    Open,
    /// The admin key.
    Admin,
    /// The admin key, or an owner of the organization in the path.
    Keys,
    /// Publishing events.
    Publish,
    /// Reading what the organization has.
    Read,
    /// Changing it.
    Manage,
}

impl Permission {
    /// The roles that have it.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Open => &Role::ALL,
            Self::Admin => &[],
            Self::Keys => &[Role::Owner],
            Self::Publish => &[Role::Publisher, Role::Owner],
            Self::Read => &[Role::Viewer, Role::Manager, Role::Owner],
            Self::Manage => &[Role::Manager, Role::Owner],
        }
    }

    fn admin(self) -> bool {
        matches!(self, Self::Open | Self::Admin | Self::Keys)
    }

    /// Admits the caller or returns the error. `path_organization` is the organization in the path, if there is one.
    pub(crate) fn check(self, caller: &Caller, path_organization: Option<OrganizationId>) -> Result<(), Problem> {
        let (organization_id, role) = match *caller {
            Caller::Admin if self.admin() => return Ok(()),
            Caller::Admin => {
                let detail = "the admin key belongs to no organization; use a key of the organization, made with \
                              POST /v1/organizations/{id}/keys";
                return Err(Problem::new(ErrorCode::Forbidden, detail));
            }
            Caller::Key { organization_id, role, .. } => (organization_id, role),
        };
        // before the role: callers must not learn which other organizations exist
        if self == Self::Keys && path_organization != Some(organization_id) {
            return Err(Problem::no_such("organization"));
        }
        if self.roles().contains(&role) {
            return Ok(());
        }
        let roles: Vec<&str> = self.roles().iter().map(|role| role.as_str()).collect();
        let needed = match roles.as_slice() {
            [] => "the admin key".to_owned(),
            roles => format!("a key with the role {}", roles.join(" or ")),
        };
        let detail = format!("this key has the role {}; the call needs {needed}", role.as_str());
        Err(Problem::new(ErrorCode::Forbidden, detail))
    }
}

/// Whose key the request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The deployment's admin key.
    Admin,
    /// A key of an organization.
    Key { organization_id: OrganizationId, key_id: KeyId, role: Role },
}

/// The caller's organization, for handlers of tenant routes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenant(pub OrganizationId);

impl FromRequest for Tenant {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(match request.extensions().get::<Caller>() {
            Some(&Caller::Key { organization_id, .. }) => Ok(Self(organization_id)),
            // a tenant route that is not registered with a tenant permission
            _ => Err(Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())),
        })
    }
}

/// The middleware around a route: finds the caller and checks the permission before the handler runs.
pub(crate) async fn authorize(
    permission: Permission,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if permission == Permission::Open {
        return next.call(request).await;
    }
    match admit(permission, request.request()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

async fn admit(permission: Permission, request: &HttpRequest) -> Result<Caller, Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::new(ErrorCode::Internal, ErrorCode::Internal.help()))?;
    let caller = find_caller(api, request).await?;
    let path_organization = match permission {
        Permission::Keys => Some(path_id(request, "organization_id", "organization")?),
        _ => None,
    };
    permission.check(&caller, path_organization)?;
    Ok(caller)
}

async fn find_caller(api: &Api, request: &HttpRequest) -> Result<Caller, Problem> {
    let hash = bearer(request).map(hash_key).ok_or_else(|| {
        let detail = match request.headers().contains_key(header::AUTHORIZATION) {
            true => "the header Authorization is not of the form Bearer <key>",
            false => "no API key; send the header Authorization: Bearer <key>",
        };
        Problem::new(ErrorCode::Unauthorized, detail)
    })?;
    caller_of(api, hash).await
}

/// Whose key has this hash.
pub(crate) async fn caller_of(api: &Api, hash: [u8; 32]) -> Result<Caller, Problem> {
    if api.admin_key_hash.is_some_and(|admin| bool::from(admin.ct_eq(&hash))) {
        return Ok(Caller::Admin);
    }
    let now = api.engine.now();
    let known = match api.keys.get(&hash, now) {
        Some(known) => Some(known),
        None => {
            let generation = api.keys.generation();
            let key = api.store(move |store| store.key_by_hash(&hash));
            let key = super::within(KEY_PATIENCE, key).await??;
            key.map(|key| api.keys.insert(&key, generation, now))
        }
    };
    match known {
        Some(KnownKey { organization_id, key_id, role, expires_at }) if expires_at.is_none_or(|at| now < at) => {
            Ok(Caller::Key { organization_id, key_id, role })
        }
        _ => Err(Problem::new(ErrorCode::Unauthorized, "this API key is unknown, expired or revoked")),
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// How a key is stored and found.
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key: the text that is shown once, and its stored prefix.
pub(crate) fn generate_key(rng: &mut impl Rng) -> (Secret, String) {
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(bytes.as_mut());
    let key = format!("{KEY_PREFIX}{}", BASE64URL_NOPAD.encode(bytes.as_ref()));
    let prefix = key.chars().take(SHOWN_PREFIX_LENGTH).collect();
    (Secret::new(key), prefix)
}

/// Keys that were recently found in the store. Bounded; forgets a key at once when it is revoked here, and after
/// `CACHE_TTL` when it was revoked elsewhere. Unknown keys are not cached.
#[derive(Default)]
pub(crate) struct KeyCache {
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    keys: HashMap<[u8; 32], CachedKey>,
    /// Grows with every revocation: a key that was read before one must not be cached after it.
    generation: u64,
}

/// What every request needs to know about its key.
#[derive(Debug, Clone, Copy)]
struct KnownKey {
    organization_id: OrganizationId,
    key_id: KeyId,
    role: Role,
    expires_at: Option<UnixMillis>,
}

struct CachedKey {
    key: KnownKey,
    read_at: UnixMillis,
}

impl CachedKey {
    fn is_fresh(&self, now: UnixMillis) -> bool {
        // a clock that went back does not extend the time
        self.read_at <= now && now.since(self.read_at) < CACHE_TTL
    }
}

impl KeyCache {
    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, hash: &[u8; 32], now: UnixMillis) -> Option<KnownKey> {
        self.lock().keys.get(hash).filter(|cached| cached.is_fresh(now)).map(|cached| cached.key)
    }

    fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Caches a key that was read at `read_at`, unless one was revoked since `generation`.
    fn insert(&self, key: &ApiKey, generation: u64, read_at: UnixMillis) -> KnownKey {
        let known = KnownKey {
            organization_id: key.organization_id,
            key_id: key.id,
            role: key.role,
            expires_at: key.expires_at,
        };
        let mut state = self.lock();
        if state.generation != generation {
            return known;
        }
        if state.keys.len() >= CACHE_CAPACITY {
            state.keys.retain(|_, cached| cached.is_fresh(read_at));
            if state.keys.len() >= CACHE_CAPACITY {
                state.keys.clear();
            }
        }
        state.keys.insert(key.hash, CachedKey { key: known, read_at });
        known
    }

    /// Forgets a key that was revoked.
    pub(crate) fn forget(&self, hash: &[u8; 32]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

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

    #[test]
    fn every_role_may_do_exactly_what_the_contract_says() {
        use Permission::{Admin, Keys, Manage, Publish, Read};
        let may = |role| {
            let caller = Caller::Key { organization_id: OrganizationId(1), key_id: KeyId(1), role };
            let own = Some(OrganizationId(1));
            [Admin, Keys, Publish, Read, Manage].map(|permission| permission.check(&caller, own).is_ok())
        };
        assert_eq!(may(Role::Publisher), [false, false, true, false, false]);
        assert_eq!(may(Role::Viewer), [false, false, false, true, false]);
        assert_eq!(may(Role::Manager), [false, false, false, true, true]);
        assert_eq!(may(Role::Owner), [false, true, true, true, true]);
        let admin = [Admin, Keys, Publish, Read, Manage].map(|p| p.check(&Caller::Admin, None).is_ok());
        assert_eq!(admin, [true, true, false, false, false]);
    }

    #[test]
    fn another_organizations_keys_are_not_found_for_any_role() {
        for role in Role::ALL {
            let caller = Caller::Key { organization_id: OrganizationId(1), key_id: KeyId(1), role };
            let problem = Permission::Keys.check(&caller, Some(OrganizationId(2))).unwrap_err();
            assert_eq!(problem.code(), ErrorCode::NotFound, "{role:?}");
        }
    }

    #[test]
    fn a_new_key_holds_256_random_bits_behind_its_prefix() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (first, prefix) = generate_key(&mut rng);
        let (second, _) = generate_key(&mut rng);
        assert_eq!(first.expose().len(), 4 + 43);
        assert!(first.expose().starts_with(&prefix) && prefix.len() == 12 && prefix.starts_with("rbk_"));
        assert!(first.expose() != second.expose());
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_revoked_or_a_second_old() {
        let cache = KeyCache::default();
        cache.insert(&key(1), cache.generation(), NOW);
        cache.insert(&key(2), cache.generation(), NOW);
        assert!(cache.get(&[1; 32], NOW).is_some());
        assert!(cache.get(&[1; 32], NOW + Duration::from_secs(1)).is_none());
        assert!(cache.get(&[1; 32], NOW - Duration::from_millis(1)).is_none());
        cache.forget(&[1; 32]);
        assert!(cache.get(&[1; 32], NOW).is_none());
        assert!(cache.get(&[2; 32], NOW).is_some());
        cache.forget_organization(OrganizationId(1));
        assert!(cache.get(&[2; 32], NOW).is_none());
    }

    #[test]
    fn a_key_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = KeyCache::default();
        let before = cache.generation();
        cache.forget(&[1; 32]);
        cache.insert(&key(1), before, NOW);
        assert!(cache.get(&[1; 32], NOW).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_capacity() {
        let cache = KeyCache::default();
        for number in 0..(CACHE_CAPACITY as u64 + 500) {
            let mut key = key(0);
            key.hash[..8].copy_from_slice(&number.to_be_bytes());
            cache.insert(&key, 0, NOW);
        }
        assert!(cache.lock().keys.len() <= CACHE_CAPACITY);
    }
}
