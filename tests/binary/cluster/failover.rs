//! PostgreSQL fails over to a standby.

use std::time::Instant;

use serde_json::json;
use test_support::cluster::{Arrived, Cluster, publish};
use test_support::engine::eventually;
use test_support::postgres::{self, PostgresServer};
use test_support::receiver::Receiver;
use test_support::world::{Database, Heard, Publishers};

const WEBHOOKS: usize = 12;

/// A server with a standby, and nodes that know both.
fn with_standby(nodes: usize) -> Option<(PostgresServer, PostgresServer, Cluster)> {
    let server = postgres::private()?;
    let of_server = server.create_database();
    let standby = server.standby().unwrap();
    let url = server.url_with(&standby, &of_server);
    let database = Database { folder: tempfile::tempdir().unwrap(), url: url.clone() };
    let cluster = Cluster::at(database, &vec![url; nodes]);
    Some((server, standby, cluster))
}

/// What its next writes have been told, the server tells its standbys first.
fn make_synchronous(server: &PostgresServer) {
    server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
    server.execute("SELECT pg_reload_conf()");
    eventually("the standby is synchronous", || {
        server.answer("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").eq("1").then_some(())
    });
}

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing_that_was_acknowledged() {
    let Some((server, standby, cluster)) = with_standby(2) else { return };
    make_synchronous(&server);
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let running: Vec<Publishers> = cluster.nodes.iter().map(|node| Publishers::start(1, &node.api)).collect();
    running.iter().for_each(|publishers| publishers.eventually_more(20));
    server.stop().unwrap();
    standby.promote().unwrap();
    let writable_at = Instant::now();
    running.iter().for_each(|publishers| publishers.eventually_more(1));
    let taken_after = writable_at.elapsed();
    running.iter().for_each(|publishers| publishers.eventually_more(20));
    cluster.eventually_balanced();
    // its machine is back, and its connections are worth no less than the others
    server.start_again().unwrap();
    eventually("a node has met it", || {
        // whoever loses its connection asks the other server first, unless that was lost a moment ago
        standby
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringback'");
        let has_met = cluster.nodes.iter().any(|node| node.engine.log().contains("another one has replaced it"));
        has_met.then_some(())
    });
    running.iter().for_each(|publishers| publishers.eventually_more(20));
    cluster.eventually_balanced();
    assert_eq!(server.answer("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ringback'"), "0");
    let heard: Vec<Heard> = running.into_iter().map(Publishers::stop).collect();
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    println!(
        "measured: both nodes acknowledge {taken_after:?} after the standby takes writes; {} events, 0 lost, {} repeated",
        heard.iter().map(|heard| heard.acknowledged.len()).sum::<usize>(),
        arrived.repeated
    );
}

#[test]
fn after_a_failover_that_lost_changes_the_engine_goes_by_what_is_in_the_rows() {
    let Some((server, standby, cluster)) = with_standby(1) else { return };
    let node = &cluster.nodes[0];
    let receiver = Receiver::ok();
    let webhooks = cluster.webhooks(&receiver, 2, &json!({}));
    publish(&node.api, 0);
    cluster.eventually_idle();
    server.await_replay_by(&standby);
    // from here on nothing reaches the standby
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''");
    standby.execute("SELECT pg_reload_conf()");
    eventually("the standby is cut off", || {
        server.answer("SELECT count(*) FROM pg_stat_replication").eq("0").then_some(())
    });
    let path = |number: usize| format!("/v1/webhooks/{}", webhooks[number]["id"].as_str().unwrap());
    node.api.try_call("DELETE", &path(0), None).unwrap().expect(204);
    cluster.webhooks(&receiver, 3, &json!({}));
    publish(&node.api, 1);
    eventually("the lost event has arrived", || (receiver.count() == 2 + 4).then_some(()));
    server.stop().unwrap();
    standby.promote().unwrap();
    eventually("a change is taken", || {
        let body = json!({"active": true}).to_string();
        let answer = node.api.try_call("PATCH", &path(1), Some(body.as_bytes())).ok()?;
        (answer.status == 200).then_some(())
    });
    // whatever an event is matched with must be in the rows by the time that it is acknowledged
    let id = eventually("an event is acknowledged", || {
        let event = json!({"event_type": "call.completed", "data": {}}).to_string();
        let answer = node.api.try_call("POST", "/v1/events", Some(event.as_bytes())).ok()?;
        (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
    });
    cluster.eventually_idle();
    let seen = receiver.seen();
    let mut paths: Vec<&str> =
        seen.iter().filter(|seen| seen.event_id() == id).map(|seen| seen.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/hook/0", "/hook/1"], "those that the standby knows");
    let pending = node.api.get("/v1/health").expect(200).json();
    assert_eq!(pending["backlog"]["pending"], 0, "{pending}");
    assert!(node.engine.log().contains("PostgreSQL has failed over"));
}
