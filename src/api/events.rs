//! `/v1/events`: publishing, reading and replaying.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{MANAGEMENT_LIMIT_BYTES, RequestBody, read_body, response_body};
use super::caller::Tenant;
use super::event_input::{EventReader, is_idempotency_key};
use super::input::{self, Errors, JsonFields};
use super::known_types::KnownTypes;
use super::label_input::label;
use super::logs::{self, LogRow, read_rounds};
use super::pagination::{List, QueryString, read_instant};
use super::problem::{ErrorCode, Problem};
use super::trace_headers::trace_of;
use super::{Api, path_id};
use crate::actors::publication::{PublishError, Published};
use crate::domain::delivery::{DeliveryFilter, DeliveryStatus};
use crate::domain::event::{EventFilter, EventRecord, MAX_BODY_BYTES};
use crate::domain::ids::{EndpointId, EventId, OrganizationId};
use crate::domain::round::Rounds;
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::TraceContext;
use crate::store::{EventDetail, MadeDeliveryDue, PageRequest, ReplayTargets};

/// Its name in lower case.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Of a response that repeats an earlier one.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replay"), HeaderValue::from_static("true"));
const WHAT: &str = "event";
/// An event has one delivery to a webhook, and seldom more.
const MOST_PENDING: usize = 10;

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
    pub(super) async fn event_reader(&self, organization_id: OrganizationId) -> Result<EventReader, Problem> {
        let types = KnownTypes::new(self.engine.event_types(), organization_id);
        let types = types.with_environment(self.environment_type_names(organization_id).await?);
        Ok(EventReader { organization_id, types, now: self.engine.now() })
    }
}

/// `POST /v1/events {event_type, data, timestamp?, channels?, tags?}`: responds after the commit.
pub(crate) async fn publish(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    api.admit_events(organization_id, 1)?;
    // its share of the memory budget is held until the event is stored, the body itself only until it is parsed
    let RequestBody { bytes, share: _share } = read_body(&request, payload, MAX_BODY_BYTES).await?;
    let mut errors = Errors::new();
    let key = read_idempotency_key(request.headers(), &mut errors);
    let around = Around { key, trace: trace_of(request.headers()), errors };
    Ok(answer(accept(&api, organization_id, bytes, around).await?))
}

/// Publishes the event in the body.
pub(crate) async fn publish_from(
    api: &Api,
    organization_id: OrganizationId,
    body: Bytes,
) -> Result<Published, Problem> {
    api.admit_events(organization_id, 1)?;
    let around = Around { key: None, trace: None, errors: Errors::new() };
    accept(api, organization_id, body, around).await
}

/// What the request around the body says.
struct Around {
    key: Option<String>,
    trace: Option<Arc<TraceContext>>,
    errors: Errors,
}

async fn accept(
    api: &Api,
    organization_id: OrganizationId,
    body: Bytes,
    Around { key, trace, errors }: Around,
) -> Result<Published, Problem> {
    // before the types are looked at: what is in doubt can be known a moment later
    let is_in_doubt = api.engine.is_in_doubt();
    let reader = api.event_reader(organization_id).await?;
    let inline = reader.may_read_inline(body.len());
    let read = move || reader.read(&body, key, errors);
    let read = if inline { read() } else { api.parse(organization_id, read).await? };
    let mut publication = read.map_err(|problem| api.unless_in_doubt(problem, is_in_doubt))?;
    publication.trace = trace;
    api.engine.publish(publication).await.map_err(refusal)
}

impl Api {
    /// A type that is unknown here may have been created by a change whose answer was lost: then nobody knows for a moment.
    /// `was_in_doubt`: before it was looked up.
    pub(super) fn unless_in_doubt(&self, problem: Problem, was_in_doubt: bool) -> Problem {
        if problem.code() != ErrorCode::UnknownEventType || !(was_in_doubt || self.engine.is_in_doubt()) {
            return problem;
        }
        let detail = "the database was not available a moment ago, and the event type may have been created since; nothing \
                      was stored, try again in a moment";
        Problem::new(ErrorCode::Unavailable, detail)
    }
}

fn answer(published: Published) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    if published.replayed {
        response.insert_header(REPLAYED);
    }
    response.json(PublishedView::from(published))
}

/// The response to an event that was not accepted.
pub(crate) fn refusal(error: PublishError) -> Problem {
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
        PublishError::OverShare { retry_after } => Problem::too_many(
            "more events of this organization wait to be stored than its share; nothing was stored, try again after \
             Retry-After",
            retry_after,
        ),
        PublishError::UnknownEventType => {
            Problem::new(ErrorCode::UnknownEventType, "the event type was deleted; nothing was stored")
        }
        PublishError::OrganizationDeleted => {
            Problem::new(ErrorCode::NotFound, "the organization was deleted; nothing was stored")
        }
        PublishError::IdempotencyKeyReused | PublishError::BatchKeyReused => {
            Problem::new(ErrorCode::IdempotencyKeyReused, ErrorCode::IdempotencyKeyReused.help())
        }
    }
}

pub(super) fn read_idempotency_key(headers: &HeaderMap, errors: &mut Errors) -> Option<String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let value = values.next()?.as_bytes();
    if !is_idempotency_key(value) || values.next().is_some() {
        errors.add("Idempotency-Key", "must be one header of 1 to 255 printable ASCII characters");
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
    channels: Vec<String>,
    tags: Vec<String>,
}

impl From<EventRecord> for EventRow {
    fn from(record: EventRecord) -> Self {
        Self {
            id: record.id,
            event_type: record.event_type,
            timestamp: record.occurred_at,
            created_at: record.accepted_at,
            delivery_count: record.deliveries,
            channels: record.labels.channels,
            tags: record.labels.tags,
        }
    }
}

#[derive(Serialize)]
struct EventDetailView<'a> {
    #[serde(flatten)]
    row: EventRow,
    /// The body verbatim, embedded and not serialized again.
    payload: Option<&'a RawValue>,
    payload_erased: bool,
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
        tag: query.read("tag", &mut errors, label),
        from: query.read("from", &mut errors, read_instant),
        to: query.read("to", &mut errors, read_instant),
    };
    logs::check_order(filter.from, filter.to, &mut errors);
    query.finish(&mut errors);
    errors.into_result()?;
    let rows =
        api.read(organization_id, move |store| store.events(organization_id, &filter, page.request())).await?;
    Ok(page.list(rows, |row| row.id.0, |row| row))
}

/// An event of the organization with its body and deliveries.
pub(crate) async fn detail(
    api: &Api,
    organization_id: OrganizationId,
    id: EventId,
) -> Result<EventDetail, Problem> {
    let detail = api.read(organization_id, move |store| store.event(organization_id, id)).await?;
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
    let body = api.parse(organization_id, move || {
        let (payload, payload_erased) = logs::payload(&detail.body)?;
        let deliveries = detail.deliveries.into_iter().map(LogRow::from).collect();
        serde_json::to_vec(&EventDetailView { row: detail.record.into(), payload, payload_erased, deliveries })
    });
    let body = body.await?.map_err(|error| {
        tracing::error!(event = %id, %error, "a stored body is not JSON");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(response_body(&api, organization_id, body)?))
}

/// `POST /v1/events/{id}/replay {webhook_id?, rounds?}`: to that webhook, or to each that has a delivery of it. An absent body
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
    let rounds = read_rounds(&mut fields, &mut errors);
    fields.finish(&mut errors);
    errors.into_result()?;
    let deliveries = send_again(&api, organization_id, id, webhook_id, rounds).await?;
    Ok(HttpResponse::Accepted().json(super::Queued { deliveries }))
}

/// Resends an event to this webhook, or to each that has a delivery of it. Returns the number of deliveries that are
/// now pending.
pub(crate) async fn send_again(
    api: &Api,
    organization_id: OrganizationId,
    id: EventId,
    webhook_id: Option<EndpointId>,
    rounds: Rounds,
) -> Result<usize, Problem> {
    let targets = webhook_id.map_or(ReplayTargets::Delivered, |id| ReplayTargets::Endpoints(vec![id]));
    let now = api.engine.now();
    let engine = api.engine.clone();
    // both happen even if the client disconnects meanwhile
    let replayed = api.step(organization_id, move |store| {
        let replayed = store
            .replay_event(organization_id, id, &targets, rounds, &mut || engine.next_id(), now)?
            .inspect(|ids| {
                engine.work_added(organization_id, ids.clone());
            });
        Ok(replayed)
    });
    let endpoints = replayed.await?.ok_or_else(|| Problem::no_such(WHAT))?;
    if webhook_id.is_some() && endpoints.is_empty() {
        return Err(no_such_webhook());
    }
    Ok(endpoints.len())
}

fn no_such_webhook() -> Problem {
    let mut errors = Errors::new();
    errors.add("webhook_id", "there is no such webhook; check the id");
    errors.into_result().err().unwrap_or_else(|| Problem::no_such("webhook"))
}

/// One manual attempt of an event at a webhook now. A delivery that has ended gets a manual round, and a webhook without one gets a
/// delivery with such a round. A delivery that waits for a retry is attempted now, and if that fails, the retry follows as it would
/// have; one that is due already, or under way, is left alone.
pub(crate) async fn attempt_now(
    api: &Api,
    organization_id: OrganizationId,
    id: EventId,
    webhook_id: EndpointId,
) -> Result<(), Problem> {
    let now = api.engine.now();
    let engine = api.engine.clone();
    let targets = ReplayTargets::Endpoints(vec![webhook_id]);
    let waiting = DeliveryFilter {
        endpoint_id: Some(webhook_id),
        event_id: Some(id),
        status: Some(DeliveryStatus::Pending),
        ..DeliveryFilter::default()
    };
    // all of it happens even if the client disconnects meanwhile
    let replayed = api.step(organization_id, move |store| {
        let mut next_id = || engine.next_id();
        let replayed =
            store.replay_event(organization_id, id, &targets, Rounds::Once, &mut next_id, now)?.inspect(|ids| {
                engine.work_added(organization_id, ids.clone());
            });
        if replayed.as_ref().is_some_and(|ids| !ids.is_empty()) {
            // those that were pending already: a replay leaves them alone
            let page = PageRequest { before_id: None, limit: MOST_PENDING };
            for row in store.deliveries(organization_id, &waiting, page)?.rows {
                let made_due = store.make_delivery_due(organization_id, row.id, now)?;
                if let MadeDeliveryDue::MadeDue { endpoint_id } = made_due {
                    engine.work_added(organization_id, vec![endpoint_id]);
                }
            }
        }
        Ok(replayed)
    });
    match replayed.await? {
        None => Err(Problem::no_such(WHAT)),
        Some(endpoints) if endpoints.is_empty() => Err(no_such_webhook()),
        Some(_) => Ok(()),
    }
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
