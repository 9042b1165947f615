//! One struct for each thing that happens; the code where it happens calls `emit`.
//!
//! The targets of the log lines are [`INGEST`], [`DELIVERY`], [`STORE`], [`API`] and [`ENGINE`], whatever module emits
//! them: `RINGBACK_LOG=info,ringback::delivery=debug` shows every attempt.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::gauges::EngineGauge;
use super::log_throttle::{LogThrottle, OutageLog};
use super::metrics::{METRICS, OTHER};
use crate::domain::attempt::{AttemptResult, LocalFault};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;

/// Target of what happens to events before they are deliveries.
pub(crate) const INGEST: &str = "ringback::ingest";
/// Target of attempts, breakers and supervisors.
pub(crate) const DELIVERY: &str = "ringback::delivery";
/// Target of commits and the database.
pub(crate) const STORE: &str = "ringback::store";
/// Target of requests to the API and the dashboard.
pub(crate) const API: &str = "ringback::api";
/// Target of start and stop.
pub(crate) const ENGINE: &str = "ringback::engine";

/// An event and its deliveries are committed.
pub(crate) struct EventAccepted<'a> {
    pub organization_id: OrganizationId,
    pub event_id: EventId,
    /// Types that are not built in count as `other`.
    pub event_type: &'a str,
    pub deliveries: usize,
}

impl EventAccepted<'_> {
    /// Counts the event and its deliveries, which are pending now, and logs at debug.
    pub(crate) fn emit(&self) {
        METRICS.events_accepted.get(self.event_type).increment(1);
        EngineGauge::DeliveriesPending.add(self.deliveries as u64);
        debug!(
            target: INGEST,
            organization = %self.organization_id, event = %self.event_id, event_type = self.event_type,
            deliveries = self.deliveries, "event accepted"
        );
    }
}

/// An attempt was made.
pub(crate) struct AttemptFinished {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub delivery_id: DeliveryId,
    /// From 1.
    pub number: u32,
    /// See [`attempt_outcome`].
    pub outcome: &'static str,
    /// From the start to the head of the response, or to the error.
    pub duration: Duration,
    /// `None` if there was no response.
    pub response_code: Option<u16>,
    /// Why there was no response.
    pub error: Option<&'static str>,
}

impl AttemptFinished {
    pub(crate) fn new(
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        delivery_id: DeliveryId,
        number: u32,
        result: &AttemptResult,
    ) -> Self {
        Self {
            organization_id,
            endpoint_id,
            delivery_id,
            number,
            outcome: attempt_outcome(result),
            duration: result.duration,
            response_code: result.response.as_ref().ok().map(|response| response.status),
            error: result.response.as_ref().err().map(|error| error.as_str()),
        }
    }

    /// Counts it and logs at debug.
    pub(crate) fn emit(&self) {
        METRICS.attempts.get(self.outcome).increment(1);
        METRICS.attempt_duration.record(self.duration.as_secs_f64());
        debug!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id, delivery = %self.delivery_id,
            number = self.number, outcome = self.outcome, duration_ms = self.duration.as_millis() as u64,
            response_code = self.response_code, error = self.error, "attempt finished"
        );
    }
}

/// An attempt could not be made, because this machine lacked something.
pub(crate) struct AttemptNotMade {
    pub fault: LocalFault,
    pub now: UnixMillis,
}

impl AttemptNotMade {
    /// Counts it and logs a warning, throttled.
    pub(crate) fn emit(&self) {
        static THROTTLE: LogThrottle = LogThrottle::new();
        METRICS.local_faults.get(self.fault.as_str()).increment(1);
        if let Some(left_out) = THROTTLE.allow(self.now) {
            let lacking = self.fault.as_str();
            warn!(
                target: DELIVERY, lacking, left_out,
                "attempts can't be made on this machine; deliveries wait and none is counted as failed"
            );
        }
    }
}

/// The `outcome` of an attempt in metrics: `success`, the class of another response, or the kind of error. The outcome of
/// the delivery is another metric.
pub(crate) fn attempt_outcome(result: &AttemptResult) -> &'static str {
    match &result.response {
        Ok(response) => match response.status {
            200..=299 => "success",
            300..=399 => "http_3xx",
            400..=499 => "http_4xx",
            500..=599 => "http_5xx",
            _ => OTHER,
        },
        Err(error) => error.as_str(),
    }
}

/// Deliveries ended, and that is committed.
pub(crate) struct DeliveryFinished {
    /// Pending is not an end, and counts nothing.
    pub outcome: DeliveryStatus,
    /// A deleted webhook cancels many at once.
    pub count: u64,
}

impl DeliveryFinished {
    /// Counts them; they are no longer pending. The line was logged by the last attempt.
    pub(crate) fn emit(&self) {
        if self.outcome == DeliveryStatus::Pending {
            return;
        }
        METRICS.deliveries.get(self.outcome.as_str()).increment(self.count);
        EngineGauge::DeliveriesPending.subtract(self.count);
    }
}

/// A receiver acknowledged a first attempt.
pub(crate) struct FirstAttemptAcknowledged {
    /// Since the event was accepted.
    pub latency: Duration,
}

impl FirstAttemptAcknowledged {
    pub(crate) fn emit(&self) {
        METRICS.delivery_latency.record(self.latency.as_secs_f64());
    }
}

/// A group commit is on disk.
pub(crate) struct CommitFinished {
    /// Events, deliveries and outcomes.
    pub rows: usize,
    pub duration: Duration,
}

impl CommitFinished {
    /// Counts it, and logs a warning when the disk makes publishers wait.
    pub(crate) fn emit(&self) {
        METRICS.batch_rows.record(self.rows as f64);
        METRICS.commit.record(self.duration.as_secs_f64());
        if self.duration >= Duration::from_secs(2) {
            warn!(target: STORE, rows = self.rows, duration_ms = self.duration.as_millis() as u64, "slow commit");
        }
    }
}

/// A breaker opened: deliveries to this endpoint wait.
pub(crate) struct BreakerOpened {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// When the single probe is due.
    pub probe_at: UnixMillis,
}

impl BreakerOpened {
    /// Counts it and logs a warning.
    pub(crate) fn emit(&self) {
        let (organization, webhook, probe_at) = (self.organization_id, self.endpoint_id, self.probe_at);
        EngineGauge::BreakersOpen.add(1);
        warn!(target: DELIVERY, %organization, %webhook, %probe_at, "breaker opened, deliveries wait");
    }
}

pub(crate) struct BreakerClosed {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
}

impl BreakerClosed {
    /// Counts it and logs at info.
    pub(crate) fn emit(&self) {
        EngineGauge::BreakersOpen.subtract(1);
        let (organization, webhook) = (self.organization_id, self.endpoint_id);
        info!(target: DELIVERY, %organization, %webhook, "breaker closed");
    }
}

/// The engine disabled an endpoint.
pub(crate) struct EndpointDisabled<'a> {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    /// For example `gone`.
    pub reason: &'a str,
}

impl EndpointDisabled<'_> {
    pub(crate) fn emit(&self) {
        warn!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id, reason = self.reason,
            "webhook disabled"
        );
    }
}

/// A supervisor ended unexpectedly; another one continues with its deliveries from the database.
pub(crate) struct SupervisorLost {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
}

impl SupervisorLost {
    /// Logs an error: it is a defect of ours.
    pub(crate) fn emit(&self) {
        error!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id,
            "supervisor lost, starting another from the database"
        );
    }
}

/// Work of the engine in the database, outside of requests to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreOperation {
    /// Of events, outcomes and health.
    Commit,
    /// Of the write-ahead log, alongside commits.
    Checkpoint,
    /// When its supervisor starts.
    ReadWebhook,
    /// The next page for a supervisor.
    ReadDeliveries,
    /// At the start, and after commits failed.
    ReadAgenda,
    /// By retention.
    RemoveOld,
    /// After a change, or a commit, that failed.
    ResolveDoubt,
    /// The lease of this node.
    Beat,
}

impl StoreOperation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Checkpoint => "make a checkpoint",
            Self::ReadWebhook => "read a webhook",
            Self::ReadDeliveries => "read deliveries",
            Self::ReadAgenda => "read the agenda",
            Self::RemoveOld => "remove what is old",
            Self::ResolveDoubt => "read what failed changes have changed",
            Self::Beat => "renew the lease",
        }
    }
}

/// In the order of [`StoreOperation`].
static STORE_OUTAGES: [OutageLog; 8] = [const { OutageLog::new() }; 8];

/// The database can't be reached or can't write.
pub(crate) struct StoreUnavailable<'a> {
    pub operation: StoreOperation,
    pub now: UnixMillis,
    pub error: &'a dyn std::fmt::Display,
    /// Pause before the next try.
    pub retry_in: Duration,
}

impl StoreUnavailable<'_> {
    /// Logs an error, throttled: it is retried several times a second, perhaps for hours, and the disk that is full may be
    /// the log's as well.
    pub(crate) fn emit(&self) {
        let Some(left_out) = STORE_OUTAGES[self.operation as usize].fails(self.now) else { return };
        error!(
            target: STORE,
            operation = self.operation.as_str(), error = %self.error,
            retry_in_ms = self.retry_in.as_millis() as u64, left_out, "database not available"
        );
    }
}

/// A commit succeeded after commits had failed.
pub(crate) struct StoreRecovered {
    /// Since the first commit that failed.
    pub outage: Duration,
}

impl StoreRecovered {
    pub(crate) fn emit(&self) {
        if !STORE_OUTAGES[StoreOperation::Commit as usize].works_again() {
            return;
        }
        info!(target: STORE, outage_ms = self.outage.as_millis() as u64, "database available again");
    }
}

/// Retention removed old events.
pub(crate) struct Pruned {
    pub events: usize,
    pub deliveries: usize,
}

impl Pruned {
    pub(crate) fn emit(&self) {
        info!(target: STORE, events = self.events, deliveries = self.deliveries, "old events removed");
    }
}

/// How far retention is behind.
pub(crate) struct RetentionLag(pub Duration);

impl RetentionLag {
    /// Sets the gauge.
    pub(crate) fn emit(&self) {
        METRICS.retention_lag.set(self.0.as_secs_f64());
    }
}

/// Retention is far behind, and does not catch up.
pub(crate) struct RetentionBehind(pub Duration);

impl RetentionBehind {
    /// Logs a warning.
    pub(crate) fn emit(&self) {
        warn!(
            target: STORE,
            lag_seconds = self.0.as_secs(),
            "retention does not catch up: events become old faster than they are removed"
        );
    }
}

/// The engine has read its endpoints and listens.
pub(crate) struct EngineStarted<'a> {
    /// Address of the API.
    pub listen: SocketAddr,
    /// `sqlite` or `postgres`.
    pub database: &'a str,
    /// Deliveries pending from before.
    pub pending: u64,
    /// Breakers open from before.
    pub breakers_open: u64,
    /// Whether `--dev` relaxes the rules for targets.
    pub dev: bool,
}

impl EngineStarted<'_> {
    /// Sets the gauges and logs at info, with a warning for `--dev`.
    pub(crate) fn emit(&self) {
        EngineGauge::DeliveriesPending.set(self.pending);
        EngineGauge::BreakersOpen.set(self.breakers_open);
        let version = env!("CARGO_PKG_VERSION");
        info!(
            target: ENGINE,
            version, listen = %self.listen, database = self.database, pending = self.pending,
            breakers_open = self.breakers_open, "engine started"
        );
        if self.dev {
            warn!(target: ENGINE, "--dev: http and private targets are allowed; not for production");
        }
    }
}

/// The engine was asked to stop.
pub(crate) struct EngineStopping<'a> {
    /// For example `SIGTERM`.
    pub reason: &'a str,
}

impl EngineStopping<'_> {
    pub(crate) fn emit(&self) {
        info!(target: ENGINE, reason = self.reason, "stopping: attempts in flight end first");
    }
}

/// Everything is committed and closed.
pub(crate) struct EngineStopped {
    /// Since it was asked to stop.
    pub duration: Duration,
    /// Attempts that did not end in time; their deliveries stay pending.
    pub abandoned_attempts: usize,
}

impl EngineStopped {
    pub(crate) fn emit(&self) {
        let duration_ms = self.duration.as_millis() as u64;
        info!(target: ENGINE, duration_ms, abandoned_attempts = self.abandoned_attempts, "engine stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::{AttemptError, Response};
    use bytes::Bytes;

    #[test]
    fn an_attempts_outcome_is_its_class_of_response_or_kind_of_error() {
        let outcome = |answer| attempt_outcome(&AttemptResult { response: answer, duration: Duration::ZERO });
        let responded = |status| outcome(Ok(Response::new(status, Vec::new(), Bytes::new())));
        assert_eq!(responded(204), "success");
        assert_eq!(responded(301), "http_3xx");
        assert_eq!(responded(410), "http_4xx");
        assert_eq!(responded(503), "http_5xx");
        assert_eq!(responded(101), "other");
        assert_eq!(outcome(Err(AttemptError::BlockedAddress)), "blocked_address");
    }
}
