//! What actors say about an event's trace: spans of publishing, of commits and of attempts, and the headers for receivers. Without
//! an exporter, and for events whose publisher sent no context, nothing of it happens.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::context::ActorContext;
use super::publication::{Publication, PublishError};
use super::publish_reply::PublishResult;
use crate::domain::attempt::AttemptResult;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::ids::EndpointId;
use crate::domain::sent_request::Header;
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
use crate::store::{CommitReport, EventCommit, WriteBatch};
use crate::telemetry::traces::{AttemptSpan, AttemptStart, CommitSpan, PublishEnd, PublishStart, Traces};
use crate::transport::AttemptRequest;

/// A request to publish whose span is open.
pub(super) struct PublishTrace {
    traces: Arc<Traces>,
    start: PublishStart,
    begin: Instant,
}

impl PublishTrace {
    /// `None` without an exporter.
    pub(super) fn begin(context: &ActorContext, publication: &Publication) -> Option<Self> {
        let traces = Arc::clone(context.traces.as_ref()?);
        let start = PublishStart {
            organization_id: publication.organization_id,
            event_type: publication.event_type.clone(),
            bytes: publication.data.get().len(),
            given: publication.trace.clone(),
            at: context.now(),
        };
        Some(Self { traces, start, begin: Instant::now() })
    }

    pub(super) fn end(self, result: &PublishResult) {
        let end = match result {
            Ok(published) if published.replayed => PublishEnd::Replayed(published.event.id),
            Ok(published) => PublishEnd::Stored(published.event.id),
            Err(error) => PublishEnd::Refused(name_of(error)),
        };
        self.traces.published(&self.start, &end, self.begin.elapsed());
    }
}

fn name_of(error: &PublishError) -> &'static str {
    match error {
        PublishError::Overloaded => "overloaded",
        PublishError::OverShare { .. } => "over_share",
        PublishError::Unavailable(_) => "unavailable",
        PublishError::IdempotencyKeyReused | PublishError::BatchKeyReused => "idempotency_key_reused",
        PublishError::UnknownEventType => "unknown_event_type",
        PublishError::OrganizationDeleted => "organization_deleted",
        PublishError::Stopping => "stopping",
    }
}

/// The spans of a commit, one for each event in it. The first `requested` events were published by requests, the others by the
/// engine.
pub(super) fn trace_commit(
    context: &ActorContext,
    batch: &WriteBatch,
    report: &CommitReport,
    requested: usize,
    took: Duration,
) {
    let Some(traces) = &context.traces else { return };
    let is_stored = |commit: &EventCommit| *commit == EventCommit::Stored;
    let events = report.events.iter().filter(|commit| is_stored(commit)).count();
    let commit = CommitSpan { ended_at: context.now(), took, events };
    for (place, (new, result)) in batch.events.iter().zip(&report.events).enumerate() {
        if is_stored(result) {
            traces.committed(&new.event, new.deliveries.len(), &commit, place >= requested);
        }
    }
}

/// An attempt's place in the trace of its event.
pub(super) struct AttemptTrace {
    /// For the receiver.
    sent: TraceContext,
    span: Option<(Arc<Traces>, AttemptSpan)>,
}

impl AttemptTrace {
    /// `None` when there is nothing to record and nothing to send.
    pub(super) fn begin(
        context: &ActorContext,
        delivery: &QueuedDelivery,
        endpoint_id: EndpointId,
        number: u32,
        request: &AttemptRequest,
        at: UnixMillis,
    ) -> Option<Self> {
        let event = &delivery.event;
        let given = event.trace.as_deref();
        if given.is_none() && context.traces.is_none() {
            return None;
        }
        let start = AttemptStart { event, endpoint_id, delivery_id: delivery.id, number, at, url: &request.url };
        let span = context.traces.as_ref().and_then(|traces| Some((Arc::clone(traces), traces.attempt(&start)?)));
        // without a span of ours, the publisher's is the one that the receiver's follows
        let sent = span.as_ref().map(|(_, span)| span.context()).or(given)?.clone();
        Some(Self { sent, span })
    }

    /// Adds the headers, unless the webhook has such a header of its own.
    pub(super) fn add_to(&self, request: &mut AttemptRequest) {
        let has_own =
            |(name, _): &Header| name.eq_ignore_ascii_case(TRACEPARENT) || name.eq_ignore_ascii_case(TRACESTATE);
        if request.headers.iter().any(has_own) {
            return;
        }
        let name = ByteString::from_static;
        request.headers.push((name(TRACEPARENT), self.sent.traceparent().into()));
        request.headers.extend(self.sent.tracestate().map(|state| (name(TRACESTATE), state.into())));
    }

    pub(super) fn end(self, result: &AttemptResult) {
        if let Some((traces, span)) = self.span {
            span.end(&traces, result);
        }
    }
}
