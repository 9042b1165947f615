//! The part of an endpoint's health that survives a restart. It has its own small table, because it changes at other times
//! than the endpoint's settings.

use serde::Serialize;

use super::endpoint::Endpoint;
use super::ids::{EndpointId, OrganizationId};
use super::rotation::SecretId;
use super::time::UnixMillis;

/// Stored when it changes, not on every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointHealth {
    pub endpoint_id: EndpointId,
    pub organization_id: OrganizationId,
    /// The first failure since the last success; `None` while it is healthy.
    pub failing_since: Option<UnixMillis>,
    /// When the probe is due, while the breaker is open.
    pub probe_at: Option<UnixMillis>,
    /// How often the breaker opened in a row; sets the length of the next pause.
    pub pauses: u32,
    /// Whether `webhook.failing` was announced.
    pub notified: bool,
    /// A failure after this instant begins another streak, because nothing was attempted for too long. `None` while it is
    /// healthy.
    pub streak_ends_at: Option<UnixMillis>,
    /// The secret that it accepted after it had refused another; `None`: the newest, as far as known.
    pub accepted_secret: Option<SecretId>,
}

impl EndpointHealth {
    /// The health of an endpoint without failures.
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

    /// Whether it has neither failures nor an open breaker.
    pub fn is_healthy(&self) -> bool {
        self.failing_since.is_none() && self.probe_at.is_none()
    }

    /// Whether there is nothing to store.
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
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Failing, Self::Paused, Self::Disabled];

    /// The name in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// What the API shows for an endpoint with this health.
    pub fn of(endpoint: &Endpoint, health: Option<&EndpointHealth>) -> Self {
        let probes = health.is_some_and(|health| health.probe_at.is_some());
        let fails = health.is_some_and(|health| health.failing_since.is_some());
        Self::from_parts(endpoint.active, probes, fails)
    }

    /// Of an endpoint that is active, has a probe ahead of it, has failed since its last success.
    pub(crate) fn from_parts(is_active: bool, has_probe: bool, is_failing: bool) -> Self {
        match (is_active, has_probe, is_failing) {
            (false, ..) => Self::Disabled,
            (true, true, _) => Self::Paused,
            (true, false, true) => Self::Failing,
            (true, false, false) => Self::Healthy,
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
    /// How many are in a state.
    pub(crate) fn of(&self, state: EndpointState) -> u64 {
        match state {
            EndpointState::Healthy => self.healthy,
            EndpointState::Failing => self.failing,
            EndpointState::Paused => self.paused,
            EndpointState::Disabled => self.disabled,
        }
    }

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

/// An organization whose webhooks fail or fall behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrganizationInTrouble {
    pub organization_id: OrganizationId,
    /// Since when its longest failing webhook fails.
    pub failing_since: Option<UnixMillis>,
    /// Nothing that is pending was created before.
    pub pending_since: Option<UnixMillis>,
}

impl OrganizationInTrouble {
    /// How long it has been waiting for someone to look: who has waited longest comes first.
    pub(crate) fn since(&self) -> UnixMillis {
        self.failing_since.into_iter().chain(self.pending_since).min().unwrap_or(UnixMillis(i64::MAX))
    }
}

/// The size and age of a backlog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingStats {
    /// Pending deliveries.
    pub pending: u64,
    /// When the oldest of them was created.
    pub oldest_pending_at: Option<UnixMillis>,
}
