//! Messages that were sent to an endpoint, and how that went.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::access::Access;
use super::attempts::{Status, read_filter};
use super::endpoints;
use super::error::SvixError;
use super::messages::{MessageOut, payload_of, sent};
use super::page::{Order, Page, Query};
use super::reading::{Span, read_on};
use crate::api::Api;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::{AttemptsOf, ListFilter, Message, MessagePageRequest, PageEdge};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointMessageOut<'a> {
    #[serde(flatten)]
    message: MessageOut<'a>,
    status: u8,
    status_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<UnixMillis>,
}

impl<'a> EndpointMessageOut<'a> {
    fn of(row: &'a Message, status: Status, next_attempt: Option<UnixMillis>) -> Self {
        let payload = payload_of(row.body.as_deref());
        let (event_type, labels) = (row.delivery.event_type.clone(), row.labels.clone());
        let message = MessageOut::new(row.delivery.event_id, event_type, labels, payload);
        Self { message, status: status as u8, status_text: status.text(), next_attempt }
    }
}

/// `GET /api/v1/app/{app}/endpoint/{endpoint}/msg`: the newest first.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = endpoints::of_path(&request, &api, &access).await?;
    let mut query = Query::parse(request.query_string());
    let page: Page<EventId> = query.page_in(Order::Descending);
    let endpoint_id = found.endpoint.id;
    let filter = read_filter(&mut query, AttemptsOf::Endpoint(endpoint_id));
    let page = page.in_period(filter.from, filter.to);
    let status = query.read("status", Status::parse);
    let knows_canceled = query.flag_or("expanded_statuses", false);
    let with_body = query.flag_or("with_content", true);
    query.finish()?;
    let (statuses, succeeded) = status.map_or((Vec::new(), None), Status::of_deliveries);
    let is_meant = |row: &Message| match status {
        Some(wanted @ (Status::Pending | Status::Sending)) => Status::of(&row.delivery, true) == wanted,
        _ => true,
    };
    let known = match page.beyond() {
        Some(&id) => place_of(&api, &access, owner, id, endpoint_id).await?,
        None => None,
    };
    let span =
        Span { edge: page.edge_of(|id| known.unwrap_or(DeliveryId(id.0)), DeliveryId(0)), limit: page.limit() };
    let weight = |row: &Message| row.body.as_ref().map_or(0, |body| body.len());
    let found = read_on(
        &api,
        span,
        |row: &Message| row.delivery.id,
        weight,
        async |edge, limit| {
            let filter = filter.clone();
            let wanted = MessagePageRequest { edge, limit, statuses: statuses.clone(), succeeded, with_body };
            let mut found = api.read(access.line, move |store| store.messages(owner, &filter, &wanted)).await?;
            found.rows.retain(is_meant);
            Ok(found)
        },
    );
    let found = found.await?;
    let body = api.parse(access.line, move || {
        let message_of = |id: DeliveryId| {
            let row = found.rows.iter().find(|row| row.delivery.id == id);
            row.map_or(EventId(id.0), |row| row.delivery.event_id)
        };
        let next = found.next.map(message_of);
        let list = page.edge_list(
            &found.rows,
            next,
            |row| row.delivery.event_id,
            |row| match status {
                Some(Status::Success) => EndpointMessageOut::of(row, Status::Success, None),
                _ => EndpointMessageOut::of(
                    row,
                    Status::of(&row.delivery, knows_canceled),
                    row.delivery.next_attempt_at,
                ),
            },
        );
        serde_json::to_vec(&list)
    });
    sent(&api, owner, body.await?)
}

/// The place of a message in the list of an endpoint's messages. `None` when it is not in it: deliveries have the ids behind
/// their event's.
async fn place_of(
    api: &Api,
    access: &Access,
    owner: OrganizationId,
    id: EventId,
    endpoint_id: EndpointId,
) -> Result<Option<DeliveryId>, SvixError> {
    let filter = ListFilter::all(AttemptsOf::Event(id, Some(endpoint_id)));
    let edge = PageEdge::NewerThan(DeliveryId(0));
    let wanted = MessagePageRequest { edge, limit: 1, statuses: Vec::new(), succeeded: None, with_body: false };
    let found = api.read(access.line, move |store| store.messages(owner, &filter, &wanted)).await?;
    Ok(found.rows.first().map(|row| row.delivery.id))
}
