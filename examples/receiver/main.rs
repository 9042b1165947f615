//! A receiver with actix-web: `WEBHOOK_SECRET=whsec_… cargo run --example receiver`

mod verify;

use std::collections::{HashSet, VecDeque};
use std::io::Error;
use std::sync::Mutex;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

const MAX_BODY_BYTES: usize = 11 << 20;
const MAX_WAITING: usize = 1_000;
const MAX_REMEMBERED: usize = 100_000;

#[derive(Deserialize)]
struct Event {
    webhook_id: String,
    event_type: String,
    data: Box<RawValue>,
}

/// Ids of accepted events. In production, a table with a unique `webhook_id` that is written before the response: then
/// a restart loses nothing and repeats nothing.
#[derive(Default)]
struct Accepted {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Accepted {
    fn remember(&mut self, id: String) {
        self.ids.insert(id.clone());
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > MAX_REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

struct Receiver {
    secret: String,
    accepted: Mutex<Accepted>,
    waiting: mpsc::Sender<Event>,
}

impl Receiver {
    /// Queues an event unless it came before; returns the status to respond with.
    fn accept(&self, body: &[u8]) -> StatusCode {
        let Ok(event) = serde_json::from_slice::<Event>(body) else { return StatusCode::BAD_REQUEST };
        let Ok(mut accepted) = self.accepted.lock() else { return StatusCode::INTERNAL_SERVER_ERROR };
        if accepted.ids.contains(&event.webhook_id) {
            return StatusCode::NO_CONTENT;
        }
        let id = event.webhook_id.clone();
        if self.waiting.try_send(event).is_err() {
            // it is sent again later
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        accepted.remember(id);
        StatusCode::NO_CONTENT
    }
}

/// Responds at once; the work is done later, because a slow response counts as a failure and is sent again.
async fn receive(request: HttpRequest, body: web::Bytes, receiver: web::Data<Receiver>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let is_genuine = verify::is_genuine(&receiver.secret, &body, header);
    let status = if is_genuine { receiver.accept(&body) } else { StatusCode::UNAUTHORIZED };
    HttpResponse::new(status)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| Error::other("set WEBHOOK_SECRET"))?;
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let (waiting, mut events) = mpsc::channel::<Event>(MAX_WAITING);
    let receiver = web::Data::new(Receiver { secret, accepted: Mutex::default(), waiting });
    actix_web::rt::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("{} {} {}", event.webhook_id, event.event_type, event.data);
        }
    });
    let app = move || {
        let app = App::new().app_data(receiver.clone()).app_data(web::PayloadConfig::new(MAX_BODY_BYTES));
        app.default_service(web::post().to(receive))
    };
    let server = HttpServer::new(app).workers(1).bind(("0.0.0.0", port))?;
    for address in server.addrs() {
        println!("listening on port {}", address.port());
    }
    server.run().await
}
