//! `/v1/event-types`: the event types that can be published and asked for, and an organization's own.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::Api;
use super::audit::Author;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::caller::Tenant;
use super::event_type_definitions::{self as definitions, Definer};
use super::input::Errors;
use super::offered_types::{OfferedType, TypeOrigin, all_of, find};
use super::pagination::QueryString;
use super::problem::Problem;
use crate::domain::event_types::OPERATIONAL;

/// The types that can be published, on one page, and separately those that the engine publishes.
#[derive(Serialize)]
struct EventTypesView {
    data: Vec<OfferedType>,
    operational: Vec<OfferedType>,
    next_cursor: Option<String>,
}

/// `GET /v1/event-types`: all of them on one page.
pub(crate) async fn list(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    let operational = OPERATIONAL.iter().map(|event_type| OfferedType::ours(event_type, TypeOrigin::Operational));
    let view = EventTypesView {
        data: all_of(&api, organization_id).await?,
        operational: operational.collect(),
        next_cursor: None,
    };
    Ok(HttpResponse::Ok().json(view))
}

/// `GET /v1/event-types/{name}`: archived ones and operational events too.
pub(crate) async fn read(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let found = find(&api, organization_id, &name_in(&request)).await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(definitions::no_such)?))
}

/// `POST /v1/event-types {name, description?, schema?, sample?, archived?}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let definer = Definer::organization(organization_id, author);
    let event_type = definitions::create(&api, definer, body.bytes.clone()).await?;
    let location = format!("/v1/event-types/{}", event_type.name);
    let view = OfferedType::defined(event_type);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(view))
}

/// The name in the path.
pub(super) fn name_in(request: &HttpRequest) -> String {
    request.match_info().get("event_type").unwrap_or_default().to_owned()
}

/// `PUT /v1/event-types/{name}`: what is not given is as in a new one.
pub(crate) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let (name, definer) = (name_in(&request), Definer::organization(organization_id, author));
    let (event_type, is_new) = definitions::put(&api, definer, name, body.bytes.clone()).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(OfferedType::defined(event_type)))
}

/// `PATCH /v1/event-types/{name}`: only what is given.
pub(crate) async fn patch(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let (name, definer) = (name_in(&request), Definer::organization(organization_id, author));
    let event_type = definitions::patch(&api, definer, name, body.bytes.clone()).await?;
    Ok(HttpResponse::Ok().json(OfferedType::defined(event_type)))
}

/// `DELETE /v1/event-types/{name}`: webhooks that are subscribed to it by name stay so.
pub(crate) async fn delete(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    definitions::remove(&api, Definer::organization(organization_id, author), name_in(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}
