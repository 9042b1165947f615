//! Gauges that somebody looks for in the database.

use serde_json::json;
use test_support::engine::eventually;
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, World};

on_both_databases!(after_a_start_gauges_tell_what_an_earlier_life_has_left);

fn after_a_start_gauges_tell_what_an_earlier_life_has_left(database: Database) {
    let is_sqlite = database.url.starts_with("sqlite:");
    let mut world = World::new(database);
    let (broken, never) = (Receiver::answering(|_| reply(500)), Receiver::ok());
    let later = json!({"retry_policy": {"max_attempts": 2, "initial_delay_seconds": 900}});
    let webhook = world.webhook(&broken, later);
    world.webhook(&never, json!({"active": false}));
    world.publish(1);
    world.eventually_delivery(&webhook, "a first attempt", |delivery| delivery["attempt_count"] == 1);
    world.kill_and_restart();
    let metric = |name: &str, label: &str| world.api.metric(name, label);
    eventually("states of webhooks", || {
        let states = ["healthy", "failing", "paused", "disabled"].map(|state| metric("ringback_webhooks", state));
        (states == [0.0, 1.0, 0.0, 1.0]).then_some(())
    });
    eventually("the age of the delivery", || {
        let age = metric("ringback_oldest_pending_age_seconds", "");
        (age > 0.0 && age < 900.0).then_some(())
    });
    eventually("the size of the database", || (metric("ringback_database_bytes", "") > 10_000.0).then_some(()));
    eventually("the size of SQLite's log", || {
        ((metric("ringback_database_log_bytes", "") > 0.0) == is_sqlite).then_some(())
    });
    assert_eq!(metric("ringback_build_info", env!("CARGO_PKG_VERSION")), 1.0);
}
