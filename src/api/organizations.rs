//! `/v1/organizations`: tenants, managed with the admin key.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::input::{self, Errors, Fields};
use super::pagination::Query;
use super::problem::Problem;
use super::{Api, path_id};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Organization;

const WHAT: &str = "organization";

/// `POST /v1/organizations {name}`.
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let mut errors = Errors::new();
    let mut fields = Fields::parse(&body, &mut errors)?;
    let name = fields.require("name", &mut errors, input::name);
    fields.finish(&mut errors);
    errors.into_result()?;
    let organization = Organization {
        id: OrganizationId(api.engine.next_id()),
        name: name.unwrap_or_default(),
        created_at: api.engine.now(),
    };
    let stored = organization.clone();
    api.store(move |store| store.create_organization(&stored)).await?;
    let location = format!("/v1/organizations/{}", organization.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(organization))
}

/// `GET /v1/organizations`.
pub async fn list(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    let mut query = Query::parse(request.query_string(), &mut errors);
    let page = query.page(&mut errors);
    query.finish(&mut errors);
    errors.into_result()?;
    let rows = api.store(move |store| store.organizations(page.request())).await?;
    Ok(HttpResponse::Ok().json(page.answer(rows, |row| row.id.0, |row| row)))
}

/// `GET /v1/organizations/{id}`.
pub async fn read(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let id: OrganizationId = path_id(&request, "organization_id", WHAT)?;
    Ok(HttpResponse::Ok().json(find(&api, id).await?))
}

/// `DELETE /v1/organizations/{id}`: with everything that it owns.
pub async fn delete(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let id: OrganizationId = path_id(&request, "organization_id", WHAT)?;
    let deleted = Api::change(&api, move |api, store| {
        let endpoint_ids = store.delete_organization(id)?.ok_or_else(|| Problem::no_such(WHAT))?;
        api.keys.forget_organization(id);
        api.engine.organization_deleted(id, &endpoint_ids);
        Ok(())
    });
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads an organization that a path names.
pub(super) async fn find(api: &Api, id: OrganizationId) -> Result<Organization, Problem> {
    api.store(move |store| store.organization(id)).await?.ok_or_else(|| Problem::no_such(WHAT))
}
