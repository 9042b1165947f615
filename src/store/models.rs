//! Rows, and their conversion to and from the domain's types.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diesel::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cipher::{Cipher, CipherError};
use super::credentials;
use super::detail::StoredAttempt;
use super::schema::{api_keys, attempts, deliveries, endpoint_health, endpoints, event_types, events};
use super::{StoreError, StoreResult};
use crate::domain::attempt::{Outcome, RetryOn};
use crate::domain::credentials::Credentials;
use crate::domain::delivery::{DeliveryRecord, DeliveryStatus};
use crate::domain::endpoint::{CustomHeader, DisabledReason, Endpoint, PreviousSecret};
use crate::domain::event::Event;
use crate::domain::event_types::{DefinedEventType, EventTypeState};
use crate::domain::filter::Filter;
use crate::domain::health::EndpointHealth;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, KeyId, OrganizationId, first_id_at};
use crate::domain::organization::{ApiKey, Metadata, Role};
use crate::domain::retry::{RetryDelays, RetryPolicy, RetrySchedule};
use crate::domain::rotation::SecretId;
use crate::domain::secret::Secret;
use crate::domain::sent_request::HeaderStyle;
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::TraceContext;

impl From<CipherError> for StoreError {
    fn from(error: CipherError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// The smallest id of an instant. Instants before the first id or after the last one that can be made (2093)
/// are clamped, so that any period can be queried.
pub(super) fn id_bound(at: UnixMillis) -> i64 {
    const LAST: i64 = 3_900_000_000_000;
    first_id_at(UnixMillis(at.0.clamp(0, LAST)))
}

/// An error for a value that this program can't have written.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// In the columns `header_style`.
const SVIX_HEADERS: i16 = 1;

/// The column of a style.
pub(super) fn header_style_code(style: HeaderStyle) -> i16 {
    match style {
        HeaderStyle::Native => 0,
        // which of their names it uses is the deployment's
        HeaderStyle::Svix | HeaderStyle::Standard => SVIX_HEADERS,
    }
}

/// The style of a column.
pub(super) fn header_style(code: i16) -> HeaderStyle {
    if code == SVIX_HEADERS { HeaderStyle::Svix } else { HeaderStyle::Native }
}

/// Metadata in the database: nothing for an empty one, which most are.
pub(super) fn metadata_text(metadata: &Metadata) -> Option<String> {
    // strings always serialize
    (!metadata.is_empty()).then(|| serde_json::to_string(metadata).unwrap_or_default())
}

/// The organization of a key in its row: 0 for the deployment's.
pub(super) fn key_owner(organization_id: Option<OrganizationId>) -> i64 {
    organization_id.map_or(0, |id| id.0)
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
pub(super) struct ApiKeyRow {
    id: i64,
    organization_id: i64,
    name: String,
    role: String,
    hash: Vec<u8>,
    prefix: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl From<&ApiKey> for ApiKeyRow {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.0,
            organization_id: key_owner(key.organization_id),
            name: key.name.clone(),
            role: key.role.as_str().to_owned(),
            hash: key.hash.to_vec(),
            prefix: key.prefix.clone(),
            created_at: key.created_at.0,
            expires_at: key.expires_at.map(|at| at.0),
            last_used_at: key.last_used_at.map(|at| at.0),
        }
    }
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;
    fn try_from(row: ApiKeyRow) -> StoreResult<Self> {
        Ok(Self {
            id: KeyId(row.id),
            organization_id: (row.organization_id != 0).then_some(OrganizationId(row.organization_id)),
            name: row.name,
            role: Role::parse(&row.role).ok_or_else(|| corrupt(format!("role {}", row.role)))?,
            hash: hash_from(&row.hash)?,
            prefix: row.prefix,
            created_at: UnixMillis(row.created_at),
            expires_at: row.expires_at.map(UnixMillis),
            last_used_at: row.last_used_at.map(UnixMillis),
        })
    }
}

/// Reads a SHA-256.
pub(super) fn hash_from(bytes: &[u8]) -> StoreResult<[u8; 32]> {
    bytes.try_into().map_err(|_| corrupt("a hash that is not 32 bytes long"))
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = endpoints)]
#[diesel(treat_none_as_null = true)]
pub(super) struct EndpointRow {
    id: i64,
    organization_id: i64,
    url: String,
    description: Option<String>,
    active: bool,
    disabled_reason: Option<String>,
    disabled_at: Option<i64>,
    events: String,
    filters: Option<String>,
    timeout_ms: i32,
    retry: String,
    retry_on: String,
    headers: Option<Vec<u8>>,
    rate_limit: Option<String>,
    max_in_flight: i32,
    ordered: bool,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_secret_expires_at: Option<i64>,
    older_secrets: Option<Vec<u8>>,
    created_at: i64,
    updated_at: i64,
    version: i64,
    channels: Option<String>,
    uid: Option<String>,
    metadata: Option<String>,
    header_style: i16,
    svix_id: Option<String>,
    credentials: Option<Vec<u8>>,
}

/// `retry` in the database.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRetry {
    Retries(u32),
    Policy(RetryPolicy),
    Delays(RetryDelays),
}

const CLIENT_ERRORS: &str = "4xx";
const REDIRECTS: &str = "3xx";

impl EndpointRow {
    /// The row of an endpoint, its secrets encrypted.
    pub(super) fn seal(endpoint: &Endpoint, cipher: &Cipher) -> StoreResult<Self> {
        let encrypt = |bytes: &[u8]| cipher.encrypt(endpoint.organization_id, endpoint.id, bytes);
        let headers: Vec<(&str, &str)> =
            endpoint.headers.iter().map(|header| (header.name.as_str(), header.value.expose())).collect();
        let headers = match headers.is_empty() {
            true => None,
            false => Some(encrypt(Zeroizing::new(json(&headers)?).as_bytes())?),
        };
        let retry = match endpoint.retry {
            RetrySchedule::Retries(retries) => StoredRetry::Retries(retries),
            RetrySchedule::Policy(policy) => StoredRetry::Policy(policy),
            RetrySchedule::Delays(delays) => StoredRetry::Delays(delays),
        };
        let retry_on: Vec<&str> =
            [(endpoint.retry_on.client_errors, CLIENT_ERRORS), (endpoint.retry_on.redirects, REDIRECTS)]
                .into_iter()
                .filter_map(|(wanted, name)| wanted.then_some(name))
                .collect();
        let (previous, older) = match endpoint.previous_secrets.split_first() {
            Some((previous, older)) => (Some(previous), older),
            None => (None, &[][..]),
        };
        let older: Vec<(&str, i64)> = older.iter().map(|one| (one.secret.expose(), one.expires_at.0)).collect();
        let older_secrets = match older.is_empty() {
            true => None,
            false => Some(encrypt(Zeroizing::new(json(&older)?).as_bytes())?),
        };
        Ok(Self {
            id: endpoint.id.0,
            organization_id: endpoint.organization_id.0,
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            active: endpoint.active,
            disabled_reason: endpoint.disabled_reason.map(|reason| reason.as_str().to_owned()),
            disabled_at: endpoint.disabled_at.map(|at| at.0),
            events: json(&endpoint.events)?,
            filters: endpoint.filter.as_ref().map(|filter| filter.source().to_string()),
            timeout_ms: i32::try_from(endpoint.timeout.as_millis()).unwrap_or(i32::MAX),
            retry: json(&retry)?,
            retry_on: json(&retry_on)?,
            headers,
            rate_limit: endpoint.rate_limit.as_ref().map(json).transpose()?,
            max_in_flight: i32::try_from(endpoint.max_in_flight).unwrap_or(i32::MAX),
            ordered: endpoint.ordered,
            secret: encrypt(endpoint.secret.expose().as_bytes())?,
            previous_secret: previous.map(|previous| encrypt(previous.secret.expose().as_bytes())).transpose()?,
            previous_secret_expires_at: previous.map(|previous| previous.expires_at.0),
            older_secrets,
            created_at: endpoint.created_at.0,
            updated_at: endpoint.updated_at.0,
            version: endpoint.version,
            channels: (!endpoint.channels.is_empty()).then(|| json(&endpoint.channels)).transpose()?,
            uid: endpoint.uid.as_ref().map(ToString::to_string),
            metadata: metadata_text(&endpoint.metadata),
            header_style: header_style_code(endpoint.header_style),
            svix_id: endpoint.svix_id.as_ref().map(ToString::to_string),
            credentials: credentials::text(&endpoint.credentials)?
                .map(|text| encrypt(text.as_bytes()))
                .transpose()?,
        })
    }

    /// The endpoint of a row, its secrets decrypted.
    pub(super) fn open(self, cipher: &Cipher) -> StoreResult<Endpoint> {
        let (organization_id, id) = (OrganizationId(self.organization_id), EndpointId(self.id));
        let decrypt = |bytes: &[u8]| {
            let plain = cipher.decrypt(organization_id, id, bytes).map_err(|e| corrupt(format!("{id}: {e}")))?;
            let text = std::str::from_utf8(&plain).map_err(corrupt)?;
            Ok::<Secret, StoreError>(Secret::new(text.to_owned()))
        };
        let headers: Vec<(String, String)> = match &self.headers {
            None => Vec::new(),
            Some(sealed) => parse(decrypt(sealed)?.expose())?,
        };
        let retry_on: Vec<String> = parse(&self.retry_on)?;
        let mut previous_secrets = Vec::new();
        if let (Some(sealed), Some(expires_at)) = (&self.previous_secret, self.previous_secret_expires_at) {
            let secret = decrypt(sealed)?;
            previous_secrets.push(PreviousSecret { secret, expires_at: UnixMillis(expires_at) });
        }
        if let Some(sealed) = &self.older_secrets {
            let older: Vec<(String, i64)> = parse(decrypt(sealed)?.expose())?;
            previous_secrets.extend(older.into_iter().map(|(secret, expires_at)| PreviousSecret {
                secret: Secret::new(secret),
                expires_at: UnixMillis(expires_at),
            }));
        }
        Ok(Endpoint {
            id,
            organization_id,
            url: self.url,
            description: self.description,
            active: self.active,
            disabled_reason: self.disabled_reason.as_deref().map(disabled_reason).transpose()?,
            disabled_at: self.disabled_at.map(UnixMillis),
            events: parse(&self.events)?,
            filter: self.filters.as_deref().map(filter).transpose()?,
            channels: self.channels.as_deref().map(parse).transpose()?.unwrap_or_default(),
            timeout: Duration::from_millis(self.timeout_ms.max(0) as u64),
            retry: match parse(&self.retry)? {
                StoredRetry::Retries(retries) => RetrySchedule::Retries(retries),
                StoredRetry::Policy(policy) => RetrySchedule::Policy(policy),
                StoredRetry::Delays(delays) => RetrySchedule::Delays(delays),
            },
            retry_on: RetryOn {
                client_errors: retry_on.iter().any(|name| name == CLIENT_ERRORS),
                redirects: retry_on.iter().any(|name| name == REDIRECTS),
            },
            headers: headers
                .into_iter()
                .map(|(name, value)| CustomHeader { name, value: Secret::new(value) })
                .collect(),
            credentials: match &self.credentials {
                None => Credentials::default(),
                Some(sealed) => credentials::parse(decrypt(sealed)?.expose())?,
            },
            rate_limit: self.rate_limit.as_deref().map(parse).transpose()?,
            max_in_flight: self.max_in_flight.max(0) as u32,
            ordered: self.ordered,
            header_style: header_style(self.header_style),
            uid: self.uid.map(|uid| uid.parse().map_err(|_| corrupt(format!("uid {uid}")))).transpose()?,
            svix_id: self.svix_id.as_deref().map(svix_id).transpose()?,
            metadata: self.metadata.as_deref().map(parse).transpose()?.unwrap_or_default(),
            secret: decrypt(&self.secret)?,
            previous_secrets,
            created_at: UnixMillis(self.created_at),
            updated_at: UnixMillis(self.updated_at),
            version: self.version,
        })
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> StoreResult<String> {
    serde_json::to_string(value).map_err(corrupt)
}

fn parse<T: DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(corrupt)
}

/// Reads an id of Svix's server.
pub(super) fn svix_id(text: &str) -> StoreResult<SvixId> {
    text.parse().map_err(|()| corrupt(format!("svix_id {text}")))
}

fn disabled_reason(text: &str) -> StoreResult<DisabledReason> {
    DisabledReason::parse(text).ok_or_else(|| corrupt(format!("disabled_reason {text}")))
}

fn filter(text: &str) -> StoreResult<Filter> {
    Filter::parse(&parse(text)?).map_err(|errors| corrupt(format!("filters: {errors:?}")))
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = endpoint_health, treat_none_as_null = true, primary_key(endpoint_id))]
pub(super) struct HealthRow {
    endpoint_id: i64,
    organization_id: i64,
    failing_since: Option<i64>,
    probe_at: Option<i64>,
    pauses: i32,
    failing_notified: bool,
    streak_ends_at: Option<i64>,
    accepted_secret: Option<i64>,
}

impl From<&EndpointHealth> for HealthRow {
    fn from(health: &EndpointHealth) -> Self {
        Self {
            endpoint_id: health.endpoint_id.0,
            organization_id: health.organization_id.0,
            failing_since: health.failing_since.map(|at| at.0),
            probe_at: health.probe_at.map(|at| at.0),
            pauses: i32::try_from(health.pauses).unwrap_or(i32::MAX),
            failing_notified: health.notified,
            streak_ends_at: health.streak_ends_at.map(|at| at.0),
            accepted_secret: health.accepted_secret.map(|id| id.0),
        }
    }
}

impl From<HealthRow> for EndpointHealth {
    fn from(row: HealthRow) -> Self {
        Self {
            endpoint_id: EndpointId(row.endpoint_id),
            organization_id: OrganizationId(row.organization_id),
            failing_since: row.failing_since.map(UnixMillis),
            probe_at: row.probe_at.map(UnixMillis),
            pauses: row.pauses.max(0) as u32,
            notified: row.failing_notified,
            streak_ends_at: row.streak_ends_at.map(UnixMillis),
            accepted_secret: row.accepted_secret.map(SecretId),
        }
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = event_types)]
#[diesel(treat_none_as_null = true)]
pub(super) struct EventTypeRow {
    organization_id: i64,
    name: String,
    description: String,
    schema: Option<String>,
    created_at: i64,
    sample: Option<String>,
    state: i16,
}

/// The states in their order in the column.
const EVENT_TYPE_STATES: [EventTypeState; 3] =
    [EventTypeState::Active, EventTypeState::Archived, EventTypeState::Removed];

impl From<&DefinedEventType> for EventTypeRow {
    fn from(own: &DefinedEventType) -> Self {
        Self {
            organization_id: own.organization_id.0,
            name: own.name.clone(),
            description: own.description.clone(),
            schema: own.schema.clone(),
            created_at: own.created_at.0,
            sample: own.sample.clone(),
            state: own.state as i16,
        }
    }
}

impl From<EventTypeRow> for DefinedEventType {
    fn from(row: EventTypeRow) -> Self {
        Self {
            organization_id: OrganizationId(row.organization_id),
            name: row.name,
            description: row.description,
            schema: row.schema,
            sample: row.sample,
            // one that only a newer version knows is accepted
            state: usize::try_from(row.state)
                .ok()
                .and_then(|state| EVENT_TYPE_STATES.get(state).copied())
                .unwrap_or_default(),
            created_at: UnixMillis(row.created_at),
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(super) struct StoredEventRow {
    pub(super) id: i64,
    organization_id: i64,
    event_type: String,
    occurred_at: i64,
    accepted_at: i64,
    body: Vec<u8>,
    trace: Option<String>,
}

impl From<StoredEventRow> for Event {
    fn from(row: StoredEventRow) -> Self {
        Self {
            id: EventId(row.id),
            organization_id: OrganizationId(row.organization_id),
            event_type: row.event_type,
            occurred_at: UnixMillis(row.occurred_at),
            accepted_at: UnixMillis(row.accepted_at),
            body: Bytes::from(row.body),
            trace: row.trace.as_deref().and_then(TraceContext::from_stored).map(Arc::new),
        }
    }
}

/// A row of the log. Also read by column names, for queries that are written by hand.
#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = deliveries)]
pub(super) struct DeliveryRow {
    pub(super) id: i64,
    organization_id: i64,
    endpoint_id: i64,
    pub(super) event_id: i64,
    status: i16,
    attempt_count: i32,
    created_at: i64,
    due_at: i64,
    finished_at: Option<i64>,
    pub(super) response_code: Option<i32>,
    pub(super) error: Option<String>,
}

impl DeliveryRow {
    /// Converts to a record of the log; the type is that of the event.
    pub(super) fn into_record(self, event_type: String) -> StoreResult<DeliveryRecord> {
        let status = DeliveryStatus::from_code(self.status)
            .ok_or_else(|| corrupt(format!("delivery status {}", self.status)))?;
        Ok(DeliveryRecord {
            id: DeliveryId(self.id),
            organization_id: OrganizationId(self.organization_id),
            event_id: EventId(self.event_id),
            endpoint_id: EndpointId(self.endpoint_id),
            event_type,
            status,
            attempt_count: self.attempt_count.max(0) as u32,
            response_code: self.response_code.map(response_code).transpose()?,
            error: self.error,
            created_at: UnixMillis(self.created_at),
            finished_at: self.finished_at.map(UnixMillis),
            next_attempt_at: (status == DeliveryStatus::Pending).then_some(UnixMillis(self.due_at)),
        })
    }
}

/// Reads a response code.
pub(super) fn response_code(code: i32) -> StoreResult<u16> {
    u16::try_from(code).map_err(|_| corrupt(format!("response code {code}")))
}

/// An attempt in a row of its own. Absent values are written as `NULL` and not left out of the statement, so that
/// its text is always the same and stays compiled.
#[derive(Insertable)]
#[diesel(table_name = attempts, treat_none_as_default_value = false)]
pub(super) struct AttemptRow<'a> {
    delivery_id: i64,
    number: i32,
    organization_id: i64,
    started_at: i64,
    duration_ms: i64,
    response_code: Option<i32>,
    error: Option<&'a str>,
    detail: &'a [u8],
}

impl<'a> AttemptRow<'a> {
    pub(super) fn of(outcome: &Outcome, attempt: &'a StoredAttempt) -> Self {
        Self {
            delivery_id: outcome.delivery_id.0,
            number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
            organization_id: outcome.organization_id.0,
            started_at: attempt.started_at.0,
            duration_ms: attempt.duration_ms,
            response_code: attempt.response_code.map(i32::from),
            error: attempt.error.as_deref(),
            detail: &attempt.detail,
        }
    }
}
