//! `/v1/organizations`: tenants, managed with the admin key.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Api;
use super::audit::{Author, view};
use super::auth::path_organization;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::events::{REPLAYED, read_idempotency_key};
use super::input::{self, Errors, FieldValue, JsonFields, MAX_NAME};
use super::key_text::hash_key;
use super::line::Line;
use super::pagination::{List, QueryString};
use super::problem::{ErrorCode, Problem};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{
    BodyShape, Metadata, Organization, OrganizationChange, OrganizationUid, UidError,
};
use crate::domain::svix::Environment;
use crate::store::{Creation, CreationKey, Store, StoreError};

const WHAT: &str = "organization";
/// How long a repeated request with the same idempotency key is answered with what the first one made (contract).
const CREATION_KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// `POST /v1/organizations {name, uid?, metadata?, body?}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let mut errors = Errors::new();
    let key = read_idempotency_key(request.headers(), &mut errors);
    errors.into_result()?;
    let Some(key) = key else { return Ok(created(&create_from(&api, &author, &body).await?)) };
    let organization = NewOrganization::read(&body)?.into_organization(&api);
    // in whatever order a client writes its fields
    let Organization { uid, name, metadata, body, .. } = &organization;
    let fields = (uid, name, metadata);
    // as it was before there was a body, so that a key from then is known
    let request = match body {
        BodyShape::Envelope => serde_json::to_vec(&fields),
        BodyShape::Verbatim => serde_json::to_vec(&(fields, body)),
    };
    let request = request.unwrap_or_default();
    let key = CreationKey {
        key: Sha256::digest(key.as_bytes()).into(),
        request: Sha256::digest(&request).into(),
        not_before: api.engine.now() - CREATION_KEY_LIFETIME,
    };
    let entry = creation(&api, &author, &organization);
    let made = Api::change_by(&api, Line::Admin, organization.id, move |_, store| {
        let store = store.recording(entry);
        let made = match store.create_organization_once(&organization, &key) {
            // by another node's use of the key, which is found now, or by the uid of another organization
            Err(StoreError::Conflict) => store.create_organization_once(&organization, &key),
            made => made,
        };
        Ok((made.map_err(|error| uid_is_taken(error, organization.uid.as_ref()))?, organization))
    });
    match made.await? {
        (Creation::Created, organization) => Ok(created(&organization)),
        (Creation::Known(organization), _) => {
            let mut response = created(&organization);
            let (name, value) = REPLAYED;
            response.headers_mut().insert(name, value);
            Ok(response)
        }
        (Creation::OtherRequest, _) => {
            Err(Problem::new(ErrorCode::IdempotencyKeyReused, ErrorCode::IdempotencyKeyReused.help()))
        }
    }
}

fn created(organization: &Organization) -> HttpResponse {
    let location = format!("/v1/organizations/{}", organization.id);
    HttpResponse::Created().insert_header((header::LOCATION, location)).json(organization)
}

/// A conflict of an organization is one of its own id.
fn uid_is_taken(error: StoreError, uid: Option<&OrganizationUid>) -> Problem {
    match (error, uid) {
        (StoreError::Conflict, Some(uid)) => {
            let detail = format!("another organization has the uid {uid}; GET /v1/organizations/{uid} shows it");
            Problem::new(ErrorCode::Conflict, detail)
        }
        (error, _) => error.into(),
    }
}

/// Creates the organization that the body describes.
pub(crate) async fn create_from(api: &web::Data<Api>, by: &Author, body: &[u8]) -> Result<Organization, Problem> {
    add(api, by, NewOrganization::read(body)?.into_organization(api)).await
}

/// Creates an organization.
pub(crate) async fn add(
    api: &web::Data<Api>,
    by: &Author,
    organization: Organization,
) -> Result<Organization, Problem> {
    let entry = creation(api, by, &organization);
    let made = Api::change_by(api, Line::Admin, organization.id, move |_, store| {
        let made = store.recording(entry).create_organization(&organization);
        made.map_err(|error| uid_is_taken(error, organization.uid.as_ref()))?;
        Ok(organization)
    });
    made.await
}

fn creation(api: &Api, by: &Author, organization: &Organization) -> AuditEntry {
    let views = [None, view(organization)];
    by.entry(api, Some(organization.id), AuditAction::OrganizationCreated, organization.id, views)
}

struct NewOrganization {
    name: String,
    uid: Option<OrganizationUid>,
    metadata: Metadata,
    body: BodyShape,
}

impl NewOrganization {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(body, &mut errors)?;
        let name = fields.require("name", &mut errors, input::name);
        let uid = fields.read("uid", &mut errors, read_uid);
        let metadata = fields.read("metadata", &mut errors, read_metadata);
        let body = fields.read("body", &mut errors, read_body_shape);
        fields.finish(&mut errors);
        errors.into_result()?;
        Ok(Self {
            body: body.into_option().unwrap_or_default(),
            // a required field that is missing is among the errors
            name: name.unwrap_or_default(),
            uid: uid.into_option(),
            metadata: metadata.into_option().unwrap_or_default(),
        })
    }

    /// The body of a get-or-create may be empty: its uid is in the path, and is the name of one without.
    fn read_with(uid: OrganizationUid, body: &[u8]) -> Result<Self, Problem> {
        let body = if body.is_empty() { b"{}" } else { body };
        let mut errors = Errors::new();
        let mut fields = JsonFields::parse(body, &mut errors)?;
        let name = fields.read("name", &mut errors, input::name);
        let metadata = fields.read("metadata", &mut errors, read_metadata);
        let shape = fields.read("body", &mut errors, read_body_shape);
        fields.refuse("uid", "it is in the path; PATCH changes it", &mut errors);
        fields.finish(&mut errors);
        errors.into_result()?;
        // the longest uid is longer than the longest name
        let name = name.into_option().unwrap_or_else(|| uid.as_str().chars().take(MAX_NAME).collect());
        let body = shape.into_option().unwrap_or_default();
        Ok(Self { name, uid: Some(uid), metadata: metadata.into_option().unwrap_or_default(), body })
    }

    fn into_organization(self, api: &Api) -> Organization {
        let Self { name, uid, metadata, body } = self;
        let id = OrganizationId(api.engine.next_id());
        Organization { uid, metadata, body, ..Organization::named(id, name, api.engine.now()) }
    }
}

fn read_uid(value: &RawValue, path: &str, errors: &mut Errors) -> Option<OrganizationUid> {
    let text = input::string(value, path, errors)?;
    text.parse().map_err(|error: UidError| errors.add(path, error.to_string())).ok()
}

fn read_body_shape(value: &RawValue, path: &str, errors: &mut Errors) -> Option<BodyShape> {
    let text = input::string(value, path, errors)?;
    let found = BodyShape::ALL.into_iter().find(|shape| shape.as_str() == text);
    if found.is_none() {
        errors.add(
            path,
            "must be envelope (receivers get event_type, timestamp, webhook_id and data) or verbatim (data alone)",
        );
    }
    found
}

fn read_metadata(value: &RawValue, path: &str, errors: &mut Errors) -> Option<Metadata> {
    let entries = JsonFields::nested(value, path, errors)?.into_entries();
    let mut pairs = BTreeMap::new();
    for (name, value) in entries {
        if name.is_empty() || name.contains('\0') {
            errors.add(path, "names must not be empty or contain a NUL character");
            return None;
        }
        let text = input::string(value, &format!("{path}.{name}"), errors)?;
        pairs.insert(name, text);
    }
    let metadata = Metadata::new(pairs);
    if metadata.is_none() {
        let (pairs, bytes) = (Metadata::MAX_PAIRS, Metadata::MAX_BYTES);
        errors.add(path, format!("may have {pairs} pairs, and {bytes} bytes of names and values together"));
    }
    metadata
}

/// `PUT /v1/organizations/{uid} {name?, metadata?, body?}`: creates it unless it is there. One that is there stays as it is.
pub(crate) async fn get_or_create(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let uid = match request.match_info().get("organization_id").unwrap_or_default().parse() {
        Ok(uid) => uid,
        // by our own id one can only be got
        Err(UidError::Prefix) => return read(request, api).await,
        Err(error) => {
            let mut errors = Errors::new();
            errors.add("uid", error.to_string());
            return Err(errors.into_result().err().unwrap_or_else(|| Problem::no_such(WHAT)));
        }
    };
    let organization = NewOrganization::read_with(uid, &body)?.into_organization(&api);
    // nearly always it is there
    let wanted = organization.uid.clone();
    let known = api.read(Line::Admin, move |store| match &wanted {
        Some(uid) => store.organization_by_uid(&Environment::default(), uid),
        None => Ok(None),
    });
    if let Some(known) = known.await? {
        // this node must not know better than its own answer
        forget_name(&api, organization.uid.as_ref());
        return Ok(HttpResponse::Ok().json(known));
    }
    let entry = creation(&api, &author, &organization);
    let made = Api::change_by(&api, Line::Admin, organization.id, move |_, store| {
        let uid = organization.uid.clone();
        match (store.recording(entry).create_organization(&organization), &uid) {
            (Ok(()), _) => Ok((organization, true)),
            // at the same moment somebody else made it
            (Err(StoreError::Conflict), Some(uid)) => {
                let known = store.organization_by_uid(&Environment::default(), uid)?;
                Ok((known.ok_or_else(|| uid_is_taken(StoreError::Conflict, Some(uid)))?, false))
            }
            (Err(error), _) => Err(error.into()),
        }
    });
    let made = made.await?;
    forget_name(&api, made.0.uid.as_ref());
    match made {
        (organization, true) => Ok(created(&organization)),
        (organization, false) => Ok(HttpResponse::Ok().json(organization)),
    }
}

fn forget_name(api: &Api, uid: Option<&OrganizationUid>) {
    if let Some(uid) = uid {
        api.organizations.forget(&hash_key(uid.as_str()));
    }
}

/// `PATCH /v1/organizations/{id} {name?, uid?, metadata?, body?}`: `null` takes the uid or the metadata away, and gives back the default body.
pub(crate) async fn update(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id = path_organization(&api, &request).await?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let changed = change(&api, &author, id, read_change(&body)?).await?;
    Ok(HttpResponse::Ok().json(changed))
}

/// Changes what is given of an organization.
pub(crate) async fn change(
    api: &web::Data<Api>,
    by: &Author,
    id: OrganizationId,
    change: OrganizationChange,
) -> Result<Organization, Problem> {
    let by = by.clone();
    let changed = Api::change_by(api, Line::Admin, id, move |api, store| {
        let known = store.organization(id)?.ok_or_else(|| Problem::no_such(WHAT))?;
        let mut wanted = known.clone();
        change.clone().apply(&mut wanted);
        let views = [view(&known), view(&wanted)];
        let entry = || by.entry(api, Some(id), AuditAction::OrganizationChanged, id, views);
        let recording = (wanted != known).then(|| store.recording(entry()));
        let store: &dyn Store = recording.as_deref().unwrap_or(store);
        let changed = store.update_organization(id, &change);
        // also when it failed: it may have been committed
        api.organizations.forget_all_of(id.into());
        let uid = change.uid.as_ref().and_then(Option::as_ref);
        forget_name(api, uid);
        let changed = changed.map_err(|error| uid_is_taken(error, uid))?;
        changed.ok_or_else(|| Problem::no_such(WHAT))
    });
    changed.await
}

fn read_change(body: &[u8]) -> Result<OrganizationChange, Problem> {
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(body, &mut errors)?;
    let name = fields.read("name", &mut errors, input::name);
    if name == FieldValue::Null {
        errors.add("name", "must not be null");
    }
    let uid = fields.read("uid", &mut errors, read_uid);
    let metadata = fields.read("metadata", &mut errors, read_metadata);
    let shape = fields.read("body", &mut errors, read_body_shape);
    fields.finish(&mut errors);
    errors.into_result()?;
    Ok(OrganizationChange {
        name: name.into_option(),
        uid: uid.given(),
        metadata: metadata.given().map(Option::unwrap_or_default),
        body: shape.given().map(Option::unwrap_or_default),
        ..OrganizationChange::default()
    })
}

/// `GET /v1/organizations`.
pub(crate) async fn list(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(page(&api, request.query_string()).await?))
}

/// The page of organizations that a query string describes.
pub(crate) async fn page(api: &Api, query: &str) -> Result<List<Organization>, Problem> {
    let mut errors = Errors::new();
    let mut query = QueryString::parse(query, &mut errors);
    let page = query.page(&mut errors);
    let only_failing = query.read("state", &mut errors, |text| match text {
        "failing" => Ok(()),
        _ => Err(String::from(
            "must be failing: organizations with a webhook that fails, also while it is paused for it",
        )),
    });
    query.finish(&mut errors);
    errors.into_result()?;
    let rows = api.read(Line::Admin, move |store| match only_failing {
        Some(()) => store.failing_organizations(page.request()),
        None => store.organizations(page.request()),
    });
    let rows = rows.await?;
    Ok(page.list(rows, |row| row.id.0, |row| row))
}

/// `GET /v1/organizations/{id}`.
pub(crate) async fn read(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let id = path_organization(&api, &request).await?;
    Ok(HttpResponse::Ok().json(find(&api, Line::Admin, id).await?))
}

/// `DELETE /v1/organizations/{id}`: with everything that it owns.
pub(crate) async fn delete(
    request: HttpRequest,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id = path_organization(&api, &request).await?;
    remove(&api, &author, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes an organization with everything that it owns. Its data is inaccessible at once, and removed from the
/// database in the background.
pub(crate) async fn remove(api: &web::Data<Api>, by: &Author, id: OrganizationId) -> Result<(), Problem> {
    let (now, by) = (api.engine.now(), by.clone());
    let deleted = Api::change_by(api, Line::Admin, id, move |api, store| {
        let views = [store.organization(id)?.as_ref().and_then(view), None];
        // its own log goes with it
        let store = store.recording(by.entry(api, None, AuditAction::OrganizationDeleted, id, views));
        let deleted = store.delete_organization(id, now);
        // also when it failed: it may have been committed
        api.keys.forget_all_of(id.into());
        api.sessions.forget_all_of(id.into());
        api.organizations.forget_all_of(id.into());
        if deleted? { Ok(()) } else { Err(Problem::no_such(WHAT)) }
    });
    deleted.await
}

/// Reads an organization that a path names.
pub(crate) async fn find(api: &Api, by: Line, id: OrganizationId) -> Result<Organization, Problem> {
    api.read(by, move |store| store.organization(id)).await?.ok_or_else(|| Problem::no_such(WHAT))
}
