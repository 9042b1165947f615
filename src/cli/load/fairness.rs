//! `ringback load fairness`: what one organization notices of another.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;
use ringback::load::error::LoadError;
use ringback::load::fairness::aggressor::Aggressor;
use ringback::load::fairness::run::{FairnessOptions, FreshEngine, run as execute_run};
use ringback::load::fairness::text;
use ringback::load::run::EngineUnderTest;
use tokio::time::Instant;

use super::{
    EngineChoice, TemporaryFiles, engine_under_test, progress_bar, show_progress, start_receivers, write,
};
use crate::cli::print_line;

/// Between two lines about the same thing, where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Shown in the list of scenarios.
pub(super) const SUMMARY: &str = "what an organization notices of another one that does whatever it can";

#[derive(Args)]
#[command(after_help = "\
It starts an engine on a temporary database, for each aggressor and round a new
one. The database of the largest needs some GB in the folder or on the server.

Examples:
  ringback load fairness --check
  ringback load fairness --only reads,tests --json report.json
  ringback load fairness --scale 0.05 --turn-seconds 2 --rounds 1
  ringback load fairness --postgres postgres://postgres@127.0.0.1/postgres")]
pub(super) struct FairnessArgs {
    /// Start engines on temporary SQLite databases in this folder [default: the current folder]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = ".", conflicts_with = "postgres")]
    sqlite: Option<PathBuf>,
    /// Start engines on temporary databases of this PostgreSQL server
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Start this program as the engine, for example an older version [default: this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Aggressors, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Aggressor>,
    /// Multiplies the counts of webhooks, deliveries and requests
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// How long the victim publishes in each turn
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    turn_seconds: f64,
    /// How often it is measured alone and beside each aggressor
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with an error unless the victim hardly noticed every aggressor
    #[arg(long)]
    check: bool,
}

pub(super) async fn measure(args: FairnessArgs) -> anyhow::Result<()> {
    ensure!(args.scale > 0.0 && args.scale <= 10.0, "--scale is above 0, and at most 10");
    ensure!((0.1..=3_600.0).contains(&args.turn_seconds), "--turn-seconds is 0.1 to 3600");
    // a wish: without it, the aggressors with the most webhooks run into the soft limit
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let FairnessArgs { sqlite, postgres, program, .. } = args;
    let choice = EngineChoice { target: None, key: None, admin_key: None, sqlite, postgres, program };
    let database = if choice.postgres.is_some() { "postgres" } else { "sqlite" };
    let receivers = start_receivers(1)?;
    let bar = progress_bar();
    let (steps, shown) = (bar.clone(), bar.clone());
    let lines = ProgressLines::default();
    let of_engine = receivers.clone();
    let options = FairnessOptions {
        aggressors: if args.only.is_empty() { Aggressor::ALL.to_vec() } else { args.only },
        scale: args.scale,
        rounds: args.rounds,
        turn: Duration::from_secs_f64(args.turn_seconds),
        receivers,
        database: database.to_owned(),
        fresh_engine: Box::new(move || fresh_engine(&choice, &of_engine)),
        on_progress: Arc::new(move |snapshot| show_progress(&shown, snapshot)),
        on_step: Box::new(move |step, text| {
            steps.set_prefix(step.to_owned());
            steps.set_message(text.to_owned());
            lines.show(step, text);
        }),
    };
    let report = execute_run(options).await;
    bar.finish_and_clear();
    print_line(&text(&report));
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    let broken = report.broken();
    ensure!(report.has_figures(), "nothing could be measured:\n  {}", broken.join("\n  "));
    if args.check && !broken.is_empty() {
        bail!("failed:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// What a terminal shows as a bar that moves, others get as lines: one for each thing that the run does, and again when it takes
/// long.
#[derive(Default)]
struct ProgressLines {
    last: RefCell<Option<(String, Instant)>>,
}

impl ProgressLines {
    fn show(&self, step: &str, text: &str) {
        // without the count
        let doing = format!("{step}: {}", text.split(':').next().unwrap_or_default());
        let mut last = self.last.borrow_mut();
        let is_told = last.as_ref().is_some_and(|(told, at)| *told == doing && at.elapsed() < BETWEEN_LINES);
        if !is_told && !std::io::stderr().is_terminal() {
            eprintln!("{step}: {text}");
            *last = Some((doing, Instant::now()));
        }
    }
}

fn fresh_engine(choice: &EngineChoice, receivers: &str) -> Result<FreshEngine, LoadError> {
    let started = || -> anyhow::Result<FreshEngine> {
        let temporary = TemporaryFiles::new(choice)?;
        match engine_under_test(choice, &temporary, receivers)? {
            (EngineUnderTest::Started(launcher), _) => Ok(FreshEngine { launcher, keep: Box::new(temporary) }),
            (EngineUnderTest::Running { .. }, _) => bail!("it is running already"),
        }
    };
    started().map_err(|error| LoadError::NotStarted(format!("{error:#}")))
}
