//! Reads bodies, and collects what is wrong with them. Unknown fields are ignored: Svix's libraries know more of them than its
//! open-source server.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{InvalidField, SvixError, invalid_fields};
use crate::api::body::read_body;
use crate::api::input::Errors;
use crate::api::problem::Problem;
use crate::domain::organization::{Metadata, OrganizationUid, UidError};
use crate::domain::svix::is_name;

/// Svix's server takes as much.
const BODY_LIMIT_BYTES: usize = 2 * 1024 * 1024;
/// Svix's server has no limit; larger ones fill lists.
const MAX_TEXT_BYTES: usize = 4 * 1024;
/// Of metadata, written as JSON, as with Svix's server.
const MAX_METADATA_BYTES: usize = 4_096;

/// Reads a body of JSON; an empty one is an empty object.
pub(crate) async fn read_json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<T, SvixError> {
    let body = read_body(request, payload, BODY_LIMIT_BYTES).await?;
    from_json(if body.is_empty() { b"{}" } else { &body })
}

/// Reads JSON.
pub(super) fn from_json<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, SvixError> {
    // a list would be read by the places of the fields
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(SvixError::invalid(vec![InvalidField::new(&["body"], "must be an object")]));
    }
    // to know where it is wrong costs as much as reading it, and seldom is it wrong
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let invalid = |path: String, error: &serde_json::Error| {
        let place = path.split('.').filter(|part| !part.is_empty());
        let loc = std::iter::once("body").chain(place).map(str::to_owned).collect();
        SvixError::invalid(vec![InvalidField { loc, msg: error.to_string(), r#type: "value_error.jsondecode" }])
    };
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| invalid(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| invalid(String::new(), &error))?;
    Ok(value)
}

/// What is wrong with an input.
pub(crate) struct Invalid {
    begin: &'static str,
    fields: Vec<InvalidField>,
}

impl Invalid {
    /// Of a body.
    pub(crate) fn of_body() -> Self {
        Self { begin: "body", fields: Vec::new() }
    }

    /// Of a query.
    pub(crate) fn of_query() -> Self {
        Self { begin: "query", fields: Vec::new() }
    }

    /// Of a path.
    pub(crate) fn of_path() -> Self {
        Self { begin: "path", fields: Vec::new() }
    }

    pub(crate) fn add(&mut self, field: &str, msg: impl Into<String>) {
        self.fields.push(InvalidField::new(&[self.begin, field], msg));
    }

    /// Adds what our own API says of fields that both have.
    pub(crate) fn add_all_of(&mut self, problem: &Problem) {
        self.fields.extend(invalid_fields(problem));
    }

    /// The same as a problem of our own API, for changes that it makes.
    pub(crate) fn into_problem(self) -> Result<(), Problem> {
        let mut errors = Errors::new();
        self.fields.into_iter().for_each(|field| errors.add(field.loc[1..].join("."), field.msg));
        errors.into_result()
    }

    pub(crate) fn into_result(self) -> Result<(), SvixError> {
        if self.fields.is_empty() { Ok(()) } else { Err(SvixError::invalid(self.fields)) }
    }

    /// A name, as of an event type.
    pub(crate) fn check_name(&mut self, field: &str, text: &str) {
        if !is_name(text) {
            self.add(field, "must have 1 to 256 of the characters A-Z, a-z, 0-9, -, _ and .");
        }
    }

    /// A limit of the rate, of an application or an endpoint.
    pub(crate) fn check_rate(&mut self, rate: Option<u16>) {
        if rate == Some(0) {
            self.add("rateLimit", "must be at least 1, or null");
        }
    }

    /// A text for people.
    pub(crate) fn check_text(&mut self, field: &str, text: &str) {
        if text.bytes().any(|byte| byte <= 8) {
            self.add(field, "Control characters 0x00-0x08 not allowed.");
        }
        if text.len() > MAX_TEXT_BYTES {
            self.add(field, format!("may have {MAX_TEXT_BYTES} bytes"));
        }
    }
}

/// An own id that does not look like one of ours, whose ids begin with one of `prefixes`.
pub(super) fn checked_uid(text: &str, prefixes: &[&str], invalid: &mut Invalid) -> Option<OrganizationUid> {
    if let Some(prefix) = prefixes.iter().find(|prefix| text.starts_with(**prefix)) {
        invalid.add("uid", format!("must not begin with {prefix}, which ids begin with"));
        return None;
    }
    text.parse().map_err(|error: UidError| invalid.add("uid", error.to_string())).ok()
}

/// Metadata within its bounds.
pub(super) fn checked_metadata(pairs: BTreeMap<String, String>, invalid: &mut Invalid) -> Metadata {
    Metadata::within_json(pairs, MAX_METADATA_BYTES).unwrap_or_else(|| {
        invalid.add("metadata", format!("may have {MAX_METADATA_BYTES} bytes as JSON"));
        Metadata::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "read, not used")]
        number: u8,
    }

    async fn error_of(text: &str) -> Value {
        let response = from_json::<Outer>(text.as_bytes()).unwrap_err().error_response();
        assert_eq!(response.status().as_u16(), 422, "{text}");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[actix_web::test]
    async fn a_wrong_body_is_reported_with_its_place() {
        let error = error_of(r#"{"inner":{"number":"x"}}"#).await;
        assert_eq!(error["detail"][0]["loc"], json!(["body", "inner", "number"]));
        for text in ["", "{", "[1]", "{} x", "null", "\u{0}", r#"{"inner":{}}"#] {
            assert_eq!(error_of(text).await["detail"][0]["loc"][0], "body", "{text}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        error_of(&deep).await;
        assert!(from_json::<Outer>(br#"{"inner":null,"unknown":1}"#).unwrap().inner.is_none());
    }
}
