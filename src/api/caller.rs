//! Who calls, and for which organization.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use subtle::ConstantTimeEq;

use super::Api;
use super::key_text::hash_key;
use super::line::Line;
use super::lookup_cache::{CacheAnswer, Credential, KnownKey, LookupCache};
use super::problem::{ErrorCode, Problem};
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{OrganizationRef, Role};
use crate::store::{Store, StoreResult};

/// Names the organization in which a key of the deployment acts.
pub(crate) const ORGANIZATION_HEADER: &str = "ringback-organization";
/// How long to wait for the store to find a key. It is one row by an index: smaller would refuse callers of a busy
/// machine, larger would hold all of them while the database does not respond.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

/// Whose key the request has, and in which organization it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The admin key (`None`), or a key of the deployment with the role admin. It acts in no organization.
    Admin { key_id: Option<KeyId> },
    /// Another key of the deployment, which acts in no organization.
    Deployment { key_id: KeyId, role: Role },
    /// Whoever acts in an organization: with its own key, or with one of the deployment's and the header that names it. The
    /// admin key has no id.
    Key { organization_id: OrganizationId, key_id: Option<KeyId>, role: Role },
}

impl Caller {
    /// The admin key, which acts in no organization.
    pub(crate) const ADMIN: Self = Self::Admin { key_id: None };

    pub(crate) fn is_admin(&self) -> bool {
        matches!(self, Self::Admin { .. })
    }

    pub(crate) fn organization_id(&self) -> Option<OrganizationId> {
        match *self {
            Self::Admin { .. } | Self::Deployment { .. } => None,
            Self::Key { organization_id, .. } => Some(organization_id),
        }
    }

    /// `None` for the admin key.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        match *self {
            Self::Admin { key_id } | Self::Key { key_id, .. } => key_id,
            Self::Deployment { key_id, .. } => Some(key_id),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match *self {
            Self::Admin { .. } => Role::Admin,
            Self::Deployment { role, .. } | Self::Key { role, .. } => role,
        }
    }
}

impl From<&Caller> for Line {
    fn from(caller: &Caller) -> Self {
        caller.organization_id().map_or(Self::Admin, Self::Organization)
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
        let organization_id = request.extensions().get::<Caller>().and_then(Caller::organization_id);
        // missing on a tenant route that is not registered with a tenant permission
        let missing = || Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
        std::future::ready(organization_id.map(Self).ok_or_else(missing))
    }
}

/// Finds out who sends a request.
pub(super) async fn find_caller(api: &web::Data<Api>, request: &HttpRequest) -> Result<Caller, Problem> {
    let hash = bearer(request).map(hash_key).ok_or_else(|| {
        let detail = match request.headers().contains_key(header::AUTHORIZATION) {
            true => "the header Authorization is not of the form Bearer <key>",
            false => "no API key; send the header Authorization: Bearer <key>",
        };
        Problem::new(ErrorCode::Unauthorized, detail)
    })?;
    let address = address(request);
    let caller = caller_of(api, hash, address).await?;
    match named_organization(request)? {
        Some(name) => acting_in(api, caller, name, address).await,
        None => Ok(caller),
    }
}

fn named_organization(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all(ORGANIZATION_HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = "two headers Ringback-Organization: send the one that names the organization";
        return Err(Problem::new(ErrorCode::BadRequest, detail));
    }
    // others can't name anything
    Ok(Some(value.to_str().unwrap_or_default().trim()))
}

/// A caller who names an organization: keys of the deployment act in it with their role, others must belong to it.
async fn acting_in(api: &web::Data<Api>, caller: Caller, name: &str, address: IpAddr) -> Result<Caller, Problem> {
    let organization_id = resolve_organization(api, name, address).await?;
    match caller.organization_id() {
        Some(own) if own == organization_id => Ok(caller),
        Some(_) => Err(Problem::no_such("organization")),
        None => Ok(Caller::Key { organization_id, key_id: caller.key_id(), role: caller.role() }),
    }
}

/// The organization with this id, or this id of the publisher's own, as this node knows it: it hears of changes of other nodes
/// within milliseconds, and believes nothing for longer than a second.
async fn resolve_organization(
    api: &web::Data<Api>,
    name: &str,
    address: IpAddr,
) -> Result<OrganizationId, Problem> {
    let version = api.engine.names_version();
    if api.names_version.load(Ordering::Acquire) != version {
        // in this order: nobody who sees the new version finds what is older
        api.organizations.forget_everything();
        api.names_version.store(version, Ordering::Release);
    }
    let unknown = || Problem::no_such("organization");
    let parsed: OrganizationRef = name.parse().map_err(|()| unknown())?;
    let read = move |store: &dyn Store| Ok(store.resolve_organization(&parsed)?.map(KnownOrganization));
    let found = look_up(api, &api.organizations, hash_key(name), address, read).await?;
    found.map(|KnownOrganization(id)| id).ok_or_else(unknown)
}

/// An organization that a name stood for a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownOrganization(OrganizationId);

impl Credential for KnownOrganization {
    // one that is made now can be named now
    const REMEMBERS_UNKNOWN: bool = false;

    fn owner(&self) -> Line {
        self.0.into()
    }
}

/// Where a request comes from.
pub(crate) fn address(request: &HttpRequest) -> IpAddr {
    // absent where a test calls the service without a server
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// Whose key has this hash, for a request from this address that names no organization.
pub(crate) async fn caller_of(api: &web::Data<Api>, hash: [u8; 32], address: IpAddr) -> Result<Caller, Problem> {
    if api.admin_key_hash.is_some_and(|admin| bool::from(admin.ct_eq(&hash))) {
        return Ok(Caller::ADMIN);
    }
    let now = api.engine.now();
    let read = move |store: &dyn Store| Ok(store.key_by_hash(&hash)?.as_ref().map(KnownKey::from));
    let found = look_up(api, &api.keys, hash, address, read).await?;
    let Some(key) = found.filter(|key| key.expires_at.is_none_or(|at| now < at)) else {
        return Err(Problem::new(ErrorCode::Unauthorized, "this API key is unknown, expired or revoked"));
    };
    if !key.is_use_noted(now) && api.keys.note_use(&hash, now) {
        note_use(api, &key);
    }
    let KnownKey { organization_id, key_id, role, .. } = key;
    Ok(match organization_id {
        Some(organization_id) => Caller::Key { organization_id, key_id: Some(key_id), role },
        None if role == Role::Admin => Caller::Admin { key_id: Some(key_id) },
        None => Caller::Deployment { key_id, role },
    })
}

/// Writes down that a key is used. Nobody waits for it; what fails is written with the next use.
fn note_use(api: &web::Data<Api>, key: &KnownKey) {
    let (api, line, key_id, now) = (api.clone(), key.owner(), key.key_id, api.engine.now());
    actix_web::rt::spawn(async move {
        let noted = async {
            let pass = api.turn(&api.turns.key_uses, line).await?;
            api.ask(KEY_PATIENCE, pass, move |store| store.note_key_used(key_id, now)).await
        };
        if let Err(problem) = noted.await {
            tracing::debug!(problem = problem.detail(), "the use of a key was not noted");
        }
    });
}

/// Asks the store what a token stands for. One that was valid a moment ago waits in its owner's line, any other in that of
/// the address that it comes from, at a gate of its own: a flood of unknown keys keeps only its own address waiting.
pub(crate) async fn look_up<C: Credential + Send + 'static>(
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
        cache.insert(hash, found.clone(), generation, now);
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
