//! Event types: listed, registered, published, asked for.

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World};

on_every_store!(
    the_event_types_are_listed_with_samples_that_can_be_published,
    an_own_type_is_registered_published_asked_for_and_deleted,
    data_that_does_not_fit_the_schema_is_refused_with_every_place,
    a_type_that_can_not_be_one_is_refused,
    an_own_type_is_set_changed_and_archived,
    the_catalogue_is_every_organizations_and_built_in_types_can_be_changed_and_removed,
    a_sample_is_what_test_events_are_made_of_and_fits_its_schema,
    a_webhook_keeps_a_type_that_is_gone_and_takes_no_other_unknown_one,
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
    // each is read by its name, too
    for event_type in listed.iter().chain(operational.as_array().unwrap()) {
        let path = format!("/v1/event-types/{}", event_type["name"].as_str().unwrap());
        assert_eq!(&world.get(&owner, &path).await.ok(200), event_type);
    }
    let other = world.owner().await;
    world.get(&other, "/v1/event-types/invoice.paid").await.problem(404, "not_found");
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
        "schema": schema, "archived": false, "created_at": "2024-12-16T10:30:45.007Z"
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
    let all =
        json!({"name": "Invoice", "description": "x".repeat(501), "schema": true, "sample": [], "example": 1});
    assert_eq!(
        create(all).await.problem(422, "validation_failed"),
        ["description", "example", "name", "sample", "schema"]
    );
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

async fn an_own_type_is_set_changed_and_archived(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let path = "/v1/event-types/invoice.paid";
    let put = async |body: &str| world.call(&owner, "PUT", path, body).await;
    world.patch(&owner, path, json!({"archived": true})).await.problem(404, "not_found");
    let mut expected = put(r#"{"description":"Money came","sample":{"n":1}}"#).await.ok(201);
    assert_eq!((&expected["sample"], &expected["archived"]), (&json!({"n": 1}), &json!(false)));
    world.clock.advance(std::time::Duration::from_secs(1));
    let again = put("").await.ok(200);
    assert_eq!((&again["description"], &again["sample"]), (&json!(""), &json!({})));
    assert_eq!(again["created_at"], expected["created_at"], "it is the same one");
    for (change, field, value) in [
        (json!({"description": "Money"}), "description", json!("Money")),
        (json!({"schema": {"required": ["n"]}}), "schema", json!({"required": ["n"]})),
        (json!({"sample": {"n": 2}}), "sample", json!({"n": 2})),
        (json!({"archived": true}), "archived", json!(true)),
        (json!({"schema": null}), "schema", Value::Null),
    ] {
        expected = again.clone();
        let changed = world.patch(&owner, path, change).await.ok(200);
        assert_eq!(changed[field], value);
    }
    assert_eq!(expected["name"], "invoice.paid");
    // an archived one is accepted and delivered
    world.webhook(&owner, json!({"url": "https://example.com/", "events": ["invoice.paid"]})).await;
    let event = json!({"event_type": "invoice.paid", "data": {}});
    assert_eq!(world.post(&owner, "/v1/events", event).await.ok(202)["deliveries"], 1);
    let listed = world.get(&owner, "/v1/event-types").await.ok(200);
    assert_eq!(listed["data"][14]["archived"], true);
    for (path, body, code) in [
        ("/v1/event-types/Invoice", "{}", "validation_failed"),
        (path, r#"{"name":"other"}"#, "validation_failed"),
        ("/v1/event-types/webhook.failing", "{}", "reserved_event_type"),
    ] {
        world.call(&owner, "PUT", path, body).await.problem(422, code);
    }
    world.call(&owner, "PUT", "/v1/event-types/call.completed", "").await.problem(409, "conflict");
}

async fn the_catalogue_is_every_organizations_and_built_in_types_can_be_changed_and_removed(database: Database) {
    const CATALOGUE: &str = "/v1/catalogue/event-types";
    let world = World::on(database).await;
    let (owner, other) = (world.owner().await, world.owner().await);
    let body = json!({"name": "invoice.paid", "description": "Money came", "sample": {"n": 1}});
    let made = world.post(ADMIN, CATALOGUE, body.clone()).await;
    assert_eq!(made.header("location"), Some("/v1/catalogue/event-types/invoice.paid"));
    let made = made.ok(201);
    assert_eq!(made["kind"], "catalogue");
    world.post(ADMIN, CATALOGUE, body.clone()).await.problem(409, "conflict");
    assert_eq!(world.get(ADMIN, CATALOGUE).await.ok(200)["data"][14], made);
    let event = |name: &str| json!({"event_type": name, "data": {}});
    for key in [&owner, &other] {
        assert_eq!(world.get(key, "/v1/event-types").await.ok(200)["data"][14], made);
        assert_eq!(world.get(key, "/v1/event-types/invoice.paid").await.ok(200), made);
        world.webhook(key, json!({"url": "https://example.com/", "events": ["invoice.*"]})).await;
        assert_eq!(world.post(key, "/v1/events", event("invoice.paid")).await.ok(202)["deliveries"], 1);
        world.post(key, "/v1/event-types", body.clone()).await.problem(409, "conflict");
        world.call(key, "DELETE", "/v1/event-types/invoice.paid", "").await.problem(409, "conflict");
        world.patch(key, "/v1/event-types/invoice.paid", json!({})).await.problem(409, "conflict");
    }
    // archived: accepted, and not offered
    let one = format!("{CATALOGUE}/invoice.paid");
    assert_eq!(world.patch(ADMIN, &one, json!({"archived": true})).await.ok(200)["archived"], true);
    assert_eq!(world.get(&owner, "/v1/event-types").await.ok(200)["data"].as_array().unwrap().len(), 14);
    world.post(&owner, "/v1/events", event("invoice.paid")).await.ok(202);
    assert_eq!(world.get(&owner, "/v1/event-types/invoice.paid").await.ok(200)["archived"], true);
    // built-in ones are like others
    let built_in = format!("{CATALOGUE}/call.missed");
    let schema = json!({"schema": {"required": ["id"]}});
    let changed = world.patch(ADMIN, &built_in, schema).await.ok(200);
    assert_eq!(
        (&changed["kind"], &changed["description"]),
        (&json!("catalogue"), &json!("Inbound call was not answered"))
    );
    world.post(&owner, "/v1/events", event("call.missed")).await.problem(422, "schema_violation");
    world.call(ADMIN, "DELETE", &built_in, "").await.ok(204);
    for method in ["GET", "DELETE"] {
        world.call(ADMIN, method, &built_in, "").await.problem(404, "not_found");
    }
    world.get(&owner, "/v1/event-types/call.missed").await.problem(404, "not_found");
    let refused = world.post(&owner, "/v1/events", event("call.missed")).await;
    assert_eq!(refused.problem(422, "unknown_event_type"), ["event_type"]);
    assert!(!names(&world.get(&owner, "/v1/event-types").await.ok(200)["data"]).contains(&"call.missed"));
    // and come back as they were
    let restored = world.call(ADMIN, "PUT", &built_in, "{}").await.ok(201);
    assert_eq!(
        (&restored["description"], restored["sample"]["status"].as_str()),
        (&changed["description"], Some("missed"))
    );
    let change = json!({"description": "x", "sample": {"n": 1}});
    assert_eq!(world.patch(ADMIN, &built_in, change).await.ok(200)["sample"], json!({"n": 1}));
    let nulls = json!({"description": null, "sample": null});
    assert_eq!(world.patch(ADMIN, &built_in, nulls).await.ok(200), restored);
    world.call(ADMIN, "DELETE", &built_in, "").await.ok(204);
    // what is in the catalogue no more, an organization can have for itself
    world.post(&owner, "/v1/event-types", json!({"name": "call.missed"})).await.ok(201);
    world.post(&owner, "/v1/events", event("call.missed")).await.ok(202);
    world.post(&other, "/v1/events", event("call.missed")).await.problem(422, "unknown_event_type");
    world.post(ADMIN, CATALOGUE, json!({"name": "call.missed"})).await.ok(201);
    world.post(&other, "/v1/events", event("call.missed")).await.ok(202);
}

async fn a_sample_is_what_test_events_are_made_of_and_fits_its_schema(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let schema = json!({"properties": {"n": {"type": "number"}}});
    let body = json!({"name": "a.b", "schema": schema, "sample": {"n": "x"}});
    assert_eq!(world.post(&owner, "/v1/event-types", body).await.problem(422, "validation_failed"), ["sample.n"]);
    let body = json!({"name": "a.b", "schema": schema, "sample": {"n": 7, "text": "\u{0}"}});
    world.post(&owner, "/v1/event-types", body).await.ok(201);
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    world.post(&owner, &format!("{webhook}/test"), json!({"event_type": "a.b"})).await.ok(200);
    let received = world.receivers.received.lock().unwrap().last().unwrap().clone();
    let received: Value = serde_json::from_slice(&received).unwrap();
    assert_eq!(received["data"], json!({"n": 7, "text": "\u{0}"}));
    // what is tested without saying with what: the contract's type, and where that is gone one that the webhook wants
    world.call(ADMIN, "DELETE", "/v1/catalogue/event-types/call.completed", "").await.ok(204);
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/b", "events": ["a.b"]})).await;
    world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    let received = world.receivers.received.lock().unwrap().last().unwrap().clone();
    assert_eq!(serde_json::from_slice::<Value>(&received).unwrap()["event_type"], "a.b");
}

async fn a_webhook_keeps_a_type_that_is_gone_and_takes_no_other_unknown_one(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let events = json!(["call.missed", "call.completed"]);
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "events": events})).await;
    world.call(ADMIN, "DELETE", "/v1/catalogue/event-types/call.missed", "").await.ok(204);
    // what was read is sent back with one thing changed
    let body = json!({"events": ["call.missed", "call.failed"], "description": "x"});
    let changed = world.patch(&owner, &webhook, body).await.ok(200);
    assert_eq!(changed["events"], json!(["call.missed", "call.failed"]));
    let refused = world.patch(&owner, &webhook, json!({"events": ["call.missed", "call.mised"]})).await;
    assert_eq!(refused.problem(422, "unknown_event_type"), ["events[1]"]);
    // and what was given up does not come back
    world.patch(&owner, &webhook, json!({"events": ["call.failed"]})).await.ok(200);
    let refused = world.patch(&owner, &webhook, json!({"events": ["call.missed"]})).await;
    assert_eq!(refused.problem(422, "unknown_event_type"), ["events[0]"]);
    let new = json!({"url": "https://example.com/", "events": ["call.missed"]});
    world.post(&owner, "/v1/webhooks", new).await.problem(422, "unknown_event_type");
}
