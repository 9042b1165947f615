//! A submitted form or query string.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};

use crate::api::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use crate::api::problem::Problem;

/// Fields in their order; a name may occur more than once.
#[derive(Debug, Default, Clone)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Self, Problem> {
        Self::read_within(request, payload, MANAGEMENT_LIMIT_BYTES).await
    }

    /// Reads a form of at most this many bytes.
    pub(crate) async fn read_within(
        request: &HttpRequest,
        payload: web::Payload,
        limit: usize,
    ) -> Result<Self, Problem> {
        let body = read_body(request, payload, limit).await?;
        Ok(Self::parse(&body))
    }

    /// A form that is filled in.
    pub(crate) fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// A field's trimmed value, or "".
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim())
    }

    /// A field's value unless it is empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// All trimmed values of a field.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.trim())
    }

    /// Whether a checkbox is checked.
    pub(crate) fn is_ticked(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }
}

/// The query string of the API call for the page after this cursor.
pub(crate) fn cursor_query(cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    cursor.map(|cursor| query.append_pair("cursor", cursor));
    query.finish()
}

/// Whether the input was invalid: the form is shown again with its errors and nothing typed is lost.
pub(crate) fn can_be_corrected(problem: &Problem) -> bool {
    matches!(
        problem.code().status(),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
    )
}
