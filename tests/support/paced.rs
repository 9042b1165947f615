//! Publishers at a pace of their own: they post when a schedule says so, whatever became of the posts before, and
//! keep going while the engine is away.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::engine::{Api, text};
use crate::world::{EVENT_TYPE, Heard};

/// Enough that those which wait for an answer don't keep the others from their time.
const CLIENTS: u32 = 8;

/// They run until they are stopped.
pub struct PacedPublishers {
    heard: Arc<Mutex<Heard>>,
    unanswered: Arc<Mutex<usize>>,
    clients: Vec<(Sender<()>, JoinHandle<()>)>,
}

impl PacedPublishers {
    pub fn start(per_second: u32, api: &Api) -> Self {
        let (heard, unanswered) = (Arc::<Mutex<Heard>>::default(), Arc::<Mutex<usize>>::default());
        let (interval, begin) = (Duration::from_secs(1) / per_second, Instant::now());
        let client = |first: u32| {
            let (heard, unanswered, api) = (heard.clone(), unanswered.clone(), api.clone());
            let (stop, stopped) = channel();
            let thread = std::thread::spawn(move || {
                for number in (first..).step_by(CLIENTS as usize) {
                    let due = begin + interval * number;
                    let wait = due.saturating_duration_since(Instant::now());
                    if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    match publish(&api, number) {
                        // without an answer the event may be stored or not: nothing was promised
                        None => *unanswered.lock().unwrap() += 1,
                        Some(outcome) => outcome.note(&mut heard.lock().unwrap()),
                    }
                }
            });
            (stop, thread)
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { heard, unanswered, clients }
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.heard.lock().unwrap().acknowledged.len()
    }

    /// Their responses, and the number of posts without one.
    pub fn stop(self) -> (Heard, usize) {
        for (stop, thread) in self.clients {
            drop(stop);
            thread.join().unwrap();
        }
        (std::mem::take(&mut self.heard.lock().unwrap()), *self.unanswered.lock().unwrap())
    }
}

enum Told {
    Acknowledged(String),
    Refused(u16, String),
}

impl Told {
    fn note(self, heard: &mut Heard) {
        match self {
            Self::Acknowledged(id) => heard.acknowledged.push(id),
            Self::Refused(status, retry_after) => {
                *heard.refused.entry((status, retry_after)).or_default() += 1;
            }
        }
    }
}

fn publish(api: &Api, number: u32) -> Option<Told> {
    let event = json!({"event_type": EVENT_TYPE, "data": {"number": number}}).to_string();
    let answer = api.try_call("POST", "/v1/events", Some(event.as_bytes())).ok()?;
    Some(match answer.status {
        202 => Told::Acknowledged(text(&answer.json(), "id").to_owned()),
        status => Told::Refused(status, answer.header("retry-after").to_owned()),
    })
}

/// Publishes events in batches and returns their ids.
pub fn publish_batch(api: &Api, numbers: std::ops::Range<usize>) -> Vec<String> {
    let event = |number| json!({"event_type": EVENT_TYPE, "data": {"number": number}});
    let batch: Vec<_> = numbers.map(event).collect();
    let answer = api.post("/v1/events/batch", &json!(batch)).expect(202).json();
    let items = answer["data"].as_array().unwrap();
    items.iter().map(|item| text(item, "id").to_owned()).collect()
}
