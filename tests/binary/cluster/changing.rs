//! Nodes that join, leave, and are restarted one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use test_support::cluster::{Arrived, Cluster};
use test_support::engine::{Api, eventually, text};
use test_support::long_run::LongRun;
use test_support::receiver::{Receiver, reply};
use test_support::world::{EVENT_TYPE, Heard};

const WEBHOOKS: usize = 12;
const RESTARTS: &str = "RINGBACK_CLUSTER_RESTARTS";

/// Publishes through whichever node says that it is ready, as a balancer would; returns what it heard.
fn through_a_balancer(apis: Vec<Api>, stop: Arc<AtomicBool>) -> Heard {
    let mut heard = Heard::default();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let api = &apis[turn % apis.len()];
        let is_ready = api.try_call("GET", "/health/ready", None).is_ok_and(|answer| answer.status == 200);
        if !is_ready {
            continue;
        }
        let event = json!({"event_type": EVENT_TYPE, "data": {"number": turn}}).to_string();
        // a closed listener answers nothing: the balancer asks another node
        let Ok(answer) = api.try_call("POST", "/v1/events", Some(event.as_bytes())) else { continue };
        match answer.status {
            202 => heard.acknowledged.push(text(&answer.json(), "id").to_owned()),
            status => *heard.refused.entry((status, String::new())).or_default() += 1,
        }
    }
    heard
}

#[test]
fn a_rolling_restart_loses_nothing_doubles_nothing_and_refuses_nobody() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let stop = Arc::new(AtomicBool::new(false));
    let apis: Vec<Api> = cluster.nodes.iter().map(|node| node.api.clone()).collect();
    let publisher = std::thread::spawn({
        let stop = stop.clone();
        move || through_a_balancer(apis, stop)
    });
    let run = LongRun::new("rolling restarts", RESTARTS, 1);
    for _ in 0..run.rounds() {
        for node in &mut cluster.nodes {
            node.restart_as(node.serve.clone());
        }
        cluster.eventually_balanced();
        run.step();
    }
    stop.store(true, Ordering::Relaxed);
    let heard = publisher.join().unwrap();
    cluster.eventually_idle();
    assert_eq!(heard.refused, HashMap::new());
    assert!(heard.acknowledged.len() > 20, "{}", heard.acknowledged.len());
    let arrived = Arrived::at(&receiver);
    let acknowledged = heard.acknowledged.len();
    arrived.check_nothing_lost(&[heard], WEBHOOKS);
    assert_eq!(arrived.repeated, 0);
    run.finish(&format!("{acknowledged} events; longest gap of a webhook {:?}", arrived.longest_gap));
}

#[test]
fn a_receiver_that_hangs_delays_the_move_of_its_own_webhook_only() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let (hanging, receiver) = (Receiver::holding(200), Receiver::ok());
    // longer than a busy machine takes for all of this
    let of_hanging = cluster.webhooks(&hanging, WEBHOOKS, &json!({"timeout": 60}));
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let first = test_support::cluster::publish(&cluster.nodes[0].api, 0);
    eventually("all hang", || (hanging.count() == WEBHOOKS).then_some(()));
    cluster.nodes[0].engine.terminate();
    eventually("everything is the other one's", || {
        let view = cluster.nodes[1].view();
        let own = |node: &Value| node["name"] == "node-1" && node["partitions"] == 256;
        view["nodes"].as_array().unwrap().iter().any(own).then_some(())
    });
    let second = test_support::cluster::publish(&cluster.nodes[1].api, 1);
    eventually("the others go on", || {
        let came = |id: &String| receiver.seen().iter().filter(|seen| seen.event_id() == *id).count();
        (came(&first) == WEBHOOKS && came(&second) == WEBHOOKS).then_some(())
    });
    assert!(cluster.nodes[0].engine.is_running(), "it waits for its attempts");
    hanging.release();
    assert!(cluster.nodes[0].engine.end().success());
    eventually("the second event is there, too", || (hanging.count() == 2 * WEBHOOKS).then_some(()));
    let node = &mut cluster.nodes[0];
    node.engine.restart(&node.serve);
    cluster.eventually_idle();
    assert_eq!(hanging.count(), 2 * of_hanging.len(), "nothing came twice");
}

#[test]
fn an_open_breaker_stays_open_across_a_move_and_a_resume_on_another_node_closes_it() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let is_repaired = Arc::new(AtomicBool::new(false));
    let repaired = is_repaired.clone();
    let receiver = Receiver::answering(move |_| reply(if repaired.load(Ordering::Relaxed) { 200 } else { 500 }));
    let webhooks = cluster.webhooks(&receiver, 4, &json!({"max_in_flight": 1}));
    for number in 0..10 {
        test_support::cluster::publish(&cluster.nodes[number % 2].api, number);
    }
    let state = |cluster: &Cluster, webhook: &Value| {
        let path = format!("/v1/webhooks/{}/health", text(webhook, "id"));
        cluster.nodes[1].api.get(&path).expect(200).json()["breaker"]["state"].clone()
    };
    eventually("all are open", || webhooks.iter().all(|it| state(&cluster, it) == "open").then_some(()));
    cluster.nodes[0].engine.terminate();
    assert!(cluster.nodes[0].engine.end().success());
    let before = receiver.count();
    assert!(webhooks.iter().all(|webhook| state(&cluster, webhook) == "open"));
    let node = &mut cluster.nodes[0];
    node.engine.restart(&node.serve);
    cluster.eventually_balanced();
    assert!(receiver.count() - before <= 2 * webhooks.len(), "probes, and nothing else");
    is_repaired.store(true, Ordering::Relaxed);
    // each on the node that does not have it, and on the one that has
    for webhook in &webhooks {
        let path = format!("/v1/webhooks/{}/resume", text(webhook, "id"));
        cluster.nodes[0].api.post(&path, &json!({})).expect(202);
    }
    cluster.eventually_idle();
    assert!(webhooks.iter().all(|webhook| state(&cluster, webhook) == "closed"));
}

#[test]
fn a_rate_limit_holds_in_every_second_while_its_webhook_moves() {
    const LIMIT: usize = 10;
    let Some(mut cluster) = Cluster::start(2) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, 4, &json!({"rate_limit": {"per_second": LIMIT}}));
    for number in 0..80 {
        test_support::cluster::publish(&cluster.nodes[number % 2].api, number);
    }
    for node in &mut cluster.nodes {
        node.engine.terminate();
        assert!(node.engine.end().success());
        node.engine.restart(&node.serve);
    }
    cluster.eventually_idle();
    let mut fullest = 0;
    for number in 0..4 {
        let path = format!("/hook/{number}");
        let times: Vec<_> = receiver.seen().iter().filter(|seen| seen.path == path).map(|seen| seen.at).collect();
        assert_eq!(times.len(), 80, "each came once");
        for (place, first) in times.iter().enumerate() {
            let within = |at: &&std::time::Instant| at.saturating_duration_since(*first).as_millis() < 1_000;
            fullest = fullest.max(times[place..].iter().take_while(within).count());
        }
    }
    // a burst of one more fits into a second that begins with it
    assert!(fullest <= LIMIT + 2, "{fullest} within a second");
    println!("measured: at most {fullest} attempts within any second, with a limit of {LIMIT}, across moves");
}

#[test]
fn a_node_with_other_settings_is_named_in_the_log_of_every_node_and_fails_nothing_for_good() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let receiver = Receiver::ok();
    let policy = json!({"max_attempts": 50, "initial_delay_seconds": 1, "backoff_multiplier": 1});
    cluster.webhooks(&receiver, WEBHOOKS, &json!({"retry_policy": policy}));
    let right = cluster.nodes[1].serve.clone();
    cluster.nodes[1].restart_as(right.clone().set("RINGBACK_ALLOW_HTTP", "false"));
    cluster.eventually_balanced();
    for node in &cluster.nodes {
        eventually("it is in the log", || {
            let log = node.engine.log();
            let is_told = |line: &str| {
                line.contains("another value of a setting") && line.contains("setting=\"allow_http\"")
            };
            log.lines().any(is_told).then_some(())
        });
    }
    let event = test_support::cluster::publish(&cluster.nodes[0].api, 0);
    eventually("those of the other node have tried in vain", || {
        let pending = cluster.nodes[0].api.get("/v1/webhooks/logs?limit=200&status=pending").expect(200).json();
        let rows = pending["data"].as_array().unwrap();
        let refused = rows.iter().filter(|row| row["error"] == "invalid_request").count();
        (refused > 0 && refused + receiver.count() == WEBHOOKS).then_some(())
    });
    cluster.nodes[1].restart_as(right);
    cluster.eventually_idle();
    let came = receiver.seen().iter().filter(|seen| seen.event_id() == event).count();
    assert_eq!(came, WEBHOOKS, "nothing was failed for good");
}

#[test]
fn what_nodes_count_as_their_own_adds_up_and_what_is_of_all_is_the_same_everywhere() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let broken = Receiver::answering(|_| reply(500));
    cluster.webhooks(&broken, WEBHOOKS, &json!({"retry_schedule": [900]}));
    test_support::cluster::publish(&cluster.nodes[0].api, 0);
    eventually("all have failed once", || (broken.count() == WEBHOOKS).then_some(()));
    // a start looks at once
    for node in &mut cluster.nodes {
        node.restart_as(node.serve.clone());
    }
    cluster.eventually_balanced();
    let of_nodes = |name: &str, label: &str| -> Vec<f64> {
        cluster.nodes.iter().map(|node| node.api.metric(name, label)).collect()
    };
    for (name, label) in [("ringback_webhooks", "failing"), ("ringback_deliveries_pending", "")] {
        eventually(name, || {
            let counts = of_nodes(name, label);
            let has_each = counts.iter().all(|count| *count > 0.0);
            (has_each && counts.iter().sum::<f64>() == WEBHOOKS as f64).then_some(())
        });
    }
    eventually("each has an oldest one", || {
        of_nodes("ringback_oldest_pending_age_seconds", "").iter().all(|age| *age > 0.0).then_some(())
    });
    eventually("the size of the one database", || {
        let sizes = of_nodes("ringback_database_bytes", "");
        (sizes[0] > 0.0 && (sizes[0] - sizes[1]).abs() < sizes[0] / 2.0).then_some(())
    });
}
