//! Gauges that somebody has to look for in the database: see `actors::watching`.

use std::time::Duration;

use super::metrics::METRICS;
use crate::domain::health::{EndpointState, EndpointStates};

/// The age of the oldest pending delivery of this node; `None` when nothing is pending.
pub(crate) struct OldestPending(pub Option<Duration>);

impl OldestPending {
    /// Sets the gauge.
    pub(crate) fn emit(&self) {
        METRICS.oldest_pending.set(self.0.unwrap_or_default().as_secs_f64());
    }
}

/// How many webhooks of this node are in each state.
pub(crate) struct WebhooksCounted(pub EndpointStates);

impl WebhooksCounted {
    /// Sets the gauges.
    pub(crate) fn emit(&self) {
        for state in EndpointState::ALL {
            METRICS.webhooks.set(state.as_str(), usize::try_from(self.0.of(state)).unwrap_or(usize::MAX));
        }
    }
}

/// How much room the database takes.
pub(crate) struct DatabaseMeasured {
    /// All of it, in bytes.
    pub total: u64,
    /// The write-ahead log of SQLite.
    pub log: u64,
}

impl DatabaseMeasured {
    /// Sets the gauges.
    pub(crate) fn emit(&self) {
        METRICS.database_bytes.set(self.total as f64);
        METRICS.database_log_bytes.set(self.log as f64);
    }
}
