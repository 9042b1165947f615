//! The request of an attempt: the contract's headers and both signatures around the event's body.

use std::sync::Arc;
use std::time::Duration;

use super::context::ActorSettings;
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{CustomHeader, Endpoint};
use crate::domain::signing::SigningKey;
use crate::domain::time::UnixMillis;
use crate::transport::AttemptRequest;

/// Everything of an endpoint's requests that is the same for every delivery.
pub struct RequestTemplate {
    /// Of the settings that it was made from.
    pub version: i64,
    /// Whether the endpoint is ordered.
    pub ordered: bool,
    url: Arc<str>,
    timeout: Duration,
    custom_headers: Vec<CustomHeader>,
    key: SigningKey,
    previous_key: Option<(SigningKey, UnixMillis)>,
    user_agent: String,
    signature_header: String,
    previous_signature_header: String,
    delivery_header: String,
    attempt_header: String,
}

impl RequestTemplate {
    /// Prepares an endpoint's requests.
    pub fn new(endpoint: &Endpoint, settings: &ActorSettings) -> Self {
        let prefix = &settings.header_prefix;
        let previous = endpoint.previous_secret.as_ref();
        Self {
            version: endpoint.version,
            ordered: endpoint.ordered,
            url: Arc::from(endpoint.url.as_str()),
            timeout: endpoint.timeout,
            custom_headers: endpoint.headers.clone(),
            key: SigningKey::new(&endpoint.secret),
            previous_key: previous.map(|previous| (SigningKey::new(&previous.secret), previous.expires_at)),
            user_agent: settings.user_agent.clone(),
            signature_header: format!("{prefix}-signature"),
            previous_signature_header: format!("{prefix}-signature-previous"),
            delivery_header: format!("{prefix}-delivery"),
            attempt_header: format!("{prefix}-attempt"),
        }
    }

    /// Where they go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The request of attempt `number` of a delivery at `now`.
    pub fn request(&self, delivery: &QueuedDelivery, number: u32, now: UnixMillis) -> AttemptRequest {
        let body = &delivery.event.body;
        let (event_id, timestamp) = (delivery.event.id.to_string(), now.as_seconds().to_string());
        let previous_key = self.previous_key.as_ref().filter(|(_, expires_at)| *expires_at > now);
        let mut standard = self.key.sign_standard_text(&event_id, &timestamp, body);
        let mut headers = Vec::with_capacity(9 + self.custom_headers.len());
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.push(("user-agent".to_owned(), self.user_agent.clone()));
        headers.push((self.signature_header.clone(), self.key.sign_document(body)));
        if let Some((key, _)) = previous_key {
            headers.push((self.previous_signature_header.clone(), key.sign_document(body)));
            standard.push(' ');
            standard.push_str(&key.sign_standard_text(&event_id, &timestamp, body));
        }
        headers.push((self.delivery_header.clone(), delivery.id.to_string()));
        headers.push((self.attempt_header.clone(), number.to_string()));
        headers.push(("webhook-id".to_owned(), event_id));
        headers.push(("webhook-timestamp".to_owned(), timestamp));
        headers.push(("webhook-signature".to_owned(), standard));
        for CustomHeader { name, value } in &self.custom_headers {
            headers.push((name.clone(), value.expose().to_owned()));
        }
        let headers = Arc::new(headers);
        AttemptRequest { url: self.url.clone(), headers, body: body.clone(), timeout: self.timeout }
    }

    /// What hides a customer's own values in the log: they are secrets.
    pub fn mask(&self) -> HeaderMask {
        HeaderMask { custom: self.custom_headers.len() }
    }
}

/// Of a request's headers, as many as the endpoint had when it was made.
#[derive(Debug, Clone, Copy)]
pub struct HeaderMask {
    /// The last ones.
    custom: usize,
}

impl HeaderMask {
    /// What the log keeps of a request's headers. Nothing is copied once the transport has let go of them.
    pub fn apply(self, headers: Arc<Vec<(String, String)>>) -> Vec<(String, String)> {
        let mut headers = Arc::unwrap_or_clone(headers);
        let own = headers.len().saturating_sub(self.custom);
        for (_, value) in &mut headers[own..] {
            *value = "********".to_owned();
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::{DEFAULT_TIMEOUT, PreviousSecret};
    use crate::domain::event::Event;
    use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
    use crate::domain::retry::RetrySchedule;
    use crate::domain::secret::Secret;
    use bytes::Bytes;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLD_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NOW: UnixMillis = UnixMillis(1_750_000_000_123);

    fn endpoint() -> Endpoint {
        Endpoint {
            id: EndpointId(3),
            organization_id: OrganizationId(1),
            url: "https://receiver.example/hook".to_owned(),
            description: None,
            active: true,
            disabled_reason: None,
            disabled_at: None,
            events: Vec::new(),
            filter: None,
            timeout: DEFAULT_TIMEOUT,
            retry: RetrySchedule::default(),
            retry_on: Default::default(),
            headers: vec![CustomHeader { name: "X-Token".to_owned(), value: Secret::new("t0p".to_owned()) }],
            rate_limit: None,
            max_in_flight: 4,
            ordered: false,
            secret: Secret::new(SECRET.to_owned()),
            previous_secret: None,
            created_at: NOW,
            updated_at: NOW,
            version: 1,
        }
    }

    fn settings() -> ActorSettings {
        crate::actors::context::tests::settings()
    }

    fn delivery() -> QueuedDelivery {
        let event = Event {
            id: EventId(5),
            organization_id: OrganizationId(1),
            event_type: "call.completed".to_owned(),
            occurred_at: NOW,
            accepted_at: NOW,
            body: Bytes::from_static(b"{\"a\":1}"),
        };
        QueuedDelivery {
            id: DeliveryId(6),
            attempts_made: 1,
            attempts_in_earlier_rounds: 0,
            due_at: NOW,
            event: Arc::new(event),
        }
    }

    fn header<'a>(request: &'a AttemptRequest, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_request_carries_every_header_of_the_contract() {
        let request = RequestTemplate::new(&endpoint(), &settings()).request(&delivery(), 2, NOW);
        let key = SigningKey::new(&Secret::new(SECRET.to_owned()));
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(header(&request, "user-agent"), Some("Ringback/test"));
        assert_eq!(header(&request, "x-callintel-delivery"), Some(DeliveryId(6).to_string().as_str()));
        assert_eq!(header(&request, "x-callintel-attempt"), Some("2"));
        assert_eq!(header(&request, "webhook-id"), Some(EventId(5).to_string().as_str()));
        assert_eq!(header(&request, "webhook-timestamp"), Some("1750000000"));
        assert_eq!(header(&request, "X-Token"), Some("t0p"));
        assert_eq!(header(&request, "x-callintel-signature-previous"), None);
        assert!(key.verify_document(&request.body, header(&request, "x-callintel-signature").unwrap()));
        let id = EventId(5).to_string();
        let signature = header(&request, "webhook-signature").unwrap();
        assert!(key.verify_standard(&id, 1_750_000_000, &request.body, signature));
    }

    #[test]
    fn a_rotated_secret_signs_as_well_until_it_expires() {
        let mut endpoint = endpoint();
        let old = Secret::new(OLD_SECRET.to_owned());
        let expires_at = UnixMillis(NOW.0 + 1);
        endpoint.previous_secret = Some(PreviousSecret { secret: old.clone(), expires_at });
        let template = RequestTemplate::new(&endpoint, &settings());
        let old = SigningKey::new(&old);

        let request = template.request(&delivery(), 1, NOW);
        assert!(old.verify_document(&request.body, header(&request, "x-callintel-signature-previous").unwrap()));
        let signatures = header(&request, "webhook-signature").unwrap();
        assert_eq!(signatures.split(' ').count(), 2);
        assert!(old.verify_standard(&EventId(5).to_string(), 1_750_000_000, &request.body, signatures));

        let later = template.request(&delivery(), 1, expires_at);
        assert_eq!(header(&later, "x-callintel-signature-previous"), None);
        assert_eq!(header(&later, "webhook-signature").unwrap().split(' ').count(), 1);
    }

    #[test]
    fn the_log_does_not_keep_a_customers_header_values() {
        let template = RequestTemplate::new(&endpoint(), &settings());
        let request = template.request(&delivery(), 1, NOW);
        let logged = template.mask().apply(request.headers);
        assert!(logged.iter().all(|(_, value)| value != "t0p"));
        assert!(logged.contains(&("X-Token".to_owned(), "********".to_owned())));
    }
}
