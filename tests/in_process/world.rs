//! An API to call: the real handlers, actors and clock-less world of one test.

use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Arbiter;
use actix_web::dev::Service;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::{App, test, web};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use ringback::actors::context::{ActorContext, ActorSettings};
use ringback::actors::{Actors, ClusterPlace, SupervisorThreads};
use ringback::api::middleware::observe;
use ringback::api::request_id::RequestIds;
use ringback::api::{Api, ApiOptions, routes};
use ringback::config::{LimitSettings, SvixSettings};
use ringback::dashboard::{self, Dashboard};
use ringback::domain::attempt::{AttemptError, AttemptResult, LocalFault, Response, TlsFault};
use ringback::domain::breaker::BreakerConfig;
use ringback::domain::endpoint::EndpointDefaults;
use ringback::domain::event_types::EventTypePolicy;
use ringback::domain::machine::MachineLimits;
use ringback::domain::random::RandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::sent_request::Header;
use ringback::domain::target::TargetPolicy;
use ringback::domain::time::{Clock, UnixMillis};
use ringback::svix::{self, Svix};
use ringback::telemetry::traces::Traces;
use ringback::transport::{AttemptRequest, Transport};
use serde_json::{Value, json};

use crate::database::Database;
use crate::faulty_store::FaultyStore;

pub(crate) const ADMIN: &str = "admin-kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
/// 2024-12-16T10:30:45.007Z.
const BEGIN_MS: i64 = 1_734_345_045_007;

/// Stands still unless a test moves it.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(BEGIN_MS))
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

struct CountingRandomSource(AtomicU64);

impl RandomSource for CountingRandomSource {
    fn seed(&self) -> [u8; 32] {
        [self.0.fetch_add(1, Ordering::SeqCst) as u8; 32]
    }
}

/// The headers of a request.
pub(crate) type Head = Vec<Header>;

/// Every receiver says 200, unless a test wants another answer.
pub(crate) struct Receivers {
    /// Status of the answer; 0 for none, 1 for a handshake that failed, 2 for one that does not come until this changes.
    pub status: Arc<AtomicU16>,
    /// Bodies as they came.
    pub received: Mutex<Vec<Bytes>>,
    /// Their headers.
    pub heads: Mutex<Vec<Head>>,
}

impl Transport for Receivers {
    fn attempt(&self, request: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        self.received.lock().unwrap().push(request.body);
        self.heads.lock().unwrap().push(request.headers);
        if self.status.load(Ordering::SeqCst) == 2 {
            let status = self.status.clone();
            return Box::pin(async move {
                while status.load(Ordering::SeqCst) == 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(AttemptResult { response: Err(AttemptError::Timeout), duration: Duration::from_millis(3) })
            });
        }
        let answer = match self.status.load(Ordering::SeqCst) {
            0 => Err(AttemptError::Timeout),
            1 => Err(AttemptError::TlsFailure(TlsFault::WrongName)),
            status => Ok(Response::new(status, Vec::new(), Bytes::from_static(b"ok"))),
        };
        Box::pin(std::future::ready(Ok(AttemptResult { response: answer, duration: Duration::from_millis(3) })))
    }
}

/// What the API answered.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a problem with this status and code, and gives its bad fields, sorted.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for name in ["type", "title", "detail"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let mut fields: Vec<String> =
            errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        fields.sort_unstable();
        fields
    }

    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

pub(crate) fn request_ids() -> RequestIds {
    RequestIds::new(&mut SmallRng::seed_from_u64(1))
}

type Call = Rc<dyn Fn(test::TestRequest) -> LocalBoxFuture<'static, Answer>>;

/// An API over an engine of its own.
pub(crate) struct World {
    call: Call,
    pub store: Arc<FaultyStore>,
    /// `None` for a store in memory.
    pub database_url: Option<String>,
    pub clock: Arc<TestClock>,
    pub receivers: Arc<Receivers>,
    pub actors: Actors,
    pub api: web::Data<Api>,
    pub dashboard: web::Data<Dashboard>,
}

impl World {
    /// On the store in memory.
    pub(crate) async fn new() -> Self {
        Self::on(Database::Memory).await
    }

    pub(crate) async fn on(database: Database) -> Self {
        Self::configured(database, |_| {}).await
    }

    pub(crate) async fn configured(database: Database, configure: impl FnOnce(&mut ApiOptions)) -> Self {
        Self::with_dashboard(database, Dashboard::new(true), configure).await
    }

    /// With this dashboard on the same address.
    pub(crate) async fn with_dashboard(
        database: Database,
        dashboard: Dashboard,
        configure: impl FnOnce(&mut ApiOptions),
    ) -> Self {
        Self::with_all(database, dashboard, &SvixSettings::default(), None, configure).await
    }

    /// With the Svix-compatible API on the same address.
    pub(crate) async fn with_svix(database: Database, svix: &SvixSettings) -> Self {
        Self::traced(database, svix, None).await
    }

    /// The same, with spans.
    pub(crate) async fn traced(database: Database, svix: &SvixSettings, traces: Option<Arc<Traces>>) -> Self {
        Self::with_all(database, Dashboard::new(true), svix, traces, |_| {}).await
    }

    async fn with_all(
        database: Database,
        dashboard: Dashboard,
        svix: &SvixSettings,
        traces: Option<Arc<Traces>>,
        configure: impl FnOnce(&mut ApiOptions),
    ) -> Self {
        let svix = Svix::new(svix).map(web::Data::new);
        let database_url = database.create();
        let store = Arc::new(FaultyStore::over(Database::open_at(database_url.as_deref())));
        let clock = Arc::new(TestClock::new());
        let random = Arc::new(CountingRandomSource(AtomicU64::new(1)));
        let status = Arc::new(AtomicU16::new(200));
        let receivers = Arc::new(Receivers { status, received: Mutex::default(), heads: Mutex::default() });
        let place = ClusterPlace::alone(clock.clone());
        let context = ActorContext::new(store.clone(), receivers.clone(), clock.clone(), random, settings())
            .in_cluster(place.joined.rights().clone())
            .with_traces(traces);
        let threads = SupervisorThreads::single(Arbiter::current());
        let actors = Actors::start(Arc::new(context), threads, place).unwrap();
        svix::teller::start(actors.handle.clone());
        let mut options = ApiOptions {
            admin_key: Some(Secret::new(ADMIN.to_owned())),
            target_policy: TargetPolicy::default(),
            signature_header_prefix: "x-acme".to_owned(),
            reads_at_once: 4,
            read_threads: tokio::runtime::Handle::current(),
            limits: LimitSettings::default(),
            defaults: EndpointDefaults::default(),
            public_url: None,
            metrics: Some(Arc::new(|| "ringback_up 1\n".to_owned())),
            proxy_trouble: None,
        };
        configure(&mut options);
        let api = web::Data::new(Api::new(actors.handle.clone(), options));
        let dashboard = web::Data::new(dashboard);
        if let Some(svix) = &svix {
            actix_web::rt::spawn(ringback::svix::watch(api.clone(), svix.clone()));
        }
        let (pages, ids) = (dashboard.clone(), request_ids());
        let app = App::new()
            .app_data(api.clone())
            .wrap(from_fn(move |request, next| observe(ids.clone(), request, next)))
            .configure(routes::configure)
            .configure(|config| dashboard::configure(pages, config))
            .configure(|config| svix.into_iter().for_each(|svix| svix::configure(svix, config)));
        let service = Rc::new(test::init_service(app).await);
        let call: Call = Rc::new(move |request| {
            let service = service.clone();
            Box::pin(async move {
                let response = service.call(request.to_request()).await.unwrap();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = test::read_body(response).await;
                Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
            })
        });
        Self { call, store, database_url, clock, receivers, actors, api, dashboard }
    }

    pub(crate) async fn send(&self, request: test::TestRequest) -> Answer {
        (self.call)(request).await
    }

    pub(crate) async fn call(&self, key: &str, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request =
            test::TestRequest::default().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        let request = if key.is_empty() {
            request
        } else {
            request.insert_header(("authorization", format!("Bearer {key}")))
        };
        self.send(request.set_payload(body.into())).await
    }

    /// A call that names the organization that it is for; with an empty name it does not.
    pub(crate) async fn call_in(
        &self,
        key: &str,
        organization: &str,
        method: &str,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = test::TestRequest::default().method(method).uri(path).set_payload(body.into());
        request = request.insert_header(("authorization", format!("Bearer {key}")));
        if !organization.is_empty() {
            let name = HeaderValue::from_bytes(organization.as_bytes()).unwrap();
            request = request.insert_header(("ringback-organization", name));
        }
        self.send(request).await
    }

    /// A new key of the deployment.
    pub(crate) async fn deployment_key(&self, role: &str) -> String {
        let answer = self.post(ADMIN, "/v1/keys", json!({"name": role, "role": role})).await;
        answer.ok(201)["key"].as_str().unwrap().to_owned()
    }

    /// The id of one that nobody uses.
    pub(crate) async fn spare_deployment_key(&self) -> String {
        let answer = self.post(ADMIN, "/v1/keys", json!({"name": "spare", "role": "viewer"})).await;
        answer.ok(201)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.call(key, "GET", path, "").await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.call(key, "POST", path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, key: &str, path: &str, body: Value) -> Answer {
        self.call(key, "PATCH", path, body.to_string()).await
    }

    pub(crate) async fn organization(&self, name: &str) -> String {
        let answer = self.post(ADMIN, "/v1/organizations", json!({"name": name})).await;
        answer.ok(201)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn key(&self, organization: &str, role: &str) -> String {
        let path = format!("/v1/organizations/{organization}/keys");
        let answer = self.post(ADMIN, &path, json!({"name": role, "role": role})).await;
        answer.ok(201)["key"].as_str().unwrap().to_owned()
    }

    /// A new organization's owner key.
    pub(crate) async fn owner(&self) -> String {
        let organization = self.organization("acme").await;
        self.key(&organization, "owner").await
    }

    /// The id of the newest delivery, once it is no longer pending.
    pub(crate) async fn delivered(&self, key: &str) -> String {
        eventually("the newest delivery ends", async || {
            let logs = self.get(key, "/v1/webhooks/logs?limit=1").await.ok(200);
            let row = &logs["data"][0];
            (row["status"] != "pending").then(|| row["id"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// A health, once this many attempts of its last day are counted: they are a moment after they are in the log.
    pub(crate) async fn counted(&self, key: &str, path: &str, attempts: u64) -> Value {
        eventually(&format!("{path} counts {attempts} attempts"), async || {
            let health = self.get(key, path).await.ok(200);
            (health["last_24h"]["attempts"] == attempts).then_some(health)
        })
        .await
    }

    /// A new webhook's path.
    pub(crate) async fn webhook(&self, key: &str, body: Value) -> String {
        let created = self.post(key, "/v1/webhooks", body).await.ok(201);
        format!("/v1/webhooks/{}", created["id"].as_str().unwrap())
    }
}

/// What `look` finds, as soon as it finds something. Looks often; gives up after 30 s, which no test needs.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), looking).await;
    found.unwrap_or_else(|_| panic!("not within 30 s: {what}"))
}

/// Those of the actors, with the policy of the contract.
pub(crate) fn settings() -> ActorSettings {
    ActorSettings {
        event_types: EventTypePolicy::default(),
        crowded_attempts: 2_048,
        max_active_endpoints: 100,
        payload_memory_bytes: 16 * 1024 * 1024,
        max_uncommitted_events: 1_000,
        max_uncommitted_bytes: 32 * 1024 * 1024,
        // tests look at outcomes as soon as they have seen the request
        spare_commits_from: Duration::MAX,
        limits: MachineLimits {
            breaker: BreakerConfig {
                failure_threshold: 8,
                initial_pause: Duration::from_secs(5),
                max_pause: Duration::from_secs(600),
            },
            disable_after: Duration::from_secs(5 * 86_400),
        },
        idle_linger: Duration::from_secs(5),
        retention: Duration::from_secs(30 * 86_400),
        header_prefix: "x-acme".to_owned(),
        whitelabel_headers: false,
        user_agent: "Ringback/test".to_owned(),
    }
}
