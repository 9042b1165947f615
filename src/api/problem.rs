//! Errors as `application/problem+json` (RFC 9457): the closed list of codes, and what each means for a client.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use tokio::time::Instant;

use crate::domain::filter::FieldError;
use crate::store::StoreError;
use crate::telemetry::StoreMissed;

/// How long a client should wait before it retries after a 503 or a 429, unless the problem says something else.
const RETRY_AFTER: Duration = Duration::from_secs(1);

macro_rules! error_codes {
    ($($variant:ident, $text:literal, $status:ident, $title:literal, $help:literal;)*) => {
        /// Every `code` that a response of the API can have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $help] $variant,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status that it comes with.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// A few words for a person; the same for every occurrence.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means and what to do about it, for the documentation.
            pub(crate) fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

error_codes! {
    BadRequest, "bad_request", BAD_REQUEST, "The request can't be read",
        "The request's body did not arrive whole or its framing is wrong. Send it again.";
    InvalidJson, "invalid_json", BAD_REQUEST, "The body is not JSON",
        "The body is not valid UTF-8 JSON; `detail` names the position.";
    OrganizationRequired, "organization_required", BAD_REQUEST, "Name the organization",
        "A key of the deployment belongs to no organization. Send the header `Ringback-Organization` with the id or uid of the \
         one that the call is for.";
    Unauthorized, "unauthorized", UNAUTHORIZED, "No valid API key",
        "The key is missing, unknown, expired or revoked. Send `Authorization: Bearer <key>`.";
    Forbidden, "forbidden", FORBIDDEN, "The key may not do this",
        "The key is valid, but its role does not allow this call; `detail` names the roles that do.";
    NotFound, "not_found", NOT_FOUND, "Not found",
        "There is no such route, or nothing with this id in the key's organization.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The route exists, but not with this method; the `Allow` header lists those that it has.";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT, "The body arrived too slowly",
        "The body did not arrive in time. Send it again over a faster connection.";
    Conflict, "conflict", CONFLICT, "Not in this state",
        "The object is not in a state that allows this, it exists already, or others changed it meanwhile; `detail` \
         says which.";
    PayloadErased, "payload_erased", CONFLICT, "The event's payload was erased",
        "The payload was erased at somebody's request and is stored nowhere any more: the event can't be sent again. Publish a new event if \
         receivers need it.";
    TooManySecrets, "too_many_secrets", CONFLICT, "Too many secrets are valid",
        "Five secrets of the webhook are valid already. Wait until one has ended; `detail` says when that is.";
    LimitReached, "limit_reached", CONFLICT, "The organization has as many as it may",
        "The organization has as many as this deployment allows; `detail` names the limit and what to do.";
    PayloadTooLarge, "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body exceeds the limit that `detail` names. Nothing was stored.";
    UnsupportedEncoding, "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not read",
        "Send the body without `Content-Encoding`.";
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "The input has errors",
        "`errors` names every field that is wrong and what it should be.";
    JsonTooDeep, "json_too_deep", UNPROCESSABLE_ENTITY, "The JSON nests too deep",
        "Arrays and objects may nest 128 deep.";
    HttpsRequired, "https_required", UNPROCESSABLE_ENTITY, "The URL must be https",
        "Webhooks are delivered over HTTPS only. Give a URL that begins with https://.";
    UrlForbidden, "url_forbidden", UNPROCESSABLE_ENTITY, "The URL is not allowed as a target",
        "The URL names an address, a name or a port that is not allowed as a target. Give a public one.";
    UnknownEventType, "unknown_event_type", UNPROCESSABLE_ENTITY, "No such event type",
        "The event type is not registered; GET /v1/event-types lists those that are.";
    ReservedEventType, "reserved_event_type", UNPROCESSABLE_ENTITY, "The event type can't be published",
        "Only the engine publishes operational events.";
    SchemaViolation, "schema_violation", UNPROCESSABLE_ENTITY, "The data does not fit its type's schema",
        "`data` does not fit the JSON Schema of the event type; `errors` names each place.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before",
        "The Idempotency-Key was used with another request within 24 hours. Use a new key for a new event.";
    InvalidCursor, "invalid_cursor", UNPROCESSABLE_ENTITY, "The cursor can't be read",
        "Use `next_cursor` of the previous page unchanged, for the same list.";
    TooManyRequests, "too_many_requests", TOO_MANY_REQUESTS, "Too much at once from one organization",
        "The organization asks for more than its share, or publishes more than it may. Nothing was done. Try again after `Retry-After`.";
    Internal, "internal_error", INTERNAL_SERVER_ERROR, "Something went wrong on our side",
        "An error of the engine. It is in the engine's log; the request may not have taken effect.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable",
        "The database does not respond or the engine is stopping. The request may still have taken effect. Try again after `Retry-After`.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "Too many events at once",
        "More events are waiting to be stored than the engine allows. Nothing was stored. Try again after `Retry-After`.";
}

/// An invalid field of an input, with the code of the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputError {
    /// [`ErrorCode::ValidationFailed`] unless the rule has its own.
    pub code: ErrorCode,
    /// Which field, and what to do about it.
    pub error: FieldError,
}

/// An error response.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ErrorCode,
    detail: String,
    errors: Vec<FieldError>,
    allow: Option<String>,
    retry_after: Duration,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    /// An error with words for this occurrence.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), allow: None, retry_after: RETRY_AFTER }
    }

    /// Nothing with this id in the organization: said of a foreign id as of a missing one.
    pub(crate) fn no_such(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no such {what}; check the id"))
    }

    /// The methods that a route has.
    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this route has the methods {allow}");
        Self { allow: Some(allow), ..Self::new(ErrorCode::MethodNotAllowed, detail) }
    }

    /// More than the organization's share: it can succeed after `retry_after`.
    pub(crate) fn too_many(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after, ..Self::new(ErrorCode::TooManyRequests, detail) }
    }

    /// All invalid fields. When all of them break the same rule, the response has that rule's code.
    pub(crate) fn input(errors: Vec<InputError>) -> Self {
        let first = errors.first().map_or(ErrorCode::ValidationFailed, |error| error.code);
        let same = errors.iter().all(|error| error.code == first);
        let code = if same { first } else { ErrorCode::ValidationFailed };
        let detail = match errors.as_slice() {
            [only] if only.error.field.is_empty() => only.error.message.clone(),
            [only] => format!("{}: {}", only.error.field, only.error.message),
            _ => format!("{} fields are wrong; see errors", errors.len()),
        };
        Self { errors: errors.into_iter().map(|error| error.error).collect(), ..Self::new(code, detail) }
    }

    /// As it is sent. The middleware, which knows the request's id, adds it.
    pub(crate) fn body(&self, request_id: Option<&str>) -> Vec<u8> {
        let body = ProblemBody {
            r#type: format!("urn:ringback:error:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            errors: &self.errors,
            request_id,
        };
        // strings and numbers always serialize
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The response, which carries the problem along.
    pub(crate) fn into_response(self) -> HttpResponse {
        HttpResponse::from_error(self)
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// When it is worth to try again, where that is said.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let is_said =
            matches!(self.code.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        is_said.then_some(self.retry_after)
    }

    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => {
                StoreMissed { reason: &reason, at: Instant::now().into_std() }.emit();
                Self::new(ErrorCode::Unavailable, "the database is not available; try again in a moment")
            }
            StoreError::Fenced => Self::new(
                ErrorCode::Unavailable,
                "this node has just lost its place in the cluster; try again in a moment",
            ),
            StoreError::Conflict => {
                Self::new(ErrorCode::Conflict, "others changed it at the same time; read it and try again")
            }
            StoreError::PayloadErased => {
                Self::new(ErrorCode::PayloadErased, "the event's payload was erased; nothing was sent again")
            }
            StoreError::NoSuchOrganization => Self::no_such("organization"),
            StoreError::Invalid(reason) => {
                tracing::debug!(%reason, "a value that can't be stored");
                let detail = "a text of the request holds a character that can't be stored, such as NUL (U+0000)";
                Self::new(ErrorCode::ValidationFailed, detail)
            }
            StoreError::Refused(reason) | StoreError::Corrupt(reason) => {
                tracing::error!(%reason, "store failed the api");
                Self::new(ErrorCode::Internal, ErrorCode::Internal.help())
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(after) = self.retry_after() {
            // whole seconds, and not before the time has come
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
            response.insert_header((header::ALLOW, allow));
        }
        response.body(self.body(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input_error(code: ErrorCode, field: &str) -> InputError {
        InputError { code, error: FieldError { field: field.to_owned(), message: "wrong".to_owned() } }
    }

    #[test]
    fn codes_are_unique_and_each_is_an_error_with_words() {
        let mut names: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(!code.title().is_empty() && !code.help().is_empty());
        }
    }

    #[test]
    fn one_broken_rule_gives_its_code_and_several_give_the_general_one() {
        let https = || input_error(ErrorCode::HttpsRequired, "url");
        assert_eq!(Problem::input(vec![https()]).code(), ErrorCode::HttpsRequired);
        assert_eq!(Problem::input(vec![https(), https()]).code(), ErrorCode::HttpsRequired);
        let mixed = Problem::input(vec![https(), input_error(ErrorCode::ValidationFailed, "timeout")]);
        assert_eq!(mixed.code(), ErrorCode::ValidationFailed);
        assert_eq!(mixed.errors().len(), 2);
    }

    #[actix_web::test]
    async fn a_problem_response_has_the_headers_that_its_status_requires() {
        let response = Problem::new(ErrorCode::Unauthorized, "no key").error_response();
        assert_eq!(response.headers().get(header::WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
        let response = Problem::from(StoreError::Unavailable("x".to_owned())).error_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
        let response = Problem::too_many("x", Duration::from_millis(2_001)).error_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "3");
        let response = Problem::method_not_allowed("GET, PUT".to_owned()).error_response();
        assert_eq!(response.headers().get(header::ALLOW).unwrap(), "GET, PUT");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "urn:ringback:error:method_not_allowed");
        assert_eq!(body["status"], 405);
        assert!(body.get("errors").is_none());
    }
}
