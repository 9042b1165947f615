//! The request of an attempt: the contract's headers and the signatures around the event's body.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::context::ActorSettings;
use crate::domain::credentials::{ShownCertificate, TokenGrant};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::{CustomHeader, Endpoint};
use crate::domain::rotation::SecretId;
use crate::domain::secret::Secret;
use crate::domain::sent_request::{EndpointHeaders, Header, HeaderStyle, SentRequest};
use crate::domain::signing::{Digest, Signer, SigningKey};
use crate::domain::time::UnixMillis;
use crate::transport::AttemptRequest;

/// The parts of an endpoint's requests that are the same for every delivery.
pub struct RequestTemplate {
    /// Version of the settings that it was made from.
    pub version: i64,
    /// Whether the endpoint is ordered.
    pub ordered: bool,
    url: Arc<str>,
    timeout: Duration,
    custom_headers: Vec<Header>,
    client_certificate: Option<ShownCertificate>,
    oauth2: Option<Arc<TokenGrant>>,
    /// Newest first; never empty.
    keys: Vec<Key>,
    headers: Arc<EndpointHeaders>,
}

/// A signing secret, ready to sign with.
struct Key {
    id: SecretId,
    signer: Signer,
    expires_at: Option<UnixMillis>,
}

impl Key {
    fn new(secret: &Secret, expires_at: Option<UnixMillis>) -> Self {
        Self { id: SecretId::of(secret), signer: Signer::new(secret), expires_at }
    }

    fn is_valid(&self, now: UnixMillis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl RequestTemplate {
    /// Prepares an endpoint's requests.
    pub fn new(endpoint: &Endpoint, settings: &ActorSettings) -> Self {
        let previous = endpoint.previous_secrets.iter();
        let previous = previous.map(|previous| Key::new(&previous.secret, Some(previous.expires_at)));
        let oauth2 = endpoint.credentials.oauth2.as_deref();
        let organization_id = endpoint.organization_id;
        let shown =
            |certificate: &Arc<_>| ShownCertificate { organization_id, certificate: Arc::clone(certificate) };
        let mut custom_names: Vec<String> = endpoint.headers.iter().map(|header| header.name.clone()).collect();
        // its value is a secret as theirs are
        custom_names.extend(oauth2.map(|_| "authorization".to_owned()));
        let to_header = |header: &CustomHeader| {
            (ByteString::from(header.name.as_str()), ByteString::from(header.value.expose()))
        };
        let style = match endpoint.header_style {
            HeaderStyle::Svix if settings.whitelabel_headers => HeaderStyle::Standard,
            style => style,
        };
        Self {
            version: endpoint.version,
            ordered: endpoint.ordered,
            url: Arc::from(endpoint.url.as_str()),
            timeout: endpoint.timeout,
            custom_headers: endpoint.headers.iter().map(to_header).collect(),
            client_certificate: endpoint.credentials.client_certificate.as_ref().map(shown),
            oauth2: oauth2.map(|settings| Arc::new(TokenGrant::new(organization_id, endpoint.id, settings))),
            keys: std::iter::once(Key::new(&endpoint.secret, None)).chain(previous).collect(),
            headers: Arc::new(EndpointHeaders::new(
                &settings.user_agent,
                style,
                settings.header_prefix.clone(),
                custom_names,
            )),
        }
    }

    pub(crate) fn url(&self) -> Arc<str> {
        self.url.clone()
    }

    /// The keys of the document's two signatures: the one that signs, and the one of the second signature while several
    /// secrets are valid. That is the first that was refused right before, or else the next to try (contract, "Rotation").
    /// Both are missing when no valid secret can make them.
    fn document_keys(&self, secret: SecretId, refused: &[SecretId], now: UnixMillis) -> [Option<&SigningKey>; 2] {
        let all = || self.keys.iter().filter_map(|key| Some((key, key.signer.document_key()?)));
        let valid = || all().filter(|(key, _)| key.is_valid(now));
        let signing = all().find(|(key, _)| key.id == secret).or_else(|| valid().next());
        let Some((Key { id, .. }, signing)) = signing else { return [None; 2] };
        let first = refused.first().and_then(|refused| valid().find(|(key, _)| key.id == *refused));
        let other = first.or_else(|| valid().find(|(key, _)| key.id != *id));
        [Some(signing), other.map(|(_, other)| other)]
    }

    /// The document's two signatures, which the native style has alone.
    fn document_digests(
        &self,
        delivery: &QueuedDelivery,
        secret: SecretId,
        now: UnixMillis,
    ) -> [Option<Digest>; 2] {
        if self.headers.style != HeaderStyle::Native {
            return [None; 2];
        }
        let keys = self.document_keys(secret, delivery.refused(), now);
        keys.map(|key| key.map(|key| key.document_digest(&delivery.event.body)))
    }

    /// The request of attempt `number` of a delivery at `now`, and the part of it that the log keeps; `secret` makes the
    /// document's signature.
    pub fn request(
        &self,
        delivery: &QueuedDelivery,
        number: u32,
        secret: SecretId,
        now: UnixMillis,
    ) -> (AttemptRequest, SentRequest) {
        let body = &delivery.event.body;
        let event_id = delivery.event.id;
        let (id, timestamp) = (event_id.to_string(), now.as_seconds().to_string());
        let [document, previous_document] = self.document_digests(delivery, secret, now);
        let valid = self.keys.iter().filter(|key| key.is_valid(now));
        let sent = SentRequest {
            endpoint: Arc::clone(&self.headers),
            event_id,
            document,
            previous_document,
            standard: valid.map(|Key { signer, .. }| signer.sign_standard(&id, &timestamp, body)).collect(),
        };
        let mut headers = sent.fixed_headers(delivery.id, number, now);
        headers.extend_from_slice(&self.custom_headers);
        let fresh_connection = delivery.follow_up.as_ref().is_some_and(|known| known.on_fresh_connection);
        let request = AttemptRequest {
            url: self.url.clone(),
            headers,
            body: body.clone(),
            timeout: self.timeout,
            fresh_connection,
            client_certificate: self.client_certificate.clone(),
            oauth2: self.oauth2.clone(),
        };
        (request, sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::FollowUp;
    use crate::domain::endpoint::{DEFAULT_TIMEOUT, PreviousSecret};
    use crate::domain::event::Event;
    use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
    use bytes::Bytes;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLD_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NOW: UnixMillis = UnixMillis(1_750_000_000_123);

    fn endpoint() -> Endpoint {
        Endpoint {
            headers: vec![CustomHeader { name: "X-Token".to_owned(), value: Secret::new("t0p".to_owned()) }],
            max_in_flight: 4,
            ..Endpoint::new(
                EndpointId(3),
                OrganizationId(1),
                "https://receiver.example/hook",
                Secret::new(SECRET.to_owned()),
                NOW,
            )
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
            trace: None,
        };
        QueuedDelivery::first(DeliveryId(6), NOW, Arc::new(event))
    }

    fn header<'a>(request: &'a AttemptRequest, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    fn request(endpoint: &Endpoint, number: u32, now: UnixMillis) -> AttemptRequest {
        RequestTemplate::new(endpoint, &settings())
            .request(&delivery(), number, SecretId::of(&endpoint.secret), now)
            .0
    }

    #[test]
    fn a_request_carries_every_header_of_the_contract() {
        let request = request(&endpoint(), 2, NOW);
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
    fn a_request_in_the_style_of_svix_has_its_three_headers_signed_with_every_valid_secret_and_none_of_ours() {
        let previous =
            PreviousSecret { secret: Secret::new(OLD_SECRET.to_owned()), expires_at: NOW + DEFAULT_TIMEOUT };
        let endpoint =
            Endpoint { header_style: HeaderStyle::Svix, previous_secrets: vec![previous], ..endpoint() };
        for (whitelabel_headers, prefix) in [(false, "svix"), (true, "webhook")] {
            let settings = ActorSettings { whitelabel_headers, ..settings() };
            let template = RequestTemplate::new(&endpoint, &settings);
            let (request, _) = template.request(&delivery(), 2, SecretId::of(&endpoint.secret), NOW);
            let names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_string()).collect();
            let ours = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
            let expected =
                [&["content-type".to_owned(), "user-agent".to_owned()], &ours[..], &["X-Token".to_owned()]];
            assert_eq!(names, expected.concat());
            let (id, signatures) = (EventId(5).to_string(), header(&request, &ours[2]).unwrap());
            assert_eq!(header(&request, &ours[0]), Some(id.as_str()));
            for secret in [SECRET, OLD_SECRET] {
                let key = SigningKey::new(&Secret::new(secret.to_owned()));
                assert!(key.verify_standard(&id, 1_750_000_000, &request.body, signatures), "{secret}");
            }
        }
    }

    #[test]
    fn a_rotated_secret_keeps_signing_until_it_expires() {
        let mut endpoint = endpoint();
        let old = Secret::new(OLD_SECRET.to_owned());
        let expires_at = UnixMillis(NOW.0 + 1);
        endpoint.previous_secrets = vec![PreviousSecret { secret: old.clone(), expires_at }];
        let old = SigningKey::new(&old);

        let request = request(&endpoint, 1, NOW);
        assert!(old.verify_document(&request.body, header(&request, "x-callintel-signature-previous").unwrap()));
        let signatures = header(&request, "webhook-signature").unwrap();
        assert_eq!(signatures.split(' ').count(), 2);
        assert!(old.verify_standard(&EventId(5).to_string(), 1_750_000_000, &request.body, signatures));

        let later = self::request(&endpoint, 1, expires_at);
        assert_eq!(header(&later, "x-callintel-signature-previous"), None);
        assert_eq!(header(&later, "webhook-signature").unwrap().split(' ').count(), 1);
    }

    #[test]
    fn the_documents_signature_uses_the_chosen_secret_and_the_second_signature_the_first_refused_one() {
        let mut endpoint = endpoint();
        let secrets: Vec<Secret> =
            (0..4).map(|number| Secret::new(format!("whsec_{}AAA", "abcd".repeat(8 + number)))).collect();
        endpoint.secret = secrets[0].clone();
        let previous = secrets[1..]
            .iter()
            .map(|secret| PreviousSecret { secret: secret.clone(), expires_at: NOW + DEFAULT_TIMEOUT });
        endpoint.previous_secrets = previous.collect();
        let template = RequestTemplate::new(&endpoint, &settings());
        let keys: Vec<SigningKey> = secrets.iter().map(SigningKey::new).collect();
        for (refused, signing, other) in
            [(&[][..], 0, 1), (&[0], 1, 0), (&[0, 1], 2, 0), (&[], 3, 0), (&[3], 0, 3)]
        {
            let refused: Vec<SecretId> =
                refused.iter().map(|&place: &usize| SecretId::of(&secrets[place])).collect();
            let follow_up = FollowUp { refused, on_fresh_connection: signing == 2 };
            let delivery = QueuedDelivery { follow_up: Some(Box::new(follow_up)), ..delivery() };
            let (request, _) = template.request(&delivery, 1, SecretId::of(&secrets[signing]), NOW);
            assert_eq!(request.fresh_connection, signing == 2);
            for (name, place) in [("x-callintel-signature", signing), ("x-callintel-signature-previous", other)] {
                assert!(
                    keys[place].verify_document(&request.body, header(&request, name).unwrap()),
                    "{name}: {place}"
                );
            }
            let signatures: Vec<&str> = header(&request, "webhook-signature").unwrap().split(' ').collect();
            let id = EventId(5).to_string();
            for (key, signature) in keys.iter().zip(&signatures) {
                assert!(key.verify_standard(&id, 1_750_000_000, &request.body, signature), "the newest first");
            }
            assert_eq!(signatures.len(), 4);
        }
    }

    #[test]
    fn the_log_keeps_the_name_of_a_customers_header_and_not_its_value() {
        let endpoint = endpoint();
        let template = RequestTemplate::new(&endpoint, &settings());
        let (_, sent) = template.request(&delivery(), 1, SecretId::of(&endpoint.secret), NOW);
        assert_eq!(sent.endpoint.custom_names, ["X-Token"]);
        assert!(!format!("{sent:?}").contains("t0p"));
    }
}
