//! A store with content, and shortcuts to add more.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringback::domain::attempt::{AttemptError, AttemptResult, NextStep, Outcome, Response, RetryOn};
use ringback::domain::credentials::{ClientAuthentication, ClientCertificate, Credentials, OAuth2};
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::endpoint::{CustomHeader, Endpoint, PreviousSecret, RateLimit};
use ringback::domain::event::Event;
use ringback::domain::filter::Filter;
use ringback::domain::health::EndpointHealth;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, KeyId, OrganizationId};
use ringback::domain::organization::{ApiKey, Metadata, Organization, Role};
use ringback::domain::patterns::EventPattern;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::retry::{RetryPolicy, RetrySchedule};
use ringback::domain::secret::Secret;
use ringback::domain::sent_request::{EndpointHeaders, HeaderStyle, SentRequest};
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::memory::MemoryStore;
use ringback::store::{
    CommitReport, DueRequest, EventCommit, IdempotencyKey, NewEvent, PageRequest, SavedHealth, Store, WriteBatch,
    open,
};
use test_support::postgres;
use zeroize::Zeroizing;

/// 2026-01-01T00:00:00Z: when every test begins.
pub(crate) const START: UnixMillis = UnixMillis(1_767_225_600_000);
/// The URL of every endpoint.
pub(crate) const URL: &str = "https://example.com/hook";
/// The signing secret of every endpoint.
pub(crate) const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
/// The older of the previous secrets of an endpoint with every field set.
pub(crate) const OLDER_SECRET: &str = "whsec_b2xkZXItb2xkZXItb2xkZXItb2xkZXItb2xkZXI=";
pub(crate) const HEADER_VALUE: &str = "Bearer customers-own-token";
pub(crate) const CLIENT_SECRET: &str = "customers-client-secret";

/// A key for tests.
pub(crate) fn cipher() -> Cipher {
    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// This many seconds after the beginning.
pub(crate) fn at(seconds: i64) -> UnixMillis {
    UnixMillis(START.0 + seconds * 1000)
}

/// The first page of a list.
pub(crate) fn first_page(limit: usize) -> PageRequest {
    PageRequest { before_id: None, limit }
}

/// A store and its ids.
pub(crate) struct Fixture {
    pub store: Arc<dyn Store>,
    ids: Mutex<IdGenerator>,
    _folder: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self { store, ids: Mutex::new(IdGenerator::new(0, 0)), _folder: None }
    }

    /// With ids above one, as after a restart.
    pub(crate) fn going_on_above(self, largest: i64) -> Self {
        Self { ids: Mutex::new(IdGenerator::new(0, largest)), ..self }
    }

    pub(crate) fn memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_sqlite(&folder.path().join("ringback.db"));
        Self { _folder: Some(folder), ..Self::over(store) }
    }

    /// `None` where PostgreSQL is not installed.
    pub(crate) fn postgres() -> Option<Self> {
        let url = postgres::shared()?.create_database();
        Some(Self::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}"))))
    }

    pub(crate) fn id_at(&self, now: UnixMillis) -> i64 {
        self.ids.lock().unwrap().next(now)
    }

    pub(crate) fn organization(&self) -> OrganizationId {
        let id = OrganizationId(self.id_at(START));
        self.store.create_organization(&Organization::named(id, "Acme", START)).unwrap();
        id
    }

    pub(crate) fn key(&self, organization_id: OrganizationId, hash: u8) -> ApiKey {
        let key = ApiKey {
            id: KeyId(self.id_at(START)),
            organization_id: Some(organization_id),
            name: String::from("ci"),
            role: Role::Manager,
            hash: [hash; 32],
            prefix: String::from("rb_abc"),
            created_at: START,
            expires_at: Some(at(60)),
            last_used_at: None,
        };
        self.store.create_key(&key).unwrap();
        key
    }

    pub(crate) fn endpoint(&self, organization_id: OrganizationId) -> EndpointId {
        let endpoint = plain_endpoint(EndpointId(self.id_at(START)), organization_id);
        self.store.create_endpoint(&endpoint).unwrap();
        endpoint.id
    }

    /// An event and its deliveries, not stored yet.
    pub(crate) fn new_event(
        &self,
        organization_id: OrganizationId,
        endpoints: &[EndpointId],
        now: UnixMillis,
    ) -> NewEvent {
        self.new_event_of("call.completed", organization_id, endpoints, now)
    }

    pub(crate) fn new_event_of(
        &self,
        event_type: &str,
        organization_id: OrganizationId,
        endpoints: &[EndpointId],
        now: UnixMillis,
    ) -> NewEvent {
        let id = EventId(self.id_at(now));
        let event = Event {
            id,
            organization_id,
            event_type: event_type.to_owned(),
            occurred_at: UnixMillis(now.0 - 5),
            accepted_at: now,
            body: Bytes::from(format!("{{\"event_type\":\"{event_type}\",\"webhook_id\":\"{id}\"}}")),
            trace: None,
        };
        let deliveries = endpoints.iter().map(|&endpoint_id| (DeliveryId(self.id_at(now)), endpoint_id)).collect();
        NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
    }

    /// Stores an event for endpoints; returns its deliveries' ids.
    pub(crate) fn publish(
        &self,
        organization_id: OrganizationId,
        endpoints: &[EndpointId],
        now: UnixMillis,
    ) -> Vec<DeliveryId> {
        self.publish_of("call.completed", organization_id, endpoints, now)
    }

    pub(crate) fn publish_of(
        &self,
        event_type: &str,
        organization_id: OrganizationId,
        endpoints: &[EndpointId],
        now: UnixMillis,
    ) -> Vec<DeliveryId> {
        let new = self.new_event_of(event_type, organization_id, endpoints, now);
        let ids = new.deliveries.iter().map(|&(id, _)| id).collect();
        let report = self.commit_events(vec![new], now);
        assert_eq!(report.events, [EventCommit::Stored]);
        ids
    }

    pub(crate) fn commit_events(&self, events: Vec<NewEvent>, now: UnixMillis) -> CommitReport {
        self.store.commit(&WriteBatch { events, ..WriteBatch::default() }, now).unwrap()
    }

    pub(crate) fn record(&self, outcomes: Vec<Outcome>) -> Vec<bool> {
        let batch = WriteBatch { outcomes, ..WriteBatch::default() };
        self.store.commit(&batch, at(0)).unwrap().outcomes_recorded
    }

    /// Purges deleted organizations in steps of `limit` rows; returns how many steps found something.
    pub(crate) fn purge(&self, settled_before: UnixMillis, limit: usize) -> usize {
        let steps =
            std::iter::from_fn(|| self.store.purge_organizations(settled_before, limit).unwrap().then_some(()));
        steps.count()
    }

    pub(crate) fn save_health(&self, health: EndpointHealth) {
        self.save_health_of(health, URL);
    }

    /// The same, but found at another URL.
    pub(crate) fn save_health_of(&self, health: EndpointHealth, url: &str) {
        let saved = SavedHealth { health, url: url.into() };
        let batch = WriteBatch { health: vec![saved], ..WriteBatch::default() };
        self.store.commit(&batch, at(0)).unwrap();
    }

    /// Ids of due deliveries, in queue order.
    pub(crate) fn due(
        &self,
        organization_id: OrganizationId,
        endpoint_id: EndpointId,
        now: UnixMillis,
    ) -> Vec<DeliveryId> {
        let request = DueRequest {
            now,
            max_deliveries: 1_000,
            max_bytes: usize::MAX,
            max_first_bytes: usize::MAX,
            after: None,
            known: Vec::new(),
        };
        let page = self.store.due_deliveries(organization_id, endpoint_id, &request).unwrap();
        assert!(!page.more);
        page.deliveries.iter().map(|queued| queued.id).collect()
    }

    /// Ids of the log.
    pub(crate) fn log(&self, organization_id: OrganizationId, filter: &DeliveryFilter) -> Vec<DeliveryId> {
        let rows = self.store.deliveries(organization_id, filter, first_page(1_000)).unwrap().rows;
        rows.iter().map(|row| row.id).collect()
    }
}

pub(crate) fn open_sqlite(path: &std::path::Path) -> Arc<dyn Store> {
    open(&sqlite_url(path), cipher()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn sqlite_url(path: &std::path::Path) -> String {
    format!("sqlite://{}", PathBuf::from(path).display())
}

/// An endpoint with defaults.
pub(crate) fn plain_endpoint(id: EndpointId, organization_id: OrganizationId) -> Endpoint {
    Endpoint::new(id, organization_id, URL, Secret::new(SECRET.to_owned()), START)
}

/// An endpoint with every field set.
pub(crate) fn full_endpoint(id: EndpointId, organization_id: OrganizationId) -> Endpoint {
    Endpoint {
        description: Some(String::from("für das CRM")),
        active: false,
        disabled_reason: Some(ringback::domain::endpoint::DisabledReason::Manual),
        disabled_at: Some(at(3)),
        events: ["call.*", "user.created"].map(|text| EventPattern::parse(text).unwrap()).to_vec(),
        filter: Some(Filter::parse(&serde_json::json!({"direction": "outbound", "min_duration": 30})).unwrap()),
        timeout: Duration::from_millis(2_500),
        retry: RetrySchedule::Policy(RetryPolicy { max_attempts: 7, ..RetryPolicy::default() }),
        retry_on: RetryOn { client_errors: true, redirects: false },
        headers: vec![CustomHeader {
            name: String::from("Authorization"),
            value: Secret::new(HEADER_VALUE.to_owned()),
        }],
        credentials: CREDENTIALS.clone(),
        rate_limit: Some(RateLimit { per_second: 0.5, burst: Some(4) }),
        max_in_flight: 256,
        ordered: true,
        header_style: HeaderStyle::Svix,
        uid: Some(format!("crm.Main_{id}").parse().unwrap()),
        svix_id: Some(format!("{:0>27}", id.0).parse().unwrap()),
        metadata: Metadata::new([(String::from("team"), String::from("größe"))].into()).unwrap(),
        previous_secrets: [("whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZA==", 86_400), (OLDER_SECRET, 60)]
            .map(|(secret, end)| PreviousSecret { secret: Secret::new(secret.to_owned()), expires_at: at(end) })
            .to_vec(),
        updated_at: at(9),
        ..plain_endpoint(id, organization_id)
    }
}

/// A client certificate and OAuth 2.0.
static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec![String::from("a.example")]).unwrap().self_signed(&key).unwrap();
    let certificate =
        ClientCertificate::new(vec![made.der().to_vec()], Zeroizing::new(key.serialize_der())).unwrap();
    let oauth2 = OAuth2 {
        token_url: String::from("https://auth.example/token"),
        client_id: String::from("us"),
        client_secret: Secret::new(String::from(CLIENT_SECRET)),
        scope: Some(String::from("hooks")),
        audience: None,
        client_authentication: ClientAuthentication::Post,
    };
    Credentials { client_certificate: Some(Arc::new(certificate)), oauth2: Some(Arc::new(oauth2)) }
});

/// The outcome of an attempt: a response with this status.
pub(crate) fn outcome(
    organization_id: OrganizationId,
    endpoint_id: EndpointId,
    delivery_id: DeliveryId,
    number: u32,
    status: u16,
    next: NextStep,
) -> Outcome {
    let started_at = at(i64::from(number) * 10);
    let headers = vec![
        (String::from("content-type"), String::from("text/plain")),
        (String::from("via"), String::from("a")),
        (String::from("via"), String::from("b")),
    ];
    let response = Response::new(status, headers, Bytes::from_static(b"caf\xc3\xa9 \xff"));
    let endpoint = EndpointHeaders::new(
        "Ringback/test",
        HeaderStyle::Native,
        String::from("x-callintel"),
        vec![String::from("X-Token")],
    );
    let request = SentRequest { endpoint: Arc::new(endpoint), event_id: EventId(7), ..SentRequest::default() };
    Outcome {
        organization_id,
        endpoint_id,
        delivery_id,
        number,
        started_at,
        finished_at: UnixMillis(started_at.0 + 40),
        ordered: false,
        request,
        result: AttemptResult { response: Ok(response), duration: Duration::from_millis(37) },
        next,
    }
}

/// The same without a response.
pub(crate) fn unanswered(outcome: Outcome, error: AttemptError) -> Outcome {
    Outcome { result: AttemptResult { response: Err(error), duration: Duration::from_secs(10) }, ..outcome }
}

/// The same with a key.
pub(crate) fn keyed(mut new: NewEvent, key: &str, request: u8) -> NewEvent {
    new.idempotency = Some(IdempotencyKey { key: key.to_owned(), request_hash: [request; 32] });
    new
}
