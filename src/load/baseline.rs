//! The baseline: what this machine can do without an engine. A plain awc client sends the same posts, signed in the same
//! way, to the same receivers; and the disk is synced alone, which is the least that a durable engine has to do.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use awc::http::header;
use bytes::Bytes;

use super::clock::RunClock;
use super::error::LoadError;
use super::event_stamp::EventStamp;
use super::http::LoadClient;
use super::latency::{Latencies, Quantiles};
use super::pace::make_requests;
use super::publisher::EVENT_TYPE;
use super::receiver::HOOKS;
use crate::domain::ids::EventId;
use crate::domain::secret::Secret;
use crate::domain::signing::SigningKey;

/// As many as an engine keeps busy at the rate of the fastest scenario.
const CONNECTIONS: usize = 64;
const SYNCS: usize = 200;
/// A small commit writes one page of SQLite.
const SYNCED_BYTES: usize = 4_096;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug, Clone)]
pub(crate) struct BaselineJob {
    /// Base URL.
    pub receivers: String,
    /// Number of the receivers' run.
    pub run: u32,
    pub posts: u64,
    /// Posts per second; `None` posts as fast as possible.
    pub rate: Option<f64>,
    /// Size of the data; the body adds the same fields around it as an engine does.
    pub payload_bytes: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Baseline {
    /// Answered with 200.
    pub posts: u64,
    /// Answered with another status, or not at all.
    pub failed: u64,
    pub duration: Duration,
    /// From the time at which a post was due to its response.
    pub round_trips: Latencies,
}

impl Baseline {
    pub(crate) fn posts_per_second(&self) -> f64 {
        self.posts as f64 / self.duration.as_secs_f64().max(1e-9)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.posts += other.posts;
        self.failed += other.failed;
        self.duration += other.duration;
        self.round_trips.add(&other.round_trips);
    }
}

pub(crate) async fn post(job: BaselineJob, clock: RunClock) -> Baseline {
    let http = LoadClient::default();
    let key = Rc::new(SigningKey::new(&Secret::new(SECRET.to_owned())));
    let baseline = Rc::new(RefCell::new(Baseline::default()));
    let begin = clock.now_micros();
    let result = Rc::clone(&baseline);
    let (posts, rate) = (job.posts, job.rate);
    let job = Rc::new(job);
    make_requests(posts, CONNECTIONS, rate, clock, move |number, at| {
        let (http, key, baseline, job) = (http.clone(), Rc::clone(&key), Rc::clone(&baseline), Rc::clone(&job));
        async move {
            let is_received = send(&http, &key, &job, number, at).await;
            let mut baseline = baseline.borrow_mut();
            match is_received {
                true => baseline.posts += 1,
                false => baseline.failed += 1,
            }
            baseline.round_trips.record(clock.since(at));
        }
    })
    .await;
    let mut baseline = result.take();
    baseline.duration = clock.since(begin);
    baseline
}

async fn send(http: &LoadClient, key: &SigningKey, job: &BaselineJob, number: u64, at: u64) -> bool {
    let id = EventId(number as i64);
    let mut body = String::with_capacity(job.payload_bytes + 160);
    body.push_str(r#"{"event_type":""#);
    body.push_str(EVENT_TYPE);
    body.push_str(r#"","timestamp":"2026-01-01T00:00:00.000Z","webhook_id":""#);
    body.push_str(&id.to_string());
    body.push_str(r#"","data":"#);
    EventStamp { run: job.run, number, at }.write_data(job.payload_bytes, &mut body);
    body.push('}');
    let body = Bytes::from(body);
    let seconds = (at / 1_000_000) as i64;
    let request = http
        .client()
        .post(format!("{}{HOOKS}/0", job.receivers))
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::USER_AGENT, "ringback load"))
        .insert_header(("x-callintel-signature", key.sign_document(&body)))
        .insert_header(("x-callintel-delivery", id.to_string()))
        .insert_header(("x-callintel-attempt", "1"))
        .insert_header(("webhook-id", id.to_string()))
        .insert_header(("webhook-timestamp", seconds))
        .insert_header(("webhook-signature", key.sign_standard(id, seconds, &body)));
    let Ok(mut response) = request.send_body(body).await else { return false };
    response.status().as_u16() == 200 && response.body().await.is_ok()
}

/// Measures how long this disk takes to make one page durable.
pub(crate) fn sync_times(folder: &Path, clock: RunClock) -> Result<Quantiles, LoadError> {
    let path = folder.join("sync-probe");
    let failed = |error| LoadError::System { what: format!("{} can't be written", path.display()), error };
    let mut file = File::create(&path).map_err(failed)?;
    let page = [b'x'; SYNCED_BYTES];
    let mut times = Latencies::default();
    for _ in 0..SYNCS {
        let begin = clock.now_micros();
        file.write_all(&page).and_then(|()| file.sync_data()).map_err(failed)?;
        times.record(clock.since(begin));
    }
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(times.quantiles())
}
