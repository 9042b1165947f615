//! The time of queries on a large delivery log: `cargo bench --bench log [-- --help]`.
//!
//! Fills a database through the store, starts the release program on it, and queries every filter of the log
//! over HTTP: the newest page, pages somewhere in the log, and the queries that dashboards repeat every few
//! seconds.

#![expect(clippy::disallowed_methods, reason = "the program that is measured runs by the real clock")]

mod engine;
mod fill;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use data_encoding::BASE64URL_NOPAD;
use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use ringback::domain::ids::first_id_at;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::open;

use self::engine::{Engine, MASTER_KEY, forget};
use self::fill::{ALL, BATCHES, INITIATED, REPLAYED, SOME, TYPES};

#[derive(Parser)]
struct Options {
    /// Stored deliveries
    #[arg(long, default_value_t = 5_000_000)]
    deliveries: u64,
    /// How many of them, the newest, are pending
    #[arg(long, default_value_t = 0)]
    pending: u64,
    /// Keep the SQLite file at this path, and reuse an existing one
    #[arg(long, value_name = "PATH")]
    keep: Option<PathBuf>,
    /// Use this PostgreSQL database; one with organizations in it is not filled again
    #[arg(long, value_name = "URL", conflicts_with = "keep")]
    postgres: Option<String>,
    /// Requests for each row of the table
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Stop one row of the table after this many seconds
    #[arg(long, default_value_t = 10)]
    patience: u64,
    /// Only rows of the table whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Measure this program instead of the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ringback"))]
    binary: PathBuf,
    /// Added by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let file = options.keep.clone().unwrap_or_else(|| folder.path().join("log.db"));
    let file = std::path::absolute(file)?;
    let url = options.postgres.clone().unwrap_or_else(|| format!("sqlite://{}", file.display()));
    fill_once(&options, &url)?;
    let on_disk = options.postgres.is_none().then_some(file.as_path());
    if let Some(file) = on_disk {
        println!("database file: {} MB", fs::metadata(file)?.len() / 1_000_000);
        forget(file);
    }
    let engine = Engine::start(&options.binary, &url, folder.path())?;
    let world = World::read(&engine)?;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["query", "rows", "requests", "first, cold", "p50", "p99", "max"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let questions: Vec<Question> = questions().into_iter().filter(|question| wanted(question.name)).collect();
    let bar = ProgressBar::new(questions.len() as u64);
    let mut cold = Vec::new();
    for question in &questions {
        if let Some(file) = on_disk {
            forget(file);
        }
        let mut random = SmallRng::seed_from_u64(1);
        cold.push(ask(&engine, &world.path(&mut random, &question.path))?.0);
    }
    if let Some(file) = on_disk {
        // into the page cache
        std::io::copy(&mut fs::File::open(file)?, &mut std::io::sink())?;
    }
    for (question, cold) in questions.iter().zip(cold) {
        let row = measure(&options, &engine, &world, question, cold);
        table.add_row(row.with_context(|| question.name.to_owned())?.map(Cell::new));
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{table}");
    Ok(())
}

fn fill_once(options: &Options, url: &str) -> anyhow::Result<()> {
    let key = Secret::new(MASTER_KEY.to_owned());
    let store = open(url, Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default()))?)?;
    if store.largest_id()? == 0 {
        let begin = Instant::now();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        fill::fill(store.as_ref(), options.deliveries, options.pending, UnixMillis(0) + since)?;
        println!("filled with {} deliveries in {:.0} s", options.deliveries, begin.elapsed().as_secs_f64());
    }
    Ok(())
}

// ---- the queries

/// The values that queries contain.
struct World {
    /// Purpose and id.
    webhooks: Vec<(String, String)>,
    begin: UnixMillis,
    end: UnixMillis,
}

impl World {
    fn read(engine: &Engine) -> anyhow::Result<Self> {
        let list = engine.json("/v1/webhooks?limit=200")?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let webhooks: Vec<(String, String)> = list["data"]
            .as_array()
            .context("no webhooks")?
            .iter()
            .map(|webhook| (text(&webhook["description"]), text(&webhook["id"])))
            .collect();
        let begin = list["data"][0]["created_at"].as_str().and_then(UnixMillis::parse_rfc3339);
        let begin = begin.context("no webhooks")?;
        Ok(Self { webhooks, begin, end: begin + fill::PERIOD })
    }

    fn webhook(&self, random: &mut SmallRng, purpose: &str) -> &str {
        let fitting: Vec<&str> =
            self.webhooks.iter().filter(|(of, _)| of == purpose).map(|(_, id)| id.as_str()).collect();
        fitting.get(random.random_range(0..fitting.len().max(1))).copied().unwrap_or_default()
    }

    fn instant(&self, random: &mut SmallRng) -> UnixMillis {
        UnixMillis(random.random_range(self.begin.0..self.end.0))
    }

    /// A path with its placeholders filled in.
    fn path(&self, random: &mut SmallRng, pattern: &str) -> String {
        let mut path = pattern.to_owned();
        for (placeholder, purpose) in [
            ("{all}", ALL),
            ("{some}", SOME),
            ("{initiated}", INITIATED),
            ("{batches}", BATCHES),
            ("{replays}", REPLAYED),
        ] {
            if path.contains(placeholder) {
                path = path.replace(placeholder, self.webhook(random, purpose));
            }
        }
        if path.contains("{type}") {
            path = path.replace("{type}", TYPES[random.random_range(0..TYPES.len())].0);
        }
        if path.contains("{hour}") {
            let from = self.instant(random);
            path = path.replace("{hour}", &format!("from={from}&to={}", from + Duration::from_secs(3_600)));
        }
        if path.contains("{anywhere}") {
            // the value that next_cursor would have there
            let mut bytes = vec![1];
            bytes.extend_from_slice(&first_id_at(self.instant(random)).to_be_bytes());
            path = path.replace("{anywhere}", &format!("cursor={}", BASE64URL_NOPAD.encode(&bytes)));
        }
        path
    }
}

struct Question {
    name: &'static str,
    path: String,
}

/// Filters of the log; each is queried for the newest page and for pages anywhere.
const FILTERS: [(&str, &str); 33] = [
    ("everything", ""),
    ("an hour", "{hour}"),
    ("a webhook", "webhook_id={all}"),
    ("a webhook, an hour", "webhook_id={all}&{hour}"),
    ("any event type", "event_type={type}"),
    ("call.completed", "event_type=call.completed"),
    ("batch.failed", "event_type=batch.failed"),
    ("success", "status=success"),
    ("failed", "status=failed"),
    ("pending", "status=pending"),
    ("cancelled", "status=cancelled"),
    ("200", "response_code=200"),
    ("204", "response_code=204"),
    ("503", "response_code=503"),
    ("404", "response_code=404"),
    ("418", "response_code=418"),
    ("429 (none)", "response_code=429"),
    ("2xx", "response_code=2xx"),
    ("4xx", "response_code=4xx"),
    ("5xx", "response_code=5xx"),
    ("5xx, an hour", "response_code=5xx&{hour}"),
    ("webhook + 503", "webhook_id={some}&response_code=503"),
    ("webhook + 418", "webhook_id={some}&response_code=418"),
    ("webhook + any type", "webhook_id={some}&event_type={type}"),
    ("webhook + type without deliveries", "webhook_id={initiated}&event_type=call.completed"),
    ("webhook + failed", "webhook_id={some}&status=failed"),
    ("webhook + pending", "webhook_id={some}&status=pending"),
    ("webhook + cancelled", "webhook_id={some}&status=cancelled"),
    ("webhook of replays", "webhook_id={replays}"),
    ("any type + failed", "event_type={type}&status=failed"),
    ("any type + pending", "event_type={type}&status=pending"),
    ("any type + success", "event_type={type}&status=success"),
    ("any type + 5xx", "event_type={type}&response_code=5xx"),
];

const OTHERS: [(&str, &str); 6] = [
    ("events", "/v1/events?{anywhere}"),
    ("events, any type", "/v1/events?event_type={type}&{anywhere}"),
    ("events, batch.failed", "/v1/events?event_type=batch.failed"),
    ("health", "/v1/health"),
    ("health of a webhook", "/v1/webhooks/{all}/health"),
    ("health of a webhook with few", "/v1/webhooks/{batches}/health"),
];

fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    for (name, filter) in FILTERS {
        questions.push(Question { name, path: format!("/v1/webhooks/logs?{filter}") });
        if !filter.contains("{hour}") {
            questions.push(Question { name, path: format!("/v1/webhooks/logs?{filter}&{{anywhere}}") });
        }
    }
    questions.extend(OTHERS.map(|(name, path)| Question { name, path: path.to_owned() }));
    questions
}

// ---- the measurement

/// The time of a response, and its number of rows.
fn ask(engine: &Engine, path: &str) -> anyhow::Result<(Duration, usize)> {
    let begin = Instant::now();
    let body = engine.get(path).with_context(|| path.to_owned())?;
    let took = begin.elapsed();
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    Ok((took, answer["data"].as_array().map_or(0, Vec::len)))
}

fn measure(
    options: &Options,
    engine: &Engine,
    world: &World,
    question: &Question,
    cold: Duration,
) -> anyhow::Result<[String; 7]> {
    let mut random = SmallRng::seed_from_u64(2);
    let begin = Instant::now();
    let (mut times, mut rows) = (Vec::new(), 0);
    while times.len() < options.requests && begin.elapsed() < Duration::from_secs(options.patience) {
        let (took, found) = ask(engine, &world.path(&mut random, &question.path))?;
        times.push(took);
        rows += found;
    }
    times.sort_unstable();
    let quantile = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).map_or_else(String::new, |time| milliseconds(*time))
    };
    let deep = if question.path.contains("{anywhere}") { ", anywhere" } else { "" };
    Ok([
        format!("{}{deep}", question.name),
        format!("{:.1}", rows as f64 / times.len().max(1) as f64),
        times.len().to_string(),
        milliseconds(cold),
        quantile(50),
        quantile(99),
        quantile(100),
    ])
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
