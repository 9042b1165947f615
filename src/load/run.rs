//! A whole run, from the bare reference to the report.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::bare::{Bare, BareJob, post, sync_times};
use super::behaviour::Behaviour;
use super::clock::Clock;
use super::counted::Counted;
use super::engine::{Access, Engine, OwnEngine, Process, Tenant, Wanted};
use super::error::LoadError;
use super::http::Http;
use super::latency::Quantiles;
use super::measure::{Bench, OnProgress, Stretch};
use super::report::{BacklogFigures, BareFigures, Bound, Figures, Ratio, RecoveryFigures, Report};
use super::scenario::{Kind, Scenario};

/// The bare reference is made in two halves, before and after the run; each has at most so many posts.
const MAX_BARE_POSTS: u64 = 100_000;
/// Between two looks for the first delivery after a kill.
const FIRST_DELIVERY_LOOK: Duration = Duration::from_millis(10);
/// For an engine to settle after a backlog has piled up, before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// Of an isolation run: four alone and four beside the others. Fewer: what else a shared machine does falls to one side.
/// More: they end before anything hangs for long.
const ISOLATION_TURNS: u64 = 8;

/// What a run needs to know.
pub struct Options {
    /// Of the scenario.
    pub name: String,
    /// What is done.
    pub scenario: Scenario,
    /// Against whom.
    pub engine: Against,
    /// Where receivers are: `http://address`.
    pub receivers: String,
    /// Whether the bare reference is made.
    pub bare: bool,
    /// `sqlite`, `postgres` or `unknown`.
    pub database: String,
    /// Where syncs of the disk are measured.
    pub folder: PathBuf,
    /// The database's size in bytes, when it is known.
    pub disk: Arc<dyn Fn() -> Option<u64>>,
    /// Told while it goes on.
    pub on_progress: OnProgress,
}

/// The engine of a run.
pub enum Against {
    /// One that runs already.
    Running {
        /// Its address.
        base: String,
        /// How it lets us in.
        access: Access,
    },
    /// One of our own.
    Own(OwnEngine),
}

struct Run {
    options: Options,
    bench: Bench,
    engine: Engine,
    process: Option<Process>,
    own: Option<OwnEngine>,
}

#[derive(Default)]
struct Measured {
    figures: Figures,
    alone: Option<Figures>,
    backlog: Option<BacklogFigures>,
    recovery: Option<RecoveryFigures>,
}

/// Makes the run. What it made in a running engine is deleted in the end, also when the run fails.
pub async fn run(mut options: Options) -> Result<Report, LoadError> {
    options.scenario.check()?;
    let clock = Clock::start();
    let bench = Bench {
        clock,
        receivers: options.receivers.clone(),
        http: Http::default(),
        on_progress: Arc::clone(&options.on_progress),
        disk: Arc::clone(&options.disk),
        last_run: Cell::new((clock.now_micros() / 1_000) as u32),
    };
    let placeholder = Against::Running { base: String::new(), access: Access::Admin(String::new()) };
    let (engine, process, own) = match std::mem::replace(&mut options.engine, placeholder) {
        Against::Running { base, access } => (Engine::running(&base, access), None, None),
        Against::Own(own) => {
            let process = own.start()?;
            (Engine::own(&process, &own), Some(process), Some(own))
        }
    };
    Run { options, bench, engine, process, own }.make(clock).await
}

impl Run {
    async fn make(mut self, clock: Clock) -> Result<Report, LoadError> {
        let started_at = clock.now_micros() / 1_000;
        let mut bare = self.bare().await?;
        let measured = match self.options.scenario.kind {
            Kind::Steady => self.steady().await?,
            Kind::Isolation => self.isolation().await?,
            Kind::Backlog => self.backlog().await?,
            Kind::Recovery => self.recovery().await?,
        };
        if let (Some(first), Some(second)) = (&mut bare, self.bare().await?) {
            first.add(&second);
        }
        let bare = match bare {
            None => None,
            Some(bare) => Some(BareFigures {
                posts_per_second: bare.posts_per_second(),
                round_trip: bare.round_trips.quantiles(),
                sync: sync_times(&self.options.folder, clock)?,
            }),
        };
        let ratios = ratios(&self.options.scenario, &self.options.database, bare.as_ref(), &measured);
        Ok(Report {
            name: self.options.name,
            scenario: self.options.scenario,
            version: env!("CARGO_PKG_VERSION"),
            database: self.options.database,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            started_at,
            bare,
            measured: measured.figures,
            alone: measured.alone,
            backlog: measured.backlog,
            recovery: measured.recovery,
            ratios,
        })
    }

    /// One half of the bare reference.
    async fn bare(&self) -> Result<Option<Bare>, LoadError> {
        if !self.options.bare {
            return Ok(None);
        }
        let scenario = &self.options.scenario;
        let run = self.bench.begin(1, vec![Behaviour::Ok]).await?;
        let deliveries = scenario.publish.events * scenario.webhooks as u64;
        let job = BareJob {
            receivers: self.options.receivers.clone(),
            run,
            posts: (deliveries / 2).clamp(1, MAX_BARE_POSTS),
            rate: scenario.publish.rate.map(|rate| rate * scenario.webhooks as f64),
            payload_bytes: scenario.payload_bytes,
        };
        Ok(Some(post(job, self.bench.clock).await))
    }

    async fn tenants(&self, webhooks: usize, held_back: bool) -> Result<Vec<Tenant>, LoadError> {
        let Scenario { organizations, max_in_flight, .. } = self.options.scenario;
        let receivers = &self.options.receivers;
        self.engine.make_tenants(&Wanted { organizations, webhooks, receivers, max_in_flight, held_back }).await
    }

    fn stretch<'a>(
        &self,
        name: &'static str,
        tenants: &'a [Tenant],
        behaviours: &[Behaviour],
        events: u64,
    ) -> Stretch<'a> {
        let Scenario { publish, payload_bytes, .. } = &self.options.scenario;
        Stretch {
            name,
            tenants,
            behaviours: behaviours.to_vec(),
            publish: publish.clone(),
            events,
            payload_bytes: *payload_bytes,
        }
    }

    /// Warms up and measures receivers of these behaviours; its webhooks are deleted afterwards.
    async fn measure(
        &self,
        name: &'static str,
        behaviours: &[Behaviour],
        events: u64,
    ) -> Result<Counted, LoadError> {
        let publish = &self.options.scenario.publish;
        let tenants = self.tenants(behaviours.len(), false).await?;
        let measured = async {
            if publish.warm_up_events > 0 {
                let warm_up = self.stretch("warm-up", &tenants, behaviours, publish.warm_up_events);
                self.bench.measure(&self.engine, &warm_up).await?;
            }
            let stretch = self.stretch(name, &tenants, behaviours, events);
            self.bench.measure(&self.engine, &stretch).await
        };
        let counted = measured.await;
        let removed = self.engine.remove(&tenants).await;
        let counted = counted?;
        removed?;
        Ok(counted)
    }

    async fn steady(&self) -> Result<Measured, LoadError> {
        let scenario = &self.options.scenario;
        let counted = self.measure("measuring", &scenario.behaviours(), scenario.publish.events).await?;
        Ok(Measured { figures: counted.figures(), ..Measured::default() })
    }

    /// Alone and beside the others by turns, in an order in which a machine that gets slower meanwhile, and a database that
    /// grows, do the same to both.
    async fn isolation(&self) -> Result<Measured, LoadError> {
        let Scenario { publish, .. } = &self.options.scenario;
        let behaviours = self.options.scenario.behaviours();
        let healthy: Vec<Behaviour> = behaviours.iter().copied().filter(|it| *it == Behaviour::Ok).collect();
        let (mut alone, mut beside) = (None, None);
        for turn in 0..ISOLATION_TURNS {
            let events = share(publish.events, turn / 2, ISOLATION_TURNS / 2);
            let (name, behaviours, sum) = match turn % 4 {
                0 | 3 => ("alone", &healthy, &mut alone),
                _ => ("beside the others", &behaviours, &mut beside),
            };
            let counted = self.measure(name, behaviours, events).await?;
            match sum {
                None => *sum = Some(counted),
                Some(sum) => sum.add(counted),
            }
        }
        let figures = beside.unwrap_or_default().figures();
        Ok(Measured { figures, alone: alone.map(Counted::figures), ..Measured::default() })
    }

    async fn backlog(&self) -> Result<Measured, LoadError> {
        let behaviours = self.options.scenario.behaviours();
        let tenants = self.tenants(behaviours.len(), true).await?;
        let stretch = self.stretch("piling up", &tenants, &behaviours, self.options.scenario.publish.events);
        let mut underway = self.bench.start(&self.engine, &stretch).await?;
        self.bench.published(&self.engine, &stretch, &mut underway).await?;
        tokio::time::sleep(SETTLE).await;
        let usage = self.engine.usage().await;
        let delivered_before = self.bench.tally(&underway).await?.delivered;
        let expected = underway.accepted() * behaviours.len() as u64;
        let begin = self.bench.clock.now_micros();
        self.engine.release(&tenants).await?;
        let stretch = Stretch { name: "draining", ..stretch };
        self.bench.arrived(&self.engine, &stretch, &mut underway).await?;
        let figures = self.bench.counted(&self.engine, &stretch, underway).await?.figures();
        let drain_seconds = self.bench.clock.since(begin).as_secs_f64();
        self.engine.remove(&tenants).await?;
        let pending = usage.map_or(expected - delivered_before, |usage| usage.pending as u64);
        let backlog = BacklogFigures {
            pending,
            resident_bytes: usage.map(|usage| usage.resident_bytes as u64),
            drain_seconds,
            drained_per_second: (figures.deliveries - delivered_before) as f64 / drain_seconds,
        };
        Ok(Measured { figures, backlog: Some(backlog), ..Measured::default() })
    }

    async fn recovery(&mut self) -> Result<Measured, LoadError> {
        let (Some(own), Some(mut process)) = (self.own.clone(), self.process.take()) else {
            let text = "recovery kills the engine: it needs one of its own (--sqlite or --postgres)";
            return Err(LoadError::Options(text.to_owned()));
        };
        let publish = self.options.scenario.publish.clone();
        let behaviours = self.options.scenario.behaviours();
        let tenants = self.tenants(behaviours.len(), false).await?;
        let stretch = self.stretch("measuring", &tenants, &behaviours, publish.events);
        let mut underway = self.bench.start(&self.engine, &stretch).await?;
        while underway.accepted() < publish.events / 2 {
            self.bench.look(&self.engine, &stretch, &mut underway).await?;
            tokio::time::sleep(FIRST_DELIVERY_LOOK).await;
        }
        process.kill()?;
        let delivered = self.bench.tally(&underway).await?.delivered;
        let begin = self.bench.clock.now_micros();
        let restarted = own.clone();
        // starting blocks, and the publishers must go on meanwhile
        let started = actix_rt::task::spawn_blocking(move || own.start()).await;
        let started = started.map_err(|error| LoadError::NotStarted(error.to_string()))?;
        let process = started?;
        self.engine = Engine::own(&process, &restarted);
        self.process = Some(process);
        let ready_seconds = self.bench.clock.since(begin).as_secs_f64();
        while self.bench.tally(&underway).await?.delivered == delivered {
            tokio::time::sleep(FIRST_DELIVERY_LOOK).await;
        }
        let first_delivery_seconds = self.bench.clock.since(begin).as_secs_f64();
        self.bench.arrived(&self.engine, &stretch, &mut underway).await?;
        let figures = self.bench.counted(&self.engine, &stretch, underway).await?.figures();
        let recovery = RecoveryFigures { ready_seconds, first_delivery_seconds };
        Ok(Measured { figures, recovery: Some(recovery), ..Measured::default() })
    }
}

/// How many of `total` fall to one of several parts; together they are all of it.
fn share(total: u64, part: u64, parts: u64) -> u64 {
    total / parts + u64::from(part < total % parts)
}

fn ratios(scenario: &Scenario, database: &str, bare: Option<&BareFigures>, measured: &Measured) -> Vec<Ratio> {
    let expect = scenario.expect;
    let mut ratios = Vec::new();
    let figures = &measured.figures;
    if let Some(bare) = bare {
        let is_paced = scenario.publish.rate.is_some();
        if !is_paced {
            let least = match database {
                "postgres" => expect.deliveries_to_bare_postgres,
                _ => expect.deliveries_to_bare,
            };
            ratios.push(Ratio {
                name: "deliveries/s to bare posts/s",
                value: figures.deliveries_per_second / bare.posts_per_second,
                bound: least.map(Bound::AtLeast),
            });
        }
        if is_paced {
            let base = (bare.round_trip.p50 + bare.sync.p50).max(1) as f64;
            let Quantiles { p50, p99, .. } = figures.end_to_end;
            let to_base = |name, micros: u64, most: Option<f64>| Ratio {
                name,
                value: micros as f64 / base,
                bound: most.map(Bound::AtMost),
            };
            ratios.push(to_base("p50 to bare round trip and sync", p50, expect.p50_to_bare_and_sync));
            ratios.push(to_base("p99 to bare round trip and sync", p99, expect.p99_to_bare_and_sync));
        }
    }
    if let Some(alone) = &measured.alone {
        ratios.push(Ratio {
            name: "healthy deliveries/s beside the others to alone",
            value: figures.deliveries_per_second / alone.deliveries_per_second,
            bound: expect.healthy_deliveries_ratio.map(Bound::AtLeast),
        });
        ratios.push(Ratio {
            name: "healthy p99 beside the others to alone",
            value: figures.end_to_end.p99 as f64 / alone.end_to_end.p99.max(1) as f64,
            bound: expect.healthy_p99_ratio.map(Bound::AtMost),
        });
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_turns_differ_by_one_at_most_and_are_everything_together() {
        for total in [0, 1, 3, 4, 200, 40_001] {
            let shares: Vec<u64> = (0..4).map(|part| share(total, part, 4)).collect();
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }
}
