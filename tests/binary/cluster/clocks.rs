//! Nodes whose clocks are an hour apart.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use test_support::cluster::{Cluster, publish};
use test_support::engine::{eventually, text};
use test_support::receiver::{Receiver, Seen, reply};
use test_support::world::EVENT_TYPE;
use test_support::wrong_clock::shifted;

const HOUR: i64 = 3_600;
const SHIFTS: [i64; 3] = [-HOUR, 0, HOUR];
const WEBHOOKS: usize = 6;
const EVENTS: usize = 60;
const FAILING_TYPE: &str = "call.missed";
/// Fewer than open a breaker.
const FAILING_EVENTS: usize = 9;
/// Far more than a busy machine takes, far less than what the clocks differ by.
const TOLERANCE: Duration = Duration::from_secs(120);

/// Three nodes, of which two have a wrong clock. `None`, with a message on standard error, where that can't be made.
fn with_wrong_clocks() -> Option<Cluster> {
    let mut cluster = Cluster::start(SHIFTS.len())?;
    for (node, seconds) in cluster.nodes.iter_mut().zip(SHIFTS) {
        let serve = shifted(node.serve.clone(), seconds)?;
        node.restart_as(serve);
    }
    cluster.eventually_balanced();
    Some(cluster)
}

fn check_offsets(cluster: &Cluster) {
    let view = cluster.nodes[0].view();
    for (number, seconds) in SHIFTS.into_iter().enumerate() {
        let name = format!("node-{number}");
        let node = view["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name.as_str()).unwrap();
        let offset = Duration::from_millis(node["clock_offset_ms"].as_i64().unwrap().unsigned_abs());
        assert!(offset.abs_diff(Duration::from_secs(seconds.unsigned_abs())) < TOLERANCE, "{node}");
    }
}

/// The signed time is that of the database, which here is right.
fn check_signed_time(seen: &Seen, now: SystemTime) {
    let signed = UNIX_EPOCH + Duration::from_secs(seen.header("webhook-timestamp").parse().unwrap());
    let by = now.duration_since(signed).unwrap_or_else(|error| error.duration());
    assert!(by < TOLERANCE, "signed {by:?} off");
}

#[test]
fn clocks_of_nodes_that_are_an_hour_off_change_neither_order_nor_schedules_nor_keys() {
    let Some(mut cluster) = with_wrong_clocks() else { return };
    check_offsets(&cluster);
    let (ordered, failing) =
        (Receiver::ok(), Receiver::judging(|seen| reply(if seen.attempt() == 1 { 500 } else { 200 })));
    cluster.webhooks(&ordered, WEBHOOKS, &json!({"events": [EVENT_TYPE], "ordered": true}));
    let policy = json!({"max_attempts": 5, "initial_delay_seconds": 1, "backoff_multiplier": 1});
    cluster.webhooks(&failing, WEBHOOKS, &json!({"events": [FAILING_TYPE], "retry_policy": policy}));
    let began = Instant::now();
    let mut published = Vec::new();
    for number in 0..EVENTS {
        published.push(publish(&cluster.nodes[number % 3].api, number));
        if number == EVENTS / 2 {
            cluster.nodes[2].kill_and_restart();
        }
    }
    let event = json!({"event_type": EVENT_TYPE, "data": {}}).to_string();
    let with_key = |node: usize| {
        let answer =
            cluster.nodes[node].api.call_with_header("POST", "/v1/events", &event, ("idempotency-key", "one"));
        text(&answer.expect(202).json(), "id").to_owned()
    };
    let keyed = with_key(0);
    assert!(with_key(1) == keyed && with_key(2) == keyed, "the key is known everywhere");
    published.push(keyed);
    for number in 0..FAILING_EVENTS {
        let event = json!({"event_type": FAILING_TYPE, "data": {}});
        cluster.nodes[number % 3].api.post("/v1/events", &event).expect(202);
    }
    eventually("each came a second time", || {
        let came = failing.seen().iter().filter(|seen| seen.attempt() == 2).count();
        (came >= FAILING_EVENTS * WEBHOOKS).then_some(())
    });
    cluster.eventually_idle();
    assert!(began.elapsed() < TOLERANCE, "no schedule was an hour off");
    let seen = ordered.seen();
    for number in 0..WEBHOOKS {
        let mut first: Vec<String> = Vec::new();
        for seen in seen.iter().filter(|seen| seen.path == format!("/hook/{number}")) {
            if !first.contains(&seen.event_id()) {
                first.push(seen.event_id());
            }
        }
        assert_eq!(first, published, "webhook {number}");
    }
    let now = SystemTime::now();
    seen.iter().chain(&failing.seen()).for_each(|seen| check_signed_time(seen, now));
    let expected = published.len() + FAILING_EVENTS;
    let recent = cluster.nodes[2].api.get("/v1/events?limit=200").expect(200).json();
    assert_eq!(recent["data"].as_array().unwrap().len(), expected);
}
