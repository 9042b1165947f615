//! The HTTP API: actix-web handlers over the engine's handle and the store.
//!
//! Every route is in one table ([`routes::ROUTES`]) together with the permission that it requires; the table is the
//! registration, so that no route exists without a permission. Handlers read their input with [`input`], which reports
//! all invalid fields, and every error is a [`problem::Problem`].

pub(crate) mod all_health;
pub(crate) mod audit;
pub mod auth;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod catalogue;
pub(crate) mod cluster;
mod connection_timeouts;
pub(crate) mod docs;
mod environment_types;
pub(crate) mod erasure;
pub(crate) mod event_batch;
pub(crate) mod event_input;
pub(crate) mod event_type_definitions;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod health;
mod health_views;
pub(crate) mod input;
pub mod key_text;
pub(crate) mod keys;
pub(crate) mod known_types;
pub(crate) mod label_input;
pub(crate) mod line;
pub(crate) mod logs;
pub(crate) mod lookup_cache;
pub mod middleware;
pub(crate) mod offered_types;
pub mod openapi;
pub(crate) mod organizations;
pub(crate) mod pagination;
pub(crate) mod probes;
pub mod problem;
pub mod request_id;
mod route_spec;
pub mod routes;
pub mod server;
pub(crate) mod sessions;
pub(crate) mod sign_in_links;
pub(crate) mod trace_headers;
pub(crate) mod turns;
pub(crate) mod usage;
pub(crate) mod webhook_actions;
pub(crate) mod webhook_input;
mod webhook_keys;
pub mod webhook_settings;
mod webhook_view;
pub(crate) mod webhooks;

use std::fmt::Display;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::actors::fairness::event_rates::EventRates;
use crate::actors::handle::EngineHandle;
use crate::config::LimitSettings;
use crate::domain::attempt::LocalFault;
use crate::domain::endpoint::EndpointDefaults;
use crate::domain::ids::OrganizationId;
use crate::domain::secret::Secret;
use crate::domain::session::DashboardSession;
use crate::domain::target::TargetPolicy;
use crate::telemetry;
use caller::KnownOrganization;
use environment_types::KnownEnvironmentTypes;
use lookup_cache::{KnownKey, LookupCache};
use probes::Readiness;
use problem::{ErrorCode, Problem};
use turns::Turns;

/// How long to wait for a read. The store has its own limits, which end slow calls: a read that exceeds this hangs on a
/// dead connection. Smaller than those limits: slow calls are mistaken for dead ones. Larger: clients wait in vain.
const READ_PATIENCE: Duration = Duration::from_secs(35);
/// The same for a change, which may wait for others before it.
const CHANGE_PATIENCE: Duration = Duration::from_secs(65);

/// Renders the text of `/metrics`.
pub(crate) type MetricsRenderer = Arc<dyn Fn() -> String + Send + Sync>;

/// What is wrong with the egress proxy, as far as is known.
pub(crate) type ProxyTrouble = Arc<dyn Fn() -> Option<LocalFault> + Send + Sync>;

/// What the API needs in addition to the engine.
#[derive(Clone)]
pub struct ApiOptions {
    /// The deployment's admin key; without one, organizations can't be managed.
    pub admin_key: Option<Secret>,
    /// Which URLs may be targets.
    pub target_policy: TargetPolicy,
    /// The prefix of the signature headers; custom headers can't begin with it.
    pub signature_header_prefix: String,
    /// The connections that the store has for the API's reads. Smaller: reads wait although there is a free connection.
    /// Larger: they wait for a connection instead of their turn.
    pub reads_at_once: usize,
    /// Where they run. Their priority may be lower than that of publishing: they take the longest of all that the API
    /// does, and hold nothing up.
    pub read_threads: Handle,
    /// How much one organization may have.
    pub limits: LimitSettings,
    /// What a webhook has whose owner says nothing about it.
    pub defaults: EndpointDefaults,
    /// Where browsers reach the dashboard, for links to it; `None`: where a request came to.
    pub public_url: Option<String>,
    /// Renders `/metrics`; `None` when it is served on another address, and then this one responds with 404.
    pub metrics: Option<MetricsRenderer>,
    /// `None` without an egress proxy.
    pub proxy_trouble: Option<ProxyTrouble>,
}

/// The handlers' shared state, one for all workers.
pub struct Api {
    engine: EngineHandle,
    options: ApiOptions,
    admin_key_hash: Option<[u8; 32]>,
    keys: LookupCache<KnownKey>,
    sessions: LookupCache<DashboardSession>,
    organizations: LookupCache<KnownOrganization>,
    environment_types: KnownEnvironmentTypes,
    /// Of the names in it.
    names_version: AtomicU64,
    event_rates: Option<Arc<EventRates>>,
    turns: Turns,
    readiness: Readiness,
    /// `/openapi.json` and `/docs` of this deployment, rendered at the first request.
    description: OnceLock<Bytes>,
    documentation: OnceLock<Bytes>,
}

impl Api {
    /// An API for this engine.
    pub fn new(engine: EngineHandle, options: ApiOptions) -> Self {
        let event_rates = EventRates::limited_to(options.limits.events_per_second_per_organization).map(Arc::new);
        if let Some(rates) = &event_rates {
            engine.share_event_rates(Arc::clone(rates));
        }
        let admin_key_hash = options.admin_key.as_ref().map(|key| key_text::hash_key(key.expose()));
        Self {
            event_rates,
            turns: Turns::new(options.reads_at_once),
            readiness: Readiness::default(),
            engine,
            options,
            admin_key_hash,
            keys: LookupCache::default(),
            sessions: LookupCache::default(),
            organizations: LookupCache::default(),
            environment_types: KnownEnvironmentTypes::default(),
            names_version: AtomicU64::new(0),
            description: OnceLock::new(),
            documentation: OnceLock::new(),
        }
    }

    /// Counts events that an organization publishes, and refuses them when they are more than it may.
    pub(crate) fn admit_events(&self, organization_id: OrganizationId, events: usize) -> Result<(), Problem> {
        let Some(rates) = &self.event_rates else { return Ok(()) };
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        rates.admit(organization_id, events).map_err(|wait| {
            let detail = format!(
                "the organization may publish {} events in a second (limits.events_per_second_per_organization); \
                 nothing was stored, try again after Retry-After",
                rates.per_second()
            );
            self.engine.shares().of(organization_id).refused.add(1, self.engine.now());
            Problem::too_many(detail, wait)
        })
    }

    /// Call after event types of an environment were changed.
    pub(crate) fn environment_types_changed(&self) {
        self.environment_types.forget();
    }

    pub(crate) fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    pub(crate) fn signature_header_prefix(&self) -> &str {
        &self.options.signature_header_prefix
    }
}

/// Waits for the database for a limited time. Its thread continues, and its work may still take effect.
async fn within<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, Problem> {
    let answer = tokio::time::timeout(patience, answer).await;
    answer.map_err(|_| {
        let at = tokio::time::Instant::now().into_std();
        telemetry::StoreMissed { reason: &format_args!("no response within {patience:?}"), at }.emit();
        Problem::new(ErrorCode::Unavailable, "the database does not respond; try again in a moment")
    })
}

/// Runs `work` on a blocking thread: workers must never wait for a disk or process megabytes.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    finished(web::block(work)).await
}

/// The result of work on another thread.
async fn finished<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, Problem> {
    work.await.map_err(|error| {
        tracing::error!(%error, "blocking work of the API failed");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })
}

/// The response of all resends.
#[derive(serde::Serialize)]
struct Queued {
    /// The number of deliveries that are now pending.
    deliveries: usize,
}

/// For responses that contain a key or a secret: no cache on the way may keep them.
pub(crate) const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// Reads an id of the path. An invalid id can't name anything, so it gets the response for an unknown one.
pub(crate) fn path_id<Id: FromStr>(request: &HttpRequest, name: &str, what: &str) -> Result<Id, Problem> {
    request.match_info().get(name).and_then(|text| text.parse().ok()).ok_or_else(|| Problem::no_such(what))
}
