//! Whatever went wrong, wherever: the response has the shape that the libraries read.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};

use super::error::SvixError;
use crate::api::problem::Problem;

/// The middleware around the whole API. What is no browser may ask what it may do as well, and whom all pages may call says so to
/// everybody.
pub(super) async fn in_shape(
    is_for_all_origins: bool,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let asks = request.method() == Method::OPTIONS && !request.headers().contains_key(header::ORIGIN);
    let mut response = match asks {
        true => request.into_response(HttpResponse::Ok().finish()),
        false => shaped(next.call(request).await)?,
    };
    if is_for_all_origins && !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(response)
}

fn shaped(
    answer: Result<ServiceResponse<impl MessageBody + 'static>, Error>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = answer.map_err(|error| match error.as_error::<SvixError>() {
        Some(_) => error,
        None => other(&error).into(),
    })?;
    let response = answer.map_into_boxed_body();
    let Some(error) = in_its_place(response.response()) else { return Ok(response) };
    let (request, old) = response.into_parts();
    let mut new = error.error_response();
    // of the layers between, such as what a browser may do
    for (name, value) in old.headers() {
        let is_of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !is_of_body && !new.headers().contains_key(name) {
            new.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(ServiceResponse::new(request, new))
}

/// What is sent instead of a response; `None` when that has the shape already.
fn in_its_place(response: &HttpResponse) -> Option<SvixError> {
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return None;
    }
    if let Some(error) = response.error().filter(|error| error.as_error::<SvixError>().is_none()) {
        return Some(other(error));
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    (!is_json).then(|| SvixError::of_status(response.status()))
}

fn other(error: &Error) -> SvixError {
    match error.as_error::<Problem>() {
        Some(problem) => problem.clone().into(),
        None => SvixError::of_status(error.as_response_error().status_code()),
    }
}
