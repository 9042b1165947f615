//! Spans as messages of OTLP.

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status, span, status};
use prost::Message;

use super::span::{Attribute, Kind, Span, Value};

/// Of the flags of a span: its trace's are in the lowest byte, and these say whether another program made its parent.
const SAMPLED: u32 = 1;
const PARENT_IS_KNOWN: u32 = 1 << 8;
const PARENT_IS_REMOTE: u32 = 1 << 9;

/// Who makes the spans: names and values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resource(pub Vec<(String, String)>);

/// The body of a request to a collector.
pub(crate) fn encode(spans: Vec<Span>, resource: &Resource) -> Vec<u8> {
    let attributes =
        resource.0.iter().map(|(name, value)| key_value(name, any_value::Value::StringValue(value.clone())));
    let resource = v1::Resource { attributes: attributes.collect(), ..v1::Resource::default() };
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(message).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let of_resource = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

/// How many spans a collector did not take, by the body of its answer.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let rejected = answer.and_then(|answer| answer.partial_success).map_or(0, |partial| partial.rejected_spans);
    u64::try_from(rejected).unwrap_or_default()
}

fn message(span: Span) -> otlp::Span {
    let Span { name, kind, context, parent, is_parent_remote, began_at, ended_at, attributes, error } = span;
    let kind = match kind {
        Kind::Internal => span::SpanKind::Internal,
        Kind::Producer => span::SpanKind::Producer,
        Kind::Client => span::SpanKind::Client,
    };
    let code = error.map_or(status::StatusCode::Unset, |_| status::StatusCode::Error);
    otlp::Span {
        trace_id: context.trace_id.0.to_vec(),
        span_id: context.span_id.0.to_vec(),
        trace_state: context.tracestate().unwrap_or_default().to_owned(),
        parent_span_id: parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: SAMPLED | PARENT_IS_KNOWN | if is_parent_remote { PARENT_IS_REMOTE } else { 0 },
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: began_at,
        end_time_unix_nano: ended_at,
        attributes: attributes.into_iter().map(attribute).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..otlp::Span::default()
    }
}

fn attribute(Attribute { name, value }: Attribute) -> KeyValue {
    key_value(
        name,
        match value {
            Value::Text(text) => any_value::Value::StringValue(text),
            Value::Number(number) => any_value::Value::IntValue(number),
            Value::Flag(flag) => any_value::Value::BoolValue(flag),
        },
    )
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
