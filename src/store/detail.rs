//! What is kept of an attempt beside its numbers: headers and the excerpt of the answer, packed. Lists of pairs,
//! because a name can occur twice and order matters to whoever debugs a receiver.

mod packed;
#[cfg(test)]
mod packed_tests;
mod words;

use serde_json::{Map, Value};

use self::packed::{AttemptDetail, Known};
use crate::domain::attempt::{AttemptRecord, Outcome};
use crate::domain::ids::DeliveryId;
use crate::domain::time::UnixMillis;

pub(super) use self::packed::DetailError;

type Headers = Vec<(String, String)>;

/// An attempt in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredAttempt {
    pub(super) number: u32,
    pub(super) started_at: UnixMillis,
    pub(super) duration_ms: i64,
    pub(super) response_code: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) detail: Vec<u8>,
}

impl StoredAttempt {
    /// What is stored of an outcome.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let answer = outcome.result.answer.as_ref();
        let known = Known { delivery_id: outcome.delivery_id, started_at: outcome.started_at };
        let response = answer.ok().map(|response| (response.headers.as_slice(), response.body.as_ref()));
        Self {
            number: outcome.number,
            started_at: outcome.started_at,
            duration_ms: i64::try_from(outcome.result.duration.as_millis()).unwrap_or(i64::MAX),
            response_code: answer.ok().map(|response| response.status),
            error: answer.err().map(|error| error.as_str().to_owned()),
            detail: packed::pack(known, &outcome.request_headers, response),
        }
    }

    /// What the log shows of it; the delivery is the one that it was an attempt of.
    pub(super) fn into_record(self, delivery_id: DeliveryId) -> Result<AttemptRecord, DetailError> {
        let known = Known { delivery_id, started_at: self.started_at };
        let AttemptDetail { request_headers, response } = packed::unpack(known, &self.detail)?;
        let (response_headers, response_body) = response.unzip();
        Ok(AttemptRecord {
            number: self.number,
            started_at: self.started_at,
            duration_ms: self.duration_ms.max(0) as u64,
            response_code: self.response_code,
            error: self.error,
            request_headers: header_map(request_headers),
            response_headers: response_headers.map(header_map),
            response_body: response_body.map(|body| String::from_utf8_lossy(&body).into_owned()),
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
