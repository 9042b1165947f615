//! A fairness run: for each aggressor the victim is measured alone and beside it, in turns.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::aggressor::{Aggressor, Scale};
use super::preparation::{Ground, Prepared, prepare};
use super::receivers::AggressorReceivers;
use super::report::{AggressorCounts, FairnessReport, FairnessRow, LeastCounts, VictimFigures};
use super::strike::RunningStrike;
use super::tally::Tally;
use crate::load::clock::RunClock;
use crate::load::error::LoadError;
use crate::load::http::LoadClient;
use crate::load::measurement::Measurement;
use crate::load::phase::{Harness, OnProgress, Phase};
use crate::load::receiver_behaviour::Behaviour;
use crate::load::scenario::PublishPlan;
use crate::load::target_engine::{EngineLauncher, EngineProcess, LoadTenant, TargetEngine, TenantsSpec};

/// Of the victim.
pub const EVENTS_PER_SECOND: f64 = 50.0;
/// So many that the victim never waits for one of its own connections, unless the engine keeps a second of them waiting.
const CONNECTIONS: usize = 64;
const PAYLOAD_BYTES: usize = 1_024;
/// Opens the victim's connections and fills caches.
const WARM_UP: PublishPlan = PublishPlan {
    batch: 1,
    connections: CONNECTIONS,
    rate: Some(4.0 * EVENTS_PER_SECOND),
    events: 50,
    warm_up_events: 0,
};
/// From the aggressor's first request to the victim's turn, so that the turn has none of its beginning. A deletion and a start
/// are over soon: their turns begin with them.
const LEAD_IN: Duration = Duration::from_millis(500);
/// The aggressor goes on until the victim's events have arrived, but not for longer than this after its turn: a stuck engine
/// would keep the run for ever.
const GRACE: Duration = Duration::from_secs(30);
/// As in the turns alone, since an observation costs the engine something, too.
const OBSERVATION_INTERVAL: Duration = Duration::from_millis(250);

/// An engine that has not started yet, on an empty database.
pub struct FreshEngine {
    /// How to start it.
    pub launcher: EngineLauncher,
    /// Its folder and database; removed when this is dropped.
    pub keep: Box<dyn Any>,
}

/// Gets the step and what is going on in it.
pub type OnStep = Box<dyn Fn(&str, &str)>;
/// Makes an empty database, and says how to start an engine on it.
pub type MakeEngine = Box<dyn Fn() -> Result<FreshEngine, LoadError>>;

/// What a run does.
pub struct FairnessOptions {
    pub aggressors: Vec<Aggressor>,
    /// Of the aggressors' counts; 1 is the whole.
    pub scale: f64,
    /// How often the victim is measured alone and beside each aggressor, each time with a fresh engine.
    pub rounds: u32,
    /// How long the victim publishes in each turn.
    pub turn: Duration,
    /// Base URL of the victim's receiver: `http://address`.
    pub receivers: String,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// Called for each round.
    pub fresh_engine: MakeEngine,
    /// Called several times per second during a turn.
    pub on_progress: OnProgress,
    /// Called with what the run does now: the aggressor with its round, and what is going on, with a count after a colon.
    pub on_step: OnStep,
}

struct FairnessRun {
    options: FairnessOptions,
    harness: Harness,
}

/// An engine with the victim's organization in it.
struct Stage {
    // dropped in this order: the engine ends before its database goes
    process: EngineProcess,
    launcher: EngineLauncher,
    _keep: Box<dyn Any>,
    engine: TargetEngine,
    victim: Vec<LoadTenant>,
}

/// The sums of the turns with one aggressor.
#[derive(Default)]
struct Sums {
    alone: Option<Measurement>,
    beside: Option<Measurement>,
    prepared: String,
    counts: AggressorCounts,
    least: LeastCounts,
}

/// Makes the run. An aggressor that can't be measured has a row that says so.
pub async fn run(options: FairnessOptions) -> FairnessReport {
    let clock = RunClock::start();
    let harness = Harness {
        clock,
        receivers: options.receivers.clone(),
        http: LoadClient::default(),
        on_progress: Arc::clone(&options.on_progress),
        disk: Arc::new(|| None),
        last_run: Cell::new((clock.now_micros() / 1_000) as u32),
    };
    let run = FairnessRun { options, harness };
    let mut rows = Vec::with_capacity(run.options.aggressors.len());
    for aggressor in &run.options.aggressors {
        let row = run.row(*aggressor).await;
        rows.push(row.unwrap_or_else(|error| FairnessRow::failed(*aggressor, error.to_string())));
    }
    FairnessReport {
        version: env!("CARGO_PKG_VERSION"),
        database: run.options.database,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        started_at: clock.now_micros() / 1_000,
        scale: run.options.scale,
        rounds: run.options.rounds,
        turn_seconds: run.options.turn.as_secs_f64(),
        events_per_second: EVENTS_PER_SECOND,
        rows,
    }
}

impl FairnessRun {
    async fn row(&self, aggressor: Aggressor) -> Result<FairnessRow, LoadError> {
        let mut sums = Sums::default();
        for round in 1..=self.options.rounds {
            self.round(aggressor, round, &mut sums).await?;
        }
        let Sums { alone, beside, prepared, counts, least } = sums;
        let figures = |measured: Option<Measurement>| VictimFigures::from(measured.unwrap_or_default());
        Ok(FairnessRow::new(aggressor, figures(alone), figures(beside), prepared, counts, least))
    }

    /// One turn alone and one beside the aggressor, on a fresh engine, so that the turn alone has nothing of an aggressor.
    async fn round(&self, aggressor: Aggressor, round: u32, sums: &mut Sums) -> Result<(), LoadError> {
        let step = format!("{aggressor} {round}/{}", self.options.rounds);
        let say = |text: &str| (self.options.on_step)(&step, text);
        say("starting an engine");
        let mut stage = self.stage().await?;
        self.harness.measure(&stage.engine, &stage.phase("warm-up", WARM_UP)).await?;
        if aggressor.restarts_the_engine() {
            stage.restart(|| {})?;
        }
        say("alone");
        let alone = self.harness.measure(&stage.engine, &stage.phase("alone", self.turn())).await?;
        add(&mut sums.alone, alone);

        let receivers = AggressorReceivers::start()?;
        let prepared = self.prepare(aggressor, &stage, &receivers, &say).await?;
        if aggressor.restarts_the_engine() {
            say("killing and starting the engine");
            stage.restart(|| receivers.hold(false))?;
        }
        say("beside");
        let (beside, counts) = self.beside(aggressor, &stage, &receivers, &prepared).await?;
        add(&mut sums.beside, beside);
        sums.counts.add(counts);
        sums.least.requests += prepared.least_requests;
        sums.least.attempts += prepared.least_attempts;
        sums.prepared = prepared.what;
        Ok(())
    }

    async fn stage(&self) -> Result<Stage, LoadError> {
        let FreshEngine { launcher, keep } = (self.options.fresh_engine)()?;
        let process = launcher.start()?;
        let engine = TargetEngine::started(&process, &launcher);
        let receivers = &self.options.receivers;
        let one = TenantsSpec { organizations: 1, webhooks: 1, receivers, max_in_flight: None, held_back: false };
        let victim = engine.create_tenants(&one).await?;
        Ok(Stage { process, launcher, _keep: keep, engine, victim })
    }

    async fn prepare(
        &self,
        aggressor: Aggressor,
        stage: &Stage,
        receivers: &AggressorReceivers,
        say: &dyn Fn(&str),
    ) -> Result<Prepared, LoadError> {
        let victims = &self.options.receivers;
        let none = TenantsSpec {
            organizations: 1,
            webhooks: 0,
            receivers: victims,
            max_in_flight: None,
            held_back: false,
        };
        let tenant = stage.engine.create_tenants(&none).await?.pop();
        let Some(LoadTenant { key, organization: Some(organization), .. }) = tenant else {
            return Err(LoadError::NotPrepared("it has no organization".to_owned()));
        };
        let ground = Ground {
            engine: &stage.engine,
            receivers,
            clock: self.harness.clock,
            key: key.into(),
            organization,
            admin_key: stage.launcher.admin_key.as_str().into(),
            scale: Scale(self.options.scale),
            say,
        };
        prepare(aggressor, &ground, self.options.turn).await
    }

    /// Measures the victim while the aggressor strikes.
    async fn beside(
        &self,
        aggressor: Aggressor,
        stage: &Stage,
        receivers: &AggressorReceivers,
        prepared: &Prepared,
    ) -> Result<(Measurement, AggressorCounts), LoadError> {
        let Harness { clock, .. } = self.harness;
        let (engine, phase) = (&stage.engine, stage.phase("beside", self.turn()));
        let attempts_before = if aggressor.restarts_the_engine() { 0 } else { receivers.attempts() };
        let tally = Arc::new(Tally::default());
        let base = engine.base().to_owned();
        let strike = RunningStrike::begin(prepared.plan.clone(), base, Arc::clone(&tally), clock)?;
        if !(aggressor.restarts_the_engine() || aggressor == Aggressor::DeleteOrganization) {
            tokio::time::sleep(LEAD_IN).await;
        }
        let begin = clock.now_micros();
        let mut running = self.harness.start(engine, &phase).await?;
        while clock.since(begin) < self.options.turn + GRACE {
            let (tally, expected) = self.harness.observe(engine, &phase, &mut running).await?;
            if running.has_published() && tally.delivered_to_reliable >= expected {
                break;
            }
            tokio::time::sleep(OBSERVATION_INTERVAL).await;
        }
        let attempts = receivers.attempts().saturating_sub(attempts_before);
        strike.stop().await;
        self.harness.wait_until_arrived(engine, &phase, &mut running).await?;
        let measured = self.harness.totals(engine, &phase, running).await?;
        Ok((measured, AggressorCounts { attempts, ..tally.counts() }))
    }

    fn turn(&self) -> PublishPlan {
        let events = (self.options.turn.as_secs_f64() * EVENTS_PER_SECOND) as u64;
        PublishPlan {
            batch: 1,
            connections: CONNECTIONS,
            rate: Some(EVENTS_PER_SECOND),
            events: events.max(1),
            warm_up_events: 0,
        }
    }
}

impl Stage {
    /// Events of the victim.
    fn phase(&self, name: &'static str, publish: PublishPlan) -> Phase<'_> {
        let events = publish.events;
        let behaviours = vec![Behaviour::Ok];
        Phase { name, tenants: &self.victim, behaviours, publish, events, payload_bytes: PAYLOAD_BYTES }
    }

    /// Kills the engine and starts it again; `between` is called while there is none.
    fn restart(&mut self, between: impl FnOnce()) -> Result<(), LoadError> {
        self.process.kill()?;
        between();
        self.process = self.launcher.start()?;
        self.engine = TargetEngine::started(&self.process, &self.launcher);
        Ok(())
    }
}

fn add(sum: &mut Option<Measurement>, measured: Measurement) {
    match sum {
        None => *sum = Some(measured),
        Some(sum) => sum.add(measured),
    }
}
