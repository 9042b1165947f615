//! Gauges that somebody has to look for in the database: see `actors::watching`.

use std::time::Duration;

use tracing::field::display;
use tracing::warn;

use super::events::DELIVERY;
use super::log_throttle::LogThrottle;
use super::metrics::METRICS;
use crate::domain::credentials::{CertificateState, CertificatesSeen};
use crate::domain::health::{EndpointState, EndpointStates};
use crate::domain::time::UnixMillis;

const DAY: Duration = Duration::from_secs(86_400);

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

/// How close the client certificates of this node's webhooks are to their end.
pub(crate) struct CertificatesCounted {
    pub seen: CertificatesSeen,
    pub now: UnixMillis,
}

impl CertificatesCounted {
    /// Sets the gauges, and logs a warning once a day while one has ended or will soon.
    pub(crate) fn emit(&self) {
        static THROTTLE: LogThrottle = LogThrottle::every(DAY);
        for state in CertificateState::ALL {
            let count = usize::try_from(self.seen.of(state)).unwrap_or(usize::MAX);
            METRICS.client_certificates.set(state.as_str(), count);
        }
        let CertificatesSeen { expiring, expired, next, .. } = self.seen;
        if expiring + expired > 0 && THROTTLE.allow(self.now).is_some() {
            let webhook = next.map(|(_, id)| display(id));
            let not_after = next.map(|(at, _)| display(at));
            warn!(
                target: DELIVERY, expiring, expired, webhook, not_after,
                "client certificates of webhooks have expired, or will within three weeks: receivers refuse them then; their owners have to replace them"
            );
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
