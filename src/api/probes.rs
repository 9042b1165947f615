//! `/health/live`, `/health/ready`, `/metrics`: for the infrastructure around the engine; they need no key.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use tokio::time::Instant;

use super::problem::{ErrorCode, Problem};
use super::{Api, MetricsRenderer, blocking};
use crate::domain::attempt::LocalFault;

/// A database that does not respond within this time counts as unavailable.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /health/live`: the process is running.
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "ok"}))
}

/// `GET /health/ready`: requests can be served now.
pub(crate) async fn ready(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    if !api.engine.is_ready() {
        return Err(Problem::new(ErrorCode::Unavailable, "the engine is stopping"));
    }
    if !api.engine.has_rights() {
        return Err(Problem::new(ErrorCode::Unavailable, "this node has no place in the cluster now"));
    }
    if !api.engine.can_commit() {
        return Err(Problem::new(ErrorCode::Unavailable, "the database can't be written to"));
    }
    api.readiness.ping(&api).await?;
    // without its proxy the engine still takes events: it is ready, and a balancer must not take it out
    let proxy = api.options.proxy_trouble.as_ref().map(|trouble| trouble().map_or("ok", LocalFault::as_str));
    Ok(HttpResponse::Ok().json(match proxy {
        Some(proxy) => serde_json::json!({"status": "ok", "egress_proxy": proxy}),
        None => serde_json::json!({"status": "ok"}),
    }))
}

/// Asks the database for all who want to know at the same time: anybody may ask, as often as they like.
#[derive(Default)]
pub(super) struct Readiness(tokio::sync::Mutex<Option<Answered>>);

struct Answered {
    asked_at: Instant,
    answer: Result<(), Problem>,
}

impl Readiness {
    async fn ping(&self, api: &Api) -> Result<(), Problem> {
        let came_at = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(Answered { asked_at, answer }) = last.as_ref()
            && *asked_at >= came_at
        {
            return answer.clone();
        }
        let asked_at = Instant::now();
        let store = Arc::clone(api.engine.store());
        let ping = blocking(move || store.ping());
        let answer = match tokio::time::timeout(PING_TIMEOUT, ping).await {
            Ok(answer) => answer.and_then(|answer| Ok(answer?)),
            Err(_) => Err(Problem::new(ErrorCode::Unavailable, "the database does not respond")),
        };
        *last = Some(Answered { asked_at, answer: answer.clone() });
        answer
    }
}

/// `GET /metrics`, unless it is bound to another address.
pub(crate) async fn metrics(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    match &api.options.metrics {
        Some(renderer) => render(renderer.clone()).await,
        None => Err(Problem::new(ErrorCode::NotFound, "metrics are served on another address")),
    }
}

/// The response with the current metrics.
pub(super) async fn render(renderer: MetricsRenderer) -> Result<HttpResponse, Problem> {
    let text = blocking(move || renderer()).await?;
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header(content_type).body(text))
}
