//! What one organization may have, as the operator set it.

use actix_web::test::TestRequest;
use ringback::config::LimitSettings;
use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{Answer, World};

on_every_store!(
    an_organization_can_have_as_many_webhooks_as_it_may_also_with_parallel_calls,
    an_organization_can_have_as_many_event_types_as_it_may,
    events_over_the_rate_are_refused_with_when_to_come_back,
    without_limits_nothing_is_refused,
);

async fn limited(database: Database, limits: LimitSettings) -> World {
    World::configured(database, |options| options.limits = limits).await
}

const NONE: LimitSettings = LimitSettings {
    webhooks_per_organization: 0,
    event_types_per_organization: 0,
    events_per_second_per_organization: 0,
};

async fn add_webhook(world: &World, key: &str) -> Answer {
    world.post(key, "/v1/webhooks", json!({"url": "https://example.com/"})).await
}

async fn an_organization_can_have_as_many_webhooks_as_it_may_also_with_parallel_calls(database: Database) {
    let world = limited(database, LimitSettings { webhooks_per_organization: 3, ..NONE }).await;
    let (owner, other) = (world.owner().await, world.owner().await);
    let path = world.webhook(&owner, json!({"url": "https://example.com/", "active": false})).await;
    let answers = futures_util::future::join_all((0..10).map(|_| add_webhook(&world, &owner))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(409, "limit_reached");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("limits.webhooks_per_organization") && detail.contains("delete one"), "{detail}");
    }
    add_webhook(&world, &other).await.ok(201);
    world.call(&owner, "DELETE", &path, "").await.ok(204);
    add_webhook(&world, &owner).await.ok(201);
    add_webhook(&world, &owner).await.problem(409, "limit_reached");
}

async fn an_organization_can_have_as_many_event_types_as_it_may(database: Database) {
    let world = limited(database, LimitSettings { event_types_per_organization: 2, ..NONE }).await;
    let (owner, other) = (world.owner().await, world.owner().await);
    let add = |key: String, number: u32| {
        let world = &world;
        async move { world.post(&key, "/v1/event-types", json!({"name": format!("own.type_{number}")})).await }
    };
    let answers = futures_util::future::join_all((0..6).map(|number| add(owner.clone(), number))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 2);
    answers.iter().filter(|answer| answer.status != 201).for_each(|answer| {
        answer.problem(409, "limit_reached");
    });
    add(other, 1).await.ok(201);
}

async fn events_over_the_rate_are_refused_with_when_to_come_back(database: Database) {
    // so slow that no machine is too slow for it
    let world = limited(database, LimitSettings { events_per_second_per_organization: 1, ..NONE }).await;
    let (owner, other) = (world.owner().await, world.owner().await);
    let event = json!({"event_type": "call.completed", "data": {}});
    let batch = Value::from(vec![event.clone(); 100]);
    // a batch counts its events, and is not refused for ever when it is larger than the rate
    world.post(&owner, "/v1/events/batch", batch.clone()).await.ok(202);
    for (path, body) in [("/v1/events", &event), ("/v1/events/batch", &batch)] {
        let refused = world.post(&owner, path, body.clone()).await;
        refused.problem(429, "too_many_requests");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((60..=101).contains(&seconds), "{seconds}");
    }
    world.post(&other, "/v1/events", event).await.ok(202);
    let stored = world.get(&owner, "/v1/events?limit=200").await.ok(200);
    assert_eq!(stored["data"].as_array().unwrap().len(), 100);
}

async fn without_limits_nothing_is_refused(database: Database) {
    let world = limited(database, NONE).await;
    let owner = world.owner().await;
    for number in 0..5 {
        add_webhook(&world, &owner).await.ok(201);
        let name = format!("own.type_{number}");
        world.post(&owner, "/v1/event-types", json!({"name": name})).await.ok(201);
        let request = TestRequest::post().uri("/v1/events");
        let request = request.insert_header(("authorization", format!("Bearer {owner}")));
        world.send(request.set_payload(json!({"event_type": name, "data": {}}).to_string())).await.ok(202);
    }
}
