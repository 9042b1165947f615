//! `ringback load`: measures an engine, or plays the receivers for a measurement that runs on another machine.

mod fairness;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use data_encoding::{BASE64, HEXLOWER};
use indicatif::{ProgressBar, ProgressStyle};
use ringback::domain::random::RandomSource;
use ringback::engine::SystemEntropy;
use ringback::load::phase::Snapshot;
use ringback::load::receiver;
use ringback::load::report::{Report, page, text};
use ringback::load::run::{EngineUnderTest, RunOptions, run as execute_run};
use ringback::load::scenario::{BUILT_IN, Scenario};
use ringback::load::target_engine::{EngineAccess, EngineLauncher};
use ringback::store::temporary_database::TemporaryDatabase;

use super::print_line;

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without --target it starts an engine on a temporary SQLite database in the
current folder. Every run also measures a baseline: the same signed posts from
a plain client to the same receivers, without an engine in between.

Examples:
  ringback load                         # list the scenarios
  ringback load fanout --html report.html
  ringback load latency --rate 2000 --events 60000 --json report.json
  ringback load throughput --postgres postgres://postgres@127.0.0.1/postgres

A running engine, with its key in RINGBACK_KEY, and receivers on another
machine:
  ringback load receive --listen 0.0.0.0:9100
  ringback load fanout --target 10.0.0.6:8080 --receivers http://10.0.0.7:9100"
)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    command: Option<LoadCommand>,
    /// Built-in scenario, or a .toml file of the same form; without one, the scenarios are listed
    scenario: Option<String>,
    #[command(flatten)]
    engine: EngineChoice,
    #[command(flatten)]
    overrides: ScenarioOverrides,
    /// URL of `ringback load receive` as seen from the engine [default: receivers in this process]
    #[arg(long, value_name = "URL")]
    receivers: Option<String>,
    /// Threads for the receivers in this process
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    receiver_threads: u16,
    /// Skip the baseline (the same posts without an engine)
    #[arg(long)]
    no_bare: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with an error if a bound of the scenario is exceeded or a delivery is lost
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand)]
enum LoadCommand {
    /// Play the receivers for a run on another machine
    Receive(ReceiveArgs),
    /// Measure what an organization notices of another one that does whatever it can
    Fairness(fairness::FairnessArgs),
}

#[derive(Args)]
#[command(after_help = "\
It does not authenticate its callers, so use it in test networks only. Latencies
are accurate only if the clocks of both machines agree.

Example:
  ringback load receive --listen 0.0.0.0:9100")]
struct ReceiveArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9100", value_parser = super::address::local)]
    listen: SocketAddr,
    /// Number of threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

#[derive(Args)]
struct EngineChoice {
    /// Measure this running engine instead of starting one
    #[arg(long, value_name = "URL", value_parser = super::address::engine)]
    target: Option<String>,
    /// Owner's API key of one of its organizations
    #[arg(long, env = "RINGBACK_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
    /// Admin key of the engine; needed for several organizations
    #[arg(long, env = "RINGBACK_ADMIN_KEY", value_name = "KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Start an engine on a temporary SQLite database in this folder [default: the current folder]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = ".", conflicts_with_all = ["target", "postgres"])]
    sqlite: Option<PathBuf>,
    /// Start an engine on a temporary database of this PostgreSQL server
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    postgres: Option<String>,
    /// Start this program as the engine, for example an older version [default: this program]
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    program: Option<PathBuf>,
}

#[derive(Args)]
struct ScenarioOverrides {
    /// Number of measured events
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Events published before them, which are not measured
    #[arg(long, value_name = "N")]
    warm_up_events: Option<u64>,
    /// Publish for this long; sets the number of events from the rate
    #[arg(long, value_name = "SECONDS", conflicts_with = "events")]
    seconds: Option<f64>,
    /// Events per second at a constant pace; 0 publishes as fast as possible
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Events per request
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Concurrent publish requests
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// Number of organizations
    #[arg(long, value_name = "N")]
    organizations: Option<usize>,
    /// Webhooks per organization; each receives every event of its organization
    #[arg(long, value_name = "N")]
    webhooks: Option<usize>,
    /// Max concurrency of each webhook, 1 to 256
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
    /// Size of an event's data
    #[arg(long, value_name = "BYTES")]
    payload_bytes: Option<usize>,
}

pub(crate) fn run(args: LoadArgs) -> anyhow::Result<()> {
    match args.command {
        Some(LoadCommand::Receive(args)) => actix_web::rt::System::new().block_on(receive(args)),
        Some(LoadCommand::Fairness(args)) => actix_web::rt::System::new().block_on(fairness::measure(args)),
        None if args.scenario.is_none() => {
            print_line(&list_scenarios());
            Ok(())
        }
        None => actix_web::rt::System::new().block_on(measure(args)),
    }
}

fn list_scenarios() -> String {
    let width = BUILT_IN.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let summary = |name| Scenario::built_in(name).map(|scenario| scenario.summary).unwrap_or_default();
    let mut lines: Vec<String> =
        BUILT_IN.iter().map(|(name, _)| format!("  {name:width$}  {}", summary(name))).collect();
    lines.push(format!("  {:width$}  {}", "fairness", fairness::SUMMARY));
    format!("ringback load <SCENARIO>:\n{}", lines.join("\n"))
}

async fn receive(args: ReceiveArgs) -> anyhow::Result<()> {
    let bound = receiver::bind(args.listen, args.threads.into())
        .with_context(|| format!("can't listen on {}", args.listen))?;
    print_line(&format!("receiving on http://{} (Ctrl-C to stop)", bound.address));
    let handle = bound.server.handle();
    actix_web::rt::spawn(bound.server);
    tokio::signal::ctrl_c().await?;
    handle.stop(false).await;
    Ok(())
}

async fn measure(args: LoadArgs) -> anyhow::Result<()> {
    let scenario = scenario(&args)?;
    let name = args.scenario.clone().unwrap_or_default();
    let receivers = match &args.receivers {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => start_receivers(args.receiver_threads.into())?,
    };
    let temporary = TemporaryFiles::new(&args.engine)?;
    let (engine, database) = engine_under_test(&args.engine, &temporary, &receivers)?;
    let bar = progress_bar();
    let shown = bar.clone();
    let disk = temporary.database.clone();
    let options = RunOptions {
        name,
        scenario,
        engine,
        receivers,
        baseline: !args.no_bare,
        database,
        folder: temporary.folder.path().to_owned(),
        disk: Arc::new(move || disk.as_ref().and_then(|database| database.size_bytes())),
        on_progress: Arc::new(move |snapshot| show_progress(&shown, snapshot)),
    };
    let report = execute_run(options).await;
    bar.finish_and_clear();
    write_report(&args, &report?)
}

fn write_report(args: &LoadArgs, report: &Report) -> anyhow::Result<()> {
    print_line(&text(report));
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(report)?)?;
    }
    if let Some(path) = &args.html {
        write(path, &page(report)?)?;
    }
    let broken = report.broken();
    if args.check && !broken.is_empty() {
        bail!("failed:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
}

fn scenario(args: &LoadArgs) -> anyhow::Result<Scenario> {
    let name = args.scenario.as_deref().unwrap_or_default();
    let mut scenario = match name.ends_with(".toml") {
        true => {
            let text = std::fs::read_to_string(name).with_context(|| format!("{name} can't be read"))?;
            Scenario::parse(name, &text)?
        }
        false => Scenario::built_in(name)?,
    };
    args.overrides.apply(&mut scenario)?;
    scenario.check()?;
    Ok(scenario)
}

impl ScenarioOverrides {
    fn apply(&self, scenario: &mut Scenario) -> anyhow::Result<()> {
        let publish = &mut scenario.publish;
        if let Some(rate) = self.rate {
            publish.rate = (rate != 0.0).then_some(rate);
        }
        publish.events = self.events.unwrap_or(publish.events);
        publish.warm_up_events = self.warm_up_events.unwrap_or(publish.warm_up_events);
        publish.batch = self.batch.unwrap_or(publish.batch);
        publish.connections = self.connections.unwrap_or(publish.connections);
        if let Some(seconds) = self.seconds {
            let Some(rate) = publish.rate else { bail!("--seconds needs a --rate; without one, give --events") };
            ensure!(seconds > 0.0 && seconds.is_finite(), "--seconds must be above 0");
            publish.events = ((seconds * rate) as u64).max(1);
        }
        scenario.organizations = self.organizations.unwrap_or(scenario.organizations);
        scenario.webhooks = self.webhooks.unwrap_or(scenario.webhooks);
        scenario.max_in_flight = self.max_in_flight.or(scenario.max_in_flight);
        scenario.payload_bytes = self.payload_bytes.unwrap_or(scenario.payload_bytes);
        Ok(())
    }
}

/// Removed at the end of the run.
struct TemporaryFiles {
    folder: tempfile::TempDir,
    database: Option<Arc<TemporaryDatabase>>,
}

impl TemporaryFiles {
    fn new(choice: &EngineChoice) -> anyhow::Result<Self> {
        let parent = choice.sqlite.as_deref().unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new().prefix("ringback-load-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("can't create a folder in {}", parent.display()))?;
        let database = match (&choice.target, &choice.postgres) {
            (Some(_), _) => None,
            (None, Some(url)) => Some(TemporaryDatabase::postgres(url, &random_hex(8))?),
            (None, None) => Some(TemporaryDatabase::sqlite(&folder.path().join("load.db"))),
        };
        Ok(Self { folder, database: database.map(Arc::new) })
    }
}

fn engine_under_test(
    choice: &EngineChoice,
    temporary: &TemporaryFiles,
    receivers: &str,
) -> anyhow::Result<(EngineUnderTest, String)> {
    let Some(database) = &temporary.database else {
        let base = choice.target.clone().unwrap_or_default();
        let access = match (&choice.admin_key, &choice.key) {
            (Some(key), _) => EngineAccess::Admin(key.clone()),
            (None, Some(key)) => EngineAccess::Organization(key.clone()),
            (None, None) => bail!("--target needs --key (of one organization) or --admin-key"),
        };
        return Ok((EngineUnderTest::Running { base, access }, "unknown".to_owned()));
    };
    let receivers = receivers.strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(receivers) = receivers else {
        bail!("--receivers must be http://<ip>:<port> when the run starts the engine");
    };
    let launcher = EngineLauncher {
        lifts_limits: choice.program.is_none(),
        program: match &choice.program {
            Some(program) => {
                std::fs::canonicalize(program).with_context(|| format!("there is no {}", program.display()))?
            }
            None => std::env::current_exe()?,
        },
        folder: temporary.folder.path().to_owned(),
        database_url: database.url().to_owned(),
        listen: free_address()?,
        master_key: BASE64.encode(&SystemEntropy.seed()),
        admin_key: random_hex(32),
        receivers: receivers.ip(),
    };
    Ok((EngineUnderTest::Started(launcher), database.kind().to_owned()))
}

/// Unguessable hexadecimal digits; `bytes` is at most 32.
fn random_hex(bytes: usize) -> String {
    HEXLOWER.encode(&SystemEntropy.seed()[..bytes])
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn start_receivers(threads: usize) -> anyhow::Result<String> {
    let bound =
        receiver::bind(SocketAddr::from(([127, 0, 0, 1], 0)), threads).context("can't start the receivers")?;
    actix_web::rt::spawn(bound.server);
    Ok(format!("http://{}", bound.address))
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix:16} {bar:24} {elapsed:>4}  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show_progress(bar: &ProgressBar, snapshot: &Snapshot<'_>) {
    bar.set_prefix(snapshot.phase.to_owned());
    bar.set_length(snapshot.events + snapshot.expected);
    bar.set_position(snapshot.accepted + snapshot.delivered.min(snapshot.expected));
    bar.set_message(format!(
        "{} accepted, {} delivered, {} behind, p99 {:.1} ms",
        snapshot.accepted,
        snapshot.delivered,
        snapshot.expected.saturating_sub(snapshot.delivered),
        snapshot.recent_p99 as f64 / 1e3
    ));
}
