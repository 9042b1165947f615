//! `/v1/webhooks`: an organization's webhooks and their secrets.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;

use super::audit::{Author, view};
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body, response_body};
use super::caller::Tenant;
use super::input::{self, Errors, JsonFields};
use super::known_types::KnownTypes;
use super::pagination::{List, RequestedPage};
use super::problem::{ErrorCode, Problem};
use super::turns::first_step;
use super::webhook_input::WebhookChanges;
use super::webhook_keys::{SHARED_SECRET_AFTER_KEY, read_signature, refuse_both};
use super::webhook_settings::{self, HeaderBounds, MASK, Rules};
use super::webhook_view::WebhookView;
use super::{Api, NO_STORE, path_id};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::endpoint::{Endpoint, MAX_VALID_SECRETS, TooManySecrets};
use crate::domain::health::EndpointStates;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::secret::{Secret, SecretKind};
use crate::domain::time::UnixMillis;
use crate::store::{CANCELLED_AT_ONCE, EndpointSearch, EndpointStart, Store, StoreError};

pub(super) const WHAT: &str = "webhook";
/// How many times a change is tried when others change the webhook concurrently.
const UPDATE_TRIES: usize = 5;
/// Default of `overlap_seconds` in a rotation: a day.
const DEFAULT_OVERLAP_SECONDS: u64 = 86_400;
/// Events are signed with a rotated secret for at most a month.
const MAX_OVERLAP_SECONDS: u64 = 30 * 86_400;

impl Api {
    /// For a webhook of which no event types are read.
    pub(crate) fn rules(&self, organization_id: OrganizationId) -> Rules<'_> {
        Rules {
            types: KnownTypes::new(self.engine.event_types(), organization_id),
            target_policy: &self.options.target_policy,
            signature_header_prefix: &self.options.signature_header_prefix,
            defaults: self.options.defaults,
            headers: HeaderBounds::USUAL,
            now: self.engine.now(),
        }
    }

    /// The same with the types of the organization's environment.
    async fn rules_with_environment(&self, organization_id: OrganizationId) -> Result<Rules<'_>, Problem> {
        let rules = self.rules(organization_id);
        let environment = self.environment_type_names(organization_id).await?;
        Ok(Rules { types: rules.types.with_environment(environment), ..rules })
    }

    /// A webhook of which its owner has said nothing, for forms.
    pub(crate) fn blank_webhook(&self) -> Endpoint {
        webhook_settings::blank(&self.options.defaults)
    }

    /// One of the organization's webhooks, with its health.
    pub(crate) async fn find_endpoint(
        &self,
        organization_id: OrganizationId,
        id: EndpointId,
    ) -> Result<EndpointStart, Problem> {
        self.read(organization_id, move |store| store.find_endpoint(organization_id, id))
            .await?
            .ok_or_else(|| Problem::no_such(WHAT))
    }
}

/// `POST /v1/webhooks`: apart from the secret's own route, the only response with the secret.
pub(crate) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let endpoint = create_from(&api, &author, organization_id, &body).await?;
    let location = format!("/v1/webhooks/{}", endpoint.id);
    let view = WebhookView::created(&endpoint);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).insert_header(NO_STORE).json(view))
}

/// Creates the webhook that the body describes.
pub(crate) async fn create_from(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    body: &[u8],
) -> Result<Endpoint, Problem> {
    let rules = api.rules_with_environment(organization_id).await?;
    let mut errors = Errors::new();
    let fields = JsonFields::parse(body, &mut errors)?;
    let changes = WebhookChanges::read_new(fields, &rules, &mut errors);
    let id = EndpointId(api.engine.next_id());
    let secret = Secret::generate_of(changes.signature(), &mut api.engine.rng());
    let now = api.engine.now();
    let mut endpoint = Endpoint::new(id, organization_id, "", secret, now).with_defaults(&api.options.defaults);
    changes.apply(&mut endpoint, now, &mut errors);
    errors.into_result()?;
    add(api, by, endpoint).await
}

/// Creates a webhook, whose requests are signed as its organization's are.
pub(crate) async fn add(api: &web::Data<Api>, by: &Author, mut endpoint: Endpoint) -> Result<Endpoint, Problem> {
    let organization_id = endpoint.organization_id;
    let views = [None, view(&WebhookView::new(&endpoint, None))];
    let entry = by.entry(api, Some(organization_id), AuditAction::WebhookCreated, endpoint.id, views);
    let created = Api::change(api, organization_id, move |api, store| {
        check_count(store, organization_id, api.options.limits.webhooks_per_organization)?;
        let organization = store.organization(organization_id)?;
        endpoint.header_style = organization.map(|found| found.header_style).unwrap_or_default();
        let uid = endpoint.uid.clone();
        let created = store.recording(entry).create_endpoint(&endpoint);
        created.map_err(|error| match (error, uid) {
            (StoreError::Conflict, Some(uid)) => {
                Problem::new(ErrorCode::Conflict, format!("another webhook of the organization has the uid {uid}"))
            }
            (error, _) => error.into(),
        })?;
        Ok(endpoint)
    });
    created.await
}

/// Refuses one more webhook than the organization may have. Its changes come one after the other, so it can't pass the
/// limit with parallel calls.
fn check_count(store: &dyn Store, organization_id: OrganizationId, most: u32) -> Result<(), Problem> {
    if most == 0 {
        return Ok(());
    }
    let EndpointStates { healthy, failing, paused, disabled } = store.endpoint_states(organization_id)?;
    if healthy + failing + paused + disabled < u64::from(most) {
        return Ok(());
    }
    let detail = format!(
        "an organization may have {most} webhooks (limits.webhooks_per_organization); delete one, or ask for a higher limit"
    );
    Err(Problem::new(ErrorCode::LimitReached, detail))
}

/// `GET /v1/webhooks`.
pub(crate) async fn list(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let rows = page(&api, organization_id, request.query_string()).await?;
    // with filters of the largest size a page has 50 MB, which takes too long on a worker
    let body = api.parse(organization_id, move || {
        let data: Vec<WebhookView<'_>> =
            rows.data.iter().map(|row| WebhookView::new(&row.endpoint, Some(&row.health))).collect();
        serde_json::to_vec(&List { data, next_cursor: rows.next_cursor })
    });
    let body = body.await?.map_err(|error| {
        tracing::error!(%error, "webhooks can't be written as JSON");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(response_body(&api, organization_id, body)?))
}

/// The page of the organization's webhooks that a query string describes.
pub(crate) async fn page(
    api: &Api,
    organization_id: OrganizationId,
    query: &str,
) -> Result<List<EndpointStart>, Problem> {
    let page = RequestedPage::of_query(query)?;
    let rows = api.read(organization_id, move |store| store.endpoints(organization_id, page.request())).await?;
    Ok(page.list(rows, |row| row.endpoint.id.0, |row| row))
}

/// The same of those that are looked for.
pub(crate) async fn search(
    api: &Api,
    organization_id: OrganizationId,
    search: EndpointSearch,
    query: &str,
) -> Result<List<EndpointStart>, Problem> {
    let page = RequestedPage::of_query(query)?;
    let read = move |store: &dyn Store| store.search_endpoints(organization_id, &search, page.request());
    let rows = api.read(organization_id, read).await?;
    Ok(page.list(rows, |row| row.endpoint.id.0, |row| row))
}

/// `GET /v1/webhooks/{id}`.
pub(crate) async fn read(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let found = api.find_endpoint(organization_id, id).await?;
    Ok(HttpResponse::Ok().json(WebhookView::new(&found.endpoint, Some(&found.health))))
}

/// `PUT` and `PATCH /v1/webhooks/{id}`: both change only the fields in the body.
pub(crate) async fn update(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let changed = update_from(&api, &author, organization_id, id, &body).await?;
    Ok(HttpResponse::Ok().json(WebhookView::new(&changed.endpoint, Some(&changed.health))))
}

/// Changes the settings that the body contains.
pub(crate) async fn update_from(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
    body: &[u8],
) -> Result<EndpointStart, Problem> {
    let rules = api.rules_with_environment(organization_id).await?;
    let mut errors = Errors::new();
    let fields = JsonFields::parse(body, &mut errors)?;
    let changes = WebhookChanges::read_change(fields, &rules, &mut errors);
    errors.into_result()?;
    let changed = change(api, by, AuditAction::WebhookChanged, organization_id, id, move |endpoint, now| {
        let mut errors = Errors::new();
        changes.apply(endpoint, now, &mut errors);
        errors.into_result()
    });
    changed.await
}

/// `DELETE /v1/webhooks/{id}`: its pending deliveries are cancelled.
pub(crate) async fn delete(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    remove(&api, &author, organization_id, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Deletes a webhook and cancels its pending deliveries.
pub(crate) async fn remove(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
) -> Result<(), Problem> {
    let (now, by) = (api.engine.now(), by.clone());
    let deleted = Api::change(api, organization_id, move |api, store| {
        let found = store.find_endpoint(organization_id, id)?.ok_or_else(|| Problem::no_such(WHAT))?;
        let views = [view(&WebhookView::new(&found.endpoint, None)), None];
        let store = store.recording(by.entry(api, Some(organization_id), AuditAction::WebhookDeleted, id, views));
        let cancelled = store.delete_endpoint(organization_id, id, now)?.ok_or_else(|| Problem::no_such(WHAT))?;
        api.engine.deliveries_cancelled(cancelled);
        Ok(cancelled)
    });
    if deleted.await? == CANCELLED_AT_ONCE {
        cancel_the_rest(api, organization_id, id, now).await;
    }
    Ok(())
}

/// A long backlog is cancelled in many transactions, between which other changes and publishers have their turns. The
/// webhook is already deleted: if the database fails, the engine cancels the remaining deliveries later.
async fn cancel_the_rest(api: &web::Data<Api>, organization_id: OrganizationId, id: EndpointId, now: UnixMillis) {
    let stepper = web::Data::clone(api);
    let cancelled = api.do_long_work(organization_id, async move {
        // for its rests: how many are cancelled at once is the store's
        let mut size = first_step();
        loop {
            let step = move |store: &dyn Store| store.cancel_pending(organization_id, id, now);
            let cancelled = stepper.next_step(organization_id, &mut size, step).await?;
            stepper.engine.deliveries_cancelled(cancelled);
            if cancelled < CANCELLED_AT_ONCE {
                return Ok(());
            }
        }
    });
    if let Err(problem) = cancelled.await {
        tracing::warn!(webhook = %id, %problem, "could not cancel all pending deliveries of a deleted webhook yet; the engine will");
    }
}

#[derive(Serialize)]
struct SecretView<'a> {
    secret: Cow<'a, str>,
    /// Until this time events are also signed with the newest previous secret.
    previous_secret_expires_at: Option<UnixMillis>,
    /// All valid previous secrets, the newest first.
    previous_secrets: Vec<PreviousSecretView>,
}

#[derive(Serialize)]
struct PreviousSecretView {
    expires_at: UnixMillis,
}

impl<'a> SecretView<'a> {
    fn new(endpoint: &'a Endpoint, now: UnixMillis) -> Self {
        let previous = endpoint.valid_previous_secrets(now);
        let previous_secrets: Vec<PreviousSecretView> =
            previous.map(|previous| PreviousSecretView { expires_at: previous.expires_at }).collect();
        Self {
            secret: endpoint.secret.shown(),
            previous_secret_expires_at: previous_secrets.first().map(|previous| previous.expires_at),
            previous_secrets,
        }
    }
}

/// `GET /v1/webhooks/{id}/secret`.
pub(crate) async fn read_secret(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let found = api.find_endpoint(organization_id, id).await?;
    Ok(secret_answer(&found.endpoint, api.engine.now()))
}

/// `POST /v1/webhooks/{id}/secret/rotate {secret?, signature?, overlap_seconds?}`; an absent body means an empty object.
pub(crate) async fn rotate_secret(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let endpoint = rotate_from(&api, &author, organization_id, id, &body).await?;
    Ok(secret_answer(&endpoint, api.engine.now()))
}

/// Rotates the secret as the body describes.
pub(crate) async fn rotate_from(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
    body: &[u8],
) -> Result<Endpoint, Problem> {
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(input::or_empty_object(body), &mut errors)?;
    let secret = fields.read("secret", &mut errors, webhook_settings::read_secret).into_option();
    let overlap = input::whole_number(0..=MAX_OVERLAP_SECONDS);
    let overlap = fields.read("overlap_seconds", &mut errors, overlap).into_option();
    let signature = fields.read("signature", &mut errors, read_signature).into_option();
    fields.finish(&mut errors);
    refuse_both(secret.is_some(), signature, &mut errors);
    errors.into_result()?;
    let kind = match signature {
        Some(kind) => kind,
        // receivers go on verifying in the way that they do
        None => api.find_endpoint(organization_id, id).await?.endpoint.secret.kind(),
    };
    if secret.is_some() && kind == SecretKind::Ed25519 {
        let mut errors = Errors::new();
        errors.add("secret", SHARED_SECRET_AFTER_KEY);
        errors.into_result()?;
    }
    let secret = secret.unwrap_or_else(|| Secret::generate_of(kind, &mut api.engine.rng()));
    let overlap = Duration::from_secs(overlap.unwrap_or(DEFAULT_OVERLAP_SECONDS));
    let changed = change(api, by, AuditAction::WebhookSecretRotated, organization_id, id, move |endpoint, now| {
        endpoint.rotate(secret.clone(), overlap, MAX_VALID_SECRETS, now).map_err(|TooManySecrets { until }| {
            let detail = format!(
                "{MAX_VALID_SECRETS} secrets of this webhook are valid; the first of them ends at {until}. Rotate after \
                 that, or with overlap_seconds 0 to end the newest at once"
            );
            Problem::new(ErrorCode::TooManySecrets, detail)
        })
    });
    Ok(changed.await?.endpoint)
}

fn secret_answer(endpoint: &Endpoint, now: UnixMillis) -> HttpResponse {
    HttpResponse::Ok().insert_header(NO_STORE).json(SecretView::new(endpoint, now))
}

/// Reads an endpoint, changes it, and writes it back.
pub(crate) async fn change(
    api: &web::Data<Api>,
    by: &Author,
    action: AuditAction,
    organization_id: OrganizationId,
    id: EndpointId,
    apply: impl Fn(&mut Endpoint, UnixMillis) -> Result<(), Problem> + Send + 'static,
) -> Result<EndpointStart, Problem> {
    let (now, by) = (api.engine.now(), by.clone());
    let changed = Api::change(api, organization_id, move |api, store| {
        let entry = |before: &Endpoint, after: &Endpoint| {
            let mut views = [before, after].map(|endpoint| view(&WebhookView::new(endpoint, None)));
            tell_new_headers(before, after, &mut views[1]);
            by.entry(api, Some(organization_id), action, id, views)
        };
        change_in_store(store, organization_id, id, now, &|endpoint| apply(endpoint, now), &entry)
    });
    changed.await
}

/// Values of headers are hidden, and would look unchanged.
fn tell_new_headers(before: &Endpoint, after: &Endpoint, shown: &mut Option<Value>) {
    let known = |name: &str| before.headers.iter().find(|header| header.name == name);
    for header in &after.headers {
        if known(&header.name).is_some_and(|known| known.value != header.value)
            && let Some(value) =
                shown.as_mut().and_then(|view| view.pointer_mut(&format!("/headers/{}", header.name)))
        {
            *value = Value::from(format!("{MASK} (new)"));
        }
    }
}

/// The engine (after a 410) and other nodes change endpoints too: then the change is applied to the newer version.
fn change_in_store(
    store: &dyn Store,
    organization_id: OrganizationId,
    id: EndpointId,
    now: UnixMillis,
    apply: &dyn Fn(&mut Endpoint) -> Result<(), Problem>,
    entry: &dyn Fn(&Endpoint, &Endpoint) -> AuditEntry,
) -> Result<EndpointStart, Problem> {
    for _ in 0..UPDATE_TRIES {
        let mut found = store.find_endpoint(organization_id, id)?.ok_or_else(|| Problem::no_such(WHAT))?;
        let before = found.endpoint.clone();
        apply(&mut found.endpoint)?;
        if found.endpoint == before {
            return Ok(found);
        }
        found.endpoint.version += 1;
        found.endpoint.updated_at = now.max(before.updated_at);
        let recording = store.recording(entry(&before, &found.endpoint));
        match recording.update_endpoint(&found.endpoint) {
            Ok(()) => return Ok(found),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(ErrorCode::Conflict, "others kept changing it meanwhile; read it and try again"))
}
