//! Calls that Svix's open-source server has, and does not implement either.

use actix_web::HttpResponse;

use super::error::SvixError;

/// `POST /api/v1/auth/logout`.
pub(super) async fn logout() -> Result<HttpResponse, SvixError> {
    let detail = "a token can't be ended alone: it ends when its time is over, or with its application";
    Err(SvixError::not_implemented(detail))
}

/// `POST /api/v1/event-type/schema/generate-example`.
pub(super) async fn generate_example() -> Result<HttpResponse, SvixError> {
    let detail = "examples are not made up: put one into the schema, as `examples`";
    Err(SvixError::not_implemented(detail))
}
