//! A collector of traces: takes messages of OTLP over HTTP and remembers the spans.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, status};
use prost::Message;

use crate::receiver::{Receiver, reply};

/// A span as the collector got it; ids in hexadecimal, values as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    pub state: String,
    pub attributes: BTreeMap<String, String>,
    pub is_error: bool,
    pub nanoseconds: u64,
}

impl Span {
    /// An attribute; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// It runs until it is dropped.
pub struct Collector(Receiver);

impl Collector {
    pub fn start() -> Self {
        Self(Receiver::ok())
    }

    /// Answers every request with this status.
    pub fn answering(status: u16) -> Self {
        Self(Receiver::answering(move |_| reply(status)))
    }

    /// Takes requests and never answers.
    pub fn hanging() -> Self {
        Self(Receiver::holding(200))
    }

    /// The value of `otlp_endpoint`.
    pub fn endpoint(&self) -> String {
        self.0.url().trim_end_matches("/hook").to_owned()
    }

    /// How many requests it got.
    pub fn requests(&self) -> usize {
        self.0.count()
    }

    /// The values of a header in all requests.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.0.seen().iter().map(|seen| seen.header(name).to_owned()).collect()
    }

    /// The paths of all requests.
    pub fn paths(&self) -> Vec<String> {
        self.0.seen().into_iter().map(|seen| seen.path).collect()
    }

    /// What the spans say about who made them, by the first request.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let first = self.messages().into_iter().next().unwrap();
        attributes(&first.resource_spans[0].resource.as_ref().unwrap().attributes)
    }

    fn messages(&self) -> Vec<ExportTraceServiceRequest> {
        self.0.seen().iter().map(|seen| ExportTraceServiceRequest::decode(&*seen.body).unwrap()).collect()
    }

    /// Every span so far, in the order in which they came.
    pub fn spans(&self) -> Vec<Span> {
        let messages = self.messages().into_iter();
        let of_resources = messages.flat_map(|message| message.resource_spans);
        let of_scopes = of_resources.flat_map(|resource| resource.scope_spans);
        of_scopes.flat_map(|scope| scope.spans).map(Span::from).collect()
    }

    /// Whether some bytes are in any request.
    pub fn has_seen(&self, text: &str) -> bool {
        self.0.seen().iter().any(|seen| seen.body.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("an attribute of another kind: {other:?}"),
    };
    all.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

impl From<otlp::Span> for Span {
    fn from(span: otlp::Span) -> Self {
        let is_error = span.status.is_some_and(|status| status.code() == status::StatusCode::Error);
        Self {
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state,
            attributes: attributes(&span.attributes),
            is_error,
            nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
        }
    }
}
