//! `/api/v1/app`: applications, which are organizations whose events have verbatim bodies.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::error::{InvalidField, SvixError};
use super::fields::{Patch, given};
use super::ids::{APPLICATION_PREFIX, ApplicationId, ApplicationName, shown_application};
use super::input::{Invalid, checked_metadata, checked_uid, read_json};
use super::page::{Page, Query};
use crate::api::audit::Author;
use crate::api::{Api, organizations};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{BodyShape, Metadata, Organization, OrganizationChange, OrganizationUid};
use crate::domain::sent_request::HeaderStyle;
use crate::domain::svix::Environment;
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;
use crate::store::DirectedPage;

/// What describes an application.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationIn {
    name: String,
    /// Newer libraries call it `throttleRate`.
    rate_limit: Option<u16>,
    throttle_rate: Option<u16>,
    uid: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationPatch {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default)]
    rate_limit: Patch<u16>,
    #[serde(default)]
    throttle_rate: Patch<u16>,
    #[serde(default)]
    uid: Patch<String>,
    #[serde(default)]
    metadata: Patch<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationOut {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<OrganizationUid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle_rate: Option<u16>,
    metadata: Metadata,
    created_at: UnixMillis,
    updated_at: UnixMillis,
}

impl From<Organization> for ApplicationOut {
    fn from(organization: Organization) -> Self {
        let id = shown_application(&organization);
        let Organization { uid, name, metadata, rate_limit, created_at, updated_at, .. } = organization;
        Self {
            id,
            name,
            uid,
            rate_limit,
            throttle_rate: rate_limit,
            metadata,
            created_at,
            updated_at: updated_at.unwrap_or(created_at),
        }
    }
}

/// What of an application is set.
#[derive(Clone)]
pub(super) struct ApplicationFields {
    name: String,
    rate_limit: Option<u16>,
    uid: Option<OrganizationUid>,
    metadata: Metadata,
    /// Of one that is made under the id that it had at Svix's server.
    svix_id: Option<SvixId>,
}

impl ApplicationIn {
    /// Checks everything; `invalid` has what was wrong before.
    pub(super) fn checked(
        self,
        environment: &Environment,
        mut invalid: Invalid,
    ) -> Result<ApplicationFields, SvixError> {
        check_name(&self.name, &mut invalid);
        let rate_limit = self.rate_limit.or(self.throttle_rate);
        invalid.check_rate(rate_limit);
        let uid = self.uid.and_then(|uid| checked_name(environment, &uid, &mut invalid));
        let metadata = checked_metadata(self.metadata.unwrap_or_default(), &mut invalid);
        invalid.into_result()?;
        Ok(ApplicationFields { name: self.name, rate_limit, uid, metadata, svix_id: None })
    }
}

/// In the management environment an application has the name of the environment that it is told about.
fn checked_name(environment: &Environment, uid: &str, invalid: &mut Invalid) -> Option<OrganizationUid> {
    match OrganizationUid::parse_in(environment, uid) {
        Ok(uid) if environment.is_management() && !uid.as_str().starts_with(APPLICATION_PREFIX) => Some(uid),
        _ => checked_uid(uid, &[APPLICATION_PREFIX], invalid),
    }
}

fn check_name(name: &str, invalid: &mut Invalid) {
    if name.is_empty() {
        invalid.add("name", "must have a character or more");
    }
    invalid.check_text("name", name);
}

impl ApplicationFields {
    fn into_organization(self, environment: Environment, api: &Api) -> Organization {
        let Self { name, rate_limit, uid, metadata, svix_id } = self;
        let id = OrganizationId(api.engine().next_id());
        Organization {
            uid,
            metadata,
            rate_limit,
            environment,
            body: BodyShape::Verbatim,
            header_style: HeaderStyle::Svix,
            svix_id,
            ..Organization::named(id, name, api.engine().now())
        }
    }
}

/// Creates an application.
async fn add(
    api: &web::Data<Api>,
    by: &Author,
    environment: &Environment,
    fields: ApplicationFields,
) -> Result<Organization, SvixError> {
    Ok(organizations::add(api, by, fields.into_organization(environment.clone(), api)).await?)
}

/// Creates the application of the management environment that is told about this one.
pub(super) async fn add_listener(api: &web::Data<Api>, by: &Author, about: &Environment) -> Result<(), SvixError> {
    let fields = ApplicationFields {
        name: format!("Operational webhooks of {about}"),
        rate_limit: None,
        uid: Some(OrganizationUid::of_environment(about)),
        metadata: Metadata::default(),
        svix_id: None,
    };
    add(api, by, &Environment::management(), fields).await?;
    Ok(())
}

/// The application in the path; else, if the body describes one whose `uid` is the name in the path, that one, made now.
pub(super) async fn found_or_made(
    request: &HttpRequest,
    api: &web::Data<Api>,
    by: &Author,
    access: &Access,
    described: Option<ApplicationIn>,
) -> Result<OrganizationId, SvixError> {
    let Some(described) = described else { return access.application().map(|application| application.id) };
    let fields = described.checked(&access.environment, Invalid::of_body())?;
    if let Ok(application) = access.application() {
        return Ok(application.id);
    }
    let name = request.match_info().get("app").unwrap_or_default();
    if fields.uid.as_ref().is_none_or(|uid| uid.as_str() != name) {
        let msg = "must be the name of the application in the path, which does not exist yet";
        let rule = if fields.uid.is_none() { "application_uid_missing" } else { "application_uid_mismatch" };
        return Err(SvixError::invalid(vec![InvalidField::of_type(rule, &["body", "application", "uid"], msg)]));
    }
    Ok(add(api, by, &access.environment, fields).await?.id)
}

/// `GET /api/v1/app`.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let page: Page<ApplicationId> = query.page(super::page::Order::Ascending);
    query.finish()?;
    let wanted = DirectedPage {
        behind: page.beyond().map(|ApplicationId(id)| id.0),
        is_ascending: page.fetched() == super::page::Order::Ascending,
        limit: page.rows(),
    };
    let environment = access.environment;
    let rows = api.read(access.line, move |store| store.organizations_of(&environment, wanted)).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |row| ApplicationId(row.id), ApplicationOut::from)))
}

/// `POST /api/v1/app`; with `?get_if_exists=true` one with that own id is got.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let gets = query.flag("get_if_exists");
    query.finish()?;
    let fields =
        read_json::<ApplicationIn>(&request, payload).await?.checked(&access.environment, Invalid::of_body())?;
    let known = |uid: OrganizationUid| {
        let (api, environment, line) = (api.clone(), access.environment.clone(), access.line);
        async move { api.read(line, move |store| store.organization_by_uid(&environment, &uid)).await }
    };
    let uid = fields.uid.clone().filter(|_| gets);
    if let Some(uid) = uid.clone()
        && let Some(found) = known(uid).await?
    {
        return Ok(HttpResponse::Ok().json(ApplicationOut::from(found)));
    }
    match (add(&api, &author, &access.environment, fields).await, uid) {
        (Ok(made), _) => Ok(HttpResponse::Created().json(ApplicationOut::from(made))),
        // somebody else made it at the same moment
        (Err(error), Some(uid)) if error.is_conflict() => match known(uid).await? {
            Some(found) => Ok(HttpResponse::Ok().json(ApplicationOut::from(found))),
            None => Err(error),
        },
        (Err(error), _) => Err(error),
    }
}

/// `GET /api/v1/app/{app}`.
pub(super) async fn read(access: Access, api: web::Data<Api>) -> Result<HttpResponse, SvixError> {
    let id = access.application()?.id;
    let found = organizations::find(&api, access.line, id).await?;
    Ok(HttpResponse::Ok().json(ApplicationOut::from(found)))
}

fn path_name(request: &HttpRequest, access: &Access) -> Option<ApplicationName> {
    ApplicationName::parse_in(&access.environment, request.match_info().get("app")?)
}

/// What the path names, by whatever name but our id; `None` when that is nothing.
async fn made_meanwhile(
    request: &HttpRequest,
    api: &web::Data<Api>,
    access: &Access,
) -> Result<Option<OrganizationId>, SvixError> {
    let name = path_name(request, access).ok_or_else(SvixError::not_found)?;
    let environment = access.environment.clone();
    let found = api.read(access.line, move |store| match &name {
        ApplicationName::Ours(name) => store.application(&environment, name),
        ApplicationName::OfSvix(id) => store.application_by_svix_id(&environment, id),
    });
    Ok(found.await?.map(|found| found.id))
}

/// `PUT /api/v1/app/{app}`: all of it, also of one that is not there yet. One that is made under an id of Svix's server keeps that.
pub(super) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut fields =
        read_json::<ApplicationIn>(&request, payload).await?.checked(&access.environment, Invalid::of_body())?;
    if let Some(ApplicationName::OfSvix(id)) = path_name(&request, &access) {
        fields.svix_id = Some(id);
    }
    let id = match access.application() {
        Ok(application) => application.id,
        Err(_) => match add(&api, &author, &access.environment, fields.clone()).await {
            Ok(made) => return Ok(HttpResponse::Created().json(ApplicationOut::from(made))),
            // somebody else made it at the same moment
            Err(error) if error.is_conflict() => {
                let taken = || SvixError::conflict("conflict", "another application has this uid");
                made_meanwhile(&request, &api, &access).await.map_err(|_| error)?.ok_or_else(taken)?
            }
            Err(error) => return Err(error),
        },
    };
    let ApplicationFields { name, rate_limit, uid, metadata, .. } = fields;
    let change = OrganizationChange {
        name: Some(name),
        uid: Some(uid),
        metadata: Some(metadata),
        rate_limit: Some(rate_limit),
        updated_at: Some(api.engine().now()),
        ..OrganizationChange::default()
    };
    let changed = organizations::change(&api, &author, id, change).await?;
    Ok(HttpResponse::Ok().json(ApplicationOut::from(changed)))
}

/// `PATCH /api/v1/app/{app}`.
pub(super) async fn patch(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let id = access.application()?.id;
    let patch: ApplicationPatch = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    if let Some(name) = &patch.name {
        check_name(name, &mut invalid);
    }
    let rate_limit = patch.rate_limit.given().or(patch.throttle_rate.given());
    invalid.check_rate(rate_limit.flatten());
    let uid =
        patch.uid.given().map(|uid| uid.and_then(|uid| checked_name(&access.environment, &uid, &mut invalid)));
    let metadata = patch.metadata.given().map(|pairs| checked_metadata(pairs.unwrap_or_default(), &mut invalid));
    invalid.into_result()?;
    let updated_at = Some(api.engine().now());
    let change =
        OrganizationChange { name: patch.name, uid, metadata, rate_limit, updated_at, ..Default::default() };
    let changed = organizations::change(&api, &author, id, change).await?;
    Ok(HttpResponse::Ok().json(ApplicationOut::from(changed)))
}

/// `DELETE /api/v1/app/{app}`: with everything that it has.
pub(super) async fn delete(
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    organizations::remove(&api, &author, access.application()?.id).await?;
    Ok(HttpResponse::NoContent().finish())
}
