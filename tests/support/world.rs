//! An engine with one organization, on a database of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{ADMIN_KEY, Answer, Api, Engine, PATIENCE, Serve, eventually, text};
use crate::postgres;
use crate::receiver::Receiver;

pub const EVENT_TYPE: &str = "call.completed";

/// An empty database, and a folder to work in.
pub struct Database {
    pub folder: TempDir,
    pub url: String,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ringback.db").display());
        Self { folder, url }
    }

    /// `None`, with a message on standard error, when PostgreSQL is not installed.
    pub fn postgres() -> Option<Self> {
        let server = postgres::shared()?;
        Some(Self { folder: tempfile::tempdir().unwrap(), url: server.create_database() })
    }

    /// Fails unless SQLite finds nothing wrong with its file; no engine may use it.
    pub fn check_integrity(&self) {
        let Some(path) = self.url.strip_prefix("sqlite://") else { return };
        let mut sqlite = SqliteConnection::establish(path).unwrap();
        let verdicts: Vec<Verdict> = diesel::sql_query("PRAGMA integrity_check").load(&mut sqlite).unwrap();
        let verdicts: Vec<_> = verdicts.iter().map(|verdict| verdict.integrity_check.as_str()).collect();
        assert_eq!(verdicts, ["ok"]);
    }

    /// How many rows a table has now.
    pub fn rows(&self, table: &str) -> i64 {
        let query = diesel::sql_query(format!("SELECT count(*) AS n FROM {table}"));
        let number: Number = match self.url.strip_prefix("sqlite://") {
            Some(path) => query.get_result(&mut SqliteConnection::establish(path).unwrap()),
            None => query.get_result(&mut PgConnection::establish(&self.url).unwrap()),
        }
        .unwrap();
        number.n
    }

    pub fn serve(&self) -> Serve {
        Serve::new(self.folder.path(), &self.url)
    }
}

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A running engine and its one organization.
pub struct World {
    pub engine: Engine,
    pub serve: Serve,
    /// With the organization's owner key.
    pub api: Api,
    pub database: Database,
}

impl World {
    pub fn new(database: Database) -> Self {
        let serve = database.serve();
        Self::start(database, serve)
    }

    pub fn start(database: Database, serve: Serve) -> Self {
        let engine = serve.start();
        let admin = engine.api(ADMIN_KEY);
        let organization = admin.post("/v1/organizations", &json!({"name": "acme"})).expect(201).json();
        let keys = format!("/v1/organizations/{}/keys", text(&organization, "id"));
        let key = admin.post(&keys, &json!({"name": "tests", "role": "owner"})).expect(201).json();
        let api = admin.with_key(text(&key, "key"));
        Self { engine, serve, api, database }
    }

    pub fn kill_and_restart(&mut self) {
        self.engine.kill_and_restart(&self.serve);
    }

    /// A webhook to this receiver with these further fields; returns the API's answer.
    pub fn webhook(&self, receiver: &Receiver, fields: Value) -> Value {
        let mut webhook = json!({"url": receiver.url()});
        webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.api.post("/v1/webhooks", &webhook).expect(201).json()
    }

    /// `count` webhooks, each with its own URL.
    pub fn webhooks(&self, urls: impl Fn(usize) -> String, count: usize, fields: &Value) -> Vec<Value> {
        let create = |number| {
            let mut webhook = json!({"url": urls(number)});
            webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            self.api.post("/v1/webhooks", &webhook).expect(201).json()
        };
        (0..count).map(create).collect()
    }

    /// Reads a webhook again.
    pub fn read_webhook(&self, webhook: &Value) -> Value {
        self.api.get(&format!("/v1/webhooks/{}", text(webhook, "id"))).expect(200).json()
    }

    /// Publishes one event and returns its id.
    pub fn publish(&self, number: usize) -> String {
        text(&publish(&self.api, number).unwrap().expect(202).json(), "id").to_owned()
    }

    /// The log of a webhook, newest first.
    pub fn logs(&self, webhook: &Value) -> Vec<Value> {
        let path = format!("/v1/webhooks/logs?limit=200&webhook_id={}", text(webhook, "id"));
        self.api.get(&path).expect(200).json()["data"].as_array().unwrap().clone()
    }

    /// The one delivery of a webhook, once it looks like this.
    pub fn eventually_delivery(&self, webhook: &Value, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.logs(webhook).into_iter().find(|delivery| is(delivery)))
    }

    /// Waits until nothing is pending.
    pub fn eventually_idle(&self) {
        eventually("nothing is pending", || self.is_idle().then_some(()));
    }

    /// Whether nothing is pending.
    pub fn is_idle(&self) -> bool {
        let pending = self.api.get("/v1/webhooks/logs?limit=1&status=pending").expect(200).json();
        pending["data"].as_array().unwrap().is_empty()
    }
}

fn publish(api: &Api, number: usize) -> Result<Answer, ureq::Error> {
    let event = json!({"event_type": EVENT_TYPE, "data": {"number": number}}).to_string();
    api.try_call("POST", "/v1/events", Some(event.as_bytes()))
}

/// The responses that publishers got.
#[derive(Default)]
pub struct Heard {
    /// Ids of events that were acknowledged.
    pub acknowledged: Vec<String>,
    /// How many answers of each other kind came: a status and its `Retry-After`.
    pub refused: HashMap<(u16, String), usize>,
}

/// Publishers that post as fast as they get answers, whatever these are, until they are stopped.
pub struct Publishers {
    heard: Arc<(Mutex<Heard>, Condvar)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Publishers {
    pub fn start(count: usize, api: &Api) -> Self {
        let (heard, stop) = (Arc::<(Mutex<Heard>, Condvar)>::default(), Arc::new(AtomicBool::new(false)));
        let publisher = |_| {
            let (heard, stop, api) = (heard.clone(), stop.clone(), api.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // without an answer the event may be stored or not: nothing was promised
                    let Ok(answer) = publish(&api, 0) else { continue };
                    let mut all = heard.0.lock().unwrap();
                    if answer.status == 202 {
                        all.acknowledged.push(text(&answer.json(), "id").to_owned());
                    } else {
                        let kind = (answer.status, answer.header("retry-after").to_owned());
                        *all.refused.entry(kind).or_default() += 1;
                    }
                    heard.1.notify_all();
                }
            })
        };
        let threads = (0..count).map(publisher).collect();
        Self { heard, stop, threads }
    }

    /// Waits until `count` more events were acknowledged; returns at the moment of the last acknowledgement.
    pub fn eventually_more(&self, count: usize) {
        self.eventually_heard("acknowledged", count, |heard| heard.acknowledged.len());
    }

    /// Waits until `count` more requests were refused.
    pub fn eventually_more_refused(&self, count: usize) {
        self.eventually_heard("refused", count, |heard| heard.refused.values().sum());
    }

    fn eventually_heard(&self, what: &str, count: usize, number: impl Fn(&Heard) -> usize) {
        let heard = self.heard.0.lock().unwrap();
        let wanted = number(&heard) + count;
        let waited = self.heard.1.wait_timeout_while(heard, PATIENCE, |heard| number(heard) < wanted);
        let (heard, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "not within {PATIENCE:?}: {} of {wanted} {what}", number(&heard));
    }

    pub fn stop(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut self.heard.0.lock().unwrap())
    }
}
