//! `/api/v1/app/{app}/endpoint`: endpoints, which are webhooks.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::access::Access;
use super::endpoint_input::{EndpointChange, EndpointIn, EndpointPatch};
use super::error::SvixError;
use super::ids::{EndpointName, shown_endpoint, shown_endpoint_id, svix_id_of_endpoint};
use super::input::{Invalid, read_json};
use super::messages::listed;
use super::page::{Order, Page, Query};
use super::{Svix, event_types};
use crate::api::audit::Author;
use crate::api::problem::Problem;
use crate::api::{Api, webhooks};
use crate::domain::attempt::RetryOn;
use crate::domain::audit::AuditAction;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::notice::NoticeKind;
use crate::domain::organization::{Metadata, OrganizationUid};
use crate::domain::secret::Secret;
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;
use crate::store::{DirectedPage, EndpointStart};

/// Svix's receivers have as long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Older libraries need one.
const VERSION: u16 = 1;

/// An endpoint in a response; older and newer libraries read some fields by other names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointOut {
    id: String,
    url: String,
    description: String,
    uid: Option<OrganizationUid>,
    version: u16,
    disabled: bool,
    filter_types: Option<Vec<String>>,
    event_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    rate_limit: Option<u16>,
    throttle_rate: Option<u16>,
    metadata: Metadata,
    created_at: UnixMillis,
    updated_at: UnixMillis,
}

impl From<Endpoint> for EndpointOut {
    fn from(endpoint: Endpoint) -> Self {
        let types = listed(endpoint.events.iter().map(ToString::to_string).collect());
        // our own API takes finer ones
        let rate = endpoint.rate_limit.map(|limit| limit.per_second.ceil().clamp(1.0, f64::from(u16::MAX)) as u16);
        Self {
            id: shown_endpoint(&endpoint),
            url: endpoint.url,
            description: endpoint.description.unwrap_or_default(),
            uid: endpoint.uid,
            version: VERSION,
            disabled: !endpoint.active,
            filter_types: types.clone(),
            event_types: types,
            channels: listed(endpoint.channels),
            rate_limit: rate,
            throttle_rate: rate,
            metadata: endpoint.metadata,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl EndpointOut {
    /// What is left of one that was deleted.
    pub(super) fn deleted(id: EndpointId, svix_id: Option<&SvixId>, created_at: UnixMillis) -> Self {
        Self {
            id: shown_endpoint_id(id, svix_id),
            url: String::new(),
            description: String::new(),
            uid: None,
            version: VERSION,
            disabled: true,
            filter_types: None,
            event_types: None,
            channels: None,
            rate_limit: None,
            throttle_rate: None,
            metadata: Metadata::default(),
            created_at,
            updated_at: created_at,
        }
    }
}

/// The endpoint that the path or a query names, by its id or own id.
pub(super) async fn find(
    api: &Api,
    access: &Access,
    owner: OrganizationId,
    name: &str,
) -> Result<EndpointStart, SvixError> {
    let found = match (name.parse::<EndpointName>(), svix_id_of_endpoint(name)) {
        (Ok(EndpointName(id)), _) => api.read(access.line, move |store| store.find_endpoint(owner, id)).await?,
        (Err(()), Some(id)) => api.read(access.line, move |store| store.endpoint_by_svix_id(owner, &id)).await?,
        (Err(()), None) => {
            let uid: OrganizationUid = name.parse().map_err(|_| SvixError::not_found())?;
            api.read(access.line, move |store| store.endpoint_by_uid(owner, &uid)).await?
        }
    };
    found.ok_or_else(SvixError::not_found)
}

/// The application and the endpoint in the path.
pub(super) async fn of_path(
    request: &HttpRequest,
    api: &Api,
    access: &Access,
) -> Result<(OrganizationId, EndpointStart), SvixError> {
    let owner = access.application()?.id;
    let name = request.match_info().get("endpoint").unwrap_or_default();
    Ok((owner, find(api, access, owner, name).await?))
}

/// `GET /api/v1/app/{app}/endpoint`: the newest first; none without an application.
pub(super) async fn list(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let mut query = Query::parse(request.query_string());
    let page: Page<EndpointName> = query.page(Order::Descending);
    query.finish()?;
    let wanted = DirectedPage {
        behind: page.beyond().map(|EndpointName(id)| id.0),
        is_ascending: page.fetched() == Order::Ascending,
        limit: page.rows(),
    };
    let rows = match access.application.map(|application| application.id) {
        Some(owner) => api.read(access.line, move |store| store.endpoints_of(owner, wanted)).await?,
        None => Vec::new(),
    };
    let list = page.list(rows, |row| EndpointName(row.endpoint.id), |row| EndpointOut::from(row.endpoint));
    Ok(HttpResponse::Ok().json(list))
}

/// `POST /api/v1/app/{app}/endpoint`.
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let owner = access.application()?.id;
    let change = read_in(&request, payload, &api, &access, owner).await?;
    let made = add(&api, &svix, &author, owner, None, change).await?;
    Ok(HttpResponse::Created().json(EndpointOut::from(made)))
}

async fn read_in(
    request: &HttpRequest,
    payload: web::Payload,
    api: &Api,
    access: &Access,
    owner: OrganizationId,
) -> Result<EndpointChange, SvixError> {
    let described: EndpointIn = read_json(request, payload).await?;
    let mut invalid = Invalid::of_body();
    let change = described.checked(api, owner, &mut invalid);
    invalid.into_result()?;
    check_types(api, access, change.events.as_deref().unwrap_or_default()).await?;
    Ok(change)
}

/// Types that an endpoint asks for must exist in the environment.
async fn check_types(api: &Api, access: &Access, names: &[String]) -> Result<(), SvixError> {
    let missing = event_types::missing(api, access, names.to_vec()).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut invalid = Invalid::of_body();
    let names = missing.join(", ");
    let advice = match access.environment.is_management() {
        true => format!("they are {}", NoticeKind::ALL.map(NoticeKind::event_type).join(", ")),
        false => String::from("POST /api/v1/event-type makes one"),
    };
    invalid.add("filterTypes", format!("there are no such event types: {names}; {advice}"));
    invalid.into_result()
}

async fn add(
    api: &web::Data<Api>,
    svix: &Svix,
    by: &Author,
    owner: OrganizationId,
    svix_id: Option<SvixId>,
    change: EndpointChange,
) -> Result<Endpoint, SvixError> {
    let id = EndpointId(api.engine().next_id());
    let now = api.engine().now();
    let secret =
        change.secret.clone().unwrap_or_else(|| Secret::generate_of(svix.secret_kind, &mut api.engine().rng()));
    let mut endpoint = Endpoint {
        timeout: TIMEOUT,
        retry: svix.retry,
        svix_id,
        retry_on: RetryOn { client_errors: true, redirects: true },
        ..Endpoint::new(id, owner, "", secret, now)
    };
    change.apply(&mut endpoint, now);
    Ok(webhooks::add(api, by, endpoint).await?)
}

/// `GET /api/v1/app/{app}/endpoint/{endpoint}`.
pub(super) async fn read(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (_, found) = of_path(&request, &api, &access).await?;
    Ok(HttpResponse::Ok().json(EndpointOut::from(found.endpoint)))
}

/// `PUT /api/v1/app/{app}/endpoint/{endpoint}`: all of it but its secret and headers, also of one that is not there yet. One
/// that is made under an id of Svix's server keeps that.
pub(super) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let owner = access.application()?.id;
    let change = read_in(&request, payload, &api, &access, owner).await?;
    let svix_id = request.match_info().get("endpoint").and_then(svix_id_of_endpoint);
    match of_path(&request, &api, &access).await {
        Ok((_, found)) => {
            let changed = set(&api, &author, owner, found.endpoint.id, change).await?;
            Ok(HttpResponse::Ok().json(EndpointOut::from(changed)))
        }
        Err(error) if error.is_not_found() => {
            match add(&api, &svix, &author, owner, svix_id, change.clone()).await {
                Ok(made) => Ok(HttpResponse::Created().json(EndpointOut::from(made))),
                // somebody else made it at the same moment
                Err(error) if error.is_conflict() => {
                    let found = of_path(&request, &api, &access).await.map_err(|_| error)?.1;
                    let changed = set(&api, &author, owner, found.endpoint.id, change).await?;
                    Ok(HttpResponse::Ok().json(EndpointOut::from(changed)))
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// `PATCH /api/v1/app/{app}/endpoint/{endpoint}`.
pub(super) async fn patch(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let patch: EndpointPatch = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let change = patch.checked(&api, owner, &mut invalid);
    invalid.into_result()?;
    check_types(&api, &access, change.events.as_deref().unwrap_or_default()).await?;
    let changed = set(&api, &author, owner, found.endpoint.id, change).await?;
    Ok(HttpResponse::Ok().json(EndpointOut::from(changed)))
}

async fn set(
    api: &web::Data<Api>,
    by: &Author,
    owner: OrganizationId,
    id: EndpointId,
    change: EndpointChange,
) -> Result<Endpoint, SvixError> {
    if let Some(Some(uid)) = change.uid.clone() {
        let other = api.read(owner, move |store| store.endpoint_by_uid(owner, &uid)).await?;
        if other.is_some_and(|other| other.endpoint.id != id) {
            return Err(SvixError::conflict("conflict", "another endpoint of the application has this uid"));
        }
    }
    let apply = move |endpoint: &mut Endpoint, now| -> Result<(), Problem> {
        change.apply(endpoint, now);
        Ok(())
    };
    let changed = webhooks::change(api, by, AuditAction::WebhookChanged, owner, id, apply).await?;
    Ok(changed.endpoint)
}

/// `DELETE /api/v1/app/{app}/endpoint/{endpoint}`.
pub(super) async fn delete(
    request: HttpRequest,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    webhooks::remove(&api, &author, owner, found.endpoint.id).await?;
    Ok(HttpResponse::NoContent().finish())
}
