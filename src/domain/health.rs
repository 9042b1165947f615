//! What must be remembered of an endpoint's condition across a restart. In its own small table, because it
//! changes at other times than the endpoint's settings.

use serde::Serialize;

use super::delivery::DeliveryStatus;
use super::endpoint::Endpoint;
use super::ids::{DeliveryId, EndpointId, OrganizationId};
use super::rotation::SecretId;
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
    /// Whether its owner was told that it fails (`webhook.failing`).
    pub notified: bool,
    /// A failure after this instant is the first of another streak: nothing was attempted for too long. `None` while it is
    /// healthy.
    pub streak_ends_at: Option<UnixMillis>,
    /// Which secret it took when another one was refused; `None`: the newest, as far as is known.
    pub accepted_secret: Option<SecretId>,
}

impl EndpointHealth {
    /// Nothing known against it.
    pub fn healthy(organization_id: OrganizationId, endpoint_id: EndpointId) -> Self {
        Self {
            endpoint_id,
            organization_id,
            failing_since: None,
            probe_at: None,
            pauses: 0,
            notified: false,
            streak_ends_at: None,
            accepted_secret: None,
        }
    }

    /// Whether nothing is known against it.
    pub fn is_healthy(&self) -> bool {
        self.failing_since.is_none() && self.probe_at.is_none()
    }

    /// Whether there is nothing to remember.
    pub fn is_blank(&self) -> bool {
        self.is_healthy() && self.accepted_secret.is_none()
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

/// How many endpoints of an organization are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointStates {
    /// [`EndpointState::Healthy`].
    pub healthy: u64,
    /// [`EndpointState::Failing`].
    pub failing: u64,
    /// [`EndpointState::Paused`].
    pub paused: u64,
    /// [`EndpointState::Disabled`].
    pub disabled: u64,
}

impl EndpointStates {
    /// Counts one more.
    pub(crate) fn count(&mut self, state: EndpointState) {
        match state {
            EndpointState::Healthy => self.healthy += 1,
            EndpointState::Failing => self.failing += 1,
            EndpointState::Paused => self.paused += 1,
            EndpointState::Disabled => self.disabled += 1,
        }
    }
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingStats {
    /// Pending deliveries.
    pub pending: u64,
    /// When the oldest of them was created.
    pub oldest_pending_at: Option<UnixMillis>,
}

/// A delivery that succeeded or failed, as far as rates and latencies are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// When it was created.
    pub created_at: UnixMillis,
    /// [`DeliveryStatus::Success`] or [`DeliveryStatus::Failed`].
    pub status: DeliveryStatus,
    /// When it ended.
    pub finished_at: UnixMillis,
    /// How long its last attempt took.
    pub last_duration_ms: u64,
}
