//! What an endpoint has of its own routes: its secret, and the headers that are added to its requests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Svix;
use super::access::Access;
use super::endpoint_input::{check_header_names, rules};
use super::endpoints::of_path;
use super::error::SvixError;
use super::input::{Invalid, read_json};
use super::secret_input::checked_secret;
use crate::api::audit::Author;
use crate::api::input::{Errors, JsonFields};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::webhook_input::WebhookChanges;
use crate::api::{Api, NO_STORE, webhooks};
use crate::domain::audit::AuditAction;
use crate::domain::endpoint::{Endpoint, TooManySecrets};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::secret::Secret;

/// A replaced secret signs for as long as the caller says, at most a week; a day when nothing is said.
const USUAL_GRACE: u64 = 86_400;
const LONGEST_GRACE: u64 = 7 * 86_400;
/// Replaced secrets that sign at once, as with Svix's server.
const MOST_SECRETS: usize = 11;
/// Headers whose values are told to nobody.
const SENSITIVE: [&str; 6] = [
    "authorization",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "x-api-key",
    "x-auth-token",
];

#[derive(Serialize)]
struct SecretOut<'a> {
    /// Of a private key, the public one.
    key: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotationIn {
    key: Option<String>,
    grace_period_seconds: Option<u64>,
}

/// `GET /api/v1/app/{app}/endpoint/{endpoint}/secret`.
pub(super) async fn read_secret(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (_, found) = of_path(&request, &api, &access).await?;
    Ok(secret_answer(&found.endpoint))
}

fn secret_answer(endpoint: &Endpoint) -> HttpResponse {
    HttpResponse::Ok().insert_header(NO_STORE).json(SecretOut { key: endpoint.secret.shown() })
}

/// `POST /api/v1/app/{app}/endpoint/{endpoint}/secret/rotate`: answers the new secret, which Svix's newest library reads.
pub(super) async fn rotate_secret(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
    svix: web::Data<Svix>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let rotation: RotationIn = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    let secret = rotation.key.and_then(|key| checked_secret("key", &key, &mut invalid));
    let grace = rotation.grace_period_seconds.unwrap_or(USUAL_GRACE);
    if grace > LONGEST_GRACE {
        invalid.add("gracePeriodSeconds", format!("must be from 0 to {LONGEST_GRACE}"));
    }
    invalid.into_result()?;
    let secret = secret.unwrap_or_else(|| Secret::generate_of(svix.secret_kind, &mut api.engine().rng()));
    let apply = move |endpoint: &mut Endpoint, now| {
        let rotated = endpoint.rotate(secret.clone(), Duration::from_secs(grace), MOST_SECRETS, now);
        rotated.map_err(|TooManySecrets { until }| {
            let detail =
                format!("{MOST_SECRETS} secrets of this endpoint sign; the first of them ends at {until}");
            Problem::new(ErrorCode::TooManySecrets, detail)
        })
    };
    let action = AuditAction::WebhookSecretRotated;
    let changed = webhooks::change(&api, &author, action, owner, found.endpoint.id, apply).await?;
    Ok(secret_answer(&changed.endpoint))
}

#[derive(Serialize)]
struct HeadersOut {
    headers: BTreeMap<String, String>,
    /// Names of those that are not shown.
    sensitive: Vec<String>,
}

#[derive(Deserialize)]
struct HeadersIn {
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadersPatch {
    /// `null` takes one away.
    headers: BTreeMap<String, Option<String>>,
    delete_headers: Option<Vec<String>>,
}

/// `GET /api/v1/app/{app}/endpoint/{endpoint}/headers`.
pub(super) async fn read_headers(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (_, found) = of_path(&request, &api, &access).await?;
    let mut out = HeadersOut { headers: BTreeMap::new(), sensitive: Vec::new() };
    for header in found.endpoint.headers {
        match SENSITIVE.contains(&header.name.to_ascii_lowercase().as_str()) {
            true => out.sensitive.push(header.name),
            false => _ = out.headers.insert(header.name, header.value.expose().to_owned()),
        }
    }
    Ok(HttpResponse::Ok().json(out))
}

/// `PUT /api/v1/app/{app}/endpoint/{endpoint}/headers`: all of them.
pub(super) async fn put_headers(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let HeadersIn { headers } = read_json(&request, payload).await?;
    set_headers(&api, &author, owner, found.endpoint.id, move |_| headers.clone()).await
}

/// `PATCH /api/v1/app/{app}/endpoint/{endpoint}/headers`.
pub(super) async fn patch_headers(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let HeadersPatch { headers, delete_headers } = read_json(&request, payload).await?;
    let gone = delete_headers.unwrap_or_default();
    set_headers(&api, &author, owner, found.endpoint.id, move |endpoint| patched(endpoint, &headers, &gone)).await
}

/// The headers of an endpoint after a change. Names are the same in upper and lower case.
fn patched(
    endpoint: &Endpoint,
    changes: &BTreeMap<String, Option<String>>,
    gone: &[String],
) -> BTreeMap<String, String> {
    let is_replaced = |name: &str| changes.keys().chain(gone).any(|changed| changed.eq_ignore_ascii_case(name));
    let kept = endpoint.headers.iter().filter(|header| !is_replaced(&header.name));
    let kept = kept.map(|header| (header.name.clone(), header.value.expose().to_owned()));
    let set = changes.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    kept.chain(set).collect()
}

async fn set_headers(
    api: &web::Data<Api>,
    by: &Author,
    owner: OrganizationId,
    id: EndpointId,
    wanted: impl Fn(&Endpoint) -> BTreeMap<String, String> + Send + 'static,
) -> Result<HttpResponse, SvixError> {
    let shared = api.clone();
    let apply = move |endpoint: &mut Endpoint, now| {
        let headers = wanted(endpoint);
        let mut invalid = Invalid::of_body();
        check_header_names(headers.keys(), &mut invalid);
        invalid.into_problem()?;
        let text = json!({"headers": headers}).to_string();
        let mut errors = Errors::new();
        let fields = JsonFields::parse(text.as_bytes(), &mut errors)?;
        let change = WebhookChanges::read_change(fields, &rules(&shared, owner), &mut errors);
        change.apply(endpoint, now, &mut errors);
        errors.into_result()
    };
    webhooks::change(api, by, AuditAction::WebhookChanged, owner, id, apply).await?;
    Ok(HttpResponse::NoContent().finish())
}
