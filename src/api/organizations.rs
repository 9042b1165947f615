//! `/v1/organizations`: tenants, managed with the admin key.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::input::{self, Errors, JsonFields};
use super::line::Line;
use super::pagination::{List, QueryString};
use super::problem::Problem;
use super::{Api, path_id};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Organization;

const WHAT: &str = "organization";

/// `POST /v1/organizations {name}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let organization = create_from(&api, &body).await?;
    let location = format!("/v1/organizations/{}", organization.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(organization))
}

/// Creates the organization that the body describes.
pub(crate) async fn create_from(api: &web::Data<Api>, body: &[u8]) -> Result<Organization, Problem> {
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(body, &mut errors)?;
    let name = fields.require("name", &mut errors, input::name);
    fields.finish(&mut errors);
    errors.into_result()?;
    let organization = Organization {
        id: OrganizationId(api.engine.next_id()),
        name: name.unwrap_or_default(),
        created_at: api.engine.now(),
    };
    let id = organization.id;
    let created = Api::change_by(api, Line::Admin, id, move |_, store| {
        store.create_organization(&organization)?;
        Ok(organization)
    });
    created.await
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
    query.finish(&mut errors);
    errors.into_result()?;
    let rows = api.read(Line::Admin, move |store| store.organizations(page.request())).await?;
    Ok(page.list(rows, |row| row.id.0, |row| row))
}

/// `GET /v1/organizations/{id}`.
pub(crate) async fn read(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let id: OrganizationId = path_id(&request, "organization_id", WHAT)?;
    Ok(HttpResponse::Ok().json(find(&api, Line::Admin, id).await?))
}

/// `DELETE /v1/organizations/{id}`: with everything that it owns.
pub(crate) async fn delete(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let id: OrganizationId = path_id(&request, "organization_id", WHAT)?;
    remove(&api, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes an organization with everything that it owns. Its data is inaccessible at once, and removed from the
/// database in the background.
pub(crate) async fn remove(api: &web::Data<Api>, id: OrganizationId) -> Result<(), Problem> {
    let now = api.engine.now();
    let deleted = Api::change_by(api, Line::Admin, id, move |api, store| {
        let deleted = store.delete_organization(id, now);
        // also when it failed: it may have been committed
        api.keys.forget_organization(id);
        api.sessions.forget_organization(id);
        if deleted? { Ok(()) } else { Err(Problem::no_such(WHAT)) }
    });
    deleted.await
}

/// Reads an organization that a path names.
pub(crate) async fn find(api: &Api, by: Line, id: OrganizationId) -> Result<Organization, Problem> {
    api.read(by, move |store| store.organization(id)).await?.ok_or_else(|| Problem::no_such(WHAT))
}
