//! `/api/v1/app/{app}/msg`: messages, which are events.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::access::Access;
use super::applications::{ApplicationIn, found_or_made};
use super::endpoint_input::{check_channels, without_repetitions};
use super::error::SvixError;
use super::input::{Invalid, from_json};
use super::page::{Order, Page, Query};
use crate::actors::publication::{Publication, PublishError, Published};
use crate::api::audit::Author;
use crate::api::body::{RequestBody, read_body, response_body};
use crate::api::event_input::may_read_inline;
use crate::api::problem::Problem;
use crate::api::{Api, erasure, events};
use crate::domain::event::{MAX_BODY_BYTES, MAX_JSON_DEPTH, json_depth};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::labels::{EventLabels, MAX_EVENT_CHANNELS, MAX_TAGS, is_label};
use crate::domain::svix::is_name;
use crate::domain::time::UnixMillis;
use crate::store::{EventListFilter, EventPageRequest, IdempotencyKey, ListedEvent, StoreResult};

/// What ids begin with: an own id that does is never found.
const ID_PREFIX: &str = "msg_";
/// Before keys of this API: no key that is sent to our own has it, as those are printable.
const KEYED: char = '\u{2}';
/// Before own ids of messages, which are keys as well.
const NAMED: char = '\u{3}';
/// Days that a payload is kept, as Svix's server takes them.
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 5..=90;

/// What is published.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    event_type: String,
    #[serde(borrow, alias = "data")]
    payload: &'a RawValue,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    payload_retention_period: Option<i64>,
    transformations_params: Option<TransformationsParams>,
    deliver_at: Option<String>,
    application: Option<ApplicationIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransformationsParams {
    /// The body as it is to be sent.
    raw_payload: Option<String>,
    headers: Option<serde_json::Value>,
}

/// A message in a response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageOut<'a> {
    pub id: EventId,
    pub event_id: Option<String>,
    pub event_type: String,
    pub payload: &'a RawValue,
    pub channels: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub timestamp: UnixMillis,
}

/// A payload as it is shown: what was published, or that it is gone, or nothing where it was not asked for.
pub(super) fn payload_of(body: Option<&[u8]>) -> &RawValue {
    const NOTHING: &str = "{}";
    const GONE: &str = r#"{"expired":true}"#;
    let text = match body {
        None => NOTHING,
        Some(b"") => GONE,
        Some(body) => return serde_json::from_slice(body).unwrap_or(RawValue::NULL),
    };
    serde_json::from_str(text).unwrap_or(RawValue::NULL)
}

pub(super) fn listed(texts: Vec<String>) -> Option<Vec<String>> {
    Some(texts).filter(|texts| !texts.is_empty())
}

/// What is to be published, checked.
struct CheckedMessage {
    event_type: String,
    data: Box<RawValue>,
    labels: EventLabels,
    application: Option<ApplicationIn>,
}

fn read_message(text: &[u8]) -> Result<CheckedMessage, SvixError> {
    let message: MessageIn<'_> = from_json(text)?;
    let mut invalid = Invalid::of_body();
    invalid.check_name("eventType", &message.event_type);
    if let Some(uid) = &message.event_id
        && (!is_name(uid) || uid.starts_with(ID_PREFIX))
    {
        let msg = "must have 1 to 256 of the characters A-Z, a-z, 0-9, -, _ and ., and not begin with msg_";
        invalid.add("eventId", msg);
    }
    let channels = message.channels.unwrap_or_default();
    if !channels.is_empty() {
        check_channels(&channels, MAX_EVENT_CHANNELS, &mut invalid);
    }
    let tags = message.tags.unwrap_or_default();
    if tags.len() > MAX_TAGS || !tags.iter().all(|tag| is_label(tag)) {
        invalid.add("tags", format!("has at most {MAX_TAGS} items of 1 to 128 characters"));
    }
    if message.payload_retention_period.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
        let (least, most) = (RETENTION_DAYS.start(), RETENTION_DAYS.end());
        invalid.add("payloadRetentionPeriod", format!("must be from {least} to {most} days"));
    }
    if message.deliver_at.is_some() {
        invalid.add("deliverAt", "is not supported: the message would be sent at once");
    }
    let data = read_payload(message.payload, message.transformations_params, &mut invalid);
    invalid.into_result()?;
    let labels = EventLabels {
        channels: without_repetitions(channels),
        tags: without_repetitions(tags),
        uid: message.event_id,
    };
    Ok(CheckedMessage { event_type: message.event_type, data, labels, application: message.application })
}

fn read_payload(
    payload: &RawValue,
    params: Option<TransformationsParams>,
    invalid: &mut Invalid,
) -> Box<RawValue> {
    if !payload.get().starts_with('{') {
        invalid.add("payload", "must be an object");
    }
    let mut data = payload.to_owned();
    if let Some(params) = params {
        if params.headers.is_some() {
            invalid.add("transformationsParams", "headers of a single message are not supported");
        }
        match params.raw_payload.map(RawValue::from_string) {
            None => {}
            Some(Ok(raw)) => data = raw,
            Some(Err(_)) => {
                invalid.add("transformationsParams", "rawPayload must be JSON: other bodies are not stored")
            }
        }
    }
    if json_depth(data.get()) > MAX_JSON_DEPTH {
        invalid.add("payload", format!("may nest {MAX_JSON_DEPTH} levels"));
    }
    data
}

/// `POST /api/v1/app/{app}/msg`: responds after the commit. A message with an `eventId` is accepted once, however often it is
/// sent; with an `idempotency-key`, its repetition gets the same answer.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let with_content = query.flag_or("with_content", true);
    query.finish()?;
    if let Ok(application) = access.application() {
        api.admit_events(application.id, 1)?;
    }
    // its share of the memory budget is held until the event is stored
    let RequestBody { bytes, share: _share } = read_body(&request, payload, MAX_BODY_BYTES).await?;
    let mut message = match may_read_inline(bytes.len()) {
        true => read_message(&bytes)?,
        false => api.parse(access.line, move || read_message(&bytes)).await??,
    };
    let owner = found_or_made(&request, &api, &author, &access, message.application.take()).await?;
    let key = idempotency_key(request.headers(), message.labels.uid.as_deref(), &api);
    let shown = with_content.then(|| message.data.clone());
    let labels = message.labels.clone();
    let published = publish(&api, owner, message, key, None).await?;
    let out = MessageOut {
        id: published.event.id,
        event_id: labels.uid,
        event_type: published.event.event_type,
        payload: payload_of(shown.as_ref().map(|data| data.get().as_bytes())),
        channels: listed(labels.channels),
        tags: listed(labels.tags),
        timestamp: published.event.occurred_at,
    };
    Ok(HttpResponse::Accepted().json(out))
}

/// An own id is a key as well: the insert of the key decides which of two messages with it is stored, and a repetition of one
/// and the same request is known by the client's key. When the key is forgotten, the commit still finds the id itself.
fn idempotency_key(headers: &HeaderMap, uid: Option<&str>, api: &Api) -> Option<IdempotencyKey> {
    let sent = headers.get(events::IDEMPOTENCY_KEY).map(|value| value.as_bytes()).filter(|key| !key.is_empty());
    match (uid, sent) {
        (None, None) => None,
        // what is sent with it is not compared, as with Svix's server
        (None, Some(sent)) => {
            let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(sent));
            Some(IdempotencyKey { key: format!("{KEYED}{digest}"), request_hash: [0; 32] })
        }
        (Some(uid), sent) => {
            let request_hash = match sent {
                Some(sent) => Sha256::digest(sent).into(),
                // the same as that of no other request
                None => Sha256::digest(api.engine().next_id().to_be_bytes()).into(),
            };
            Some(IdempotencyKey { key: format!("{NAMED}{uid}"), request_hash })
        }
    }
}

fn taken() -> SvixError {
    SvixError::conflict("conflict", "a message with this eventId already exists")
}

async fn publish(
    api: &Api,
    owner: OrganizationId,
    message: CheckedMessage,
    key: Option<IdempotencyKey>,
    only_to: Option<EndpointId>,
) -> Result<Published, SvixError> {
    let CheckedMessage { event_type, data, labels, .. } = message;
    let now = api.engine().now();
    let mut publication = Publication::new(owner, event_type, (now.to_string(), now), data);
    publication.has_free_type = true;
    publication.only_to = only_to;
    publication.labels = (!labels.is_empty()).then(|| Arc::new(labels));
    publication.idempotency = key;
    api.engine().publish(publication).await.map_err(|error| match error {
        PublishError::IdempotencyKeyReused => taken(),
        error => events::refusal(error).into(),
    })
}

/// Publishes an example to one endpoint.
pub(super) async fn publish_example(
    api: &Api,
    owner: OrganizationId,
    only_to: EndpointId,
    event_type: String,
    data: Box<RawValue>,
) -> Result<HttpResponse, SvixError> {
    api.admit_events(owner, 1)?;
    let message =
        CheckedMessage { event_type, data: data.clone(), labels: EventLabels::default(), application: None };
    let published = publish(api, owner, message, None, Some(only_to)).await?;
    Ok(HttpResponse::Accepted().json(MessageOut {
        id: published.event.id,
        event_id: None,
        event_type: published.event.event_type,
        payload: &data,
        channels: None,
        tags: None,
        timestamp: published.event.occurred_at,
    }))
}

/// The id of the message that a path names, by its id or own id.
pub(super) async fn of_path(
    request: &HttpRequest,
    api: &Api,
    access: &Access,
) -> Result<(OrganizationId, EventId), SvixError> {
    let owner = access.application()?.id;
    let name = request.match_info().get("msg").unwrap_or_default();
    if name.starts_with(ID_PREFIX) {
        return Ok((owner, name.parse().map_err(|_| SvixError::not_found())?));
    }
    let uid = name.to_owned();
    let found = api.read(access.line, move |store| store.event_by_uid(owner, &uid)).await?;
    Ok((owner, found.ok_or_else(SvixError::not_found)?))
}

/// `GET /api/v1/app/{app}/msg/{msg}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let with_content = query.flag_or("with_content", true);
    query.finish()?;
    let (owner, id) = of_path(&request, &api, &access).await?;
    let detail = events::detail(&api, owner, id).await?;
    let body = api.parse(access.line, move || {
        let record = detail.record;
        serde_json::to_vec(&MessageOut {
            id,
            event_id: record.labels.uid,
            event_type: record.event_type,
            payload: payload_of(with_content.then_some(&*detail.body)),
            channels: listed(record.labels.channels),
            tags: listed(record.labels.tags),
            timestamp: record.accepted_at,
        })
    });
    sent(&api, owner, body.await?)
}

/// `DELETE /api/v1/app/{app}/msg/{msg}/content`: forgets the payload for good.
pub(super) async fn erase(
    request: HttpRequest,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, id) = of_path(&request, &api, &access).await?;
    erasure::erase_payload(&api, &author, owner, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A response that can be large.
pub(super) fn sent(
    api: &Api,
    owner: OrganizationId,
    body: Result<Vec<u8>, serde_json::Error>,
) -> Result<HttpResponse, SvixError> {
    let body = body.map_err(|error| {
        tracing::error!(%error, "a response can't be written as JSON");
        SvixError::internal()
    })?;
    let body = response_body(api, owner, body).map_err(|problem: Problem| SvixError::from(problem))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}

/// `GET /api/v1/app/{app}/msg`: the newest first.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let owner = access.application()?.id;
    let mut query = Query::parse(request.query_string());
    let page: Page<EventId> = query.page(Order::Descending);
    let filter = EventListFilter {
        event_types: query.event_types().unwrap_or_default(),
        channel: query.read("channel", |text| Ok(text.to_owned())),
        tag: query.read("tag", |text| Ok(text.to_owned())),
        from: query.instant("after"),
        to: query.instant("before"),
    };
    let wanted = EventPageRequest {
        edge: page.edge(),
        limit: page.limit(),
        with_body: query.flag_or("with_content", true),
    };
    query.finish()?;
    let read = api.read(access.line, move |store| -> StoreResult<_> { store.event_list(owner, &filter, wanted) });
    let found = read.await?;
    let body = api.parse(access.line, move || {
        let listed_rows = page.edge_list(
            &found.rows,
            found.next,
            |row| row.id,
            |row: &ListedEvent| MessageOut {
                id: row.id,
                event_id: row.labels.uid.clone(),
                event_type: row.event_type.clone(),
                payload: payload_of(row.body.as_deref()),
                channels: listed(row.labels.channels.clone()),
                tags: listed(row.labels.tags.clone()),
                timestamp: row.accepted_at,
            },
        );
        serde_json::to_vec(&listed_rows)
    });
    sent(&api, owner, body.await?)
}
