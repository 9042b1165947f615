//! `/v1/organizations/{id}/keys`: an organization's API keys, managed with the admin key or by an owner. `/v1/keys`: those of the
//! deployment.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;

use super::audit::{Author, view};
use super::auth::PathOrganization;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::input::{self, Errors, JsonFields};
use super::line::Line;
use super::pagination::{List, RequestedPage};
use super::problem::Problem;
use super::{Api, NO_STORE, key_text, organizations, path_id};
use crate::domain::audit::AuditAction;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Role};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;
use crate::store::PageRequest;

#[derive(Serialize)]
struct KeyView {
    id: KeyId,
    /// The key itself, only in the response to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `null` for a key of the deployment.
    organization_id: Option<OrganizationId>,
    name: String,
    role: Role,
    prefix: String,
    created_at: UnixMillis,
    expires_at: Option<UnixMillis>,
    last_used_at: Option<UnixMillis>,
}

impl KeyView {
    fn new(key: ApiKey, text: Option<String>) -> Self {
        Self {
            id: key.id,
            key: text,
            organization_id: key.organization_id,
            name: key.name,
            role: key.role,
            prefix: key.prefix,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// `POST …/keys {name, role, expires_at?}`: the only response that contains the key.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    organization: PathOrganization,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let PathOrganization(organization_id) = organization;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let (key, text) = create_from(&api, &author, Some(organization_id), &body).await?;
    Ok(created(format!("/v1/organizations/{organization_id}/keys/{}", key.id), key, &text))
}

/// `POST /v1/keys {name, role, expires_at?}`: the same for a key of the deployment.
pub(crate) async fn create_for_deployment(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let (key, text) = create_from(&api, &author, None, &body).await?;
    Ok(created(format!("/v1/keys/{}", key.id), key, &text))
}

fn created(location: String, key: ApiKey, text: &Secret) -> HttpResponse {
    let view = KeyView::new(key, Some(text.expose().to_owned()));
    HttpResponse::Created().insert_header((header::LOCATION, location)).insert_header(NO_STORE).json(view)
}

/// Whose line changes of these keys wait in.
fn line_of(owner: Option<OrganizationId>) -> Line {
    owner.map_or(Line::Admin, Line::from)
}

/// Creates the key that the body describes, of an organization or (`None`) of the deployment. Returns it as stored, and the
/// key itself.
pub(crate) async fn create_from(
    api: &web::Data<Api>,
    by: &Author,
    owner: Option<OrganizationId>,
    body: &[u8],
) -> Result<(ApiKey, Secret), Problem> {
    let now = api.engine.now();
    let roles: &[Role] = if owner.is_some() { &Role::ALL } else { &Role::OF_DEPLOYMENT };
    let NewKey { name, role, expires_at } = NewKey::read(body, roles, now)?;
    if let Some(organization_id) = owner {
        organizations::find(api, by.line, organization_id).await?;
    }
    let (text, prefix) = key_text::generate_key(&mut api.engine.rng());
    let key = ApiKey {
        id: KeyId(api.engine.next_id()),
        organization_id: owner,
        name,
        role,
        hash: key_text::hash_key(text.expose()),
        prefix,
        created_at: now,
        expires_at,
        last_used_at: None,
    };
    let views = [None, view(&KeyView::new(key.clone(), None))];
    let entry = by.entry(api, owner, AuditAction::KeyCreated, key.id, views);
    let created = Api::change_by(api, by.line, line_of(owner).id(), move |_, store| {
        store.recording(entry).create_key(&key)?;
        Ok((key, text))
    });
    created.await
}

struct NewKey {
    name: String,
    role: Role,
    expires_at: Option<UnixMillis>,
}

impl NewKey {
    fn read(body: &[u8], roles: &[Role], now: UnixMillis) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(body, &mut errors)?;
        let name = fields.require("name", &mut errors, input::name);
        let role =
            fields.require("role", &mut errors, |value, path, errors| read_role(value, roles, path, errors));
        let expires_at = fields.read("expires_at", &mut errors, |value, path, errors| {
            let instant = input::instant(value, path, errors)?;
            if instant <= now {
                errors.add(path, "must be in the future");
                return None;
            }
            Some(instant)
        });
        fields.finish(&mut errors);
        errors.into_result()?;
        let (Some(name), Some(role)) = (name, role) else {
            // a required field that is missing is among the errors
            return Err(Problem::input(Vec::new()));
        };
        Ok(Self { name, role, expires_at: expires_at.into_option() })
    }
}

fn read_role(value: &RawValue, roles: &[Role], path: &str, errors: &mut Errors) -> Option<Role> {
    let text = input::string(value, path, errors)?;
    let role = Role::parse(&text).filter(|role| roles.contains(role));
    if role.is_none() {
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        errors.add(path, format!("must be one of {}", names.join(", ")));
    }
    role
}

/// `GET …/keys`: without the keys themselves and without revoked ones.
pub(crate) async fn list(
    request: HttpRequest,
    organization: PathOrganization,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let page = page(&api, Line::of(&request), Some(organization.0), request.query_string()).await?;
    Ok(HttpResponse::Ok().json(views(page)))
}

/// `GET /v1/keys`: the same for those of the deployment.
pub(crate) async fn list_of_deployment(
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(views(page(&api, Line::Admin, None, request.query_string()).await?)))
}

fn views(List { data, next_cursor }: List<ApiKey>) -> List<KeyView> {
    List { data: data.into_iter().map(|key| KeyView::new(key, None)).collect(), next_cursor }
}

/// The page of an organization's or (`None`) the deployment's keys that a query string describes.
pub(crate) async fn page(
    api: &Api,
    by: Line,
    owner: Option<OrganizationId>,
    query: &str,
) -> Result<List<ApiKey>, Problem> {
    let page = RequestedPage::of_query(query)?;
    if let Some(organization_id) = owner {
        organizations::find(api, by, organization_id).await?;
    }
    let rows = api.read(by, move |store| store.keys(owner, page.request())).await?;
    Ok(page.list(rows, |key| key.id.0, |key| key))
}

/// `DELETE …/keys/{key_id}`: the key stops working at once.
pub(crate) async fn revoke(
    request: HttpRequest,
    organization: PathOrganization,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: KeyId = path_id(&request, "key_id", "key")?;
    revoke_key(&api, &author, Some(organization.0), id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /v1/keys/{key_id}`: the same for a key of the deployment.
pub(crate) async fn revoke_of_deployment(
    request: HttpRequest,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: KeyId = path_id(&request, "key_id", "key")?;
    revoke_key(&api, &author, None, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn revoke_key(
    api: &web::Data<Api>,
    by: &Author,
    owner: Option<OrganizationId>,
    id: KeyId,
) -> Result<(), Problem> {
    let (line, by) = (by.line, by.clone());
    let revoked = Api::change_by(api, line, line_of(owner).id(), move |api, store| {
        let newest = PageRequest { before_id: Some(id.0.saturating_add(1)), limit: 1 };
        let known = store.keys(owner, newest)?.pop().filter(|key| key.id == id);
        let views = [known.and_then(|key| view(&KeyView::new(key, None))), None];
        // without an answer, which key it was is not known here
        let revoked =
            store.recording(by.entry(api, owner, AuditAction::KeyRevoked, id, views)).revoke_key(owner, id);
        let hash = revoked.inspect_err(|_| api.keys.forget_all_of(line_of(owner)))?;
        api.keys.forget(&hash.ok_or_else(|| Problem::no_such("key"))?);
        Ok(())
    });
    revoked.await
}
