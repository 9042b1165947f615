//! A PostgreSQL that crashes, or says nothing any more, under load.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::engine::eventually;
use test_support::long_run::LongRun;
use test_support::pausing_proxy::PausingProxy;
use test_support::postgres::{self, PostgresServer};
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, Heard, Publishers, World};

/// The engine recovers without help within this time after the database returns.
const RECOVERY: Duration = Duration::from_secs(10);
/// A publisher gets the error that the database does not respond within this time: it may wait for its key to be read and then for
/// the commit.
const ANSWER_BOUND: Duration = Duration::from_secs(20);

fn database(server: &PostgresServer) -> Database {
    Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() }
}

#[test]
fn when_postgres_crashes_under_load_publishers_are_told_to_come_back_and_nothing_acknowledged_is_lost() {
    let Some(server) = postgres::private() else { return };
    let world = World::new(database(&server));
    // every third attempt fails: retries go on as well
    let receiver = Receiver::answering(|number| reply(if number % 3 == 0 { 503 } else { 200 }));
    let policy = json!({"max_attempts": 50, "initial_delay_seconds": 1, "backoff_multiplier": 1});
    world.webhook(&receiver, json!({"retry_policy": policy}));
    let publishers = Publishers::start(4, &world.api);
    publishers.eventually_more(100);
    let run = LongRun::new("crashes of PostgreSQL", "RINGBACK_POSTGRES_CRASHES", 1);
    let mut recoveries = Vec::new();
    for _ in 0..run.rounds() {
        server.stop().unwrap();
        publishers.eventually_more_refused(8);
        assert_eq!(world.api.get("/health/live").status, 200, "the process is well");
        for path in ["/health/ready", "/v1/webhooks"] {
            let answer = world.api.get(path).expect(503);
            assert_eq!((answer.json()["code"].as_str(), answer.header("retry-after")), (Some("unavailable"), "1"));
        }
        server.start_again().unwrap();
        let begin = Instant::now();
        eventually("it is ready again", || (world.api.get("/health/ready").status == 200).then_some(()));
        publishers.eventually_more(1);
        recoveries.push(begin.elapsed());
        publishers.eventually_more(100);
        run.step();
    }
    let heard = publishers.stop();
    world.eventually_idle();

    assert!(recoveries.iter().all(|took| *took < RECOVERY), "{recoveries:?}");
    check(&world, &receiver, &heard);
    run.finish(&format!(
        "{} acknowledged, 0 missing; refused: {:?}; accepting again {recoveries:?} after the server's return",
        heard.acknowledged.len(),
        heard.refused
    ));
}

#[test]
fn while_postgres_is_away_the_log_gets_one_line_a_second_about_requests_and_not_one_for_each() {
    let Some(server) = postgres::private() else { return };
    let world = World::new(database(&server));
    server.stop().unwrap();
    let ask = || (0..50).for_each(|_| drop(world.api.get("/v1/webhooks").expect(503)));
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    let lines = || {
        let log = world.engine.log();
        let about = log.lines().filter(|line| line.contains("the database is not available to the API"));
        about.map(|line| line[..19].to_owned()).collect::<Vec<_>>()
    };
    eventually("a line about it", || (!lines().is_empty()).then_some(()));
    let (lines, seconds) = (lines().len(), lines().into_iter().collect::<HashSet<_>>().len());
    assert!(lines <= seconds + 1, "{lines} lines in {seconds} seconds");
    assert!(lines < 100, "{lines}");
}

#[test]
fn when_postgres_says_nothing_any_more_publishers_hear_so_in_bounded_time_and_nothing_acknowledged_is_lost() {
    let Some(server) = postgres::shared() else { return };
    let mut database = database(server);
    let proxy = PausingProxy::to(server.address());
    database.url = database.url.replace(&server.address().to_string(), &proxy.address.to_string());
    let world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    let publishers = Publishers::start(4, &world.api);
    publishers.eventually_more(50);
    proxy.pause();
    let begin = Instant::now();
    assert_eq!(world.api.get("/health/live").status, 200, "the process is well");
    world.api.get("/health/ready").expect(503);
    publishers.eventually_more_refused(4);
    let refused_after = begin.elapsed();
    assert_eq!(world.api.get("/health/live").status, 200, "the process is well");
    proxy.go_on();
    let begin = Instant::now();
    eventually("it is ready again", || (world.api.get("/health/ready").status == 200).then_some(()));
    publishers.eventually_more(50);
    let recovery = begin.elapsed();
    let heard = publishers.stop();
    world.eventually_idle();

    assert!(refused_after < ANSWER_BOUND, "{refused_after:?}");
    assert!(recovery < RECOVERY, "{recovery:?}");
    check(&world, &receiver, &heard);
    println!(
        "measured: a PostgreSQL that says nothing: every publisher was refused after {refused_after:?}, accepting \
         again after {recovery:?}; {} acknowledged, 0 missing; refused: {:?}",
        heard.acknowledged.len(),
        heard.refused
    );
}

/// Publishers heard nothing but "come back", and all that was acknowledged has succeeded.
fn check(world: &World, receiver: &Receiver, heard: &Heard) {
    for (status, retry_after) in heard.refused.keys() {
        let asks_back = retry_after.parse().is_ok_and(|seconds: u32| seconds > 0);
        assert!(*status == 503 && asks_back, "{:?}", heard.refused);
    }
    let arrived: HashSet<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
    let lost: Vec<_> = heard.acknowledged.iter().filter(|id| !arrived.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are lost: {lost:?}", lost.len(), heard.acknowledged.len());
    let failed = world.api.get("/v1/webhooks/logs?limit=1&status=failed").expect(200).json();
    assert_eq!(failed["data"], json!([]));
}
