//! What happens around every request: the counter, and a net under the handlers.

use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};
use futures_util::FutureExt;

use super::problem::{ErrorCode, Problem};

/// Counts answers by route, method and status. Labels are from closed sets: the table's patterns, the usual
/// methods.
pub async fn count_requests<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let method = method_label(request.method());
    let answer = next.call(request).await;
    let (route, status) = match &answer {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let route = route.unwrap_or_else(|| "other".to_owned());
    let status = status.as_u16().to_string();
    metrics::counter!("ringback_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
    answer
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
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
