//! `/v1/organizations/{id}/keys`: an organization's API keys, managed with the admin key or by an owner.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::input::{self, Errors, JsonFields};
use super::line::Line;
use super::pagination::{List, QueryString};
use super::problem::Problem;
use super::{Api, NO_STORE, auth, organizations, path_id};
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Role};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMillis;

#[derive(Serialize)]
struct KeyView {
    id: KeyId,
    /// The key itself, only in the response to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    organization_id: OrganizationId,
    name: String,
    role: Role,
    prefix: String,
    created_at: UnixMillis,
    expires_at: Option<UnixMillis>,
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
        }
    }
}

/// `POST …/keys {name, role, expires_at?}`: the only response that contains the key.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let organization_id: OrganizationId = path_id(&request, "organization_id", "organization")?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let (key, text) = create_from(&api, Line::of(&request), organization_id, &body).await?;
    let location = format!("/v1/organizations/{organization_id}/keys/{}", key.id);
    let view = KeyView::new(key, Some(text.expose().to_owned()));
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).insert_header(NO_STORE).json(view))
}

/// Creates the key that the body describes. Returns it as stored, and the key itself.
pub(crate) async fn create_from(
    api: &web::Data<Api>,
    by: Line,
    organization_id: OrganizationId,
    body: &[u8],
) -> Result<(ApiKey, Secret), Problem> {
    let now = api.engine.now();
    let NewKey { name, role, expires_at } = NewKey::read(body, now)?;
    organizations::find(api, by, organization_id).await?;
    let (text, prefix) = auth::generate_key(&mut api.engine.rng());
    let key = ApiKey {
        id: KeyId(api.engine.next_id()),
        organization_id,
        name,
        role,
        hash: auth::hash_key(text.expose()),
        prefix,
        created_at: now,
        expires_at,
    };
    let created = Api::change_by(api, by, organization_id, move |_, store| {
        store.create_key(&key)?;
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
    fn read(body: &[u8], now: UnixMillis) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(body, &mut errors)?;
        let name = fields.require("name", &mut errors, input::name);
        let role = fields.require("role", &mut errors, read_role);
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

fn read_role(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Role> {
    let text = input::string(value, path, errors)?;
    let role = Role::parse(&text);
    if role.is_none() {
        errors.add(path, "must be one of publisher, viewer, manager, owner");
    }
    role
}

/// `GET …/keys`: without the keys themselves and without revoked ones.
pub(crate) async fn list(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let organization_id: OrganizationId = path_id(&request, "organization_id", "organization")?;
    let List { data, next_cursor } =
        page(&api, Line::of(&request), organization_id, request.query_string()).await?;
    let data: Vec<KeyView> = data.into_iter().map(|key| KeyView::new(key, None)).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor }))
}

/// The page of an organization's keys that a query string describes.
pub(crate) async fn page(
    api: &Api,
    by: Line,
    organization_id: OrganizationId,
    query: &str,
) -> Result<List<ApiKey>, Problem> {
    let mut errors = Errors::new();
    let mut query = QueryString::parse(query, &mut errors);
    let page = query.page(&mut errors);
    query.finish(&mut errors);
    errors.into_result()?;
    organizations::find(api, by, organization_id).await?;
    let rows = api.read(by, move |store| store.keys(organization_id, page.request())).await?;
    Ok(page.list(rows, |key| key.id.0, |key| key))
}

/// `DELETE …/keys/{key_id}`: the key stops working at once.
pub(crate) async fn revoke(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let organization_id: OrganizationId = path_id(&request, "organization_id", "organization")?;
    let id: KeyId = path_id(&request, "key_id", "key")?;
    revoke_key(&api, Line::of(&request), organization_id, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn revoke_key(
    api: &web::Data<Api>,
    by: Line,
    organization_id: OrganizationId,
    id: KeyId,
) -> Result<(), Problem> {
    let revoked = Api::change_by(api, by, organization_id, move |api, store| {
        // without an answer, which key it was is not known here
        let revoked = store.revoke_key(organization_id, id);
        let hash = revoked.inspect_err(|_| api.keys.forget_organization(organization_id))?;
        api.keys.forget(&hash.ok_or_else(|| Problem::no_such("key"))?);
        Ok(())
    });
    revoked.await
}
