//! Channels and tags.

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::World;

on_every_store!(
    an_event_reaches_webhooks_without_channels_and_those_that_share_one,
    a_webhooks_channels_are_a_setting_like_others,
    events_and_deliveries_are_found_by_their_tags_and_deliveries_by_their_event,
    what_is_no_channel_or_tag_is_refused_by_name,
    one_idempotency_key_with_other_channels_or_tags_is_another_request,
    labels_of_one_organization_are_not_found_by_another,
);

async fn an_event_reaches_webhooks_without_channels_and_those_that_share_one(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let url = "https://example.com/";
    let everything = world.webhook(&owner, json!({"url": url})).await;
    let europe = world.webhook(&owner, json!({"url": url, "channels": ["eu", "uk"]})).await;
    let filtered =
        world.webhook(&owner, json!({"url": url, "channels": ["eu"], "filters": {"direction": "outbound"}})).await;
    for (channels, direction, expected) in [
        (json!(["eu"]), "outbound", vec![&everything, &europe, &filtered]),
        (json!(["us", "uk"]), "outbound", vec![&everything, &europe]),
        (json!(["eu"]), "inbound", vec![&everything, &europe]),
        (json!(["EU"]), "outbound", vec![&everything]),
        (json!([]), "outbound", vec![&everything]),
        (Value::Null, "outbound", vec![&everything]),
    ] {
        let event =
            json!({"event_type": "call.completed", "channels": channels, "data": {"direction": direction}});
        let published = world.post(&owner, "/v1/events", event).await.ok(202);
        assert_eq!(published["deliveries"], expected.len(), "{channels} {direction}");
        let path = format!("/v1/events/{}", published["id"].as_str().unwrap());
        let event = world.get(&owner, &path).await.ok(200);
        let mut reached: Vec<String> = event["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("/v1/webhooks/{}", row["webhook_id"].as_str().unwrap()))
            .collect();
        reached.sort();
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(reached, expected, "{channels} {direction}");
        assert!(event["payload"].get("channels").is_none(), "receivers don't see them");
    }
}

async fn a_webhooks_channels_are_a_setting_like_others(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "channels": ["b", "a", "b"]})).await;
    assert_eq!(world.get(&owner, &webhook).await.ok(200)["channels"], json!(["b", "a"]));
    let count = async |channels: Value| {
        let event = json!({"event_type": "call.completed", "channels": channels, "data": {}});
        world.post(&owner, "/v1/events", event).await.ok(202)["deliveries"].clone()
    };
    assert_eq!(count(json!(["c"])).await, 0);
    world.patch(&owner, &webhook, json!({"channels": ["c"]})).await.ok(200);
    assert_eq!(count(json!(["c"])).await, 1);
    assert_eq!(count(json!(["a"])).await, 0);
    world.patch(&owner, &webhook, json!({"description": "other"})).await.ok(200);
    assert_eq!(count(json!(["a"])).await, 0, "what is not given stays");
    assert_eq!(world.patch(&owner, &webhook, json!({"channels": null})).await.ok(200)["channels"], json!([]));
    assert_eq!(count(json!(["a"])).await, 1);
}

async fn events_and_deliveries_are_found_by_their_tags_and_deliveries_by_their_event(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    for _ in 0..2 {
        world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    }
    let batch = json!([
        {"event_type": "call.completed", "tags": ["call 7", "größe"], "channels": ["c"], "data": {}},
        {"event_type": "call.connected", "tags": ["call 7"], "data": {}},
        {"event_type": "call.connected", "channels": ["call 7"], "data": {}},
    ]);
    let published = world.post(&owner, "/v1/events/batch", batch).await.ok(202);
    let id = |place: usize| published["data"][place]["id"].as_str().unwrap().to_owned();
    let found = async |path: &str| {
        let mut ids = Vec::new();
        let mut path = format!("{path}&limit=1");
        let first = path.clone();
        loop {
            let page = world.get(&owner, &path).await.ok(200);
            for row in page["data"].as_array().unwrap() {
                ids.push(row.get("event_id").unwrap_or(&row["id"]).as_str().unwrap().to_owned());
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{first}&cursor={cursor}");
        }
        ids
    };
    assert_eq!(found("/v1/events?tag=call+7").await, [id(1), id(0)]);
    assert_eq!(found("/v1/events?tag=gr%C3%B6%C3%9Fe").await, [id(0)]);
    assert_eq!(found("/v1/events?tag=call+7&event_type=call.connected").await, [id(1)]);
    assert!(found("/v1/events?tag=c").await.is_empty(), "a channel is no tag");
    assert!(found("/v1/events?tag=call").await.is_empty(), "a tag is found as a whole");
    assert_eq!(found("/v1/webhooks/logs?tag=call+7").await, [id(1), id(1), id(0), id(0)]);
    assert_eq!(found(&format!("/v1/webhooks/logs?event_id={}", id(2))).await, [id(2), id(2)]);
    assert!(found(&format!("/v1/webhooks/logs?event_id={}&tag=call+7", id(2))).await.is_empty());
    assert_eq!(found(&format!("/v1/webhooks/logs?event_id={}&tag=call+7", id(1))).await, [id(1), id(1)]);
    let row = &world.get(&owner, "/v1/events?tag=gr%C3%B6%C3%9Fe").await.ok(200)["data"][0];
    assert_eq!((&row["tags"], &row["channels"]), (&json!(["call 7", "größe"]), &json!(["c"])));
    let event = world.get(&owner, &format!("/v1/events/{}", id(2))).await.ok(200);
    assert_eq!((&event["tags"], &event["channels"]), (&json!([]), &json!(["call 7"])));
    for (path, field) in [("/v1/events?tag=%0a", "tag"), ("/v1/webhooks/logs?event_id=wh_1", "event_id")] {
        assert_eq!(world.get(&owner, path).await.problem(422, "validation_failed"), [field]);
    }
}

async fn what_is_no_channel_or_tag_is_refused_by_name(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let many = |count: usize| json!((0..count).map(|number| number.to_string()).collect::<Vec<_>>());
    for (fields, wrong) in [
        (json!({"tags": many(11)}), "tags"),
        (json!({"channels": many(6)}), "channels"),
        (json!({"tags": "one"}), "tags"),
        (json!({"tags": [1]}), "tags[0]"),
        (json!({"channels": ["ok", ""]}), "channels[1]"),
        (json!({"tags": ["x".repeat(129)]}), "tags[0]"),
        (json!({"tags": ["a\nb"]}), "tags[0]"),
        (json!({"tags": ["\u{0}"]}), "tags[0]"),
    ] {
        let mut event = json!({"event_type": "call.completed", "data": {}});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = world.post(&owner, "/v1/events", event).await;
        assert_eq!(answer.problem(422, "validation_failed"), [wrong], "{fields}");
    }
    let full = json!({"event_type": "call.completed", "data": {}, "tags": many(10), "channels": many(5)});
    world.post(&owner, "/v1/events", full).await.ok(202);
    let webhook = json!({"url": "https://example.com/", "channels": many(11)});
    assert_eq!(world.post(&owner, "/v1/webhooks", webhook).await.problem(422, "validation_failed"), ["channels"]);
    let webhook = json!({"url": "https://example.com/", "channels": ["x".repeat(129)]});
    assert_eq!(
        world.post(&owner, "/v1/webhooks", webhook).await.problem(422, "validation_failed"),
        ["channels[0]"]
    );
}

async fn one_idempotency_key_with_other_channels_or_tags_is_another_request(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let publish = async |tags: Value, channels: Value| {
        let event = json!({
            "event_type": "call.completed", "data": {}, "idempotency_key": "k", "tags": tags, "channels": channels,
        });
        world.post(&owner, "/v1/events/batch", json!([event])).await.ok(202)["data"][0].clone()
    };
    let first = publish(json!(["a"]), Value::Null).await;
    assert_eq!(publish(json!(["a"]), json!([])).await, first);
    for (tags, channels) in [(json!(["b"]), json!([])), (json!([]), json!(["a"])), (json!(["a"]), json!(["a"]))] {
        let refused = publish(tags.clone(), channels.clone()).await;
        assert_eq!(refused["error"]["code"], "idempotency_key_reused", "{tags} {channels}");
    }
}

async fn labels_of_one_organization_are_not_found_by_another(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    let event = json!({"event_type": "call.completed", "tags": ["secret"], "channels": ["c"], "data": {}});
    world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let theirs = world.webhook(&stranger, json!({"url": "https://example.com/", "channels": ["c"]})).await;
    let published = world.post(&owner, "/v1/events", event).await.ok(202);
    let id = published["id"].as_str().unwrap();
    for path in [
        "/v1/events?tag=secret".to_owned(),
        "/v1/webhooks/logs?tag=secret".to_owned(),
        format!("/v1/webhooks/logs?event_id={id}"),
    ] {
        assert_eq!(world.get(&stranger, &path).await.ok(200)["data"], json!([]), "{path}");
        assert_ne!(world.get(&owner, &path).await.ok(200)["data"], json!([]), "{path}");
    }
    assert_eq!(world.get(&stranger, &format!("{theirs}/health")).await.ok(200)["pending"], 0);
}
