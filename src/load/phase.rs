//! One measured phase of a run: publish events, and wait until they have arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use awc::http::Method;

use super::arrivals::{ArrivalCounts, ArrivalReport, RunSpec};
use super::clock::RunClock;
use super::error::LoadError;
use super::http::LoadClient;
use super::latency::Latencies;
use super::measurement::Measurement;
use super::number_set::NumberSet;
use super::publisher::{PublishJob, PublishProgress, PublishResult, publish};
use super::receiver::RUNS;
use super::receiver_behaviour::Behaviour;
use super::report::{ResidentMemory, SecondFigures};
use super::scenario::PublishPlan;
use super::target_engine::{EngineUsage, LoadTenant, TargetEngine};

/// Between two observations of what has arrived.
const OBSERVATION_INTERVAL: Duration = Duration::from_millis(250);
/// When nothing has arrived for this long, nothing will. Longer than the first retries after a broken connection.
const STALLED: Duration = Duration::from_secs(100);

pub(crate) struct Phase<'a> {
    /// Shown to people.
    pub name: &'static str,
    /// Made for this phase.
    pub tenants: &'a [LoadTenant],
    /// Of the webhooks of each tenant.
    pub behaviours: Vec<Behaviour>,
    pub publish: PublishPlan,
    /// Events to publish in this phase.
    pub events: u64,
    /// Size of an event's data.
    pub payload_bytes: usize,
}

/// The progress of a phase.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// Name of the phase.
    pub phase: &'a str,
    /// Events acknowledged so far.
    pub accepted: u64,
    /// Events to publish in this phase.
    pub events: u64,
    /// Deliveries that have arrived so far at reliable receivers.
    pub delivered: u64,
    /// Deliveries that the acknowledged events make at reliable receivers.
    pub expected: u64,
    /// 99th percentile of the last second, in microseconds.
    pub recent_p99: u64,
}

/// Called several times per second while a run goes on.
pub(crate) type OnProgress = Arc<dyn Fn(&Snapshot<'_>)>;

/// The means of measuring, shared by all phases of a run.
pub(crate) struct Harness {
    pub clock: RunClock,
    /// Base URL.
    pub receivers: String,
    pub http: LoadClient,
    pub on_progress: OnProgress,
    /// Returns the size of the database in bytes, where it is known.
    pub disk: Arc<dyn Fn() -> Option<u64>>,
    /// Number of the most recently begun run.
    pub last_run: std::cell::Cell<u32>,
}

/// A phase whose events are being published.
pub(crate) struct RunningPhase {
    run: u32,
    progress: Arc<PublishProgress>,
    publisher: actix_rt::task::JoinHandle<PublishResult>,
    /// Once the publisher has ended.
    published: Option<PublishResult>,
    before: Option<EngineUsage>,
    disk_before: Option<u64>,
    peak: u64,
}

impl Harness {
    /// Begins a run at the receivers, and returns its number.
    pub(crate) async fn begin(&self, organizations: usize, behaviours: Vec<Behaviour>) -> Result<u32, LoadError> {
        let run = self.last_run.get() + 1;
        self.last_run.set(run);
        let url = format!("{}{RUNS}", self.receivers);
        let spec = RunSpec { run, organizations, behaviours };
        self.http.text(Method::PUT, &url, None, Some(&spec)).await?;
        Ok(run)
    }

    /// Begins to publish.
    pub(crate) async fn start(&self, engine: &TargetEngine, phase: &Phase<'_>) -> Result<RunningPhase, LoadError> {
        let run = self.begin(phase.tenants.len(), phase.behaviours.clone()).await?;
        let before = engine.usage().await;
        let job = PublishJob {
            base: engine.base().to_owned(),
            keys: phase.tenants.iter().map(|tenant| tenant.key.clone()).collect(),
            run,
            events: phase.events,
            publish: phase.publish.clone(),
            payload_bytes: phase.payload_bytes,
        };
        let progress = Arc::new(PublishProgress::default());
        let peak = before.map_or(0, |usage| usage.resident_bytes as u64);
        let publisher = actix_rt::spawn(publish(job, self.clock, Arc::clone(&progress)));
        Ok(RunningPhase { run, progress, publisher, published: None, before, disk_before: (self.disk)(), peak })
    }

    pub(crate) async fn tally(&self, running: &RunningPhase) -> Result<ArrivalCounts, LoadError> {
        let url = format!("{}{RUNS}/{}/tally", self.receivers, running.run);
        self.http.json(Method::GET, &url, None, None::<&()>).await
    }

    /// Observes the phase once, and reports its progress.
    pub(crate) async fn observe(
        &self,
        engine: &TargetEngine,
        phase: &Phase<'_>,
        running: &mut RunningPhase,
    ) -> Result<(ArrivalCounts, u64), LoadError> {
        let accepted = running.progress.accepted.load(Ordering::Relaxed);
        let expected = accepted * reliable_count(&phase.behaviours) as u64;
        let tally = self.tally(running).await?;
        if let Some(usage) = engine.usage().await {
            running.peak = running.peak.max(usage.resident_bytes as u64);
        }
        (self.on_progress)(&Snapshot {
            phase: phase.name,
            accepted,
            events: phase.events,
            delivered: tally.delivered_to_reliable,
            expected,
            recent_p99: tally.recent_p99,
        });
        Ok((tally, expected))
    }

    /// Waits until all events are published.
    pub(crate) async fn wait_until_published(
        &self,
        engine: &TargetEngine,
        phase: &Phase<'_>,
        running: &mut RunningPhase,
    ) -> Result<(), LoadError> {
        while !running.publisher.is_finished() {
            self.observe(engine, phase, running).await?;
            tokio::time::sleep(OBSERVATION_INTERVAL).await;
        }
        if running.published.is_none() {
            let published = (&mut running.publisher).await;
            running.published = Some(published.map_err(|error| LoadError::Publisher(error.to_string()))?);
        }
        Ok(())
    }

    /// Waits until all events are published and have arrived, or nothing arrives any more.
    pub(crate) async fn wait_until_arrived(
        &self,
        engine: &TargetEngine,
        phase: &Phase<'_>,
        running: &mut RunningPhase,
    ) -> Result<(), LoadError> {
        self.wait_until_published(engine, phase, running).await?;
        let (mut last, mut since) = (0, self.clock.now_micros());
        loop {
            let (tally, expected) = self.observe(engine, phase, running).await?;
            if tally.delivered_to_reliable != last {
                (last, since) = (tally.delivered_to_reliable, self.clock.now_micros());
            }
            let has_all = tally.delivered_to_reliable >= expected && self.has_lost_nothing(phase, running).await?;
            if has_all || self.clock.since(since) > STALLED {
                return Ok(());
            }
            tokio::time::sleep(OBSERVATION_INTERVAL).await;
        }
    }

    /// Whether every acknowledged event has arrived. The counts alone do not show it after a failed request: an event whose
    /// acknowledgement was lost may be stored, and its deliveries would stand in for others that are still on their way.
    async fn has_lost_nothing(&self, phase: &Phase<'_>, running: &RunningPhase) -> Result<bool, LoadError> {
        match &running.published {
            Some(published) if !published.errors.is_empty() => {
                let arrived = self.arrivals(running).await?;
                Ok(lost(&published.acknowledged, &arrived, &phase.behaviours) == 0)
            }
            _ => Ok(true),
        }
    }

    async fn arrivals(&self, running: &RunningPhase) -> Result<ArrivalReport, LoadError> {
        let url = format!("{}{RUNS}/{}", self.receivers, running.run);
        self.http.json(Method::GET, &url, None, None::<&()>).await
    }

    /// Collects the totals of a phase whose events are published.
    pub(crate) async fn totals(
        &self,
        engine: &TargetEngine,
        phase: &Phase<'_>,
        mut running: RunningPhase,
    ) -> Result<Measurement, LoadError> {
        self.wait_until_published(engine, phase, &mut running).await?;
        let arrived = self.arrivals(&running).await?;
        let after = engine.usage().await;
        let disk_after = (self.disk)();
        let published = running.published.unwrap_or_default();
        // the CPU time of a restarted engine begins at 0 again
        let usage = running.before.zip(after).filter(|(before, after)| after.cpu_seconds >= before.cpu_seconds);
        let since_begin = |micros: u64| Duration::from_micros(micros.saturating_sub(published.begun_at));
        Ok(Measurement {
            accepted: published.acknowledged.iter().map(NumberSet::len).sum(),
            accepted_in: since_begin(published.ended_at),
            deliveries: arrived.tally.delivered,
            delivered_in: since_begin(arrived.last_at),
            arrived: Latencies::from(&arrived.latency),
            lost: lost(&published.acknowledged, &arrived, &phase.behaviours),
            duplicated: arrived.tally.duplicated,
            refused: published.refused,
            used: usage.map(|(before, after)| {
                let resident = ResidentMemory {
                    before: before.resident_bytes as u64,
                    peak: running.peak.max(after.resident_bytes as u64),
                    after: after.resident_bytes as u64,
                };
                (after.cpu_seconds - before.cpu_seconds, resident)
            }),
            disk: running.disk_before.zip(disk_after).map(|(before, after)| after as f64 - before as f64),
            seconds: seconds(&published, &arrived),
            published: published.latencies,
            errors: published.errors,
        })
    }

    /// Publishes, waits, and returns the totals.
    pub(crate) async fn measure(
        &self,
        engine: &TargetEngine,
        phase: &Phase<'_>,
    ) -> Result<Measurement, LoadError> {
        let mut running = self.start(engine, phase).await?;
        self.wait_until_arrived(engine, phase, &mut running).await?;
        self.totals(engine, phase, running).await
    }
}

impl RunningPhase {
    pub(crate) fn accepted(&self) -> u64 {
        self.progress.accepted.load(Ordering::Relaxed)
    }

    /// Whether every event has been published.
    pub(crate) fn has_published(&self) -> bool {
        self.publisher.is_finished()
    }
}

/// Number of webhooks of an organization at which every event arrives.
fn reliable_count(behaviours: &[Behaviour]) -> usize {
    behaviours.iter().filter(|behaviour| behaviour.is_reliable()).count()
}

/// Deliveries of acknowledged events that did not arrive at reliable receivers.
fn lost(acknowledged: &[NumberSet], arrived: &ArrivalReport, behaviours: &[Behaviour]) -> u64 {
    let received: Vec<NumberSet> = arrived.received.iter().map(NumberSet::from).collect();
    let of_organization = |(organization, numbers): (usize, &NumberSet)| -> u64 {
        let webhooks = behaviours.iter().enumerate().filter(|(_, behaviour)| behaviour.is_reliable());
        webhooks
            .map(|(webhook, _)| numbers.missing_from(&received[organization * behaviours.len() + webhook]))
            .sum()
    };
    acknowledged.iter().enumerate().map(of_organization).sum()
}

fn seconds(published: &PublishResult, arrived: &ArrivalReport) -> Vec<SecondFigures> {
    let mut seconds: BTreeMap<u64, SecondFigures> = BTreeMap::new();
    for (second, accepted) in &published.seconds {
        seconds.entry(*second).or_default().accepted = *accepted;
    }
    for (second, buckets) in &arrived.seconds {
        let quantiles = Latencies::from(buckets).quantiles();
        let second = seconds.entry(*second).or_default();
        (second.deliveries, second.p50, second.p99) = (quantiles.count, quantiles.p50, quantiles.p99);
    }
    let (Some(first), Some(last)) = (seconds.keys().next(), seconds.keys().next_back()) else { return Vec::new() };
    (*first..=*last).map(|second| seconds.get(&second).copied().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::number_set::NumberRanges;

    #[test]
    fn an_acknowledged_event_that_is_missing_at_a_reliable_receiver_counts_as_lost() {
        let mut acknowledged = NumberSet::default();
        (0..10).for_each(|number| {
            acknowledged.insert(number);
        });
        let arrived = ArrivalReport {
            tally: ArrivalCounts::default(),
            first_at: 0,
            last_at: 0,
            latency: Default::default(),
            seconds: BTreeMap::new(),
            received: vec![NumberRanges(vec![(0, 7), (9, 20)]), NumberRanges(vec![])],
        };
        assert_eq!(lost(&[acknowledged], &arrived, &[Behaviour::Ok, Behaviour::Hanging]), 1);
    }

    #[test]
    fn idle_seconds_are_listed_with_zeros() {
        let published =
            PublishResult { seconds: BTreeMap::from([(100, 5), (103, 7)]), ..PublishResult::default() };
        let arrived = ArrivalReport {
            tally: ArrivalCounts::default(),
            first_at: 0,
            last_at: 0,
            latency: Default::default(),
            seconds: BTreeMap::new(),
            received: Vec::new(),
        };
        let accepted: Vec<u64> = seconds(&published, &arrived).iter().map(|second| second.accepted).collect();
        assert_eq!(accepted, [5, 0, 0, 7]);
    }
}
