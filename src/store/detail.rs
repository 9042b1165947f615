//! What is kept of an attempt beside its numbers: headers and the excerpt of the answer, as one compact JSON
//! text. Lists of pairs, because a name can occur twice and order matters to whoever debugs a receiver.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::attempt::{AttemptRecord, Outcome};
use crate::domain::time::UnixMillis;

type Headers = Vec<(String, String)>;

/// The JSON of a stored attempt. Its keys are short because every delivery has one.
#[derive(Deserialize)]
struct AttemptDetail {
    #[serde(rename = "q")]
    request_headers: Headers,
    #[serde(rename = "h", default)]
    response_headers: Option<Headers>,
    #[serde(rename = "b", default)]
    response_body: Option<String>,
}

/// The same while it is written.
#[derive(Serialize)]
struct AttemptDetailRef<'a> {
    #[serde(rename = "q")]
    request_headers: &'a Headers,
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    response_headers: Option<&'a Headers>,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    response_body: Option<Cow<'a, str>>,
}

/// An attempt in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredAttempt {
    pub(super) number: u32,
    pub(super) started_at: UnixMillis,
    pub(super) duration_ms: i64,
    pub(super) response_code: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) detail: String,
}

impl StoredAttempt {
    /// What is stored of an outcome.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let answer = outcome.result.answer.as_ref();
        let detail = AttemptDetailRef {
            request_headers: &outcome.request_headers,
            response_headers: answer.ok().map(|response| &response.headers),
            response_body: answer.ok().map(|response| String::from_utf8_lossy(&response.body)),
        };
        Self {
            number: outcome.number,
            started_at: outcome.started_at,
            duration_ms: i64::try_from(outcome.result.duration.as_millis()).unwrap_or(i64::MAX),
            response_code: answer.ok().map(|response| response.status),
            error: answer.err().map(|error| error.as_str().to_owned()),
            // strings and lists always serialize
            detail: serde_json::to_string(&detail).unwrap_or_else(|_| String::from(r#"{"q":[]}"#)),
        }
    }

    /// What the log shows of it.
    pub(super) fn into_record(self) -> Result<AttemptRecord, serde_json::Error> {
        let detail: AttemptDetail = serde_json::from_str(&self.detail)?;
        Ok(AttemptRecord {
            number: self.number,
            started_at: self.started_at,
            duration_ms: self.duration_ms.max(0) as u64,
            response_code: self.response_code,
            error: self.error,
            request_headers: header_map(detail.request_headers),
            response_headers: detail.response_headers.map(header_map),
            response_body: detail.response_body,
        })
    }
}

/// A name that occurs twice has its values joined with a comma, as HTTP allows for lists.
fn header_map(headers: Headers) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in headers {
        match map.get_mut(&name) {
            Some(Value::String(text)) => {
                text.push_str(", ");
                text.push_str(&value);
            }
            _ => {
                map.insert(name, Value::String(value));
            }
        }
    }
    map
}
