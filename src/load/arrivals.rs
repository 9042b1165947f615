//! What arrived in one run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::behaviour::Behaviour;
use super::clock::Clock;
use super::latency::{Buckets, Latencies};
use super::numbers::{Numbers, Ranges};
use super::stamp::Stamp;

/// The receivers of a run: `behaviours.len()` webhooks for each organization, numbered through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSpec {
    /// Its number; one that is given again begins anew.
    pub run: u32,
    /// How many organizations.
    pub organizations: usize,
    /// What each webhook of an organization does.
    pub behaviours: Vec<Behaviour>,
}

/// Counts, for a look while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Deliveries answered with 200, each of them once.
    pub delivered: u64,
    /// The same of webhooks that get everything.
    pub delivered_to_well: u64,
    /// Answered with 200 once more.
    pub duplicated: u64,
    /// The 99th percentile of the last full second, in microseconds.
    pub recent_p99: u64,
}

/// What arrived in a run, once it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrivalReport {
    /// Counts.
    pub tally: Tally,
    /// Of the first delivery, in Unix microseconds; 0 when there was none.
    pub first_at: u64,
    /// Of the last delivery, duplicates included.
    pub last_at: u64,
    /// From the instant at which an event was to be published to its arrival, at webhooks that get everything.
    pub latency: Buckets,
    /// The same by the Unix second of the arrival.
    pub seconds: BTreeMap<u64, Buckets>,
    /// The events' numbers that arrived at each webhook.
    pub received: Vec<Ranges>,
}

/// What has arrived so far.
pub(crate) struct Arrivals {
    spec: RunSpec,
    clock: Clock,
    begun_at: u64,
    delivered: AtomicU64,
    delivered_to_well: AtomicU64,
    duplicated: AtomicU64,
    received: Vec<Mutex<Numbers>>,
    shards: Vec<Mutex<Shard>>,
}

/// What one thread has recorded, so that threads don't wait for each other.
#[derive(Default)]
struct Shard {
    first_at: u64,
    last_at: u64,
    seconds: BTreeMap<u64, Latencies>,
}

impl Arrivals {
    /// Nothing has arrived.
    pub(crate) fn new(spec: RunSpec, clock: Clock, threads: usize) -> Self {
        let webhooks = spec.organizations * spec.behaviours.len();
        Self {
            begun_at: clock.now_micros(),
            spec,
            clock,
            delivered: AtomicU64::new(0),
            delivered_to_well: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            received: (0..webhooks).map(|_| Mutex::default()).collect(),
            shards: (0..threads.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    /// Of the run.
    pub(crate) fn run(&self) -> u32 {
        self.spec.run
    }

    /// What a webhook does; `None` when the run has no such one.
    pub(crate) fn behaviour(&self, webhook: usize) -> Option<Behaviour> {
        let behaviours = &self.spec.behaviours;
        (webhook < self.received.len()).then(|| behaviours[webhook % behaviours.len()])
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.since(self.begun_at)
    }

    /// Records a delivery that is answered with 200.
    pub(crate) fn record(&self, thread: usize, webhook: usize, stamp: Stamp) {
        let Some(behaviour) = self.behaviour(webhook) else { return };
        let now = self.clock.now_micros();
        let is_new = locked(&self.received[webhook]).insert(stamp.number);
        let mut shard = locked(&self.shards[thread % self.shards.len()]);
        shard.last_at = now;
        if shard.first_at == 0 {
            shard.first_at = now;
        }
        if !is_new {
            self.duplicated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
        if behaviour.gets_everything() {
            self.delivered_to_well.fetch_add(1, Ordering::Relaxed);
            let latency = Duration::from_micros(now.saturating_sub(stamp.at));
            shard.seconds.entry(now / 1_000_000).or_default().record(latency);
        }
    }

    /// Counts so far.
    pub(crate) fn tally(&self) -> Tally {
        let last_full_second = self.clock.now_micros() / 1_000_000 - 1;
        let mut recent = Latencies::default();
        for shard in &self.shards {
            if let Some(latencies) = locked(shard).seconds.get(&last_full_second) {
                recent.add(latencies);
            }
        }
        Tally {
            delivered: self.delivered.load(Ordering::Relaxed),
            delivered_to_well: self.delivered_to_well.load(Ordering::Relaxed),
            duplicated: self.duplicated.load(Ordering::Relaxed),
            recent_p99: recent.quantiles().p99,
        }
    }

    /// All of it.
    pub(crate) fn report(&self) -> ArrivalReport {
        let (mut seconds, mut all) = (BTreeMap::<u64, Latencies>::new(), Latencies::default());
        let (mut first_at, mut last_at) = (0, 0);
        for shard in &self.shards {
            let shard = locked(shard);
            first_at = [first_at, shard.first_at].into_iter().filter(|at| *at > 0).min().unwrap_or(0);
            last_at = last_at.max(shard.last_at);
            for (second, latencies) in &shard.seconds {
                all.add(latencies);
                seconds.entry(*second).or_default().add(latencies);
            }
        }
        ArrivalReport {
            tally: self.tally(),
            first_at,
            last_at,
            latency: all.buckets(),
            seconds: seconds.into_iter().map(|(second, latencies)| (second, latencies.buckets())).collect(),
            received: self.received.iter().map(|numbers| locked(numbers).ranges()).collect(),
        }
    }
}

/// Nothing under these locks panics; and counts that are off by one would do less harm than no report.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals() -> Arrivals {
        let behaviours = vec![Behaviour::Ok, Behaviour::Failing { failing: 0.5 }];
        Arrivals::new(RunSpec { run: 1, organizations: 2, behaviours }, Clock::start(), 2)
    }

    #[test]
    fn a_delivery_counts_once_and_its_repetition_is_a_duplicate() {
        let arrivals = arrivals();
        let stamp = |number| Stamp { run: 1, number, at: arrivals.clock.now_micros() };
        for (thread, webhook, number) in [(0, 0, 0), (1, 0, 1), (0, 2, 0), (1, 1, 0), (0, 0, 1)] {
            arrivals.record(thread, webhook, stamp(number));
        }
        arrivals.record(0, 4, stamp(0));
        let report = arrivals.report();
        assert_eq!(report.tally.delivered, 4);
        assert_eq!(report.tally.delivered_to_well, 3);
        assert_eq!(report.tally.duplicated, 1);
        assert_eq!(Latencies::from(&report.latency).quantiles().count, 3, "only of webhooks that get everything");
        let received: Vec<_> = report.received.iter().map(|ranges| ranges.0.clone()).collect();
        assert_eq!(received, [vec![(0, 1)], vec![(0, 0)], vec![(0, 0)], vec![]]);
        assert!(report.first_at > 0 && report.first_at <= report.last_at);
    }
}
