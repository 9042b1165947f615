//! A span before it is encoded.

use std::fmt::Display;
use std::time::Duration;

use crate::domain::time::UnixMillis;
use crate::domain::trace_context::{SpanId, TraceContext};

/// What a span is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    Producer,
    Client,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// A name of the semantic conventions, or of our own, and a value.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

impl Attribute {
    pub(super) fn text(name: &'static str, value: impl Display) -> Self {
        Self { name, value: Value::Text(value.to_string()) }
    }

    pub(super) fn number(name: &'static str, value: i64) -> Self {
        Self { name, value: Value::Number(value) }
    }

    pub(super) fn flag(name: &'static str) -> Self {
        Self { name, value: Value::Flag(true) }
    }
}

/// Something that took some time.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its own place.
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    /// Whether another program made the parent.
    pub(super) is_parent_remote: bool,
    /// Unix nanoseconds.
    pub(super) began_at: u64,
    pub(super) ended_at: u64,
    pub(super) attributes: Vec<Attribute>,
    /// What kind of failure it ended with.
    pub(super) error: Option<String>,
}

impl Span {
    pub(super) fn new(
        name: &'static str,
        kind: Kind,
        context: TraceContext,
        parent: Option<SpanId>,
        at: UnixMillis,
    ) -> Self {
        let began_at = at.0.unsigned_abs().saturating_mul(1_000_000);
        let attributes = Vec::with_capacity(14);
        Self {
            name,
            kind,
            context,
            parent,
            is_parent_remote: false,
            began_at,
            ended_at: began_at,
            attributes,
            error: None,
        }
    }

    pub(super) fn end(&mut self, took: Duration) {
        self.ended_at = self.began_at.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn fail(&mut self, error: &str) {
        self.attributes.push(Attribute::text("error.type", error));
        self.error = Some(error.to_owned());
    }
}
