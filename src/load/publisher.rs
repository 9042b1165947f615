//! Publishes the events of a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use awc::http::header;
use bytes::Bytes;

use super::clock::Clock;
use super::http::Http;
use super::latency::Latencies;
use super::numbers::Numbers;
use super::pace::drive;
use super::scenario::Publish;
use super::stamp::Stamp;

/// Of every event.
pub(crate) const EVENT_TYPE: &str = "call.completed";
/// When an engine says 503 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// After a request without an answer: the engine may be starting.
const AFTER_NO_ANSWER: Duration = Duration::from_millis(20);

/// What is published.
pub(crate) struct Job {
    /// The engine.
    pub base: String,
    /// A key that may publish, for each organization.
    pub keys: Vec<String>,
    /// Of the receivers' runs.
    pub run: u32,
    /// Events over all organizations.
    pub events: u64,
    /// How.
    pub publish: Publish,
    /// Of an event's data.
    pub payload_bytes: usize,
}

/// Seen by others while it goes on.
#[derive(Default)]
pub(crate) struct Progress {
    /// Events acknowledged.
    pub accepted: AtomicU64,
    /// Nothing more is to be published.
    pub stop: AtomicBool,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Published {
    /// From the instant at which a request was to be made to its acknowledgement.
    pub latencies: Latencies,
    /// The numbers of acknowledged events of each organization.
    pub acknowledged: Vec<Numbers>,
    /// Acknowledged events by the Unix second.
    pub seconds: BTreeMap<u64, u64>,
    /// Requests answered with 503: made again.
    pub refused: u64,
    /// Requests that were not acknowledged, by what came instead; not made again.
    pub errors: BTreeMap<String, u64>,
    /// In Unix microseconds.
    pub begun_at: u64,
    /// In Unix microseconds.
    pub ended_at: u64,
}

/// What one request got.
enum Outcome {
    Acknowledged,
    Refused(Duration),
    Failed(String),
}

struct Publisher {
    job: Job,
    http: Http,
    clock: Clock,
    progress: Arc<Progress>,
    published: RefCell<Published>,
}

/// Publishes all events of a job; returns when every request was answered, or when it is told to stop.
pub(crate) async fn publish(job: Job, clock: Clock, progress: Arc<Progress>) -> Published {
    let requests = job.events.div_ceil(job.publish.batch as u64);
    // the rate is of events
    let rate = job.publish.rate.map(|rate| rate / job.publish.batch as f64);
    let (connections, organizations) = (job.publish.connections, job.keys.len());
    let published = Published {
        acknowledged: vec![Numbers::default(); organizations],
        begun_at: clock.now_micros(),
        ..Published::default()
    };
    let publisher =
        Rc::new(Publisher { job, http: Http::default(), clock, progress, published: RefCell::new(published) });
    let sender = Rc::clone(&publisher);
    drive(requests, connections, rate, clock, move |request, at| {
        let publisher = Rc::clone(&sender);
        async move { publisher.request(request, at).await }
    })
    .await;
    let mut published = publisher.published.take();
    published.ended_at = clock.now_micros();
    published
}

impl Publisher {
    /// Makes one request, again after each 503.
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
                Outcome::Acknowledged => return self.acknowledged(organization, first, count, at),
                Outcome::Refused(after) => {
                    self.published.borrow_mut().refused += 1;
                    tokio::time::sleep(after).await;
                }
                Outcome::Failed(reason) => {
                    *self.published.borrow_mut().errors.entry(reason).or_default() += 1;
                    return tokio::time::sleep(AFTER_NO_ANSWER).await;
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

    async fn send(&self, key: &str, body: Bytes) -> Outcome {
        let path = if self.job.publish.batch == 1 { "/v1/events" } else { "/v1/events/batch" };
        let request = self
            .http
            .client()
            .post(format!("{}{path}", self.job.base))
            .insert_header((header::AUTHORIZATION, format!("Bearer {key}")))
            .insert_header((header::CONTENT_TYPE, "application/json"));
        let mut response = match request.send_body(body).await {
            Ok(response) => response,
            Err(error) => return Outcome::Failed(reason(&error)),
        };
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let Ok(body) = response.body().await else { return Outcome::Failed("the answer broke off".to_owned()) };
        match status {
            // an event of a batch that is refused has an `error` in its place
            202 if memchr::memmem::find(&body, br#""error":"#).is_none() => Outcome::Acknowledged,
            202 => Outcome::Failed("an event of a batch was refused".to_owned()),
            503 => Outcome::Refused(retry_after.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs)),
            status => Outcome::Failed(format!("status {status}")),
        }
    }
}

impl Job {
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
            Stamp { run: self.run, number, at }.write_data(self.payload_bytes, &mut body);
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
        SendRequestError::Timeout => "no answer in time".to_owned(),
        _ => "the connection broke".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn job(batch: usize) -> Job {
        Job {
            base: String::new(),
            keys: vec![String::from("k")],
            run: 1,
            events: 10,
            publish: Publish { batch, connections: 1, rate: None, events: 10, warm_up_events: 0 },
            payload_bytes: 200,
        }
    }

    #[test]
    fn bodies_are_what_the_api_takes() {
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
}
