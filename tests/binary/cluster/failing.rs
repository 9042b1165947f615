//! Nodes that are killed, frozen, or cut off from the database.

use std::time::{Duration, Instant};

use serde_json::json;
use test_support::cluster::{Arrived, Cluster, LEASE, publish, within_a_lease_and_two_seconds};
use test_support::engine::eventually;
use test_support::pausing_proxy::PausingProxy;
use test_support::postgres;
use test_support::receiver::{Receiver, Seen};
use test_support::unreliable_proxy::UnreliableProxy;
use test_support::world::{Database, Heard, Publishers};

const WEBHOOKS: usize = 12;
/// What a node may have in flight or not yet recorded when it ends.
const UNSETTLED: usize = WEBHOOKS * 32;

fn publishers(cluster: &Cluster) -> Vec<Publishers> {
    cluster.nodes.iter().map(|node| Publishers::start(1, &node.api)).collect()
}

fn stop(publishers: Vec<Publishers>) -> Vec<Heard> {
    publishers.into_iter().map(Publishers::stop).collect()
}

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_and_their_webhooks_go_on_elsewhere() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    for (round, victim) in [1, 0, 2].into_iter().enumerate() {
        running[(victim + 1) % 3].eventually_more(20);
        cluster.nodes[victim].engine.kill();
        if round == 0 {
            // it does not come back before the others have taken over
            let killed_at = Instant::now();
            eventually("the others have taken over", || {
                let view = cluster.nodes[2].view();
                (view["partitions"]["owned"] == 256 && view["nodes"][victim]["state"] == "fenced").then_some(())
            });
            println!("measured: a killed node was taken over after {:?} (lease {LEASE:?})", killed_at.elapsed());
            running[2].eventually_more(20);
        }
        let Cluster { nodes, .. } = &mut cluster;
        let node = &mut nodes[victim];
        node.engine.restart(&node.serve);
    }
    cluster.eventually_balanced();
    let heard = stop(running);
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert!(arrived.repeated <= 3 * UNSETTLED, "{} came twice", arrived.repeated);
    println!(
        "measured: {} events by three nodes, each killed once: 0 lost, {} repeated, longest gap {:?}",
        heard.iter().map(|heard| heard.acknowledged.len()).sum::<usize>(),
        arrived.repeated,
        arrived.longest_gap
    );
}

#[test]
fn a_node_that_was_frozen_for_longer_than_its_lease_does_nothing_with_its_old_rights_and_comes_back() {
    let Some(cluster) = Cluster::start(3) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    running[0].eventually_more(20);
    let frozen = &cluster.nodes[1];
    frozen.freeze(true);
    eventually("the others have taken over", || {
        let view = cluster.nodes[0].view();
        (view["nodes"][1]["state"] == "fenced" && view["partitions"]["owned"] == 256).then_some(())
    });
    running[0].eventually_more(20);
    frozen.freeze(false);
    cluster.eventually_balanced();
    assert!(frozen.engine.log().contains("has lost its rights"), "{}", frozen.engine.log());
    let heard = stop(running);
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert!(arrived.repeated <= UNSETTLED, "{} came twice", arrived.repeated);
    println!("measured: {} repeated after a freeze of more than a lease", arrived.repeated);
}

#[test]
fn a_node_that_is_stopped_when_its_rights_have_ended_ends() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    running[1].eventually_more(20);
    cluster.nodes[1].freeze(true);
    eventually("the other one has taken over", || {
        (cluster.nodes[0].view()["nodes"][1]["state"] == "fenced").then_some(())
    });
    // it finds both when it wakes: that it should stop, and that others have its webhooks
    cluster.nodes[1].engine.terminate();
    cluster.nodes[1].freeze(false);
    assert!(cluster.nodes[1].engine.end().success());
    let heard = stop(running);
    cluster.eventually_idle();
    Arrived::at(&receiver).check_nothing_lost(&heard, WEBHOOKS);
}

#[test]
fn a_node_that_was_frozen_for_a_moment_loses_nothing_and_nothing_comes_twice() {
    let Some(cluster) = Cluster::start(2) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    running[0].eventually_more(20);
    let (frozen, since) = (&cluster.nodes[1], Instant::now());
    frozen.freeze(true);
    while since.elapsed() < LEASE / 4 {
        running[0].eventually_more(1);
    }
    frozen.freeze(false);
    running[1].eventually_more(20);
    let heard = stop(running);
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert_eq!(arrived.repeated, 0);
    assert!(!frozen.engine.log().contains("has lost its rights"));
    assert_eq!(frozen.view()["partitions"]["owned"], 256);
}

#[test]
fn a_node_that_is_cut_off_from_the_database_stops_sending_before_others_take_over() {
    let Some(server) = postgres::shared() else { return };
    let database = Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() };
    let proxy = PausingProxy::to(server.address());
    let of_proxy = database.url.replace(&server.address().to_string(), &proxy.address.to_string());
    assert_ne!(of_proxy, database.url);
    let urls = [database.url.clone(), of_proxy];
    let cluster = Cluster::at(database, &urls);
    // every answer takes so long that each webhook always has an attempt in flight
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = Publishers::start(2, &cluster.nodes[0].api);
    running.eventually_more(20);
    let cut_at = Instant::now();
    proxy.pause();
    eventually("the other one has taken over", || {
        (cluster.nodes[0].view()["nodes"][1]["state"] == "fenced").then_some(())
    });
    let taken_over_after = cut_at.elapsed();
    running.eventually_more(20);
    proxy.go_on();
    cluster.eventually_balanced();
    let heard = running.stop();
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&[heard], WEBHOOKS);
    assert!(arrived.repeated <= UNSETTLED, "{} came twice", arrived.repeated);
    assert!(taken_over_after + Duration::from_millis(500) >= LEASE, "{taken_over_after:?}");
    println!(
        "measured: taken over {taken_over_after:?} after the cut, within {:?} promised; {} repeated",
        within_a_lease_and_two_seconds(),
        arrived.repeated
    );
}

#[test]
fn a_node_whose_database_is_200_ms_away_keeps_its_place_and_takes_and_delivers_events_as_others_do() {
    let Some(server) = postgres::shared() else { return };
    let database = Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() };
    let proxy = PausingProxy::to(server.address());
    let of_proxy = database.url.replace(&server.address().to_string(), &proxy.address.to_string());
    let urls = [database.url.clone(), of_proxy];
    let cluster = Cluster::at(database, &urls);
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    running.iter().for_each(|publishers| publishers.eventually_more(20));
    let (since, delivered) =
        (Instant::now(), cluster.nodes[1].api.metric("ringback_deliveries_total", "outcome=\"success\""));
    proxy.delay(Duration::from_millis(200));
    while since.elapsed() < LEASE * 2 {
        running.iter().for_each(|publishers| publishers.eventually_more(1));
    }
    running[1].eventually_more(5);
    let during = cluster.nodes[1].api.metric("ringback_deliveries_total", "outcome=\"success\"") - delivered;
    assert!(during > 0.0, "it has delivered meanwhile");
    proxy.delay(Duration::ZERO);
    cluster.eventually_balanced();
    let heard = stop(running);
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert_eq!(arrived.repeated, 0);
    assert!(!cluster.nodes[1].engine.log().contains("has lost its rights"), "{}", cluster.nodes[1].engine.log());
    println!(
        "measured: {during} deliveries by the far node in {:?}, longest gap {:?}",
        since.elapsed(),
        arrived.longest_gap
    );
}

#[test]
fn after_a_restart_of_postgres_nobody_is_taken_for_dead_and_nothing_is_lost() {
    let Some(server) = postgres::private() else { return };
    let database = Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() };
    let urls = vec![database.url.clone(); 3];
    let cluster = Cluster::at(database, &urls);
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running = publishers(&cluster);
    running[0].eventually_more(20);
    server.stop().unwrap();
    // longer than a lease
    let since = Instant::now();
    while since.elapsed() < LEASE + Duration::from_secs(1) {
        running[0].eventually_more_refused(1);
    }
    server.start_again().unwrap();
    running.iter().for_each(|publishers| publishers.eventually_more(20));
    cluster.eventually_balanced();
    let heard = stop(running);
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    for node in &cluster.nodes {
        let log = node.engine.log();
        assert!(!log.contains("a node is dead") && !log.contains("has lost its rights"), "{log}");
    }
    println!("measured: {} repeated after an outage of the database of {:?}", arrived.repeated, since.elapsed());
}

/// Each event came once to each webhook, and in the order in which they were acknowledged.
fn check_once(receiver: &Receiver, webhooks: usize, published: &[String], is_ordered: bool) {
    let seen = receiver.seen();
    for number in 0..webhooks {
        let path = format!("/hook/{number}");
        let mut ids: Vec<String> = seen.iter().filter(|seen| seen.path == path).map(Seen::event_id).collect();
        if !is_ordered {
            ids.sort_by_key(|id| published.iter().position(|published| published == id));
        }
        assert_eq!(ids, published, "webhook {number}");
    }
}

#[test]
fn nodes_that_cannot_reach_each_other_deliver_everything_once_and_in_order_nevertheless() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    // nobody listens where the second one says that it does, and the first one says that it is the second one
    let mut advertised = String::from("http://127.0.0.1:1");
    for node in cluster.nodes.iter_mut().rev() {
        node.restart_as(node.serve.clone().set("RINGBACK_CLUSTER_ADVERTISE", &advertised));
        advertised = format!("http://{}", node.engine.address());
    }
    cluster.eventually_balanced();
    let (receiver, ordered) = (Receiver::ok(), Receiver::ok());
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    cluster.webhooks(&ordered, 4, &json!({"ordered": true}));
    let published: Vec<String> = (0..100).map(|number| publish(&cluster.nodes[number % 2].api, number)).collect();
    cluster.eventually_idle();
    check_once(&receiver, WEBHOOKS, &published, false);
    check_once(&ordered, 4, &published, true);
    let failed: f64 =
        cluster.nodes.iter().map(|node| node.api.metric("ringback_cluster_pushes_total", "failed")).sum();
    assert!(failed > 0.0, "they have tried");
    let taken: f64 =
        cluster.nodes.iter().map(|node| node.api.metric("ringback_cluster_pushes_total", "delivered")).sum();
    assert!(taken == 0.0, "none came to whom it was for: {taken}");
}

#[test]
fn pushes_that_are_lost_repeated_and_out_of_order_lose_nothing_double_nothing_and_disturb_no_order() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let proxies: Vec<UnreliableProxy> = cluster.nodes.iter().map(|_| UnreliableProxy::start()).collect();
    for (node, proxy) in cluster.nodes.iter_mut().zip(&proxies) {
        let advertised = format!("http://{}", proxy.address);
        node.restart_as(node.serve.clone().set("RINGBACK_CLUSTER_ADVERTISE", &advertised));
        proxy.lead_to(node.engine.address());
    }
    cluster.eventually_balanced();
    let (receiver, ordered) = (Receiver::ok(), Receiver::ok());
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    cluster.webhooks(&ordered, 4, &json!({"ordered": true}));
    let published: Vec<String> = (0..300).map(|number| publish(&cluster.nodes[number % 3].api, number)).collect();
    cluster.eventually_idle();
    check_once(&receiver, WEBHOOKS, &published, false);
    check_once(&ordered, 4, &published, true);
    let sum = |outcome| -> f64 {
        cluster.nodes.iter().map(|node| node.api.metric("ringback_cluster_pushes_total", outcome)).sum()
    };
    let repeated: usize = proxies.iter().map(UnreliableProxy::repeated).sum();
    assert!(sum("failed") > 0.0 && sum("delivered") > 0.0 && repeated > 0);
    println!("measured: of {} pushes {} were lost, {repeated} sent again later", sum("delivered"), sum("failed"));
}
