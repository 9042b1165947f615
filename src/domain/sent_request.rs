//! The part of an attempt's request that the log keeps.

use std::sync::Arc;

use super::ids::{DeliveryId, EventId};
use super::signing::{Digest, StandardSignature, document_text, standard_text};
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
    pub user_agent: String,
    pub style: HeaderStyle,
    /// Before `-signature`, `-delivery` and `-attempt`; they are in the native style alone.
    pub prefix: String,
    /// Names of the customer's own headers, in their order; their values are never kept.
    pub custom_names: Vec<String>,
}

impl SentRequest {
    /// The headers up to the customer's own, in the order of sending.
    pub(crate) fn fixed_headers(
        &self,
        delivery_id: DeliveryId,
        number: u32,
        at: UnixMillis,
    ) -> Vec<(String, String)> {
        let EndpointHeaders { user_agent, style, prefix, custom_names } = self.endpoint.as_ref();
        let mut headers = Vec::with_capacity(9 + custom_names.len());
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.push(("user-agent".to_owned(), user_agent.clone()));
        if *style == HeaderStyle::Native {
            if let Some(document) = &self.document {
                headers.push((format!("{prefix}-signature"), document_text(document)));
            }
            if let Some(previous) = &self.previous_document {
                headers.push((format!("{prefix}-signature-previous"), document_text(previous)));
            }
            headers.push((format!("{prefix}-delivery"), delivery_id.to_string()));
            headers.push((format!("{prefix}-attempt"), number.to_string()));
        }
        let [id, timestamp, signature] = style.names();
        headers.push((id.to_owned(), self.event_id.to_string()));
        headers.push((timestamp.to_owned(), at.as_seconds().to_string()));
        headers.push((signature.to_owned(), standard_text(&self.standard)));
        headers
    }
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
