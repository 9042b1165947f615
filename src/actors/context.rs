//! Shared by all actors: the store, transport, clock and randomness passed in, the settings, and global counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::inbox::Inbox;
use super::payload::PayloadMemory;
use super::statistics::SharedCounting;
use crate::domain::ids::EndpointId;
use crate::domain::limiter::LimiterMemory;
use crate::domain::machine::{MachineLimits, RateLimitHistory};
use crate::domain::random::RandomSource;
use crate::domain::time::{Clock, UnixMillis};
use crate::store::{Store, StoreError, StoreResult};
use crate::telemetry::gauges::EngineGauge;
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

/// Bounds and intervals of the actors.
#[derive(Debug, Clone)]
pub struct ActorSettings {
    /// Number of this process in the ids that it makes.
    pub node: u8,
    /// Endpoint supervisors in memory at once.
    pub max_active_endpoints: usize,
    /// At this many attempts in flight over all endpoints, each endpoint is limited to one.
    pub crowded_attempts: usize,
    /// Event bodies held for delivery, in bytes.
    pub payload_memory_bytes: usize,
    /// Events accepted but not yet committed.
    pub max_uncommitted_events: usize,
    /// Bytes of events accepted but not yet committed.
    pub max_uncommitted_bytes: usize,
    /// Limits of every endpoint's state machine.
    pub limits: MachineLimits,
    /// How long a supervisor without work stays in memory.
    pub idle_linger: Duration,
    /// Events older than this are removed with their deliveries.
    pub retention: Duration,
    /// Start of the names of the document's headers, for example `x-callintel`.
    pub header_prefix: String,
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
    /// When this process began: attempts before it are unknown to the rate limits.
    began_at: UnixMillis,
    /// Rate limits of endpoints that left memory before their limit was full again.
    limiters: Mutex<HashMap<EndpointId, LimiterMemory>>,
    /// Work that waits for persistence.
    pub(super) inbox: Inbox,
    /// Counts that are not stored yet.
    pub(super) counting: Arc<SharedCounting>,
    /// Event bodies in memory.
    pub payload: Arc<PayloadMemory>,
    attempts: AtomicUsize,
    /// Endpoints wait for room: supervisors without work should not linger.
    is_crowded: AtomicBool,
    reads: Arc<Semaphore>,
    /// The API changed rows that gauges count.
    counts_are_stale: AtomicBool,
    urgent_reads: Arc<Semaphore>,
    /// When the last commit failed, in Unix milliseconds; [`NEVER`] if the last one did not.
    commit_failed_at: AtomicI64,
}

/// Counts an attempt until it is dropped.
pub(crate) struct AttemptUnderWay(Arc<ActorContext>);

impl Drop for AttemptUnderWay {
    fn drop(&mut self) {
        self.0.attempts.fetch_sub(1, Ordering::Relaxed);
    }
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
        Self {
            began_at: clock.now(),
            limiters: Mutex::default(),
            inbox: Inbox::default(),
            counting: Arc::default(),
            payload: PayloadMemory::new(settings.payload_memory_bytes),
            store,
            transport,
            clock,
            random,
            settings,
            attempts: AtomicUsize::new(0),
            is_crowded: AtomicBool::new(false),
            reads: Arc::new(Semaphore::new(CONCURRENT_READS)),
            counts_are_stale: AtomicBool::new(true),
            urgent_reads: Arc::new(Semaphore::new(CONCURRENT_URGENT_READS)),
            commit_failed_at: AtomicI64::new(NEVER),
        }
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
        remembered.map_or(RateLimitHistory::UnknownUntil(self.began_at), RateLimitHistory::Remembered)
    }

    /// Runs a read of the database off this thread, a few at once over all actors.
    pub(crate) async fn read<T, F>(self: Arc<Self>, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let reads = self.reads.clone();
        self.read_within(reads, read).await
    }

    /// The same for an endpoint with an event that was just accepted.
    pub(crate) async fn read_urgently<T, F>(self: Arc<Self>, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let reads = self.urgent_reads.clone();
        self.read_within(reads, read).await
    }

    async fn read_within<T, F>(&self, reads: Arc<Semaphore>, read: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> StoreResult<T> + Send + 'static,
    {
        let permit = reads.acquire_owned().await;
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
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

    /// Counts an attempt for as long as the guard lives.
    #[must_use = "counts only while it is held"]
    pub(crate) fn begin_attempt(self: &Arc<Self>) -> AttemptUnderWay {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        AttemptUnderWay(self.clone())
    }

    /// Whether the attempts in flight, or their bytes, are so many that each endpoint is limited to one attempt.
    pub(crate) fn has_crowded_attempts(&self) -> bool {
        self.attempts.load(Ordering::Relaxed) >= self.settings.crowded_attempts || self.payload.is_crowded()
    }

    /// Call after the API changed which deliveries are pending or which breakers are open.
    pub(crate) fn mark_counts_stale(&self) {
        self.counts_are_stale.store(true, Ordering::Release);
    }

    /// Counts pending deliveries and open breakers in the database if their gauges are stale. Between two counts the gauges
    /// follow the commits; commits during a count may be missed or counted twice.
    pub(crate) async fn refresh_gauges(self: &Arc<Self>) {
        if !self.counts_are_stale.swap(false, Ordering::AcqRel) {
            return;
        }
        let counts = self.clone().read(|store| Ok((store.count_pending()?, store.open_breakers()?.len())));
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

    /// Whether endpoints wait for a supervisor.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// Set by the router.
    pub(crate) fn set_crowded(&self, is_crowded: bool) {
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::breaker::BreakerConfig;

    /// Settings for tests of single parts.
    pub(crate) fn settings() -> ActorSettings {
        ActorSettings {
            node: 0,
            max_active_endpoints: 100,
            crowded_attempts: 100,
            payload_memory_bytes: 1024 * 1024,
            max_uncommitted_events: 100,
            max_uncommitted_bytes: 1024 * 1024,
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
            user_agent: "Ringback/test".to_owned(),
        }
    }
}
