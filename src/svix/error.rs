//! Errors in the shape that Svix's libraries read: `{"code", "detail"}`, and for invalid input
//! `{"detail": [{"loc", "msg", "type"}]}`.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use crate::api::problem::{ErrorCode, Problem};
use crate::domain::filter::FieldError;

/// Of a value that is wrong.
const VALUE_ERROR: &str = "value_error";
/// Words of our own API, and what they are called here.
const WORDS: &[(&str, &str)] = &[
    ("a webhook", "an endpoint"),
    ("webhook", "endpoint"),
    ("Webhook", "Endpoint"),
    ("organization", "application"),
    ("Organization", "Application"),
];

/// Begins the names of headers, which are not words.
const HEADER_PREFIX: &str = "webhook-";

/// An error response.
#[derive(Debug, Clone)]
pub(crate) struct SvixError {
    status: StatusCode,
    body: ErrorBody,
    allow: Option<String>,
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum ErrorBody {
    Plain { code: &'static str, detail: String },
    Input { detail: Vec<InvalidField> },
}

/// A field of the input that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InvalidField {
    /// From `body`, `query` or `path` down.
    pub loc: Vec<String>,
    pub msg: String,
    pub r#type: &'static str,
}

impl InvalidField {
    pub(crate) fn new(loc: &[&str], msg: impl Into<String>) -> Self {
        let loc = loc.iter().map(|&part| part.to_owned()).collect();
        Self { loc, msg: msg.into(), r#type: VALUE_ERROR }
    }

    /// The same with a type that says which rule it breaks.
    pub(crate) fn of_type(r#type: &'static str, loc: &[&str], msg: impl Into<String>) -> Self {
        Self { r#type, ..Self::new(loc, msg) }
    }
}

impl SvixError {
    fn plain(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let body = ErrorBody::Plain { code, detail: detail.into() };
        Self { status, body, allow: None, retry_after: None }
    }

    /// No token, or one that is not valid.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, "authentication_failed", detail)
    }

    /// What can't be done, as a valid token that says something impossible.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A token with too few rights.
    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::plain(StatusCode::FORBIDDEN, "insufficient access", detail)
    }

    /// A parameter of the query that can't be read.
    pub(crate) fn unreadable_query(detail: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "generic_error", detail)
    }

    /// Said of what belongs to others as of what is missing.
    pub(crate) fn not_found() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "not_found", "Entity not found")
    }

    /// There is no such route.
    pub(crate) fn no_such_route() -> Self {
        let detail = "there is no such route; the hosted service has more of them than its open-source server, and so than Ringback";
        Self::plain(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// The libraries add the path of the API themselves.
    pub(crate) fn doubled_base() -> Self {
        let detail =
            "there is no such route: the address of the server ends before /api/v1, which the library adds";
        Self::plain(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::plain(StatusCode::CONFLICT, code, detail)
    }

    pub(crate) fn not_implemented(detail: &str) -> Self {
        Self::plain(StatusCode::NOT_IMPLEMENTED, "not_implemented", detail)
    }

    /// The methods that a route has.
    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this route has the methods {allow}");
        let error = Self::plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { allow: Some(allow), ..error }
    }

    /// It can succeed after this time.
    pub(crate) fn try_again(detail: &str, after: Duration) -> Self {
        let error = Self::plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { retry_after: Some(after), ..error }
    }

    pub(crate) fn internal() -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "server_error", ErrorCode::Internal.help())
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(crate) fn is_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// All fields that are wrong.
    pub(crate) fn invalid(detail: Vec<InvalidField>) -> Self {
        let body = ErrorBody::Input { detail };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body, allow: None, retry_after: None }
    }

    /// What another layer answered with this status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNPROCESSABLE_ENTITY => Self::invalid(vec![InvalidField::new(&["body"], "can't be read")]),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(),
            status => Self::plain(status, "generic_error", status.canonical_reason().unwrap_or("Generic error")),
        }
    }
}

impl From<Problem> for SvixError {
    fn from(problem: Problem) -> Self {
        let (code, status) = (problem.code(), problem.code().status());
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            return Self::invalid(invalid_fields(&problem));
        }
        match code {
            ErrorCode::PayloadErased => return Self::bad_request("missing_payload", problem.detail()),
            ErrorCode::TooManySecrets => {
                return Self::bad_request("limit_reached", in_its_words(problem.detail()));
            }
            ErrorCode::NotFound => return Self::not_found(),
            _ => {}
        }
        // the libraries tell errors apart by their status
        let code = match status {
            StatusCode::UNAUTHORIZED => "authentication_failed",
            StatusCode::FORBIDDEN => "insufficient access",
            StatusCode::CONFLICT if code == ErrorCode::Conflict => "conflict",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            StatusCode::INTERNAL_SERVER_ERROR => "server_error",
            _ => code.as_str(),
        };
        Self { retry_after: problem.retry_after(), ..Self::plain(status, code, in_its_words(problem.detail())) }
    }
}

/// What our own API says, for who knows only this one: without hints at its routes.
fn in_its_words(text: &str) -> String {
    let parts: Vec<&str> = text.split("; ").filter(|part| !part.contains("/v1/")).collect();
    let text = parts.join("; ");
    // headers keep their names
    let pieces = text.split(HEADER_PREFIX);
    let pieces =
        pieces.map(|piece| WORDS.iter().fold(piece.to_owned(), |text, (ours, its)| text.replace(ours, its)));
    pieces.collect::<Vec<_>>().join(HEADER_PREFIX)
}

/// What is wrong according to a problem with an input.
pub(super) fn invalid_fields(problem: &Problem) -> Vec<InvalidField> {
    let field = |error: &FieldError| {
        let parts = error.field.split('.').filter(|part| !part.is_empty());
        let loc = std::iter::once("body").chain(parts).map(str::to_owned).collect();
        InvalidField { loc, msg: in_its_words(&error.message), r#type: VALUE_ERROR }
    };
    match problem.errors() {
        [] => vec![InvalidField::new(&["body"], in_its_words(problem.detail()))],
        errors => errors.iter().map(field).collect(),
    }
}

impl fmt::Display for SvixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            ErrorBody::Plain { code, detail } => write!(f, "{code}: {detail}"),
            ErrorBody::Input { detail } => write!(f, "{} fields are wrong", detail.len()),
        }
    }
}

impl ResponseError for SvixError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(after) = self.retry_after {
            // whole seconds, and not before the time has come
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
            response.insert_header((header::ALLOW, allow));
        }
        response.json(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::problem::InputError;
    use serde_json::{Value, json};

    async fn sent(error: SvixError) -> (u16, Option<String>, Value) {
        let response = error.error_response();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/json");
        let status = response.status().as_u16();
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        (status, retry_after, serde_json::from_slice(&body).unwrap())
    }

    #[actix_web::test]
    async fn every_problem_has_the_shape_that_the_libraries_read_and_keeps_its_status() {
        for code in ErrorCode::ALL {
            let (status, retry_after, body) = sent(Problem::new(*code, "what happened").into()).await;
            let expected = match code {
                ErrorCode::PayloadErased | ErrorCode::TooManySecrets => 400,
                code => code.status().as_u16(),
            };
            assert_eq!(status, expected);
            assert_eq!(retry_after.is_some(), matches!(status, 429 | 503), "{code:?}");
            match status {
                404 => assert_eq!(body, json!({"code": "not_found", "detail": "Entity not found"})),
                422 => {
                    let expected = json!([{"loc": ["body"], "msg": "what happened", "type": "value_error"}]);
                    assert_eq!(body, json!({"detail": expected}), "{code:?}");
                }
                _ => {
                    assert!(body["code"].as_str().is_some_and(|code| !code.is_empty()), "{code:?}");
                    assert_eq!(body["detail"], "what happened");
                }
            }
        }
    }

    #[test]
    fn nobody_is_told_of_words_and_routes_of_our_own_api() {
        let text = "another organization has the uid a; GET /v1/organizations/a shows it";
        assert_eq!(in_its_words(text), "another application has the uid a");
        assert_eq!(in_its_words("a webhook of Organization 1"), "an endpoint of Application 1");
    }

    #[actix_web::test]
    async fn each_wrong_field_of_a_problem_is_named_by_its_place() {
        let error = |field: &str, message: &str| InputError {
            code: ErrorCode::ValidationFailed,
            error: FieldError { field: field.to_owned(), message: message.to_owned() },
        };
        let problem = Problem::input(vec![error("url", "wrong"), error("headers.x-a", "reserved")]);
        let (status, _, body) = sent(problem.into()).await;
        assert_eq!(status, 422);
        assert_eq!(
            body,
            json!({"detail": [
                {"loc": ["body", "url"], "msg": "wrong", "type": "value_error"},
                {"loc": ["body", "headers", "x-a"], "msg": "reserved", "type": "value_error"},
            ]})
        );
    }
}
