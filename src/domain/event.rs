//! Events: accepted once; their body is built once and never changed.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ids::{EventId, OrganizationId};
use super::labels::EventLabels;
use super::time::UnixMillis;
use super::trace_context::TraceContext;

/// The largest body in bytes: the CallIntel documentation promises receivers 10 MB.
pub(crate) const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// How deep `data` may nest. Deeper input is an attack on recursive parsers, here and at receivers.
pub(crate) const MAX_JSON_DEPTH: usize = 128;

/// An event with its id and its final body. Shared by all of its deliveries.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Receivers see it as `webhook_id`.
    pub id: EventId,
    /// The tenant that it happened to.
    pub organization_id: OrganizationId,
    /// For example `call.completed`.
    pub event_type: String,
    /// When it happened, according to the publisher.
    pub occurred_at: UnixMillis,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Signed, sent and stored unchanged.
    pub body: Bytes,
    /// The place in its publisher's trace; `None` when the publisher sent none.
    pub trace: Option<Arc<TraceContext>>,
}

impl Event {
    /// The published data, verbatim: `data` of a body that [`build_body`] made, which has the event's id, and all of any other;
    /// `null` for what is not JSON.
    pub(crate) fn data(&self) -> Box<RawValue> {
        #[derive(Deserialize)]
        struct Body<'a> {
            webhook_id: EventId,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let enveloped =
            serde_json::from_slice::<Body<'_>>(&self.body).ok().filter(|body| body.webhook_id == self.id);
        let data = match enveloped {
            Some(body) => Some(body.data),
            None => serde_json::from_slice(&self.body).ok(),
        };
        data.unwrap_or(RawValue::NULL).to_owned()
    }
}

/// A row of the list of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub id: EventId,
    pub event_type: String,
    /// When it happened.
    pub occurred_at: UnixMillis,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// The number of its deliveries, including those of replays.
    pub deliveries: usize,
    pub labels: EventLabels,
}

/// Which events to return; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub event_type: Option<String>,
    /// Events with this tag.
    pub tag: Option<String>,
    /// Accepted at or after.
    pub from: Option<UnixMillis>,
    /// Accepted before.
    pub to: Option<UnixMillis>,
}

/// Builds the body that every receiver of the event gets: the four keys in the contract's order, `data`
/// byte for byte as it was published.
///
/// `timestamp` must be RFC 3339 and `data` valid JSON; both are copied unchanged.
pub(crate) fn build_body(event_type: &str, timestamp: &str, event_id: EventId, data: &str) -> Bytes {
    let mut body = String::with_capacity(data.len() + event_type.len() + timestamp.len() + 96);
    body.push_str("{\"event_type\":");
    push_json_string(&mut body, event_type);
    body.push_str(",\"timestamp\":");
    push_json_string(&mut body, timestamp);
    body.push_str(",\"webhook_id\":\"");
    body.push_str(&event_id.to_string());
    body.push_str("\",\"data\":");
    body.push_str(data);
    body.push('}');
    Bytes::from(body)
}

/// The most bytes that [`build_body`] adds around `data`, so that the size can be checked before the event has an id.
pub(crate) fn body_overhead(event_type: &str, timestamp: &str) -> usize {
    event_type.len() + timestamp.len() + 80
}

fn push_json_string(out: &mut String, text: &str) {
    // a &str always serializes; the fallback keeps the body valid JSON in any case
    out.push_str(&serde_json::to_string(text).unwrap_or_else(|_| String::from("\"\"")));
}

/// How deep arrays and objects nest in a valid JSON text.
pub(crate) fn json_depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_contracts_keys_in_order_and_data_untouched() {
        let data = r#"{"n":1e400, "big":1234567890123456789012345678901234567890,"é":"\u00e9\/"}"#;
        let id = EventId(1 << 40);
        let body = build_body("call.completed", "2024-12-16T10:30:45Z", id, data);
        let expected = format!(
            r#"{{"event_type":"call.completed","timestamp":"2024-12-16T10:30:45Z","webhook_id":"{id}","data":{data}}}"#
        );
        assert_eq!(std::str::from_utf8(&body), Ok(expected.as_str()));
        assert!(body.len() <= data.len() + body_overhead("call.completed", "2024-12-16T10:30:45Z"));
    }

    #[test]
    fn the_published_data_is_found_in_a_body_of_either_shape() {
        let id = EventId(1 << 40);
        let event = |body: Bytes| Event {
            id,
            organization_id: OrganizationId(1),
            event_type: String::from("a.b"),
            occurred_at: UnixMillis(0),
            accepted_at: UnixMillis(0),
            body,
            trace: None,
        };
        let data = r#"{"webhook_id":"msg_07b925m00000c","data":[1e400]}"#;
        let enveloped = build_body("a.b", "2024-12-16T10:30:45Z", id, data);
        for body in [enveloped, Bytes::from_static(data.as_bytes())] {
            assert_eq!(event(body).data().get(), data);
        }
        assert_eq!(event(Bytes::from_static(b" 7 ")).data().get(), "7");
        assert_eq!(event(Bytes::from_static(b"<xml>")).data().get(), "null");
    }

    #[test]
    fn depth_counts_nesting_and_not_brackets_in_strings() {
        assert_eq!(json_depth("1"), 0);
        assert_eq!(json_depth(r#"{"a":[1,{"b":2}],"c":"[[[[\"[["}"#), 3);
        assert_eq!(json_depth(&format!("{}{}", "[".repeat(500), "]".repeat(500))), 500);
    }
}
