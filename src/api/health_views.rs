//! How states of webhooks and backlogs look in responses.

use serde::Serialize;

use crate::domain::health::{EndpointStates, PendingStats};
use crate::domain::time::UnixMillis;

#[derive(Debug, Serialize)]
pub(crate) struct StatesView {
    pub healthy: u64,
    pub failing: u64,
    pub paused: u64,
    pub disabled: u64,
}

impl From<EndpointStates> for StatesView {
    fn from(states: EndpointStates) -> Self {
        let EndpointStates { healthy, failing, paused, disabled } = states;
        Self { healthy, failing, paused, disabled }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct BacklogView {
    pub pending: u64,
    pub oldest_pending_at: Option<UnixMillis>,
}

impl From<PendingStats> for BacklogView {
    fn from(stats: PendingStats) -> Self {
        let PendingStats { pending, oldest_pending_at } = stats;
        Self { pending, oldest_pending_at }
    }
}
