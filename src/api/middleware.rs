//! Wraps every request: its id, the counter, the log line, and a handler for panics.

use std::panic::AssertUnwindSafe;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::caller::Caller;
use super::problem::{ErrorCode, Problem};
use super::request_id::{RequestIds, X_REQUEST_ID};
use crate::telemetry::HttpRequestServed;

/// Gives every response an `x-request-id`, which a problem repeats, counts it by route, method and status, and writes
/// the line of the access log. The label of the route is the pattern in the table.
pub async fn observe(
    ids: RequestIds,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begin = Instant::now();
    let id = ids.of(request.headers());
    let method = request.method().clone();
    let answer = next.call(request).await;
    match answer {
        Ok(response) => {
            let mut response = named(response, &id);
            served(&response, &method, &id, begin);
            response.headers_mut().insert(X_REQUEST_ID, id);
            Ok(response)
        }
        // from a service before the routes; the request went with it
        Err(error) => {
            let mut response = error.error_response();
            HttpRequestServed {
                route: None,
                method: method.as_str(),
                status: response.status().as_u16(),
                path: "",
                duration: begin.elapsed(),
                ended_at: Instant::now().into_std(),
                bytes: None,
                has_key: false,
                organization_id: None,
                key_id: None,
                request_id: id.to_str().unwrap_or_default(),
            }
            .emit();
            response.headers_mut().insert(X_REQUEST_ID, id);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// Adds the request's id to a problem.
fn named(response: ServiceResponse<BoxBody>, id: &HeaderValue) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    // ids are visible ASCII
    let Some(body) = problem.map(|problem| problem.body(id.to_str().ok())) else { return response };
    response.map_body(|_, _| BoxBody::new(body))
}

fn served(response: &ServiceResponse<BoxBody>, method: &Method, id: &HeaderValue, begin: Instant) {
    let ended_at = Instant::now();
    let request = response.request();
    let caller = request.extensions().get::<Caller>().copied();
    HttpRequestServed {
        route: request.match_pattern().as_deref(),
        method: method.as_str(),
        status: response.status().as_u16(),
        path: request.path(),
        duration: ended_at.duration_since(begin),
        ended_at: ended_at.into_std(),
        bytes: length(response.response().body().size()),
        has_key: caller.is_some(),
        organization_id: caller.and_then(|caller| caller.organization_id()),
        key_id: caller.and_then(|caller| caller.key_id()),
        request_id: id.to_str().unwrap_or_default(),
    }
    .emit();
}

fn length(size: BodySize) -> Option<u64> {
    match size {
        BodySize::None => Some(0),
        BodySize::Sized(bytes) => Some(bytes),
        BodySize::Stream => None,
    }
}

/// Responds with 500 when a handler panics: the worker thread and its other requests continue.
pub(crate) async fn catch_panic(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let kept = request.request().clone();
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!(route = kept.match_pattern(), "a handler panicked");
            let problem = Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
            Ok(ServiceResponse::new(kept, problem.into_response()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, test, web};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    async fn panics() -> HttpResponse {
        panic!("as a test of what catches it");
    }

    #[actix_web::test]
    async fn a_panicking_handler_responds_with_500_and_the_next_request_is_served() {
        let route = web::get().to(panics).wrap(from_fn(catch_panic));
        let app = App::new().route("/panics", route).route("/works", web::get().to(HttpResponse::Ok));
        let ids = RequestIds::new(&mut SmallRng::seed_from_u64(1));
        let observe = from_fn(move |request, next| observe(ids.clone(), request, next));
        let service = test::init_service(app.wrap(observe)).await;
        let request = test::TestRequest::get().uri("/panics").to_request();
        let answer = test::call_service(&service, request).await;
        assert_eq!(answer.status().as_u16(), 500);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
        let request = test::TestRequest::get().uri("/works").to_request();
        assert_eq!(test::call_service(&service, request).await.status().as_u16(), 200);
    }
}
