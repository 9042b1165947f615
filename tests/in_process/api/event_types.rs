//! Event types: listed, registered, published, asked for.

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    the_event_types_are_listed_with_samples_that_can_be_published,
    an_own_type_is_registered_published_asked_for_and_deleted,
    data_that_does_not_fit_the_schema_is_refused_with_every_place,
    a_type_that_can_not_be_one_is_refused,
);

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

async fn the_event_types_are_listed_with_samples_that_can_be_published(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let own = json!({"name": "invoice.paid", "schema": {"required": ["n"], "examples": [{"n": 1}]}});
    world.post(&owner, "/v1/event-types", own).await.ok(201);
    let types = world.get(&owner, "/v1/event-types").await.ok(200);
    assert_eq!(types["next_cursor"], Value::Null);
    let listed = types["data"].as_array().unwrap();
    assert_eq!(listed.len(), 15);
    assert_eq!(listed.iter().filter(|row| row["kind"] == "built_in").count(), 14);
    for event_type in listed {
        let body = json!({"event_type": event_type["name"], "data": event_type["sample"]});
        world.post(&owner, "/v1/events", body).await.ok(202);
    }
    let operational = &types["operational"];
    let expected = ["webhook.disabled", "webhook.failing", "webhook.recovered", "delivery.exhausted"];
    assert_eq!(names(operational), expected);
    assert!(operational.as_array().unwrap().iter().all(|row| row["kind"] == "operational"));
}

async fn an_own_type_is_registered_published_asked_for_and_deleted(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    let wanted = json!({"url": "https://example.com/", "events": ["invoice.paid", "invoice.*"]});
    let refused = world.post(&owner, "/v1/webhooks", wanted.clone()).await;
    assert_eq!(refused.problem(422, "unknown_event_type"), ["events[0]", "events[1]"]);

    let schema = json!({"type": "object", "examples": [{"amount": 5}]});
    let body = json!({"name": "invoice.paid", "description": "Money came", "schema": schema});
    let created = world.post(&owner, "/v1/event-types", body.clone()).await;
    assert_eq!(created.header("location"), Some("/v1/event-types/invoice.paid"));
    let expected = json!({
        "name": "invoice.paid", "kind": "own", "description": "Money came", "sample": {"amount": 5},
        "schema": schema, "created_at": "2024-12-16T10:30:45.007Z"
    });
    assert_eq!(created.ok(201), expected);
    let types = world.get(&owner, "/v1/event-types").await.ok(200);
    assert_eq!(types["data"][14], expected);

    world.webhook(&owner, wanted.clone()).await;
    let event = json!({"event_type": "invoice.paid", "data": {}});
    assert_eq!(world.post(&owner, "/v1/events", event.clone()).await.ok(202)["deliveries"], 1);
    // it is this organization's alone
    let theirs = world.post(&stranger, "/v1/events", event.clone()).await;
    assert_eq!(theirs.problem(422, "unknown_event_type"), ["event_type"]);
    assert!(!theirs.text.contains("invoice.paid"));
    world.post(&stranger, "/v1/webhooks", wanted).await.problem(422, "unknown_event_type");
    world.call(&stranger, "DELETE", "/v1/event-types/invoice.paid", "").await.problem(404, "not_found");
    // and known where an unknown one is refused
    let unknown = json!({"event_type": "invoice.lost", "data": {}});
    assert!(world.post(&owner, "/v1/events", unknown).await.text.contains("batch.failed, invoice.paid"));

    world.post(&owner, "/v1/event-types", body).await.problem(409, "conflict");
    world.call(&owner, "DELETE", "/v1/event-types/invoice.paid", "").await.ok(204);
    world.call(&owner, "DELETE", "/v1/event-types/invoice.paid", "").await.problem(404, "not_found");
    world.post(&owner, "/v1/events", event).await.problem(422, "unknown_event_type");
}

async fn data_that_does_not_fit_the_schema_is_refused_with_every_place(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let schema =
        json!({"required": ["id"], "properties": {"id": {"type": "string"}, "lines": {"items": {"maximum": 5}}}});
    world.post(&owner, "/v1/event-types", json!({"name": "invoice.paid", "schema": schema})).await.ok(201);
    let publish = async |data: Value| {
        world.post(&owner, "/v1/events", json!({"event_type": "invoice.paid", "data": data})).await
    };
    publish(json!({"id": "a", "lines": [1, 5]})).await.ok(202);
    let wrong = publish(json!({"id": 5, "lines": [1, 9]})).await;
    assert_eq!(wrong.problem(422, "schema_violation"), ["data.id", "data.lines.1"]);
    assert_eq!(publish(json!({})).await.problem(422, "schema_violation"), ["data"]);
    // beside other faults it is one of them
    let body = json!({"event_type": "invoice.paid", "data": {"id": 5}, "timestamp": "x"});
    let fields = world.post(&owner, "/v1/events", body).await.problem(422, "validation_failed");
    assert_eq!(fields, ["data.id", "timestamp"]);
    assert_eq!(world.get(&owner, "/v1/events").await.ok(200)["data"].as_array().unwrap().len(), 1);
}

async fn a_type_that_can_not_be_one_is_refused(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let create = async |body: Value| world.post(&owner, "/v1/event-types", body).await;
    let all = json!({"name": "Invoice", "description": "x".repeat(501), "schema": true, "sample": {}});
    assert_eq!(create(all).await.problem(422, "validation_failed"), ["description", "name", "sample", "schema"]);
    for name in ["", "a..b", "call.*", &"x".repeat(129)] {
        assert_eq!(create(json!({"name": name})).await.problem(422, "validation_failed"), ["name"], "{name}");
    }
    assert_eq!(create(json!({})).await.problem(422, "validation_failed"), ["name"]);
    for schema in [
        json!({"type": "banana"}),
        json!({"$ref": "https://example.com/s"}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!([]),
    ] {
        let fields = create(json!({"name": "a.b", "schema": schema})).await.problem(422, "validation_failed");
        assert_eq!(fields, ["schema"]);
    }
    create(json!({"name": "call.completed"})).await.problem(409, "conflict");
    assert_eq!(create(json!({"name": "webhook.failing"})).await.problem(422, "reserved_event_type"), ["name"]);
    for name in ["call.completed", "webhook.failing"] {
        let answer = world.call(&owner, "DELETE", &format!("/v1/event-types/{name}"), "").await;
        answer.problem(409, "conflict");
    }
}
