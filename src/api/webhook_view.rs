//! How a webhook looks in answers.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::endpoint::{DisabledReason, Endpoint, RateLimit};
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::ids::EndpointId;
use crate::domain::patterns::EventPattern;
use crate::domain::retry::{RetryPolicy, RetrySchedule};
use crate::domain::time::UnixMillis;

/// Stands for a header's value, which often is a credential of the receiver: it can be set, not read. Sent
/// back, it leaves the value as it is.
pub(crate) const MASK: &str = "********";

/// A webhook in an answer.
#[derive(Serialize)]
pub(crate) struct WebhookView<'a> {
    id: EndpointId,
    url: &'a str,
    description: Option<&'a str>,
    events: &'a [EventPattern],
    active: bool,
    state: EndpointState,
    disabled_reason: Option<DisabledReason>,
    disabled_at: Option<UnixMillis>,
    filters: Option<&'a Value>,
    /// `null` while `retry_policy` is in force.
    retry: Option<u32>,
    /// `null` while `retry` is in force.
    retry_policy: Option<RetryPolicy>,
    retry_on: Vec<&'static str>,
    timeout: u64,
    headers: Map<String, Value>,
    rate_limit: Option<RateLimit>,
    max_in_flight: u32,
    ordered: bool,
    created_at: UnixMillis,
    updated_at: UnixMillis,
    /// Only in the answer to a creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> WebhookView<'a> {
    /// Without its secret.
    pub(crate) fn new(endpoint: &'a Endpoint, health: Option<&EndpointHealth>) -> Self {
        let (retry, retry_policy) = match endpoint.retry {
            RetrySchedule::Retries(retries) => (Some(retries), None),
            RetrySchedule::Policy(policy) => (None, Some(policy)),
        };
        let retry_on = [(endpoint.retry_on.client_errors, "4xx"), (endpoint.retry_on.redirects, "3xx")];
        let mask = |name: &String| (name.clone(), Value::from(MASK));
        Self {
            id: endpoint.id,
            url: &endpoint.url,
            description: endpoint.description.as_deref(),
            events: &endpoint.events,
            active: endpoint.active,
            state: EndpointState::of(endpoint, health),
            disabled_reason: endpoint.disabled_reason,
            disabled_at: endpoint.disabled_at,
            filters: endpoint.filter.as_ref().map(|filter| filter.source()),
            retry,
            retry_policy,
            retry_on: retry_on.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect(),
            timeout: endpoint.timeout.as_secs(),
            headers: endpoint.headers.iter().map(|header| mask(&header.name)).collect(),
            rate_limit: endpoint.rate_limit,
            max_in_flight: endpoint.max_in_flight,
            ordered: endpoint.ordered,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            secret: None,
        }
    }

    /// With its secret, as its creator sees it once.
    pub(crate) fn created(endpoint: &'a Endpoint) -> Self {
        Self { secret: Some(endpoint.secret.expose()), ..Self::new(endpoint, None) }
    }
}
