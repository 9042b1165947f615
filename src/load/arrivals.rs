//! The deliveries that arrived in one run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::RunClock;
use super::event_stamp::EventStamp;
use super::latency::{Buckets, Latencies};
use super::number_set::{NumberRanges, NumberSet};
use super::receiver_behaviour::Behaviour;

/// The receivers of a run: `behaviours.len()` webhooks for each organization, numbered consecutively across organizations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSpec {
    /// A run that is begun again with the same number starts from scratch.
    pub run: u32,
    pub organizations: usize,
    /// Of the webhooks of each organization.
    pub behaviours: Vec<Behaviour>,
}

/// Counts that can be read while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ArrivalCounts {
    /// Distinct deliveries that were answered with 200.
    pub delivered: u64,
    /// The same, at reliable receivers only.
    pub delivered_to_reliable: u64,
    /// Deliveries that arrived again after a 200.
    pub duplicated: u64,
    /// 99th percentile of the end-to-end latency in the last full second, in microseconds.
    pub recent_p99: u64,
}

/// Everything that arrived in a run, for after its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrivalReport {
    pub tally: ArrivalCounts,
    /// First delivery, in Unix microseconds; 0 when there was none.
    pub first_at: u64,
    /// Last delivery, including duplicates.
    pub last_at: u64,
    /// From the time at which an event was due to be published to its arrival, at reliable receivers.
    pub latency: Buckets,
    /// The same latencies, grouped by the Unix second of arrival.
    pub seconds: BTreeMap<u64, Buckets>,
    /// The numbers of the events that arrived, for each webhook.
    pub received: Vec<NumberRanges>,
}

/// The deliveries that have arrived so far.
pub(crate) struct Arrivals {
    spec: RunSpec,
    clock: RunClock,
    started_at: u64,
    delivered: AtomicU64,
    delivered_to_reliable: AtomicU64,
    duplicated: AtomicU64,
    received: Vec<Mutex<NumberSet>>,
    shards: Vec<Mutex<ThreadArrivals>>,
}

/// The records of one thread, so that threads do not wait for each other.
#[derive(Default)]
struct ThreadArrivals {
    first_at: u64,
    last_at: u64,
    seconds: BTreeMap<u64, Latencies>,
}

impl Arrivals {
    pub(crate) fn new(spec: RunSpec, clock: RunClock, threads: usize) -> Self {
        let webhooks = spec.organizations * spec.behaviours.len();
        Self {
            started_at: clock.now_micros(),
            spec,
            clock,
            delivered: AtomicU64::new(0),
            delivered_to_reliable: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            received: (0..webhooks).map(|_| Mutex::default()).collect(),
            shards: (0..threads.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn run(&self) -> u32 {
        self.spec.run
    }

    /// `None` when the run has no such webhook.
    pub(crate) fn behaviour(&self, webhook: usize) -> Option<Behaviour> {
        let behaviours = &self.spec.behaviours;
        (webhook < self.received.len()).then(|| behaviours[webhook % behaviours.len()])
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.since(self.started_at)
    }

    /// Records a delivery that is answered with 200.
    pub(crate) fn record(&self, thread: usize, webhook: usize, stamp: EventStamp) {
        let Some(behaviour) = self.behaviour(webhook) else { return };
        let now = self.clock.now_micros();
        let is_new = lock(&self.received[webhook]).insert(stamp.number);
        let mut shard = lock(&self.shards[thread % self.shards.len()]);
        shard.last_at = now;
        if shard.first_at == 0 {
            shard.first_at = now;
        }
        if !is_new {
            self.duplicated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
        if behaviour.is_reliable() {
            self.delivered_to_reliable.fetch_add(1, Ordering::Relaxed);
            let latency = Duration::from_micros(now.saturating_sub(stamp.at));
            shard.seconds.entry(now / 1_000_000).or_default().record(latency);
        }
    }

    pub(crate) fn tally(&self) -> ArrivalCounts {
        let last_full_second = self.clock.now_micros() / 1_000_000 - 1;
        let mut recent = Latencies::default();
        for shard in &self.shards {
            if let Some(latencies) = lock(shard).seconds.get(&last_full_second) {
                recent.add(latencies);
            }
        }
        ArrivalCounts {
            delivered: self.delivered.load(Ordering::Relaxed),
            delivered_to_reliable: self.delivered_to_reliable.load(Ordering::Relaxed),
            duplicated: self.duplicated.load(Ordering::Relaxed),
            recent_p99: recent.quantiles().p99,
        }
    }

    pub(crate) fn report(&self) -> ArrivalReport {
        let (mut seconds, mut all) = (BTreeMap::<u64, Latencies>::new(), Latencies::default());
        let (mut first_at, mut last_at) = (0, 0);
        for shard in &self.shards {
            let shard = lock(shard);
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
            received: self.received.iter().map(|numbers| lock(numbers).ranges()).collect(),
        }
    }
}

/// A poisoned lock is used like any other: nothing under these locks panics, and counts that are off by one do less harm
/// than a missing report.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals() -> Arrivals {
        let behaviours = vec![Behaviour::Ok, Behaviour::Failing { failing: 0.5 }];
        Arrivals::new(RunSpec { run: 1, organizations: 2, behaviours }, RunClock::start(), 2)
    }

    #[test]
    fn a_repeated_delivery_counts_as_a_duplicate() {
        let arrivals = arrivals();
        let stamp = |number| EventStamp { run: 1, number, at: arrivals.clock.now_micros() };
        for (thread, webhook, number) in [(0, 0, 0), (1, 0, 1), (0, 2, 0), (1, 1, 0), (0, 0, 1)] {
            arrivals.record(thread, webhook, stamp(number));
        }
        arrivals.record(0, 4, stamp(0));
        let report = arrivals.report();
        assert_eq!(report.tally.delivered, 4);
        assert_eq!(report.tally.delivered_to_reliable, 3);
        assert_eq!(report.tally.duplicated, 1);
        assert_eq!(Latencies::from(&report.latency).quantiles().count, 3, "reliable receivers only");
        let received: Vec<_> = report.received.iter().map(|ranges| ranges.0.clone()).collect();
        assert_eq!(received, [vec![(0, 1)], vec![(0, 0)], vec![(0, 0)], vec![]]);
        assert!(report.first_at > 0 && report.first_at <= report.last_at);
    }
}
