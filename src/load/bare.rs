//! The bare reference: what this machine can do with no engine between. The same posts, signed alike, from a plain
//! awc client to the same receivers; and one sync of the disk, which durability can't do without.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use awc::http::header;
use bytes::Bytes;

use super::clock::Clock;
use super::error::LoadError;
use super::http::Http;
use super::latency::{Latencies, Quantiles};
use super::pace::drive;
use super::publisher::EVENT_TYPE;
use super::receiver::HOOKS;
use super::stamp::Stamp;
use crate::domain::ids::EventId;
use crate::domain::secret::Secret;
use crate::domain::signing::SigningKey;

/// As many as an engine keeps busy at the rate of the fastest scenario.
const CONNECTIONS: usize = 64;
const SYNCS: usize = 200;
/// What one small commit writes: a page of SQLite.
const SYNCED_BYTES: usize = 4_096;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What is posted.
#[derive(Debug, Clone)]
pub(crate) struct BareJob {
    /// The receivers.
    pub receivers: String,
    /// Of the receivers' runs.
    pub run: u32,
    /// How many.
    pub posts: u64,
    /// Posts a second; absent: as fast as it goes.
    pub rate: Option<f64>,
    /// Of the data; the body has the same around it as an engine's.
    pub payload_bytes: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bare {
    /// Answered with 200.
    pub posts: u64,
    /// Without an answer of 200.
    pub failed: u64,
    /// How long it took.
    pub duration: Duration,
    /// From a post's instant to its answer.
    pub round_trips: Latencies,
}

impl Bare {
    /// As fast as it went.
    pub(crate) fn posts_per_second(&self) -> f64 {
        self.posts as f64 / self.duration.as_secs_f64().max(1e-9)
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: &Self) {
        self.posts += other.posts;
        self.failed += other.failed;
        self.duration += other.duration;
        self.round_trips.add(&other.round_trips);
    }
}

/// Posts all of it.
pub(crate) async fn post(job: BareJob, clock: Clock) -> Bare {
    let http = Http::default();
    let key = Rc::new(SigningKey::new(&Secret::new(SECRET.to_owned())));
    let bare = Rc::new(RefCell::new(Bare::default()));
    let begin = clock.now_micros();
    let result = Rc::clone(&bare);
    let (posts, rate) = (job.posts, job.rate);
    let job = Rc::new(job);
    drive(posts, CONNECTIONS, rate, clock, move |number, at| {
        let (http, key, bare, job) = (http.clone(), Rc::clone(&key), Rc::clone(&bare), Rc::clone(&job));
        async move {
            let is_received = send(&http, &key, &job, number, at).await;
            let mut bare = bare.borrow_mut();
            match is_received {
                true => bare.posts += 1,
                false => bare.failed += 1,
            }
            bare.round_trips.record(clock.since(at));
        }
    })
    .await;
    let mut bare = result.take();
    bare.duration = clock.since(begin);
    bare
}

async fn send(http: &Http, key: &SigningKey, job: &BareJob, number: u64, at: u64) -> bool {
    let id = EventId(number as i64);
    let mut body = String::with_capacity(job.payload_bytes + 160);
    body.push_str(r#"{"event_type":""#);
    body.push_str(EVENT_TYPE);
    body.push_str(r#"","timestamp":"2026-01-01T00:00:00.000Z","webhook_id":""#);
    body.push_str(&id.to_string());
    body.push_str(r#"","data":"#);
    Stamp { run: job.run, number, at }.write_data(job.payload_bytes, &mut body);
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

/// How long this disk takes to make one page durable.
pub(crate) fn sync_times(folder: &Path, clock: Clock) -> Result<Quantiles, LoadError> {
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
