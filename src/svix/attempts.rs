//! Attempts, and what became of messages at endpoints.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::access::Access;
use super::endpoints::{self, EndpointOut};
use super::error::SvixError;
use super::ids::{AttemptId, EndpointName, shown_endpoint_id};
use super::messages;
use super::page::{Order, Page, Query};
use super::reading::{Span, read_on};
use crate::api::audit::Author;
use crate::api::{Api, erasure, events, logs};
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, instant_in};
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;
use crate::store::{
    AttemptFilter, AttemptPageRequest, AttemptPosition, AttemptsOf, CodeClass, EdgePage, ListFilter,
    ListedAttempt, PageEdge,
};

/// Of a response that was not asked for.
const NOT_SHOWN: &str = "{}";
/// Of one that was erased.
const ERASED: &str = "EXPUNGED";

/// What became of a message at an endpoint, or of an attempt. The numbers are Svix's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success = 0,
    Pending = 1,
    Fail = 2,
    Sending = 3,
    Canceled = 4,
}

impl Status {
    const ALL: [Self; 5] = [Self::Success, Self::Pending, Self::Fail, Self::Sending, Self::Canceled];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let number: Option<u8> = text.parse().ok();
        let found = Self::ALL.into_iter().find(|status| number == Some(*status as u8));
        found
            .ok_or_else(|| String::from("must be 0 (success), 1 (pending), 2 (fail), 3 (sending) or 4 (canceled)"))
    }

    /// Of a delivery. One that has been tried and waits for a retry is being sent.
    pub(super) fn of(delivery: &DeliveryRecord, knows_canceled: bool) -> Self {
        match delivery.status {
            DeliveryStatus::Success => Self::Success,
            DeliveryStatus::Failed => Self::Fail,
            DeliveryStatus::Pending if delivery.attempt_count == 0 => Self::Pending,
            DeliveryStatus::Pending => Self::Sending,
            DeliveryStatus::Cancelled if knows_canceled => Self::Canceled,
            DeliveryStatus::Cancelled => Self::Fail,
        }
    }

    /// The statuses of deliveries that are listed under this one, and whether an attempt of theirs has succeeded: one that did has
    /// succeeded, whatever a resend brought since.
    pub(super) fn of_deliveries(self) -> (Vec<DeliveryStatus>, Option<bool>) {
        let statuses = match self {
            Self::Success => vec![],
            Self::Pending | Self::Sending => vec![DeliveryStatus::Pending],
            Self::Fail => vec![DeliveryStatus::Failed, DeliveryStatus::Cancelled],
            Self::Canceled => vec![DeliveryStatus::Cancelled],
        };
        (statuses, Some(self == Self::Success))
    }

    /// Of the last attempt of a delivery, whatever comes after it.
    fn of_last_attempt(delivery: &DeliveryRecord, knows_canceled: bool) -> Self {
        match Self::of(delivery, knows_canceled) {
            Self::Sending => Self::of_response(delivery.response_code),
            status => status,
        }
    }

    /// Of an attempt.
    fn of_response(code: Option<u16>) -> Self {
        match code {
            Some(200..300) => Self::Success,
            _ => Self::Fail,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptOut {
    id: AttemptId,
    msg_id: EventId,
    endpoint_id: String,
    url: String,
    response: String,
    response_status_code: u16,
    response_duration_ms: u64,
    status: u8,
    status_text: &'static str,
    /// 1: asked for by somebody.
    trigger_type: u8,
    timestamp: UnixMillis,
}

impl AttemptOut {
    fn of(attempt: ListedAttempt, svix_ids: &SvixIds, with_content: bool) -> Self {
        let status = Status::of_response(attempt.response_code);
        let response = match with_content {
            true if attempt.response_code.is_some() => attempt.response_body.unwrap_or_else(|| ERASED.to_owned()),
            true => attempt.error.unwrap_or_default(),
            false => NOT_SHOWN.to_owned(),
        };
        Self {
            id: AttemptId { delivery_id: attempt.at.delivery_id, number: attempt.at.number },
            msg_id: attempt.event_id,
            endpoint_id: shown_endpoint_id(attempt.endpoint_id, svix_ids.get(&attempt.endpoint_id)),
            url: attempt.url.unwrap_or_default(),
            response,
            response_status_code: attempt.response_code.unwrap_or_default(),
            response_duration_ms: attempt.duration_ms,
            status: status as u8,
            status_text: status.text(),
            trigger_type: u8::from(attempt.is_manual),
            timestamp: attempt.started_at,
        }
    }
}

/// What a query asks of a list of attempts.
struct AttemptQuery {
    page: Page<AttemptId>,
    filter: AttemptFilter,
    with_content: bool,
    /// An attempt has ended: no other status is one of an attempt.
    is_empty: bool,
}

impl AttemptQuery {
    fn read(request: &HttpRequest, of: AttemptsOf) -> Result<Self, SvixError> {
        let mut query = Query::parse(request.query_string());
        let page: Page<AttemptId> = query.page_in(Order::Descending);
        let deliveries = read_filter(&mut query, of);
        let page = page.in_period(deliveries.from, deliveries.to);
        let status = query.read("status", Status::parse);
        let code_class = query.read("status_code_class", |text| match text {
            "0" => Ok(CodeClass::NoResponse),
            "100" | "200" | "300" | "400" | "500" => {
                Ok(CodeClass::Digit(text.parse::<u16>().unwrap_or_default() / 100))
            }
            _ => Err(String::from("must be 0, 100, 200, 300, 400 or 500")),
        });
        let with_content = query.flag_or("with_content", true);
        query.finish()?;
        let succeeded = match status {
            Some(Status::Success) => Some(true),
            Some(Status::Fail) => Some(false),
            _ => None,
        };
        let is_empty = status.is_some() && succeeded.is_none();
        let filter = AttemptFilter { deliveries, succeeded, code_class };
        Ok(Self { page, filter, with_content, is_empty })
    }

    async fn answer(self, api: &Api, access: &Access, owner: OrganizationId) -> Result<HttpResponse, SvixError> {
        let Self { page, filter, with_content, is_empty } = self;
        let lowest = AttemptPosition { delivery_id: DeliveryId(0), number: 0 };
        let edge = page.edge_of(|id| AttemptPosition { delivery_id: id.delivery_id, number: id.number }, lowest);
        let span = Span { edge, limit: page.limit() };
        let weight = |row: &ListedAttempt| row.response_body.as_ref().map_or(0, String::len);
        let found = match is_empty {
            true => EdgePage { rows: Vec::new(), next: None },
            false => {
                let found = read_on(
                    api,
                    span,
                    |row: &ListedAttempt| row.at,
                    weight,
                    async |edge, limit| {
                        let filter = filter.clone();
                        let wanted = AttemptPageRequest { edge, limit, with_response: with_content };
                        Ok(api.read(access.line, move |store| store.attempts(owner, &filter, wanted)).await?)
                    },
                );
                found.await?
            }
        };
        let svix_ids = svix_ids(api, access, owner).await?;
        let next = found.next.map(|at| AttemptId { delivery_id: at.delivery_id, number: at.number });
        let key = |row: &ListedAttempt| AttemptId { delivery_id: row.at.delivery_id, number: row.at.number };
        let list =
            page.edge_list(&found.rows, next, key, |row| AttemptOut::of(row.clone(), &svix_ids, with_content));
        Ok(HttpResponse::Ok().json(list))
    }
}

/// The ids of endpoints that were brought over from Svix's server.
type SvixIds = HashMap<EndpointId, SvixId>;

async fn svix_ids(api: &Api, access: &Access, owner: OrganizationId) -> Result<SvixIds, SvixError> {
    let read = api.read(access.line, move |store| store.svix_ids_of_endpoints(owner));
    Ok(read.await?.into_iter().collect())
}

/// What a query says of the messages.
pub(super) fn read_filter(query: &mut Query, of: AttemptsOf) -> ListFilter {
    ListFilter {
        event_types: query.event_types().unwrap_or_default(),
        channel: query.name("channel"),
        from: query.instant("after"),
        to: query.instant("before"),
        ..ListFilter::all(of)
    }
}

/// `GET /api/v1/app/{app}/attempt/endpoint/{endpoint}`: the newest message first.
pub(super) async fn of_endpoint(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = endpoints::of_path(&request, &api, &access).await?;
    let query = AttemptQuery::read(&request, AttemptsOf::Endpoint(found.endpoint.id))?;
    query.answer(&api, &access, owner).await
}

/// `GET /api/v1/app/{app}/attempt/msg/{msg}`, with `?endpoint_id=` at one endpoint.
pub(super) async fn of_message(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, id) = existing(&request, &api, &access).await?;
    let mut query = Query::parse(request.query_string());
    let name = query.name("endpoint_id");
    query.finish()?;
    let endpoint = match name {
        Some(name) => Some(endpoints::find(&api, &access, owner, &name).await?.endpoint.id),
        None => None,
    };
    AttemptQuery::read(&request, AttemptsOf::Event(id, endpoint))?.answer(&api, &access, owner).await
}

/// `GET /api/v1/app/{app}/msg/{msg}/endpoint/{endpoint}/attempt`.
pub(super) async fn of_message_at_endpoint(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, id) = existing(&request, &api, &access).await?;
    let (_, found) = endpoints::of_path(&request, &api, &access).await?;
    AttemptQuery::read(&request, AttemptsOf::Event(id, Some(found.endpoint.id)))?
        .answer(&api, &access, owner)
        .await
}

/// The message in the path, which exists.
async fn existing(
    request: &HttpRequest,
    api: &Api,
    access: &Access,
) -> Result<(OrganizationId, EventId), SvixError> {
    let (owner, id) = messages::of_path(request, api, access).await?;
    events::detail(api, owner, id).await?;
    Ok((owner, id))
}

/// The attempt in the path, and its delivery, which is one of the message in the path.
async fn of_path(
    request: &HttpRequest,
    api: &Api,
    access: &Access,
) -> Result<(OrganizationId, AttemptId, DeliveryRecord), SvixError> {
    let (owner, id) = messages::of_path(request, api, access).await?;
    let name = request.match_info().get("attempt").unwrap_or_default();
    let attempt: AttemptId = name.parse().map_err(|()| SvixError::not_found())?;
    let delivery = logs::detail(api, owner, attempt.delivery_id).await?.record;
    if delivery.event_id != id {
        return Err(SvixError::not_found());
    }
    Ok((owner, attempt, delivery))
}

/// `GET /api/v1/app/{app}/msg/{msg}/attempt/{attempt}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, attempt, delivery) = of_path(&request, &api, &access).await?;
    let of = AttemptsOf::Event(delivery.event_id, Some(delivery.endpoint_id));
    let behind = AttemptPosition { delivery_id: attempt.delivery_id, number: attempt.number.saturating_add(1) };
    let filter = AttemptFilter { deliveries: ListFilter::all(of), succeeded: None, code_class: None };
    let wanted = AttemptPageRequest { edge: PageEdge::OlderThan(behind), limit: 1, with_response: true };
    let found = api.read(access.line, move |store| store.attempts(owner, &filter, wanted)).await?;
    let svix_ids = svix_ids(&api, &access, owner).await?;
    let row = found
        .rows
        .into_iter()
        .next()
        .filter(|row| row.at.delivery_id == attempt.delivery_id && row.at.number == attempt.number);
    Ok(HttpResponse::Ok().json(AttemptOut::of(row.ok_or_else(SvixError::not_found)?, &svix_ids, true)))
}

/// `DELETE /api/v1/app/{app}/msg/{msg}/attempt/{attempt}/content`: forgets the response for good.
pub(super) async fn erase(
    request: HttpRequest,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, attempt, _) = of_path(&request, &api, &access).await?;
    erasure::erase_response(&api, &author, owner, attempt.delivery_id, attempt.number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/v1/app/{app}/msg/{msg}/endpoint/{endpoint}/resend`: one attempt more, now.
pub(super) async fn resend(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, id) = messages::of_path(&request, &api, &access).await?;
    let (_, found) = endpoints::of_path(&request, &api, &access).await?;
    events::attempt_now(&api, owner, id, found.endpoint.id).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({})))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DestinationOut {
    #[serde(flatten)]
    endpoint: EndpointOut,
    status: u8,
    status_text: &'static str,
    next_attempt: Option<UnixMillis>,
}

/// `GET /api/v1/app/{app}/msg/{msg}/endpoint`: where a message was sent to, and how that went; also endpoints that were deleted.
pub(super) async fn destinations(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, id) = messages::of_path(&request, &api, &access).await?;
    let mut query = Query::parse(request.query_string());
    let page: Page<EndpointName> = query.page_in(Order::Ascending);
    let knows_canceled = query.flag_or("expanded_statuses", false);
    query.finish()?;
    let mut deliveries = events::detail(&api, owner, id).await?.deliveries;
    // what became of it last decides
    deliveries.sort_by_key(|delivery| (delivery.endpoint_id, std::cmp::Reverse(delivery.id)));
    deliveries.dedup_by_key(|delivery| delivery.endpoint_id);
    let is_ascending = page.fetched() == Order::Ascending;
    if !is_ascending {
        deliveries.reverse();
    }
    if let Some(&EndpointName(beyond)) = page.beyond() {
        deliveries.retain(|delivery| match is_ascending {
            true => delivery.endpoint_id > beyond,
            false => delivery.endpoint_id < beyond,
        });
    }
    deliveries.truncate(page.rows());
    let rows = api.read(access.line, move |store| {
        let svix_ids: SvixIds = store.svix_ids_of_endpoints(owner)?.into_iter().collect();
        let found = |delivery: DeliveryRecord| {
            let found = store.find_endpoint(owner, delivery.endpoint_id)?;
            let endpoint = match found {
                Some(start) => EndpointOut::from(start.endpoint),
                None => deleted(delivery.endpoint_id, svix_ids.get(&delivery.endpoint_id)),
            };
            Ok((endpoint, delivery))
        };
        deliveries.into_iter().map(found).collect::<crate::store::StoreResult<Vec<_>>>()
    });
    let list = page.list(
        rows.await?,
        |(_, delivery)| EndpointName(delivery.endpoint_id),
        |(endpoint, delivery)| {
            let status = Status::of_last_attempt(&delivery, knows_canceled);
            DestinationOut {
                endpoint,
                status: status as u8,
                status_text: status.text(),
                next_attempt: delivery.next_attempt_at,
            }
        },
    );
    Ok(HttpResponse::Ok().json(list))
}

/// What is left of an endpoint that was deleted.
fn deleted(id: EndpointId, svix_id: Option<&SvixId>) -> EndpointOut {
    EndpointOut::deleted(id, svix_id, instant_in(id.0))
}
