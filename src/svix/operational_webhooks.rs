//! `/api/v1/operational-webhook/endpoint`: endpoints that are told about the caller's environment. They are those of the
//! application of the management environment that has its name, and their handlers those of all endpoints.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};

use super::access::Access;
use super::error::SvixError;
use super::ids::ApplicationName;
use super::{Svix, applications};
use crate::api::Api;
use crate::api::audit::Author;
use crate::api::caller::address;
use crate::domain::organization::{OrganizationRef, OrganizationUid};
use crate::domain::svix::{Application, Environment};

/// In front of these routes.
const PREFIX: &str = "/operational-webhook/";

/// What a call of one of these routes does where nobody is told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// It finds nothing.
    Goes,
    /// It makes the application, for the endpoint that it makes.
    Makes,
}

/// `None` for a route that is none of these.
pub(super) fn without_application(method: &Method, path: &str) -> Option<Without> {
    let rest = path.strip_prefix(PREFIX)?;
    let makes_endpoint = matches!((method.as_str(), rest), ("POST", "endpoint") | ("PUT", "endpoint/{endpoint}"));
    Some(if makes_endpoint { Without::Makes } else { Without::Goes })
}

/// The middleware around these routes, inside of the one that admits: from here on the call is one for the application that is
/// told about the caller's environment.
pub(super) async fn for_application(
    without: Without,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match enter(request.request(), without).await {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.call(request).await
        }
        Err(error) => Ok(request.error_response(error)),
    }
}

async fn enter(request: &HttpRequest, without: Without) -> Result<Access, SvixError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(SvixError::internal)?;
    let svix = request.app_data::<web::Data<Svix>>().ok_or_else(SvixError::internal)?;
    let access = Access::extract(request).await?;
    let about = &access.environment;
    if about.is_management() {
        return Err(SvixError::forbidden("nobody is told about the management environment itself"));
    }
    let mut application = told(request, api, svix, about).await?;
    if application.is_none() && without == Without::Makes {
        let author = Author::extract(request).await?;
        match applications::add_listener(api, &author, about).await {
            Ok(()) => {}
            // somebody else made it at the same moment
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        application = told(request, api, svix, about).await?;
    }
    Ok(Access { environment: Environment::management(), application, ..access })
}

/// The application that is told about an environment, if there is one.
async fn told(
    request: &HttpRequest,
    api: &web::Data<Api>,
    svix: &Svix,
    about: &Environment,
) -> Result<Option<Application>, SvixError> {
    let name = ApplicationName::Ours(OrganizationRef::Uid(OrganizationUid::of_environment(about)));
    svix.applications.find(api, address(request), &Environment::management(), name).await
}
