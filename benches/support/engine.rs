//! The engine without a network: real actors, a real database, receivers that answer at once.

use std::sync::Arc;
use std::time::Duration;

use actix::{Arbiter, System};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use ringback::actors::context::{ActorContext, ActorSettings};
use ringback::actors::publication::Publication;
use ringback::actors::{Actors, ClusterPlace, SupervisorThreads};
use ringback::domain::attempt::{AttemptResult, LocalFault, Response};
use ringback::domain::breaker::BreakerConfig;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::machine::MachineLimits;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::time::{Clock, UnixMillis};
use ringback::engine::SystemEntropy;
use ringback::store::Store;
use ringback::store::cipher::Cipher;
use ringback::store::open;
use ringback::transport::{AttemptRequest, Transport};
use serde_json::value::RawValue;

pub(crate) const ORGANIZATION: OrganizationId = OrganizationId(1);
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "what is measured runs by the real clock")]
    fn now(&self) -> UnixMillis {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        UnixMillis(0) + since_epoch.unwrap_or_default()
    }
}

struct AnswersAtOnce;

impl Transport for AnswersAtOnce {
    fn attempt(&self, _: AttemptRequest) -> LocalBoxFuture<'static, Result<AttemptResult, LocalFault>> {
        Box::pin(async {
            let response = Response::new(200, Vec::new(), Bytes::new());
            Ok(AttemptResult { response: Ok(response), duration: Duration::ZERO })
        })
    }
}

pub(crate) fn endpoint(id: i64) -> Endpoint {
    Endpoint::new(
        EndpointId(id),
        ORGANIZATION,
        "https://receiver.example/hook",
        Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        UnixMillis(0),
    )
}

pub(crate) fn settings(endpoints: usize) -> ActorSettings {
    ActorSettings {
        event_types: ringback::domain::event_types::EventTypePolicy::default(),
        max_active_endpoints: endpoints.max(1),
        crowded_attempts: 2_048,
        payload_memory_bytes: 128 * 1024 * 1024,
        max_uncommitted_events: 10_000,
        max_uncommitted_bytes: 64 * 1024 * 1024,
        spare_commits_from: Duration::from_millis(1),
        limits: MachineLimits {
            breaker: BreakerConfig {
                failure_threshold: 8,
                initial_pause: Duration::from_secs(5),
                max_pause: Duration::from_secs(600),
            },
            disable_after: Duration::from_secs(5 * 86_400),
        },
        idle_linger: Duration::from_secs(3_600),
        retention: Duration::from_secs(30 * 86_400),
        header_prefix: "x-callintel".to_owned(),
        whitelabel_headers: false,
        user_agent: "Ringback/bench".to_owned(),
    }
}

/// Runs something next to the actors of this many endpoints of one organization, all of which want every event.
pub(crate) fn with_actors<T>(endpoints: usize, run: impl AsyncFnOnce(&Actors) -> T) -> anyhow::Result<T> {
    // a file system in memory where there is one: the disk is not what is measured
    let memory = std::path::PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(parent)?;
    let cipher = Cipher::from_master_key(&Secret::new(MASTER_KEY.to_owned()), Arc::new(SystemEntropy))?;
    let store = open(&format!("sqlite://{}", folder.path().join("bench.db").display()), cipher)?;
    for id in 1..=endpoints as i64 {
        store.create_endpoint(&endpoint(id))?;
    }
    System::new().block_on(async {
        let arbiter = Arbiter::new();
        let random = Arc::new(CountingRandomSource::default());
        let clock = Arc::new(MachineClock);
        let place = ClusterPlace::alone(clock.clone());
        let context = ActorContext::new(store, Arc::new(AnswersAtOnce), clock, random, settings(endpoints))
            .in_cluster(place.joined.rights().clone());
        let actors = Actors::start(Arc::new(context), SupervisorThreads::single(arbiter.handle()), place)?;
        let result = run(&actors).await;
        actors.stop().await;
        arbiter.stop();
        Ok(result)
    })
}

/// An event of 1 KiB.
pub(crate) fn publication() -> Publication {
    let data = format!("{{\"pad\":\"{}\"}}", "x".repeat(900));
    let data = RawValue::from_string(data).unwrap_or_default();
    let timestamp = ("2026-01-01T00:00:00.000Z".to_owned(), UnixMillis(1_767_225_600_000));
    Publication::new(ORGANIZATION, "call.completed".to_owned(), timestamp, data)
}

/// Waits until no delivery is pending.
pub(crate) async fn delivered(store: &dyn Store) -> anyhow::Result<()> {
    while store.count_pending()? > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
