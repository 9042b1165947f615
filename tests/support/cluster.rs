//! Several nodes on one PostgreSQL database, each a process of its own.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{ADMIN_KEY, Api, Engine, PATIENCE, Serve, eventually, text};
use crate::receiver::Receiver;
use crate::world::{Database, EVENT_TYPE, Heard};

/// Of the tests' nodes: as short as machines that are busy with other tests allow.
pub const LEASE: Duration = Duration::from_secs(4);

pub struct Node {
    pub engine: Engine,
    pub serve: Serve,
    /// With the organization's owner key.
    pub api: Api,
    _folder: TempDir,
}

impl Node {
    fn start(database_url: &str, number: usize, settings: &[(&str, &str)]) -> (Engine, Serve, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let plain = Serve::new(folder.path(), database_url)
            .set("RINGBACK_LOG", "info")
            .set("RINGBACK_CLUSTER_LEASE_SECONDS", &LEASE.as_secs().to_string())
            .set("RINGBACK_CLUSTER_NAME", &format!("node-{number}"));
        let serve = settings.iter().fold(plain, |serve, (name, value)| serve.set(name, value));
        (serve.start(), serve, folder)
    }

    pub fn kill_and_restart(&mut self) {
        self.engine.kill_and_restart(&self.serve);
    }

    /// Stops it with SIGTERM, and starts it again with other settings.
    pub fn restart_as(&mut self, serve: Serve) {
        self.engine.terminate();
        assert!(self.engine.end().success());
        self.engine.restart(&serve);
        self.serve = serve;
    }

    /// Freezes the process, or lets it go on.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.engine.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What the node says of the cluster.
    pub fn view(&self) -> Value {
        self.engine.api(ADMIN_KEY).get("/v1/cluster").expect(200).json()
    }
}

/// The nodes, and their one organization.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub database: Database,
}

impl Cluster {
    /// `None`, with a message on standard error, when PostgreSQL is not installed.
    pub fn start(count: usize) -> Option<Self> {
        Self::start_with(count, &[])
    }

    /// The same with further settings.
    pub fn start_with(count: usize, settings: &[(&str, &str)]) -> Option<Self> {
        let database = Database::postgres()?;
        let urls = vec![database.url.clone(); count];
        Some(Self::set_up(database, &urls, settings))
    }

    /// Each node reaches the database at its own URL.
    pub fn at(database: Database, urls: &[String]) -> Self {
        Self::set_up(database, urls, &[])
    }

    fn set_up(database: Database, urls: &[String], settings: &[(&str, &str)]) -> Self {
        let start = |(number, url): (usize, &String)| Node::start(url, number, settings);
        let started: Vec<_> = urls.iter().enumerate().map(start).collect();
        let admin = started[0].0.api(ADMIN_KEY);
        let organization = admin.post("/v1/organizations", &json!({"name": "acme"})).expect(201).json();
        let keys = format!("/v1/organizations/{}/keys", text(&organization, "id"));
        let key = admin.post(&keys, &json!({"name": "tests", "role": "owner"})).expect(201).json();
        let with_key = |(engine, serve, _folder): (Engine, Serve, TempDir)| {
            let api = engine.api(text(&key, "key"));
            Node { engine, serve, api, _folder }
        };
        let cluster = Self { nodes: started.into_iter().map(with_key).collect(), database };
        cluster.eventually_balanced();
        cluster
    }

    /// Waits until every node delivers to its share of the webhooks, as every node sees it.
    pub fn eventually_balanced(&self) {
        let share = 256 / self.nodes.len() as u64;
        eventually("every node has its share", || {
            let is_even = |view: &Value| {
                let nodes = view["nodes"].as_array().unwrap();
                let live: Vec<&Value> = nodes.iter().filter(|node| node["state"] == "live").collect();
                live.len() == self.nodes.len()
                    && live.iter().all(|node| node["partitions"].as_u64().unwrap().abs_diff(share) <= 1)
                    && view["partitions"]["owned"] == 256
            };
            self.nodes.iter().all(|node| is_even(&node.view())).then_some(())
        });
    }

    /// `count` webhooks, made on all nodes in turn; the path of each ends with its number.
    pub fn webhooks(&self, receiver: &Receiver, count: usize, fields: &Value) -> Vec<Value> {
        let create = |number: usize| {
            let mut webhook = json!({"url": format!("{}/{number}", receiver.url())});
            webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            self.nodes[number % self.nodes.len()].api.post("/v1/webhooks", &webhook).expect(201).json()
        };
        (0..count).map(create).collect()
    }

    /// Waits until nothing is pending.
    pub fn eventually_idle(&self) {
        eventually("nothing is pending", || {
            let pending = self.nodes[0].api.get("/v1/webhooks/logs?limit=1&status=pending").expect(200).json();
            pending["data"].as_array().unwrap().is_empty().then_some(())
        });
    }
}

/// How often each event came to each path.
pub struct Arrived {
    times: HashMap<(String, String), usize>,
    pub repeated: usize,
    /// The longest time that a path was silent.
    pub longest_gap: Duration,
}

impl Arrived {
    pub fn at(receiver: &Receiver) -> Self {
        let mut times: HashMap<(String, String), usize> = HashMap::new();
        let mut last: HashMap<String, Instant> = HashMap::new();
        let mut longest_gap = Duration::ZERO;
        for seen in receiver.seen() {
            *times.entry((seen.path.clone(), seen.event_id())).or_default() += 1;
            if let Some(before) = last.insert(seen.path.clone(), seen.at) {
                longest_gap = longest_gap.max(seen.at.saturating_duration_since(before));
            }
        }
        let repeated = times.values().map(|times| times - 1).sum();
        Self { times, repeated, longest_gap }
    }

    /// Fails unless every acknowledged event came to every webhook.
    pub fn check_nothing_lost(&self, heard: &[Heard], webhooks: usize) {
        for id in heard.iter().flat_map(|heard| &heard.acknowledged) {
            for number in 0..webhooks {
                let came = self.times.contains_key(&(format!("/hook/{number}"), id.clone()));
                assert!(came, "{id} did not come to webhook {number}");
            }
        }
    }
}

/// Publishes one event with this number and returns its id.
pub fn publish(api: &Api, number: usize) -> String {
    let event = json!({"event_type": EVENT_TYPE, "data": {"number": number}});
    text(&api.post("/v1/events", &event).expect(202).json(), "id").to_owned()
}

/// Waits for as long as it takes until a node has noticed that another one is silent, and some more.
pub fn within_a_lease_and_two_seconds() -> Duration {
    assert!(LEASE + Duration::from_secs(2) < PATIENCE);
    LEASE + Duration::from_secs(2)
}
