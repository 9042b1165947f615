//! A pooler between the engine and PostgreSQL.

use serde_json::json;
use test_support::engine::Serve;
use test_support::pooler::Pooler;
use test_support::postgres;
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

#[test]
fn a_pooler_that_gives_transactions_another_session_is_refused_with_what_to_do_and_one_that_does_not_is_used() {
    let Some(server) = postgres::shared() else { return };
    let mut database = Database::postgres().unwrap();
    let direct = database.url.clone();
    for mode in ["transaction", "statement"] {
        let Some(pooler) = Pooler::before(server, mode) else { return };
        let said = Serve::new(database.folder.path(), &pooler.url(&direct)).refusal();
        assert!(said.contains("pool_mode = session"), "{mode}: {said}");
    }
    let Some(pooler) = Pooler::before(server, "session") else { return };
    database.url = pooler.url(&direct);
    let world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    world.publish(1);
    world.eventually_idle();
    assert_eq!(receiver.count(), 1);
}
