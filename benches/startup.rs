//! How the engine starts and rests on a large database: `cargo bench --bench startup [-- --help]`.
//!
//! Fills a SQLite database through the store, starts the real program on it with a receiver in this process,
//! and reports times and memory: once with everything due, once with nothing due for a year.

#![expect(clippy::disallowed_methods, reason = "the program that is measured runs by the real clock")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::Event;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, KeyId, OrganizationId};
use ringback::domain::organization::{ApiKey, Organization, Role};
use ringback::domain::patterns::EventPattern;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::{NewEvent, Store, WriteBatch, open};
use sha2::{Digest, Sha256};

const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const PUBLISHER_KEY: &str = "rbk_0123456789012345678901234567890123456789012";
const BODY_BYTES: usize = 1_024;
const EVENTS_A_COMMIT: usize = 2_000;
/// Nothing of this bench waits longer for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The kernel counts processor time in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Parser)]
struct Options {
    /// Configured webhooks
    #[arg(long, default_value_t = 100_000)]
    webhooks: usize,
    /// Organizations that they are spread over
    #[arg(long, default_value_t = 1_000)]
    organizations: usize,
    /// Pending deliveries
    #[arg(long, default_value_t = 1_000_000)]
    pending: usize,
    /// Webhooks that each event goes to
    #[arg(long, default_value_t = 10)]
    fan_out: usize,
    /// How long it may deliver
    #[arg(long, default_value_t = 20)]
    drain_seconds: u64,
    /// How long its idling is watched
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// How long the receiver takes for an answer, in milliseconds; a new event is answered at once
    #[arg(long, default_value_t = 0)]
    answer_after: u64,
    /// Port of the receiver
    #[arg(long, default_value_t = 28_917)]
    port: u16,
    /// Measure this program instead of the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ringback"))]
    binary: PathBuf,
    /// Keep the filled databases in this folder, and take those that are there already
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Fill in this folder; a filesystem in memory saves a disk flush for every webhook
    #[arg(long, default_value = "/dev/shm")]
    fill_in: PathBuf,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let filled = options.keep.clone().unwrap_or_else(|| folder.path().join("filled"));
    fs::create_dir_all(&filled)?;
    let received = Arc::new(Received::default());
    receive(options.port, Duration::from_millis(options.answer_after), Arc::clone(&received))?;
    println!(
        "{} webhooks of {} organizations, {} pending deliveries (fan-out {}, {BODY_BYTES} bytes)",
        options.webhooks, options.organizations, options.pending, options.fan_out
    );
    for (name, delay) in [("everything is due", Duration::ZERO), ("nothing is due for a year", YEAR)] {
        let original = filled.join(if delay.is_zero() { "due.db" } else { "later.db" });
        println!("\n{name}");
        if !original.exists() {
            let started = Instant::now();
            fill(&options, &original, delay)?;
            row("fill", &seconds(started.elapsed()));
        }
        row("database file", &format!("{} MB", fs::metadata(&original)?.len() / 1_000_000));
        let database = folder.path().join("bench.db");
        fs::copy(&original, &database)?;
        match delay.is_zero() {
            true => drain(&options, &database, &received)?,
            false => idle(&options, &database, &received)?,
        }
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(format!("{}{suffix}", database.display()));
        }
        if options.keep.is_none() {
            fs::remove_file(&original)?;
        }
    }
    Ok(())
}

fn row(name: &str, value: &str) {
    println!("  {name:<46} {value:>14}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

// ---- the two measurements

fn drain(options: &Options, database: &Path, received: &Received) -> anyhow::Result<()> {
    received.reset();
    let engine = Engine::start(options, database)?;
    row("start to readiness", &seconds(engine.ready));
    row("start to first delivery", &seconds(received.first()? - engine.started));
    let before = received.count();
    let begin = Instant::now();
    let mut latencies = Vec::new();
    let limit = Duration::from_secs(options.drain_seconds);
    for quarter in 1..=4 {
        latencies.push(engine.publish(received)?.as_millis().to_string());
        while begin.elapsed() < limit * quarter / 4 && received.count() < options.pending as u64 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let rate = (received.count() - before) as f64 / begin.elapsed().as_secs_f64();
    row("deliveries a second while it drains", &format!("{rate:.0}"));
    row("new events, meanwhile, arrive after", &format!("{} ms", latencies.join(", ")));
    let (resident, peak) = engine.memory()?;
    row("resident after that, peak", &format!("{resident} MB, {peak} MB"));
    drop(engine);

    received.reset();
    let again = Engine::start(options, database)?;
    row("killed: start to readiness", &seconds(again.ready));
    if received.count() < options.pending as u64 {
        row("killed: start to first delivery", &seconds(received.first()? - again.started));
    }
    Ok(())
}

fn idle(options: &Options, database: &Path, received: &Received) -> anyhow::Result<()> {
    received.reset();
    let engine = Engine::start(options, database)?;
    row("start to readiness", &seconds(engine.ready));
    // the agenda is read in the background; its cost is not idling
    let settle = Instant::now();
    while settle.elapsed() < PATIENCE {
        let before = engine.cpu_seconds()?;
        std::thread::sleep(Duration::from_secs(1));
        if engine.cpu_seconds()? - before < 0.05 {
            break;
        }
    }
    row("start to rest, to the second", &seconds(engine.started.elapsed()));
    row("processor time until then", &format!("{:.2} s", engine.cpu_seconds()?));
    let before = engine.cpu_seconds()?;
    std::thread::sleep(Duration::from_secs(options.idle_seconds));
    let used = (engine.cpu_seconds()? - before) * 60.0 / options.idle_seconds.max(1) as f64;
    row("processor time a minute at rest", &format!("{used:.2} s"));
    let (resident, peak) = engine.memory()?;
    row("resident at rest, peak", &format!("{resident} MB, {peak} MB"));
    row("a new event arrives after", &format!("{} ms", engine.publish(received)?.as_millis()));
    anyhow::ensure!(received.count() == 1, "something was sent that is not due");
    Ok(())
}

// ---- the program

struct Engine {
    child: Child,
    started: Instant,
    ready: Duration,
    address: SocketAddr,
}

impl Engine {
    fn start(options: &Options, database: &Path) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(&options.binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url"])
            .arg(format!("sqlite://{}", database.display()))
            .current_dir(database.parent().context("the database is in no folder")?)
            .env("RINGBACK_MASTER_KEY", MASTER_KEY)
            .env("RINGBACK_ALLOW_HTTP", "true")
            .env("RINGBACK_ALLOWED_NETWORKS", "127.0.0.0/8")
            .env("RINGBACK_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| options.binary.display().to_string())?;
        let out = child.stdout.take().context("no output")?;
        let (told, line) = mpsc::channel();
        std::thread::spawn(move || {
            // who waits has given up when this fails
            let _ = told.send(BufReader::new(out).lines().next());
        });
        let mut engine = Self { child, started, ready: Duration::ZERO, address: ([127, 0, 0, 1], 0).into() };
        let line = line.recv_timeout(PATIENCE).context("no readiness line")?.context("the engine ended")??;
        engine.ready = started.elapsed();
        engine.address = line.rsplit("http://").next().context("no address")?.parse()?;
        Ok(engine)
    }

    /// Publishes an event, and says how long it took to arrive; the patience of this bench at most.
    fn publish(&self, received: &Received) -> anyhow::Result<Duration> {
        let body = r#"{"event_type":"call.completed","data":{}}"#;
        *lock(&received.fresh) = None;
        let begin = Instant::now();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {PUBLISHER_KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        while begin.elapsed() < PATIENCE {
            if let Some(at) = *lock(&received.fresh) {
                return Ok(at - begin);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begin.elapsed())
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }

    /// Resident memory now and at its peak, in MB.
    fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = self.proc("status")?;
        let megabytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>()? * 1_024 / 1_000_000)
        };
        Ok((megabytes("VmRSS")?, megabytes("VmHWM")?))
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        Ok((ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS_A_SECOND)
    }
}

/// Killed, not stopped: the next start finds what a crash leaves.
impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- the receiver

#[derive(Default)]
struct Received {
    count: AtomicU64,
    first: Mutex<Option<Instant>>,
    fresh: Mutex<Option<Instant>>,
}

impl Received {
    fn reset(&self) {
        // answers that were under way when the engine was killed
        std::thread::sleep(Duration::from_millis(300));
        self.count.store(0, Ordering::Relaxed);
        *lock(&self.first) = None;
        *lock(&self.fresh) = None;
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn first(&self) -> anyhow::Result<Instant> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(at) = *lock(&self.first) {
                return Ok(at);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        anyhow::bail!("nothing was delivered")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes requests on a thread of its own until this process ends.
fn receive(port: u16, pause: Duration, received: Arc<Received>) -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let server = move || {
        actix_web::rt::System::new().block_on(async move {
            let app = move || {
                let received = web::Data::from(Arc::clone(&received));
                App::new().app_data(received).app_data(web::Data::new(pause)).default_service(web::to(take))
            };
            HttpServer::new(app)
                .workers(1)
                .max_connections(200_000)
                .disable_signals()
                .listen(listener)?
                .run()
                .await
        })
    };
    std::thread::spawn(server);
    Ok(())
}

async fn take(request: HttpRequest, received: web::Data<Received>, pause: web::Data<Duration>) -> HttpResponse {
    if received.count.fetch_add(1, Ordering::Relaxed) == 0 {
        *lock(&received.first) = Some(Instant::now());
    }
    if request.path() == "/fresh" {
        *lock(&received.fresh) = Some(Instant::now());
    } else if !pause.is_zero() {
        actix_web::rt::time::sleep(*pause.into_inner()).await;
    }
    HttpResponse::Ok().finish()
}

// ---- the database

fn fill(options: &Options, file: &Path, delay: Duration) -> anyhow::Result<()> {
    let folder = match options.fill_in.is_dir() {
        true => tempfile::tempdir_in(&options.fill_in)?,
        false => tempfile::tempdir()?,
    };
    let path = folder.path().join("fill.db");
    let cipher =
        Cipher::from_master_key(&Secret::new(MASTER_KEY.to_owned()), Arc::new(CountingRandomSource::default()))?;
    let store = open(&format!("sqlite://{}", path.display()), cipher)?;
    let mut ids = IdGenerator::new(0, 0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = UnixMillis(0) + now;
    let organizations: Vec<(OrganizationId, Vec<EndpointId>)> = (0..options.organizations.max(1))
        .map(|_| {
            let webhooks = (options.webhooks / options.organizations.max(1)).max(1);
            (OrganizationId(ids.next(now)), (0..webhooks).map(|_| EndpointId(ids.next(now))).collect())
        })
        .collect();
    for (n, (organization_id, endpoints)) in organizations.iter().enumerate() {
        progress("webhooks", n * endpoints.len());
        store.create_organization(&Organization::named(*organization_id, n.to_string(), now))?;
        for &id in endpoints {
            let url = format!("http://127.0.0.1:{}/{id}", options.port);
            store.create_endpoint(&endpoint(id, *organization_id, url, &["call.*", "batch.done"], now))?;
        }
    }
    publisher(options, store.as_ref(), &mut ids, now)?;
    let due = now + delay;
    let events = options.pending / options.fan_out.max(1);
    for begin in (0..events).step_by(EVENTS_A_COMMIT) {
        progress("deliveries", begin * options.fan_out);
        let batch = (begin..events.min(begin + EVENTS_A_COMMIT)).map(|n| {
            let (organization_id, endpoints) = &organizations[n % organizations.len()];
            let first = n / organizations.len() * options.fan_out;
            let targets = (first..first + options.fan_out).map(|target| endpoints[target % endpoints.len()]);
            new_event(&mut ids, *organization_id, targets, now, due)
        });
        store.commit(&WriteBatch { events: batch.collect(), ..WriteBatch::default() }, now)?;
    }
    // the last connection takes what is in the log into the file
    drop(store);
    progress("copying", 0);
    fs::copy(&path, file)?;
    eprint!("\r{:40}\r", "");
    Ok(())
}

fn progress(what: &str, count: usize) {
    eprint!("\r  {what}: {count:<20}");
}

/// An organization with one webhook and a key, for the event that is published while it is measured.
fn publisher(options: &Options, store: &dyn Store, ids: &mut IdGenerator, now: UnixMillis) -> anyhow::Result<()> {
    let organization_id = OrganizationId(ids.next(now));
    store.create_organization(&Organization::named(organization_id, "fresh", now))?;
    let url = format!("http://127.0.0.1:{}/fresh", options.port);
    store.create_endpoint(&endpoint(EndpointId(ids.next(now)), organization_id, url, &["call.*"], now))?;
    store.create_key(&ApiKey {
        id: KeyId(ids.next(now)),
        organization_id: Some(organization_id),
        name: "bench".to_owned(),
        role: Role::Publisher,
        hash: Sha256::digest(PUBLISHER_KEY.as_bytes()).into(),
        prefix: PUBLISHER_KEY[..12].to_owned(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
    })?;
    Ok(())
}

fn new_event(
    ids: &mut IdGenerator,
    organization_id: OrganizationId,
    targets: impl Iterator<Item = EndpointId>,
    now: UnixMillis,
    due: UnixMillis,
) -> NewEvent {
    let event = Event {
        id: EventId(ids.next(now)),
        organization_id,
        event_type: String::from("call.completed"),
        occurred_at: now,
        accepted_at: due,
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        trace: None,
    };
    let deliveries = targets.map(|endpoint_id| (DeliveryId(ids.next(now)), endpoint_id)).collect();
    NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
}

fn endpoint(
    id: EndpointId,
    organization_id: OrganizationId,
    url: String,
    events: &[&str],
    now: UnixMillis,
) -> Endpoint {
    Endpoint {
        events: events.iter().filter_map(|pattern| EventPattern::parse(pattern).ok()).collect(),
        ..Endpoint::new(
            id,
            organization_id,
            url,
            Secret::new(String::from("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")),
            now,
        )
    }
}
