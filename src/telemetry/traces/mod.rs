//! Spans for OpenTelemetry: an event's way as one trace, from the request that published it to each attempt.
//!
//! Their ids follow from those of events and deliveries and from a key that all nodes have. So nothing is stored of a trace that
//! begins here, and whoever makes an attempt, hours later or on another node, finds the same trace. No payload, no secret and
//! nothing of a URL but its host and port is in a span.

mod message;
mod queue;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

pub(crate) use message::{Resource, encode, rejected};
pub(crate) use queue::SpanQueue;
pub(crate) use span::Span;
use span::{Attribute, Kind};

use crate::domain::attempt::AttemptResult;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::domain::trace_context::{SpanId, TraceContext, TraceId};

/// Makes spans and queues them for the exporter. Shared by all threads.
pub struct Traces {
    key: [u8; 32],
    /// Of 2^63 new traces, how many are sampled.
    sampled: u64,
    queue: Arc<SpanQueue>,
    /// Requests to publish that have no event of their own.
    others: AtomicU64,
}

/// The part of an event in its trace.
struct EventTrace {
    /// The place of the span of publishing, which commit and attempts are children of.
    publish: TraceContext,
    /// The publisher's span.
    parent: Option<SpanId>,
    commit: SpanId,
}

/// A request to publish an event.
pub(crate) struct PublishStart {
    pub organization_id: OrganizationId,
    pub event_type: String,
    /// Of the data.
    pub bytes: usize,
    /// What the publisher sent.
    pub given: Option<Arc<TraceContext>>,
    pub at: UnixMillis,
}

/// How it ended.
pub(crate) enum PublishEnd {
    Stored(EventId),
    /// Repeats the answer to an earlier request, of this event.
    Replayed(EventId),
    Refused(&'static str),
}

/// A commit with an event in it.
pub(crate) struct CommitSpan {
    pub ended_at: UnixMillis,
    pub took: Duration,
    /// Stored by this commit.
    pub events: usize,
}

/// An attempt that begins.
pub(crate) struct AttemptStart<'a> {
    pub event: &'a Event,
    pub endpoint_id: EndpointId,
    pub delivery_id: DeliveryId,
    /// From 1.
    pub number: u32,
    pub at: UnixMillis,
    pub url: &'a str,
}

/// An attempt under way that is recorded.
pub(crate) struct AttemptSpan(Span);

impl Traces {
    /// Of the traces that begin here, `ratio` (0 to 1) are sampled; the others as their publishers say. All nodes need the same
    /// key and ratio.
    pub(crate) fn new(key: [u8; 32], ratio: f64, queue: Arc<SpanQueue>) -> Self {
        // a number beyond the range becomes its end
        let sampled = (ratio * (1_u64 << 63) as f64) as u64;
        Self { key, sampled, queue, others: AtomicU64::new(0) }
    }

    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        // a key of any length is taken
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [1; 32] };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// `None` for what is not sampled. `ids` are those of a trace (its halves), of a span and of another.
    fn place(&self, given: Option<&TraceContext>, ids: &[u8; 32]) -> Option<EventTrace> {
        let [high, low, publish, commit] = ids.as_chunks::<8>().0 else { return None };
        let (publish, commit) = (SpanId(*publish), SpanId(*commit));
        if let Some(given) = given {
            let trace = || EventTrace { publish: given.at(publish), parent: Some(given.span_id), commit };
            return given.is_sampled().then(trace);
        }
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(high);
        trace_id[8..].copy_from_slice(low);
        let is_sampled = u64::from_be_bytes(*low) >> 1 < self.sampled;
        let publish = TraceContext::sampled(TraceId(trace_id), publish);
        is_sampled.then_some(EventTrace { publish, parent: None, commit })
    }

    fn of_event(&self, id: EventId, given: Option<&TraceContext>) -> Option<EventTrace> {
        // most are not
        if !given.map_or(self.sampled > 0, TraceContext::is_sampled) {
            return None;
        }
        self.place(given, &self.derive(&[b"event", &id.0.to_be_bytes()]))
    }

    /// A request to publish has been answered.
    pub(crate) fn published(&self, start: &PublishStart, end: &PublishEnd, took: Duration) {
        let given = start.given.as_deref();
        let trace = match end {
            PublishEnd::Stored(id) => self.of_event(*id, given),
            PublishEnd::Replayed(_) | PublishEnd::Refused(_) => {
                let number = self.others.fetch_add(1, Ordering::Relaxed);
                self.place(given, &self.derive(&[b"other", &number.to_be_bytes(), &start.at.0.to_be_bytes()]))
            }
        };
        let Some(trace) = trace else { return };
        let mut span = publish_span(&trace, start.at, took, start.organization_id, &start.event_type);
        span.attributes.push(Attribute::number("messaging.message.body.size", start.bytes as i64));
        match end {
            PublishEnd::Stored(id) => span.attributes.push(Attribute::text("messaging.message.id", id)),
            PublishEnd::Replayed(id) => {
                span.attributes.push(Attribute::text("messaging.message.id", id));
                span.attributes.push(Attribute::flag("ringback.idempotent_replay"));
            }
            PublishEnd::Refused(reason) => span.fail(reason),
        }
        self.queue.push(span);
    }

    /// An event is on disk. `is_own`: the engine published it, so there was no request.
    pub(crate) fn committed(&self, event: &Event, deliveries: usize, commit: &CommitSpan, is_own: bool) {
        let Some(trace) = self.of_event(event.id, event.trace.as_deref()) else { return };
        let CommitSpan { ended_at, took, events } = *commit;
        let began_at = ended_at - took;
        if is_own {
            let mut span = publish_span(&trace, began_at, took, event.organization_id, &event.event_type);
            span.attributes.push(Attribute::text("messaging.message.id", event.id));
            self.queue.push(span);
        }
        let context = trace.publish.at(trace.commit);
        let mut span = Span::new("commit event", Kind::Internal, context, Some(trace.publish.span_id), began_at);
        span.end(took);
        span.attributes.extend([
            Attribute::text("messaging.message.id", event.id),
            Attribute::text("ringback.organization.id", event.organization_id),
            Attribute::number("ringback.event.deliveries", deliveries as i64),
            Attribute::number("ringback.commit.events", events as i64),
        ]);
        self.queue.push(span);
    }

    /// The span of an attempt; `None` when its event is not sampled.
    pub(crate) fn attempt(&self, start: &AttemptStart<'_>) -> Option<AttemptSpan> {
        let AttemptStart { event, endpoint_id, delivery_id, number, at, url } = *start;
        let trace = self.of_event(event.id, event.trace.as_deref())?;
        // an attempt that is made again after a crash has its number, and another beginning
        let parts: [&[u8]; 4] =
            [b"attempt", &delivery_id.0.to_be_bytes(), &number.to_be_bytes(), &at.0.to_be_bytes()];
        let derived = self.derive(&parts);
        let id = SpanId(*derived.first_chunk()?);
        let context = trace.publish.at(id);
        let mut span = Span::new("attempt delivery", Kind::Client, context, Some(trace.publish.span_id), at);
        span.attributes.extend([
            Attribute::text("messaging.system", "ringback"),
            Attribute::text("messaging.operation.name", "attempt"),
            Attribute::text("messaging.operation.type", "send"),
            Attribute::text("messaging.message.id", event.id),
            Attribute::text("ringback.organization.id", event.organization_id),
            Attribute::text("ringback.webhook.id", endpoint_id),
            Attribute::text("ringback.delivery.id", delivery_id),
            Attribute::number("ringback.attempt.number", number.into()),
            Attribute::text("http.request.method", "POST"),
        ]);
        if number > 1 {
            span.attributes.push(Attribute::number("http.request.resend_count", i64::from(number) - 1));
        }
        if let Ok(url) = Url::parse(url) {
            span.attributes.push(Attribute::text("url.scheme", url.scheme()));
            let address = url.host_str().map(|host| Attribute::text("server.address", host));
            let port = url.port_or_known_default().map(|port| Attribute::number("server.port", port.into()));
            span.attributes.extend(address.into_iter().chain(port));
        }
        Some(AttemptSpan(span))
    }
}

fn publish_span(
    trace: &EventTrace,
    at: UnixMillis,
    took: Duration,
    organization_id: OrganizationId,
    event_type: &str,
) -> Span {
    let mut span = Span::new("publish event", Kind::Producer, trace.publish.clone(), trace.parent, at);
    span.is_parent_remote = trace.parent.is_some();
    span.end(took);
    span.attributes.extend([
        Attribute::text("messaging.system", "ringback"),
        Attribute::text("messaging.operation.name", "publish"),
        Attribute::text("messaging.operation.type", "create"),
        Attribute::text("ringback.organization.id", organization_id),
        Attribute::text("ringback.event.type", event_type),
    ]);
    span
}

impl AttemptSpan {
    /// Its place, for the receiver.
    pub(crate) fn context(&self) -> &TraceContext {
        &self.0.context
    }

    /// The attempt has a result.
    pub(crate) fn end(self, traces: &Traces, result: &AttemptResult) {
        let Self(mut span) = self;
        span.end(result.duration);
        match &result.response {
            Ok(response) => {
                let status = response.status;
                span.attributes.push(Attribute::number("http.response.status_code", status.into()));
                if status >= 400 {
                    span.fail(&status.to_string());
                }
            }
            Err(error) => span.fail(error.as_str()),
        }
        traces.queue.push(span);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::attempt::{AttemptError, Response};

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOW: UnixMillis = UnixMillis(1_750_000_000_123);

    fn traces(key: u8, ratio: f64) -> Traces {
        Traces::new([key; 32], ratio, Arc::default())
    }

    fn event(id: i64, trace: Option<&str>) -> Event {
        Event {
            id: EventId(id),
            organization_id: OrganizationId(1),
            event_type: "call.completed".to_owned(),
            occurred_at: NOW,
            accepted_at: NOW,
            body: Bytes::from_static(b"{\"secret\":1}"),
            trace: trace.map(|text| Arc::new(TraceContext::parse(text, []).unwrap())),
        }
    }

    fn start(event: &Event, number: u32, at: UnixMillis) -> AttemptStart<'_> {
        let url = "https://user:pass@receiver.example/token/abc?key=def";
        AttemptStart { event, endpoint_id: EndpointId(2), delivery_id: DeliveryId(3), number, at, url }
    }

    fn spans(traces: &Traces, event: &Event) -> Vec<Span> {
        let publish = PublishStart {
            organization_id: event.organization_id,
            event_type: event.event_type.clone(),
            bytes: 12,
            given: event.trace.clone(),
            at: NOW,
        };
        let took = Duration::from_millis(5);
        traces.published(&publish, &PublishEnd::Stored(event.id), took);
        traces.committed(event, 1, &CommitSpan { ended_at: NOW, took, events: 7 }, false);
        for (number, status) in [(1, 503), (2, 200)] {
            let Some(span) = traces.attempt(&start(event, number, NOW + took)) else { continue };
            let response = Response::new(status, Vec::new(), Bytes::new());
            span.end(traces, &AttemptResult { response: Ok(response), duration: took });
        }
        traces.queue.close();
        traces.queue.take().unwrap_or_default()
    }

    #[test]
    fn commit_and_attempts_are_children_of_the_publishing_whose_parent_is_the_publishers_span() {
        let spans = spans(&traces(1, 0.0), &event(5, Some(GIVEN)));
        assert_eq!(spans.iter().map(|span| span.name).collect::<Vec<_>>()[..2], ["publish event", "commit event"]);
        assert_eq!(spans.len(), 4);
        assert!(spans.iter().all(|span| span.context.trace_id.to_string() == GIVEN[3..35]));
        assert_eq!(spans[0].parent.unwrap().to_string(), &GIVEN[36..52]);
        let publish = Some(spans[0].context.span_id);
        assert!(spans[1..].iter().all(|span| span.parent == publish), "{spans:?}");
        let mut ids: Vec<[u8; 8]> = spans.iter().map(|span| span.context.span_id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "each has its own id");
    }

    #[test]
    fn a_trace_that_begins_here_is_found_again_by_whoever_has_the_key_and_by_nobody_else() {
        let ids = |key, id| {
            let spans = spans(&traces(key, 1.0), &event(id, None));
            spans.iter().map(|span| (span.context.trace_id, span.context.span_id)).collect::<Vec<_>>()
        };
        assert_eq!(ids(1, 5), ids(1, 5));
        assert_eq!(ids(1, 5).len(), 4);
        assert_ne!(ids(1, 5)[0].0, ids(2, 5)[0].0);
        assert_ne!(ids(1, 5)[0].0, ids(1, 6)[0].0);
    }

    #[test]
    fn a_publishers_decision_counts_and_of_the_others_the_ratio_is_sampled() {
        assert!(spans(&traces(1, 1.0), &event(5, Some(&GIVEN.replace("-01", "-00")))).is_empty());
        for (ratio, expected) in [(0.0, 0..=0), (0.25, 200..=300), (1.0, 1_000..=1_000)] {
            let traces = traces(1, ratio);
            let sampled = (0..1_000).filter(|&id| traces.of_event(EventId(id), None).is_some()).count();
            assert!(expected.contains(&sampled), "{ratio}: {sampled}");
        }
    }

    #[test]
    fn no_span_has_a_payload_or_more_of_a_url_than_host_and_port() {
        let text = format!("{:?}", spans(&traces(1, 1.0), &event(5, None)));
        for secret in ["user", "pass", "token", "abc", "key", "def", "secret"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        assert!(text.contains("receiver.example") && text.contains("443"), "{text}");
    }

    #[test]
    fn an_attempt_without_success_is_an_error_and_one_made_again_another_span() {
        let (traces, event) = (traces(1, 1.0), event(5, None));
        let result = AttemptResult { response: Err(AttemptError::Timeout), duration: Duration::ZERO };
        for at in [NOW, NOW + Duration::from_millis(1)] {
            traces.attempt(&start(&event, 1, at)).unwrap().end(&traces, &result);
        }
        traces.queue.close();
        let spans = traces.queue.take().unwrap();
        assert_eq!(spans[0].error.as_deref(), Some("timeout"));
        assert_ne!(spans[0].context.span_id, spans[1].context.span_id);
    }
}
