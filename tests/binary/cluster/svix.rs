//! The Svix-compatible API on two nodes, of which the one that has answered is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringback::domain::time::UnixMillis;
use serde_json::{Value, json};
use test_support::cluster::{Cluster, LEASE, within_a_lease_and_two_seconds};
use test_support::engine::{ADMIN_KEY, Api, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::world::EVENT_TYPE;

/// So many that each of two nodes has some.
const ENDPOINTS: usize = 24;
/// The environment with the organizations of the deployment.
const DEFAULT_ENVIRONMENT: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
const MANAGEMENT: &str = "org_00000000000SvixManagement00";
const SETTINGS: [(&str, &str); 3] = [
    ("RINGBACK_SVIX_JWT_SECRET", "secret-of-both-nodes"),
    // no retries: a variable that is empty counts as not set
    ("RINGBACK_SVIX_RETRY_SCHEDULE", ","),
    ("RINGBACK_DELIVERY_BREAKER_FAILURE_THRESHOLD", "1000000"),
];

/// A node's client of this API, for everything in the default environment.
fn client(cluster: &Cluster, node: usize) -> Api {
    cluster.nodes[node].engine.api(ADMIN_KEY)
}

/// Two nodes, and an application.
fn two_nodes() -> Option<Cluster> {
    let cluster = Cluster::start_with(2, &SETTINGS)?;
    client(&cluster, 0).post("/api/v1/app", &json!({"name": "Customer", "uid": "customer"})).expect(201);
    Some(cluster)
}

fn endpoint(api: &Api, url: &str) -> Value {
    api.post("/api/v1/app/customer/endpoint", &json!({ "url": url })).expect(201).json()
}

/// Waits until the other node has all that a killed one had.
fn taken_over(cluster: &Cluster, by: usize) {
    eventually("the other one has taken over", || {
        (cluster.nodes[by].view()["partitions"]["owned"] == 256
            && cluster.nodes[by].view()["nodes"][1 - by]["state"] == "fenced")
            .then_some(())
    });
}

fn restart(cluster: &mut Cluster, node: usize) {
    let node = &mut cluster.nodes[node];
    node.engine.restart(&node.serve);
    cluster.eventually_balanced();
}

/// A message for a later time.
struct Scheduled {
    id: String,
    due: Instant,
}

fn schedule(api: &Api, after: Duration) -> Scheduled {
    // first: a busy machine makes it later than that, and never earlier
    let due = Instant::now() + after;
    let at = (SystemTime::now() + after).duration_since(UNIX_EPOCH).unwrap();
    let at = UnixMillis(i64::try_from(at.as_millis()).unwrap()).to_string();
    let message = json!({"eventType": "a.b", "payload": {}, "deliverAt": at});
    let made = api.post("/api/v1/app/customer/msg", &message).expect(202).json();
    Scheduled { id: text(&made, "id").to_owned(), due }
}

/// Waits until every endpoint has it, and checks that none had it too early or twice.
fn sent_once_and_not_before(cluster: &Cluster, scheduled: &Scheduled, receiver: &Receiver) {
    let path = format!("/api/v1/app/customer/attempt/msg/{}?limit=100", scheduled.id);
    let (api, mut attempts) = (client(cluster, 1), Vec::new());
    eventually("all endpoints have it", || {
        attempts = api.get(&path).expect(200).json()["data"].as_array().unwrap().clone();
        (attempts.len() >= ENDPOINTS).then_some(())
    });
    assert!(attempts.iter().all(|attempt| attempt["status"] == 0 && attempt["triggerType"] == 0), "{attempts:?}");
    let seen = receiver.seen();
    let its: Vec<_> = seen.iter().filter(|seen| seen.header("svix-id") == scheduled.id).collect();
    let paths: BTreeSet<&str> = its.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!((paths.len(), its.len(), attempts.len()), (ENDPOINTS, ENDPOINTS, ENDPOINTS), "each once");
    let margin = Duration::from_millis(100);
    assert!(its.iter().all(|seen| seen.at + margin >= scheduled.due), "not before its time");
}

#[test]
fn a_message_for_a_later_time_outlives_its_node_and_is_sent_once_by_whoever_has_its_endpoints() {
    let Some(mut cluster) = two_nodes() else { return };
    let receiver = Receiver::ok();
    for number in 0..ENDPOINTS {
        endpoint(&client(&cluster, number % 2), &format!("{}/{number}", receiver.url()));
    }
    let attempts = |cluster: &Cluster, node: usize| {
        cluster.nodes[node].api.with_key(ADMIN_KEY).metric("ringback_attempts_total", "success")
    };
    let first = schedule(&client(&cluster, 0), within_a_lease_and_two_seconds());
    cluster.nodes[0].engine.kill();
    taken_over(&cluster, 1);
    assert_eq!(receiver.count(), 0);
    sent_once_and_not_before(&cluster, &first, &receiver);
    assert!(attempts(&cluster, 1) >= ENDPOINTS as f64, "the one that lives has sent all of it");

    // it waits at the node that accepted it, and half of it is another's when its time comes
    let second = schedule(&client(&cluster, 1), 2 * LEASE);
    let before = attempts(&cluster, 1);
    restart(&mut cluster, 0);
    sent_once_and_not_before(&cluster, &second, &receiver);
    let by_each = [attempts(&cluster, 0), attempts(&cluster, 1) - before];
    println!("measured: sent by each node: {by_each:?}");
    assert!(by_each.iter().all(|sent| *sent > 0.0), "{by_each:?}");

    // both die while it waits
    let third = schedule(&client(&cluster, 1), LEASE);
    for node in [1, 0] {
        cluster.nodes[node].engine.kill();
    }
    for node in &mut cluster.nodes {
        node.engine.restart(&node.serve);
    }
    sent_once_and_not_before(&cluster, &third, &receiver);
    assert_eq!(receiver.count(), 3 * ENDPOINTS);
}

/// What was told: how many messages there are of each type about each endpoint.
fn told(messages: impl IntoIterator<Item = Value>) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        let about = text(&message["data"], "endpointId").to_owned();
        *counts.entry((about, text(&message, "type").to_owned())).or_default() += 1;
    }
    counts
}

#[test]
fn what_happens_to_an_endpoint_is_told_once_although_its_node_dies_right_after_its_answer() {
    let Some(mut cluster) = two_nodes() else { return };
    let receiver = Receiver::ok();
    let wanted = json!({"url": receiver.url(), "eventTypes": ["endpoint.created", "endpoint.disabled", "endpoint.enabled"]});
    client(&cluster, 1).post("/api/v1/operational-webhook/endpoint", &wanted).expect(201);
    let url = format!("{}/customer", receiver.url());
    let mut expected = BTreeMap::new();
    let mut endpoints: Vec<String> = Vec::new();
    // each node is once the one that tells, and once not
    for (round, victim) in [0, 1, 1, 0].into_iter().enumerate() {
        let api = client(&cluster, victim);
        let (id, kind) = match round {
            0 | 3 => {
                endpoints.push(text(&endpoint(&api, &url), "id").to_owned());
                (endpoints.last().unwrap().clone(), "endpoint.created")
            }
            _ => {
                let id = endpoints[0].clone();
                let patch = json!({"disabled": round == 1}).to_string();
                let path = format!("/api/v1/app/customer/endpoint/{id}");
                api.try_call("PATCH", &path, Some(patch.as_bytes())).unwrap().expect(200);
                (id, if round == 1 { "endpoint.disabled" } else { "endpoint.enabled" })
            }
        };
        cluster.nodes[victim].engine.kill();
        let about = (id.clone(), kind.to_owned());
        eventually("the other node tells it", || {
            let bodies = receiver.seen().into_iter().map(|seen| serde_json::from_slice(&seen.body).unwrap());
            told(bodies).contains_key(&about).then_some(())
        });
        expected.insert(about, 1);
        restart(&mut cluster, victim);
    }
    // what is told last: all before it has been
    let last = text(&endpoint(&client(&cluster, 0), &url), "id").to_owned();
    expected.insert((last.clone(), String::from("endpoint.created")), 1);
    let token = cluster.nodes[0].serve.run(&["svix", "token", "--environment", MANAGEMENT]);
    let management = client(&cluster, 0).with_key(String::from_utf8(token.stdout).unwrap().trim());
    let path = format!("/api/v1/app/{DEFAULT_ENVIRONMENT}/msg?limit=100&with_content=true");
    let messages = eventually("the last one is told", || {
        let list = management.get(&path).expect(200).json();
        let messages = list["data"].as_array().unwrap().clone();
        messages
            .iter()
            .any(|message| message["payload"]["data"]["endpointId"] == last.as_str())
            .then_some(messages)
    });
    let mut stored = told(messages.iter().map(|message| message["payload"].clone()));
    stored.retain(|(_, kind), _| kind != "endpoint.updated");
    assert_eq!(stored, expected, "a message for each, and no second one");
    eventually("the last one arrives", || {
        let about_last = |body: &[u8]| String::from_utf8_lossy(body).contains(&last);
        receiver.seen().iter().any(|seen| about_last(&seen.body)).then_some(())
    });
    // the same message may come twice when its node dies during the attempt
    let ids: BTreeSet<String> = receiver.seen().iter().map(|seen| seen.header("svix-id").to_owned()).collect();
    assert_eq!(ids.len(), expected.len());
}

#[test]
fn a_recovery_goes_on_at_another_node_after_the_one_that_ran_it_was_killed_and_sends_nothing_twice() {
    const MESSAGES: usize = 600;
    let Some(mut cluster) = two_nodes() else { return };
    let is_repaired = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::answering({
        let is_repaired = is_repaired.clone();
        move |_| reply(if is_repaired.load(Ordering::Relaxed) { 200 } else { 500 })
    });
    let one = client(&cluster, 0);
    let id = text(&endpoint(&one, &receiver.url()), "id").to_owned();
    let application = text(&one.get("/api/v1/app/customer").expect(200).json(), "id").replace("app_", "org_");
    let key = one.post(&format!("/v1/organizations/{application}/keys"), &json!({"name": "x", "role": "owner"}));
    let owner = one.with_key(text(&key.expect(201).json(), "key"));
    let event = json!({"event_type": EVENT_TYPE, "data": {}});
    owner.post("/v1/events/batch", &json!(vec![&event; MESSAGES])).expect(202);
    eventually("all of them have failed", || {
        let pending = owner.get("/v1/webhooks/logs?limit=1&status=pending").expect(200).json();
        pending["data"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(receiver.count(), MESSAGES);
    is_repaired.store(true, Ordering::Relaxed);

    let other = client(&cluster, 1);
    let since = (SystemTime::now() - Duration::from_secs(3600)).duration_since(UNIX_EPOCH).unwrap();
    let since = json!({"since": UnixMillis(i64::try_from(since.as_millis()).unwrap()).to_string()});
    let task = one.post(&format!("/api/v1/app/customer/endpoint/{id}/recover"), &since).expect(202).json();
    let path = format!("/api/v1/background-task/{}", text(&task, "id"));
    let read = || other.get(&path).expect(200).json();
    // frozen whenever it is looked at, it dies in the middle
    let before = eventually("it has sent some", || {
        cluster.nodes[0].freeze(true);
        let task = read();
        if task["data"]["messagesSent"] != 0 {
            return Some(task);
        }
        cluster.nodes[0].freeze(false);
        None
    });
    cluster.nodes[0].engine.kill();
    assert_eq!(before["status"], "running", "it was over too early to say anything: {before}");
    let ended = eventually("the other node brings it to its end", || {
        let task = read();
        (task["status"] != "running").then_some(task)
    });
    assert_eq!((&ended["status"], &ended["data"]["messagesSent"]), (&json!("finished"), &json!(MESSAGES)));
    println!("measured: {} of {MESSAGES} were enqueued by the node that died", before["data"]["messagesSent"]);
    let other_owner = other.with_key(owner.key());
    eventually("all of them have succeeded", || {
        let succeeded = other_owner.get("/v1/health").expect(200).json();
        (succeeded["backlog"]["pending"] == 0).then_some(())
    });
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for seen in receiver.seen() {
        *times.entry(seen.header("svix-id").to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), MESSAGES);
    assert!(times.values().all(|times| *times >= 2), "each failed, and was sent again");
    // only what was in flight at the node that died comes again
    let repeated: usize = times.values().map(|times| times - 2).sum();
    assert!(repeated <= 2 * 32, "{repeated} came twice");
    restart(&mut cluster, 0);
    assert_eq!(read(), ended);
}
