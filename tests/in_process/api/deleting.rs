//! Deletions beside others who publish and create.

use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use ringback::domain::ids::OrganizationId;
use ringback::store::{MaintenanceStore, PageRequest, TenantStore};
use serde_json::json;

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    a_webhook_that_is_deleted_beside_publishers_has_nothing_pending,
    whatever_is_made_beside_the_deletion_of_its_organization_goes_with_it,
);

async fn a_webhook_that_is_deleted_beside_publishers_has_nothing_pending(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    // what was stored stays pending, for a retry
    world.receivers.status.store(500, Ordering::SeqCst);
    for _ in 0..15 {
        let path = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
        let event = || world.post(&owner, "/v1/events", json!({"event_type": "call.completed", "data": {}}));
        let publishers = join_all((0..8).map(|_| async {
            for _ in 0..4 {
                event().await.ok(202);
            }
        }));
        let deletion = async {
            event().await.ok(202);
            world.call(&owner, "DELETE", &path, "").await.ok(204);
        };
        join(publishers, deletion).await;
    }
    eventually("nothing is pending", async || (world.store.count_pending().unwrap() == 0).then_some(())).await;
    assert_eq!(event_deliveries(&world, &owner).await, 0, "of an event that is published now");
}

async fn event_deliveries(world: &World, key: &str) -> u64 {
    let event = json!({"event_type": "call.completed", "data": {}});
    world.post(key, "/v1/events", event).await.ok(202)["deliveries"].as_u64().unwrap()
}

async fn whatever_is_made_beside_the_deletion_of_its_organization_goes_with_it(database: Database) {
    let world = World::on(database).await;
    for round in 0..8 {
        let organization = world.organization("acme").await;
        let owner = world.key(&organization, "owner").await;
        let (path, key) = (format!("/v1/organizations/{organization}"), json!({"name": "k", "role": "owner"}));
        let keys_path = format!("{path}/keys");
        let makers = join_all((0..6).map(|maker| {
            let (world, owner, key, keys_path) = (&world, &owner, &key, &keys_path);
            async move {
                let mut keys = Vec::new();
                for number in 0..4 {
                    let made =
                        world.post(if number % 2 == 0 { owner } else { ADMIN }, keys_path, key.clone()).await;
                    if made.status == 201 {
                        keys.push(made.json()["key"].as_str().unwrap().to_owned());
                    }
                    world.post(owner, "/v1/webhooks", json!({"url": "https://example.com/"})).await;
                    let name = format!("own.type{maker}_{number}");
                    world.post(owner, "/v1/event-types", json!({"name": name})).await;
                    world.post(owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await;
                }
                keys
            }
        }));
        let deletion = async {
            // at another moment in each round
            for _ in 0..round {
                world.get(ADMIN, &path).await.ok(200);
            }
            world.call(ADMIN, "DELETE", &path, "").await.ok(204);
        };
        let (made, ()) = join(makers, deletion).await;
        for key in made.into_iter().flatten() {
            world.get(&key, "/v1/webhooks").await.problem(401, "unauthorized");
        }
        let id: OrganizationId = organization.parse().unwrap();
        let all = PageRequest { before_id: None, limit: 100 };
        assert!(world.store.keys(Some(id), all).unwrap().is_empty());
        assert!(world.store.own_event_types(id).unwrap().is_empty());
        assert!(world.store.scan_endpoints(None, 1_000).unwrap().is_empty());
        world
            .call(&owner, "POST", "/v1/events", r#"{"event_type":"call.completed","data":{}}"#)
            .await
            .problem(401, "unauthorized");
    }
}
