//! `/v1/catalogue/event-types`: the event types of all organizations, which the operator manages.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::Api;
use super::audit::Author;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::event_type_definitions::{self as definitions, Definer};
use super::event_types::name_in;
use super::input::Errors;
use super::line::Line;
use super::offered_types::{OfferedType, catalogue_of};
use super::pagination::{List, QueryString};
use super::problem::Problem;
use crate::domain::event_types::CATALOGUE;

/// The types of the catalogue, archived ones too.
pub(crate) async fn all(api: &Api) -> Result<Vec<OfferedType>, Problem> {
    let defined = api.read(Line::Admin, |store| store.own_event_types(CATALOGUE)).await?;
    Ok(catalogue_of(api, defined))
}

/// `GET /v1/catalogue/event-types`: all of them on one page, archived ones too.
pub(crate) async fn list(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    Ok(HttpResponse::Ok().json(List { data: all(&api).await?, next_cursor: None }))
}

/// `GET /v1/catalogue/event-types/{name}`.
pub(crate) async fn read(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let name = name_in(&request);
    let found = all(&api).await?.into_iter().find(|event_type| event_type.name == name);
    Ok(HttpResponse::Ok().json(found.ok_or_else(definitions::no_such)?))
}

/// `POST /v1/catalogue/event-types {name, description?, schema?, sample?, archived?}`.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let event_type = definitions::create(&api, Definer::catalogue(author), body.bytes.clone()).await?;
    let location = format!("/v1/catalogue/event-types/{}", event_type.name);
    let view = OfferedType::defined(event_type);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(view))
}

/// `PUT /v1/catalogue/event-types/{name}`: what is not given is as in a new one.
pub(crate) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let name = name_in(&request);
    let (event_type, is_new) =
        definitions::put(&api, Definer::catalogue(author), name, body.bytes.clone()).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(OfferedType::defined(event_type)))
}

/// `PATCH /v1/catalogue/event-types/{name}`: only what is given.
pub(crate) async fn patch(
    request: HttpRequest,
    payload: web::Payload,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let name = name_in(&request);
    let event_type = definitions::patch(&api, Definer::catalogue(author), name, body.bytes.clone()).await?;
    Ok(HttpResponse::Ok().json(OfferedType::defined(event_type)))
}

/// `DELETE /v1/catalogue/event-types/{name}`.
pub(crate) async fn delete(
    request: HttpRequest,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    definitions::remove(&api, Definer::catalogue(author), name_in(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}
