//! What must be remembered of an endpoint's condition across a restart. In its own small table, because it
//! changes at other times than the endpoint's settings.

use serde::Serialize;

use super::endpoint::Endpoint;
use super::ids::{EndpointId, OrganizationId};
use super::time::UnixMillis;

/// Written when it changes, not on every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointHealth {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// Since when it fails without one success; `None` while it is healthy.
    pub failing_since: Option<UnixMillis>,
    /// While the breaker is open: when its single probe is due.
    pub probe_at: Option<UnixMillis>,
    /// How often the breaker opened in a row; sets the length of the next pause.
    pub pauses: u32,
}

impl EndpointHealth {
    /// Nothing known against it.
    pub fn healthy(organization_id: OrganizationId, endpoint_id: EndpointId) -> Self {
        Self { endpoint_id, organization_id, failing_since: None, probe_at: None, pauses: 0 }
    }

    /// Whether there is anything to remember.
    pub fn is_healthy(&self) -> bool {
        self.failing_since.is_none() && self.probe_at.is_none()
    }
}

/// `state` of a webhook in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Its last attempts succeeded, or it had none.
    Healthy,
    /// Its last attempt failed.
    Failing,
    /// Its breaker is open.
    Paused,
    /// It is not active.
    Disabled,
}

impl EndpointState {
    /// What the API shows for an endpoint in this condition.
    pub fn of(endpoint: &Endpoint, health: Option<&EndpointHealth>) -> Self {
        match health {
            _ if !endpoint.active => Self::Disabled,
            Some(health) if health.probe_at.is_some() => Self::Paused,
            Some(health) if health.failing_since.is_some() => Self::Failing,
            _ => Self::Healthy,
        }
    }
}
