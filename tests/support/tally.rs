//! A receiver for many deliveries: it remembers a few numbers of each attempt instead of the request, and knows
//! which process sent it.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use crate::engine::{Serve, eventually};
use crate::world::World;

/// One life of the engine: its requests say so in the names of their headers.
pub fn life(serve: Serve, number: usize) -> Serve {
    serve.set("RINGBACK_SIGNATURE_HEADER_PREFIX", &format!("x-life{number}"))
}

/// What an attempt is of: an event's id, and the number of the webhook.
pub type Pair = (String, usize);

/// An attempt as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which life of the engine sent it.
    pub life: usize,
    /// Its number as the engine counts.
    pub attempt: u32,
    /// What it was answered.
    pub status: u16,
}

impl Arrival {
    pub fn is_success(self) -> bool {
        self.status / 100 == 2
    }
}

/// Everything that arrived, in order.
pub type Arrivals = HashMap<Pair, Vec<Arrival>>;

/// The answer to an attempt of this number.
type Script = dyn Fn(&Pair, u32) -> u16 + Send + Sync;

struct Shared {
    script: Box<Script>,
    arrivals: Mutex<Arrivals>,
    /// Deliveries that succeeded.
    successes: AtomicUsize,
}

/// It runs until it is dropped.
pub struct Tally {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
}

impl Tally {
    pub fn ok() -> Self {
        Self::answering(|_, _| 200)
    }

    pub fn answering(script: impl Fn(&Pair, u32) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Shared { script: Box::new(script), arrivals: Mutex::default(), successes: AtomicUsize::new(0) };
        let shared = Arc::new(shared);
        let (sender, started) = std::sync::mpsc::channel();
        let data = web::Data::from(shared.clone());
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app =
                    move || App::new().app_data(data.clone()).route("/hook/{number}", web::post().to(receive));
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
                sender.send(server.handle()).unwrap();
                // ends with its handle's stop
                let _ = server.await;
            });
        });
        Self { address, shared, server: started.recv().unwrap() }
    }

    /// Where webhook `number` points to.
    pub fn url(&self, number: usize) -> String {
        format!("http://{}/hook/{number}", self.address)
    }

    /// How many deliveries succeeded so far.
    pub fn successes(&self) -> usize {
        self.shared.successes.load(Ordering::Relaxed)
    }

    /// Whether a webhook has taken an event.
    pub fn has_taken(&self, event_id: &str, webhook: usize) -> bool {
        let arrivals = self.shared.arrivals.lock().unwrap();
        let of_pair = arrivals.get(&(event_id.to_owned(), webhook));
        of_pair.is_some_and(|all| all.iter().any(|one| one.is_success()))
    }

    /// Waits until `count` deliveries have succeeded, for as long as their number grows.
    pub fn eventually_successes(&self, count: usize) {
        while self.successes() < count {
            let before = self.successes();
            eventually("more deliveries succeed", || (self.successes() > before).then_some(()));
        }
    }

    /// Waits until nothing is pending, for as long as more and more deliveries succeed.
    pub fn eventually_drained(&self, world: &World) {
        loop {
            let before = self.successes();
            let is_idle = eventually("nothing is pending, or more deliveries succeed", || match world.is_idle() {
                true => Some(true),
                false => (self.successes() > before).then_some(false),
            });
            if is_idle {
                return;
            }
        }
    }

    pub fn arrivals(&self) -> Arrivals {
        self.shared.arrivals.lock().unwrap().clone()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // the stop is sent when the future is made; nothing waits for its end
        drop(self.server.stop(false));
    }
}

async fn receive(request: HttpRequest, number: web::Path<usize>, shared: web::Data<Shared>) -> HttpResponse {
    let (mut life, mut attempt) = (0, 0);
    for (name, value) in request.headers() {
        if let Some(sender) = name.as_str().strip_suffix("-attempt") {
            life = sender.strip_prefix("x-life").map_or(0, |number| number.parse().unwrap());
            attempt = value.to_str().unwrap().parse().unwrap();
        }
    }
    let event_id = request.headers().get("webhook-id").unwrap().to_str().unwrap();
    let pair = (event_id.to_owned(), *number);
    let status = (shared.script)(&pair, attempt);
    let arrival = Arrival { life, attempt, status };
    {
        let mut arrivals = shared.arrivals.lock().unwrap();
        let all = arrivals.entry(pair).or_default();
        if arrival.is_success() && !all.iter().any(|one| one.is_success()) {
            shared.successes.fetch_add(1, Ordering::Relaxed);
        }
        all.push(arrival);
    }
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish()
}

/// What is wrong with the arrivals when nothing but kills may repeat an attempt.
pub struct Repeats {
    /// Arrivals behind a success of the same delivery.
    pub after_success: usize,
    /// The same that came from the same life of the engine.
    pub within_one_life: Vec<String>,
    /// By life and webhook: attempts of it that a later life made again, because their outcome was not on disk.
    pub redone: HashMap<(usize, usize), usize>,
}

impl Repeats {
    pub fn of(arrivals: &Arrivals) -> Self {
        let mut repeats = Self { after_success: 0, within_one_life: Vec::new(), redone: HashMap::new() };
        for (pair, all) in arrivals {
            for (index, arrival) in all.iter().enumerate() {
                let before = &all[..index];
                repeats.after_success += usize::from(before.iter().any(|one| one.is_success()));
                let same = |one: &&Arrival| one.is_success() || one.attempt >= arrival.attempt;
                if before.iter().filter(|one| one.life == arrival.life).any(|one| same(&one)) {
                    repeats.within_one_life.push(format!("{pair:?}: {all:?}"));
                }
                if let Some(lost) = before.iter().rfind(|one| same(one) && one.life != arrival.life) {
                    *repeats.redone.entry((lost.life, pair.1)).or_default() += 1;
                }
            }
        }
        repeats
    }

    /// The most that one webhook had to do again after one kill.
    pub fn most_redone(&self) -> usize {
        self.redone.values().copied().max().unwrap_or(0)
    }
}
