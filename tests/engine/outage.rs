//! A database that goes away and comes back.

use std::collections::HashSet;

use serde_json::json;

use crate::engine::eventually;
use crate::postgres_server;
use crate::receiver::Receiver;
use crate::world::{Database, Publishers, World};

#[test]
fn when_postgres_crashes_under_load_publishers_are_told_to_come_back_and_nothing_acknowledged_is_lost() {
    let Some(server) = postgres_server::private() else { return };
    let database = Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() };
    let world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    let publishers = Publishers::start(4, &world.api);
    publishers.eventually_more(100);
    for _ in 0..2 {
        server.stop().unwrap();
        publishers.eventually_more_refused(20);
        assert_eq!(world.api.get("/health/live").status, 200, "the process is well");
        for path in ["/health/ready", "/v1/webhooks"] {
            let answer = world.api.get(path).expect(503);
            assert_eq!((answer.json()["code"].as_str(), answer.header("retry-after")), (Some("unavailable"), "1"));
        }
        server.start_again().unwrap();
        publishers.eventually_more(100);
    }
    let heard = publishers.stop();
    eventually("it is ready again", || (world.api.get("/health/ready").status == 200).then_some(()));
    world.eventually_idle();

    assert!(heard.refused.keys().all(|(status, _)| *status == 503), "{:?}", heard.refused);
    let asks_back = |(_, retry_after): &(u16, String)| retry_after.parse().is_ok_and(|seconds: u32| seconds > 0);
    assert!(heard.refused.keys().all(asks_back), "{:?}", heard.refused);
    let arrived: HashSet<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
    let lost: Vec<_> = heard.acknowledged.iter().filter(|id| !arrived.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are lost: {lost:?}", lost.len(), heard.acknowledged.len());
}
