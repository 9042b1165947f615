//! SIGTERM, and two engines on one SQLite file.

use serde_json::json;
use test_support::engine::eventually;
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

on_both_databases!(after_sigterm_attempts_in_flight_finish_and_are_not_repeated_by_the_next_life);

fn after_sigterm_attempts_in_flight_finish_and_are_not_repeated_by_the_next_life(database: Database) {
    let mut world = World::new(database);
    let receiver = Receiver::holding(200);
    let webhook = world.webhook(&receiver, json!({}));
    let event_id = world.publish(1);
    eventually("the attempt is in flight", || (receiver.count() == 1).then_some(()));
    world.engine.terminate();
    eventually("it no longer accepts", || world.api.try_call("GET", "/health/live", None).err());
    assert!(world.engine.is_running(), "it did not wait for the attempt in flight");
    receiver.release();
    assert_eq!(world.engine.end().code(), Some(0));

    world.kill_and_restart();
    let delivery = &world.logs(&webhook)[0];
    assert_eq!(delivery["status"], "success", "{delivery}");
    let next_id = world.publish(2);
    world.eventually_idle();
    let ids: Vec<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
    assert_eq!(ids, [event_id, next_id]);
}

#[test]
fn a_second_engine_on_the_same_sqlite_file_is_refused_while_the_first_runs() {
    let mut world = World::new(Database::sqlite());
    let said = world.serve.refusal();
    let names_the_other = said.contains("another process uses the database");
    assert!(names_the_other && said.contains("stop"), "not helpful: {said}");
    world.api.get("/health/ready").expect(200);
    world.engine.terminate();
    assert_eq!(world.engine.end().code(), Some(0));
    world.kill_and_restart();
    world.api.get("/health/ready").expect(200);
}
