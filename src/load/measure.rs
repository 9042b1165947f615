//! One measured stretch of a run: events are published, and waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use awc::http::Method;

use super::arrivals::{ArrivalReport, RunSpec, Tally};
use super::behaviour::Behaviour;
use super::clock::Clock;
use super::counted::Counted;
use super::engine::{Engine, Tenant, Usage};
use super::error::LoadError;
use super::http::Http;
use super::latency::Latencies;
use super::numbers::Numbers;
use super::publisher::{Job, Progress, Published, publish};
use super::receiver::RUNS;
use super::report::{Resident, Second};
use super::scenario::Publish;

/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(250);
/// Nothing arrives for so long: nothing will. Longer than the first retries of a webhook whose connection broke.
const STALLED: Duration = Duration::from_secs(100);

/// What is to be measured.
pub(crate) struct Stretch<'a> {
    /// For people.
    pub name: &'static str,
    /// Made for it.
    pub tenants: &'a [Tenant],
    /// Of each tenant's webhooks.
    pub behaviours: Vec<Behaviour>,
    /// How.
    pub publish: Publish,
    /// How many of its events.
    pub events: u64,
    /// Of an event's data.
    pub payload_bytes: usize,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// What is going on.
    pub stretch: &'a str,
    /// Events acknowledged so far.
    pub accepted: u64,
    /// Of so many.
    pub events: u64,
    /// Deliveries arrived so far, at receivers that get everything.
    pub delivered: u64,
    /// Of so many for the events that were acknowledged.
    pub expected: u64,
    /// Of the last second, in microseconds.
    pub recent_p99: u64,
}

/// What is told while a run goes on.
pub(crate) type OnProgress = Arc<dyn Fn(&Snapshot<'_>)>;

/// Where things are measured.
pub(crate) struct Bench {
    /// Of the run.
    pub clock: Clock,
    /// Where receivers are.
    pub receivers: String,
    /// Asked for them.
    pub http: Http,
    /// Told while it goes on.
    pub on_progress: OnProgress,
    /// The database's size in bytes, when it is known.
    pub disk: Arc<dyn Fn() -> Option<u64>>,
    /// The number of the last run that was begun.
    pub last_run: std::cell::Cell<u32>,
}

/// A stretch that is being published.
pub(crate) struct Underway {
    run: u32,
    progress: Arc<Progress>,
    task: actix_rt::task::JoinHandle<Published>,
    before: Option<Usage>,
    disk_before: Option<u64>,
    peak: u64,
}

impl Bench {
    /// Tells the receivers that a run begins, and gives its number.
    pub(crate) async fn begin(&self, organizations: usize, behaviours: Vec<Behaviour>) -> Result<u32, LoadError> {
        let run = self.last_run.get() + 1;
        self.last_run.set(run);
        let url = format!("{}{RUNS}", self.receivers);
        let spec = RunSpec { run, organizations, behaviours };
        self.http.text(Method::PUT, &url, None, Some(&spec)).await?;
        Ok(run)
    }

    /// Begins to publish.
    pub(crate) async fn start(&self, engine: &Engine, stretch: &Stretch<'_>) -> Result<Underway, LoadError> {
        let run = self.begin(stretch.tenants.len(), stretch.behaviours.clone()).await?;
        let before = engine.usage().await;
        let job = Job {
            base: engine.base().to_owned(),
            keys: stretch.tenants.iter().map(|tenant| tenant.key.clone()).collect(),
            run,
            events: stretch.events,
            publish: stretch.publish.clone(),
            payload_bytes: stretch.payload_bytes,
        };
        let progress = Arc::new(Progress::default());
        let peak = before.map_or(0, |usage| usage.resident_bytes as u64);
        let task = actix_rt::spawn(publish(job, self.clock, Arc::clone(&progress)));
        Ok(Underway { run, progress, task, before, disk_before: (self.disk)(), peak })
    }

    /// Counts of a run so far.
    pub(crate) async fn tally(&self, underway: &Underway) -> Result<Tally, LoadError> {
        let url = format!("{}{RUNS}/{}/tally", self.receivers, underway.run);
        self.http.json(Method::GET, &url, None, None::<&()>).await
    }

    /// Looks at it once, and tells.
    pub(crate) async fn look(
        &self,
        engine: &Engine,
        stretch: &Stretch<'_>,
        underway: &mut Underway,
    ) -> Result<(Tally, u64), LoadError> {
        let accepted = underway.progress.accepted.load(Ordering::Relaxed);
        let expected = accepted * well(&stretch.behaviours) as u64;
        let tally = self.tally(underway).await?;
        if let Some(usage) = engine.usage().await {
            underway.peak = underway.peak.max(usage.resident_bytes as u64);
        }
        (self.on_progress)(&Snapshot {
            stretch: stretch.name,
            accepted,
            events: stretch.events,
            delivered: tally.delivered_to_well,
            expected,
            recent_p99: tally.recent_p99,
        });
        Ok((tally, expected))
    }

    /// Waits until everything was published.
    pub(crate) async fn published(
        &self,
        engine: &Engine,
        stretch: &Stretch<'_>,
        underway: &mut Underway,
    ) -> Result<(), LoadError> {
        while !underway.task.is_finished() {
            self.look(engine, stretch, underway).await?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until all of it was published and has arrived, or nothing arrives any more.
    pub(crate) async fn arrived(
        &self,
        engine: &Engine,
        stretch: &Stretch<'_>,
        underway: &mut Underway,
    ) -> Result<(), LoadError> {
        self.published(engine, stretch, underway).await?;
        let (mut last, mut since) = (0, self.clock.now_micros());
        loop {
            let (tally, expected) = self.look(engine, stretch, underway).await?;
            if tally.delivered_to_well != last {
                (last, since) = (tally.delivered_to_well, self.clock.now_micros());
            }
            // an event whose acknowledgement got lost arrives too: more than expected is no fault
            if tally.delivered_to_well >= expected || self.clock.since(since) > STALLED {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was measured.
    pub(crate) async fn counted(
        &self,
        engine: &Engine,
        stretch: &Stretch<'_>,
        underway: Underway,
    ) -> Result<Counted, LoadError> {
        let url = format!("{}{RUNS}/{}", self.receivers, underway.run);
        let arrived: ArrivalReport = self.http.json(Method::GET, &url, None, None::<&()>).await?;
        let after = engine.usage().await;
        let disk_after = (self.disk)();
        let published = underway.task.await.map_err(|error| LoadError::Drawing(error.to_string()))?;
        // a restarted engine has forgotten what it used before
        let usage = underway.before.zip(after).filter(|(before, after)| after.cpu_seconds >= before.cpu_seconds);
        let since_begin = |micros: u64| Duration::from_micros(micros.saturating_sub(published.begun_at));
        Ok(Counted {
            accepted: published.acknowledged.iter().map(Numbers::len).sum(),
            accepted_in: since_begin(published.ended_at),
            deliveries: arrived.tally.delivered,
            delivered_in: since_begin(arrived.last_at),
            arrived: Latencies::from(&arrived.latency),
            lost: lost(&published.acknowledged, &arrived, &stretch.behaviours),
            duplicated: arrived.tally.duplicated,
            refused: published.refused,
            used: usage.map(|(before, after)| {
                let resident = Resident {
                    before: before.resident_bytes as u64,
                    peak: underway.peak.max(after.resident_bytes as u64),
                    after: after.resident_bytes as u64,
                };
                (after.cpu_seconds - before.cpu_seconds, resident)
            }),
            disk: underway.disk_before.zip(disk_after).map(|(before, after)| after as f64 - before as f64),
            seconds: seconds(&published, &arrived),
            published: published.latencies,
            errors: published.errors,
        })
    }

    /// Publishes, waits, and gives what was measured.
    pub(crate) async fn measure(&self, engine: &Engine, stretch: &Stretch<'_>) -> Result<Counted, LoadError> {
        let mut underway = self.start(engine, stretch).await?;
        self.arrived(engine, stretch, &mut underway).await?;
        self.counted(engine, stretch, underway).await
    }
}

impl Underway {
    /// Events acknowledged so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.progress.accepted.load(Ordering::Relaxed)
    }
}

/// Webhooks of an organization at which everything arrives.
fn well(behaviours: &[Behaviour]) -> usize {
    behaviours.iter().filter(|behaviour| behaviour.gets_everything()).count()
}

/// Acknowledged, but not arrived where everything arrives.
fn lost(acknowledged: &[Numbers], arrived: &ArrivalReport, behaviours: &[Behaviour]) -> u64 {
    let received: Vec<Numbers> = arrived.received.iter().map(Numbers::from).collect();
    let of_organization = |(organization, numbers): (usize, &Numbers)| -> u64 {
        let webhooks = behaviours.iter().enumerate().filter(|(_, behaviour)| behaviour.gets_everything());
        webhooks
            .map(|(webhook, _)| numbers.missing_from(&received[organization * behaviours.len() + webhook]))
            .sum()
    };
    acknowledged.iter().enumerate().map(of_organization).sum()
}

fn seconds(published: &Published, arrived: &ArrivalReport) -> Vec<Second> {
    let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
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
    use crate::load::numbers::Ranges;

    #[test]
    fn lost_is_what_was_acknowledged_and_is_missing_where_everything_arrives() {
        let mut acknowledged = Numbers::default();
        (0..10).for_each(|number| {
            acknowledged.insert(number);
        });
        let arrived = ArrivalReport {
            tally: Tally::default(),
            first_at: 0,
            last_at: 0,
            latency: Default::default(),
            seconds: BTreeMap::new(),
            received: vec![Ranges(vec![(0, 7), (9, 20)]), Ranges(vec![])],
        };
        assert_eq!(lost(&[acknowledged], &arrived, &[Behaviour::Ok, Behaviour::Hanging]), 1);
    }

    #[test]
    fn seconds_without_anything_are_there_as_zeros() {
        let published = Published { seconds: BTreeMap::from([(100, 5), (103, 7)]), ..Published::default() };
        let arrived = ArrivalReport {
            tally: Tally::default(),
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
