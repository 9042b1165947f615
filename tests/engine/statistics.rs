//! Counts of results, as a stopped engine leaves them.

use std::sync::Arc;

use ringback::domain::entropy::CountingEntropy;
use ringback::domain::ids::OrganizationId;
use ringback::domain::secret::Secret;
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::{PageRequest, open};
use serde_json::json;

use crate::engine::MASTER_KEY;
use crate::receiver::{Receiver, reply};
use crate::world::{Database, World};

on_both_databases!(a_stop_leaves_every_result_counted_and_the_next_life_adds_to_it);

/// Succeeded, failed, retried, attempts: all that is stored of the one organization.
fn counted(database: &Database) -> [u64; 4] {
    let key = Secret::new(MASTER_KEY.to_owned());
    let cipher = Cipher::from_master_key(&key, Arc::new(CountingEntropy::default())).unwrap();
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
