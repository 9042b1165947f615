//! Authentication and authorization. The only place where roles and organizations are enforced: a middleware around
//! every route of the table.

use std::net::{IpAddr, Ipv4Addr};
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

use super::line::Line;
use super::lookup_cache::{CacheAnswer, Credential, KnownKey, LookupCache};
use super::problem::{ErrorCode, Problem};
use super::{Api, path_id};
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::Role;
use crate::domain::secret::Secret;
use crate::store::{Store, StoreResult};

/// Makes a key findable in leaked text.
const KEY_PREFIX: &str = "rbk_";
/// The length of the stored prefix, by which a key is recognized; 8 of its characters are from the 43 random ones.
const SHOWN_PREFIX_LENGTH: usize = 12;
/// How long to wait for the store to find a key. It is one row by an index: smaller would refuse callers of a busy
/// machine, larger would hold all of them while the database does not respond.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

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

impl From<&Caller> for Line {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::Admin => Self::Admin,
            Caller::Key { organization_id, .. } => Self::Organization(*organization_id),
        }
    }
}

impl Line {
    /// The line of this request, once its caller is known.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Caller>().map_or_else(|| Self::Address(address(request)), Self::from)
    }
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
    caller_of(api, hash, address(request)).await
}

/// Where a request comes from.
pub(crate) fn address(request: &HttpRequest) -> IpAddr {
    // absent where a test calls the service without a server
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// Whose key has this hash, for a request from this address.
pub(crate) async fn caller_of(api: &Api, hash: [u8; 32], address: IpAddr) -> Result<Caller, Problem> {
    if api.admin_key_hash.is_some_and(|admin| bool::from(admin.ct_eq(&hash))) {
        return Ok(Caller::Admin);
    }
    let now = api.engine.now();
    let read = move |store: &dyn Store| Ok(store.key_by_hash(&hash)?.as_ref().map(KnownKey::from));
    match look_up(api, &api.keys, hash, address, read).await? {
        Some(KnownKey { organization_id, key_id, role, expires_at }) if expires_at.is_none_or(|at| now < at) => {
            Ok(Caller::Key { organization_id, key_id, role })
        }
        _ => Err(Problem::new(ErrorCode::Unauthorized, "this API key is unknown, expired or revoked")),
    }
}

/// Asks the store what a token stands for. One that was valid a moment ago waits in its owner's line, any other in that of
/// the address that it comes from, at a gate of its own: a flood of unknown keys keeps only its own address waiting.
pub(super) async fn look_up<C: Credential + Send + 'static>(
    api: &Api,
    cache: &LookupCache<C>,
    hash: [u8; 32],
    address: IpAddr,
    read: impl FnOnce(&dyn Store) -> StoreResult<Option<C>> + Send + 'static,
) -> Result<Option<C>, Problem> {
    let line = match cache.get(&hash, api.engine.now()) {
        CacheAnswer::Known(known) => return Ok(Some(known)),
        CacheAnswer::Unknown => return Ok(None),
        CacheAnswer::Ask { line } => line,
    };
    let asked = async {
        let pass = match line {
            Some(line) => api.turn(&api.turns.known_keys, line).await?,
            None => api.turn(&api.turns.new_keys, Line::Address(address)).await?,
        };
        // another request with the same token may have asked meanwhile
        let now = api.engine.now();
        match cache.get(&hash, now) {
            CacheAnswer::Known(known) => return Ok(Some(known)),
            CacheAnswer::Unknown => return Ok(None),
            CacheAnswer::Ask { .. } => {}
        }
        let generation = cache.generation();
        let found = api.ask(KEY_PATIENCE, pass, read).await?;
        cache.insert(hash, found, generation, now);
        Ok(found)
    };
    super::within(KEY_PATIENCE, asked).await?
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

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
}
