//! Publishes the events of a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use awc::http::header;
use bytes::Bytes;

use super::clock::RunClock;
use super::event_stamp::EventStamp;
use super::http::LoadClient;
use super::latency::Latencies;
use super::number_set::NumberSet;
use super::pace::make_requests;
use super::scenario::PublishPlan;

pub(crate) const EVENT_TYPE: &str = "call.completed";
/// After a 429 or 503 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// After a request without a response: the engine may be starting.
const AFTER_NO_RESPONSE: Duration = Duration::from_millis(20);

pub(crate) struct PublishJob {
    /// The engine's base URL.
    pub base: String,
    /// One key per organization, which may publish.
    pub keys: Vec<String>,
    /// Number of the receivers' run.
    pub run: u32,
    /// Events of all organizations together.
    pub events: u64,
    pub publish: PublishPlan,
    /// Size of an event's data.
    pub payload_bytes: usize,
}

/// Shared with the observer of the run.
#[derive(Default)]
pub(crate) struct PublishProgress {
    /// Events acknowledged.
    pub accepted: AtomicU64,
    /// Set to end publishing early.
    pub stop: AtomicBool,
}

#[derive(Default)]
pub(crate) struct PublishResult {
    /// From the time at which a request was due to its acknowledgement.
    pub latencies: Latencies,
    /// The numbers of the acknowledged events, for each organization.
    pub acknowledged: Vec<NumberSet>,
    /// Acknowledged events by Unix second.
    pub seconds: BTreeMap<u64, u64>,
    /// Requests answered with 429 or 503, which are repeated.
    pub refused: u64,
    /// Requests that were not acknowledged, by reason; these are not repeated.
    pub errors: BTreeMap<String, u64>,
    /// Unix microseconds.
    pub begun_at: u64,
    /// Unix microseconds.
    pub ended_at: u64,
}

enum RequestOutcome {
    Acknowledged,
    Refused(Duration),
    Failed(String),
}

struct Publisher {
    job: PublishJob,
    http: LoadClient,
    clock: RunClock,
    progress: Arc<PublishProgress>,
    published: RefCell<PublishResult>,
}

/// Publishes all events of a job; returns when every request has a response, or soon after `progress.stop` is set.
pub(crate) async fn publish(job: PublishJob, clock: RunClock, progress: Arc<PublishProgress>) -> PublishResult {
    let requests = job.events.div_ceil(job.publish.batch as u64);
    // the rate counts events, not requests
    let rate = job.publish.rate.map(|rate| rate / job.publish.batch as f64);
    let (connections, organizations) = (job.publish.connections, job.keys.len());
    let published = PublishResult {
        acknowledged: vec![NumberSet::default(); organizations],
        begun_at: clock.now_micros(),
        ..PublishResult::default()
    };
    let publisher = Rc::new(Publisher {
        job,
        http: LoadClient::default(),
        clock,
        progress,
        published: RefCell::new(published),
    });
    let sender = Rc::clone(&publisher);
    make_requests(requests, connections, rate, clock, move |request, at| {
        let publisher = Rc::clone(&sender);
        async move { publisher.request(request, at).await }
    })
    .await;
    let mut published = publisher.published.take();
    published.ended_at = clock.now_micros();
    published
}

impl Publisher {
    /// Makes one request, and repeats it after each 429 or 503.
    async fn request(&self, request: u64, at: u64) {
        let job = &self.job;
        let organizations = job.keys.len() as u64;
        let organization = (request % organizations) as usize;
        let batch = job.publish.batch as u64;
        let first = request / organizations * batch;
        let count = batch.min(job.events - request * batch);
        let body = job.body(first, count, at);
        loop {
            if self.progress.stop.load(Ordering::Relaxed) {
                return;
            }
            match self.send(&job.keys[organization], body.clone()).await {
                RequestOutcome::Acknowledged => return self.acknowledged(organization, first, count, at),
                RequestOutcome::Refused(after) => {
                    self.published.borrow_mut().refused += 1;
                    tokio::time::sleep(after).await;
                }
                RequestOutcome::Failed(reason) => {
                    *self.published.borrow_mut().errors.entry(reason).or_default() += 1;
                    return tokio::time::sleep(AFTER_NO_RESPONSE).await;
                }
            }
        }
    }

    fn acknowledged(&self, organization: usize, first: u64, count: u64, at: u64) {
        self.progress.accepted.fetch_add(count, Ordering::Relaxed);
        let mut published = self.published.borrow_mut();
        published.latencies.record(self.clock.since(at));
        *published.seconds.entry(self.clock.now_micros() / 1_000_000).or_default() += count;
        for number in first..first + count {
            published.acknowledged[organization].insert(number);
        }
    }

    async fn send(&self, key: &str, body: Bytes) -> RequestOutcome {
        let path = if self.job.publish.batch == 1 { "/v1/events" } else { "/v1/events/batch" };
        let request = self
            .http
            .client()
            .post(format!("{}{path}", self.job.base))
            .insert_header((header::AUTHORIZATION, format!("Bearer {key}")))
            .insert_header((header::CONTENT_TYPE, "application/json"));
        let mut response = match request.send_body(body).await {
            Ok(response) => response,
            Err(error) => return RequestOutcome::Failed(reason(&error)),
        };
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let Ok(body) = response.body().await else {
            return RequestOutcome::Failed("the response was cut off".to_owned());
        };
        match status {
            // a refused event of a batch has an `error` in its place
            202 if memchr::memmem::find(&body, br#""error":"#).is_none() => RequestOutcome::Acknowledged,
            202 => RequestOutcome::Failed("an event of a batch was refused".to_owned()),
            429 | 503 => RequestOutcome::Refused(retry_after.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs)),
            status => RequestOutcome::Failed(format!("status {status}")),
        }
    }
}

impl PublishJob {
    fn body(&self, first: u64, count: u64, at: u64) -> Bytes {
        let is_batch = self.publish.batch > 1;
        let mut body = String::with_capacity((self.payload_bytes + 64) * count as usize + 2);
        if is_batch {
            body.push('[');
        }
        for number in first..first + count {
            if number > first {
                body.push(',');
            }
            body.push_str(r#"{"event_type":""#);
            body.push_str(EVENT_TYPE);
            body.push_str(r#"","data":"#);
            EventStamp { run: self.run, number, at }.write_data(self.payload_bytes, &mut body);
            body.push('}');
        }
        if is_batch {
            body.push(']');
        }
        Bytes::from(body)
    }
}

fn reason(error: &awc::error::SendRequestError) -> String {
    use awc::error::SendRequestError;
    match error {
        SendRequestError::Connect(_) => "no connection".to_owned(),
        SendRequestError::Timeout => "timeout".to_owned(),
        _ => "the connection broke".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn job(batch: usize) -> PublishJob {
        PublishJob {
            base: String::new(),
            keys: vec![String::from("k")],
            run: 1,
            events: 10,
            publish: PublishPlan { batch, connections: 1, rate: None, events: 10, warm_up_events: 0 },
            payload_bytes: 200,
        }
    }

    #[test]
    fn bodies_have_the_form_that_the_api_accepts() {
        let single: Value = serde_json::from_slice(&job(1).body(5, 1, 99)).unwrap();
        assert_eq!(single["event_type"], EVENT_TYPE);
        assert_eq!(single["data"]["ringback_load"], serde_json::json!([1, 5, 99]));
        let batch: Value = serde_json::from_slice(&job(3).body(6, 3, 99)).unwrap();
        let numbers: Vec<_> =
            batch.as_array().unwrap().iter().map(|it| it["data"]["ringback_load"][1].clone()).collect();
        assert_eq!(numbers, [6, 7, 8]);
        let short: Value = serde_json::from_slice(&job(3).body(9, 1, 99)).unwrap();
        assert!(short.is_array(), "the last batch may have one event");
    }

    #[actix_rt::test]
    async fn a_request_that_is_refused_with_429_or_503_is_repeated_until_it_is_accepted() {
        use actix_web::{App, HttpResponse, HttpServer, web};
        use std::sync::atomic::AtomicUsize;

        let answered = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&answered);
        let app = move || {
            let answered = Arc::clone(&shared);
            let answer = move || {
                let response = match answered.fetch_add(1, Ordering::Relaxed) {
                    0 => HttpResponse::TooManyRequests().insert_header((header::RETRY_AFTER, "0")).finish(),
                    1 => HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "0")).finish(),
                    _ => HttpResponse::Accepted().finish(),
                };
                async { response }
            };
            App::new().route("/v1/events", web::post().to(answer))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        let running = server.run();
        let handle = running.handle();
        actix_rt::spawn(running);
        let job = PublishJob { base, events: 3, ..job(1) };
        let published = publish(job, RunClock::start(), Arc::default()).await;
        handle.stop(false).await;
        assert_eq!((published.refused, published.acknowledged[0].len()), (2, 3));
        assert!(published.errors.is_empty(), "{:?}", published.errors);
        assert_eq!(answered.load(Ordering::Relaxed), 5);
    }
}
