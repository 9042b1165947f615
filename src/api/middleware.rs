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
