//! One struct for each thing that happens. `emit` is all that its place needs to call.
//!
//! The targets of the log lines are [`INGEST`], [`DELIVERY`], [`STORE`], [`API`] and [`ENGINE`], whatever module emits
//! them: `RINGBACK_LOG=info,ringback::delivery=debug` shows every attempt.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::gauges::Level;
use super::metrics::METRICS;
use super::rarely::Rarely;
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
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The event.
    pub event_id: EventId,
    /// Its type, any; unknown ones count as `other`.
    pub event_type: &'a str,
    /// How many deliveries it was given.
    pub deliveries: usize,
}

impl EventAccepted<'_> {
    /// Counts it and writes a line at debug. Pending deliveries grow.
    pub(crate) fn emit(&self) {
        METRICS.accepted(self.event_type).increment(1);
        Level::DeliveriesPending.add(self.deliveries as u64);
        debug!(
            target: INGEST,
            organization = %self.organization_id, event = %self.event_id, event_type = self.event_type,
            deliveries = self.deliveries, "event accepted"
        );
    }
}

/// An attempt ended, one way or the other.
pub(crate) struct AttemptFinished {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// From 1.
    pub number: u32,
    /// See [`attempt_outcome`].
    pub outcome: &'static str,
    /// From the start to the answer's head, or to the failure.
    pub duration: Duration,
    /// When it was answered.
    pub response_code: Option<u16>,
    /// When it was not.
    pub error: Option<&'static str>,
}

impl AttemptFinished {
    /// From what the transport returned.
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
            response_code: result.answer.as_ref().ok().map(|response| response.status),
            error: result.answer.as_ref().err().map(|error| error.as_str()),
        }
    }

    /// Counts it and writes a line at debug.
    pub(crate) fn emit(&self) {
        METRICS.attempts(self.outcome).increment(1);
        METRICS.attempt_duration.record(self.duration.as_secs_f64());
        debug!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id, delivery = %self.delivery_id,
            number = self.number, outcome = self.outcome, duration_ms = self.duration.as_millis() as u64,
            response_code = self.response_code, error = self.error, "attempt finished"
        );
    }
}

/// An attempt was not made: this machine lacked something.
pub(crate) struct AttemptNotMade {
    /// What.
    pub fault: LocalFault,
    /// When.
    pub now: UnixMillis,
}

impl AttemptNotMade {
    /// Counts it, and warns of it now and then.
    pub(crate) fn emit(&self) {
        static GATE: Rarely = Rarely::new();
        METRICS.local_faults(self.fault.as_str()).increment(1);
        if let Some(left_out) = GATE.opens(self.now) {
            let lacking = self.fault.as_str();
            warn!(
                target: DELIVERY, lacking, left_out,
                "attempts can't be made on this machine; deliveries wait and none is counted as failed"
            );
        }
    }
}

/// The `outcome` of an attempt in metrics: `success`, the class of another answer, or the kind of failure. What it
/// means for the delivery is another question, and another metric.
pub(crate) fn attempt_outcome(result: &AttemptResult) -> &'static str {
    match &result.answer {
        Ok(response) => match response.status {
            200..=299 => "success",
            300..=399 => "http_3xx",
            400..=499 => "http_4xx",
            500..=599 => "http_5xx",
            _ => super::metrics::OTHER,
        },
        Err(error) => error.as_str(),
    }
}

/// A delivery reached its end, committed.
pub(crate) struct DeliveryFinished {
    /// Which end: pending is none, and counts nothing.
    pub outcome: DeliveryStatus,
    /// How many ended so; a deleted webhook cancels many at once.
    pub count: u64,
}

impl DeliveryFinished {
    /// Counts it; pending deliveries shrink. The attempt before it has written the line.
    pub(crate) fn emit(&self) {
        let counter = match self.outcome {
            DeliveryStatus::Success => &METRICS.delivered,
            DeliveryStatus::Failed => &METRICS.failed,
            DeliveryStatus::Cancelled => &METRICS.cancelled,
            DeliveryStatus::Pending => return,
        };
        counter.increment(self.count);
        Level::DeliveriesPending.subtract(self.count);
    }
}

/// A receiver acknowledged a first attempt.
pub(crate) struct FirstAttemptAcknowledged {
    /// Since the event was accepted.
    pub latency: Duration,
}

impl FirstAttemptAcknowledged {
    /// Counts it.
    pub(crate) fn emit(&self) {
        METRICS.delivery_latency.record(self.latency.as_secs_f64());
    }
}

/// A group commit is on disk.
pub(crate) struct CommitFinished {
    /// Events, deliveries and outcomes.
    pub rows: usize,
    /// Of the transaction.
    pub duration: Duration,
}

impl CommitFinished {
    /// Counts it, and warns of a disk that makes publishers wait.
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
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// When the single probe is due.
    pub probe_at: UnixMillis,
    /// Whether this is a failed probe: the breaker was open before, and is not counted twice.
    pub again: bool,
}

impl BreakerOpened {
    /// Counts it and writes a line: a warning the first time, debug for failed probes.
    pub(crate) fn emit(&self) {
        let (organization, webhook, probe_at) = (self.organization_id, self.endpoint_id, self.probe_at);
        if self.again {
            debug!(target: DELIVERY, %organization, %webhook, %probe_at, "probe failed, breaker stays open");
        } else {
            Level::BreakersOpen.add(1);
            warn!(target: DELIVERY, %organization, %webhook, %probe_at, "breaker opened, deliveries wait");
        }
    }
}

/// A breaker closed, or its endpoint went away.
pub(crate) struct BreakerClosed {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Why: `recovered`, `deleted`, `disabled`.
    pub reason: &'static str,
}

impl BreakerClosed {
    /// Counts it and writes a line.
    pub(crate) fn emit(&self) {
        Level::BreakersOpen.subtract(1);
        info!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id, reason = self.reason,
            "breaker closed"
        );
    }
}

/// The engine disabled an endpoint.
pub(crate) struct EndpointDisabled<'a> {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// For example `gone`.
    pub reason: &'a str,
}

impl EndpointDisabled<'_> {
    /// Writes a warning.
    pub(crate) fn emit(&self) {
        warn!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id, reason = self.reason,
            "webhook disabled"
        );
    }
}

/// A supervisor ended without saying goodbye; its deliveries are taken up again from the rows.
pub(crate) struct SupervisorLost {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
}

impl SupervisorLost {
    /// Writes an error: it is a defect of ours.
    pub(crate) fn emit(&self) {
        error!(
            target: DELIVERY,
            organization = %self.organization_id, webhook = %self.endpoint_id,
            "supervisor lost, starting another from the database"
        );
    }
}

/// What the engine wants of the database by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreOperation {
    /// Events, outcomes and conditions.
    Commit,
    /// Beside commits.
    Checkpoint,
    /// For its supervisor.
    ReadWebhook,
    /// The next page.
    ReadDeliveries,
    /// At the start, and after commits failed.
    ReadAgenda,
    /// Retention.
    RemoveOld,
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
        }
    }
}

/// The database can't be reached or can't write.
pub(crate) struct StoreUnavailable<'a> {
    /// What was tried.
    pub operation: StoreOperation,
    /// When.
    pub now: UnixMillis,
    /// What the database said.
    pub error: &'a dyn std::fmt::Display,
    /// When it is tried again.
    pub retry_in: Duration,
}

impl StoreUnavailable<'_> {
    /// Writes an error now and then: it is tried again several times a second, perhaps for hours, and the disk that is
    /// full may be the log's as well.
    pub(crate) fn emit(&self) {
        static GATES: [Rarely; 6] = [const { Rarely::new() }; 6];
        let Some(left_out) = GATES[self.operation as usize].opens(self.now) else { return };
        error!(
            target: STORE,
            operation = self.operation.as_str(), error = %self.error,
            retry_in_ms = self.retry_in.as_millis() as u64, left_out, "database not available"
        );
    }
}

/// The database answers again.
pub(crate) struct StoreRecovered {
    /// How long it did not.
    pub outage: Duration,
}

impl StoreRecovered {
    /// Writes a line.
    pub(crate) fn emit(&self) {
        info!(target: STORE, outage_ms = self.outage.as_millis() as u64, "database available again");
    }
}

/// Events that were older than they are kept were removed.
pub(crate) struct Pruned {
    /// How many.
    pub events: usize,
    /// Deliveries that went with them.
    pub deliveries: usize,
}

impl Pruned {
    /// Writes a line.
    pub(crate) fn emit(&self) {
        info!(target: STORE, events = self.events, deliveries = self.deliveries, "old events removed");
    }
}

/// The engine knows its endpoints and the agenda of what is pending.
pub(crate) struct EngineStarted<'a> {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// `sqlite` or `postgres`.
    pub database: &'a str,
    /// Deliveries left from before.
    pub pending: u64,
    /// Breakers open from before.
    pub breakers_open: u64,
    /// Whether `--dev` loosens the rules.
    pub dev: bool,
}

impl EngineStarted<'_> {
    /// Sets the gauges and writes a line, and a warning for `--dev`.
    pub(crate) fn emit(&self) {
        Level::DeliveriesPending.set(self.pending);
        Level::BreakersOpen.set(self.breakers_open);
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

/// The engine was told to stop.
pub(crate) struct EngineStopping<'a> {
    /// For example `SIGTERM`.
    pub reason: &'a str,
}

impl EngineStopping<'_> {
    /// Writes a line.
    pub(crate) fn emit(&self) {
        info!(target: ENGINE, reason = self.reason, "stopping: no new events, attempts in flight end first");
    }
}

/// Everything is committed and closed.
pub(crate) struct EngineStopped {
    /// Since it was told to.
    pub duration: Duration,
    /// Attempts that did not end in time; their deliveries stay pending.
    pub abandoned_attempts: usize,
}

impl EngineStopped {
    /// Writes a line.
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
    fn an_attempts_outcome_is_its_class_of_answer_or_kind_of_failure() {
        let outcome = |answer| attempt_outcome(&AttemptResult { answer, duration: Duration::ZERO });
        let answered = |status| outcome(Ok(Response { status, headers: Vec::new(), body: Bytes::new() }));
        assert_eq!(answered(204), "success");
        assert_eq!(answered(301), "http_3xx");
        assert_eq!(answered(410), "http_4xx");
        assert_eq!(answered(503), "http_5xx");
        assert_eq!(answered(101), "other");
        assert_eq!(outcome(Err(AttemptError::BlockedAddress)), "blocked_address");
    }
}
