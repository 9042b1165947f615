//! The detail of an attempt as it is stored: headers and the excerpt of the response, packed. Headers are lists
//! of pairs, because a name can occur twice and their order matters when a receiver is debugged.

mod dictionary;
mod packed;
#[cfg(test)]
mod packed_tests;

use serde_json::{Map, Value};

use self::packed::{AttemptContext, AttemptDetail};
use crate::domain::attempt::{AttemptRecord, Outcome, in_words};
use crate::domain::ids::DeliveryId;
use crate::domain::time::UnixMillis;

pub(super) use self::packed::DetailError;

type Headers = Vec<(String, String)>;

/// An attempt without a response stores at most one response header, with this name and the code of the error's
/// detail. No real header has an empty name: programs that don't know this can read the row, and show an odd
/// header.
const ERROR_DETAIL_HEADER: &str = "";

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
    /// Packs the attempt of an outcome.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let received = outcome.result.response.as_ref();
        let context = AttemptContext { delivery_id: outcome.delivery_id, started_at: outcome.started_at };
        let explained = received
            .err()
            .and_then(|error| error.detail_code())
            .map(|code| [(ERROR_DETAIL_HEADER.to_owned(), code)]);
        let response = match (received, &explained) {
            (Ok(response), _) => Some((response.headers.as_slice(), response.body.as_ref())),
            (Err(_), Some(explained)) => Some((explained.as_slice(), &[][..])),
            (Err(_), None) => None,
        };
        Self {
            number: outcome.number,
            started_at: outcome.started_at,
            duration_ms: i64::try_from(outcome.result.duration.as_millis()).unwrap_or(i64::MAX),
            response_code: received.ok().map(|response| response.status),
            error: received.err().map(|error| error.as_str().to_owned()),
            detail: packed::pack(context, outcome.number, &outcome.request, response),
        }
    }

    /// Unpacks it for the log. `delivery_id` must be the delivery that it was an attempt of.
    pub(super) fn into_record(self, delivery_id: DeliveryId) -> Result<AttemptRecord, DetailError> {
        let context = AttemptContext { delivery_id, started_at: self.started_at };
        let AttemptDetail { request_headers, response } = packed::unpack(context, &self.detail)?;
        let (response, error_detail) = match response {
            Some((headers, _)) if self.response_code.is_none() => (None, explanation(&headers)),
            response => (response, None),
        };
        let (response_headers, response_body) = response.unzip();
        Ok(AttemptRecord {
            number: self.number,
            started_at: self.started_at,
            duration_ms: self.duration_ms.max(0) as u64,
            response_code: self.response_code,
            error: self.error,
            error_detail,
            request_headers: header_map(request_headers),
            response_headers: response_headers.map(header_map),
            response_body: response_body.map(|body| String::from_utf8_lossy(&body).into_owned()),
        })
    }
}

/// Whether a detail can be unpacked; what is wrong with it otherwise.
pub(super) fn check(delivery_id: DeliveryId, started_at: UnixMillis, detail: &[u8]) -> Result<(), DetailError> {
    packed::unpack(AttemptContext { delivery_id, started_at }, detail).map(|_| ())
}

/// The detail without headers and body of the response; `None` if it has neither.
pub(super) fn without_response(
    delivery_id: DeliveryId,
    started_at: UnixMillis,
    detail: &[u8],
) -> Result<Option<Vec<u8>>, DetailError> {
    packed::without_response(AttemptContext { delivery_id, started_at }, detail)
}

/// The explanation as text; `None` for a code of a newer version.
fn explanation(headers: &Headers) -> Option<String> {
    headers.iter().find(|(name, _)| name == ERROR_DETAIL_HEADER).and_then(|(_, code)| in_words(code))
}

/// Values of a repeated name are joined with a comma, as HTTP allows for lists.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::attempt::{AttemptError, AttemptResult, DnsFault, NextStep, Response, TlsFault};
    use crate::domain::ids::{EndpointId, OrganizationId};
    use crate::domain::sent_request::SentRequest;

    fn outcome(response: Result<Response, AttemptError>) -> Outcome {
        Outcome {
            organization_id: OrganizationId(1),
            endpoint_id: EndpointId(2),
            delivery_id: DeliveryId(3),
            number: 1,
            started_at: UnixMillis(5),
            finished_at: UnixMillis(6),
            ordered: false,
            request: SentRequest::default(),
            result: AttemptResult { response, duration: Duration::from_millis(1) },
            next: NextStep::Failed,
        }
    }

    #[test]
    fn the_detail_of_an_error_is_read_back_as_text_and_not_as_a_response() {
        let expired = TlsFault::Expired(UnixMillis(1_714_521_600_000));
        for error in [
            AttemptError::TlsFailure(expired),
            AttemptError::TlsFailure(TlsFault::WrongName),
            AttemptError::DnsFailure(DnsFault::Silence),
            AttemptError::Timeout,
            AttemptError::BlockedAddress,
        ] {
            let record = StoredAttempt::of(&outcome(Err(error))).into_record(DeliveryId(3)).unwrap();
            assert_eq!(record.error.as_deref(), Some(error.as_str()));
            assert_eq!(record.error_detail, error.detail(), "{error:?}");
            assert_eq!((record.response_headers, record.response_body), (None, None), "{error:?}");
        }
    }

    #[test]
    fn rows_of_older_versions_are_read_and_explanations_of_newer_ones_are_skipped() {
        let stored = StoredAttempt::of(&outcome(Err(AttemptError::TlsFailure(TlsFault::Closed))));
        let context = AttemptContext { delivery_id: DeliveryId(3), started_at: UnixMillis(5) };
        let without = packed::pack(context, 1, &SentRequest::default(), None);
        let newer = packed::pack(
            context,
            1,
            &SentRequest::default(),
            Some((&[(String::new(), "of_tomorrow".to_owned())], b"")),
        );
        for detail in [without, newer] {
            let record = StoredAttempt { detail, ..stored.clone() }.into_record(DeliveryId(3)).unwrap();
            assert_eq!((record.error.as_deref(), record.error_detail), (Some("tls_failure"), None));
            assert_eq!(record.response_headers, None);
        }
    }

    #[test]
    fn a_response_can_be_forgotten_and_the_rest_stays() {
        let response = Response::new(500, vec![("x".into(), "y".into())], "secret".into());
        let stored = StoredAttempt::of(&outcome(Ok(response)));
        let before = stored.clone().into_record(DeliveryId(3)).unwrap();
        let detail = without_response(DeliveryId(3), UnixMillis(5), &stored.detail).unwrap().unwrap();
        assert!(!detail.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(without_response(DeliveryId(3), UnixMillis(5), &detail), Ok(None));
        let after = StoredAttempt { detail, ..stored }.into_record(DeliveryId(3)).unwrap();
        assert_eq!(after, AttemptRecord { response_headers: None, response_body: None, ..before });
    }

    #[test]
    fn a_response_has_no_error_detail_and_keeps_its_headers() {
        let response = Response::new(500, vec![("x".into(), "y".into())], "z".into());
        let record = StoredAttempt::of(&outcome(Ok(response))).into_record(DeliveryId(3)).unwrap();
        assert_eq!((record.error, record.error_detail), (None, None));
        assert_eq!(record.response_headers.unwrap()["x"], "y");
        assert_eq!(record.response_body.as_deref(), Some("z"));
    }
}
