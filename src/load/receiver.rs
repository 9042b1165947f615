//! The receivers of a run: one HTTP server that plays all of them, in the publishing program or on another machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::arrivals::{Arrivals, RunSpec};
use super::clock::RunClock;
use super::event_stamp::EventStamp;
use super::receiver_behaviour::Reaction;

/// More than an engine sends, so that the receiver never refuses a body.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// A run specification with 10,000 behaviours.
const SPEC_LIMIT_BYTES: usize = 1024 * 1024;
/// Longer than any attempt: the engine gives up on a hanging receiver, not the other way round.
const HANGING: Duration = Duration::from_secs(120);
/// Idle connections stay open longer than the engine keeps them.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Hanging receivers need one connection for each attempt.
const MAX_CONNECTIONS: usize = 100_000;

/// Webhooks of a run: `/hooks/{webhook}`.
pub(crate) const HOOKS: &str = "/hooks";
/// Begins a run (PUT) and reports on it (GET).
pub(crate) const RUNS: &str = "/runs";

/// A listening server; it serves while `server` is polled.
pub struct BoundReceivers {
    /// To be awaited or spawned.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
}

struct ServerState {
    clock: RunClock,
    threads: usize,
    current: RwLock<Option<Arc<Arrivals>>>,
}

struct ServerThread {
    number: usize,
    shared: Arc<ServerState>,
}

impl ServerState {
    fn current(&self, run: u32) -> Option<Arc<Arrivals>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|arrivals| arrivals.run() == run).cloned()
    }
}

/// Binds the receivers.
pub fn bind(listen: SocketAddr, threads: usize) -> std::io::Result<BoundReceivers> {
    let shared = Arc::new(ServerState { clock: RunClock::start(), threads, current: RwLock::default() });
    let numbers = Arc::new(AtomicUsize::new(0));
    let app = move || {
        let thread = ServerThread { number: numbers.fetch_add(1, Ordering::Relaxed), shared: Arc::clone(&shared) };
        App::new()
            .app_data(web::Data::new(thread))
            .app_data(web::PayloadConfig::new(BODY_LIMIT_BYTES))
            .app_data(web::JsonConfig::default().limit(SPEC_LIMIT_BYTES))
            .route(&format!("{HOOKS}/{{webhook}}"), web::post().to(receive))
            .route(RUNS, web::put().to(begin))
            .route(&format!("{RUNS}/{{run}}"), web::get().to(report))
            .route(&format!("{RUNS}/{{run}}/tally"), web::get().to(tally))
    };
    let server = HttpServer::new(app)
        .workers(threads)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .disable_signals()
        .shutdown_timeout(0)
        .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok(BoundReceivers { server: server.run(), address })
}

async fn begin(spec: web::Json<RunSpec>, thread: web::Data<ServerThread>) -> HttpResponse {
    let shared = &thread.shared;
    if spec.behaviours.is_empty() || spec.organizations == 0 {
        return HttpResponse::UnprocessableEntity().finish();
    }
    let arrivals = Arrivals::new(spec.into_inner(), shared.clock, shared.threads);
    *shared.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(arrivals));
    HttpResponse::NoContent().finish()
}

async fn report(run: web::Path<u32>, thread: web::Data<ServerThread>) -> HttpResponse {
    match thread.shared.current(*run) {
        Some(arrivals) => HttpResponse::Ok().json(arrivals.report()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn tally(run: web::Path<u32>, thread: web::Data<ServerThread>) -> HttpResponse {
    match thread.shared.current(*run) {
        Some(arrivals) => HttpResponse::Ok().json(arrivals.tally()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn receive(webhook: web::Path<usize>, body: web::Bytes, thread: web::Data<ServerThread>) -> HttpResponse {
    // deliveries left over from an earlier run are accepted, so that they are not retried
    let Some(stamp) = EventStamp::find(&body) else { return HttpResponse::Ok().finish() };
    let Some(arrivals) = thread.shared.current(stamp.run) else { return HttpResponse::Ok().finish() };
    let Some(behaviour) = arrivals.behaviour(*webhook) else { return HttpResponse::NotFound().finish() };
    // the arrival time is random enough as a seed
    let mut rng = SmallRng::seed_from_u64(thread.shared.clock.now_micros() ^ (*webhook as u64).rotate_left(32));
    match behaviour.react(arrivals.elapsed(), &mut rng) {
        Reaction::Hang => {
            tokio::time::sleep(HANGING).await;
            HttpResponse::ServiceUnavailable().finish()
        }
        Reaction::Answer { status, after } => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            if status == 200 {
                arrivals.record(thread.number, *webhook, stamp);
            }
            HttpResponse::build(StatusCode::from_u16(status).unwrap_or_default()).finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::{ArrivalCounts, ArrivalReport};
    use super::super::receiver_behaviour::Behaviour;
    use super::*;

    #[actix_web::test]
    async fn a_run_is_begun_received_and_reported_over_http() {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        let base = format!("http://{}", bound.address);
        let handle = bound.server.handle();
        actix_web::rt::spawn(bound.server);
        let client = awc::Client::default();
        let behaviours = vec![Behaviour::Ok, Behaviour::Failing { failing: 1.0 }];
        let spec = RunSpec { run: 3, organizations: 1, behaviours };
        let begun = client.put(format!("{base}{RUNS}")).send_json(&spec).await.unwrap();
        assert_eq!(begun.status(), 204);
        let post = async |webhook: usize, run: u32, number: u64| {
            let mut body = String::new();
            EventStamp { run, number, at: 1 }.write_data(100, &mut body);
            let sent = client.post(format!("{base}{HOOKS}/{webhook}")).send_body(body).await;
            sent.unwrap().status().as_u16()
        };
        assert_eq!([post(0, 3, 0).await, post(0, 3, 0).await, post(0, 3, 1).await], [200; 3]);
        assert_eq!((post(1, 3, 0).await, post(2, 3, 0).await, post(0, 2, 9).await), (503, 404, 200));
        let tally: ArrivalCounts =
            client.get(format!("{base}{RUNS}/3/tally")).send().await.unwrap().json().await.unwrap();
        assert_eq!((tally.delivered, tally.duplicated), (2, 1));
        let report: ArrivalReport =
            client.get(format!("{base}{RUNS}/3")).send().await.unwrap().json().await.unwrap();
        assert_eq!(report.received[0].0, [(0, 1)]);
        assert_eq!(client.get(format!("{base}{RUNS}/2")).send().await.unwrap().status(), 404);
        handle.stop(false).await;
    }
}
