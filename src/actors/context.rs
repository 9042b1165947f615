//! Shared by all actors: the store, transport, clock and randomness passed in, the settings, and global counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::cluster::rights::Rights;
use super::fairness::event_rates::EventRates;
use super::fairness::gate::{FairGate, GateLimits};
use super::fairness::shares::{Capacities, OrganizationShare, Resource, Shares};
use super::inbox::Inbox;
use super::payload::PayloadMemory;
use super::queue_cursors::QueueCursors;
use super::statistics::SharedCounting;
use crate::domain::event_types::EventTypePolicy;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::limiter::LimiterMemory;
use crate::domain::machine::{MachineLimits, RateLimitHistory};
use crate::domain::random::RandomSource;
use crate::domain::time::{Clock, UnixMillis};
use crate::store::{Store, StoreError, StoreResult};
use crate::telemetry::gauges::EngineGauge;
use crate::telemetry::traces::Traces;
use crate::transport::Transport;

/// Concurrent reads of the database by supervisors. Smaller: a restart with many pending endpoints is slow to start
/// delivering. Larger: the reads keep the machine from delivering.
const CONCURRENT_READS: usize = 4;
/// The same for endpoints with an event that was just accepted: they don't queue behind the backlog of all others.
const CONCURRENT_URGENT_READS: usize = 2;

/// How long a failed commit makes the engine not ready. Smaller: readiness flaps between two retries in an outage. Larger:
/// an engine that gets no requests because it is not ready discovers later that it could take them.
const COMMIT_FAILURE_COUNTS_FOR: Duration = Duration::from_secs(5);
/// Stands for no instant: the last commit did not fail.
const NEVER: i64 = i64::MIN;

/// Rate limits of endpoints that left memory are kept up to this number without a check whether they are still needed.
/// One takes less than 100 bytes.
const LIMITERS_KEPT: usize = 1_024;

/// Stands for no organization: reads of the engine for all of them.
pub(crate) const ENGINE: OrganizationId = OrganizationId(0);

/// Bounds and intervals of the actors.
#[derive(Debug, Clone)]
pub struct ActorSettings {
    /// Which event types there are besides those that somebody defined.
    pub event_types: EventTypePolicy,
    /// Endpoint supervisors in memory at once.
    pub max_active_endpoints: usize,
    /// Attempts in flight over all endpoints. At its share of them, an organization's endpoints are limited to one each.
    pub crowded_attempts: usize,
    /// Event bodies held for delivery, in bytes.
    pub payload_memory_bytes: usize,
    /// Events accepted but not yet committed.
    pub max_uncommitted_events: usize,
    /// Bytes of events accepted but not yet committed.
    pub max_uncommitted_bytes: usize,
    /// When commits take as long as this, they are spared: what nobody waits for goes with the next one.
    pub spare_commits_from: Duration,
    /// Limits of every endpoint's state machine.
    pub limits: MachineLimits,
    /// How long a supervisor without work stays in memory.
    pub idle_linger: Duration,
    /// Events older than this are removed with their deliveries.
    pub retention: Duration,
    /// Start of the names of the document's headers, for example `x-callintel`.
    pub header_prefix: String,
    /// Whether requests with the headers of Svix have the names of Standard Webhooks instead.
    pub whitelabel_headers: bool,
    /// The `user-agent` of attempts.
    pub user_agent: String,
}

/// Shared by all actors of an engine.
pub struct ActorContext {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Sends attempts.
    pub transport: Arc<dyn Transport>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn RandomSource>,
    /// Bounds and paces.
    pub settings: ActorSettings,
    /// What this node may do.
    pub rights: Arc<Rights>,
    /// Records spans; `None` when nobody collects them.
    pub(super) traces: Option<Arc<Traces>>,
    /// Rate limits of endpoints that left memory before their limit was full again.
    limiters: Mutex<HashMap<EndpointId, LimiterMemory>>,
    /// How far the queues of endpoints that left memory were read.
    pub(super) queue_cursors: QueueCursors,
    /// Work that waits for persistence.
    pub(super) inbox: Inbox,
    /// This node may have written a notice.
    pub(super) noticed: Notify,
    /// Counts that are not stored yet.
    pub(super) counting: Arc<SharedCounting>,
    /// What organizations hold of the engine.
    pub(crate) shares: Arc<Shares>,
    /// How many events organizations may publish, if that is limited.
    pub(super) event_rates: OnceLock<Arc<EventRates>>,
    /// Event bodies in memory.
    pub payload: PayloadMemory,
    /// All places for supervisors are taken: those of organizations that have more than their share give way.
    is_crowded: AtomicBool,
    reads: Arc<FairGate>,
    /// The API changed rows that gauges count.
    counts_are_stale: AtomicBool,
    urgent_reads: Arc<FairGate>,
    /// When the last commit failed, in Unix milliseconds; [`NEVER`] if the last one did not.
    commit_failed_at: AtomicI64,
}

impl ActorContext {
    /// For one engine.
    pub fn new(
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
        settings: ActorSettings,
    ) -> Self {
        let shares = Shares::new(capacities(&settings));
        Self {
            rights: Arc::new(Rights::alone(clock.clone())),
            traces: None,
            limiters: Mutex::default(),
            queue_cursors: QueueCursors::default(),
            inbox: Inbox::new(settings.spare_commits_from),
            noticed: Notify::new(),
            counting: Arc::default(),
            payload: PayloadMemory::new(settings.payload_memory_bytes, Arc::clone(&shares)),
            shares,
            event_rates: OnceLock::new(),
            store,
            transport,
            clock,
            random,
            settings,
            is_crowded: AtomicBool::new(false),
            reads: reads_gate(CONCURRENT_READS),
            counts_are_stale: AtomicBool::new(true),
            urgent_reads: reads_gate(CONCURRENT_URGENT_READS),
            commit_failed_at: AtomicI64::new(NEVER),
        }
    }

    /// For a node of a cluster.
    pub fn in_cluster(self, rights: Arc<Rights>) -> Self {
        Self { rights, ..self }
    }

    /// With spans for a collector.
    pub fn with_traces(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Keeps the state of an endpoint's rate limit for its next supervisor.
    pub(crate) fn remember_sent(&self, endpoint_id: EndpointId, memory: LimiterMemory) {
        let now = self.now();
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.insert(endpoint_id, memory);
        // drops limits that are full, only before the map would grow: the walk costs as much as the growth
        if limiters.len() > LIMITERS_KEPT && limiters.len() == limiters.capacity() {
            limiters.retain(|_, memory| memory.full_at > now);
        }
    }

    /// The attempts of the recent past that the rate limit of a starting supervisor must count.
    pub(crate) fn rate_limit_history(&self, endpoint_id: EndpointId) -> RateLimitHistory {
        let remembered = self.limiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&endpoint_id);
        // what another node or an earlier process has sent is not known here
        let since = self.rights.acquired_at(endpoint_id);
        let remembered = remembered.filter(|memory| memory.left_at() >= since);
        remembered.map_or(RateLimitHistory::UnknownUntil(since), RateLimitHistory::Remembered)
    }

    /// Runs a read of the database off this thread: a few at once over all actors, and organizations take turns.
    pub(crate) async fn read<T, F>(self: Arc<Self>, organization_id: OrganizationId, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        self.read_through(&self.reads, organization_id, read).await
    }

    /// The same for an endpoint with an event that was just accepted.
    pub(crate) async fn read_urgently<T, F>(
        self: Arc<Self>,
        organization_id: OrganizationId,
        read: F,
    ) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        self.read_through(&self.urgent_reads, organization_id, read).await
    }

    async fn read_through<T, F>(
        &self,
        gate: &Arc<FairGate>,
        organization_id: OrganizationId,
        read: F,
    ) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let pass = gate.enter(organization_id).await.map_err(|full| StoreError::Unavailable(full.to_string()))?;
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _pass = pass;
            read(store.as_ref())
        });
        done.await.unwrap_or_else(|lost| Err(StoreError::Unavailable(format!("a read was lost: {lost}"))))
    }

    /// Runs a write of the database off this thread. The store has one writer: it waits for its turn.
    pub(crate) async fn write<T, F>(self: Arc<Self>, write: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || write(store.as_ref()));
        done.await.unwrap_or_else(|lost| Err(StoreError::Unavailable(format!("a write was lost: {lost}"))))
    }

    /// Whether an organization has so many attempts in flight, or so many bytes of them, that each of its endpoints is
    /// limited to one attempt.
    pub(crate) fn has_crowded_attempts(&self, share: &OrganizationShare) -> bool {
        share.is_used_up(Resource::Attempts) || self.payload.is_crowded(share)
    }

    /// Call after the API changed which deliveries are pending or which breakers are open.
    pub(crate) fn mark_counts_stale(&self) {
        self.counts_are_stale.store(true, Ordering::Release);
    }

    /// Counts pending deliveries and open breakers in the database if their gauges are stale. Between two counts the gauges
    /// follow the commits; commits during a count may be missed or counted twice.
    pub(crate) async fn refresh_gauges(self: &Arc<Self>) {
        // what others accept ends here, and the other way round
        let is_stale = self.counts_are_stale.swap(false, Ordering::AcqRel) || self.rights.may_have_company();
        if !is_stale {
            return;
        }
        let rights = self.rights.clone();
        let is_own = move |id| rights.has(id);
        let counts = self.clone().read(ENGINE, move |store| {
            let open = store.open_breakers()?.into_iter().filter(|health| is_own(health.endpoint_id));
            Ok((store.count_pending_of(&is_own)?, open.count()))
        });
        match counts.await {
            Ok((pending, open)) => {
                EngineGauge::DeliveriesPending.set(pending);
                EngineGauge::BreakersOpen.set(open as u64);
            }
            Err(_) => self.mark_counts_stale(),
        }
    }

    /// Records whether the last commit succeeded.
    pub(crate) fn note_commit(&self, is_stored: bool) {
        let failed_at = if is_stored { NEVER } else { self.now().0 };
        self.commit_failed_at.store(failed_at, Ordering::Relaxed);
    }

    /// Whether an event could be stored now, judging by the last commit. A failure stops counting after 5 s without a
    /// write, because then only the next write can tell.
    pub(crate) fn can_commit(&self) -> bool {
        let failed_at = self.commit_failed_at.load(Ordering::Relaxed);
        failed_at == NEVER || self.now().since(UnixMillis(failed_at)) > COMMIT_FAILURE_COUNTS_FOR
    }

    /// Whether all places for supervisors are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// Set by the router.
    pub(crate) fn set_crowded(&self, is_crowded: bool) {
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
    }
}

/// Whoever waits is a supervisor: there are at most `max_active_endpoints`.
fn reads_gate(at_once: usize) -> Arc<FairGate> {
    FairGate::new(GateLimits { at_once, for_one: at_once, waiting_for_one: usize::MAX })
}

fn capacities(settings: &ActorSettings) -> Capacities {
    Capacities {
        supervisors: settings.max_active_endpoints,
        attempts: settings.crowded_attempts,
        payload_bytes: settings.payload_memory_bytes,
        uncommitted_events: settings.max_uncommitted_events,
        uncommitted_kibibytes: settings.max_uncommitted_bytes / 1024,
        // bounded for each organization
        uncommitted_rows: usize::MAX,
        body_bytes: settings.max_uncommitted_bytes,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::breaker::BreakerConfig;

    /// Settings for tests of single parts.
    pub(crate) fn settings() -> ActorSettings {
        ActorSettings {
            event_types: EventTypePolicy::default(),
            max_active_endpoints: 100,
            crowded_attempts: 100,
            payload_memory_bytes: 1024 * 1024,
            max_uncommitted_events: 100,
            max_uncommitted_bytes: 1024 * 1024,
            spare_commits_from: Duration::ZERO,
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
            header_prefix: "x-callintel".to_owned(),
            whitelabel_headers: false,
            user_agent: "Ringback/test".to_owned(),
        }
    }
}
