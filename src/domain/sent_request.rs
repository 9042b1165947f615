//! The part of an attempt's request that the log keeps.

use std::fmt::Write as _;
use std::sync::Arc;

use bytestring::ByteString;

use super::ids::{DeliveryId, EventId};
use super::signing::{Digest, StandardSignature, append_document, append_standard};
use super::time::UnixMillis;

/// What stands in the log for a customer's own header values: they are secrets.
pub(crate) const MASKED: &str = "********";

/// The request of an attempt. The rest of its headers follows from its outcome: the delivery's id, the attempt's number
/// and its start, which is the signed timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// Shared by all requests of the endpoint.
    pub endpoint: Arc<EndpointHeaders>,
    /// In `webhook-id`.
    pub event_id: EventId,
    /// HMAC-SHA256 of the body, in `{prefix}-signature`; in the native style alone, and only while a valid secret is one for HMAC.
    pub document: Option<Digest>,
    /// With another valid secret, in `{prefix}-signature-previous`.
    pub previous_document: Option<Digest>,
    /// One for each valid secret, in `webhook-signature`.
    pub standard: Vec<StandardSignature>,
}

/// Name and value. Most of them are the same in every request of an endpoint, and are shared.
pub type Header = (ByteString, ByteString);

/// Which headers sign a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeaderStyle {
    /// Those of the contract: the document's and those of Standard Webhooks.
    #[default]
    Native,
    /// `svix-id`, `svix-timestamp` and `svix-signature`: what Svix's libraries verify.
    Svix,
    /// The same three with the names of Standard Webhooks, and nothing else.
    Standard,
}

impl HeaderStyle {
    /// The names of id, timestamp and signature.
    pub(crate) fn names(self) -> [&'static str; 3] {
        match self {
            Self::Native | Self::Standard => ["webhook-id", "webhook-timestamp", "webhook-signature"],
            Self::Svix => ["svix-id", "svix-timestamp", "svix-signature"],
        }
    }
}

/// The part of an endpoint's headers that is the same in every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointHeaders {
    /// `Ringback/` and the version, unless a test sets another.
    pub user_agent: ByteString,
    pub style: HeaderStyle,
    /// Before `-signature`, `-delivery` and `-attempt`; they are in the native style alone.
    pub prefix: String,
    /// Names of the customer's own headers, in their order; their values are never kept.
    pub custom_names: Vec<String>,
    own_names: OwnNames,
}

/// The names with the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OwnNames {
    signature: ByteString,
    previous_signature: ByteString,
    delivery: ByteString,
    attempt: ByteString,
}

impl EndpointHeaders {
    /// For all requests of an endpoint.
    pub fn new(user_agent: &str, style: HeaderStyle, prefix: String, custom_names: Vec<String>) -> Self {
        let own = |suffix| ByteString::from(format!("{prefix}-{suffix}"));
        let own_names = OwnNames {
            signature: own("signature"),
            previous_signature: own("signature-previous"),
            delivery: own("delivery"),
            attempt: own("attempt"),
        };
        Self { user_agent: user_agent.into(), style, prefix, custom_names, own_names }
    }
}

impl SentRequest {
    /// The headers up to the customer's own, in the order of sending.
    pub(crate) fn fixed_headers(&self, delivery_id: DeliveryId, number: u32, at: UnixMillis) -> Vec<Header> {
        let EndpointHeaders { user_agent, style, own_names, custom_names, .. } = self.endpoint.as_ref();
        let constant = ByteString::from_static;
        let mut values = Values::new();
        if *style == HeaderStyle::Native {
            if let Some(document) = &self.document {
                values.add(own_names.signature.clone(), |text| append_document(document, text));
            }
            if let Some(previous) = &self.previous_document {
                values.add(own_names.previous_signature.clone(), |text| append_document(previous, text));
            }
            values.add(own_names.delivery.clone(), |text| delivery_id.append_to(text));
            values.add(own_names.attempt.clone(), |text| append_number(number.into(), text));
        }
        let [id, timestamp, signature] = style.names().map(constant);
        values.add(id, |text| self.event_id.append_to(text));
        values.add(timestamp, |text| append_number(at.as_seconds(), text));
        values.add(signature, |text| append_standard(&self.standard, text));
        // those of a trace and of a token may follow
        let mut headers = Vec::with_capacity(12 + custom_names.len());
        headers.push((constant("content-type"), constant("application/json")));
        headers.push((constant("user-agent"), user_agent.clone()));
        values.add_to(&mut headers);
        headers
    }
}

/// Values of headers in one piece of memory: an allocation for each would cost more than what they say.
struct Values {
    text: String,
    /// Each with the end of its value.
    names: Vec<(ByteString, usize)>,
}

impl Values {
    fn new() -> Self {
        Self { text: String::with_capacity(VALUES_BYTES), names: Vec::with_capacity(8) }
    }

    fn add(&mut self, name: ByteString, append_value: impl FnOnce(&mut String)) {
        append_value(&mut self.text);
        self.names.push((name, self.text.len()));
    }

    fn add_to(self, headers: &mut Vec<Header>) {
        let text = ByteString::from(self.text);
        let mut begin = 0;
        for (name, end) in self.names {
            headers.push((name, text.slice_ref(&text[begin..end])));
            begin = end;
        }
    }
}

/// Of an ordinary request: a signature of each scheme, two ids, a number and a time. Smaller: the text is moved while it grows.
/// Larger: each attempt in flight holds it.
const VALUES_BYTES: usize = 256;

fn append_number(number: i64, text: &mut String) {
    // a string takes everything
    _ = write!(text, "{number}");
}

/// A request of no event and without signatures, for tests that look at other things.
impl Default for SentRequest {
    fn default() -> Self {
        Self {
            endpoint: Arc::default(),
            event_id: EventId(0),
            document: Some(Digest::default()),
            previous_document: None,
            standard: Vec::new(),
        }
    }
}
