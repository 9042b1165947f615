//! `/v1/organizations/{id}/sign-in-links`: doors to the dashboard for a product's customers.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;
use url::Url;

use super::auth::PathOrganization;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::input::{self, Errors, JsonFields};
use super::key_text::hash_key;
use super::line::Line;
use super::problem::{ErrorCode, Problem};
use super::sessions::{self, token};
use super::{Api, NO_STORE};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Role;
use crate::domain::session::{SignIn, SignInLink, Visitor};
use crate::domain::time::UnixMillis;
use crate::store::LinkUse;

/// The contract's.
const LIFETIME_SECONDS: RangeInclusive<u64> = 10..=604_800;
const USUAL_LIFETIME: Duration = Duration::from_secs(300);
const MAX_URL_CHARACTERS: usize = 2_048;
/// Those that can open the dashboard.
const ROLES: [Role; 3] = [Role::Viewer, Role::Manager, Role::Owner];

#[derive(Serialize)]
struct LinkView {
    url: String,
    expires_at: UnixMillis,
}

/// `POST …/sign-in-links {role?, expires_in_seconds?, return_url?, name?}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    organization: PathOrganization,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let PathOrganization(organization_id) = organization;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let NewLink { visitor, lifetime } = NewLink::read(&body)?;
    let expires_at = api.engine.now() + lifetime;
    let url = create_link(&api, &request, organization_id, visitor, lifetime).await?;
    Ok(HttpResponse::Created().insert_header(NO_STORE).json(LinkView { url, expires_at }))
}

/// The longest time that a link may wait to be opened.
pub(crate) fn longest_lifetime() -> Duration {
    Duration::from_secs(*LIFETIME_SECONDS.end())
}

/// Makes a link that opens the dashboard once, and returns its URL.
pub(crate) async fn create_link(
    api: &web::Data<Api>,
    request: &HttpRequest,
    organization_id: OrganizationId,
    visitor: Visitor,
    lifetime: Duration,
) -> Result<String, Problem> {
    let (token, now) = (token(&mut api.engine.rng()), api.engine.now());
    let link = SignInLink { token_hash: hash_key(&token), organization_id, visitor, expires_at: now + lifetime };
    let url = format!("{}/sign-in?link={token}", base(api, request)?);
    let by = Line::of(request);
    Api::change_by(api, by, organization_id, move |_, store| Ok(store.create_link(&link, now)?)).await?;
    Ok(url)
}

/// Where browsers reach the dashboard: what the operator says, or where this request came to.
fn base(api: &Api, request: &HttpRequest) -> Result<String, Problem> {
    if let Some(url) = &api.options.public_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let connection = request.connection_info();
    let address = format!("{}://{}", connection.scheme(), connection.host());
    // whoever calls can send what is no host
    let is_whole = |url: &Url| url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let url = web_address(&address).filter(is_whole);
    url.map(|url| url.origin().ascii_serialization()).ok_or_else(|| {
        let detail = "the header Host, or X-Forwarded-Host, names no host: send the one that browsers use, or let the operator set \
                      portal.public_url";
        Problem::new(ErrorCode::BadRequest, detail)
    })
}

struct NewLink {
    visitor: Visitor,
    lifetime: Duration,
}

impl NewLink {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(input::or_empty_object(body), &mut errors)?;
        let role = fields.read("role", &mut errors, read_role).into_option().unwrap_or(Role::Manager);
        let seconds =
            fields.read("expires_in_seconds", &mut errors, input::whole_number(LIFETIME_SECONDS)).into_option();
        let return_url = fields.read("return_url", &mut errors, read_url).into_option();
        let name = fields.read("name", &mut errors, input::name).into_option();
        fields.finish(&mut errors);
        errors.into_result()?;
        let lifetime = seconds.map_or(USUAL_LIFETIME, Duration::from_secs);
        Ok(Self { visitor: Visitor { role, name, return_url }, lifetime })
    }
}

fn read_role(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Role> {
    let text = input::string(value, path, errors)?;
    let role = Role::parse(&text).filter(|role| ROLES.contains(role));
    if role.is_none() {
        errors.add(path, "must be one of viewer, manager, owner");
    }
    role
}

/// It becomes a link of a page: nothing but a web address may be in it.
fn read_url(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let text = input::string_of_length(1..=MAX_URL_CHARACTERS)(value, path, errors)?;
    let url = web_address(&text);
    if url.is_none() {
        errors.add(path, "must be an address that begins with https:// or http://, without a user name");
    }
    url.map(String::from)
}

/// Without a name and password, which are nobody else's business.
fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    (is_web && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Whether a page may link to it.
pub(crate) fn is_web_address(text: &str) -> bool {
    web_address(text).is_some()
}

/// What became of a link that was opened.
pub(crate) enum Entry {
    /// A session began.
    Begun { token: String, return_url: Option<String> },
    /// It opens nothing (any more).
    Refused { return_url: Option<String> },
}

/// Uses a link up and begins its session.
pub(crate) async fn enter(api: &web::Data<Api>, token: &str, address: IpAddr) -> Result<Entry, Problem> {
    let (hash, now) = (hash_key(token), api.engine.now());
    let line = Line::Address(address);
    let used = Api::change_by(api, line, line.id(), move |_, store| Ok(store.use_link(&hash, now)?)).await?;
    match used {
        LinkUse::First(link) => {
            let SignInLink { organization_id, visitor, .. } = link;
            let return_url = visitor.return_url.clone();
            let began_with = SignIn::Link(Arc::new(visitor));
            Ok(Entry::Begun { token: sessions::begin(api, Some(organization_id), began_with).await?, return_url })
        }
        LinkUse::Refused(link) => {
            tracing::warn!(
                target: "ringback::dashboard", organization = %link.organization_id, from = %address,
                "a sign-in link was refused: it was used before, or is over"
            );
            Ok(Entry::Refused { return_url: link.visitor.return_url })
        }
        LinkUse::Unknown => {
            // anybody can ask for any
            tracing::debug!(target: "ringback::dashboard", from = %address, "there is no such sign-in link");
            Ok(Entry::Refused { return_url: None })
        }
    }
}
