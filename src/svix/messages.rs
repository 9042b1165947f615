//! `/api/v1/app/{app}/msg`: messages, which are events.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;

use super::access::Access;
use super::applications::found_or_made;
use super::error::SvixError;
use super::idempotency;
use super::message_input::{CheckedMessage, ID_PREFIX, read_message};
use super::page::{Order, Page, Query};
use super::reading::{Span, read_on};
use crate::actors::publication::{Publication, PublishError, Published};
use crate::api::audit::Author;
use crate::api::body::{RequestBody, read_body, response_body};
use crate::api::event_input::may_read_inline;
use crate::api::problem::Problem;
use crate::api::trace_headers::trace_of;
use crate::api::{Api, erasure, events};
use crate::domain::event::MAX_BODY_BYTES;
use crate::domain::ids::{EndpointId, EventId, OrganizationId, instant_in};
use crate::domain::labels::EventLabels;
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::TraceContext;
use crate::store::{AcceptedEvent, EventListFilter, EventPageRequest, IdempotencyKey, ListedEvent};

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
    /// Only of one that was published for a later time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<UnixMillis>,
}

impl<'a> MessageOut<'a> {
    pub(super) fn new(id: EventId, event_type: String, labels: EventLabels, payload: &'a RawValue) -> Self {
        // of three times that are known of it, this one is the same everywhere
        let timestamp = instant_in(id.0);
        let EventLabels { channels, tags, uid, deliver_at, erase_at: _ } = labels;
        let (channels, tags) = (listed(channels), listed(tags));
        Self { id, event_id: uid, event_type, payload, channels, tags, timestamp, deliver_at }
    }
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

/// `POST /api/v1/app/{app}/msg`: responds after the commit. A message with an `eventId` is accepted once, however often it is
/// sent; with an `idempotency-key`, its repetition gets the same answer, whatever its body is.
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
    let now = api.engine().now();
    let mut message = match may_read_inline(bytes.len()) {
        true => read_message(&bytes, now)?,
        false => api.parse(access.line, move || read_message(&bytes, now)).await??,
    };
    let owner = found_or_made(&request, &api, &author, &access, message.application.take()).await?;
    // whoever repeats it gets the first answer; what is sent with it is not compared, as with Svix's server
    let key = idempotency::text_of(&request).map(|key| IdempotencyKey { key, request_hash: [0; 32] });
    let shown = with_content.then(|| message.data.clone());
    let labels = message.labels.clone();
    let origin = Origin { trace: trace_of(request.headers()), only_to: None };
    let published = publish(&api, owner, message, key, origin).await?;
    if published.replayed
        && let Some(answer) = first_answer(&api, &access, owner, &published.event, with_content).await?
    {
        return Ok(answer);
    }
    let AcceptedEvent { id, event_type, .. } = published.event;
    let payload = shown.as_deref().unwrap_or_else(|| payload_of(None));
    Ok(HttpResponse::Accepted().json(MessageOut::new(id, event_type, labels, payload)))
}

/// What the first request with the key was answered, by what is stored; `None` when that is removed already.
async fn first_answer(
    api: &Api,
    access: &Access,
    owner: OrganizationId,
    first: &AcceptedEvent,
    with_content: bool,
) -> Result<Option<HttpResponse>, SvixError> {
    let id = first.id;
    let Some(detail) = api.read(access.line, move |store| store.event(owner, id)).await? else { return Ok(None) };
    let body = api.parse(access.line, move || {
        let record = detail.record;
        let payload = payload_of(with_content.then_some(&*detail.body));
        serde_json::to_vec(&MessageOut::new(id, record.event_type, record.labels, payload))
    });
    let mut answer = sent(api, owner, body.await?)?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    let (name, value) = events::REPLAYED;
    answer.headers_mut().insert(name, value);
    Ok(Some(answer))
}

fn taken() -> SvixError {
    SvixError::conflict("conflict", "a message with this eventId already exists")
}

/// What decides about a message beside its body.
#[derive(Default)]
struct Origin {
    /// The publisher's.
    trace: Option<Arc<TraceContext>>,
    only_to: Option<EndpointId>,
}

async fn publish(
    api: &Api,
    owner: OrganizationId,
    message: CheckedMessage,
    key: Option<IdempotencyKey>,
    Origin { trace, only_to }: Origin,
) -> Result<Published, SvixError> {
    let CheckedMessage { event_type, data, labels, .. } = message;
    let now = api.engine().now();
    let mut publication = Publication::new(owner, event_type, (now.to_string(), now), data);
    publication.has_free_type = true;
    publication.only_to = only_to;
    publication.trace = trace;
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
    let message = CheckedMessage { event_type, data, labels: EventLabels::default(), application: None };
    let origin = Origin { only_to: Some(only_to), ..Origin::default() };
    let published = publish(api, owner, message, None, origin).await?;
    let AcceptedEvent { id, event_type, .. } = published.event;
    let out = MessageOut::new(id, event_type, EventLabels::default(), payload_of(None));
    Ok(HttpResponse::Ok().json(out))
}

/// The id of the message that a path names, by its id or own id.
pub(super) async fn of_path(
    request: &HttpRequest,
    api: &Api,
    access: &Access,
) -> Result<(OrganizationId, EventId), SvixError> {
    let owner = access.application()?.id;
    let name = request.match_info().get("msg").unwrap_or_default();
    let found = find(api, access, owner, name).await?;
    Ok((owner, found.ok_or_else(SvixError::not_found)?))
}

/// The id of the message with this id or own id. One that looks like an id is not looked up.
pub(super) async fn find(
    api: &Api,
    access: &Access,
    owner: OrganizationId,
    name: &str,
) -> Result<Option<EventId>, SvixError> {
    if name.starts_with(ID_PREFIX) {
        return Ok(name.parse().ok());
    }
    let uid = name.to_owned();
    Ok(api.read(access.line, move |store| store.event_by_uid(owner, &uid)).await?)
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
        let payload = payload_of(with_content.then_some(&*detail.body));
        serde_json::to_vec(&MessageOut::new(id, record.event_type, record.labels, payload))
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
    let page: Page<EventId> = query.page_in(Order::Descending);
    let filter = EventListFilter {
        event_types: query.event_types().unwrap_or_default(),
        channel: query.name("channel"),
        tag: query.text("tag").filter(|tag| !tag.is_empty()).map(str::to_owned),
        from: query.instant("after"),
        to: query.instant("before"),
    };
    let page = page.in_period(filter.from, filter.to);
    let with_body = query.flag_or("with_content", true);
    query.finish()?;
    let span = Span { edge: page.edge_of(|id| id, EventId(0)), limit: page.limit() };
    let weight = |row: &ListedEvent| row.body.as_ref().map_or(0, |body| body.len());
    let found = read_on(
        &api,
        span,
        |row| row.id,
        weight,
        async |edge, limit| {
            let (filter, wanted) = (filter.clone(), EventPageRequest { edge, limit, with_body });
            Ok(api.read(access.line, move |store| store.event_list(owner, &filter, wanted)).await?)
        },
    );
    let found = found.await?;
    let body = api.parse(access.line, move || {
        let listed_rows = page.edge_list(
            &found.rows,
            found.next,
            |row| row.id,
            |row: &ListedEvent| {
                let payload = payload_of(row.body.as_deref());
                MessageOut::new(row.id, row.event_type.clone(), row.labels.clone(), payload)
            },
        );
        serde_json::to_vec(&listed_rows)
    });
    sent(&api, owner, body.await?)
}
