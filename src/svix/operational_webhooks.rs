//! `/api/v1/operational-webhook/endpoint`: endpoints that are told about the caller's environment. They are those of the
//! application of the management environment that has its name.

use actix_web::{HttpRequest, HttpResponse, web};

use super::access::Access;
use super::endpoints::EndpointOut;
use super::error::SvixError;
use super::ids::{ApplicationName, EndpointName};
use super::page::{Order, Page, Query};
use super::{Svix, applications, endpoint_parts, endpoints};
use crate::api::Api;
use crate::api::audit::Author;
use crate::api::caller::address;
use crate::domain::organization::{OrganizationRef, OrganizationUid};
use crate::domain::svix::Environment;

/// The same caller in the application that is told about its environment, if there is one.
async fn there(
    request: &HttpRequest,
    api: &web::Data<Api>,
    svix: &Svix,
    access: Access,
) -> Result<Access, SvixError> {
    if access.environment.is_management() {
        return Err(SvixError::forbidden("nobody is told about the management environment itself"));
    }
    let uid = OrganizationUid::of_environment(&access.environment);
    let name = ApplicationName::Ours(OrganizationRef::Uid(uid));
    let environment = Environment::management();
    let application = svix.applications.find(api, address(request), &environment, name).await?;
    Ok(Access { environment, application, ..access })
}

/// The same, where the application is made if there is none.
async fn made_there(
    request: &HttpRequest,
    api: &web::Data<Api>,
    svix: &Svix,
    author: &Author,
    access: Access,
) -> Result<Access, SvixError> {
    let about = access.environment.clone();
    let found = there(request, api, svix, access).await?;
    if found.application.is_some() {
        return Ok(found);
    }
    match applications::add_listener(api, author, &about).await {
        Ok(()) => {}
        // somebody else made it at the same moment
        Err(error) if error.is_conflict() => {}
        Err(error) => return Err(error),
    }
    there(request, api, svix, Access { environment: about, ..found }).await
}

/// `GET /api/v1/operational-webhook/endpoint`.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    if access.application.is_some() {
        return endpoints::list(request, access, api).await;
    }
    let mut query = Query::parse(request.query_string());
    let page: Page<EndpointName> = query.page(Order::Descending);
    query.finish()?;
    let none = page.list(
        Vec::new(),
        |id: &EndpointName| *id,
        |EndpointName(id)| EndpointOut::deleted(id, None, api.engine().now()),
    );
    Ok(HttpResponse::Ok().json(none))
}

/// `POST /api/v1/operational-webhook/endpoint`.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = made_there(&request, &api, &svix, &author, access).await?;
    endpoints::create(request, payload, access, author, api, svix).await
}

/// `GET /api/v1/operational-webhook/endpoint/{endpoint}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoints::read(request, access, api).await
}

/// `PUT /api/v1/operational-webhook/endpoint/{endpoint}`.
pub(super) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = made_there(&request, &api, &svix, &author, access).await?;
    endpoints::put(request, payload, access, author, api, svix).await
}

/// `DELETE /api/v1/operational-webhook/endpoint/{endpoint}`.
pub(super) async fn delete(
    request: HttpRequest,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoints::delete(request, access, author, api).await
}

/// `GET /api/v1/operational-webhook/endpoint/{endpoint}/secret`.
pub(super) async fn read_secret(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoint_parts::read_secret(request, access, api).await
}

/// `POST /api/v1/operational-webhook/endpoint/{endpoint}/secret/rotate`.
pub(super) async fn rotate_secret(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoint_parts::rotate_secret(request, payload, access, author, api, svix).await
}

/// `GET /api/v1/operational-webhook/endpoint/{endpoint}/headers`.
pub(super) async fn read_headers(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoint_parts::read_headers(request, access, api).await
}

/// `PUT /api/v1/operational-webhook/endpoint/{endpoint}/headers`.
pub(super) async fn put_headers(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let access = there(&request, &api, &svix, access).await?;
    endpoint_parts::put_headers(request, payload, access, author, api).await
}
