//! `/v1/events`: publishing, reading and replaying.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::auth::Tenant;
use super::body::{MANAGEMENT_LIMIT_BYTES, RequestBody, read_body};
use super::event_input::EventReader;
use super::event_types::KnownTypes;
use super::input::{self, Errors, JsonFields};
use super::logs::{self, LogRow};
use super::pagination::{List, QueryString, read_instant};
use super::problem::{ErrorCode, Problem};
use super::{Api, blocking, path_id};
use crate::actors::publication::{PublishError, Published};
use crate::domain::event::{EventFilter, EventRecord, MAX_BODY_BYTES};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::{EventDetail, IdempotencyKey, ReplayTargets};

/// Its name in lower case.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
const WHAT: &str = "event";

/// An accepted event, alone or in a batch.
#[derive(Serialize)]
pub(super) struct PublishedView {
    id: EventId,
    event_type: String,
    timestamp: UnixMillis,
    deliveries: usize,
}

impl From<Published> for PublishedView {
    fn from(Published { event, .. }: Published) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            timestamp: event.occurred_at,
            deliveries: event.deliveries,
        }
    }
}

impl Api {
    pub(super) fn event_reader(&self, organization_id: OrganizationId) -> EventReader {
        let types = KnownTypes::new(self.engine.event_types(), organization_id);
        EventReader { organization_id, types, now: self.engine.now() }
    }
}

/// `POST /v1/events {event_type, data, timestamp?}`: responds after the commit.
pub(crate) async fn publish(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    // its share of the memory budget is held until the event is stored, the body itself only until it is parsed
    let RequestBody { bytes, share: _share } = api.read_events(&request, payload, MAX_BODY_BYTES).await?;
    let mut errors = Errors::new();
    let key = read_idempotency_key(request.headers(), &mut errors);
    Ok(answer(accept(&api, organization_id, bytes, key, errors).await?))
}

/// Publishes the event in the body.
pub(crate) async fn publish_from(
    api: &Api,
    organization_id: OrganizationId,
    body: Bytes,
) -> Result<Published, Problem> {
    accept(api, organization_id, body, None, Errors::new()).await
}

/// `errors` are those of the request around the body.
async fn accept(
    api: &Api,
    organization_id: OrganizationId,
    body: Bytes,
    key: Option<String>,
    errors: Errors,
) -> Result<Published, Problem> {
    let reader = api.event_reader(organization_id);
    let inline = reader.may_read_inline(body.len());
    let read = move || {
        let mut publication = reader.read(&body, errors)?;
        publication.idempotency =
            key.map(|key| IdempotencyKey { key, request_hash: Sha256::digest(&body).into() });
        Ok::<_, Problem>(publication)
    };
    let publication = if inline { read() } else { blocking(read).await? }?;
    api.engine.publish(publication).await.map_err(refusal)
}

fn answer(published: Published) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    if published.replayed {
        response.insert_header((IDEMPOTENT_REPLAY, HeaderValue::from_static("true")));
    }
    response.json(PublishedView::from(published))
}

/// The response to an event that was not accepted.
pub(super) fn refusal(error: PublishError) -> Problem {
    let unavailable = |detail: &str| Problem::new(ErrorCode::Unavailable, detail);
    match error {
        PublishError::Overloaded => Problem::new(ErrorCode::Overloaded, ErrorCode::Overloaded.help()),
        PublishError::Unavailable(reason) => {
            // the failed commit has its own log line, and its result is uncertain
            tracing::debug!(%reason, "event not acknowledged");
            unavailable(
                "the database is not available, and the event not acknowledged: try again in a moment, and with an \
                 Idempotency-Key it is never stored twice",
            )
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

#[derive(Serialize)]
struct EventRow {
    id: EventId,
    event_type: String,
    timestamp: UnixMillis,
    created_at: UnixMillis,
    /// Includes those that a replay created.
    delivery_count: usize,
}

impl From<EventRecord> for EventRow {
    fn from(record: EventRecord) -> Self {
        Self {
            id: record.id,
            event_type: record.event_type,
            timestamp: record.occurred_at,
            created_at: record.accepted_at,
            delivery_count: record.deliveries,
        }
    }
}

#[derive(Serialize)]
struct EventDetailView<'a> {
    #[serde(flatten)]
    row: EventRow,
    /// The body verbatim, embedded and not serialized again.
    payload: &'a RawValue,
    deliveries: Vec<LogRow>,
}

/// `GET /v1/events`.
pub(crate) async fn list(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let List { data, next_cursor } = page(&api, organization_id, request.query_string()).await?;
    let data: Vec<EventRow> = data.into_iter().map(EventRow::from).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor }))
}

/// The page of the organization's events that a query string describes.
pub(crate) async fn page(
    api: &Api,
    organization_id: OrganizationId,
    query: &str,
) -> Result<List<EventRecord>, Problem> {
    let mut errors = Errors::new();
    let mut query = QueryString::parse(query, &mut errors);
    let page = query.page(&mut errors);
    let filter = EventFilter {
        event_type: query.read("event_type", &mut errors, logs::read_event_type),
        from: query.read("from", &mut errors, read_instant),
        to: query.read("to", &mut errors, read_instant),
    };
    logs::check_order(filter.from, filter.to, &mut errors);
    query.finish(&mut errors);
    errors.into_result()?;
    let rows = api.store(move |store| store.events(organization_id, &filter, page.request())).await?;
    Ok(page.list(rows, |row| row.id.0, |row| row))
}

/// An event of the organization with its body and deliveries.
pub(crate) async fn detail(
    api: &Api,
    organization_id: OrganizationId,
    id: EventId,
) -> Result<EventDetail, Problem> {
    let detail = api.store(move |store| store.event(organization_id, id)).await?;
    detail.ok_or_else(|| Problem::no_such(WHAT))
}

/// `GET /v1/events/{id}`: the row with the body and its deliveries.
pub(crate) async fn read(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EventId = path_id(&request, "event_id", WHAT)?;
    let detail = detail(&api, organization_id, id).await?;
    // up to 10 MiB of body are read and copied
    let body = blocking(move || {
        let payload: &RawValue = serde_json::from_slice(&detail.body)?;
        let deliveries = detail.deliveries.into_iter().map(LogRow::from).collect();
        serde_json::to_vec(&EventDetailView { row: detail.record.into(), payload, deliveries })
    });
    let body = body.await?.map_err(|error| {
        tracing::error!(event = %id, %error, "a stored body is not JSON");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}

/// `POST /v1/events/{id}/replay {webhook_id?}`: to that webhook, or to each that has a delivery of it. An absent body
/// means an empty object.
pub(crate) async fn replay(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EventId = path_id(&request, "event_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(input::or_empty_object(&body), &mut errors)?;
    let webhook_id = fields.read("webhook_id", &mut errors, input::id::<EndpointId>).into_option();
    fields.finish(&mut errors);
    errors.into_result()?;
    let deliveries = send_again(&api, organization_id, id, webhook_id).await?;
    Ok(HttpResponse::Accepted().json(super::Queued { deliveries }))
}

/// Resends an event to this webhook, or to each that has a delivery of it. Returns the number of deliveries that are
/// now pending.
pub(crate) async fn send_again(
    api: &Api,
    organization_id: OrganizationId,
    id: EventId,
    webhook_id: Option<EndpointId>,
) -> Result<usize, Problem> {
    let targets = webhook_id.map_or(ReplayTargets::Delivered, |id| ReplayTargets::Endpoints(vec![id]));
    let now = api.engine.now();
    let engine = api.engine.clone();
    // both happen even if the client disconnects meanwhile
    let replayed = api.store(move |store| {
        let replayed =
            store.replay_event(organization_id, id, &targets, &mut || engine.next_id(), now)?.inspect(|ids| {
                engine.work_added(organization_id, ids.clone());
            });
        Ok(replayed)
    });
    let endpoints = replayed.await?.ok_or_else(|| Problem::no_such(WHAT))?;
    if webhook_id.is_some() && endpoints.is_empty() {
        let mut errors = Errors::new();
        errors.add("webhook_id", "there is no such webhook; check the id");
        errors.into_result()?;
    }
    Ok(endpoints.len())
}

#[cfg(test)]
mod tests {
    use super::*;

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
