//! The trace that a publisher's request belongs to.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;

use crate::domain::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

/// What the headers say; `None` when there is none, and when what is there is no trace context: that refuses no event.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<Arc<TraceContext>> {
    let mut parents = headers.get_all(TRACEPARENT);
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    // one that is no text makes all of them wrong
    let states = headers.get_all(TRACESTATE).map(|value| value.to_str().unwrap_or("?"));
    TraceContext::parse(parent, states).map(Arc::new)
}
