//! A whole run, from the baseline to the report.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::baseline::{Baseline, BaselineJob, post, sync_times};
use super::clock::RunClock;
use super::error::LoadError;
use super::http::LoadClient;
use super::latency::Quantiles;
use super::measurement::Measurement;
use super::phase::{Harness, OnProgress, Phase};
use super::receiver_behaviour::Behaviour;
use super::report::{BacklogFigures, BaselineFigures, Figures, Ratio, RatioBound, RecoveryFigures, Report};
use super::scenario::{Scenario, ScenarioKind};
use super::target_engine::{EngineAccess, EngineLauncher, EngineProcess, LoadTenant, TargetEngine, TenantsSpec};

/// The baseline is measured in two halves, before and after the run; each has at most this many posts.
const MAX_BASELINE_POSTS: u64 = 100_000;
/// Between two checks for the first delivery after a kill.
const FIRST_DELIVERY_POLL: Duration = Duration::from_millis(10);
/// Lets an engine settle after a backlog has built up, before its memory is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// Turns of an isolation run: half of them with the healthy receivers alone, half with all receivers. Fewer: other work on a
/// shared machine distorts one side. More: turns end before a receiver hangs for long.
const ISOLATION_TURNS: u64 = 8;

/// The engine, the receivers and the scenario of a run.
pub struct RunOptions {
    /// Name of the scenario.
    pub name: String,
    /// What the run does.
    pub scenario: Scenario,
    /// The engine to measure.
    pub engine: EngineUnderTest,
    /// Base URL: `http://address`.
    pub receivers: String,
    /// Whether to measure the baseline.
    pub baseline: bool,
    /// `sqlite`, `postgres` or `unknown`.
    pub database: String,
    /// Folder on the disk whose syncs are measured.
    pub folder: PathBuf,
    /// Returns the size of the database in bytes, where it is known.
    pub disk: Arc<dyn Fn() -> Option<u64>>,
    /// Called several times per second while the run goes on.
    pub on_progress: OnProgress,
}

/// The engine that a run measures.
pub enum EngineUnderTest {
    /// An engine that is already running.
    Running {
        /// Base URL.
        base: String,
        /// Which key it accepts.
        access: EngineAccess,
    },
    /// An engine that the run starts and stops.
    Started(EngineLauncher),
}

struct LoadRun {
    options: RunOptions,
    harness: Harness,
    engine: TargetEngine,
    process: Option<EngineProcess>,
    launcher: Option<EngineLauncher>,
}

#[derive(Default)]
struct RunFigures {
    figures: Figures,
    alone: Option<Figures>,
    backlog: Option<BacklogFigures>,
    recovery: Option<RecoveryFigures>,
}

/// Makes the run. Organizations and webhooks that it made in a running engine are deleted at the end, even when the run fails.
pub async fn run(mut options: RunOptions) -> Result<Report, LoadError> {
    options.scenario.check()?;
    let clock = RunClock::start();
    let harness = Harness {
        clock,
        receivers: options.receivers.clone(),
        http: LoadClient::default(),
        on_progress: Arc::clone(&options.on_progress),
        disk: Arc::clone(&options.disk),
        last_run: Cell::new((clock.now_micros() / 1_000) as u32),
    };
    let placeholder = EngineUnderTest::Running { base: String::new(), access: EngineAccess::Admin(String::new()) };
    let (engine, process, launcher) = match std::mem::replace(&mut options.engine, placeholder) {
        EngineUnderTest::Running { base, access } => (TargetEngine::running(&base, access), None, None),
        EngineUnderTest::Started(launcher) => {
            let process = launcher.start()?;
            (TargetEngine::started(&process, &launcher), Some(process), Some(launcher))
        }
    };
    LoadRun { options, harness, engine, process, launcher }.execute(clock).await
}

impl LoadRun {
    async fn execute(mut self, clock: RunClock) -> Result<Report, LoadError> {
        let started_at = clock.now_micros() / 1_000;
        let mut baseline = self.baseline().await?;
        let measured = match self.options.scenario.kind {
            ScenarioKind::Steady => self.steady().await?,
            ScenarioKind::Isolation => self.isolation().await?,
            ScenarioKind::Backlog => self.backlog().await?,
            ScenarioKind::Recovery => self.recovery().await?,
        };
        if let (Some(first), Some(second)) = (&mut baseline, self.baseline().await?) {
            first.add(&second);
        }
        let baseline = match baseline {
            None => None,
            Some(baseline) => Some(BaselineFigures {
                posts_per_second: baseline.posts_per_second(),
                round_trip: baseline.round_trips.quantiles(),
                sync: sync_times(&self.options.folder, clock)?,
            }),
        };
        let ratios = ratios(&self.options.scenario, &self.options.database, baseline.as_ref(), &measured);
        Ok(Report {
            name: self.options.name,
            scenario: self.options.scenario,
            version: env!("CARGO_PKG_VERSION"),
            database: self.options.database,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            started_at,
            baseline,
            measured: measured.figures,
            alone: measured.alone,
            backlog: measured.backlog,
            recovery: measured.recovery,
            ratios,
        })
    }

    /// One half of the baseline.
    async fn baseline(&self) -> Result<Option<Baseline>, LoadError> {
        if !self.options.baseline {
            return Ok(None);
        }
        let scenario = &self.options.scenario;
        let run = self.harness.begin(1, vec![Behaviour::Ok]).await?;
        let deliveries = scenario.publish.events * scenario.webhooks as u64;
        let job = BaselineJob {
            receivers: self.options.receivers.clone(),
            run,
            posts: (deliveries / 2).clamp(1, MAX_BASELINE_POSTS),
            rate: scenario.publish.rate.map(|rate| rate * scenario.webhooks as f64),
            payload_bytes: scenario.payload_bytes,
        };
        Ok(Some(post(job, self.harness.clock).await))
    }

    async fn tenants(&self, webhooks: usize, held_back: bool) -> Result<Vec<LoadTenant>, LoadError> {
        let Scenario { organizations, max_in_flight, .. } = self.options.scenario;
        let receivers = &self.options.receivers;
        self.engine
            .create_tenants(&TenantsSpec { organizations, webhooks, receivers, max_in_flight, held_back })
            .await
    }

    fn phase<'a>(
        &self,
        name: &'static str,
        tenants: &'a [LoadTenant],
        behaviours: &[Behaviour],
        events: u64,
    ) -> Phase<'a> {
        let Scenario { publish, payload_bytes, .. } = &self.options.scenario;
        Phase {
            name,
            tenants,
            behaviours: behaviours.to_vec(),
            publish: publish.clone(),
            events,
            payload_bytes: *payload_bytes,
        }
    }

    /// Warms up and measures receivers of these behaviours; deletes their webhooks afterwards.
    async fn measure(
        &self,
        name: &'static str,
        behaviours: &[Behaviour],
        events: u64,
    ) -> Result<Measurement, LoadError> {
        let publish = &self.options.scenario.publish;
        let tenants = self.tenants(behaviours.len(), false).await?;
        let measured = async {
            if publish.warm_up_events > 0 {
                let warm_up = self.phase("warm-up", &tenants, behaviours, publish.warm_up_events);
                self.harness.measure(&self.engine, &warm_up).await?;
            }
            let phase = self.phase(name, &tenants, behaviours, events);
            self.harness.measure(&self.engine, &phase).await
        };
        let counted = measured.await;
        let removed = self.engine.remove(&tenants).await;
        let counted = counted?;
        removed?;
        Ok(counted)
    }

    async fn steady(&self) -> Result<RunFigures, LoadError> {
        let scenario = &self.options.scenario;
        let counted = self.measure("measuring", &scenario.behaviours(), scenario.publish.events).await?;
        Ok(RunFigures { figures: counted.figures(), ..RunFigures::default() })
    }

    /// Measures the healthy receivers alone and together with the others in turns. The order of the turns gives both sides the same
    /// share of a machine that slows down and of a database that grows.
    async fn isolation(&self) -> Result<RunFigures, LoadError> {
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
        Ok(RunFigures { figures, alone: alone.map(Measurement::figures), ..RunFigures::default() })
    }

    async fn backlog(&self) -> Result<RunFigures, LoadError> {
        let behaviours = self.options.scenario.behaviours();
        let tenants = self.tenants(behaviours.len(), true).await?;
        let phase = self.phase("building up", &tenants, &behaviours, self.options.scenario.publish.events);
        let mut running = self.harness.start(&self.engine, &phase).await?;
        self.harness.wait_until_published(&self.engine, &phase, &mut running).await?;
        tokio::time::sleep(SETTLE).await;
        let usage = self.engine.usage().await;
        let delivered_before = self.harness.tally(&running).await?.delivered;
        let expected = running.accepted() * behaviours.len() as u64;
        let begin = self.harness.clock.now_micros();
        self.engine.release(&tenants).await?;
        let phase = Phase { name: "draining", ..phase };
        self.harness.wait_until_arrived(&self.engine, &phase, &mut running).await?;
        let figures = self.harness.totals(&self.engine, &phase, running).await?.figures();
        let drain_seconds = self.harness.clock.since(begin).as_secs_f64();
        self.engine.remove(&tenants).await?;
        let pending = usage.map_or(expected - delivered_before, |usage| usage.pending as u64);
        let backlog = BacklogFigures {
            pending,
            resident_bytes: usage.map(|usage| usage.resident_bytes as u64),
            drain_seconds,
            drained_per_second: (figures.deliveries - delivered_before) as f64 / drain_seconds,
        };
        Ok(RunFigures { figures, backlog: Some(backlog), ..RunFigures::default() })
    }

    async fn recovery(&mut self) -> Result<RunFigures, LoadError> {
        let (Some(launcher), Some(mut process)) = (self.launcher.clone(), self.process.take()) else {
            let text = "recovery kills the engine, so it must start one itself (--sqlite or --postgres)";
            return Err(LoadError::Options(text.to_owned()));
        };
        let publish = self.options.scenario.publish.clone();
        let behaviours = self.options.scenario.behaviours();
        let tenants = self.tenants(behaviours.len(), false).await?;
        let phase = self.phase("measuring", &tenants, &behaviours, publish.events);
        let mut running = self.harness.start(&self.engine, &phase).await?;
        while running.accepted() < publish.events / 2 {
            self.harness.observe(&self.engine, &phase, &mut running).await?;
            tokio::time::sleep(FIRST_DELIVERY_POLL).await;
        }
        process.kill()?;
        let delivered = self.harness.tally(&running).await?.delivered;
        let begin = self.harness.clock.now_micros();
        let restart = launcher.clone();
        // starting blocks, and the publishers must continue meanwhile
        let started = actix_rt::task::spawn_blocking(move || restart.start()).await;
        let started = started.map_err(|error| LoadError::NotStarted(error.to_string()))?;
        let process = started?;
        self.engine = TargetEngine::started(&process, &launcher);
        self.process = Some(process);
        let ready_seconds = self.harness.clock.since(begin).as_secs_f64();
        while self.harness.tally(&running).await?.delivered == delivered {
            tokio::time::sleep(FIRST_DELIVERY_POLL).await;
        }
        let first_delivery_seconds = self.harness.clock.since(begin).as_secs_f64();
        self.harness.wait_until_arrived(&self.engine, &phase, &mut running).await?;
        let figures = self.harness.totals(&self.engine, &phase, running).await?.figures();
        let recovery = RecoveryFigures { ready_seconds, first_delivery_seconds };
        Ok(RunFigures { figures, recovery: Some(recovery), ..RunFigures::default() })
    }
}

/// The size of one of `parts` nearly equal parts; together they add up to `total`.
fn share(total: u64, part: u64, parts: u64) -> u64 {
    total / parts + u64::from(part < total % parts)
}

fn ratios(
    scenario: &Scenario,
    database: &str,
    baseline: Option<&BaselineFigures>,
    measured: &RunFigures,
) -> Vec<Ratio> {
    let expect = scenario.expect;
    let mut ratios = Vec::new();
    let figures = &measured.figures;
    if let Some(baseline) = baseline {
        let is_paced = scenario.publish.rate.is_some();
        if !is_paced {
            let least = match database {
                "postgres" => expect.deliveries_to_bare_postgres,
                _ => expect.deliveries_to_bare,
            };
            ratios.push(Ratio {
                name: "deliveries/s to bare posts/s",
                value: figures.deliveries_per_second / baseline.posts_per_second,
                bound: least.map(RatioBound::AtLeast),
            });
        }
        if is_paced {
            let base = (baseline.round_trip.p50 + baseline.sync.p50).max(1) as f64;
            let Quantiles { p50, p99, .. } = figures.end_to_end;
            let to_base = |name, micros: u64, most: Option<f64>| Ratio {
                name,
                value: micros as f64 / base,
                bound: most.map(RatioBound::AtMost),
            };
            ratios.push(to_base("p50 to bare round trip and sync", p50, expect.p50_to_bare_and_sync));
            ratios.push(to_base("p99 to bare round trip and sync", p99, expect.p99_to_bare_and_sync));
        }
    }
    if let Some(alone) = &measured.alone {
        ratios.push(Ratio {
            name: "healthy deliveries/s beside the others to alone",
            value: figures.deliveries_per_second / alone.deliveries_per_second,
            bound: expect.healthy_deliveries_ratio.map(RatioBound::AtLeast),
        });
        ratios.push(Ratio {
            name: "healthy p99 beside the others to alone",
            value: figures.end_to_end.p99 as f64 / alone.end_to_end.p99.max(1) as f64,
            bound: expect.healthy_p99_ratio.map(RatioBound::AtMost),
        });
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_turns_differ_by_at_most_one_and_add_up_to_the_total() {
        for total in [0, 1, 3, 4, 200, 40_001] {
            let shares: Vec<u64> = (0..4).map(|part| share(total, part, 4)).collect();
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }
}
