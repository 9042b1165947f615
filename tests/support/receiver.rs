//! A receiver of webhooks in a thread of its own, which remembers what came.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::watch;
use ureq::http;

/// A received request, unchanged.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: web::Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The event's id.
    pub fn event_id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    pub fn attempt(&self) -> u32 {
        self.header("x-callintel-attempt").parse().unwrap()
    }
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    after: Duration,
}

impl Reply {
    pub fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    /// As from a receiver that takes its time.
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

pub fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

/// Answers by the number of the request, from 1, and by what it is.
type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    gate: watch::Sender<bool>,
}

/// It runs until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: ServerHandle,
}

impl Receiver {
    pub fn answering(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(move |number, _| script(number)), true)
    }

    /// Looks at each request.
    pub fn judging(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(move |_, seen| script(seen)), true)
    }

    pub fn ok() -> Self {
        Self::answering(|_| reply(200))
    }

    /// Holds every response back until it is released.
    pub fn holding(status: u16) -> Self {
        Self::start(Box::new(move |_, _| reply(status)), false)
    }

    fn start(script: Box<Script>, is_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = watch::Sender::new(is_open);
        let shared = Arc::new(Shared { script, seen: Mutex::default(), gate });
        let (sender, started) = std::sync::mpsc::channel();
        let data = web::Data::from(shared.clone());
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let config = web::PayloadConfig::new(16 << 20);
                    App::new().app_data(data.clone()).app_data(config).default_service(web::to(receive))
                };
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
                sender.send(server.handle()).unwrap();
                // ends with its handle's stop
                let _ = server.await;
            });
        });
        Self { address, shared, server: started.recv().unwrap() }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Answers what it held back, and everything from now on.
    pub fn release(&self) {
        self.shared.gate.send_replace(true);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // the stop is sent when the future is made; nothing waits for its end
        drop(self.server.stop(false));
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let mut headers = http::HeaderMap::new();
    for (name, value) in request.headers() {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
        headers.append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let seen = Seen {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.path().to_owned(),
        headers,
        body,
    };
    let number = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen.clone());
        all.len()
    };
    // an error means that the receiver is gone
    let _ = shared.gate.subscribe().wait_for(|is_open| *is_open).await;
    let reply = (shared.script)(number, &seen);
    if !reply.after.is_zero() {
        actix_web::rt::time::sleep(reply.after).await;
    }
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap());
    for header in reply.headers {
        response.insert_header(header);
    }
    response.body(reply.body)
}
