//! Counts of results, as a stopped engine leaves them.

use std::sync::Arc;

use ringback::domain::ids::OrganizationId;
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::{PageRequest, open};
use serde_json::json;
use test_support::engine::{MASTER_KEY, eventually, text};
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, World};

on_both_databases!(
    a_stop_leaves_every_result_counted_and_the_next_life_adds_to_it,
    a_kill_does_not_lose_why_a_webhook_began_to_fail,
);

/// Succeeded, failed, retried, attempts: all that is stored of the one organization.
fn counted(database: &Database) -> [u64; 4] {
    let key = Secret::new(MASTER_KEY.to_owned());
    let cipher = Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).unwrap();
    let store = open(&database.url, cipher).unwrap();
    let organizations = store.organizations(PageRequest { before_id: None, limit: 9 }).unwrap();
    let id: OrganizationId = organizations[0].id;
    store.organization_statistics(id, UnixMillis(0)).unwrap().iter().fold([0; 4], |[a, b, c, d], found| {
        let counts = &found.counts;
        [a + counts.succeeded, b + counts.failed, c + counts.retried, d + counts.latency.total()]
    })
}

fn a_stop_leaves_every_result_counted_and_the_next_life_adds_to_it(database: Database) {
    let mut world = World::new(database);
    let at_once = Receiver::ok();
    let refusing = Receiver::answering(|_| reply(400));
    let second_time = Receiver::answering(|request| reply(if request == 1 { 503 } else { 200 }));
    let policy = json!({"retry_policy": {
        "max_attempts": 2, "backoff_multiplier": 1, "initial_delay_seconds": 1, "max_delay_seconds": 1
    }});
    for receiver in [&at_once, &refusing, &second_time] {
        world.webhook(receiver, policy.clone());
    }
    for (number, expected) in [(1, [2, 1, 1, 4]), (2, [4, 2, 1, 7])] {
        world.publish(number);
        world.eventually_idle();
        world.engine.terminate();
        assert_eq!(world.engine.end().code(), Some(0));
        assert_eq!(counted(&world.database), expected);
        world.engine.restart(&world.serve);
    }
}

fn a_kill_does_not_lose_why_a_webhook_began_to_fail(database: Database) {
    let mut world = World::new(database);
    // what no database takes as a text
    let broken = Receiver::answering(|_| reply(500).body("no\0 disk"));
    let policy = json!({"retry_policy": {"max_attempts": 2, "initial_delay_seconds": 900}});
    let webhook = world.webhook(&broken, policy);
    let webhook = text(&webhook, "id");
    world.publish(1);
    let path = format!("/v1/webhooks/{webhook}/health");
    let failure = |world: &World| world.api.get(&path).expect(200).json()["last_failure"].clone();
    let before = eventually("a failure", || Some(failure(&world)).filter(|failure| !failure.is_null()));
    assert_eq!((&before["response_code"], &before["response_excerpt"]), (&json!(500), &json!("no\0 disk")));
    eventually("it is written", || (world.database.rows("endpoint_failures") > 0).then_some(()));
    world.kill_and_restart();
    assert_eq!(failure(&world), before);
    // and it goes with its webhook
    world.api.try_call("DELETE", &format!("/v1/webhooks/{webhook}"), None).unwrap().expect(204);
    assert_eq!(world.database.rows("endpoint_failures"), 0);
}
