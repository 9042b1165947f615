//! What happens around every request: the counter, and a net under the handlers.

use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};
use futures_util::FutureExt;

use super::problem::{ErrorCode, Problem};
use crate::telemetry::HttpRequestServed;

/// Counts answers by route, method and status. The label of the route is the pattern of the table.
pub async fn count_requests<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let method = request.method().clone();
    let answer = next.call(request).await;
    let (route, status) = match &answer {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    HttpRequestServed { route: route.as_deref(), method: method.as_str(), status: status.as_u16() }.emit();
    answer
}

/// Answers 500 when a handler panics: the worker thread and its other requests live on.
pub async fn catch_panic(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let kept = request.request().clone();
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!(route = kept.match_pattern(), "a handler panicked");
            let problem = Problem::new(ErrorCode::Internal, ErrorCode::Internal.help());
            Ok(ServiceResponse::new(kept, problem.error_response()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, test, web};

    async fn panics() -> HttpResponse {
        panic!("as a test of what catches it");
    }

    #[actix_web::test]
    async fn a_handler_that_panics_is_answered_with_500_and_the_next_request_is_served() {
        let route = web::get().to(panics).wrap(from_fn(catch_panic));
        let app = App::new().route("/panics", route).route("/works", web::get().to(HttpResponse::Ok));
        let service = test::init_service(app.wrap(from_fn(count_requests))).await;
        let request = test::TestRequest::get().uri("/panics").to_request();
        let answer = test::call_service(&service, request).await;
        assert_eq!(answer.status().as_u16(), 500);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
        let request = test::TestRequest::get().uri("/works").to_request();
        assert_eq!(test::call_service(&service, request).await.status().as_u16(), 200);
    }
}
