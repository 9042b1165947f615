//! The HTTP API: actix-web handlers over the engine's handle and the store.
//!
//! Every route is in one table ([`routes::ROUTES`]) together with the permission that it requires; the table is the
//! registration, so that no route exists without a permission. Handlers read their input with [`input`], which reports
//! all invalid fields, and every error is a [`problem::Problem`].

pub mod auth;
pub(crate) mod body;
mod connection_timeouts;
pub(crate) mod docs;
pub(crate) mod event_batch;
pub(crate) mod event_input;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod input;
pub(crate) mod keys;
pub(crate) mod logs;
pub mod middleware;
pub mod openapi;
pub(crate) mod organizations;
pub(crate) mod pagination;
mod probes;
pub mod problem;
pub mod request_id;
mod route_spec;
pub mod routes;
pub mod server;
pub(crate) mod webhook_actions;
pub(crate) mod webhook_input;
pub mod webhook_settings;
mod webhook_view;
pub(crate) mod webhooks;

use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, web};
use bytes::Bytes;

use crate::actors::handle::EngineHandle;
use crate::domain::secret::Secret;
use crate::domain::target::TargetPolicy;
use crate::store::{Store, StoreResult};
use crate::telemetry;
use auth::KeyCache;
use body::{BodyBudget, RequestBody};
use problem::{ErrorCode, Problem};

/// How long to wait for a read. The store has its own limits, which end slow calls: a read that exceeds this hangs on a
/// dead connection. Smaller than those limits: slow calls are mistaken for dead ones. Larger: clients wait in vain.
const READ_PATIENCE: Duration = Duration::from_secs(35);
/// The same for a change, which may wait for others before it.
const CHANGE_PATIENCE: Duration = Duration::from_secs(65);

/// Renders the text of `/metrics`.
pub(crate) type MetricsRenderer = Arc<dyn Fn() -> String + Send + Sync>;

/// What the API needs in addition to the engine.
#[derive(Clone)]
pub struct ApiOptions {
    /// The deployment's admin key; without one, organizations can't be managed.
    pub admin_key: Option<Secret>,
    /// Which URLs may be targets.
    pub target_policy: TargetPolicy,
    /// The prefix of the signature headers; custom headers can't begin with it.
    pub signature_header_prefix: String,
    /// How many bytes the bodies of events may hold until they are stored; at least 10 MiB, or the largest are always
    /// refused.
    pub body_memory_bytes: usize,
    /// Renders `/metrics`; `None` when it is served on another address, and then this one responds with 404.
    pub metrics: Option<MetricsRenderer>,
}

/// The handlers' shared state, one for all workers.
pub struct Api {
    engine: EngineHandle,
    options: ApiOptions,
    admin_key_hash: Option<[u8; 32]>,
    keys: KeyCache,
    bodies: BodyBudget,
    /// Held while a change is written and the engine is notified.
    changes: Mutex<()>,
    /// `/openapi.json` and `/docs` of this deployment, rendered at the first request.
    description: OnceLock<Bytes>,
    documentation: OnceLock<Bytes>,
}

impl Api {
    /// An API for this engine.
    pub fn new(engine: EngineHandle, options: ApiOptions) -> Self {
        let admin_key_hash = options.admin_key.as_ref().map(|key| auth::hash_key(key.expose()));
        Self {
            bodies: BodyBudget::of(options.body_memory_bytes),
            engine,
            options,
            admin_key_hash,
            keys: KeyCache::default(),
            changes: Mutex::new(()),
            description: OnceLock::new(),
            documentation: OnceLock::new(),
        }
    }

    pub(crate) fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    pub(crate) fn signature_header_prefix(&self) -> &str {
        &self.options.signature_header_prefix
    }

    /// Reads a body with events. Counts it as shed load when there is no room for it.
    async fn read_events(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        limit: usize,
    ) -> Result<RequestBody, Problem> {
        let read = body::read_large_body(request, payload, limit, &self.bodies).await;
        read.inspect_err(|problem| {
            if problem.code() == ErrorCode::Overloaded {
                self.engine.report_overload(telemetry::Overload::ArrivingBytes);
            }
        })
    }

    /// Writes to the store and does what must follow (notify the engine, forget a key), on a blocking thread.
    ///
    /// Both happen even if the client disconnects meanwhile: then the handler's future is dropped, but the thread
    /// continues. Changes run one after the other, so that the engine is notified in the order of the commits: an
    /// update that arrived after a deletion would bring the webhook back.
    async fn change<T: Send + 'static>(
        this: &web::Data<Self>,
        change: impl FnOnce(&Self, &dyn Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = web::Data::clone(this).into_inner();
        let work = move || {
            let _in_order = api.changes.lock().unwrap_or_else(PoisonError::into_inner);
            change(&api, api.engine.store().as_ref())
        };
        within(CHANGE_PATIENCE, blocking(work)).await??
    }

    /// Runs a store call on a blocking thread.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = Arc::clone(self.engine.store());
        within(READ_PATIENCE, blocking(move || call(store.as_ref()))).await??.map_err(Problem::from)
    }
}

/// Waits for the database for a limited time. Its thread continues, and its work may still take effect.
async fn within<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, Problem> {
    let answer = tokio::time::timeout(patience, answer).await;
    answer.map_err(|_| {
        tracing::warn!(?patience, "the database does not respond to the API");
        Problem::new(ErrorCode::Unavailable, "the database does not respond; try again in a moment")
    })
}

/// Runs `work` on a blocking thread: workers must never wait for a disk or process megabytes.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    web::block(work).await.map_err(|error| {
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
const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// Reads an id of the path. An invalid id can't name anything, so it gets the response for an unknown one.
pub(crate) fn path_id<Id: FromStr>(request: &HttpRequest, name: &str, what: &str) -> Result<Id, Problem> {
    request.match_info().get(name).and_then(|text| text.parse().ok()).ok_or_else(|| Problem::no_such(what))
}
