//! `/v1/events`: publishing.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::auth::Tenant;
use super::body::{read_large_body, too_large};
use super::event_types::{can_be_published, known_names};
use super::input::{self, Errors, Fields};
use super::problem::{ErrorCode, Problem};
use super::{Api, blocking};
use crate::actors::handle::{Publication, PublishError, Published};
use crate::domain::event::{MAX_BODY_BYTES, body_overhead};
use crate::domain::event_types::is_operational;
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::time::{UnixMillis, normalize_rfc3339};
use crate::store::IdempotencyKey;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
/// Larger bodies are read on a blocking thread; below, the switch of threads costs more than the reading.
const INLINE_BYTES: usize = 64 * 1024;

#[derive(Serialize)]
struct PublishedView {
    id: EventId,
    event_type: String,
    timestamp: UnixMillis,
    deliveries: usize,
}

/// `POST /v1/events {event_type, data, timestamp?}`: answered after the commit.
pub async fn publish(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    // its share of the memory is held until the event is stored
    let body = read_large_body(&request, payload, MAX_BODY_BYTES, &api.bodies).await?;
    let bytes = body.bytes.clone();
    let mut errors = Errors::new();
    let key = read_idempotency_key(request.headers(), &mut errors);
    let now = api.engine.now();
    let is_small = bytes.len() <= INLINE_BYTES;
    let read = move || read_publication(organization_id, &bytes, key, errors, now);
    let publication = if is_small { read() } else { blocking(read).await? }?;
    let published = api.engine.publish(publication).await.map_err(refusal)?;
    Ok(answer(published))
}

fn answer(published: Published) -> HttpResponse {
    let Published { event, replayed } = published;
    let view = PublishedView {
        id: event.id,
        event_type: event.event_type,
        timestamp: event.occurred_at,
        deliveries: event.deliveries,
    };
    let mut response = HttpResponse::Accepted();
    if replayed {
        response.insert_header((IDEMPOTENT_REPLAY, HeaderValue::from_static("true")));
    }
    response.json(view)
}

fn refusal(error: PublishError) -> Problem {
    let unavailable = |detail: &str| Problem::new(ErrorCode::Unavailable, detail);
    match error {
        PublishError::Overloaded => Problem::new(ErrorCode::Overloaded, ErrorCode::Overloaded.help()),
        PublishError::Unavailable(reason) => {
            tracing::warn!(%reason, "event not stored");
            unavailable("the database is not available; nothing was stored, try again in a moment")
        }
        PublishError::Stopping => unavailable("the engine is stopping; nothing was stored, try again in a moment"),
        PublishError::IdempotencyKeyReused => {
            Problem::new(ErrorCode::IdempotencyKeyReused, ErrorCode::IdempotencyKeyReused.help())
        }
    }
}

fn read_idempotency_key(headers: &HeaderMap, errors: &mut Errors) -> Option<String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let value = values.next()?.as_bytes();
    let fits = (1..=255).contains(&value.len()) && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !fits || values.next().is_some() {
        errors.add("Idempotency-Key", "must be one header of 1 to 255 visible ASCII characters");
        return None;
    }
    std::str::from_utf8(value).ok().map(str::to_owned)
}

fn read_publication(
    organization_id: OrganizationId,
    body: &Bytes,
    idempotency_key: Option<String>,
    mut errors: Errors,
    now: UnixMillis,
) -> Result<Publication, Problem> {
    let mut fields = Fields::parse(body, &mut errors)?;
    let event_type = fields.require("event_type", &mut errors, read_event_type);
    let data = fields.require("data", &mut errors, read_data);
    let timestamp = fields.read("timestamp", &mut errors, read_timestamp).into_option();
    fields.finish(&mut errors);
    errors.into_result()?;
    let (Some(event_type), Some(data)) = (event_type, data) else {
        // a required field that is missing is among the errors
        return Err(Problem::input(Vec::new()));
    };
    let (timestamp, occurred_at) = timestamp.unwrap_or_else(|| (now.to_string(), now));
    if data.get().len() + body_overhead(&event_type, &timestamp) > MAX_BODY_BYTES {
        return Err(too_large(MAX_BODY_BYTES));
    }
    let idempotency = idempotency_key.map(|key| IdempotencyKey { key, request_hash: Sha256::digest(body).into() });
    let data = data.to_owned();
    Ok(Publication { organization_id, event_type, timestamp, occurred_at, data, idempotency })
}

fn read_event_type(value: &RawValue, path: &str, errors: &mut Errors) -> Option<String> {
    let name = input::string(value, path, errors)?;
    if can_be_published(&name) {
        return Some(name);
    }
    if is_operational(&name) {
        let message = "is made by the engine alone; it can be asked for, but not published";
        errors.add_with_code(ErrorCode::ReservedEventType, path, message);
    } else {
        let message = format!("no such event type; known are {}", known_names());
        errors.add_with_code(ErrorCode::UnknownEventType, path, message);
    }
    None
}

/// Receivers are promised an object.
fn read_data<'a>(value: &'a RawValue, path: &str, errors: &mut Errors) -> Option<&'a RawValue> {
    if !value.get().starts_with('{') {
        errors.add(path, format!("expected an object, got {}", input::kind(value)));
        return None;
    }
    Some(value)
}

fn read_timestamp(value: &RawValue, path: &str, errors: &mut Errors) -> Option<(String, UnixMillis)> {
    let text = input::string(value, path, errors)?;
    // an offset can push the first hours of year 0 before it, where RFC 3339 has no form
    let normalized = normalize_rfc3339(&text).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let pair = normalized.zip(UnixMillis::parse_rfc3339(&text));
    if pair.is_none() {
        errors.add(path, input::NOT_AN_INSTANT);
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_734_345_045_007);

    fn read(body: &str) -> Result<Publication, Problem> {
        read_publication(OrganizationId(1), &Bytes::copy_from_slice(body.as_bytes()), None, Errors::new(), NOW)
    }

    fn fields(problem: &Problem) -> Vec<&str> {
        problem.errors().iter().map(|error| error.field.as_str()).collect()
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let problem = read(r#"{"event_type": 7, "data": [1], "timestamp": "yesterday", "extra": 1}"#).unwrap_err();
        assert_eq!(fields(&problem), ["event_type", "data", "timestamp", "extra"]);
        assert_eq!(problem.code(), ErrorCode::ValidationFailed);
    }

    #[test]
    fn data_must_be_there_and_an_object() {
        for data in ["null", "1", "\"x\"", "[]", "true"] {
            let problem = read(&format!(r#"{{"event_type":"x","data":{data}}}"#)).unwrap_err();
            assert!(fields(&problem).contains(&"data"), "{data}");
        }
        assert!(fields(&read("{}").unwrap_err()).contains(&"data"));
    }

    #[test]
    fn an_unknown_type_has_its_own_code() {
        let problem = read(r#"{"event_type":"no.such_type","data":{}}"#).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::UnknownEventType);
    }

    #[test]
    fn the_idempotency_key_is_one_visible_text_of_1_to_255_characters() {
        let read = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(IDEMPOTENCY_KEY), HeaderValue::from_bytes(value).unwrap());
            let mut errors = Errors::new();
            let key = read_idempotency_key(&headers, &mut errors);
            assert_eq!(key.is_none(), !errors.is_empty());
            key
        };
        assert_eq!(read(b"order-17").as_deref(), Some("order-17"));
        assert!(read(&[b'x'; 255]).is_some());
        assert!(read(&[b'x'; 256]).is_none());
        assert!(read(b"").is_none());
        assert!(read("ключ".as_bytes()).is_none());
    }
}
